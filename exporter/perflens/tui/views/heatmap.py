"""The heat map of latencies: slow operations by time and duration."""

from __future__ import annotations

from typing import Any

from perflens.tui import heat, units
from perflens.tui.asks import EVENTS, TIMELINE, Ask, Data, agent_now, of_window
from perflens.tui.lines import Line, line
from perflens.tui.page import Page, Size, View, of_lines
from perflens.tui.state import State
from perflens.tui.views.timeline import is_wanted

__all__ = ["VIEW"]

_LABEL = 10
_MILLISECOND = 1_000_000
_AROUND = 5  # lines beside the map


def _asks(_: State) -> tuple[Ask[Any], ...]:
    return EVENTS, TIMELINE


def page(data: Data, state: State, size: Size) -> Page:
    """Return the map."""
    found = data.of(EVENTS)
    if found is None:
        return of_lines([line(("waiting for the agent", "dim"))])
    events = [own for own in of_window(data, EVENTS, state.window) if is_wanted(own, state)]
    title = line(
        ("Latency of slow operations ", "bold"),
        (f"of the last {units.span(state.window)}: {units.count(len(events))} that were explained", "dim"),
    )
    end, width = int(agent_now(data)) + 1, max(min(size.width - _LABEL - 1, state.window * 2), 1)
    counts = heat.counted(((own.end, own.duration) for own in events), end, state.window, width)
    if not counts:
        return of_lines([title, line(), line(("nothing to show in this window", "dim"))])
    return of_lines([title, line(), *_map(counts, width, size.height), _axis(end, state.window, width), _legend()])


def _map(counts: dict[tuple[int, int], int], width: int, height: int) -> list[Line]:
    lowest, highest = min(octave for _, octave in counts), max(octave for _, octave in counts)
    octaves = range(highest, max(lowest, highest - max(height - _AROUND, 1) + 1) - 1, -1)
    drawn = heat.rows(counts, octaves, width)
    return [line((f"{_label(own):>{_LABEL - 1}} ", "dim"), *cells) for own, cells in zip(octaves, drawn, strict=True)]


def _axis(end: int, window: int, width: int) -> Line:
    first, last = units.clock(end - window), units.clock(end)
    return line((" " * _LABEL + first + last.rjust(max(width - len(first), len(last) + 1)), "dim"))


def _label(octave: int) -> str:
    return "< 1 ms" if octave < 0 else f"≥ {units.duration(_MILLISECOND << octave)}"


def _legend() -> Line:
    shades = [(f" {shade}{shade}", f"heat{level}") for level, shade in enumerate(heat.SHADES) if level]
    return line((" " * _LABEL + "few", "dim"), *shades, (" many", "dim"))


VIEW = View("heatmap", "heat map", _asks, page)
