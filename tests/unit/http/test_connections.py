"""http/connections.py: floods of connections, answers that nobody reads, and what is no HTTP."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from perflens.http import connections, server
from perflens.http.front import CLOSED
from perflens.http.server import Answer, Endpoints, Scrape

SMALL = 128 << 10
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Served:
    """A server whose page has ``pieces`` of 128 KiB; while ``gate`` is closed it is not rendered."""

    port: int = 0
    pieces: int = 1
    closed: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(CLOSED, 0)))
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[asyncio.StreamWriter] = field(default_factory=list)
    shared: tuple[bytes, ...] = ()
    waiting: int = 0
    reloads: int = 0

    async def reload(self) -> str:
        await self.gate.wait()
        self.reloads += 1
        return ""

    async def metrics(self, _: Scrape) -> Answer:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return Answer(self.shared or (b"x" * SMALL,) * self.pieces, "text/plain", "")

    async def open(self, sent: bytes = b"") -> Ends:
        """A connection whose end takes little that is not read; what is sent has arrived."""
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=own, limit=2_048)
        self.clients.append(writer)
        writer.write(sent)
        for _ in range(20):  # turns of the loop, which is the server's too: a busy host must not make them one
            await asyncio.sleep(0.002)
        return reader, writer

    async def healthy(self) -> bytes:
        """The status line of another client."""
        reader, _ = await self.open(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return await reader.readline()

    async def close(self) -> None:
        """End every client."""
        for writer in self.clients:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def ends(own: Ends) -> bool:
    """Whether the server closes a connection, soon."""
    try:
        async with asyncio.timeout(1):
            while await own[0].read(1 << 16):
                pass
        return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@asynccontextmanager
async def serving(pieces: int = 1) -> AsyncIterator[Served]:
    own = Served(pieces=pieces)
    own.gate.set()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    own.port = listening.getsockname()[1]
    app = server.application(Endpoints("/metrics", own.metrics, lambda: True, own.reload, True))
    runner = await server.start(app, [listening], None, own.closed)
    try:
        yield own
    finally:
        await runner.cleanup()
        await own.close()


async def test_who_is_silent_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are answered, whoever holds connections open; of these one that has asked last is spared."""
    monkeypatch.setattr(connections, "_MOST", 3)
    async with serving() as own:
        held = [await own.open() for _ in range(3)]
        held[0][1].write(GET)
        assert (await held[0][0].readline()).endswith(b"200 OK\r\n")
        assert await own.healthy() == b"HTTP/1.1 200 OK\r\n"
        assert await ends(held[1])
        assert not await ends(held[2])
        assert own.closed == {"idle": 1, "unread": 0, "malformed": 0}


async def test_who_waits_for_an_answer_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood does not take away a connection whose request is being answered; when all are, the oldest goes."""
    monkeypatch.setattr(connections, "_MOST", 3)
    async with serving() as own:
        own.gate.clear()
        first = await own.open(GET)
        for _ in range(5):
            await own.open()
        own.gate.set()
        assert (await first[0].readline()).endswith(b"200 OK\r\n")
        own.gate.clear()
        waiting = [await own.open(GET) for _ in range(4)]
        assert await ends(waiting[0])
        own.gate.set()
        assert (await waiting[3][0].readline()).endswith(b"200 OK\r\n")


async def test_who_goes_away_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """The answer of one who has gone is not made; what he asked to be done is."""
    async with serving() as own:
        own.gate.clear()
        _, scraping = await own.open(GET)
        _, reloading = await own.open(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        before = own.waiting
        for writer in (scraping, reloading):
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert (before, own.waiting) == (1, 0)
        own.gate.set()
        await asyncio.sleep(0.1)
        assert own.reloads == 1
        assert await own.healthy() == b"HTTP/1.1 200 OK\r\n"
    assert caplog.records == []


async def test_answers_that_nobody_reads_are_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The one that waits for longest goes; who reads gets the whole page, and what a client does is no error of ours."""
    monkeypatch.setattr(connections, "_BYTES", 32 * SMALL)
    monkeypatch.setattr(connections, "_FEW", 2)
    async with serving(pieces=16) as own:
        waiting = [await own.open(GET) for _ in range(4)]
        assert own.closed["unread"] == 2
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await waiting[1][0].readexactly(16 * SMALL)
        assert len(await waiting[3][0].readexactly(16 * SMALL)) == 16 * SMALL
        assert (await own.healthy()).endswith(b"200 OK\r\n")
    assert caplog.records == []


async def test_scrapes_that_share_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that many read together is in memory once, and none of them has to go."""
    monkeypatch.setattr(connections, "_BYTES", 32 * SMALL)
    monkeypatch.setattr(connections, "_FEW", 2)
    async with serving() as own:
        own.shared = (b"x" * SMALL,) * 16
        waiting = [await own.open(GET) for _ in range(6)]
        for reader, _ in waiting:
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(16 * SMALL)) == 16 * SMALL
        assert own.closed["unread"] == 0


@pytest.mark.parametrize("pieces", [1, 16])
async def test_answer_that_is_not_read_in_time(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for; one that was read leaves its connection to the next request."""
    monkeypatch.setattr(connections, "_UNREAD", 1.0)
    async with serving(pieces) as own:
        unread, read = await own.open(GET), await own.open(GET)
        await read[0].readuntil(b"\r\n\r\n")
        await read[0].readexactly(pieces * SMALL)
        await asyncio.sleep(1.1)
        assert own.closed["unread"] == 1
        read[1].write(GET)
        assert (await read[0].readline()).endswith(b"200 OK\r\n")
        assert await ends(unread)


@pytest.mark.parametrize(
    "sent",
    [
        GET.replace(b"/metrics", b"http://xn--/metrics"),
        GET.replace(b"/metrics", b"http://localhost:99999/"),
        GET.replace(b"/metrics", b"/\xff"),
        GET.replace(b"Host: localhost\r\n", b""),
        GET.replace(b"Host", b"H ost"),
        GET.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 10_000 + b"\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nX: x" * 200 + b"\r\n\r\n"),
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    ],
)
async def test_what_is_no_http(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection ends, and is counted; nobody can fill the log with it."""
    async with serving() as own:
        client = await own.open(sent)
        assert await ends(client)
        assert own.closed == {"idle": 0, "unread": 0, "malformed": 1}
        assert await own.healthy() == b"HTTP/1.1 200 OK\r\n"
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_connection_that_cannot_be_accepted(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without a descriptor left for it the server says so once, and goes on when there is one."""
    monkeypatch.setattr(connections, "_REST", 0.01)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, iter([OSError(errno.EMFILE, "Too many open files")] * 3)

    async def failing(own: socket.socket) -> tuple[socket.socket, object]:
        for error in failures:
            raise error
        return await accept(own)

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with serving() as own:
        assert await own.healthy() == b"HTTP/1.1 200 OK\r\n"
    assert [record.message for record in caplog.records] == ["connections cannot be accepted"]


async def test_end(caplog: pytest.LogCaptureFixture) -> None:
    """The end does not wait long for who is idle, or does not read, and nobody can connect any more."""
    async with serving(pieces=16) as own:
        await own.open()
        await own.open(GET)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", own.port)
    assert caplog.records == []
