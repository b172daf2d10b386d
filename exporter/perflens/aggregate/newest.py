"""The newest processes that began and programs that were started, one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, islice

from perflens.model import ProcessEvent

__all__ = ["NewestStarts"]

_MOST = 1_000
_WINDOW = 300_000_000_000


class NewestStarts:
    """The last ``limit`` forks and execs of the last five minutes; ``evicted`` counts those that had to go before their time.

    ``clock`` gives ns of CLOCK_MONOTONIC.
    """

    def __init__(self, clock: Callable[[], int], limit: int = _MOST) -> None:
        self._clock = clock
        self._kept: deque[ProcessEvent] = deque(maxlen=limit)
        self._limit = limit
        self.evicted = 0

    def add(self, events: Sequence[ProcessEvent]) -> None:
        """Take in the forks and execs of a batch."""
        fresh = [event for event in events if event.kind != "exit"]
        over = len(self._kept) + len(fresh) - self._limit
        if over > 0:
            expired = self._clock() - _WINDOW
            self.evicted += sum(event.time > expired for event in islice(chain(self._kept, fresh), over))
        self._kept.extend(fresh)

    def newest(self, limit: int, since: int = 0) -> list[ProcessEvent]:
        """Return at most ``limit`` of the window that happened at ``since`` or later (ns of CLOCK_MONOTONIC), the newest first."""
        first = max(since, self._clock() - _WINDOW)
        found = sorted((event for event in self._kept if event.time >= first), key=lambda event: event.time, reverse=True)
        return found[:limit]
