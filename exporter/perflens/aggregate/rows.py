"""A table of 64-bit counters in one block of memory, which the native loops add to."""

from __future__ import annotations

from array import array

__all__ = ["Rows"]

_GROWTH = 64


class Rows:
    """Rows of ``width`` counters; ``data`` is what the native loops get."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.data = array("Q")
        self._free: list[int] = []

    def take(self) -> int:
        """Return the index of a row of zeros."""
        if not self._free:
            first = len(self.data) // self.width
            self.data.extend(array("Q", bytes(8 * self.width * _GROWTH)))
            self._free.extend(range(first + _GROWTH - 1, first - 1, -1))
        return self._free.pop()

    def give(self, row: int) -> None:
        """Clear a row and keep it for the next one that asks."""
        self.data[row * self.width : (row + 1) * self.width] = array("Q", bytes(8 * self.width))
        self._free.append(row)

    def count(self, row: int) -> int:
        """Return the first counter of a row."""
        return self.data[row * self.width]

    def head(self, row: int) -> tuple[int, int]:
        """Return the first two counters of a row."""
        at = row * self.width
        return self.data[at], self.data[at + 1]

    def values(self, row: int) -> array[int]:
        """Return the counters of a row."""
        return self.data[row * self.width : (row + 1) * self.width]

    def total(self, column: int = 0) -> int:
        """Return the sum of a column of all rows."""
        return sum(self.data[column :: self.width])
