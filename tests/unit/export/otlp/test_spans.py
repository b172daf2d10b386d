"""export/otlp/spans.py: spans when they are asked for and can be had, else nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perflens.export.otlp.spans import NoSpans, start
from perflens.export.otlp.tracing import TracedSpans
from perflens.model import Evidence

ROOT = Path(__file__).resolve().parents[4]


def test_not_asked_for(make: Callable[..., Evidence]) -> None:
    """The null object takes everything."""
    spans = start("", "auto", lambda pairs: None, {})
    assert isinstance(spans, NoSpans)
    assert (spans.reason, spans.emit(make()), dict(spans.counts())) == ("", None, {})
    spans.close()


def test_not_imported() -> None:
    """Without a collector nothing of OpenTelemetry is imported."""
    code = (
        "import sys; from perflens.export.otlp import spans; spans.start('', 'auto', print, {}); "
        "sys.exit(bool({'opentelemetry', 'grpc', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": "exporter"}, check=False).returncode == 0


def test_requests_not_imported() -> None:
    """Spans over HTTP do without requests, which takes memory."""
    code = (
        "import sys; from perflens.export.otlp import spans; own = spans.start('http://127.0.0.1:1', 'auto', print, {}); own.close(0.1); "
        "sys.exit(bool(own.reason) or 'requests' in sys.modules)"
    )
    environment = {"PYTHONPATH": "exporter", "HOME": "/nonexistent"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False).returncode == 0


def test_not_installed(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that are missing are one line with the cure, and the agent goes on."""
    monkeypatch.delitem(sys.modules, "perflens.export.otlp.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.INFO):
        spans = start("http://c", "auto", lambda pairs: None, {})
    assert isinstance(spans, NoSpans)
    assert "opentelemetry" in spans.reason
    (record,) = caplog.records
    assert record.fields["cure"] == "pip install 'perflens[otlp]'"  # type: ignore[attr-defined]
    assert not record.exc_info


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}],
)
def test_unusable(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Variables that cannot work are one line, and the agent goes on."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spans = start("http://c", "auto", lambda pairs: None)
    assert spans.reason
    assert [record.getMessage() for record in caplog.records] == ["no spans are sent"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_started(protocol: str) -> None:
    """Asked for, they are there, by either protocol, and end at once when there is nothing to send."""
    spans = start("http://127.0.0.1:1", protocol, lambda pairs: None)
    assert isinstance(spans, TracedSpans)
    spans.close()
    assert not any(spans.counts().values())
