"""Spans by the SDK of OpenTelemetry: one for each slow operation, with one for each of its longer waits and of its requests below it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Thread, get_ident

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import Attributes

from perflens import __version__
from perflens.analysis import ModelRequest
from perflens.export.otlp.answers import Answer
from perflens.export.otlp.attributes import BootClock, error_type, of_operation, of_request, of_wait
from perflens.export.otlp.chats import LONGEST_MODEL, of_chat
from perflens.export.otlp.delivery import Delivery
from perflens.export.otlp.ended import EndedSpans, Period
from perflens.export.otlp.exporters import exporter
from perflens.export.otlp.ledger import SpanLedger
from perflens.export.otlp.quiet import listen
from perflens.export.otlp.resource import agent_resource
from perflens.export.otlp.spans import OnExported, SpanIds
from perflens.export.otlp.text import cleaned
from perflens.export.otlp.variables import Options
from perflens.model import BlockRequest, Evidence, Wait

__all__ = ["SCHEMA_URL", "TracedSpans"]

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

_LAST_WORDS = 0.2


class TracedSpans:
    """Spans that a collector gets. The SDK's queue drops the oldest when it is full, so it is never let become full."""

    reason = ""

    def __init__(self, options: Options, on_exported: OnExported, sink: SpanExporter | None = None, node: str = "") -> None:
        listener = listen()
        listener.listens_to = get_ident()
        answer = Answer()
        self._ledger = SpanLedger(options.queue)
        self._clock = BootClock(time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._delivery = Delivery(sink or exporter(options, answer), answer, listener, self._ledger, on_exported, options.endpoint)
        self._provider = TracerProvider(resource=agent_resource(node), shutdown_on_exit=False)
        self._batches = BatchSpanProcessor(self._delivery, options.queue, options.delay, options.batch)
        self._provider.add_span_processor(self._batches)
        self._made = EndedSpans(self._provider, InstrumentationScope("perflens", __version__, SCHEMA_URL))
        listener.listens_to = 0
        self._delivery.tell(listener.warnings)

    def emit(self, evidence: Evidence, joined: Sequence[Evidence] = ()) -> SpanIds | None:
        """Make the spans of an operation; one that has not ended is no span yet, and none that was dropped."""
        event = evidence.event
        if event.in_progress:
            return None
        requests = () if event.is_request else event.requests
        name = f"{event.probe}.{event.operation}"
        begun = self._begin(name, 1 + len(event.waits) + len(requests))
        if not begun:
            return None
        root, sampled = begun
        attributes, failed = of_operation(evidence, self._clock), bool(error_type(event))
        offset = evidence.wall_start - event.start
        self._emit_waits(event.waits, offset, root)
        ids = self._emit_requests(requests, offset, root, {own.event.requests[0].identity: own for own in joined})
        self._delivery.expect(root.span_id, root.trace_id, evidence)
        period = Period(evidence.wall_start, evidence.wall_start + event.duration)
        self._batches.on_end(self._made.span(name, root, period, attributes, sampled=sampled, failed=failed))
        return SpanIds(f"{root.trace_id:032x}", f"{root.span_id:016x}", ids)

    def chat(self, request: ModelRequest) -> None:
        """Make the span of a request to a language model, a trace of its own."""
        name = f"chat {cleaned(request.model, LONGEST_MODEL)}"
        begun = self._begin(name, 1, SpanKind.CLIENT)
        if not begun:
            return
        root, sampled = begun
        attributes, period, failed = of_chat(request), Period(request.start, request.end), bool(request.error)
        self._batches.on_end(self._made.span(name, root, period, attributes, sampled=sampled, kind=SpanKind.CLIENT, failed=failed))

    def _begin(self, name: str, spans: int, kind: SpanKind = SpanKind.INTERNAL) -> tuple[SpanContext, Attributes] | None:
        """Begin a tree of so many spans and count them; None where it is not created, which is counted too."""
        if not self._ledger.has_room(spans):
            self._ledger.refuse("queue_full", spans)
            return None
        begun = self._made.begin(name, kind)
        if not begun:
            self._ledger.refuse("sampled_out", spans)
            return None
        return begun if self._ledger.create(spans) else None

    def _emit_waits(self, waits: tuple[Wait, ...], offset: int, parent: SpanContext) -> None:
        for wait in waits:
            own, period = self._made.below(parent), Period(wait.off + offset, wait.on + offset)
            self._batches.on_end(self._made.span(f"wait.{wait.reason}", own, period, of_wait(wait), parent=parent))

    def _emit_requests(
        self, requests: Sequence[BlockRequest], offset: int, parent: SpanContext, joined: Mapping[tuple[object, ...], Evidence]
    ) -> dict[tuple[object, ...], str]:
        ids: dict[tuple[object, ...], str] = {}
        for request in requests:
            own, period = self._made.below(parent), Period(request.start + offset, request.end + offset)
            ids[request.identity] = f"{own.span_id:016x}"
            if request.identity in joined:
                self._delivery.expect(own.span_id, own.trace_id, joined[request.identity])
            name, failed = f"block.{request.operation}", bool(request.error)
            self._batches.on_end(self._made.span(name, own, period, of_request(request), parent=parent, failed=failed))
        return ids

    def counts(self) -> Mapping[str, int]:
        """Return spans by outcome, with ``created`` and ``in_queue``."""
        return self._ledger.counts()

    def close(self, timeout: float = 3.0) -> None:
        """Send what is queued for at most ``timeout`` seconds.

        The SDK waits half a minute for an exporter that waits for a collector, so it ends on a thread that nobody waits for.
        """
        ending = _in_background(self._provider.shutdown)
        ending.join(max(0.0, timeout - _LAST_WORDS))
        self._delivery.abandon()
        if ending.is_alive():
            _in_background(self._delivery.shutdown).join(_LAST_WORDS)


def _in_background(work: Callable[[], None]) -> Thread:
    thread = Thread(target=work, name="spans-end", daemon=True)
    thread.start()
    return thread
