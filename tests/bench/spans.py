"""Spans: how many a core makes and exports, and what a collector that hangs costs the drain."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Event

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from perflens.export.otlp.spans import NoSpans, Spans
from perflens.export.otlp.tracing import TracedSpans
from perflens.export.otlp.variables import Options
from tests.bench.report import Line, Result
from tests.bench.ring import drained, stormed
from tests.bench.rounds import Rounds, Spread
from tests.evidence import evidence

__all__ = ["slow_collector", "spans"]

_OPERATIONS = 4_000
_ROUNDS = 7
_OPTIONS = Options("http/protobuf", "http://localhost:4318/v1/traces", "none", queue=2_048, batch=512, delay=100)


class _Encoding(SpanExporter):
    """Does all that the exporter over HTTP does but send."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


class _Hanging(SpanExporter):
    """Takes nothing until it is shut down."""

    def __init__(self) -> None:
        self._ended = Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._ended.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._ended.set()


def _rate(waits: int) -> float:
    """Return the spans that are made and exported in a second of CPU time, of all threads."""
    kernel = tuple(f"function_number_{number}+0x1a" for number in range(12))
    own = evidence(kernel=kernel) if waits else evidence(kernel=kernel, waits=(), waits_seen=0)
    made = TracedSpans(_OPTIONS, lambda _: None, _Encoding())
    began = time.process_time()
    for _ in range(_OPERATIONS):
        while made.counts()["in_queue"] > _OPTIONS.queue - 1 - waits:
            time.sleep(0.002)
        made.emit(own)
    made.close(30)
    took, exported = time.process_time() - began, made.counts()["exported"]
    if exported != _OPERATIONS * (1 + waits):
        raise RuntimeError(f"spans were lost: {dict(made.counts())}")
    return exported / took


def spans() -> Iterator[Line]:
    """Spans of operations with and without a wait, made, encoded and counted."""
    rates = {waits: [_rate(waits) for _ in range(_ROUNDS)] for waits in (1, 0)}
    for waits, own in rates.items():
        value = Spread.of(rate / 1e3 for rate in own)
        told = f"{value.median / (1 + waits):.1f} k operations/s, {1 + waits} spans each, a stack of 14 frames, no network"
        yield Result("spans", f"made and exported a second of CPU, {waits} waits", value, "k/s", 10 if waits else None, told, at_least=True)


def slow_collector() -> Iterator[Line]:
    """Time of the drain while a collector hangs, as a multiple of its time without spans, in a storm of events."""
    hanging = TracedSpans(_OPTIONS, lambda _: None, _Hanging())
    variants: dict[str, Spans] = {"no spans": NoSpans(), "a collector that hangs": hanging}
    with stormed(1_000) as (agent, _, counts):
        rounds, lost = [], dict.fromkeys(variants, 0)
        for _ in range(_ROUNDS):
            own = {}
            for name, chosen in variants.items():
                agent.explainer.spans = chosen
                found = drained(agent.intake.drain, counts)
                own[name] = found.busy / found.taken * 1e6
                lost[name] += found.lost
            rounds.append(own)
    hanging.close(1)
    found_all = Rounds(rounds)
    told = ", ".join(f"{name} {found_all.plain(name).median:.2f} us an event and {lost[name]:,} lost" for name in variants)
    value = found_all.ratio("a collector that hangs", "no spans")
    yield Result("slow_collector", "drain with a collector that hangs / without spans", value, "×", 1.2, told)
