"""Print where the slow time of a running agent's host went, as a flame graph by stack."""

from __future__ import annotations

import argparse
from pathlib import Path

from perflens.cli.asking import add_agent, add_filters, filters_of
from perflens.cli.context import Context
from perflens.cli.from_capsule import add_replay, source_of
from perflens.cli.output import ended, recode
from perflens.errors import ConfigError, Problem
from perflens.reports.flamegraph import svg
from perflens.reports.folded import folded, text

__all__ = ["configurable", "execute", "register"]

configurable = False
_MOST = 1_000


def register(parser: argparse.ArgumentParser) -> None:
    """Add the form, which stacks, and what their width is."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--folded", action="store_true", help="print folded stacks, for flamegraph.pl or speedscope (the default)")
    form.add_argument("--svg", action="store_true", help="print a picture for a browser, in one file")
    parser.add_argument("--kind", choices=("both", "kernel", "user"), default="both", help="which frames (default: %(default)s)")
    parser.add_argument(
        "--weight", choices=("time", "count"), default="time", help="slow time in us, or slow operations (default: %(default)s)"
    )
    parser.add_argument("--output", "-o", metavar="FILE", default="", help="write to this file (default: the standard output)")
    add_filters(parser, more=False)
    add_replay(parser)
    add_agent(parser)


def execute(arguments: argparse.Namespace, context: Context) -> int:
    """Print the stacks of the last five minutes."""
    found = source_of(arguments).ask("stacks", {**filters_of(arguments), "limit": _MOST})["stacks"]
    stacks = folded(found, arguments.kind, arguments.weight)
    what = "slow time by stack" if arguments.weight == "time" else "slow operations by stack"
    page = svg(stacks, f"PerfLens: {what}, the last five minutes", arguments.weight) if arguments.svg else text(stacks, arguments.weight)
    if not arguments.output:
        recode(encoding="utf-8", errors="strict")  # as in a file: a picture says that it is
        return ended(lambda: print(page, end=""))
    try:
        Path(arguments.output).write_text(page, encoding="utf-8")
    except OSError as error:
        cure = "name another file with --output"
        raise ConfigError((Problem(arguments.output, "", f"cannot be written: {error.strerror}", cure),)) from error
    return 0
