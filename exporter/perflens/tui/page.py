"""What a view shows: lines that stay at the top, and rows that scroll, of which one may be selected."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from perflens.tui.asks import Ask, Data
from perflens.tui.lines import Line
from perflens.tui.state import State

__all__ = ["Page", "Size", "View", "of_lines"]


@dataclass(frozen=True, slots=True)
class Size:
    """Cells of the part of the screen that a view has."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Page:
    """``keys`` identify the rows, ``row`` draws one of them; ``titles`` stand above them. ``empty`` says why there are none."""

    head: tuple[Line, ...] = ()
    titles: tuple[Line, ...] = ()
    keys: Sequence[Hashable] = ()
    row: Callable[[int], Line] = lambda _: ()
    selectable: bool = True
    empty: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """A view: what it asks for and how it is shown, both of values alone; ``orders`` are the ways to sort it."""

    name: str
    title: str
    asks: Callable[[State], tuple[Ask[Any], ...]]
    page: Callable[[Data, State, Size], Page]
    orders: tuple[str, ...] = ("",)


def of_lines(lines: Sequence[Line]) -> Page:
    """Return a page that only scrolls."""
    return Page(keys=range(len(lines)), row=lines.__getitem__, selectable=False)
