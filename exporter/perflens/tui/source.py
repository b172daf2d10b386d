"""Where answers come from: an agent over HTTP, or a recording."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from perflens.client import Target
from perflens.tui.names import Lookups
from perflens.tui.text import clean

__all__ = ["HttpSource", "Source", "Unavailable"]

_API = "/api/v1/"
_LARGEST = 32 << 20
_SECONDS, _CONNECT_SECONDS = 30.0, 10.0


class Unavailable(Exception):
    """Why there is no answer, in one line that is safe to show; ``nobody`` when none listens there."""

    def __init__(self, reason: str, *, nobody: bool = False) -> None:
        super().__init__(reason)
        self.nobody = nobody


class Source(Protocol):
    """Answers questions. ``name`` is what the header calls it; ``recorded`` is when it was recorded, 0 when it is live."""

    name: str
    recorded: float

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Return the JSON of an answer; Unavailable when there is none."""

    async def close(self) -> None:
        """Let go of what it holds."""


class HttpSource:
    """An agent, over connections that are kept."""

    recorded = 0.0

    def __init__(self, target: Target) -> None:
        self._target = target
        self.name = clean(urlsplit(target.base).netloc)
        self._session: Any = None

    async def get(self, path: str, query: Mapping[str, str]) -> Any:
        """Return the JSON of an answer; Unavailable when there is none within 30 s."""
        import aiohttp

        try:
            async with self._opened().get(f"{self._target.base}{_API}{path}", params=query, allow_redirects=False) as answer:
                body = await _whole(answer)
                return _understood(answer.status, body)
        except TimeoutError:
            raise Unavailable("no answer in time") from None
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(clean(error.os_error.strerror or str(error.os_error)), nobody=_is_refusal(error.os_error)) from None
        except (aiohttp.ClientError, OSError, UnicodeError) as error:  # the last of a host that cannot be a name
            raise Unavailable(clean(str(error) or type(error).__name__)) from None

    async def close(self) -> None:
        """End the connections."""
        if self._session:
            await self._session.close()
            await asyncio.sleep(0)

    def _opened(self) -> Any:
        """A session belongs to the loop that runs, so it is made when it is first needed."""
        import aiohttp

        if self._session is None:
            tls: Any = self._target.tls or True
            loop: Any = Lookups()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=4, resolver=aiohttp.ThreadedResolver(loop)),
                headers=dict(self._target.identity.headers(_API)),
                timeout=aiohttp.ClientTimeout(total=_SECONDS, sock_connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _is_refusal(error: OSError) -> bool:
    """Whether nobody listens; asyncio makes one error without a number of those of more than one address."""
    return error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error)


async def _whole(answer: Any) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _LARGEST:
            raise Unavailable("the answer is too large")
    return bytes(body)


def _understood(status: int, body: bytes) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Unavailable(f"HTTP {status}, and no JSON: is it an agent?") from None
    if status == 200:
        return value
    error = value.get("error") if isinstance(value, dict) else None
    raise Unavailable(clean(f"HTTP {status}: {error if isinstance(error, str) else 'no reason given'}"))
