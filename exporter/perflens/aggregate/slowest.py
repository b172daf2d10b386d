"""The slowest processes of the last five minutes, by their slowest operation and by all their slow time."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import attrgetter

from perflens.aggregate.panes import Panes
from perflens.model import Evidence, ProcessKey

__all__ = ["SlowProcess", "Slowest", "TopLists"]

_TOP = 10
_WIDTH, _PANES = 30_000_000_000, 10


@dataclass(frozen=True, slots=True)
class SlowProcess:
    """A process with slow operations: how many, the ns they took, the longest and when it ended (ns of CLOCK_MONOTONIC).

    ``evidence`` is that of the longest operation and of no other; None when it was not explained.
    """

    process: ProcessKey
    comm: str
    count: int
    total: int
    maximum: int
    maximum_end: int
    evidence: Evidence | None


@dataclass(frozen=True, slots=True)
class TopLists:
    """The processes at the top, the slowest first, and how many there are in all."""

    by_maximum: tuple[SlowProcess, ...]
    by_total: tuple[SlowProcess, ...]
    processes: int


class _Record:
    __slots__ = ("comm", "count", "end", "evidence", "maximum", "process", "total", "weight")

    def __init__(self, process: ProcessKey, weight: int) -> None:
        self.process, self.weight = process, weight
        self.comm = ""
        self.count = self.total = self.maximum = self.end = 0
        self.evidence: Evidence | None = None


class _Top:
    """The keys with the highest values so far, which only grow; ``bar`` is what a value must reach to be among them."""

    __slots__ = ("bar", "values")

    def __init__(self) -> None:
        self.values: dict[ProcessKey, int] = {}
        self.bar = 0

    def offer(self, key: ProcessKey, value: int) -> ProcessKey | None:
        """Take the key in if its value is high enough; return the key that had to go."""
        out = None
        self.values[key] = value
        if len(self.values) > _TOP:
            out = min(self.values, key=self.values.__getitem__)
            del self.values[out]
        if len(self.values) == _TOP:
            self.bar = min(self.values.values())
        return out


class _Pane:
    """The processes of one pane. When it is full the lightest quarter goes, and who comes later starts with the weight of the heaviest
    that went: so a process that took more time than that weight is never missed, whatever the order (space saving, in batches)."""

    def __init__(self, limit: int) -> None:
        self.limit, self.floor, self.evicted = limit, 0, 0
        self.records: dict[ProcessKey, _Record] = {}
        self.by_maximum, self.by_total = _Top(), _Top()

    def add(self, process: ProcessKey, comm: str, duration: int, end: int, others: int, others_ns: int) -> bool:
        record = self.records.get(process)
        if record is None:
            if len(self.records) >= self.limit:
                self._evict()
            record = self.records[process] = _Record(process, self.floor)
        record.comm = comm
        record.count += 1 + others
        record.total += duration + others_ns
        record.weight += duration + others_ns
        is_top = record.weight >= self.by_total.bar
        if is_top:
            self._offer(self.by_total, self.by_maximum, process, record.weight)
        if duration <= record.maximum:
            return False
        record.maximum, record.end, record.evidence = duration, end, None
        if duration >= self.by_maximum.bar:
            self._offer(self.by_maximum, self.by_total, process, duration)
            return True
        return is_top

    def _offer(self, top: _Top, other: _Top, process: ProcessKey, value: int) -> None:
        out = top.offer(process, value)
        if out is not None and out not in other.values:
            self.records[out].evidence = None

    def _evict(self) -> None:
        kept = self.by_maximum.values.keys() | self.by_total.values.keys()
        light = sorted((record for record in self.records.values() if record.process not in kept), key=attrgetter("weight"))
        light = light[: max(1, self.limit // 4)]
        for record in light:
            del self.records[record.process]
        self.evicted += len(light)
        self.floor = max(self.floor, light[-1].weight)


class Slowest:
    """Processes by slow time. At most ``limit`` records are kept; ``evicted`` counts those that had to go before their time."""

    def __init__(self, limit: int = 4_096) -> None:
        share = max(limit // (_PANES + 1), 4 * _TOP)
        self._evicted = 0
        self._panes = Panes(lambda: _Pane(share), width=_WIDTH, count=_PANES)

    @property
    def evicted(self) -> int:
        return self._evicted

    def add(self, process: ProcessKey, comm: str, duration: int, end: int, others: int = 0, others_ns: int = 0) -> bool:
        """Count a slow operation; return whether it may be shown in a top list, and should be explained for that.

        ``others`` of the same process and about the same time, none of them longer, took ``others_ns``: so thousands are added at once.
        """
        pane = self._panes.at(end)
        if pane is None:
            return False
        before = pane.evicted
        explain = pane.add(process, comm, duration, end, others, others_ns)
        self._evicted += pane.evicted - before
        return explain

    def attach(self, evidence: Evidence) -> None:
        """Keep the evidence of an operation that was added, if it is still the longest of its process."""
        event = evidence.event
        end = event.start + event.duration
        pane = self._panes.at(end)
        if pane and event.process in pane.by_maximum.values.keys() | pane.by_total.values.keys():
            record = pane.records[event.process]
            if (record.maximum, record.end) == (event.duration, end):
                record.evidence = evidence

    def top(self, now: int) -> TopLists:
        """Return the top lists of the window that ends at ``now``, ns of CLOCK_MONOTONIC."""
        merged: dict[ProcessKey, _Record] = {}
        for pane in self._panes.within(now):
            for record in pane.records.values():
                _merge(merged.setdefault(record.process, _Record(record.process, 0)), record)
        return TopLists(
            tuple(map(_frozen, heapq.nlargest(_TOP, merged.values(), key=attrgetter("maximum")))),
            tuple(map(_frozen, heapq.nlargest(_TOP, merged.values(), key=attrgetter("total")))),
            len(merged),
        )

    def counts(self, now: int) -> dict[ProcessKey, int]:
        """Return how many slow operations each process had in the window."""
        found: dict[ProcessKey, int] = {}
        for pane in self._panes.within(now):
            for key, record in pane.records.items():
                found[key] = found.get(key, 0) + record.count
        return found


def _merge(into: _Record, part: _Record) -> None:
    into.comm = part.comm  # panes come in the order of time, and a process may change its name
    into.count += part.count
    into.total += part.total
    if part.maximum > into.maximum:
        into.maximum, into.end, into.evidence = part.maximum, part.end, part.evidence


def _frozen(record: _Record) -> SlowProcess:
    return SlowProcess(record.process, record.comm, record.count, record.total, record.maximum, record.end, record.evidence)
