"""Where the agents are: at URLs that were written down, and at every address that DNS has of a name."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from perflens.logs import fields

__all__ = ["AGENTS_MAX", "Address", "Addresses", "addresses_of"]

_log = logging.getLogger(__name__)

AGENTS_MAX = 2_000
_PATIENCE = 5.0  # s


@dataclass(frozen=True, slots=True)
class Address:
    """The root URL of an agent; ``name`` is what its certificate is of, when that is not the URL's host."""

    url: str
    name: str = ""


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name; OSError when it has none, or that cannot be told."""


async def addresses_of(host: str, port: int) -> list[str]:
    """Return each A and AAAA of a name once, in order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


class Addresses:
    """``agents`` are URLs, ``dns`` is HOST:PORT or empty, ``scheme`` that of the addresses behind it.

    ``failures`` counts the times that the name could not be resolved: then those that it had last are asked. ``left_out`` is how many
    agents there are beyond those that are asked.
    """

    def __init__(self, agents: Sequence[str], dns: str, scheme: str, resolve: Resolve = addresses_of) -> None:
        self._listed = [Address(url.rstrip("/")) for url in agents]
        self._dns, self._scheme, self._resolve = dns, scheme, resolve
        self._found: list[Address] = []
        self._is_told = False
        self.failures = self.left_out = 0

    async def all(self) -> list[Address]:
        """Return where agents are now, each once."""
        if self._dns:
            await self._look_up()
        every = list(dict.fromkeys([*self._listed, *self._found]))
        self.left_out = max(len(every) - AGENTS_MAX, 0)
        return every[:AGENTS_MAX]

    async def _look_up(self) -> None:
        host, _, port = self._dns.rpartition(":")
        name = host.strip("[]")
        try:
            found = await asyncio.wait_for(self._resolve(name, int(port)), _PATIENCE)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            self.failures += 1
            if not self._is_told:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
                _log.warning("the agents' name cannot be resolved", extra=fields(name=self._dns, reason=reason, kept=len(self._found)))
            self._is_told = True
            return
        self._is_told = False
        self._found = [Address(f"{self._scheme}://{_bracketed(own)}:{port}", name) for own in found]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
