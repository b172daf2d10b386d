"""Takes events out of the rings: every one into the sums of the last minutes, as many as can be explained on to that."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from operator import attrgetter

from perflens.agent.explainer import Explainer
from perflens.agent.running import Running
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.timeline import Timeline
from perflens.decode.events import ProcessSum, UndecodableEvent
from perflens.enrich.processes import Processes
from perflens.logs import fields
from perflens.model import OTHER, Evidence

__all__ = ["Intake"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_BATCHES_AT_ONCE = 64


class Intake:
    """One thread drains, and owns the timeline, the slowest processes and the table of processes."""

    def __init__(self, timeline: Timeline, slowest: Slowest, processes: Processes, explainer: Explainer) -> None:
        self.timeline, self.slowest, self.processes = timeline, slowest, processes
        self._explainer = explainer
        self._sources: list[Running] = []
        self._suppressed: dict[str, int] = {}
        self.read: Counter[str] = Counter()
        self.unexplained: Counter[str] = Counter()
        self.undecodable: Counter[str] = Counter()
        self._done: deque[Evidence] = deque()

    def add(self, source: Running) -> None:
        """Drain this probe from now on."""
        self._sources.append(source)
        self._suppressed[source.name] = source.kernel.events()["suppressed"]

    @property
    def has_news(self) -> bool:
        """Whether something is to be done though the rings are empty; any thread may ask."""
        return bool(self._done)

    def drain(self) -> None:
        """Take what the rings hold."""
        for source in self._sources:
            source.kernel.tune({"woken": (0,)})
            for _ in range(_BATCHES_AT_ONCE):
                batch, used, records, left = source.kernel.ring.drain()
                self.read[source.name] += records
                if used:
                    self._take(source, batch, used, records)
                if not left or not records:
                    break
            self._note_suppressed(source)
        while self._done:
            self.slowest.attach(self._done.popleft())

    def note(self, evidence: Evidence) -> None:
        """Hand in what was found out about an event; any thread may."""
        self._done.append(evidence)

    def _take(self, source: Running, batch: bytearray, used: int, records: int) -> None:
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

    def _add(self, source: Running, own: ProcessSum) -> bool:
        """Add events to the sums; return whether the longest of them may be shown among the slowest."""
        self.timeline.add_slow(own.second, source.name, source.operations.get(own.operation, OTHER), own.events, own.total)
        return self.slowest.add(own.process, own.name, own.maximum, own.end, own.events - 1, own.total - own.maximum)

    def _explain(self, source: Running, batch: bytearray, places: list[int]) -> None:
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
