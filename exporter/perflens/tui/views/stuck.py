"""What is stuck now: operations past the threshold that have not ended, the longest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perflens.tui import units
from perflens.tui.asks import IN_PROGRESS, Ask, Data
from perflens.tui.lines import Column, header, line, row, widths
from perflens.tui.model import Event
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State
from perflens.tui.views.timeline import is_wanted

__all__ = ["VIEW"]

_KEYS: Mapping[str, Callable[[Event], Any]] = {
    "longest": lambda own: (-own.duration, own.id),
    "newest": lambda own: (-own.start, own.id),
    "name": lambda own: (own.process_name, own.id),
}
_ORDERS = tuple(_KEYS)
_COLUMNS = (
    Column("PID", 7, align=">"),
    Column("process", 10, most=24),
    Column("so far", 7, align=">"),
    Column("operation", 12, most=16, rank=1),
    Column("sleeps in", 20, most=40, rank=2),
    Column("file", 20, most=160, rank=3, tail=True),
    Column("owner", 16, most=60, rank=4, tail=True),
)


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return (IN_PROGRESS,)


def page(data: Data, state: State, size: Size) -> Page:
    """Return what is stuck."""
    found = data.of(IN_PROGRESS)
    rows = [own for own in found or () if is_wanted(own, state)]
    rows.sort(key=_KEYS[state.order(_ORDERS)])
    shown = widths(_COLUMNS, size.width)
    title = line(("Operations that have not ended ", "bold"), (f"{len(rows)}", "bad" if rows else "dim"))
    empty = "" if found is None else "nothing is stuck" + (", or matches the filter" if state.filter and found else "")
    return Page(
        (title,), (header(_COLUMNS, shown),), [own.id for own in rows], lambda at: row(_COLUMNS, shown, _cells(rows[at])), empty=empty
    )


def _cells(own: Event) -> list[str | tuple[str, str]]:
    return [
        str(own.process.pid),
        own.process_name or own.comm,
        (units.duration(own.duration), "bad"),
        f"{own.probe} {own.operation}",
        own.kernel_stack[0] if own.kernel_stack else "",
        own.path or " ".join(own.devices) or own.object,
        (own.owner, "dim"),
    ]


VIEW = View("stuck", "stuck now", _asks, page, _ORDERS)
