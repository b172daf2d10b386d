"""Takes events out of the rings: every one into the sums of the last minutes, as many as can be explained on to that."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from operator import attrgetter

from perflens.agent.explainer import Explainer
from perflens.agent.running import Running, RunningDurations, RunningProcesses, RunningRequests
from perflens.aggregate.newest import NewestStarts
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.starts import Starts
from perflens.aggregate.timeline import Timeline
from perflens.decode.sums import ProcessSum, UndecodableEvent
from perflens.enrich.processes import Processes
from perflens.logs import fields
from perflens.model import OTHER, CgroupEvent, Evidence

__all__ = ["Intake"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_BATCHES_AT_ONCE = 64
_MAINTENANCE = 2.0


class Intake:
    """One thread drains, and owns the timeline, the slowest processes and the table of processes."""

    def __init__(
        self,
        timeline: Timeline,
        slowest: Slowest,
        processes: Processes,
        explainer: Explainer,
        owner_of: Callable[[int], int],
        name_cgroup: Callable[[CgroupEvent], None],
    ) -> None:
        """``owner_of`` gives the owner's id by PID, ``name_cgroup`` is told of cgroups that are made."""
        self.timeline, self.slowest, self.processes = timeline, slowest, processes
        self.starts, self.newest_starts = Starts(time.monotonic_ns()), NewestStarts(time.monotonic_ns)
        self._explainer, self._owner_of, self._name_cgroup = explainer, owner_of, name_cgroup
        self._sources: list[RunningDurations] = []
        self._process_sources: list[RunningProcesses] = []
        self._maintained_at = -1.0 - _MAINTENANCE
        self._suppressed: dict[str, int] = {}
        self.read: Counter[str] = Counter()
        self.unexplained: Counter[str] = Counter()
        self.undecodable: Counter[str] = Counter()
        self._done: deque[Evidence] = deque()

    def add_processes(self, source: RunningProcesses) -> None:
        """Drain this probe of processes from now on."""
        self._process_sources.append(source)

    def add(self, source: RunningDurations) -> None:
        """Drain this probe from now on."""
        self._sources.append(source)
        self._suppressed[source.name] = source.kernel.events()["suppressed"]

    @property
    def has_news(self) -> bool:
        """Whether something is to be done though the rings are empty; any thread may ask."""
        return bool(self._done) or time.monotonic() - self._maintained_at >= _MAINTENANCE

    def drain(self) -> None:
        """Take what the rings hold, processes first: a slow operation's is known by then."""
        for processes in self._process_sources:
            for batch, used, _ in self._batches(processes):
                self._take_processes(processes, batch, used)
        for source in self._sources:
            for batch, used, records in self._batches(source):
                self._take(source, batch, used, records)
            self._note_suppressed(source)
        while self._done:
            self.slowest.attach(self._done.popleft())
        self._maintain()

    def _batches(self, source: Running) -> Iterator[tuple[bytearray, int, int]]:
        source.kernel.tune({"woken": (0,)})
        for _ in range(_BATCHES_AT_ONCE):
            batch, used, records, left = source.kernel.ring.drain()
            self.read[source.name] += records
            if used:
                yield batch, used, records
            if not left or not records:
                break

    def _maintain(self) -> None:
        now = time.monotonic()
        if now - self._maintained_at < _MAINTENANCE:
            return
        if self._maintained_at < 0:
            self.processes.seed(self._owner_of)
        self._maintained_at = now
        self.processes.maintain()

    def _take_processes(self, source: RunningProcesses, batch: bytearray, used: int) -> None:
        found = source.decoder.batch(batch, used)
        for reason in found.refused:
            self._refuse(source, reason)
        self.processes.apply(found.processes)
        self.starts.add(found.processes)
        self.newest_starts.add(found.processes)
        for cgroup in found.cgroups:
            self._name_cgroup(cgroup)
        counts = Counter((event.time // _SECOND, event.kind) for event in found.processes)
        for second in {second for second, _ in counts}:
            self.timeline.add_processes(second, counts[second, "fork"], counts[second, "exec"])

    def note(self, evidence: Evidence) -> None:
        """Hand in what was found out about an event; any thread may."""
        self._done.append(evidence)

    def _take(self, source: RunningDurations, batch: bytearray, used: int, records: int) -> None:
        room = self._explainer.room(records)
        found = source.decoder.sums(batch, used, room)
        for reason in found.refused:
            self._refuse(source, reason)
        wanted = [own for own in found.sums if self._add(source, own)]
        places = [own.at for own in sorted(wanted, key=attrgetter("maximum"), reverse=True)]
        chosen = sorted(list(dict.fromkeys([*places, *found.longest]))[:room])
        self._explainer.give_back(room - len(chosen))
        self.unexplained[source.name] += records - len(found.refused) - len(chosen)
        self._explain(source, batch, chosen)

    def _add(self, source: RunningDurations, own: ProcessSum) -> bool:
        """Add events to the sums; return whether the longest of them may be shown among the slowest.

        Requests are not added to their process: the operations that waited for them have their time.
        """
        self.timeline.add_slow(own.second, source.name, source.operations.get(own.operation, OTHER), own.events, own.total)
        if isinstance(source, RunningRequests):
            return False
        return self.slowest.add(own.process, own.name, own.maximum, own.end, own.events - 1, own.total - own.maximum)

    def _explain(self, source: RunningDurations, batch: bytearray, places: list[int]) -> None:
        events = []
        for at in places:
            try:
                events.append(source.decoder.record(batch, at))
            except UndecodableEvent as error:
                self._refuse(source, str(error))
        for event in events:
            self.processes.see(event)
        self._explainer.put(source, events)

    def _refuse(self, source: Running, reason: str) -> None:
        if not self.undecodable[source.name]:
            _log.error("an event cannot be decoded", extra=fields(probe=source.name, reason=reason))
        self.undecodable[source.name] += 1

    def _note_suppressed(self, source: Running) -> None:
        now = source.kernel.events()["suppressed"]
        count = now - self._suppressed[source.name]
        self._suppressed[source.name] = now
        if count:
            second = time.monotonic_ns() // _SECOND
            self.timeline.add_slow(second, source.name, OTHER, count, 0)
            self.timeline.add_suppressed(second, source.name, OTHER, count)
