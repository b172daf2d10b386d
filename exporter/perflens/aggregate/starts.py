"""Who starts processes, and which programs run that did not before, since somebody last asked."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Sequence

from perflens.model import ProcessEvent, ProcessKey

__all__ = ["Starts"]

_MOST = 4_096
_NEW_AT_ONCE = 64


class Starts:
    """Forks by the process that forked, bounded by ``limit``: the parents with fewest go first, and ``evicted`` counts their forks."""

    def __init__(self, limit: int = _MOST) -> None:
        self._limit = limit
        self._forks: Counter[ProcessKey] = Counter()
        self._programs: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._new: deque[tuple[int, str]] = deque(maxlen=_NEW_AT_ONCE)
        self.evicted = 0

    def add(self, events: Sequence[ProcessEvent]) -> None:
        """Count the forks among these events, and note programs that no process of their owner has run lately."""
        for event in events:
            if event.kind == "exec" and event.path:
                self._note((event.owner_id, event.path))
        self._forks.update(event.parent for event in events if event.kind == "fork")
        if len(self._forks) > self._limit:
            kept = Counter(dict(self._forks.most_common(self._limit // 2)))
            self.evicted += self._forks.total() - kept.total()
            self._forks = kept

    def _note(self, program: tuple[int, str]) -> None:
        if program in self._programs:
            self._programs.move_to_end(program)
            return
        self._programs[program] = None
        self._new.append(program)
        if len(self._programs) > self._limit:
            self._programs.popitem(last=False)

    def new_programs(self) -> list[tuple[int, str]]:
        """Return (owner's id, path) of the programs that are new since the last time, the latest 64 at most."""
        taken, self._new = list(self._new), deque(maxlen=_NEW_AT_ONCE)
        return taken

    def take(self) -> Counter[ProcessKey]:
        """Return the forks since the last time, by parent."""
        taken, self._forks = self._forks, Counter()
        return taken
