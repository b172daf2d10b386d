"""Spans by the SDK of OpenTelemetry: one for each slow operation, with one for each of its longer waits and of its requests below it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Thread, get_ident

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from perflens import __version__
from perflens.analysis import ModelRequest
from perflens.export.otlp.answers import Answer
from perflens.export.otlp.attributes import BootClock, error_type, of_operation, of_request, of_wait
from perflens.export.otlp.batches import Batches
from perflens.export.otlp.chats import LONGEST_MODEL, of_chat
from perflens.export.otlp.delivery import Delivery
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

_NO_CONTEXT = Context()
_LATEST = (1 << 63) - 1
_FAILED = Status(StatusCode.ERROR)
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
        self._provider.add_span_processor(Batches(self._delivery, options.queue, options.delay, options.batch))
        self._tracer = self._provider.get_tracer("perflens", __version__, SCHEMA_URL)
        listener.listens_to = 0
        self._delivery.tell(listener.warnings)

    def emit(self, evidence: Evidence, joined: Sequence[Evidence] = ()) -> SpanIds | None:
        """Make the spans of an operation; one that has not ended is no span yet, and none that was dropped."""
        event = evidence.event
        if event.in_progress:
            return None
        requests = () if event.is_request else event.requests
        spans = 1 + len(event.waits) + len(requests)
        if not self._ledger.has_room(spans):
            self._ledger.refuse("queue_full", spans)
            return None
        root = self._tracer.start_span(f"{event.probe}.{event.operation}", _NO_CONTEXT, start_time=_time(evidence.wall_start))
        context = root.get_span_context()
        if not context.trace_flags.sampled:
            self._ledger.refuse("sampled_out", spans)
            return None
        if not self._ledger.create(spans):
            return None
        root.set_attributes(of_operation(evidence, self._clock))
        if error_type(event):
            root.set_status(_FAILED)
        offset, below = evidence.wall_start - event.start, set_span_in_context(root, _NO_CONTEXT)
        self._emit_waits(event.waits, offset, below)
        ids = self._emit_requests(requests, offset, below, {own.event.requests[0].identity: own for own in joined})
        self._delivery.expect(context.span_id, context.trace_id, evidence)
        root.end(_time(evidence.wall_start + event.duration))
        return SpanIds(f"{context.trace_id:032x}", f"{context.span_id:016x}", ids)

    def chat(self, request: ModelRequest) -> None:
        """Make the span of a request to a language model, a trace of its own."""
        if not self._ledger.has_room(1):
            self._ledger.refuse("queue_full", 1)
            return
        name, start = f"chat {cleaned(request.model, LONGEST_MODEL)}", _time(request.start)
        span = self._tracer.start_span(name, _NO_CONTEXT, SpanKind.CLIENT, of_chat(request), start_time=start)
        if not span.get_span_context().trace_flags.sampled:
            self._ledger.refuse("sampled_out", 1)
            return
        if not self._ledger.create(1):
            return
        if request.error:
            span.set_status(_FAILED)
        span.end(_time(request.end))

    def _emit_waits(self, waits: tuple[Wait, ...], offset: int, parent: Context) -> None:
        for wait in waits:
            child = self._tracer.start_span(f"wait.{wait.reason}", parent, attributes=of_wait(wait), start_time=_time(wait.off + offset))
            child.end(_time(wait.on + offset))

    def _emit_requests(
        self, requests: Sequence[BlockRequest], offset: int, parent: Context, joined: Mapping[tuple[object, ...], Evidence]
    ) -> dict[tuple[object, ...], str]:
        ids: dict[tuple[object, ...], str] = {}
        for own in requests:
            child = self._tracer.start_span(
                f"block.{own.operation}", parent, attributes=of_request(own), start_time=_time(own.start + offset)
            )
            if own.error:
                child.set_status(_FAILED)
            context = child.get_span_context()
            ids[own.identity] = f"{context.span_id:016x}"
            if own.identity in joined:
                self._delivery.expect(context.span_id, context.trace_id, joined[own.identity])
            child.end(_time(own.end + offset))
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


def _time(ns: int) -> int:
    """A time that the protocol can carry: one that it cannot would cost the whole batch."""
    return min(max(ns, 0), _LATEST)
