"""The analyzer beside a fleet: asks the agents every few seconds, and tells what they have in common once."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from perflens.agent.guarding import guarding_of
from perflens.agent.telling import Telling, telling, tokens_of
from perflens.analysis import AnalysisCounts, Incident, TellingCounts
from perflens.analyzer.actions import ACTIONS
from perflens.config import Settings
from perflens.errors import ConfigError, Problem
from perflens.export import analysis
from perflens.export.otlp.incidents import NoIncidentLog
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.page import Collector, Page, Query
from perflens.fleet.addresses import Addresses
from perflens.fleet.book import Book
from perflens.fleet.counts import FleetCounts
from perflens.fleet.groups import Group, light
from perflens.fleet.reader import Access as ReaderAccess
from perflens.fleet.reader import Reader
from perflens.fleet.state import GroupsFile
from perflens.fleetmetrics import FleetMetrics
from perflens.http import api, server, sockets
from perflens.http.access import Access, read_token
from perflens.http.front import CLOSED, OPEN
from perflens.http.guard import protected
from perflens.http.openapi import ENDPOINTS
from perflens.http.parameters import Query as Asked
from perflens.logs import fields

if TYPE_CHECKING:
    from perflens.web_config.front import Guarding

__all__ = ["FleetAnalyzer", "serve_fleet"]

_log = logging.getLogger("perflens")

_SECOND = 1_000_000_000
_PATIENCE = 5.0  # s: what has not answered by then is in the next round
_LEAST_REST = 1.0
_WRITTEN_EVERY = 4  # rounds, when nothing has changed
_LOGGED_KEPT = 2_000
_SERVED = tuple(own for own in ENDPOINTS if own.name == "incidents")


class FleetAnalyzer:
    """Everything but HTTP. It belongs to the event loop.

    ConfigError when there are no agents to ask, or a token or a certificate cannot be used.
    """

    def __init__(self, settings: Settings, tell: Callable[[Settings, str], Telling] | None = None) -> None:
        own = settings.fleet
        if not own.dns and not own.agents:
            raise _refused("", "fleet", "there are no agents to read", "set fleet.dns or fleet.agents")
        self._settings = settings
        tokens = tokens_of(settings)
        self._make_telling = tell or (lambda settings, host: telling(settings, host, tokens))
        token = read_token(own.token_file, "fleet.token_file").decode("ascii") if own.token_file else ""
        self._addresses = Addresses(own.agents, own.dns, own.scheme)
        self._reader = Reader(ReaderAccess(token, _checked(own.ca_file)))
        self._state = GroupsFile(own.state_file)
        self._book = Book(own.name, self._state.read())
        self._telling: Telling | None = None
        self._rounds = self._failed = self._untold = 0
        self._seconds = 0.0
        self._written: object = None
        self._logged: OrderedDict[str, tuple[str, str]] = OrderedDict((one.id, (one.state, one.cause)) for one in self._book.incidents)
        self.ready = asyncio.Event()

    async def run(self, wait: Callable[[float], Awaitable[bool]]) -> None:
        """Ask round by round until ``wait`` says that it is over; a round that fails is counted, and the next one goes on."""
        self._telling = own = self._start_telling()
        own.know(self._book.incidents)
        over = False
        while not over:
            began = time.monotonic()
            try:
                await self._round(own)
            except Exception:
                self._failed += 1
                _log.exception("a round of the fleet failed")
            took = time.monotonic() - began
            self._rounds += 1
            self._seconds += took
            self.ready.set()
            over = await wait(max(self._settings.fleet.interval / _SECOND - took, _LEAST_REST))

    async def close(self) -> None:
        """End the requests, and keep the incidents."""
        await self._reader.close()
        if self._telling:
            await self._telling.close()
        await asyncio.to_thread(self._state.write, self._kept())

    def counts(self) -> FleetCounts:
        """Return what it has done."""
        book, reader = self._book, self._reader
        told = self._telling.counts() if self._telling else TellingCounts()
        own = AnalysisCounts(unwritten=self._state.failed, untold=self._untold, active=book.active, opened=dict(book.opened), telling=told)
        return FleetCounts(
            reader.known,
            reader.up,
            self._addresses.left_out,
            self._addresses.failures,
            dict(reader.reads),
            dict(book.merges),
            self._rounds,
            self._failed,
            self._seconds,
            book.lost,
            book.dropped,
            reader.bad_incidents,
            own,
        )

    async def incidents(self, query: Asked) -> Any:
        """The view of the API."""
        found = [own for own in self._book.incidents if query.state in ("", own.state) and query.id in ("", own.id)]
        return {"host": self._book.fleet, "incidents": [analysis.incident(own, ACTIONS) for own in found[: query.limit]]}

    def _start_telling(self) -> Telling:
        try:
            return self._make_telling(self._settings, self._book.fleet)
        except Exception:
            self._untold += 1
            _log.exception("incidents are not told to others")
            return Telling(None, None, NoIncidentLog())

    async def _round(self, own: Telling) -> None:
        addresses = await self._addresses.all()
        readings = await self._reader.round(addresses, min(_PATIENCE, self._settings.fleet.interval / _SECOND / 2))
        told = self._book.update(readings, self._reader.up, time.time_ns())
        for incident in told:
            self._log_change(incident)
        own.tell(told, self._book.explained)
        now = _gist((*self._book.open.values(), *self._book.resolved.values()))
        if now != self._written or self._rounds % _WRITTEN_EVERY == 0:
            await asyncio.to_thread(self._state.write, self._kept())
            self._written = now

    def _kept(self) -> list[Group]:
        return [light(own) for own in (*self._book.open.values(), *self._book.resolved.values())]

    def _log_change(self, own: Incident) -> None:
        now = (own.state, own.cause)
        if self._logged.get(own.id) != now:
            level = logging.WARNING if own.state == "open" else logging.INFO
            hosts = len({one.host for one in own.members})
            about = fields(id=own.id, cause=own.cause, subject=str(own.subject), severity=own.severity, hosts=hosts)
            _log.log(level, f"incident {own.state}", extra=about)
            self._logged[own.id] = now
            while len(self._logged) > _LOGGED_KEPT:
                self._logged.popitem(last=False)


def _gist(groups: Iterable[Group]) -> object:
    """What of the groups is to be on disk at once: all but the time that they were last seen."""
    return [(own.id, own.told, own.resolved, own.absorbed, own.words, [(part.key, part.is_open) for part in own.parts]) for own in groups]


def _checked(ca_file: str) -> str:
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise _refused(ca_file, "fleet.ca_file", "holds no certificates", "write the path of a file with PEM certificates") from error
    return ca_file


def _refused(source: str, key: str, message: str, cure: str) -> ConfigError:
    return ConfigError((Problem(source or "configuration", key, message, cure),))


async def serve_fleet(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. ConfigError or StartError when it cannot begin."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    own = FleetAnalyzer(settings)
    access, guarding = Access(settings.web.api_token_file), guarding_of(settings)
    front = guarding or OPEN
    bound = [sockets.listen(address) for address in settings.web.listen_address]
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: _log.warning(_NO_RELOAD))
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
    closed = Counter(dict.fromkeys(CLOSED, 0))
    endpoints = server.Endpoints(
        settings.web.telemetry_path, _metrics(own, worker, guarding, closed), own.ready.is_set, _reload, enable_lifecycle=False
    )
    views = api.application(own, access, own.ready.is_set, _SERVED)
    app = protected(server.application(endpoints, {"/api": views}), front, access)
    runner = await server.start(app, bound, front.tls, closed)
    for each in bound:
        _log.info(f"listening on {'https' if front.tls else 'http'}://{sockets.url_host(each)}{settings.web.telemetry_path}")
    try:
        await own.run(lambda seconds: _within(ended, seconds))
    finally:
        await runner.cleanup()
        await own.close()
        if guarding:
            guarding.close()
        worker.shutdown()
        _log.info("stopped")


_NO_RELOAD = "the configuration is read at the start alone; restart it"


async def _reload() -> str:
    return _NO_RELOAD


def _metrics(
    own: FleetAnalyzer, worker: ThreadPoolExecutor, guarding: Guarding | None, closed: Mapping[str, int]
) -> Callable[[server.Scrape], Awaitable[server.Answer]]:
    latest = own.counts()  # the worker renders what the loop has counted
    metrics_of_fleet = FleetMetrics(lambda: latest, lambda: guarding.counts() if guarding else None, closed)
    page = Page([Collector("fleet", metrics_of_fleet.render)], lambda: None)

    async def metrics(scrape: server.Scrape) -> server.Answer:
        chosen = content_type(scrape.accept)
        query = Query(scrape.names, scrape.collectors, accepts_gzip(scrape.accept_encoding), FORMATS[chosen])
        page.check(query)
        nonlocal latest
        latest = own.counts()
        pieces = await asyncio.get_running_loop().run_in_executor(worker, page.pieces, query)
        return server.Answer(pieces, chosen, "gzip" if query.gzip else "")

    return metrics


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
