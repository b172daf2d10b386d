"""The event loop of the agent: HTTP, signals, and when its threads have something to do."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable

from perflens.agent.core import Agent
from perflens.agent.ticker import Ticker, guarded
from perflens.config import Settings
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.page import Query
from perflens.http import api, server, sockets
from perflens.http.connections import Connections
from perflens.http.flight import SingleFlight
from perflens.http.front import OPEN
from perflens.http.guard import protected
from perflens.kernel.heap import give_back_free_pages, trim
from perflens.logs import fields

__all__ = ["serve", "take_hangups"]

_log = logging.getLogger("perflens")

_MAINTENANCE = 2.0
_TRIM_EVERY = 30  # times of maintenance: once a minute


async def serve(agent: Agent, read: Callable[[], Settings]) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reloads. StartError when an address is taken or a probe is missing."""
    loop = asyncio.get_running_loop()
    web = agent.settings.web
    bound = [sockets.listen(address) for address in web.listen_address]
    ready, ended = asyncio.Event(), asyncio.Event()

    async def reload() -> str:
        return await loop.run_in_executor(agent.worker, agent.reload, read)

    endpoints = server.Endpoints(web.telemetry_path, _metrics(agent), ready.is_set, reload, web.enable_lifecycle)
    front = agent.guarding or OPEN
    views = api.application(agent.views.api(), agent.access, ready.is_set)
    app = protected(server.application(endpoints, {"/api": views}), front, agent.access)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    reloads: set[asyncio.Task[str]] = set()

    def reload_in_background() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    take_hangups(loop, reload_in_background)
    runner = await server.start(app, bound, front.tls, agent.closed)
    names = loop.create_task(agent.cluster.run())  # they may come while the probes are attached
    try:
        await loop.run_in_executor(agent.worker, agent.start)
        trim()
        ready.set()
        for own in bound:
            _log.info(f"listening on {'https' if front.tls else 'http'}://{sockets.url_host(own)}{web.telemetry_path}")
        ticker = Ticker(agent.intake, [own.kernel.ring for own in agent.running], agent.drainer)
        looks = _analyze(ended, agent)
        try:
            await _maintain(ended, agent)
        finally:
            ended.set()
            agent.explainer.end_soon()  # what the analyzer waits for stands behind it
            await looks
            await ticker.stop()
    finally:
        names.cancel()
        await asyncio.wait((names,))
        await _shut_down(agent, runner)


def take_hangups(loop: asyncio.AbstractEventLoop, reload: Callable[[], None]) -> None:
    """Reload at each SIGHUP, also at one that has come before now and was held back."""
    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _metrics(agent: Agent) -> Callable[[server.Scrape], Awaitable[server.Answer]]:
    flight = SingleFlight[Query, tuple[bytes, ...]](lambda query: agent.page.pieces(query), agent.worker)

    async def metrics(scrape: server.Scrape) -> server.Answer:
        chosen = content_type(scrape.accept)
        query = Query(scrape.names, scrape.collectors, accepts_gzip(scrape.accept_encoding), FORMATS[chosen])
        agent.page.check(query)
        return server.Answer(await flight.get(query), chosen, "gzip" if query.gzip else "")

    return metrics


async def _maintain(ended: asyncio.Event, agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    rounds = 0
    while not await _within(ended, _MAINTENANCE):
        await loop.run_in_executor(agent.worker, guarded, agent.maintain)
        rounds += 1
        if rounds % _TRIM_EVERY == 0:
            await loop.run_in_executor(agent.worker, give_back_free_pages)


def _analyze(ended: asyncio.Event, agent: Agent) -> Awaitable[None]:
    async def run() -> None:
        if not agent.analyzing:
            return
        try:
            try:
                await agent.analyzing.run(lambda seconds: _within(ended, seconds))
            finally:
                await agent.analyzing.close()
        except Exception:
            _log.exception("the analyzer has ended: nobody looks for causes any more")

    return asyncio.get_running_loop().create_task(run())


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False


async def _shut_down(agent: Agent, runner: Connections) -> None:
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    await runner.cleanup()
    await loop.run_in_executor(None, agent.explainer.close)
    agent.drainer.shutdown()
    await loop.run_in_executor(agent.worker, agent.stop)
    if agent.guarding:
        agent.guarding.close()
    agent.worker.shutdown()
    _log.info("stopped", extra=fields(seconds=f"{time.monotonic() - began:.3f}"))
