"""export/otlp/tracing.py, delivery.py, ledger.py: the span tree, and where every span went."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from perflens import __version__
from perflens.export.otlp.tracing import TracedSpans
from perflens.export.otlp.variables import options
from perflens.model import BlockRequest, Evidence, Exemplar, Wait

MS = 1_000_000
START, WALL = 5_000_000_000, 1_700_000_000_000_000_000
Pairs = list[tuple[Evidence, Exemplar]]


class Sink(SpanExporter):
    """Keeps what it is given once ``open``, and answers as told."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.open = threading.Event()
        self.open.set()
        self.answer: SpanExportResult | Exception = SpanExportResult.SUCCESS

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.spans += spans
        return self.answer

    def shutdown(self) -> None:
        self.open.set()


@pytest.fixture
def sink() -> Sink:
    return Sink()


def traced(sink: Sink, exported: Pairs | None = None, **variables: str) -> TracedSpans:
    note = [] if exported is None else exported
    return TracedSpans(options("http://c:1", "auto", {f"OTEL_BSP_{name}": value for name, value in variables.items()}), note.extend, sink)


def balanced(spans: TracedSpans) -> bool:
    counts = spans.counts()
    return counts["created"] == counts["exported"] + counts["rejected"] + counts["failed"] + counts["in_queue"]


def test_tree(make: Callable[..., Evidence], sink: Sink) -> None:
    """An operation is a span, each of its waits one below it, at the times when they were."""
    spans = traced(sink)
    ids = spans.emit(make())
    spans.close()
    io, lock, root = sink.spans
    assert (root.name, io.name, lock.name) == ("file.read", "wait.io", "wait.lock")
    assert ids
    assert ids[:2] == (f"{root.context.trace_id:032x}", f"{root.context.span_id:016x}")
    assert root.parent is None
    assert {span.kind for span in sink.spans} == {SpanKind.INTERNAL}
    assert [span.parent and span.parent.span_id for span in (io, lock)] == [root.context.span_id] * 2
    assert len({span.context.trace_id for span in sink.spans}) == 1
    assert (root.start_time, root.end_time) == (WALL, WALL + 20 * MS)
    assert (io.start_time, io.end_time, lock.end_time) == (WALL + MS, WALL + 14 * MS, WALL + 20 * MS)
    assert (root.attributes or {})["process.pid"] == 4711
    assert root.status.status_code is StatusCode.UNSET
    assert spans.counts()["exported"] == 3


SERVED = BlockRequest("write", (254, 0), 800, 4_096, START + 2 * MS, 0, MS, 2 * MS, 0, "vda")
LOST = BlockRequest("flush", (254, 0), 2**64 - 1, 0, START + 6 * MS, MS, 0, MS, 5)


def test_requests_of_an_operation(make: Callable[..., Evidence], sink: Sink) -> None:
    """Each request that served an operation is a span below it; one that was slow itself is told of with that span."""
    exported: Pairs = []
    spans = traced(sink, exported)
    slow = make(probe="block", is_request=True, requests=(SERVED,), duration=3 * MS, waits=())
    ids = spans.emit(make(waits=(), requests=(SERVED, LOST), requests_seen=9), [slow])
    spans.close()
    served, lost, root = sink.spans

    assert ids
    assert ids.requests == {own.identity: f"{span.context.span_id:016x}" for own, span in ((SERVED, served), (LOST, lost))}
    assert [(span.name, span.parent and span.parent.span_id) for span in (served, lost)] == [
        ("block.write", root.context.span_id),
        ("block.flush", root.context.span_id),
    ]
    assert (served.start_time, served.end_time) == (WALL + 2 * MS, WALL + 5 * MS)
    assert [span.status.status_code for span in (served, lost)] == [StatusCode.UNSET, StatusCode.ERROR]
    assert [(own.event.probe, exemplar[:3]) for own, exemplar in exported] == [
        ("block", (ids.trace_id, ids.requests[SERVED.identity], 3 * MS)),
        ("file", (*ids[:2], 20 * MS)),
    ]
    assert spans.counts()["exported"] == 3


def test_request_without_an_operation(make: Callable[..., Evidence], sink: Sink) -> None:
    """A request of its own is one span, with nothing below it."""
    spans = traced(sink)
    spans.emit(make(probe="block", operation="write", is_request=True, requests=(SERVED,), requests_seen=1, waits=()))
    spans.close()

    assert [span.name for span in sink.spans] == ["block.write"]


def test_error_status(make: Callable[..., Evidence], sink: Sink) -> None:
    """An operation that failed is a span that failed."""
    spans = traced(sink)
    spans.emit(make(result=-5, waits=()))
    spans.close()
    assert sink.spans[0].status.status_code is StatusCode.ERROR


def test_traces_of_their_own(make: Callable[..., Evidence], sink: Sink) -> None:
    """Each operation is a trace."""
    spans = traced(sink)
    ids = [spans.emit(make()) for _ in range(23)]
    spans.close()
    assert len({pair[0] for pair in ids if pair}) == 23


def test_in_progress(make: Callable[..., Evidence], sink: Sink) -> None:
    """What has not ended is no span, and none that was dropped."""
    spans = traced(sink)
    assert spans.emit(make(in_progress=True)) is None
    spans.close()
    assert not any(spans.counts().values())


def test_impossible_times(make: Callable[..., Evidence], sink: Sink) -> None:
    """A time that the protocol cannot carry costs no batch."""
    spans = traced(sink)
    event = make(waits=(Wait(0, 0, 2**64 - 1, "io"),))
    spans.emit(replace(event, wall_start=0))
    spans.close()
    assert all(0 <= (span.start_time or 0) <= (span.end_time or 0) < 2**63 for span in sink.spans)


def test_node_of_a_cluster(make: Callable[..., Evidence], sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node that the configuration names is the resource's, before what variables say."""
    monkeypatch.setenv("NODE_NAME", "node-7")
    spans = TracedSpans(options("http://c:1", "auto", {}), lambda _: None, sink, node="node-1")
    spans.emit(make(waits=()))
    spans.close()
    found = sink.spans[0].resource.attributes

    assert (found["k8s.node.name"], found["host.name"]) == ("node-1", "node-1")


def test_resource(make: Callable[..., Evidence], sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource is the agent; the variables stand over it, and no workload is in it."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,host.name=own")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lens-2")
    monkeypatch.setenv("NODE_NAME", "node-7")
    spans = traced(sink)
    spans.emit(make(waits=()))
    spans.close()
    found = dict(sink.spans[0].resource.attributes)
    assert found["service.name"] == "lens-2"
    assert found["service.version"] == __version__
    assert (found["host.name"], found["k8s.node.name"], found["os.type"]) == ("own", "node-7", "linux")
    assert found["deployment.environment.name"] == "prod"
    assert found["service.instance.id"]
    assert hash(sink.spans[0].resource) == hash(sink.spans[0].resource)
    assert "postgres" not in str(found)
    scope = sink.spans[0].instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("perflens", __version__)


def test_exported(make: Callable[..., Evidence], sink: Sink) -> None:
    """Operations are told of once a collector has them, with the exemplar of their series."""
    exported: Pairs = []
    spans = traced(sink, exported)
    evidence = make()
    ids = spans.emit(evidence)
    assert ids
    spans.close()
    assert exported == [(evidence, Exemplar(*ids[:2], 20 * MS, (WALL + 20 * MS) / 1e9))]


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, ValueError("no")])
def test_failed(make: Callable[..., Evidence], sink: Sink, answer: SpanExportResult | Exception) -> None:
    """A batch that failed is counted, and nobody is told of its operations."""
    exported: Pairs = []
    sink.answer = answer
    spans = traced(sink, exported)
    spans.emit(make())
    spans.close()
    assert not exported
    assert spans.counts() == {"created": 3, "failed": 3, "exported": 0, "rejected": 0, "queue_full": 0, "sampled_out": 0, "in_queue": 0}


def test_callback_fails(make: Callable[..., Evidence], sink: Sink) -> None:
    """What the listener does with it is not the exporter's affair."""

    def broken(pairs: Sequence[tuple[Evidence, Exemplar]]) -> None:
        raise RuntimeError(len(pairs))

    spans = TracedSpans(options("http://c:1", "auto", {}), broken, sink)
    spans.emit(make())
    spans.close()
    assert spans.counts()["exported"] == 3


def test_overflow(make: Callable[..., Evidence], sink: Sink) -> None:
    """A queue that is full takes no tree, and never a part of one; every span is accounted for."""
    sink.open.clear()
    spans = traced(sink, MAX_QUEUE_SIZE="20", MAX_EXPORT_BATCH_SIZE="4")
    kept = sum(spans.emit(make()) is not None for _ in range(100))
    counts = spans.counts()
    assert kept == 6
    assert (counts["created"], counts["in_queue"], counts["queue_full"]) == (18, 18, 282)
    assert spans.emit(make(waits=()))
    sink.open.set()
    spans.close()
    assert spans.counts() == {**counts, "created": 19, "exported": 19, "in_queue": 0}
    assert len(sink.spans) == 19


def test_balance_while_running(make: Callable[..., Evidence], sink: Sink) -> None:
    """The identity holds at every moment, whatever the exporter does."""
    spans = traced(sink, MAX_QUEUE_SIZE="64", MAX_EXPORT_BATCH_SIZE="7", SCHEDULE_DELAY="1")
    for number in range(3_000):
        sink.answer = SpanExportResult(number // 50 % 2)
        spans.emit(make())
        assert balanced(spans)
    spans.close()
    counts = spans.counts()
    assert balanced(spans)
    assert counts["in_queue"] == 0
    assert counts["created"] + counts["queue_full"] == 9_000
    assert len({span.context.span_id for span in sink.spans}) == counts["exported"] + counts["failed"]


@pytest.mark.parametrize(("sampler", "expected"), [("always_off", 3), ("parentbased_always_off", 3), ("always_on", 0)])
def test_sampled_out(make: Callable[..., Evidence], sink: Sink, monkeypatch: pytest.MonkeyPatch, sampler: str, expected: int) -> None:
    """What the sampler leaves out is counted and costs no room."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    spans = traced(sink)
    assert (spans.emit(make()) is None) == bool(expected)
    spans.close()
    assert (spans.counts()["sampled_out"], spans.counts()["created"]) == (expected, 3 - expected)


def test_ratio(make: Callable[..., Evidence], sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ratio keeps whole trees."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    spans = traced(sink)
    kept = sum(spans.emit(make()) is not None for _ in range(200))
    spans.close()
    assert 50 < kept < 150
    assert len(sink.spans) == 3 * kept
    assert spans.counts()["sampled_out"] == 600 - 3 * kept


def test_limits(make: Callable[..., Evidence], sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of the SDK hold, and what they leave out is told."""
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7")
    spans = traced(sink)
    spans.emit(make(waits=()))
    spans.close()
    found = sink.spans[0].attributes or {}
    assert len(found) == 5
    assert sink.spans[0].dropped_attributes > 0
    assert max(len(value) for value in found.values() if isinstance(value, str)) == 7


def test_close_abandons(make: Callable[..., Evidence], sink: Sink) -> None:
    """What an exporter holds on to at the end has failed, even if it comes back later."""
    sink.open.clear()
    sink.shutdown = lambda: None  # type: ignore[method-assign]
    exported: Pairs = []
    spans = traced(sink, exported)
    spans.emit(make())
    spans.close(0.3)
    expected = {"created": 3, "failed": 3, "exported": 0, "rejected": 0, "queue_full": 0, "sampled_out": 0, "in_queue": 0}
    assert spans.counts() == expected
    sink.open.set()
    assert spans.emit(make()) is None
    spans.close(1)
    assert spans.counts() == {**expected, "created": 6, "failed": 6}
    assert not exported


def test_lines(make: Callable[..., Evidence], sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """One line when exports begin to fail and one when they succeed again, and nothing of the SDK's own."""
    sink.answer = RuntimeError("refused")
    with caplog.at_level(logging.INFO):
        spans = traced(sink, MAX_EXPORT_BATCH_SIZE="3", SCHEDULE_DELAY="1")
        for _ in range(5):
            spans.emit(make())
        while spans.counts()["in_queue"]:
            pass
        sink.answer = SpanExportResult.SUCCESS
        for _ in range(5):
            spans.emit(make())
        spans.close()
    lines = [(record.name, record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    assert lines == [
        ("perflens.export.otlp.delivery", "spans are not exported", {"server": "c:1", "reason": "refused"}),
        ("perflens.export.otlp.delivery", "spans are exported again", {"server": "c:1", "lost": 15}),
    ]


def test_bad_variables_are_told(sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What the SDK makes of a variable that it cannot read is one line, without the value."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "secret-sampler")
    traced(sink).close()
    assert [record.getMessage() for record in caplog.records] == ["OpenTelemetry warns"]
    assert "secret" not in str([getattr(record, "fields", {}) for record in caplog.records])
