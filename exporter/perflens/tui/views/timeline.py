"""The timeline: a bar for each second, forks and execs beside, and the newest slow operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perflens.tui import units
from perflens.tui.asks import EVENTS, TIMELINE, Ask, Data, of_window
from perflens.tui.bars import columns, resampled
from perflens.tui.lines import Column, Line, header, line, row, widths
from perflens.tui.model import Event, Second
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State

__all__ = ["VIEW", "event_cells", "event_columns", "is_wanted"]

_ORDERS = ("newest", "longest")
_HEIGHT = 4
_LABEL = 14

event_columns = (
    Column("when", 12),
    Column("PID", 7, align=">"),
    Column("process", 10, most=24),
    Column("took", 7, align=">"),
    Column("operation", 12, rank=1, most=16),
    Column("most of it", 20, rank=2, most=24),
    Column("file", 20, rank=3, most=160, tail=True),
    Column("owner", 16, rank=4, most=60, tail=True),
)


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return TIMELINE, EVENTS


def page(data: Data, state: State, size: Size) -> Page:
    """Return the timeline."""
    seconds, found = data.of(TIMELINE), data.of(EVENTS)
    shown = widths(event_columns, size.width)
    rows = [own for own in of_window(data, state.window) if is_wanted(own, state)]
    if state.order(_ORDERS) == "longest":
        rows.sort(key=lambda own: (-own.duration, own.id))
    titles = (header(event_columns, shown),)
    empty = "" if found is None else "no slow operation of this window is kept" + (", or matches the filter" if state.filter else "")
    return Page(
        _head((seconds or ())[-state.window :], state, size),
        titles,
        [own.id for own in rows],
        lambda at: row(event_columns, shown, event_cells(rows[at])),
        empty=empty,
    )


def _head(seconds: Sequence[Second], state: State, size: Size) -> tuple[Line, ...]:
    if not seconds:
        return (line(("waiting for the agent", "dim")),)
    width = max(min(size.width - _LABEL, state.window), 1)
    slow = resampled([own.slow.number for own in seconds], width)
    group = -(-len(seconds) // width) or 1
    title = line(
        ("Slow operations ", "bold"),
        f"of the last {units.span(state.window)}, {'a bar a second' if group == 1 else f'a bar for {group} s'}",
    )
    lines = [title]
    bars = columns(slow, _HEIGHT if size.height >= 16 else 1)
    for at, own in enumerate(bars):
        label = f"slow {units.count(max(slow, default=0))}" if at == 0 else ""
        lines.append(line((label.rjust(_LABEL - 1) + " ", "dim"), (own, "slow")))
    for name, style, values in (
        ("time", "bar", [own.slow.ns for own in seconds]),
        ("forks", "fork", [own.forks for own in seconds]),
        ("execs", "exec", [own.execs for own in seconds]),
    ):
        sums = resampled(values, width)
        most = max(sums, default=0)
        label = f"{name} {units.duration(most) if name == 'time' else units.count(most)}"
        lines.append(line((label.rjust(_LABEL - 1) + " ", "dim"), (columns(sums, 1)[0], style)))
    first, last = units.clock(seconds[0].time), units.clock(seconds[-1].time)
    lines.append(line((" " * _LABEL + first + last.rjust(max(len(slow) - len(first), len(last) + 1)), "dim")))
    return tuple(lines)


def is_wanted(own: Event, state: State) -> bool:
    """Whether an event matches the filter."""
    names = (own.process_name, own.comm, str(own.process.pid), own.owner, own.path, f"{own.probe} {own.operation}")
    return state.matches(*names, *own.devices, *(name for name, _ in own.parts))


def event_cells(own: Event) -> list[str | tuple[str, str]]:
    """Return an event as a row of ``event_columns``."""
    reason = f"{own.parts[0][0]} {units.share(own.parts[0][1], own.duration)}" if own.parts else ""
    return [
        (units.precise_clock(own.end), "dim"),
        str(own.process.pid),
        own.process_name or own.comm,
        (units.duration(own.duration), "slow"),
        f"{own.probe} {own.operation}",
        reason,
        own.path or " ".join(own.devices) or own.object,
        (own.owner, "dim"),
    ]


VIEW = View("timeline", "timeline", _asks, page, _ORDERS)
