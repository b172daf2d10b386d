"""Spans of what has ended: the SDK's data by its sampler, ids and limits, made at once, without the steps of a span that is open.

Those steps are half of what a span costs: its attributes are checked, copied and locked, and it keeps lists of events and links.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes, AttributeValue

__all__ = ["EndedSpans", "Period"]

_NO_CONTEXT = Context()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_LATEST = (1 << 63) - 1


class Period(NamedTuple):
    """From when to when, in ns since the epoch; what the protocol cannot carry would cost the whole batch and is cut."""

    start: int
    end: int


class EndedSpans:
    """Makes the spans of one scope. A trace is sampled as a whole: what the sampler says of its root holds for what is below it."""

    def __init__(self, provider: TracerProvider, scope: InstrumentationScope) -> None:
        self._sampler, self._ids, self._resource, self._scope = provider.sampler, provider.id_generator, provider.resource, scope
        limits = SpanLimits()  # of the variables OTEL_SPAN_ATTRIBUTE_*_LIMIT
        self._most, self._longest = limits.max_span_attributes, limits.max_span_attribute_length

    def begin(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> tuple[SpanContext, Attributes] | None:
        """Begin a trace; return its root's context and what the sampler adds to it, None when the sampler does not want it."""
        trace_id = self._ids.generate_trace_id()
        found = self._sampler.should_sample(_NO_CONTEXT, trace_id, name, kind, {}, ())
        if found.decision is not Decision.RECORD_AND_SAMPLE:
            return None
        return SpanContext(trace_id, self._ids.generate_span_id(), False, _SAMPLED, found.trace_state), found.attributes

    def below(self, parent: SpanContext) -> SpanContext:
        """Return the context of a span below another."""
        return SpanContext(parent.trace_id, self._ids.generate_span_id(), False, parent.trace_flags, parent.trace_state)

    def span(
        self,
        name: str,
        context: SpanContext,
        period: Period,
        attributes: Mapping[str, AttributeValue],
        *,
        sampled: Attributes = None,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
    ) -> ReadableSpan:
        """Return a span, which takes the attributes for its own; ``sampled`` are those that the sampler adds."""
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            self._limited({**attributes, **sampled} if sampled else attributes),
            kind=kind,
            status=_FAILED if failed else _UNSET,
            start_time=min(max(period.start, 0), _LATEST),
            end_time=min(max(period.end, 0), _LATEST),
            instrumentation_scope=self._scope,
        )

    def _limited(self, attributes: Mapping[str, AttributeValue]) -> Attributes:
        if self._longest is None and (self._most is None or len(attributes) <= self._most):
            return attributes
        return BoundedAttributes(self._most, attributes, immutable=True, max_value_len=self._longest)
