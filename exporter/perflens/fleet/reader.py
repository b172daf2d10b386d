"""Reads the incidents of agents over their JSON API. Whoever answers may be anything: what comes back is bounded and checked."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from perflens.analyzer.codec import BadDocument
from perflens.analyzer.shapes import incident_of, plain
from perflens.fleet.addresses import Address
from perflens.fleet.book import Reading
from perflens.logs import fields

if TYPE_CHECKING:
    import aiohttp

__all__ = ["REASONS", "Access", "Reader", "Reason"]

_log = logging.getLogger(__name__)

Reason = Literal[
    "connect", "tls", "timeout", "unauthorized", "forbidden", "not_found", "unavailable", "status", "too_large", "invalid", "internal"
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why an agent could not be read."""

_STATUS: dict[int, Reason] = {401: "unauthorized", 403: "forbidden", 404: "not_found", 503: "unavailable"}
_PATH = "/api/v1/incidents"
_INCIDENTS = 50
_MOST_BYTES = 4 << 20
_LONGEST_HOST = 300
_CONNECT, _TOTAL = 3.0, 10.0  # s
_AT_ONCE, _AT_ONCE_DOWN = 64, 16
_LONGEST_BACKOFF = 8  # rounds


class ReadFailed(Exception):
    """An agent could not be read."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Access:
    """What lets the reader in: the agents' token, empty for none, and a file with the authorities of their certificates, likewise."""

    token: str = field(default="", repr=False)
    ca_file: str = ""


@dataclass(slots=True)
class _Agent:
    """How an agent answers: how many rounds it failed, how many are left until it is asked again, and why it failed."""

    failures: int = 0
    rests: int = 0
    reason: Reason | Literal[""] = ""
    task: asyncio.Task[None] | None = None
    host: str = ""


class Reader:
    """One request at a time for each agent. One that does not answer waits for others like it, and is asked more and more seldom.

    ``reads`` counts requests by reason, ``ok`` among them, ``bad_incidents`` those of good answers that could not be read.
    """

    def __init__(self, access: Access, *, total: float = _TOTAL, connect: float = _CONNECT) -> None:
        self._access, self._total, self._connect = access, total, connect
        self._agents: dict[Address, _Agent] = {}
        self._readings: list[Reading] = []
        self._good, self._down = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE_DOWN)
        self._session: aiohttp.ClientSession | None = None
        self.reads: Counter[str] = Counter()
        self.bad_incidents = 0

    @property
    def known(self) -> int:
        """How many agents there are."""
        return len(self._agents)

    @property
    def up(self) -> int:
        """How many of them answered when they were last asked; two addresses of one host are one."""
        return len({own.host for own in self._agents.values() if own.host and not own.reason})

    async def round(self, addresses: Sequence[Address], patience: float) -> list[Reading]:
        """Ask every agent whose turn it is, and return what has come within ``patience`` (s), and late from rounds before."""
        for gone in self._agents.keys() - set(addresses):
            self._forget(gone)
        for address in addresses:
            agent = self._agents.setdefault(address, _Agent())
            if agent.task is None and agent.rests == 0:
                agent.task = asyncio.get_running_loop().create_task(self._ask(address, agent))
            agent.rests = max(agent.rests - 1, 0)
        pending = [own.task for own in self._agents.values() if own.task]
        if pending:
            await asyncio.wait(pending, timeout=patience)
        readings, self._readings = self._readings, []
        return readings

    async def close(self) -> None:
        """End every request."""
        tasks = [own.task for own in self._agents.values() if own.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            await self._session.close()
            self._session = None

    def _forget(self, address: Address) -> None:
        task = self._agents.pop(address).task
        if task:
            task.cancel()

    async def _ask(self, address: Address, agent: _Agent) -> None:
        try:
            async with self._down if agent.reason else self._good:
                reading = await self._read(address)
        except ReadFailed as failure:
            self._note_failure(address, agent, failure)
        except Exception as error:
            _log.exception("an agent's answer cannot be taken in")
            self._note_failure(address, agent, ReadFailed("internal", type(error).__name__))
        else:
            if agent.reason:
                _log.info("an agent answers again", extra=fields(agent=address.url))
            agent.host, agent.reason, agent.failures = reading.host, "", 0
            self.reads["ok"] += 1
            self._readings.append(reading)
        finally:
            agent.task = None

    def _note_failure(self, address: Address, agent: _Agent, failure: ReadFailed) -> None:
        self.reads[failure.reason] += 1
        if agent.reason != failure.reason:
            _log.warning("an agent cannot be read", extra=fields(agent=address.url, reason=failure.reason, detail=failure.detail))
        agent.reason = failure.reason
        agent.failures += 1
        agent.rests = min(2 ** min(agent.failures - 1, 8) - 1, _LONGEST_BACKOFF)

    async def _read(self, address: Address) -> Reading:
        import aiohttp

        try:
            return self._reading(await self._answer(address))
        except TimeoutError as error:
            raise ReadFailed("timeout", f"no answer within {self._total:g} s") from error
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch, ssl.SSLError) as error:
            raise ReadFailed("tls", _told(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ReadFailed("connect", _told(error)) from error

    async def _answer(self, address: Address) -> bytes:
        self._session = self._session or _session(self._access, self._total, self._connect)
        query = {"state": "open", "limit": str(_INCIDENTS)}
        name = address.name if address.url.startswith("https:") and address.name else None
        async with self._session.get(address.url + _PATH, params=query, allow_redirects=False, server_hostname=name) as response:
            if response.status != 200:
                raise ReadFailed(_STATUS.get(response.status, "status"), f"HTTP {response.status}")
            content = bytearray()
            while chunk := await response.content.read(65_536):
                content += chunk
                if len(content) > _MOST_BYTES:
                    response.close()
                    raise ReadFailed("too_large", f"more than {_MOST_BYTES} bytes")
            return bytes(content)

    def _reading(self, content: bytes) -> Reading:
        document = _parsed(content)
        host, incidents = (document.get("host"), document.get("incidents")) if isinstance(document, dict) else (None, None)
        if not isinstance(host, str) or not host or not isinstance(incidents, list):
            raise ReadFailed("invalid", "it is no answer of the API")
        found, bad = [], 0
        for own in incidents[:_INCIDENTS]:
            try:
                found.append(incident_of(own))
            except BadDocument:
                bad += 1
        self.bad_incidents += bad
        if bad and not found:
            raise ReadFailed("invalid", "its incidents are not of this version")
        return Reading(plain(host, _LONGEST_HOST), tuple(own for own in found if own.state == "open"))


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReadFailed("invalid", "the answer is no JSON") from error


def _told(error: BaseException) -> str:
    """An error without what it may quote of the request."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return cause.strerror if isinstance(cause, OSError) and cause.strerror else type(error).__name__


def _session(access: Access, total: float, connect: float) -> aiohttp.ClientSession:
    """A session that keeps no cookies and follows nothing: the token goes to agents alone."""
    import aiohttp

    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if access.token:
        headers["Authorization"] = f"Bearer {access.token}"
    # the contexts that aiohttp makes when it is imported have no certificates in this process
    context = ssl.create_default_context(cafile=access.ca_file or None)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=_AT_ONCE + _AT_ONCE_DOWN),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=total, sock_connect=connect),
    )
