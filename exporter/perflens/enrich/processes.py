"""The processes of the host: who began whom, what they run, and those that ended within the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from sys import intern

from perflens.enrich.procfs import TICK, Procfs
from perflens.model import ProcessEvent, ProcessKey, SlowEvent

__all__ = ["Node", "Process", "Processes"]

_WINDOW = 300_000_000_000
_DEPTH = 64
_CHECKED_AT_ONCE = 50
_SETTLED = 2_000_000_000  # procfs and the events agree after so long


@dataclass(frozen=True, slots=True)
class Process:
    """A process. ``parent`` has a start of 0 when it is known by its PID alone, ``path`` is that of its program.

    ``owner_id`` is 0 until an event told it. ``ended`` is in ns of CLOCK_MONOTONIC, 0 while it lives.
    """

    key: ProcessKey
    parent: ProcessKey
    comm: str
    path: str
    owner_id: int
    ended: int


@dataclass(frozen=True, slots=True)
class Node:
    """A process in the tree, ``depth`` below its root; ``weight`` is its own and that of all below it."""

    process: Process
    depth: int
    weight: int


class _Entry:
    """``index`` is where the table has it; ``key`` is exact as soon as an event told it. ``told`` is the time of the newest event."""

    __slots__ = ("comm", "ended", "index", "key", "owner_id", "parent", "path", "seeded", "told")

    def __init__(self, key: ProcessKey, parent: ProcessKey, comm: str, path: str, owner_id: int, told: int, *, seeded: bool) -> None:
        self.index = self.key = key
        self.parent, self.comm, self.path, self.owner_id, self.told, self.seeded = parent, comm, path, owner_id, told, seeded
        self.ended = 0


class Processes:
    """A bounded table of processes. ``procfs`` shows every process of the host; ``Procfs("")`` shows none.

    ``evicted`` counts those that had to go before their time, ``lost`` those whose end no event told. Events may come out of order.
    """

    def __init__(self, procfs: Procfs, clock: Callable[[], int], *, limit: int = 8_192) -> None:
        self._procfs, self._clock, self._limit = procfs, clock, limit
        self._table: dict[ProcessKey, _Entry] = {}
        self._by_pid: dict[int, _Entry] = {}
        self._dead: deque[_Entry] = deque()
        self._to_check: deque[ProcessKey] = deque()
        self.evicted = self.lost = 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def living(self) -> int:
        """How many have not ended."""
        return len(self._table) - len(self._dead)

    def seed(self, owner_of: Callable[[int], int] = lambda _: 0) -> None:
        """Take in what runs already; once, after the events have begun to flow, so that nothing is missed between.

        ``owner_of`` gives the owner's id by PID.
        """
        found = {stat.pid: stat for stat in self._procfs.processes()}
        now = self._clock()
        for stat in found.values():
            key = ProcessKey(stat.pid, stat.start)
            if self._find(key) is None and stat.pid not in self._by_pid:
                parent = found.get(stat.parent)
                parent_key = ProcessKey(stat.parent, parent.start if parent else 0)
                owner_id, path = owner_of(stat.pid), self._procfs.program(stat.pid)
                self._insert(_Entry(key, parent_key, stat.comm, path, owner_id, now - _SETTLED, seeded=True))

    def apply(self, events: Iterable[ProcessEvent]) -> None:
        """Take in a batch of events."""
        for event in events:
            if event.process[0] == event.parent[0]:  # a thread
                continue
            entry = self._find(event.process)
            if entry is None:
                around = self._table.get(event.parent)
                parent = around.index if around else event.parent  # one object for all children, and one for each name
                path = intern(event.path)
                entry = _Entry(event.process, parent, intern(event.comm), path, event.owner_id, event.time, seeded=False)
                self._insert(entry)
            elif event.time >= entry.told:
                entry.comm, entry.owner_id, entry.told = intern(event.comm), event.owner_id, event.time
                entry.path = intern(event.path) or entry.path
            elif not entry.path:
                entry.path = intern(event.path)
            if event.kind == "exit":
                self._end(entry, event.time)

    def see(self, event: SlowEvent) -> None:
        """Take in the process of a slow operation, when no event told it yet."""
        entry = self._find(event.process)
        if entry is None:
            around = self._by_pid.get(event.parent_pid)
            parent = around.key if around and around.key.start <= event.process.start else ProcessKey(event.parent_pid, 0)
            told = event.start + event.duration - _SETTLED  # what a process event says of that time is more exact
            self._insert(_Entry(event.process, parent, event.process_name, intern(event.program), event.owner_id, told, seeded=False))
        elif not entry.owner_id:
            entry.owner_id = event.owner_id

    def maintain(self) -> None:
        """Drop those that ended before the window, and look in procfs for the next of those that live: their end may have been lost."""
        now = self._clock()
        while self._dead and self._dead[0].ended < now - _WINDOW:
            self._remove(self._dead.popleft())
        if not self._procfs:
            return
        if not self._to_check:
            self._to_check.extend(index for index, entry in self._table.items() if not entry.ended)
        for _ in range(min(len(self._to_check), _CHECKED_AT_ONCE)):
            entry = self._table.get(self._to_check.popleft())
            if entry and not entry.ended and entry.told <= now - _SETTLED:
                self._check(entry, now)

    def find(self, pid: int) -> Process | None:
        """Return the process that has this PID, or had it last."""
        entry = self._by_pid.get(pid)
        return _process(entry) if entry else None

    def get(self, key: ProcessKey) -> Process | None:
        """Return a process."""
        entry = self._find(key)
        return _process(entry) if entry else None

    def parents(self, key: ProcessKey) -> tuple[Process, ...]:
        """Return who began it, and who began that one: the nearest first, 64 at most."""
        found: list[_Entry] = []
        entry = self._find(key)
        while entry and len(found) < _DEPTH and (entry := self._parent(entry)) and entry not in found:
            found.append(entry)
        return tuple(map(_process, found))

    def tree(self, weight: Callable[[ProcessKey], int] = lambda _: 0, *, ended: bool = True) -> Iterator[Node]:
        """Yield every process after its parent, of siblings the heaviest with all that is below it first.

        Without ``ended`` those that have ended and weigh nothing are left out.
        """
        children: dict[_Entry | None, list[_Entry]] = {}
        for entry in self._table.values() if ended else self._that_matter(weight):
            children.setdefault(self._parent(entry), []).append(entry)
        heavy = _weights(children, weight)
        todo = [(entry, 0) for entry in _ordered(children.get(None, []), heavy)]
        while todo:
            entry, depth = todo.pop()
            if ended or heavy[entry] or not entry.ended:
                yield Node(_process(entry), depth, heavy[entry])
            todo.extend((child, depth + 1) for child in _ordered(children.get(entry, []), heavy))

    def _that_matter(self, weight: Callable[[ProcessKey], int]) -> Iterable[_Entry]:
        """Those that live or weigh something, and whoever is above them: of all that are known few."""
        found: dict[_Entry, None] = {}
        for entry in self._table.values():
            own: _Entry | None = entry if not entry.ended or weight(entry.key) else None
            while own and own not in found:
                found[own] = None
                own = self._parent(own)
        return found

    def _find(self, key: ProcessKey) -> _Entry | None:
        """What procfs tells of a start is rounded down to a tick: such an entry is known by either."""
        entry = self._table.get(key)
        if entry is None:
            pid, start = key
            entry = self._table.get(ProcessKey(pid, start - start % TICK))
            if entry is None or not entry.seeded:
                return None
            entry.key = key
        return entry

    def _parent(self, entry: _Entry) -> _Entry | None:
        """None also for a parent that began later: its PID was used again."""
        pid, start = entry.parent
        parent = self._find(entry.parent) if start else self._by_pid.get(pid)
        began_before = parent and parent.index.start // TICK <= entry.key.start // TICK
        return parent if began_before and parent is not entry else None

    def _insert(self, entry: _Entry) -> None:
        if len(self._table) >= self._limit:
            self._make_room()
        self._table[entry.index] = entry
        pid, start = entry.index
        before = self._by_pid.get(pid)
        if before is None or before.index.start <= start:
            self._by_pid[pid] = entry
            if before and not before.ended:
                self.lost += 1
                self._end(before, entry.told)
        elif before:  # it had the PID before the one that is known
            self._end(entry, entry.told)

    def _end(self, entry: _Entry, time: int) -> None:
        if not entry.ended:
            entry.ended = time
            self._dead.append(entry)

    def _check(self, entry: _Entry, now: int) -> None:
        stat = self._procfs.process(entry.key.pid)
        if stat is None or stat.start != entry.key.start - entry.key.start % TICK:
            self.lost += 1
            self._end(entry, now)
        elif stat.parent != entry.parent.pid:  # its parent ended, and it was given another
            around = self._by_pid.get(stat.parent)
            entry.parent = around.key if around else ProcessKey(stat.parent, 0)

    def _make_room(self) -> None:
        if self._dead:
            self._remove(self._dead.popleft())
            self.evicted += 1
            return
        parents = {entry.parent.pid for entry in self._table.values()}
        leaves = [entry for entry in self._table.values() if entry.key.pid not in parents]
        others = (entry for entry in reversed(self._table.values()) if entry.key.pid in parents)
        for entry in list(islice(chain(leaves, others), max(1, self._limit // 16))):
            self._remove(entry)
            self.evicted += 1

    def _remove(self, entry: _Entry) -> None:
        del self._table[entry.index]
        if self._by_pid.get(entry.index.pid) is entry:
            del self._by_pid[entry.index.pid]


def _process(entry: _Entry) -> Process:
    return Process(entry.key, entry.parent, entry.comm, entry.path, entry.owner_id, entry.ended)


def _ordered(entries: list[_Entry], heavy: dict[_Entry, int]) -> list[_Entry]:
    """The first one last, as a stack wants them."""
    return sorted(entries, key=lambda entry: (heavy[entry], -entry.key.pid))


def _weights(children: dict[_Entry | None, list[_Entry]], weight: Callable[[ProcessKey], int]) -> dict[_Entry, int]:
    order = list(children.get(None, []))
    for entry in order:  # grows while it is read: parents stand before their children
        order.extend(children.get(entry, []))
    heavy = {entry: weight(entry.key) for entry in order}
    for entry in reversed(order):
        heavy[entry] += sum(heavy[child] for child in children.get(entry, []))
    return heavy
