"""Takes events out of the rings: every one into the sums of the last minutes, as many as can be explained on to that."""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from functools import lru_cache

from perflens.agent.explainer import Explainer
from perflens.agent.running import Running
from perflens.aggregate.slowest import Slowest
from perflens.aggregate.timeline import Timeline
from perflens.decode.events import EventHead, UndecodableEvent
from perflens.enrich.processes import Processes
from perflens.logs import fields
from perflens.model import OTHER, Evidence, ProcessKey

__all__ = ["Intake"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_BATCHES_AT_ONCE = 64


@lru_cache(maxsize=4_096)
def _name(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


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
                    self._take(source, batch, used)
                if not left or not records:
                    break
            self._note_suppressed(source)
        while self._done:
            self.slowest.attach(self._done.popleft())

    def note(self, evidence: Evidence) -> None:
        """Hand in what was found out about an event; any thread may."""
        self._done.append(evidence)

    def _take(self, source: Running, batch: bytearray, used: int) -> None:
        sums: defaultdict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        wanted: list[EventHead] = []
        others: list[EventHead] = []
        add = self.slowest.add
        try:
            for head in source.decoder.heads(batch, used):
                end = head.start + head.duration
                own = sums[end // _SECOND, head.operation]
                own[0] += 1
                own[1] += head.duration
                is_top = add(ProcessKey(head.pid, head.process_start), _name(head.process_name), head.duration, end)
                (wanted if is_top else others).append(head)
        except UndecodableEvent as error:
            self._refuse(source, error)
        for (second, operation), (count, ns) in sums.items():
            self.timeline.add_slow(second, source.name, source.operations.get(operation, OTHER), count, ns)
        self._explain(source, batch, wanted, others)

    def _explain(self, source: Running, batch: bytearray, wanted: list[EventHead], others: list[EventHead]) -> None:
        """Those that may be shown among the slowest come first, then the longest."""
        room = self._explainer.room(len(wanted) + len(others))
        if len(wanted) + len(others) > room:
            self.unexplained[source.name] += len(wanted) + len(others) - room
            wanted.sort(key=lambda head: head.duration, reverse=True)
            others.sort(key=lambda head: head.duration, reverse=True)
        chosen = [*wanted, *others][:room]
        events = []
        for head in sorted(chosen):
            try:
                events.append(source.decoder.whole(batch, head.at, head.length))
            except UndecodableEvent as error:
                self._refuse(source, error)
        for event in events:
            self.processes.see(event)
        self._explainer.put(source, events)

    def _refuse(self, source: Running, error: UndecodableEvent) -> None:
        if not self.undecodable[source.name]:
            _log.error("an event cannot be decoded", extra=fields(probe=source.name, reason=str(error)))
        self.undecodable[source.name] += 1

    def _note_suppressed(self, source: Running) -> None:
        now = source.kernel.events()["suppressed"]
        count = now - self._suppressed[source.name]
        self._suppressed[source.name] = now
        if count:
            second = time.monotonic_ns() // _SECOND
            self.timeline.add_slow(second, source.name, OTHER, count, 0)
            self.timeline.add_suppressed(second, source.name, OTHER, count)
