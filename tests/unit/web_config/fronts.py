"""A server behind a web configuration, with a clock that the test turns, and clients of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perflens.http import api, server
from perflens.http.access import Access
from perflens.http.api import Api
from perflens.http.guard import protected
from perflens.http.parameters import Query
from perflens.web_config.front import Guarding
from tests.certificates import Authority, Pair

SECOND = 1_000_000_000


@dataclass
class Clock:
    """Nanoseconds, which pass when they are told to."""

    now: int = 0

    def __call__(self) -> int:
        return self.now


@dataclass
class Answer:
    """What a client got: the status, the headers, the body, and the server's certificate."""

    status: int
    headers: Mapping[str, str]
    text: str
    certificate: Mapping[str, Any]


@dataclass
class Served:
    """A server of metrics, health and API behind its front."""

    url: str
    front: Guarding
    clock: Clock
    file: Path

    def write(self, text: str | None) -> None:
        """Change the file, or remove it, a moment after it was looked at."""
        if text is None:
            self.file.unlink()
        else:
            self.file.write_text(text)
        self.clock.now += SECOND

    async def get(
        self, path: str = "/metrics", user: str | None = None, tls: ssl.SSLContext | None = None, kept: Kept | None = None, **headers: str
    ) -> Answer:
        """Ask; ``user`` is ``name:password``, ``kept`` keeps the connection."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            sent["Authorization"] = "Basic " + b64encode(user.encode()).decode()
        own = kept or Kept()
        try:
            return await asyncio.to_thread(own.ask, self.url, path, tls, sent)
        finally:
            if kept is None:
                own.close()


class Kept:
    """A connection that is kept as long as the server keeps it."""

    def __init__(self) -> None:
        self._connection: HTTPConnection | None = None

    def ask(self, url: str, path: str, tls: ssl.SSLContext | None, headers: Mapping[str, str]) -> Answer:
        """Send a request over the connection, or over a new one."""
        parts = urlsplit(url)
        if self._connection is None:
            address, port = str(parts.hostname), parts.port
            secure = parts.scheme == "https"
            self._connection = (
                HTTPSConnection(address, port, context=tls, timeout=20) if secure else HTTPConnection(address, port, timeout=20)
            )
        self._connection.request("GET", path, headers=dict(headers))
        answer = self._connection.getresponse()
        shown = self._connection.sock.getpeercert() if isinstance(self._connection.sock, ssl.SSLSocket) else None
        return Answer(answer.status, dict(answer.headers), answer.read().decode(), shown or {})

    def close(self) -> None:
        """End the connection."""
        if self._connection:
            self._connection.close()


def made(file: Path, text: str, clock: Clock) -> Guarding:
    """A front of what ``text`` says."""
    file.write_text(text)
    return Guarding(str(file), clock)


@asynccontextmanager
async def serving(file: Path, text: str, token_file: str = "") -> AsyncIterator[Served]:
    """Serve what ``text`` says; the certificates lie beside the file."""
    clock = Clock()
    front = made(file, text, clock)
    access = Access(token_file)

    async def view(_: Query) -> Any:
        return {"name": "view"}

    async def metrics(_: server.Scrape) -> server.Answer:
        return server.Answer((b"m 1\n",), "text/plain", "")

    async def reload() -> str:
        return ""

    endpoints = server.Endpoints("/metrics", metrics, lambda: True, reload, True)
    views = api.application(Api(**{own.name: view for own in fields(Api)}), access, lambda: True)
    app = protected(server.application(endpoints, {"/api": views}), front, access)
    listens = socket.create_server(("127.0.0.1", 0))
    runner = await server.start(app, [listens], front.tls)
    try:
        yield Served(f"{'https' if front.tls else 'http'}://127.0.0.1:{listens.getsockname()[1]}", front, clock, file)
    finally:
        await runner.cleanup()
        front.close()


def client(authority: Authority, pair: Pair | None = None, most: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """A client that trusts an authority, and shows a certificate."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.maximum_version = most
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return context
