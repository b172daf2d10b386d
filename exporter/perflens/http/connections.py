"""The connections of a server: how many there may be, which goes when there are too many, and what is not waited for.

The framework takes every one, waits for an hour, and keeps a page until it is read: who reaches the port could take all descriptors and
all memory of the agent. So what it is to handle is accepted here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from socket import socket
from ssl import SSLContext
from typing import Any, NamedTuple, cast

from perflens.http.framework import Handler, HttpProcessingError, web
from perflens.logs import fields

__all__ = ["Connections", "SharedPage"]

_log = logging.getLogger("perflens")

_MOST, _MOST_HANDSHAKES = 128, 64
_HANDSHAKE, _UNREAD = 10.0, 120.0  # s: how long a handshake may take, and how long an answer may wait to be read
_KEPT = 360.0  # s between two requests: Prometheus lets go of a connection after five minutes
_REST = 1.0  # s, when a connection cannot be accepted
_SAFE = ("GET", "HEAD")
_BUFFERED = 1 << 16  # bytes: what takes no more is soon in the kernel's buffers
_BYTES, _FEW = 32 << 20, 4  # what answers that wait to be read may hold together, if they are more than a few


class _Answer(NamedTuple):
    """One that is to be read: its number, its bytes, and what tells whether it is the same page as another's."""

    number: int
    size: int
    page: int


class SharedPage(web.StreamResponse):
    """An answer that has its page in common with every other of the same ``page``, a number from 0 on."""

    def __init__(self, page: int, **options: Any) -> None:
        super().__init__(**options)
        self.page = page


class Connections:
    """Serves an application. ``closed`` counts the connections that it ended, by the reasons of front.CLOSED."""

    def __init__(self, app: web.Application, tls: SSLContext | None, closed: Counter[str]) -> None:
        self._tls, self._closed = tls, closed
        self._sockets: list[socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._open: dict[_Connection, asyncio.Transport] = {}  # who was heard of last is the last
        self._busy: dict[_Connection, asyncio.Task[Any] | None] = {}  # what answers a request, unless it has to be done in any case
        self._answers: dict[_Connection, _Answer] = {}  # the oldest first
        self._numbers = count()
        app.middlewares.insert(0, self._watch())
        app.on_response_prepare.append(self._prepare)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)

    async def start(self, sockets: Sequence[socket]) -> None:
        """Serve on listening sockets, which ``cleanup`` closes."""
        await self._runner.setup()
        for own in sockets:
            own.setblocking(False)
            self._sockets.append(own)
            self._accepting.append(asyncio.create_task(self._accept(own)))

    async def cleanup(self) -> None:
        """Accept no more, let requests end for a moment, and close every connection."""
        await _cancelled(self._accepting)
        for own in self._sockets:
            own.close()
        await _cancelled(list(self._handshakes))
        await self._runner.cleanup()

    async def _accept(self, listening: socket) -> None:
        loop, failing = asyncio.get_running_loop(), False
        while True:
            try:
                own, _ = await loop.sock_accept(listening)
                failing = False
            except OSError as error:
                if not failing:
                    _log.error("connections cannot be accepted", extra=fields(reason=error.strerror or str(error)))
                failing = True
                await asyncio.sleep(_REST)
                continue
            self._make_room()
            task = loop.create_task(self._begin(own))
            self._handshakes[task] = None
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))
            await asyncio.sleep(0)  # a flood of connections must not keep the loop from those that there are

    async def _begin(self, own: socket) -> None:
        server = cast(web.Server, self._runner.server)
        loop, patience = asyncio.get_running_loop(), _HANDSHAKE if self._tls else None
        with suppress(OSError):  # the front counts handshakes that fail
            await loop.connect_accepted_socket(
                lambda: _Connection(self, server, loop=loop, access_log=None, keepalive_timeout=_KEPT),
                own,
                ssl=self._tls,
                ssl_handshake_timeout=patience,
            )

    def _make_room(self) -> None:
        if len(self._handshakes) >= _MOST_HANDSHAKES:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
            self._closed["idle"] += 1
        if len(self._open) >= _MOST:
            self.end(next((own for own in self._open if own not in self._busy), next(iter(self._open))), "idle")

    def begun(self, own: _Connection, transport: asyncio.Transport) -> None:
        """Take a connection in."""
        self._open[own] = transport

    def end(self, own: _Connection, reason: str) -> None:
        """End a connection at once."""
        transport = self._open[own]
        self.ended(own)
        self._closed[reason] += 1
        transport.abort()

    def ended(self, own: _Connection) -> None:
        """Forget a connection. Nobody waits for its answer: what still makes it is ended, so that floods leave nothing behind."""
        self._open.pop(own, None)
        self._answers.pop(own, None)
        answering = self._busy.pop(own, None)
        if answering:
            answering.cancel()

    def malformed(self) -> None:
        """Count what is no HTTP; its connection ends by itself."""
        self._closed["malformed"] += 1

    def answered(self, own: _Connection) -> None:
        """Note that an answer was handed over."""
        self._busy.pop(own, None)
        if own in self._answers and self._is_read(own):
            del self._answers[own]

    def _watch(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            own = request.protocol
            if isinstance(own, _Connection) and own in self._open:
                self._open[own] = self._open.pop(own)
                self._busy[own] = asyncio.current_task() if request.method in _SAFE else None
            return await handler(request)

        return watch

    async def _prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        own, size = request.protocol, response.content_length or 0
        if not isinstance(own, _Connection) or own not in self._open or size <= _BUFFERED or request.method == "HEAD":
            return
        number = next(self._numbers)
        self._answers.pop(own, None)
        self._answers[own] = _Answer(number, size, response.page if isinstance(response, SharedPage) else -number - 1)
        asyncio.get_running_loop().call_later(_UNREAD, self._look, own, number)
        self._bound()

    def _bound(self) -> None:
        """End those that wait for longest with an answer that they do not read, when there is too much of it."""
        for own in [own for own in self._answers if self._is_read(own)]:
            del self._answers[own]
        while True:
            pages = {own.page: own.size for own in self._answers.values()}
            if len(pages) <= _FEW or sum(pages.values()) <= _BYTES:
                return
            self.end(next(iter(self._answers)), "unread")

    def _look(self, own: _Connection, number: int) -> None:
        answer = self._answers.get(own)
        if answer and answer.number == number:
            if self._is_read(own):
                del self._answers[own]
            else:
                self.end(own, "unread")

    def _is_read(self, own: _Connection) -> bool:
        return own not in self._busy and not self._open[own].get_write_buffer_size()


class _Connection(web.RequestHandler):
    """One connection, as the framework handles it. What a client does wrong is counted, and no error in the log."""

    def __init__(self, connections: Connections, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.begun(self, cast(asyncio.Transport, transport))
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.ended(self)
        super().connection_lost(exc)

    async def start(self) -> None:
        try:
            await super().start()
        except UnicodeError:  # a whole URL as the target, with a host that is no name: no request is made of it, and nobody would close
            self._connections.malformed()
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            self._connections.malformed()
        return super().handle_error(request, status, exc, message)

    def log_exception(self, *arguments: Any, **options: Any) -> None:
        if isinstance(options.get("exc_info"), (HttpProcessingError, web.RequestPayloadError, ConnectionError)):
            self.logger.debug(*arguments, **options)
        else:
            super().log_exception(*arguments, **options)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        self._connections.answered(self)
        super().log_access(request, response, time)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
