"""The last five minutes, second by second: slow operations, what was suppressed, and processes that came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Bucket", "Slow", "Timeline"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Slow:
    """Slow operations: how many, the ns they took, and how many of them sent no event because there were too many."""

    count: int = 0
    ns: int = 0
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened in ``second`` of CLOCK_MONOTONIC; ``operations`` are by probe and operation, and sum to ``slow``."""

    second: int
    slow: Slow
    forks: int
    execs: int
    operations: Mapping[tuple[str, str], Slow]


class _Counts:
    __slots__ = ("execs", "forks", "operations", "second")

    def __init__(self) -> None:
        self.clear(-1)

    def clear(self, second: int) -> None:
        self.second, self.forks, self.execs = second, 0, 0
        self.operations: dict[tuple[str, str], list[int]] = {}


class Timeline:
    """One bucket a second. ``clock`` gives ns of CLOCK_MONOTONIC.

    ``late`` counts the operations and processes that were told after their second had left the window.
    """

    def __init__(self, clock: Callable[[], int], seconds: int = 300) -> None:
        self._clock = clock
        self._ring = [_Counts() for _ in range(seconds)]
        self.late = 0

    @property
    def seconds(self) -> int:
        """How many seconds it reaches back, this one included."""
        return len(self._ring)

    def add_slow(self, second: int, probe: str, operation: str, count: int, ns: int) -> None:
        """Add slow operations that ended in this second."""
        counts = self._at(second, count)
        if counts:
            row = counts.operations.setdefault((probe, operation), [0, 0, 0])
            row[0] += count
            row[1] += ns

    def add_suppressed(self, second: int, probe: str, operation: str, count: int) -> None:
        """Add slow operations of which no event came; ``add_slow`` has them too."""
        counts = self._at(second, count)
        if counts:
            counts.operations.setdefault((probe, operation), [0, 0, 0])[2] += count

    def add_processes(self, second: int, forks: int, execs: int) -> None:
        """Add processes that began and programs that were started."""
        counts = self._at(second, forks + execs)
        if counts:
            counts.forks += forks
            counts.execs += execs

    def buckets(self, seconds: int | None = None) -> tuple[Bucket, ...]:
        """Return the last seconds, the oldest first and this one last; where nothing happened a bucket is of zeros."""
        now = self._clock() // _SECOND
        return tuple(self._bucket(second) for second in range(now + 1 - min(seconds or self.seconds, self.seconds), now + 1))

    def window(self) -> Bucket:
        """Return the sum of all seconds, as if they were this one."""
        now = self._clock() // _SECOND
        forks = execs = 0
        sums: dict[tuple[str, str], list[int]] = {}
        for counts in self._ring:
            if now - len(self._ring) < counts.second <= now:
                forks, execs = forks + counts.forks, execs + counts.execs
                for name, row in counts.operations.items():
                    own = sums.setdefault(name, [0, 0, 0])
                    for at, value in enumerate(row):
                        own[at] += value
        return _bucket_of(now, sums, forks, execs)

    def _at(self, second: int, weight: int) -> _Counts | None:
        now = self._clock() // _SECOND
        second = min(second, now)  # a second to come would take the place of one that is still shown
        if second <= now - len(self._ring):
            self.late += weight
            return None
        counts = self._ring[second % len(self._ring)]
        if counts.second != second:
            counts.clear(second)
        return counts

    def _bucket(self, second: int) -> Bucket:
        counts = self._ring[second % len(self._ring)]
        if counts.second != second:
            return Bucket(second, Slow(), 0, 0, {})
        return _bucket_of(second, counts.operations, counts.forks, counts.execs)


def _bucket_of(second: int, rows: Mapping[tuple[str, str], list[int]], forks: int, execs: int) -> Bucket:
    operations = {name: Slow(*row) for name, row in rows.items()}
    whole = Slow(*(sum(column) for column in zip(*rows.values(), strict=True)))
    return Bucket(second, whole, forks, execs, operations)
