"""A real OpenTelemetry Collector, and collectors that are not what they should be."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.servers import wait_for

PORTS = {"grpc": 0, "http/protobuf": 1}


@dataclass(frozen=True)
class Place:
    """Where collectors of one test listen and write; each that is started has a file of its own."""

    binary: str
    folder: Path
    ports: tuple[int, int]

    def url(self, protocol: str) -> str:
        return f"http://127.0.0.1:{self.ports[PORTS[protocol]]}"

    @contextmanager
    def collector(self, name: str = "first", end: signal.Signals = signal.SIGTERM) -> Iterator[Path]:
        """A collector, and the file that it writes to; it is ended by a signal."""
        received, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        listens = {kind: {"endpoint": f"127.0.0.1:{port}"} for kind, port in zip(("grpc", "http"), self.ports, strict=True)}
        config = {
            "receivers": {"otlp": {"protocols": listens}},
            "exporters": {"file": {"path": str(received), "flush_interval": "100ms"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {signal: {"receivers": ["otlp"], "exporters": ["file"]} for signal in ("traces", "logs")},
            },
        }
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        with log.open("w") as output:
            process = subprocess.Popen([self.binary, f"--config={self.folder}/{name}.yaml"], stdout=output, stderr=output)
        try:
            wait_for(lambda: "Everything is ready" in log.read_text() or process.poll() is not None, 30, "a collector is ready")
            assert process.poll() is None, log.read_text()
            yield received
        finally:
            process.send_signal(end)
            process.wait(15)


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _written(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """What a collector wrote under a key of its lines; one that it is still writing has no end."""
    for line in file.read_text().split("\n")[:-1]:
        yield from json.loads(line).get(key, ())


def read(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each span that a collector wrote, with its resource."""
    for resource in _written(file, "resourceSpans"):
        for scope in resource["scopeSpans"]:
            yield from ((span, resource["resource"]) for span in scope["spans"])


def records(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each log record that a collector wrote, with its resource."""
    for resource in _written(file, "resourceLogs"):
        for scope in resource["scopeLogs"]:
            yield from ((record, resource["resource"]) for record in scope["logRecords"])


def named(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes by name."""
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}


def roots(*files: Path) -> set[tuple[str, str]]:
    return {(span["traceId"], span["spanId"]) for file in files for span, _ in read(file) if not span.get("parentSpanId")}


@contextmanager
def hanging(port: int) -> Iterator[None]:
    """A collector that takes every connection and never answers."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", port), backlog=512) as own:

        def take() -> None:
            while True:
                try:
                    taken.append(own.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield
        finally:
            own.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in taken:
                each.close()


@contextmanager
def overloaded(port: int) -> Iterator[None]:
    """A collector that answers 503 and asks for half a minute of patience."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(503)
            self.send_header("Retry-After", "30")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    own = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=own.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        own.shutdown()
        own.server_close()
        thread.join()
