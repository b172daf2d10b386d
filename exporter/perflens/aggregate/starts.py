"""Who starts processes, and which programs were started, since somebody last asked."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from perflens.model import ProcessEvent, ProcessKey

__all__ = ["Started", "Starts"]

_MOST = 4_096
_AT_ONCE = 64
_AGAIN = 300_000_000_000  # ns


class Started(NamedTuple):
    """A program by the id of its owner and its path, and the process that ran it last."""

    owner_id: int
    path: str
    process: ProcessKey


class Starts:
    """Forks by the process that forked, bounded by ``limit``: the parents with fewest go first, and ``evicted`` counts their forks.

    Of programs that wait to be told the oldest go first; ``programs_evicted`` counts them.
    """

    def __init__(self, limit: int = _MOST) -> None:
        self._limit = limit
        self._forks: Counter[ProcessKey] = Counter()
        self._told: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._waiting: OrderedDict[tuple[int, str], Started] = OrderedDict()
        self.evicted = self.programs_evicted = 0

    def add(self, events: Sequence[ProcessEvent]) -> None:
        """Count the forks among these events, and note the programs."""
        for event in events:
            if event.kind == "exec" and event.path:
                self._note(Started(event.owner_id, event.path, event.process))
        self._forks.update(event.parent for event in events if event.kind == "fork")
        if len(self._forks) > self._limit:
            kept = Counter(dict(self._forks.most_common(self._limit // 2)))
            self.evicted += self._forks.total() - kept.total()
            self._forks = kept

    def _note(self, own: Started) -> None:
        self._waiting[own.owner_id, own.path] = own
        if len(self._waiting) > self._limit:
            self._waiting.popitem(last=False)
            self.programs_evicted += 1

    def programs(self, now: int) -> list[Started]:
        """Return the programs that were started since they were last told, each at most every five minutes, 64 of them at once.

        The others wait: whoever asks wants to look at the file of each. ``now`` is in ns, of any steady clock.
        """
        due = [key for key in self._waiting if key not in self._told or now - self._told[key] >= _AGAIN][:_AT_ONCE]
        for key in due:
            self._told[key] = now
            self._told.move_to_end(key)
        while len(self._told) > self._limit:
            self._told.popitem(last=False)
        return [self._waiting.pop(key) for key in due]

    def take(self) -> Counter[ProcessKey]:
        """Return the forks since the last time, by parent."""
        taken, self._forks = self._forks, Counter()
        return taken
