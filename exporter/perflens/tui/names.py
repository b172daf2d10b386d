"""Names of hosts, looked up in threads that nobody waits for: no server of names can hold up the end of the screen."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Lookups"]

T = TypeVar("T")


class Lookups:
    """What a resolver of aiohttp asks of an event loop. The loop's own threads are joined at its end, and at that of the interpreter."""

    async def getaddrinfo(self, host: str, port: int, **hints: Any) -> Any:
        """As `socket.getaddrinfo`."""
        return await _apart(lambda: socket.getaddrinfo(host, port, **hints))

    async def getnameinfo(self, address: Any, flags: int) -> Any:
        """As `socket.getnameinfo`."""
        return await _apart(lambda: socket.getnameinfo(address, flags))


async def _apart(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(give: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if answer.done() else give(what))

    def run() -> None:
        try:
            tell(answer.set_result, work())
        except (OSError, UnicodeError) as error:
            tell(answer.set_exception, error)

    threading.Thread(target=run, name="perflens-names", daemon=True).start()
    return await answer
