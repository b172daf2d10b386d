"""A line of the screen: spans of text, each with the name of its style. Values, so that what did not change is not drawn again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perflens.tui import text

__all__ = ["Column", "Line", "Span", "cells", "cut", "header", "line", "padded", "plain", "restyled", "row", "widths"]

Span = tuple[str, str]
"""Text that is safe, and the name of its style; empty for none."""

Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """Return a line of parts; a part that is only text has no style."""
    return tuple((part, "") if isinstance(part, str) else part for part in parts)


def plain(own: Line) -> str:
    """Return the text of a line."""
    return "".join(part for part, _ in own)


def cells(own: Line) -> int:
    """Return how many cells a line takes."""
    return sum(text.width(part) for part, _ in own)


def cut(own: Line, most: int) -> Line:
    """Return the line, cut at so many cells."""
    if cells(own) <= most:
        return own
    kept: list[Span] = []
    for part, style in own:
        room = most - sum(text.width(before) for before, _ in kept)
        if text.width(part) >= room:
            kept.append((text.fit(part, room), style))
            break
        kept.append((part, style))
    return tuple(kept)


def padded(own: Line, width: int, style: str = "") -> Line:
    """Return a line of exactly so many cells."""
    own = cut(own, width)
    missing = width - cells(own)
    return (*own, (" " * missing, style)) if missing else own


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its least width, and how wide it may become. ``rank`` 0 is always shown; the higher goes first."""

    title: str
    width: int
    most: int = 0
    rank: int = 0
    align: str = "<"
    tail: bool = False


def widths(columns: Iterable[Column], width: int) -> tuple[int, ...]:
    """Return the width of each column, 0 for those without room; what is left goes to those that may become wider."""
    own = tuple(columns)
    shown = [0] * len(own)
    left = width
    for at in sorted(range(len(own)), key=lambda at: (own[at].rank, at)):
        needed = own[at].width + (1 if any(shown) else 0)
        if own[at].rank and needed > left:
            break
        shown[at] = max(min(own[at].width, left - (1 if any(shown) else 0)), 0)
        left -= shown[at] + (1 if sum(map(bool, shown)) > 1 else 0)
    elastic = [at for at, column in enumerate(own) if shown[at] and column.most > column.width]
    for number, at in enumerate(elastic):
        more = min(left // (len(elastic) - number), own[at].most - own[at].width)
        shown[at] += max(more, 0)
        left -= max(more, 0)
    return tuple(shown)


def row(columns: Iterable[Column], shown: Iterable[int], values: Iterable[str | Span]) -> Line:
    """Return one row of a table; styles are those of the values."""
    spans: list[Span] = []
    for column, width, value in zip(columns, shown, values, strict=True):
        if not width:
            continue
        content, style = (value, "") if isinstance(value, str) else value
        if spans:
            spans.append((" ", ""))
        spans.append((text.fit_left(content, width) if column.tail else text.fit(content, width, column.align), style))
    return tuple(spans)


def restyled(own: Line, style: str) -> Line:
    """Return the line in one style."""
    return ((plain(own), style),)


def header(columns: Iterable[Column], shown: Iterable[int]) -> Line:
    """Return the titles of a table."""
    own = tuple(columns)
    return restyled(row([Column(one.title, one.width, align=one.align) for one in own], shown, [one.title for one in own]), "head")
