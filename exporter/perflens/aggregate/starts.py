"""Who started processes of late, and which programs were started since somebody last asked."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

from perflens.model import ProcessEvent, ProcessKey

__all__ = ["Forks", "Started", "Starts"]

_MOST = 4_096
_AT_ONCE = 64
_AGAIN, _LATELY = 300_000_000_000, 9_000_000_000  # ns


class Started(NamedTuple):
    """A program by the id of its owner and its path, and the process that ran it last."""

    owner_id: int
    path: str
    process: ProcessKey


class Forks(NamedTuple):
    """How many there were in how many ns, and by whom: those of parents that had to go are in the number alone."""

    ns: int
    number: int
    parents: Counter[ProcessKey]


class Starts:
    """Forks by the process that forked, bounded by ``limit``: the parents with fewest go first, and ``evicted`` counts their forks.

    Of programs that wait to be told the oldest go first; ``programs_evicted`` counts them.
    """

    def __init__(self, began: int, limit: int = _MOST) -> None:
        self._limit = limit
        self._forks: Counter[ProcessKey] = Counter()
        self._number, self._began = 0, began
        self._spans: deque[Forks] = deque()
        self._told: OrderedDict[tuple[int, str], int] = OrderedDict()
        self._waiting: OrderedDict[tuple[int, str], Started] = OrderedDict()
        self.evicted = self.programs_evicted = 0

    def add(self, events: Sequence[ProcessEvent]) -> None:
        """Count the forks among these events, and note the programs."""
        for event in events:
            if event.kind == "exec" and event.path:
                self._note(Started(event.owner_id, event.path, event.process))
        forks = [event.parent for event in events if event.kind == "fork"]
        self._number += len(forks)
        self._forks.update(forks)
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

    def lately(self, now: int) -> Forks:
        """Return the forks of the last 9 s and what more is since somebody asked before then; ``now`` is of the clock of ``began``.

        Who asks twice in a moment is told a rate all the same.
        """
        self._spans.append(Forks(now - self._began, self._number, self._forks))
        self._began, self._number, self._forks = now, 0, Counter()
        while sum(own.ns for own in self._spans) - self._spans[0].ns >= _LATELY:
            self._spans.popleft()
        parents: Counter[ProcessKey] = Counter()
        for own in self._spans:
            parents.update(own.parents)
        return Forks(max(sum(own.ns for own in self._spans), 1), sum(own.number for own in self._spans), parents)
