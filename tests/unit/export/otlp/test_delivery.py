"""export/otlp/delivery.py: what is said of a collector that comes and goes."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from perflens.export.otlp.answers import Answer
from perflens.export.otlp.delivery import Delivery
from perflens.export.otlp.ledger import SpanLedger
from perflens.export.otlp.quiet import Listener


def test_no_line_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    """A collector that fails every other batch is told of once a minute."""
    times = iter(range(0, 10_000, 5))
    delivery = Delivery(Flapping(), Answer(), Listener(), SpanLedger(10), lambda pairs: None, "http://c:1", lambda: next(times))
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            delivery.export([])
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == ["spans are not exported", "spans are exported again"]
    assert told.count("spans are not exported") == told.count("spans are exported again") < 9


class Flapping(InMemorySpanExporter):
    """Fails every other time."""

    calls = 0

    def export(self, spans: object) -> SpanExportResult:
        self.calls += 1
        return SpanExportResult(self.calls % 2)
