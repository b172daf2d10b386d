"""List the probe families with their operations, metrics and attach rungs."""

from __future__ import annotations

import argparse

from perflens.cli.context import Context, operations_named
from perflens.cli.output import ended
from perflens.config import Settings

__all__ = ["execute", "register"]


def register(parser: argparse.ArgumentParser) -> None:
    """Add nothing: there is only one form."""


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print one paragraph per probe."""
    settings = context.settings(arguments)
    return ended(lambda: _show(context, settings))


def _show(context: Context, settings: Settings) -> None:
    for name, probe in context.probes.items():
        operations = ", ".join(operations_named(name, probe)) or "unknown: its object is missing, run make"
        print(f"{name}{'' if settings.probes[name].enabled else ' (off)'}: {probe.summary}")
        print(f"  operations: {operations}")
        print(f"  metrics:    {', '.join(f'perflens_{metric}' for metric in probe.metrics)}")
        rungs = dict.fromkeys(f"{rung.name} (with waits)" if rung.waits else rung.name for rung in probe.rungs)
        print(f"  rungs:      {', '.join(rungs)}")
