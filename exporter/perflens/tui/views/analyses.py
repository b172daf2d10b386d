"""The history of what the analyzer found: incidents, then windows, the newest first."""

from __future__ import annotations

from typing import Any

from perflens.tui import units
from perflens.tui.asks import ANALYSES, INCIDENTS, Ask, Data
from perflens.tui.diagnoses import Diagnosis
from perflens.tui.lines import Column, header, line, row, widths
from perflens.tui.page import Page, Size, View
from perflens.tui.state import State

__all__ = ["VIEW"]

_COLUMNS = (
    Column("when", 8),
    Column("state", 8),
    Column("severity", 8, rank=3),
    Column("cause", 18, most=28),
    Column("subject", 16, rank=1, most=48),
    Column("summary", 24, rank=2, most=240),
)
_STYLES = {"open": "bad", "resolved": "good", "window": "dim"}


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return INCIDENTS, ANALYSES


def page(data: Data, state: State, size: Size) -> Page:
    """Return the history."""
    incidents, windows = data.of(INCIDENTS), data.of(ANALYSES)
    found = [*(incidents or ()), *(windows or ())]
    rows = [own for own in found if state.matches(own.id, own.state, own.severity, own.cause, own.subject, own.summary)]
    shown = widths(_COLUMNS, size.width)
    title = line(
        ("Incidents ", "bold"), f"{len(incidents or ())}", ("  and windows in which something was slow ", "bold"), f"{len(windows or ())}"
    )
    waiting = incidents is None or windows is None
    empty = "" if waiting else "nothing matches the filter" if found else "nothing was found yet"
    return Page(
        (title, line(("Enter shows the evidence", "dim"))),
        (header(_COLUMNS, shown),),
        [own.id for own in rows],
        lambda at: row(_COLUMNS, shown, _cells(rows[at])),
        empty=empty,
    )


def _cells(own: Diagnosis) -> list[str | tuple[str, str]]:
    state: tuple[str, str] = (own.state, _STYLES.get(own.state, ""))
    return [(units.clock(own.updated), "dim"), state, own.severity, (own.cause, "cause"), own.subject, own.summary]


VIEW = View("analyses", "analyses", _asks, page)
