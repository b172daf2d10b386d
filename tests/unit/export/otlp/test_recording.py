"""export/otlp/incidents.py and recording.py: log records of incidents, and where every one went."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from perflens.export.otlp.incidents import LogCounts, NoIncidentLog, start
from perflens.export.otlp.recording import Recorder
from perflens.export.otlp.variables import is_enabled, options
from tests.servers import wait_for
from tests.unit.annotate.incidents import BEGIN, incident

ROOT = Path(__file__).resolve().parents[4]
DELIVERED = {"opened": 0, "updated": 0, "resolved": 0}


class Sink(LogRecordExporter):
    """Keeps what it is given once ``open``, and answers as told."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.answer: LogRecordExportResult | Exception = LogRecordExportResult.SUCCESS

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        self.entered.set()
        self.open.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        self.records += batch
        return self.answer

    def shutdown(self) -> None:
        self.open.set()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


def recorder(sink: Sink, **variables: str) -> Recorder:
    environment = {"OTEL_BLRP_SCHEDULE_DELAY": "10", **{f"OTEL_BLRP_{name}": value for name, value in variables.items()}}
    return Recorder(options("http://c:1", "auto", environment, "LOGS"), sink)


def settled(log: Recorder) -> LogCounts:
    """The counts once nothing waits."""

    def nothing_waits() -> LogCounts | None:
        counts = log.counts()
        return counts if counts and not counts.pending else None

    return wait_for(nothing_waits, 20, "every record is delivered or dropped", 0.01)


def test_record() -> None:
    """A change is a record with its name, its time, its severity, the summary and the attributes; the resource is the agent."""
    sink = Sink()
    log = recorder(sink)
    log.put("opened", incident())
    log.close()
    (found,) = sink.records
    own = found.log_record

    assert (own.event_name, own.timestamp, own.severity_number.value, own.severity_text) == (
        "perflens.incident.opened",
        BEGIN * 10**9,
        13,
        "WARN",
    )
    assert (own.body, own.attributes["perflens.incident.id"]) == ("reads of sda wait for the backup", "0badcafe")
    assert found.resource.attributes["service.name"] == "perflens"
    assert (found.instrumentation_scope.name, own.trace_id, own.span_id) == ("perflens", 0, 0)


def test_counts() -> None:
    """Records are delivered by what they tell, or dropped when they failed; a failure is a line, and so is that it is over."""
    sink = Sink()
    log = recorder(sink)
    for change in ("opened", "updated", "updated", "resolved"):
        log.put(change, incident())
    counts = settled(log)
    assert (counts.delivered, counts.failed, counts.up) == ({"opened": 1, "updated": 2, "resolved": 1}, {"export": 0}, True)
    sink.answer = RuntimeError("the collector is down")
    log.put("opened", incident())
    counts = settled(log)
    assert (counts.failed, counts.dropped, counts.up) == ({"export": 1}, {"queue_full": 0, "rejected": 0, "unsent": 1}, False)
    log.close()


def test_lines(caplog: pytest.LogCaptureFixture) -> None:
    """One line when records begin to fail, one when they arrive again."""
    sink = Sink()
    log = recorder(sink)
    with caplog.at_level(logging.INFO):
        for answer in (LogRecordExportResult.FAILURE, ValueError("a secret header"), LogRecordExportResult.SUCCESS):
            sink.answer = answer
            log.put("opened", incident())
            settled(log)
        log.close()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["incidents are not exported", "incidents are exported again"]
    assert "secret" not in str([record.__dict__ for record in caplog.records])


def test_queue_is_bounded() -> None:
    """While a collector hangs no more are kept than the queue holds, and the others are counted; nobody waits."""
    sink = Sink()
    sink.open.clear()
    log = recorder(sink, MAX_QUEUE_SIZE="4", MAX_EXPORT_BATCH_SIZE="2")
    for _ in range(10):
        log.put("opened", incident())
    counts = log.counts()
    assert counts
    assert (counts.pending, counts.dropped["queue_full"]) == (4, 6)
    sink.open.set()
    log.close()
    assert len(sink.records) == 4


def test_end(caplog: pytest.LogCaptureFixture) -> None:
    """The end waits for its time and no longer; what is unsent then is dropped, and so is what comes later."""
    sink = Sink()
    sink.open.clear()
    log = recorder(sink)
    log.put("opened", incident())
    assert sink.entered.wait(20)
    began = time.monotonic()
    log.close(0.5)
    assert time.monotonic() - began < 10
    log.put("resolved", incident())
    counts = log.counts()
    assert counts
    assert (counts.delivered, counts.dropped["unsent"], counts.pending) == (DELIVERED, 2, 0)
    assert "incidents were not exported before the end" in caplog.text


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        ("", {}, False),
        ("http://a", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, True),
        ("", {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://a"}, True),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, False),
        ("", {"OTEL_LOGS_EXPORTER": "otlp"}, True),
        ("http://a", {"OTEL_LOGS_EXPORTER": "none"}, False),
        ("http://a", {"OTEL_TRACES_EXPORTER": "none"}, True),
        ("http://a", {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_enabled(endpoint: str, environment: dict[str, str], expected: bool) -> None:
    """What turns spans on turns incidents on too, and each has a switch of its own."""
    assert is_enabled(endpoint, environment, "LOGS") is expected


def test_options() -> None:
    """The variables of logs, and the path of logs below the endpoint of all."""
    assert options("http://c:4318", "auto", {}, "LOGS").endpoint == "http://c:4318/v1/logs"
    variables = {
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://l/x",
        "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "none",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "9",
    }
    own = options("", "auto", variables, "LOGS")
    assert (own.endpoint, own.compression, own.queue, own.batch, own.delay) == ("http://l/x", "none", 9, 9, 1_000)


def test_not_asked_for() -> None:
    """Without a collector nothing of OpenTelemetry is imported, and the null object takes everything."""
    code = (
        "import sys; from perflens.export.otlp import incidents; log = incidents.start('', 'auto', {}); "
        "log.put('opened', None); log.close(); "
        "sys.exit(bool(log.counts() or {'opentelemetry', 'grpc', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": "exporter"}, check=False).returncode == 0


def test_not_to_be_had(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that does not exist, or packages that are missing, are one line with the cure, and the agent goes on."""
    assert isinstance(start("http://c", "auto", {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json"}), NoIncidentLog)
    monkeypatch.delitem(sys.modules, "perflens.export.otlp.recording")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk._logs", None)
    assert isinstance(start("http://c", "auto", {}), NoIncidentLog)

    assert [record.getMessage() for record in caplog.records] == ["no incidents are sent"] * 2
    assert caplog.records[1].fields["cure"] == "pip install --upgrade 'perflens[otlp]'"  # type: ignore[attr-defined]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_started(protocol: str) -> None:
    """Asked for, it is there, by either protocol, and ends at once when there is nothing to send."""
    log = start("http://127.0.0.1:1", protocol)
    assert isinstance(log, Recorder)
    log.close()
    counts = log.counts()
    assert counts
    assert (counts.delivered, counts.pending) == (DELIVERED, 0)
