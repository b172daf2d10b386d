"""The series of one metric: one row each, a cap with an `other` series, and expiry of those whose owner is gone."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from perflens.aggregate.rows import Rows
from perflens.model import SeriesKey

__all__ = ["SeriesTable", "Tally"]


@dataclass(slots=True)
class _Series:
    row: int
    created: float
    cells: int = 0  # bound to it
    idle_since: float | None = None  # when the last of them was given back


class Tally(NamedTuple):
    """Of one part: its series, the cells that were bound to an `other` series for want of room, and the series that were removed."""

    series: int
    dropped: int
    expired: int


class SeriesTable:
    """Series by key. ``fold`` turns a key into that of its `other` series, which has no cap and never expires.

    A named series is made while there are fewer than ``limit`` of its part. ``version`` changes whenever series come or go. ``clock``
    tells since when a series that is made now can have counted, in s since the epoch.
    """

    def __init__(self, width: int, limit: int, fold: Callable[[SeriesKey], SeriesKey], clock: Callable[[], float] = time.time) -> None:
        self.rows = Rows(width)
        self._clock = clock
        self.version = 0
        self._limit, self._fold = limit, fold
        self._series: dict[SeriesKey, _Series] = {}
        self._retired = [0] * width
        self._named, self._dropped, self._expired, self._retired_operations = (Counter[int]() for _ in range(4))  # by part

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

    @property
    def dropped(self) -> int:
        """Return how many cells were bound to an `other` series because there were ``limit`` series of their part."""
        return self._dropped.total()

    @property
    def expired(self) -> int:
        """Return how many series were removed."""
        return self._expired.total()

    def tally(self, part: int = 0) -> Tally:
        """Return how many series of a part there are, and what became of others."""
        return Tally(sum(key.part == part for key in self._series), self._dropped[part], self._expired[part])

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
            if key != other and self._named[key.part] >= self._limit:
                self._dropped[key.part] += 1
                return self.bind(other)
            series = self._series[key] = _Series(self.rows.take(), self._clock())
            self._named[key.part] += key != other
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
            self._named[key.part] -= 1
            self._expired[key.part] += 1
            self._retired_operations[key.part] += self.rows.count(row)
            self._retired = [sum(pair) for pair in zip(self._retired, self.rows.values(row), strict=True)]
            self.rows.give(row)
        self.version += bool(old)
        return len(old)

    def counts(self, part: int = 0) -> tuple[int, int]:
        """Return the operations counted since the start in (named, other) series of a part, those that expired included."""
        named, other = self._retired_operations[part], 0
        for key, series in self._series.items():
            if key.part == part:
                count = self.rows.count(series.row)
                if key == self._fold(key):
                    other += count
                else:
                    named += count
        return named, other

    def total(self, column: int) -> int:
        """Return the sum of a column over all series, those that expired included."""
        return self.rows.total(column) + self._retired[column]

    def items(self) -> Iterator[tuple[SeriesKey, int]]:
        """Yield (key, first counter) of each series."""
        return ((key, self.rows.count(series.row)) for key, series in self._series.items())
