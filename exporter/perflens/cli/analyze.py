"""Read many agents, and tell what their incidents have in common once; or judge recorded windows again."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from perflens import __version__, logs
from perflens.cli.context import Context
from perflens.errors import ConfigError, Problem
from perflens.logs import fields

__all__ = ["DEFAULTS", "execute", "register"]

DEFAULTS: Mapping[tuple[str, ...], Any] = MappingProxyType(
    {
        ("web", "listen_address"): (":9436",),
        ("grafana", "per_hour"): 30,
        ("grafana", "per_day"): 200,
        ("grafana", "outbox_file"): "/var/lib/perflens/fleet-annotations.jsonl",
        ("llm", "cache_file"): "/var/lib/perflens/fleet-llm-cache.json",
    }
)
"""Where they differ from an agent's: both may run on one host, and many hosts have more incidents than one."""


def register(parser: argparse.ArgumentParser) -> None:
    """Add what is judged again, by whom, and the output's form."""
    parser.add_argument("--replay", metavar="FILE", help="judge the windows of a recording or a capsule again, and end (-: standard input)")
    parser.add_argument("--replay.llm", dest="replay_llm", action="store_true", help="let the model word what the rules find in them")
    parser.add_argument("--json", action="store_true", help="print what was judged again as JSON")


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Replay, or run until it is told to stop."""
    settings = context.settings(arguments, DEFAULTS)
    if arguments.replay is not None:
        from perflens.cli.replay import replay

        logs.configure("error" if settings.log.level == "info" else settings.log.level, settings.log.format, sys.stderr)
        return replay(arguments.replay, settings, ask=arguments.replay_llm, as_json=arguments.json)
    for flag, given in (("--json", arguments.json), ("--replay.llm", arguments.replay_llm)):
        if given:
            raise ConfigError((Problem(flag, "", "is given without --replay", "leave it out, or name a file with --replay"),))
    from perflens.agent.fleet import serve_fleet

    logs.configure(settings.log.level, settings.log.format, sys.stderr)
    logging.getLogger("perflens").info("starting", extra=fields(version=__version__, fleet=settings.fleet.name))
    asyncio.run(serve_fleet(settings))
    return 0
