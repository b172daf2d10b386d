"""A window that slides by panes: what is in a pane leaves with it, so nothing stays for ever and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Panes"]

P = TypeVar("P")


class Panes(Generic[P]):
    """Panes of ``width`` ns; the window is ``count`` of them and the one that is being filled. ``make`` gives an empty one."""

    def __init__(self, make: Callable[[], P], *, width: int, count: int) -> None:
        self._make, self._width, self._count = make, width, count
        self._panes: dict[int, P] = {}
        self._newest = 0

    def at(self, time: int) -> P | None:
        """Return the pane of a moment, made if need be; None when it has left the window."""
        number = time // self._width
        pane = self._panes.get(number)
        if pane is None and number >= self._newest - self._count:
            pane = self._panes[number] = self._make()
            self._newest = max(self._newest, number)
            self._drop(self._newest)
        return pane

    def within(self, now: int) -> list[P]:
        """Return the panes that are in the window at ``now``, the oldest first."""
        self._drop(now // self._width)
        return [self._panes[number] for number in sorted(self._panes)]

    def _drop(self, newest: int) -> None:
        for number in [number for number in self._panes if number < newest - self._count]:
            del self._panes[number]
