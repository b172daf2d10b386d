"""Finds out about single slow operations: owner, container, names of the stacks; makes the span and keeps the evidence."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from perflens.agent.joins import Held, Joins, with_requests
from perflens.agent.running import RunningDurations, RunningOperations
from perflens.aggregate.evidence import EvidenceStore, OperationKey
from perflens.aggregate.stacks import Stacks
from perflens.analysis import ModelRequest
from perflens.enrich.containers import container_of
from perflens.enrich.symbols.kallsyms import KernelSymbols
from perflens.enrich.symbols.user import UserSymbols
from perflens.export.otlp.spans import SpanIds, Spans
from perflens.model import Evidence, Owner, PodVolume, ProcessKey, SlowEvent

__all__ = ["Explainer"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_MOST_PENDING = 1_000
_STACKS_SHARED = _VALUES_SHARED = 512
_LAST_MOMENT, _LAST_SPANS = 0.5, 3.0  # s
_FOREVER = 1 << 64


@lru_cache(maxsize=4_096)
def _container(path: str) -> str:
    return container_of(path.split("/")).id


def wall_offset() -> int:
    """Return what CLOCK_MONOTONIC lacks to the time since the epoch, in ns, from the tightest of a few readings."""
    readings = []
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


class Explainer:
    """One thread of its own, ``executor``; it owns the symbols, the spans and the evidence.

    ``name_owner`` returns the owner of a cgroup's id, ``runs`` says whether a process still does, ``devices`` on which disks an
    operation's file lies, ``disk`` the name of one by (major, minor), ``volume`` which volume of its owner's pod it was about, ``note``
    is told of everything that was explained.
    """

    def __init__(
        self,
        kernel: KernelSymbols,
        user: UserSymbols,
        spans: Spans,
        store: EvidenceStore,
        stacks: Stacks,
        name_owner: Callable[[int], Owner],
        runs: Callable[[ProcessKey], bool],
        *,
        rate: int,
        devices: Callable[[SlowEvent], tuple[str, ...]] = lambda _: (),
        disk: Callable[[tuple[int, int]], str] = lambda _: "",
        volume: Callable[[SlowEvent, Owner], PodVolume | None] = lambda *_: None,
    ) -> None:
        self.kernel, self.user, self.spans, self.store, self.stacks = kernel, user, spans, store, stacks
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explainer")
        self.note: Callable[[Evidence], None] = lambda _: None
        self.rate = rate
        self.explained: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._name_owner, self._runs, self._devices, self._disk, self._volume = name_owner, runs, devices, disk, volume
        self._joins = Joins()
        self._budget, self._filled_at = float(rate), time.monotonic()
        self._put = self._taken = 0  # each changed by one thread only
        self._same = lru_cache(_STACKS_SHARED)(lambda stack: stack)
        self._same_value = lru_cache(_VALUES_SHARED, typed=True)(lambda value: value)
        self._ends_at = math.inf

    def room(self, wanted: int) -> int:
        """Return how many of so many events can be taken now, and reserve the room; the thread that drains asks."""
        now = time.monotonic()
        self._budget = min(self._budget + (now - self._filled_at) * self.rate, float(self.rate))
        self._filled_at = now
        room = max(min(wanted, int(self._budget), _MOST_PENDING - (self._put - self._taken)), 0)
        self._budget -= room
        return room

    def give_back(self, room: int) -> None:
        """Let go of room that is not needed."""
        self._budget += room

    def put(self, source: RunningDurations, events: Sequence[SlowEvent]) -> None:
        """Explain these events."""
        if events:
            self._put += len(events)
            self.executor.submit(self._explain_all, source, events)

    def put_in_progress(self, source: RunningOperations, events: Sequence[SlowEvent]) -> None:
        """Show these as what is in progress of this probe; what is not among them has ended."""
        self.executor.submit(self._show_in_progress, source, events)

    def chat(self, request: ModelRequest) -> None:
        """Make the span of a request to a language model; any thread may ask. At the end there is none."""
        with suppress(RuntimeError):
            self.executor.submit(self._guarded, lambda: self.spans.chat(request))

    def settle(self) -> None:
        """Let go of the requests that have waited long enough for their operation; any thread may ask."""
        if self._joins:
            self.executor.submit(self._settle, time.monotonic_ns())

    def end_soon(self) -> None:
        """Explain for a moment more, then leave alone what was not begun; any thread may ask."""
        self._ends_at = min(self._ends_at, time.monotonic() + _LAST_MOMENT)

    def close(self) -> None:
        """Explain for a moment more; send the spans that wait and end the helper."""
        began = time.monotonic()
        self.end_soon()
        if self._joins:
            self.executor.submit(self._settle, _FOREVER)
        self.executor.shutdown()
        self.spans.close(min(_LAST_SPANS, _LAST_MOMENT + _LAST_SPANS - (time.monotonic() - began)))
        self.user.close()

    def _explain_all(self, source: RunningDurations, events: Iterable[SlowEvent]) -> None:
        offset = wall_offset()
        for event in events:
            self._taken += 1
            if self._is_over() or not self._guarded(lambda event=event: self._explain(source, event, offset)):  # type: ignore[misc]
                self.failed[source.name] += 1

    def _show_in_progress(self, source: RunningOperations, events: Sequence[SlowEvent]) -> None:
        self.store.retain(source.name, {OperationKey(event.probe, event.tid, event.start) for event in events})
        offset = wall_offset()
        for event in events:
            if self._is_over():
                return
            self._guarded(lambda event=event: self.store.add(self._evidence(event, offset)))  # type: ignore[misc]

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends_at

    def _guarded(self, work: Callable[[], object]) -> bool:
        """A bug in what is found out about one operation must not cost the others; return whether there was none."""
        try:
            work()
        except Exception:
            _log.exception("an operation could not be explained")
            return False
        return True

    def _explain(self, source: RunningDurations, event: SlowEvent, offset: int) -> None:
        if event.operation_start:
            self._join(Held(source, self._evidence(event, offset)))
        elif event.is_request:
            self._tell(Held(source, self._evidence(event, offset)))
        else:
            served = self._joins.take(event)
            try:
                ids = self._tell(Held(source, self._evidence(with_requests(event, served), offset)), served)
            except BaseException:
                self._let_go(served)
                raise
            self._joins.told(event, ids)

    def _join(self, request: Held) -> None:
        """A request waits for its operation, so that both tell the same times in one trace, unless that was told of already."""
        event = request.evidence.event
        if self._joins.was_told(event):
            ids = self._joins.ids_of(event)
            self._keep(request, ids) if ids else self._tell(request)
        else:
            self._let_go(self._joins.hold(request))

    def _settle(self, now: int) -> None:
        self._let_go(self._joins.overdue(now))

    def _let_go(self, requests: Sequence[Held]) -> None:
        for own in requests:
            if self._is_over() or not self._guarded(lambda own=own: self._tell(own)):  # type: ignore[misc]
                self.failed[own.source.name] += 1

    def _tell(self, own: Held, served: Sequence[Held] = ()) -> SpanIds | None:
        """Make the spans of an operation, and keep it with the requests that served it; return the ids."""
        ids = self.spans.emit(own.evidence, [request.evidence for request in served])
        self._keep(own, ids)
        for request in served:
            span_id = ids.requests.get(request.evidence.event.requests[0].identity) if ids else None
            self._keep(request, SpanIds(ids.trace_id, span_id) if ids and span_id else None)
        return ids

    def _keep(self, own: Held, ids: SpanIds | None) -> None:
        source, evidence = own
        if ids:
            evidence = replace(evidence, trace_id=ids.trace_id, span_id=ids.span_id)
        self.store.add(evidence)
        self.stacks.add(evidence)
        self.explained[source.name] += 1
        self.note(evidence)

    def _evidence(self, event: SlowEvent, offset: int) -> Evidence:
        """The addresses are let go for the names, and what is the same is one in memory: stacks, files and names are most of evidence."""
        owner, same = self._name_owner(event.owner_id), self._same_value
        return Evidence(
            event=replace(
                event,
                object_name=same(event.object_name),
                process=same(event.process),
                comm=same(event.comm),
                process_name=same(event.process_name),
                file=same(event.file),
                program=same(event.program),
                requests=tuple(own if own.disk else own._replace(disk=same(self._disk(own.device))) for own in event.requests),
                kernel_stack=(),
                user_stack=(),
            ),
            owner=owner,
            container_id=_container(owner.path),
            wall_start=event.start + offset,
            kernel_stack=self._same(tuple(map(self.kernel.name, event.kernel_stack))),
            user_stack=self._same(self._user_stack(event)),
            devices=self._devices(event),
            volume=self._volume(event, owner),
        )

    def _user_stack(self, event: SlowEvent) -> tuple[str, ...]:
        if event.user_stack and event.program and not self._runs(event.process):
            self.user.learn_path(event.program, event.parent_pid)
        return self.user.names(event.process, event.user_stack, near=(event.parent_pid,))
