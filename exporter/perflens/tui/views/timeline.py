"""The timeline: a bar for each second, and below them one list of slow operations, forks and execs, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from perflens.tui import units
from perflens.tui.asks import EVENTS, STARTS, TIMELINE, Ask, Data, of_window
from perflens.tui.bars import columns, resampled
from perflens.tui.lines import Column, Line, header, line, row, widths
from perflens.tui.model import Event, Second, Start
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State

__all__ = ["VIEW", "event_cells", "event_columns", "is_wanted"]

_ORDERS = ("newest", "longest", "newest slow")
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
    return TIMELINE, EVENTS, STARTS


def page(data: Data, state: State, size: Size) -> Page:
    """Return the timeline."""
    seconds = (data.of(TIMELINE) or ())[-state.window :]
    shown = widths(event_columns, size.width)
    starts = of_window(data, STARTS, state.window)
    rows = _rows(of_window(data, EVENTS, state.window), starts, state)
    none = "no slow operation, fork or exec of this window is kept" + (", or matches the filter" if state.filter else "")
    return Page(
        (*_head(seconds, state, size), *_left_out(seconds, len(starts), state)),
        (header(event_columns, shown),),
        [own if isinstance(own, Start) else own.id for own in rows],
        lambda at: row(event_columns, shown, _cells(rows[at])),
        empty="" if data.of(EVENTS) is None else none,
    )


def _rows(events: Sequence[Event], starts: Sequence[Start], state: State) -> list[Event | Start]:
    """One list; sorted by what took longest, forks and execs, which take no time, come last."""
    slow, others = [own for own in events if is_wanted(own, state)], [own for own in starts if _is_wanted(own, state)]
    match state.order(_ORDERS):
        case "longest":
            return [*sorted(slow, key=lambda own: (-own.duration, own.id)), *others]
        case "newest slow":
            return [*slow]
    return sorted((*slow, *others), key=lambda own: -own.end)


def _left_out(seconds: Sequence[Second], listed: int, state: State) -> tuple[Line, ...]:
    """Of how many forks and execs the list has only the newest: on a busy host the agent counts more than it keeps."""
    known = sum(own.forks + own.execs for own in seconds[:-2])  # of the last ones the answers are not of the same moment
    if listed >= known or state.order(_ORDERS) == "newest slow":
        return ()
    return (line((f"of {units.count(known)} forks and execs {units.count(listed)} are listed", "dim")),)


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


def _is_wanted(own: Start, state: State) -> bool:
    return state.matches(own.comm, str(own.process.pid), own.owner, own.path, f"process {own.kind}")


def _cells(own: Event | Start) -> list[str | tuple[str, str]]:
    if isinstance(own, Event):
        return event_cells(own)
    return [
        (units.precise_clock(own.time), "dim"),
        str(own.process.pid),
        own.comm,
        "",
        (f"process {own.kind}", "exec" if own.kind == "exec" else "fork"),
        f"by {own.parent}" if own.parent else "",
        own.path,
        (own.owner, "dim"),
    ]


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
