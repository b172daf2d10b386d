"""Answers a command from a capsule in place of an agent: the same views, with the same filters."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from perflens import capsule
from perflens.cli.asking import Agent
from perflens.errors import ConfigError, Problem
from perflens.http.openapi import ENDPOINTS
from perflens.http.parameters import BadParameter, Query, parse
from perflens.reports.events import owner_of

__all__ = ["Replay", "add_replay", "source_of"]

_SECOND = 1_000_000_000


def add_replay(parser: argparse.ArgumentParser) -> None:
    """Declare the capsule that is opened."""
    parser.add_argument("--replay", metavar="FILE", default="", help="open a capsule in place of asking an agent")


def source_of(arguments: argparse.Namespace) -> Agent | Replay:
    """Return what is asked; ConfigError when the capsule cannot be opened, or the agent's flags cannot be used."""
    return Replay(arguments.replay) if arguments.replay else Agent(arguments)


class Replay:
    """The answers that a capsule holds."""

    def __init__(self, path: str) -> None:
        self._members = capsule.read(path).members

    def ask(self, view: str, query: Mapping[str, object] | None = None) -> Any:
        """Return what the agent would have answered; ConfigError for a parameter that it would have refused."""
        (endpoint,) = (own for own in ENDPOINTS if own.path == view)
        try:
            wanted = parse(((name, str(value)) for name, value in (query or {}).items()), endpoint.parameters)
        except BadParameter as error:
            raise ConfigError((Problem("command line", "", *str(error).split("; ", 1)),)) from error
        answer = self._members[endpoint.name]
        match view:
            case "events":
                return {**answer, "events": _events(answer["events"], wanted)}
            case "stacks":
                return {**answer, "stacks": [own for own in answer["stacks"] if _fits(own, own["owner"], wanted)][: wanted.limit]}
            case "timeline":
                return {**answer, "seconds": answer["seconds"][-wanted.seconds :]}
        return answer


def _events(events: list[dict[str, Any]], wanted: Query) -> list[dict[str, Any]]:
    found = [
        own
        for own in events
        if _fits(own, owner_of(own), wanted)
        and wanted.pid in (0, own["process"]["pid"])
        and own["duration_ns"] >= wanted.min_duration
        and own["start_time_ns"] + own["duration_ns"] >= wanted.since
        and own["in_progress"] == wanted.in_progress
    ]
    return found[: wanted.limit]


def _fits(own: Mapping[str, Any], owner: str, wanted: Query) -> bool:
    return wanted.probe in ("", own["probe"]) and wanted.operation in ("", own["operation"]) and wanted.owner in ("", owner)
