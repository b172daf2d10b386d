"""Requests to the API server or the kubelet: bounded answers, the token read anew for each, and the reason when one fails."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Literal

from perflens import __version__
from perflens.enrich.kubernetes.lines import Lines, LineTooLong
from perflens.enrich.kubernetes.place import Place

if TYPE_CHECKING:
    import aiohttp

__all__ = ["REASONS", "AskFailed", "Reason", "Server"]

Reason = Literal[
    "token", "certificate", "connection", "timeout", "unauthorized", "forbidden", "gone", "status", "size", "decode", "internal"
]
REASONS: tuple[Reason, ...] = (
    "token", "certificate", "connection", "timeout", "unauthorized", "forbidden", "gone", "status", "size", "decode", "internal"
)  # fmt: skip
"""Why a request failed, or an answer could not be used."""

LARGEST_ANSWER = 64 << 20
LONGEST_LINE = 4 << 20

_OF_STATUS: Mapping[int, Reason] = {401: "unauthorized", 403: "forbidden", 410: "gone"}
_LARGEST_TOKEN = 16_384
_CONNECT = 5.0
# A server that vanishes ends no connection, and a watch may be silent for long: the kernel asks after 30 s, and gives up 30 s later.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
_ALL = "application/json"


class AskFailed(Exception):
    """A request failed; ``status`` is that of the answer, 0 for none."""

    def __init__(self, reason: Reason, status: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Server:
    """Asks one server; nobody else gets the token. Used on one event loop."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, query: Mapping[str, str], seconds: float, *, metadata: bool = False) -> bytearray:
        """Return the body of an answer, of its metadata alone where the server can; AskFailed when there is none of use."""
        body = bytearray()
        async with self._answer(path, query, seconds, total=True, accept=_METADATA if metadata else _ALL) as answer:
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > LARGEST_ANSWER:
                    raise AskFailed("size", answer.status)
        return body

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the lines of an answer that goes on; AskFailed when it breaks off, or nothing comes for so many seconds."""
        async with self._answer(path, query, seconds, total=False, accept=_ALL) as answer, aclosing(_lines(answer)) as lines:
            _keep_alive(answer)
            yield lines

    async def close(self) -> None:
        """Let go of the connections; the next request makes new ones, and reads the certificates again."""
        session, self._session = self._session, None
        if session:
            await session.close()

    @asynccontextmanager
    async def _answer(
        self, path: str, query: Mapping[str, str], seconds: float, *, total: bool, accept: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds if total else None, sock_connect=_CONNECT, sock_read=seconds)
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "User-Agent": f"perflens/{__version__}",
            "Accept": accept,
            "Accept-Encoding": "identity",
        }
        try:
            async with self._open().get(
                f"{self._place.server}{path}", params=query, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise AskFailed(_OF_STATUS.get(answer.status, "status"), answer.status)
                yield answer
        except TimeoutError:
            raise AskFailed("timeout") from None
        except LineTooLong:
            raise AskFailed("size") from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError):
            raise AskFailed("certificate") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise AskFailed("connection") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._trust(), limit=8))
        return self._session

    def _trust(self) -> ssl.SSLContext | bool:
        if not self._place.server.startswith("https:"):
            return True
        if not self._place.verify:
            return False
        try:
            context = ssl.create_default_context(cafile=self._place.ca_file or None)
        except (OSError, ssl.SSLError):
            raise AskFailed("certificate") from None
        # Python asks for key identifiers from 3.13 on, which authorities lack that Kubernetes made before 1.20.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def _token(self) -> str:
        try:
            with open(self._place.token_file, encoding="ascii") as file:
                token = file.read(_LARGEST_TOKEN + 1).strip()
        except (OSError, ValueError):
            raise AskFailed("token") from None
        if not token or len(token) > _LARGEST_TOKEN or any(character.isspace() or not character.isprintable() for character in token):
            raise AskFailed("token")
        return token


def _keep_alive(answer: aiohttp.ClientResponse) -> None:
    transport = answer.connection.transport if answer.connection else None  # an answer that has ended has none
    own = transport.get_extra_info("socket") if transport else None
    if own:
        for level, option, value in _KEEPALIVE:
            own.setsockopt(level, option, value)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    lines = Lines(LONGEST_LINE)
    async for piece in answer.content.iter_any():
        for line in lines.feed(piece):
            yield line
