"""The tree of processes with their slow operations."""

from __future__ import annotations

from typing import Any

from perflens.tui import units
from perflens.tui.asks import TREE, Ask, Data
from perflens.tui.lines import Column, header, line, row, widths
from perflens.tui.model import TreeProcess
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State

__all__ = ["VIEW"]

_ORDERS = ("tree", "slow", "name", "PID")
_COLUMNS = (
    Column("PID", 7, align=">"),
    Column("process", 20, most=64),
    Column("slow", 6, align=">"),
    Column("below", 6, rank=1, align=">"),
    Column("owner", 16, rank=2, most=60, tail=True),
    Column("program", 20, rank=3, most=120, tail=True),
)
_DEEPEST = 24


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return (TREE,)


def page(data: Data, state: State, size: Size) -> Page:
    """Return the tree; sorted by anything but the tree, or filtered, it is flat."""
    found = data.of(TREE)
    order = state.order(_ORDERS)
    flat = order != "tree" or bool(state.filter)
    rows = [own for own in (found.processes if found else ()) if state.matches(own.comm, str(own.process.pid), own.owner, own.path)]
    if order == "slow":
        rows.sort(key=lambda own: (-own.slow, own.process))
    elif order == "name":
        rows.sort(key=lambda own: (own.comm, own.process))
    elif order == "PID":
        rows.sort(key=lambda own: own.process)
    shown = widths(_COLUMNS, size.width)
    total = f"{units.count(len(rows))} of {units.count(found.total)} processes" if found else "waiting for the agent"
    return Page(
        (line(("Processes ", "bold"), (f"{total}, with their slow operations of the last 5 min", "dim")),),
        (header(_COLUMNS, shown),),
        [own.process for own in rows],
        lambda at: row(_COLUMNS, shown, _cells(rows[at], flat)),
        empty="" if found is None else "no process matches the filter" if state.filter else "no process is known yet",
    )


def _cells(own: TreeProcess, flat: bool) -> list[str | tuple[str, str]]:
    indent = "" if flat else "  " * max(min(own.depth, _DEEPEST), 0)
    name = f"{indent}{own.comm}"
    return [
        str(own.process.pid),
        name if own.alive else (f"{name} (ended)", "dim"),
        (units.count(own.slow), "slow") if own.slow else "",
        (units.count(own.slow_below), "") if own.slow_below else "",
        (own.owner, "dim"),
        (own.path, "dim"),
    ]


VIEW = View("tree", "processes", _asks, page, _ORDERS)
