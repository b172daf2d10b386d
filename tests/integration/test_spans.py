"""Spans at a real OpenTelemetry Collector: all of them arrive, once, and what does not arrive is counted."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from perflens.export.otlp.spans import Spans, start
from perflens.model import Evidence, Exemplar
from tests.integration.collectors import PORTS, Place, named, read, roots
from tests.servers import wait_for
from tests.unit.export.otlp.conftest import evidence

OPERATIONS = 1_009
Pairs = list[tuple[Evidence, Exemplar]]


def ids(pairs: Pairs) -> set[tuple[str, str]]:
    return {(exemplar.trace_id, exemplar.span_id) for _, exemplar in pairs}


def settled(spans: Spans) -> None:
    wait_for(lambda: not spans.counts()["in_queue"], 30, "every span is exported or has failed", 0.02)


def close(spans: Spans) -> None:
    """End, in time and with every span accounted for."""
    began = time.monotonic()
    spans.close()
    assert time.monotonic() - began < 5
    counts = spans.counts()
    assert counts["created"] == counts["exported"] + counts["rejected"] + counts["failed"]


def emitting(spans: Spans, until: Callable[[], bool], seconds: float = 30) -> None:
    """Emit an operation every 5 ms until something has happened."""

    def emitted() -> bool:
        spans.emit(evidence())
        return until()

    wait_for(emitted, seconds, "what was waited for happened", 0.005)


@pytest.mark.parametrize("protocol", PORTS)
def test_all_arrive(place: Place, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every span arrives once, with the ids that emit returned, its times and its attributes."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10000")
    exported: Pairs = []
    with place.collector() as file:
        spans = start(place.url(protocol), protocol, exported.extend)
        returned = [(spans.emit(evidence(tid=number, comm="\udcff\n")) or ())[:2] for number in range(OPERATIONS)]
        settled(spans)
        close(spans)
    received = list(read(file))
    assert spans.counts()["exported"] == len(received) == 3 * OPERATIONS
    assert len({span["spanId"] for span, _ in received}) == 3 * OPERATIONS
    assert roots(file) == ids(exported) == set(returned)
    span, resource = next(pair for pair in received if not pair[0].get("parentSpanId"))
    found = named(span["attributes"])
    assert (span["name"], span["kind"]) == ("file.read", 1)
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 20_000_000
    assert returned[int(found["thread.id"])] == (span["traceId"], span["spanId"])
    assert (found["thread.name"], found["process.pid"], found["perflens.on_cpu"]) == (r"\xff\x0a", "4711", 0.001)
    assert found["code.stacktrace"].startswith("io_schedule+0x46\n")
    children = [child for child, _ in received if child.get("parentSpanId") == span["spanId"]]
    assert {child["name"] for child in children} == {"wait.io", "wait.lock"}
    assert {child["traceId"] for child in children} == {span["traceId"]}
    assert named(resource["attributes"])["service.name"] == "perflens"


@pytest.mark.parametrize("protocol", PORTS)
def test_late(place: Place, protocol: str) -> None:
    """A collector that comes late gets what is emitted from then on; what was lost before is counted."""
    exported: Pairs = []
    spans = start(place.url(protocol), protocol, exported.extend)
    emitting(spans, lambda: spans.counts()["failed"] > 0)
    assert spans.counts()["exported"] == 0
    with place.collector() as file:
        emitting(spans, lambda: spans.counts()["exported"] > 0)
        last = spans.emit(evidence())
        settled(spans)
        close(spans)
    assert last
    assert last[:2] in ids(exported)
    assert roots(file) == ids(exported)
    assert sum(1 for _ in read(file)) == spans.counts()["exported"]


@pytest.mark.parametrize("protocol", PORTS)
def test_killed(place: Place, protocol: str) -> None:
    """A collector that is killed half-way costs counted spans, and the next one gets the rest."""
    exported: Pairs = []
    spans = start(place.url(protocol), protocol, exported.extend)
    with place.collector(end=signal.SIGKILL):
        emitting(spans, lambda: spans.counts()["exported"] > 100)
    emitting(spans, lambda: spans.counts()["failed"] > 0)
    before = len(exported)
    with place.collector("second") as file:
        emitting(spans, lambda: len(exported) > before)
        settled(spans)
        close(spans)
    assert roots(file) == ids(exported[before:])
    assert spans.counts()["exported"] + spans.counts()["failed"] == spans.counts()["created"]


@pytest.mark.parametrize("protocol", PORTS)
def test_gone_at_the_end(place: Place, protocol: str) -> None:
    """When the collector is gone at the end, the end is quick all the same."""
    spans = start(place.url(protocol), protocol, lambda pairs: None)
    with place.collector(end=signal.SIGKILL):
        emitting(spans, lambda: spans.counts()["exported"] > 100)
    for _ in range(500):
        spans.emit(evidence())
    close(spans)
    assert spans.counts()["in_queue"] == 0
