"""The series of one metric: one row each, a cap with an `other` series, and expiry of those whose owner is gone."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from perflens.aggregate.rows import Rows
from perflens.model import SeriesKey

__all__ = ["SeriesTable"]


@dataclass(slots=True)
class _Series:
    row: int
    created: float
    cells: int = 0  # bound to it
    idle_since: float | None = None  # when the last of them was given back


class SeriesTable:
    """Series by key. ``fold`` turns a key into that of its `other` series, which has no cap and never expires.

    ``dropped`` counts the cells that were bound to an `other` series because the metric had ``limit`` series,
    ``expired`` the series that were removed. ``version`` changes whenever series come or go. ``clock`` tells since when a series
    that is made now can have counted, in s since the epoch.
    """

    def __init__(self, width: int, limit: int, fold: Callable[[SeriesKey], SeriesKey], clock: Callable[[], float] = time.time) -> None:
        self.rows = Rows(width)
        self._clock = clock
        self.dropped = self.expired = self.version = 0
        self._limit, self._fold = limit, fold
        self._series: dict[SeriesKey, _Series] = {}
        self._named = 0
        self._retired = [0] * width

    @property
    def width(self) -> int:
        """Return the length of a row."""
        return self.rows.width

    @property
    def data(self) -> array[int]:
        """Return the counters of every row, one after the other."""
        return self.rows.data

    def __len__(self) -> int:
        return len(self._series)

    def __iter__(self) -> Iterator[tuple[SeriesKey, int]]:
        """Yield (key, row) of each series."""
        return ((key, series.row) for key, series in self._series.items())

    def __contains__(self, key: object) -> bool:
        return key in self._series

    def created(self, key: SeriesKey) -> float:
        """Return since when a series counts, in s since the epoch."""
        return self._series[key].created

    def bind(self, key: SeriesKey) -> SeriesKey:
        """Count one more cell for the series of ``key``, made if need be; return the key that it was bound to."""
        series = self._series.get(key)
        if series is None:
            other = self._fold(key)
            if key != other and self._named >= self._limit:
                self.dropped += 1
                return self.bind(other)
            series = self._series[key] = _Series(self.rows.take(), self._clock())
            self._named += key != other
            self.version += 1
        series.cells += 1
        series.idle_since = None
        return key

    def row(self, key: SeriesKey) -> int:
        """Return the row of a series."""
        return self._series[key].row

    def unbind(self, key: SeriesKey, now: float) -> None:
        """Count one cell less."""
        series = self._series[key]
        series.cells -= 1
        if not series.cells:
            series.idle_since = now

    def expire(self, before: float) -> int:
        """Remove the series without a cell since ``before``; return how many."""
        old = [
            key
            for key, series in self._series.items()
            if series.idle_since is not None and series.idle_since < before and key != self._fold(key)
        ]
        for key in old:
            row = self._series.pop(key).row
            self._retired = [sum(pair) for pair in zip(self._retired, self.rows.values(row), strict=True)]
            self.rows.give(row)
        self._named -= len(old)
        self.expired += len(old)
        self.version += bool(old)
        return len(old)

    def counts(self) -> tuple[int, int]:
        """Return the operations counted since the start in (named, other) series, those that expired included."""
        other = sum(self.rows.count(series.row) for key, series in self._series.items() if key == self._fold(key))
        return self.total(0) - other, other

    def total(self, column: int) -> int:
        """Return the sum of a column over all series, those that expired included."""
        return self.rows.total(column) + self._retired[column]

    def items(self) -> Iterator[tuple[SeriesKey, int]]:
        """Yield (key, first counter) of each series."""
        return ((key, self.rows.count(series.row)) for key, series in self._series.items())
