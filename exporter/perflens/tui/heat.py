"""A heat map of latencies: time to the right, duration upwards, and how many in shades that need no colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perflens.tui.lines import Line

__all__ = ["SHADES", "counted", "level", "octave", "rows"]

SHADES = " ░▒▓█"
_MILLISECOND = 1_000_000


def octave(ns: int) -> int:
    """Return the power of two of milliseconds at or below a duration: 3 is 8 ms and more; -1 is all below 1 ms."""
    return (ns // _MILLISECOND).bit_length() - 1


def counted(points: Iterable[tuple[float, int]], end: float, seconds: int, width: int) -> dict[tuple[int, int], int]:
    """Count (time, ns) of the last seconds before ``end`` by (column, octave)."""
    cells: dict[tuple[int, int], int] = {}
    for moment, ns in points:
        back = end - moment
        if 0 <= back < seconds:
            cell = (width - 1 - int(back * width / seconds), octave(ns))
            cells[cell] = cells.get(cell, 0) + 1
    return cells


def level(count: int, most: int) -> int:
    """Return a shade of 0 to 4: 0 for none only, 4 for the most only, by the logarithm between."""
    if not count:
        return 0
    return 4 if count >= most else max(min((count.bit_length() - 1) * 4 // max(most.bit_length() - 1, 1), 3), 1)


def rows(cells: dict[tuple[int, int], int], octaves: Sequence[int], width: int) -> list[Line]:
    """Return one line for each octave, as given; each cell twice marked, by its shade and by its style ``heat1`` to ``heat4``."""
    most = max(cells.values(), default=0)
    return [_row([level(cells.get((column, own), 0), most) for column in range(width)]) for own in octaves]


def _row(levels: Sequence[int]) -> Line:
    spans: list[tuple[str, str]] = []
    for own in levels:
        style = f"heat{own}" if own else ""
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + SHADES[own], style)
        else:
            spans.append((SHADES[own], style))
    return tuple(spans)
