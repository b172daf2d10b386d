"""Collectors that are absent, hang, refuse, break off or answer nonsense: no stall, exact counts, one line, a quick end."""

from __future__ import annotations

import logging
import re
import shutil
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET
from threading import Event, Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from perflens.export.otlp.spans import Spans, start
from perflens.model import Evidence, Exemplar

ROOT = Path(__file__).resolve().parents[4]
ABSENT = "http://127.0.0.1:1"
PROTOBUF = "application/x-protobuf"
AGENT = """
import importlib.util, sys, time
sys.path[:0] = ["exporter", "."]
spec = importlib.util.spec_from_file_location("conftest", "tests/unit/export/otlp/conftest.py")
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from perflens.export.otlp.spans import start
url, protocol, close = sys.argv[1:]
spans = start(url, protocol, print)
for _ in range(300):
    spans.emit(conftest.evidence())
time.sleep(0.3)
if close != "no":
    spans.close(float(close))
"""
Respond = Callable[[BaseHTTPRequestHandler], None]
Make = Callable[..., Evidence]


@dataclass
class Collector:
    """A server on loopback that does what ``respond`` says; the bodies that it got are in ``requests``."""

    respond: Respond
    requests: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    url: str = ""


def answering(status: int, body: bytes = b"", kind: str = PROTOBUF, **headers: str) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def raw(data: bytes) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return respond


@contextmanager
def running(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[Collector]:
    collector = Collector(respond)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            collector.requests.append(self.rfile.read(int(self.headers["Content-Length"])))
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            collector.respond(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    collector.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        collector.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export as soon as there is something, and give up after a second."""
    for name, value in {"BSP_SCHEDULE_DELAY": "10", "BSP_MAX_QUEUE_SIZE": "30", "EXPORTER_OTLP_TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"OTEL_{name}", value)


def settle(spans: Spans, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while spans.counts()["in_queue"]:
        assert time.monotonic() < deadline, spans.counts()
        time.sleep(0.01)


def closed_in(spans: Spans) -> float:
    began = time.monotonic()
    spans.close()
    counts = spans.counts()
    assert counts["created"] == counts["exported"] + counts["rejected"] + counts["failed"]
    return time.monotonic() - began


def hanging(collector_over: Event) -> Respond:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        collector_over.wait(30)

    return respond


def unanswered(handler: BaseHTTPRequestHandler) -> None:
    """Reset the connection while the client waits for the answer."""
    handler.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.shutdown(SHUT_RDWR)
    handler.close_connection = True


def half_an_answer(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    handler.close_connection = True


FAULTS: dict[str, tuple[Respond, str]] = {
    "503": (answering(503, Retry_After="30"), "HTTP 503"),
    "429": (answering(429, Retry_After="30"), "HTTP 429"),
    "400": (answering(400, b"<html>no</html>", "text/html"), "HTTP 400"),
    "404": (answering(404), "HTTP 404"),
    "redirect": (answering(302, Location="http://127.0.0.1:1/"), "HTTP 302"),
    "reset": (unanswered, "(Remote end closed connection|.*reset by peer)"),
    "half": (half_an_answer, ".+"),
    "garbage": (raw(b"\x00\xff nonsense \r\n\r\n"), ".+"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Every span of a batch that did not arrive has failed; when the collector is well again, spans arrive without a restart."""
    respond, reason = FAULTS[fault]
    exported: list[tuple[Evidence, Exemplar]] = []
    with running(respond) as collector, caplog.at_level(logging.INFO):
        spans = start(collector.url, "auto", exported.extend)
        assert spans.emit(make())
        settle(spans)
        assert spans.counts()["failed"] == 3
        assert not exported
        collector.respond = answering(200)
        ids = spans.emit(make())
        settle(spans)
        assert ids
        assert [pair[1][:2] for pair in exported] == [ids[:2]]
        assert closed_in(spans) < 3.5
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["spans are sent", "spans are not exported", "spans are exported again"]
    assert re.match(reason, caplog.records[1].fields["reason"])  # type: ignore[attr-defined]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.usefixtures("quick")
def test_hanging(make: Make) -> None:
    """A collector that never answers stalls nobody; the queue fills, and what does not fit is counted."""
    over = Event()
    with running(hanging(over)) as collector:
        spans = start(collector.url, "auto", lambda pairs: None)
        slowest = 0.0
        for _ in range(50):
            began = time.perf_counter()
            spans.emit(make())
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 0.1
        counts = spans.counts()
        assert (counts["created"], counts["queue_full"]) == (30, 120)
        assert closed_in(spans) < 3.5
        over.set()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_absent(protocol: str, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A collector that is not there: emit goes on, the end is quick though the SDK is between two tries, one line."""
    spans = start(ABSENT, protocol, lambda pairs: None)
    for _ in range(150):
        spans.emit(make())
    time.sleep(0.2)
    assert closed_in(spans) < 3.5
    assert spans.counts()["failed"] == 450
    assert not any(record.exc_info for record in caplog.records)
    assert {record.name.split(".")[0] for record in caplog.records} <= {"perflens"}


@pytest.mark.usefixtures("quick")
def test_absent_grpc_is_told(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """The reason that gRPC gives is in the line."""
    spans = start(ABSENT, "grpc", lambda pairs: None)
    spans.emit(make())
    settle(spans)
    spans.close()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "UNAVAILABLE" in record.fields["reason"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            ExportTraceServiceResponse(
                partial_success=ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
            ).SerializeToString(),
            PROTOBUF,
        ),
        (b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}', "application/json"),
    ],
)
def test_rejected(body: bytes, kind: str, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Spans that a collector says it refused are counted; which ones it does not say, so none becomes an exemplar."""
    exported: list[tuple[Evidence, Exemplar]] = []
    with running(answering(200, body, kind)) as collector:
        spans = start(collector.url, "auto", exported.extend)
        spans.emit(make())
        settle(spans)
        assert closed_in(spans) < 1
    counts = spans.counts()
    assert (counts["exported"], counts["rejected"], counts["failed"]) == (1, 2, 0)
    assert not exported
    assert [record.fields["reason"] for record in caplog.records] == ["2 spans were rejected: too old"]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("body", [b"", b"ok", b"\xff" * 100_000])
def test_odd_success(body: bytes, make: Make) -> None:
    """A success is one, whatever is written below it, and no more of it is read than a collector would send."""
    with running(answering(200, body)) as collector:
        spans = start(collector.url, "auto", lambda pairs: None)
        for _ in range(2):
            spans.emit(make())
            settle(spans)
        spans.close()
    assert spans.counts()["exported"] == 6


@pytest.mark.usefixtures("quick")
def test_request(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard variables reach the wire: path, headers, compression."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0ken")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with running(answering(200)) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        spans = start("", "auto", lambda pairs: None)
        spans.emit(make(comm="\udcff\n"))
        spans.close()
    assert collector.headers[0]["authorization"] == "Bearer t0ken"
    assert "content-encoding" not in collector.headers[0]
    (resource,) = ExportTraceServiceRequest.FromString(collector.requests[0]).resource_spans
    names = {each.key: each.value.string_value for each in resource.scope_spans[0].spans[-1].attributes}
    assert names["thread.name"] == r"\xff\x0a"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_bad_header_is_not_told(protocol: str, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A header that cannot be sent is no reason to write it into the log."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%0At0ken")
    spans = start(ABSENT, protocol, lambda pairs: None)
    spans.emit(make())
    settle(spans)
    spans.close()
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "t0ken" not in str(record.__dict__)


def self_signed(folder: Path, name: str) -> tuple[str, str]:
    """Make a certificate for loopback and its key."""
    certificate, key = f"{folder}/{name}.pem", f"{folder}/{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.mark.usefixtures("quick")
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
@pytest.mark.parametrize("prefix", ["OTEL_EXPORTER_OTLP", "OTEL_EXPORTER_OTLP_TRACES"])
def test_tls(prefix: str, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The certificates of the standard variables are used, the client's as well; without them nothing is sent."""
    certificate, key = self_signed(tmp_path, "collector")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", self_signed(tmp_path, "stranger")[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with running(answering(200), context) as collector:
        for outcome in ("failed", "exported"):
            spans = start(collector.url, "auto", lambda pairs: None)
            spans.emit(make())
            settle(spans)
            spans.close()
            assert spans.counts()[outcome] == 3
            for name, file in (("CERTIFICATE", certificate), ("CLIENT_CERTIFICATE", certificate), ("CLIENT_KEY", key)):
                monkeypatch.setenv(f"{prefix}_{name}", file)
    assert len(collector.requests) == 1


@pytest.mark.usefixtures("quick")
def test_proxy(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used, though that takes requests, and its answers are noted as well."""
    exported: list[tuple[Evidence, Exemplar]] = []
    with running(answering(200)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        spans = start("http://collector.invalid:4318", "auto", exported.extend)
        ids = spans.emit(make())
        settle(spans)
        proxy.respond = answering(400)
        spans.emit(make())
        settle(spans)
        spans.close()
    assert ids
    assert [pair[1][:2] for pair in exported] == [ids[:2]]
    assert (spans.counts()["exported"], spans.counts()["failed"]) == (3, 3)
    assert {headers["host"] for headers in proxy.headers} == {"collector.invalid:4318"}


@pytest.mark.usefixtures("quick")
def test_credentials(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials of the endpoint and of netrc reach the collector."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login perflens password s3cret")
    with running(answering(200)) as collector:
        for url in (collector.url.replace("//", "//perflens:s3cret@"), collector.url):
            spans = start(url, "auto", lambda pairs: None)
            spans.emit(make())
            spans.close()
            monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    assert [headers.get("authorization", "") for headers in collector.headers] == ["Basic cGVyZmxlbnM6czNjcmV0"] * 2


@pytest.mark.usefixtures("quick")
def test_compressed(make: Make) -> None:
    """Compressed unless told otherwise."""
    with running(answering(200)) as collector:
        spans = start(collector.url, "auto", lambda pairs: None)
        spans.emit(make())
        spans.close()
    assert collector.headers[0]["content-encoding"] == "gzip"
    assert collector.requests[0][:2] == b"\x1f\x8b"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("fault", ["absent", "hanging"])
def test_exit(protocol: str, fault: str) -> None:
    """The interpreter ends at once after close, and even without it."""
    over = Event()
    with running(hanging(over)) as collector:
        for close in ("1", "no"):
            began = time.monotonic()
            command = [sys.executable, "-c", AGENT, ABSENT if fault == "absent" else collector.url, protocol, close]
            done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False, timeout=30)
            assert time.monotonic() - began < 5
            assert (done.returncode, done.stdout) == (0, "")
            assert "Traceback" not in done.stderr
        over.set()
