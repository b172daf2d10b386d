"""Put what a running agent knows now into one file, which opens on another machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from perflens import capsule
from perflens.capsule import MEMBERS, Capsule
from perflens.cli.asking import Agent, Refused, add_agent
from perflens.cli.context import Context
from perflens.cli.output import ended
from perflens.config.keys import leaves, tree
from perflens.errors import ConfigError, Problem
from perflens.reports.anonymous import anonymous

__all__ = ["configurable", "execute", "register"]

configurable = False
_MOST: Mapping[str, Mapping[str, int]] = {
    **{name: {"limit": 1_000} for name in ("processes", "process_tree", "process_starts", "events", "stacks", "incidents", "analyses")},
    "timeline": {"seconds": 300},
}


def register(parser: argparse.ArgumentParser) -> None:
    """Add the file, and what is left out."""
    parser.add_argument(
        "--output", "-o", metavar="FILE", default="", help="the file, - for the standard output (default: perflens-TIME.capsule)"
    )
    parser.add_argument("--anonymize", action="store_true", help="replace every name by an alias: the same name always by the same one")
    parser.add_argument("--incident", metavar="ID", default="", help="of the incidents and analyses only this one and its own")
    add_agent(parser)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Write the file and say where it is."""
    made = datetime.now(UTC)
    if arguments.output == "-" and sys.stdout and sys.stdout.isatty():
        raise ConfigError((Problem("--output", "", "the standard output is a terminal", "name a file, or redirect it"),))
    agent = Agent(arguments)
    members = {name: agent.ask(path, _MOST.get(name)) for name, path in MEMBERS.items()}
    members["events"] = _with_those_in_progress(agent, members["events"])
    build = str(members["summary"].get("version", ""))
    if arguments.incident:
        members |= _only(arguments.incident, members)
    if arguments.anonymize:
        members = anonymous(members, words=_words(context))
    whole = Capsule(made.strftime("%Y-%m-%dT%H:%M:%SZ"), build, members)
    if arguments.output == "-":
        return ended(lambda: _write(capsule.encoded(whole)))
    path = arguments.output or f"perflens-{made:%Y%m%dT%H%M%SZ}.capsule"
    capsule.write(path, whole)
    print(f"{path}: {len(members['events']['events'])} slow operations, {len(members['incidents']['incidents'])} incidents")
    return 0


def _with_those_in_progress(agent: Agent, ended: Mapping[str, Any]) -> dict[str, Any]:
    """The operations that have not ended, before those that have; one that ended meanwhile comes once."""
    known = {event["id"] for event in ended["events"]}
    found = agent.ask("events", {"in_progress": "true", "limit": 1_000})["events"]
    return {**ended, "events": [*(event for event in found if event["id"] not in known), *ended["events"]]}


def _write(packed: bytes) -> None:
    sys.stdout.buffer.write(packed)
    sys.stdout.buffer.flush()


def _only(identity: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """One incident, and the analyses of windows that it was open in."""
    incidents = [own for own in members["incidents"]["incidents"] if own["id"] == identity]
    if not incidents:
        raise Refused(f"there is no incident {identity[:40]!r}; /api/v1/incidents lists those that there are")
    (one,) = incidents
    end = one["resolved_time_ns"] or sys.maxsize
    within = [own for own in members["analyses"]["analyses"] if own["end_time_ns"] >= one["opened_time_ns"] and own["start_time_ns"] <= end]
    return {"incidents": {**members["incidents"], "incidents": incidents}, "analyses": {**members["analyses"], "analyses": within}}


def _words(context: Context) -> set[str]:
    """What the keys of the configuration may be set to by name, and the defaults: they name nothing of this host."""
    keys = list(leaves(tree(context.catalogue)))
    values = (value for key in keys for value in (key.default if isinstance(key.default, tuple) else (key.default,)))
    defaults = {value for value in values if isinstance(value, str)}
    return {choice for key in keys for choice in key.choices} | defaults
