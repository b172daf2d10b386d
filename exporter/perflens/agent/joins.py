"""Which slow requests served which operation: a request ends first, and waits here for the event of its operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from perflens.agent.running import RunningDurations
from perflens.enrich.symbols.bounded import Bounded
from perflens.export.otlp.spans import SpanIds
from perflens.model import BlockRequest, Evidence, SlowEvent

__all__ = ["Held", "Joins", "with_requests"]

_SECOND = 1_000_000_000
_PATIENCE = 10 * _SECOND
_MOST, _TOLD = 1_000, 1_024


class _Operation(NamedTuple):
    """An operation: the thread that was in it, and since when."""

    tid: int
    start: int


class Held(NamedTuple):
    """A request that waits, and the probe that told of it."""

    source: RunningDurations
    evidence: Evidence


class Joins:
    """At most ``limit`` requests wait, each for 10 s after its end. The explainer's thread owns it; any may ask how many there are."""

    def __init__(self, limit: int = _MOST) -> None:
        self._limit = limit
        self._held: dict[int, Held] = {}  # in the order in which they came
        self._of: dict[_Operation, list[int]] = {}
        self._next = 0
        self._told = Bounded[_Operation, Mapping[tuple[object, ...], SpanIds]](_TOLD)

    def __len__(self) -> int:
        return len(self._held)

    def told(self, operation: SlowEvent, ids: SpanIds | None) -> None:
        """Remember that an operation was told of, with the spans of its requests: some are seen only now."""
        spans = {identity: SpanIds(ids.trace_id, span_id) for identity, span_id in ids.requests.items()} if ids else {}
        self._told.put(_Operation(operation.tid, operation.start), spans)

    def was_told(self, request: SlowEvent) -> bool:
        """Whether the operation of a request was told of already."""
        return self._told.get(_operation_of(request)) is not None

    def ids_of(self, request: SlowEvent) -> SpanIds | None:
        """Return the span that a request got with its operation, which was told of already; None when it got none."""
        return (self._told.get(_operation_of(request)) or {}).get(request.requests[0].identity)

    def hold(self, held: Held) -> list[Held]:
        """Keep a request; return what has to go for it, the oldest."""
        self._held[self._next] = held
        self._of.setdefault(_operation_of(held.evidence.event), []).append(self._next)
        self._next += 1
        return self._release([next(iter(self._held))]) if len(self._held) > self._limit else []

    def take(self, operation: SlowEvent) -> list[Held]:
        """Return the requests that wait for this operation, which wait no longer."""
        return self._release(self._of.get(_Operation(operation.tid, operation.start), []))

    def overdue(self, now: int) -> list[Held]:
        """Return the requests whose operation was not slow, or has no event; ``now`` is in ns of CLOCK_MONOTONIC."""
        return self._release([number for number, held in self._held.items() if held.evidence.event.requests[0].end + _PATIENCE < now])

    def _release(self, numbers: list[int]) -> list[Held]:
        found = []
        for number in list(numbers):
            held = self._held.pop(number)
            operation = _operation_of(held.evidence.event)
            self._of[operation].remove(number)
            if not self._of[operation]:
                del self._of[operation]
            found.append(held)
        return found


def _operation_of(request: SlowEvent) -> _Operation:
    return _Operation(request.tid, request.operation_start)


def with_requests(operation: SlowEvent, held: list[Held]) -> SlowEvent:
    """Return an operation with the slow requests that waited for it, which it need not have noted itself."""
    known: dict[tuple[object, ...], BlockRequest] = {own.identity: own for own in operation.requests}
    for own in held:
        (request,) = own.evidence.event.requests
        known[request.identity] = request
    requests = tuple(sorted(known.values(), key=lambda request: request.start))
    return replace(operation, requests=requests, requests_seen=max(operation.requests_seen, len(requests)))
