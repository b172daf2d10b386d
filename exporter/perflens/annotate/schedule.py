"""Which row is written next, and when: an open one once a minute at most, and none again before the others had their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from perflens.annotate.rows import Row, digest

__all__ = ["Schedule", "soonest"]

_BETWEEN = 60.0


class Schedule:
    """``now`` is a monotonic clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tried: dict[str, int] = {}
        self._written: dict[str, float] = {}
        self._turns = 0

    def next(self, rows: Sequence[Row]) -> tuple[Row | None, float | None]:
        """Return the row that is due, or else in how many seconds one will be, None when nothing is pending."""
        pending = [row for row in rows if row.is_pending]
        waits = {row.key: self._wait(row) for row in pending}
        due = [row for row in pending if waits[row.key] <= 0]
        if due:
            return min(due, key=lambda row: (self._tried.get(row.key, 0), row.wanted.time)), None
        return None, soonest(waits.values())

    def tried(self, row: Row) -> None:
        """Note an attempt."""
        self._turns += 1
        self._tried[row.key] = self._turns

    def wrote(self, row: Row) -> None:
        """Note that Grafana has taken a row."""
        self._written[row.key] = self._now()

    def forget(self, rows: Iterable[Row]) -> None:
        """Forget all but these rows."""
        known = {row.key for row in rows}
        for noted in (self._tried, self._written):
            for key in noted.keys() - known:
                del noted[key]

    def _wait(self, row: Row) -> float:
        is_final = not row.is_open and row.sent.tags != digest(*row.wanted.tags)
        if is_final or row.key not in self._written:
            return 0.0
        return self._written[row.key] + _BETWEEN - self._now()


def soonest(waits: Iterable[float | None]) -> float | None:
    """Return the shortest of some waits in seconds; None, which is for ever, when there is none."""
    return min((wait for wait in waits if wait is not None), default=None)
