"""Bars: a share of a width, and a series of numbers as columns of eighths."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bar", "columns", "resampled"]

_RIGHT = " ▏▎▍▌▋▊▉█"
_UP = " ▁▂▃▄▅▆▇█"


def bar(value: float, maximum: float, width: int) -> str:
    """Return a bar of exactly ``width`` cells; what is not 0 is seen."""
    if maximum <= 0 or value <= 0 or width <= 0:
        return " " * max(width, 0)
    eighths = max(round(min(value / maximum, 1.0) * width * 8), 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_RIGHT[rest] if rest else "")).ljust(width)


def resampled(values: Sequence[int], width: int) -> list[int]:
    """Return the last values as ``width`` numbers: sums of as many neighbours as are needed, the newest at the right."""
    if width <= 0:
        return []
    group = -(-len(values) // width) or 1
    first = len(values) % group
    sums = [sum(values[:first])] if first else []
    sums += [sum(values[at : at + group]) for at in range(first, len(values), group)]
    return sums


def columns(values: Sequence[int], height: int) -> list[str]:
    """Return ``height`` rows, the top first, with one column for each value; the greatest reaches the top, what is not 0 is seen."""
    maximum = max(values, default=0)
    if not maximum:
        return [" " * len(values)] * height
    eighths = [max(round(value / maximum * height * 8), 1) if value else 0 for value in values]
    return ["".join(_UP[min(max(own - 8 * level, 0), 8)] for own in eighths) for level in reversed(range(height))]
