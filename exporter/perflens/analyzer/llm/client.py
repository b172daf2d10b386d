"""One chat completion over HTTP: within its time, of a bounded size, to one host, and the token in no line and no error."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from perflens import __version__
from perflens.analyzer.llm.failures import Failure, RequestFailed, failure_of

if TYPE_CHECKING:
    import ssl

    import aiohttp

__all__ = ["Client", "Post"]

LARGEST = 65_536
"""Most bytes of an answer that are read."""

_CONNECT = 5.0
_RETRIES = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0

Sleep = Callable[[float], Awaitable[None]]


class Post(Protocol):
    """Sends one request; RequestFailed when no completion came of it."""

    async def __call__(self, payload: Mapping[str, Any], deadline: float, may_send: Callable[[], bool]) -> bytes:
        """Return the body of the answer. ``deadline`` is of the loop's clock; ``may_send`` is asked before each try but the first."""


class Client:
    """Asks the server at ``base_url``; nothing else is ever contacted. ``jitter`` returns a number from 0 to 1."""

    def __init__(
        self,
        base_url: str,
        token: str,
        headers: Mapping[str, str],
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {**headers, "User-Agent": f"perflens/{__version__}", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._sleep, self._jitter = sleep, jitter
        self._tls: ssl.SSLContext | None = None

    async def __call__(self, payload: Mapping[str, Any], deadline: float, may_send: Callable[[], bool]) -> bytes:
        """Send a request, again when that may help and there is time; see Post."""
        now = asyncio.get_running_loop().time
        for tried in range(_RETRIES + 1):
            try:
                return await self._send(payload, deadline - now())
            except RequestFailed as failed:
                pause = self._pause(failed.failure, tried)
                if pause is None or now() + pause >= deadline or not may_send():
                    raise
            await self._sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _pause(self, failure: Failure, tried: int) -> float | None:
        """Return the seconds until the next try, full jitter over what the server asked for; None when there is none."""
        if failure.kind not in ("rate", "transient") or tried == _RETRIES:
            return None
        if failure.status == 503 and failure.retry_after is None:
            return None  # a model that is being loaded, or a full queue: the next tick is soon enough
        spread: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tried) * self._jitter()
        return (failure.retry_after or 0.0) + spread

    async def _send(self, payload: Mapping[str, Any], seconds: float) -> bytes:
        if not self._url.startswith(("http://", "https://")):
            raise RequestFailed(Failure("config"))
        import aiohttp  # most hosts have no token, and never need it

        timeout = aiohttp.ClientTimeout(total=max(0.001, seconds), sock_connect=_CONNECT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=self._verified())) as session,
                session.post(self._url, json=payload, headers=self._headers, allow_redirects=False, proxy=_proxy(self._url)) as answer,
            ):
                return await _body(answer)
        except TimeoutError:
            raise RequestFailed(Failure("timeout")) from None
        except aiohttp.ClientConnectorCertificateError:
            raise RequestFailed(Failure("certificate")) from None
        except ValueError:  # a URL or a header that can be none
            raise RequestFailed(Failure("config")) from None
        except (aiohttp.ClientError, OSError):
            raise RequestFailed(Failure("transient")) from None  # its text may have the URL, and with that a password of a proxy

    def _verified(self) -> ssl.SSLContext | bool:
        """Return what the server's certificate is checked by: the context that aiohttp made when it was imported may know no authority."""
        if not self._url.startswith("https:"):
            return True
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body of a 200; RequestFailed for any other answer, and for a larger one."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > LARGEST:
            raise RequestFailed(Failure("size", answer.status))
    if answer.status != 200:
        raise RequestFailed(
            failure_of(answer.status, bytes(body), {name.lower(): value for name, value in answer.headers.items()}, time.time())
        )
    return bytes(body)


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL. aiohttp's own reading of it would take a login from ~/.netrc for our token."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return getproxies().get(parts.scheme)
