"""Show the last seconds of a running agent, one a line: what was slow, and what began."""

from __future__ import annotations

import argparse
import json
import sys

from perflens.cli.asking import add_agent
from perflens.cli.context import Context
from perflens.cli.from_capsule import add_replay, source_of
from perflens.cli.output import ended
from perflens.reports.sheet import Sheet
from perflens.reports.timeline import HEADER, columns, line, rows

__all__ = ["configurable", "execute", "register"]

configurable = False


def register(parser: argparse.ArgumentParser) -> None:
    """Add how far to go back, and the form."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object a line, as the API has it")
    form.add_argument("--csv", action="store_true", help="print comma separated values, two columns for each operation")
    parser.add_argument("--seconds", metavar="NUMBER", default="300", help="how far to go back, 1 to 300 (default: %(default)s)")
    parser.add_argument("--all", action="store_true", help="show the seconds too in which nothing happened; tables have them in any case")
    add_replay(parser)
    add_agent(parser)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the seconds, the oldest first."""
    seconds = source_of(arguments).ask("timeline", {"seconds": arguments.seconds})["seconds"]

    def show() -> None:
        if arguments.json:
            print(*(json.dumps(own, separators=(",", ":")) for own in seconds), sep="\n")
        elif arguments.csv:
            sheet = Sheet(sys.stdout)
            for row in (columns(seconds), *rows(seconds)):
                sheet.write(row)
        else:
            busy = (own for own in seconds if arguments.all or own["slow"]["count"] or own["forks"] or own["execs"])
            print(HEADER, *map(line, busy), sep="\n")

    return ended(show)
