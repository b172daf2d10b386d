"""Prove on this host that what is counted is what was done."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from perflens import logs
from perflens.agent import Agent, tree_of
from perflens.cli.context import Context
from perflens.client import add_flags, target_of
from perflens.config import Settings
from perflens.errors import ConfigError, Problem
from perflens.export.prometheus.page import Query as Whole
from perflens.http.parameters import Query
from perflens.kernel.features import Host, mounts
from perflens.model import ProbeState
from perflens.selftest import (
    Check,
    Disk,
    Event,
    Ground,
    Page,
    Remote,
    Subject,
    choose,
    disk_of,
    ended_by_signals,
    prove,
    show,
    stand,
    sweep_all,
    throttle_tree,
)

__all__ = ["execute", "register"]

_MEGABYTES = 64
_SECONDS = 15.0
_LONGEST = 600.0
_MOST_EVENTS = 1_000
_DRAIN, _MAINTENANCE = 0.25, 2.0  # s


def register(parser: argparse.ArgumentParser) -> None:
    """Add what is proven, where, and the output's form."""
    add_flags(parser, "prove the agent that runs there, such as http://localhost:9435 (default: its own parts)")
    parser.add_argument("--dir", metavar="PATH", help="where the scratch files go (default: a temporary folder on a disk)")
    parser.add_argument(
        "--timeout", metavar="SECONDS", default=f"{_SECONDS:g}", help="the most time that it may take (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


class Own:
    """The parts of the agent in this process, with probes of their own beside whatever runs, and without HTTP."""

    attaches = True

    def __init__(self, settings: Settings, host: Host, context: Context) -> None:
        alone = replace(settings.kubernetes, enabled="off")  # nobody watches pods here
        self._settings = settings = replace(settings, kubernetes=alone)
        self._agent = Agent(settings, host, context.probes, tree_of(host, settings))
        self._ended = threading.Event()
        self._upkeep = threading.Thread(target=self._keep_up, name="upkeep", daemon=True)

    def __enter__(self) -> Own:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._upkeep.ident is not None:
            self._upkeep.join()
        self._agent.explainer.close()
        self._agent.drainer.shutdown()
        self._agent.worker.submit(self._agent.stop).result()
        self._agent.worker.shutdown()

    def start(self) -> None:
        """Attach."""
        self._agent.worker.submit(self._agent.start).result()
        self._upkeep.start()

    def _keep_up(self) -> None:
        """Empty the rings and look after the cells, as the agent's event loop does."""
        maintained = time.monotonic()
        while not self._ended.wait(_DRAIN):
            self._agent.drainer.submit(self._agent.intake.drain)
            if time.monotonic() - maintained >= _MAINTENANCE:
                maintained = time.monotonic()
                self._agent.worker.submit(self._agent.maintain)

    def states(self) -> Mapping[str, ProbeState]:
        """Return how each probe stands; one that is off is not among them."""
        return {state.name: state for state in self._agent.states}

    def page(self) -> Page:
        """Return the metrics now."""
        return Page(bytes(self._agent.worker.submit(self._agent.page.render, Whole()).result()).decode())

    def events(self, probe: str, min_duration: int) -> Sequence[Event]:
        """Return the slow operations, as the API shows them."""
        self._agent.drainer.submit(self._agent.intake.drain).result()
        view = self._agent.views.api().events(Query(probe=probe, min_duration=min_duration, limit=_MOST_EVENTS))
        found: Sequence[Event] = asyncio.run(_awaited(view))["events"]
        return found

    def threshold(self, probe: str, operation: str) -> int:
        """Return what the configuration says."""
        return self._settings.probes[probe].thresholds.get(operation, self._settings.threshold)


async def _awaited(view: object) -> Mapping[str, Sequence[Event]]:
    found: Mapping[str, Sequence[Event]] = await view  # type: ignore[misc]
    return found


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the report; return 1 when a check failed."""
    began = time.monotonic()
    settings = context.settings(arguments)
    disk, seconds, target = _disk(arguments.dir), _seconds(arguments.timeout), target_of(arguments)
    logs.configure("error" if settings.log.level == "info" else settings.log.level, settings.log.format, sys.stderr)
    host = context.host(settings)
    tree = tree_of(host, settings)
    throttles = throttle_tree(mounts(Path("/proc/self/mountinfo").read_text(errors="replace")))
    with ended_by_signals():
        for name in sweep_all(disk, tree, throttles):
            print(f"perflens: removed {name}, which a selftest that was killed has left", file=sys.stderr)
        with stand(disk, tree, throttles, began + seconds) as own:
            if target:
                return _report(Remote(target), own, context, arguments, seconds)
            with Own(settings, host, context) as subject:
                return _report(subject, own, context, arguments, seconds)


def _report(subject: Subject, own: Ground, context: Context, arguments: argparse.Namespace, seconds: float) -> int:
    checks: list[Check] = []
    if not arguments.json:
        print(show.announced(own, _MEGABYTES, seconds), flush=True)
    names = [name for name, probe in context.probes.items() if probe.enabled]
    for check in prove(subject, names, own):
        if not arguments.json:
            print(*([] if checks else [show.header()]), show.line(check), sep="\n", flush=True)
        checks.append(check)
    print(show.as_json(checks, own) if arguments.json else show.summary(checks))
    return show.worst(checks)


def _refused(flag: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(flag, "", message, cure),))


def _disk(folder: str | None) -> Disk:
    try:
        disk = disk_of(folder) if folder is not None else choose()
    except OSError as error:
        raise _refused("--dir", f"cannot be used: {error.strerror or error}", "write the path of a folder on a disk") from error
    if not os.path.isdir(disk.folder):
        raise _refused("--dir", "is no folder", "write the path of a folder on a disk")
    return disk


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not 1 <= seconds <= _LONGEST:
        raise _refused("--timeout", "is not a time", f"write seconds, 1 to {_LONGEST:g}")
    return seconds
