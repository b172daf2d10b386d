"""The dashboard: totals, by type, the latest analysis, the slowest processes."""

from __future__ import annotations

from typing import Any

from perflens.tui import units
from perflens.tui.asks import ANALYSES, INCIDENTS, PROCESSES, SUMMARY, TIMELINE, Ask, Data, agent_now
from perflens.tui.bars import bar
from perflens.tui.diagnoses import Diagnosis
from perflens.tui.lines import Column, Line, header, line, row, widths
from perflens.tui.model import SlowProcess, Summary
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State
from perflens.tui.text import wrap

__all__ = ["VIEW"]

_ORDERS = ("longest", "total", "count", "name")
_COLUMNS = (
    Column("PID", 7, align=">"),
    Column("process", 12, most=32),
    Column("longest", 7, align=">"),
    Column("operation", 12, rank=1, most=16),
    Column("total", 7, rank=2, align=">"),
    Column("count", 6, rank=2, align=">"),
    Column("when", 8, rank=3),
    Column("owner", 16, rank=4, most=60, tail=True),
    Column("file", 20, rank=5, most=160, tail=True),
)
_MOST_KINDS = 8


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return SUMMARY, PROCESSES, INCIDENTS, ANALYSES, TIMELINE  # which tells the time there


def page(data: Data, state: State, size: Size) -> Page:
    """Return the dashboard."""
    summary, found = data.of(SUMMARY), data.of(PROCESSES)
    head = _head(summary, size) if summary else (line(("waiting for the agent", "dim")),)
    head += _latest((data.of(INCIDENTS) or ()) + (data.of(ANALYSES) or ()), agent_now(data), size)
    shown = widths(_COLUMNS, size.width)
    rows = _sorted([own for own in found or () if _is_wanted(own, state)], state.order(_ORDERS))
    titles = (line(("Slowest processes", "bold")), header(_COLUMNS, shown))
    empty = "" if found is None else "no process matches the filter" if found else "nothing was slow in this window"
    return Page(head, titles, [own.process for own in rows], lambda at: row(_COLUMNS, shown, _cells(rows[at])), empty=empty)


def _head(own: Summary, size: Size) -> tuple[Line, ...]:
    totals = line(
        ("Slow operations ", "bold"),
        (units.count(own.slow.number), "slow"),
        f" in {units.span(own.window)}, {units.duration(own.slow.ns)} in all",
        f", {units.count(own.slow.suppressed)} suppressed" if own.slow.suppressed else "",
    )
    rest = line(
        f"{units.count(own.processes)} processes, {units.count(own.slow_processes)} were slow  ",
        (f"{own.in_progress} stuck now", "bad" if own.in_progress else ""),
        f"  {units.count(own.forks)} forks  {units.count(own.execs)} execs",
    )
    return (*_problems(own, size.width), totals, rest, *_kinds(own, size), line())


def _problems(own: Summary, width: int) -> tuple[Line, ...]:
    return tuple(
        line((text, "bad"))
        for probe in own.probes
        if not probe.attached
        for text in wrap(f"! probe {probe.name} is not attached: {probe.reason}{'; ' if probe.cure else ''}{probe.cure}", width, 2)
    )


def _kinds(own: Summary, size: Size) -> tuple[Line, ...]:
    kinds = sorted(own.operations, key=lambda kind: (-kind.slow.ns, kind.name))
    most = max((kind.slow.ns for kind in kinds), default=0)
    return tuple(
        line(
            f"  {kind.name:<14} {units.count(kind.slow.number):>6} {units.duration(kind.slow.ns):>7} ",
            (bar(kind.slow.ns, most, max(min(size.width - 34, 60), 0)), "bar"),
        )
        for kind in kinds[: max(min(size.height // 4, _MOST_KINDS), 1)]
    )


def _latest(found: tuple[Diagnosis, ...], now: float, size: Size) -> tuple[Line, ...]:
    """The newest incident that is open, else the newest of all; at a time with nothing to say, that."""
    if not found:
        return (line(("Latest analysis ", "bold"), ("nothing was found yet", "dim")), line())
    own = max(found, key=lambda one: (one.state == "open", one.updated))
    style = "bad" if own.state == "open" else "dim"
    title = line(
        ("Latest analysis ", "bold"),
        (f"{units.clock(own.updated)} ", "dim"),
        (f"{own.state} ", style),
        f"{own.severity} " if own.severity else "",
        (f"{own.cause} ", "cause"),
        own.subject,
        (f"  ({units.duration(int(max(now - own.updated, 0) * 1e9))} ago)", "dim"),
    )
    return (title, *(line(f"  {text}") for text in wrap(own.summary, size.width - 2, max(min(size.height // 10, 3), 1))), line())


def _is_wanted(own: SlowProcess, state: State) -> bool:
    slowest = own.slowest
    more = (slowest.owner, slowest.path, f"{slowest.probe} {slowest.operation}") if slowest else ()
    return state.matches(own.comm, str(own.process.pid), *more)


def _sorted(rows: list[SlowProcess], order: str) -> list[SlowProcess]:
    if order == "name":
        return sorted(rows, key=lambda own: (own.comm, own.process))
    value = {"longest": "maximum", "total": "total", "count": "number"}[order]
    return sorted(rows, key=lambda own: (-getattr(own, value), own.process))


def _cells(own: SlowProcess) -> list[str | tuple[str, str]]:
    slowest = own.slowest
    return [
        str(own.process.pid),
        own.comm,
        (units.duration(own.maximum), "slow"),
        f"{slowest.probe} {slowest.operation}" if slowest else "",
        units.duration(own.total),
        units.count(own.number),
        (units.clock(own.end), "dim"),
        (slowest.owner if slowest else "", "dim"),
        slowest.path if slowest else "",
    ]


VIEW = View("dashboard", "dashboard", _asks, page, _ORDERS)
