"""Show the slow operations of a running agent, or follow them as they end."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perflens.cli.asking import NoAnswer, add_agent, add_filters, filters_of, pause
from perflens.cli.context import Context
from perflens.cli.from_capsule import add_replay, source_of
from perflens.cli.output import ended
from perflens.errors import ConfigError, Problem
from perflens.reports.events import COLUMNS, line, row
from perflens.reports.following import Back, Gone, Missed, Restarted, follow
from perflens.reports.sheet import Sheet

__all__ = ["configurable", "execute", "register"]

configurable = False
_LOST = "the agent was restarted: what ended under the old one since it was last asked is not shown"


def register(parser: argparse.ArgumentParser) -> None:
    """Add what is shown, of whom and how."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line, as the API has it")
    form.add_argument("--csv", action="store_true", help="print comma separated values")
    parser.add_argument("--follow", action="store_true", help="go on with each operation that ends, until interrupted")
    parser.add_argument("--in-progress", action="store_true", help="show the operations that have not ended, the longest first")
    parser.add_argument("--limit", metavar="NUMBER", default="100", help="most operations, the newest; 1 to 1000 (default: %(default)s)")
    add_filters(parser, more=True)
    add_replay(parser)
    add_agent(parser)


class _Lines:
    """One line for each operation; what is to be said beside goes to the standard error."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Show an operation."""
        print(line(event))

    def notice(self, told: object) -> None:
        """Say what happened to the agent, or what was missed."""
        print(f"perflens: {_notice(told)}", file=sys.stderr)


class _Json(_Lines):
    def event(self, event: Mapping[str, Any]) -> None:
        print(json.dumps(event, separators=(",", ":")))

    def notice(self, told: object) -> None:
        """What is missing stands among the operations; what happens to the agent does not."""
        match told:
            case Missed(number):
                print(json.dumps({"missed": number}))
            case Restarted():
                print(json.dumps({"restarted": True}))
            case _:
                super().notice(told)


class _Csv(_Lines):
    def __init__(self) -> None:
        self._sheet = Sheet(sys.stdout)
        self._sheet.write(COLUMNS)

    def event(self, event: Mapping[str, Any]) -> None:
        self._sheet.write(row(event))


def _notice(told: object) -> str:
    match told:
        case Missed(number):
            return f"missed {number} operations: the agent had let go of them; narrow the filters, or raise the threshold"
        case Restarted():
            return _LOST
        case Gone(reason):
            return f"{reason}; asking again"
        case Back():
            return "the agent answers again"
    raise AssertionError(told)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the operations, the oldest first; return 0 when done, interrupted, or read by nobody any more."""
    other = "--in-progress" if arguments.in_progress else "--replay" if arguments.replay else ""
    if arguments.follow and other:
        raise ConfigError((Problem("--follow", "", f"does not go with {other}", "leave one of them out"),))
    agent, filters = source_of(arguments), filters_of(arguments)

    def ask(query: Mapping[str, object]) -> Any:
        return agent.ask("events", query)

    if arguments.follow:
        return ended(lambda: _follow(ask, filters, arguments))
    found = ask({**filters, "limit": arguments.limit, **({"in_progress": "true"} if arguments.in_progress else {})})["events"]
    return ended(lambda: _show(found if arguments.in_progress else reversed(found), arguments))


def _printer(arguments: argparse.Namespace) -> _Lines:
    return _Json() if arguments.json else _Csv() if arguments.csv else _Lines()


def _show(events: Iterable[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    printer = _printer(arguments)
    for event in events:
        printer.event(event)


def _follow(ask: Callable[[Mapping[str, object]], Any], filters: Mapping[str, str], arguments: argparse.Namespace) -> None:
    """What is printed is flushed before each pause, so that a reader has it as soon as it is known."""

    def wait(seconds: float) -> None:
        sys.stdout.flush()
        pause(seconds)

    try:
        printer = _printer(arguments)
        for told in follow(ask, filters, arguments.limit, wait, NoAnswer):
            if isinstance(told, Mapping):
                printer.event(told)
            else:
                printer.notice(told)
    except KeyboardInterrupt:
        return
