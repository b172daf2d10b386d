"""The event loop of the agent: HTTP, signals, and when its threads have something to do."""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import time
from collections.abc import Awaitable, Callable

from perflens.agent.core import Agent
from perflens.config import Settings
from perflens.export.prometheus.formats import FORMATS
from perflens.export.prometheus.negotiate import accepts_gzip, content_type
from perflens.export.prometheus.page import Query
from perflens.http import api, server, sockets
from perflens.http.flight import SingleFlight
from perflens.kernel.heap import give_back_large_blocks
from perflens.logs import fields

__all__ = ["serve"]

_log = logging.getLogger("perflens")

_MAINTENANCE = 2.0
_DRAIN = 0.25


async def serve(agent: Agent, read: Callable[[], Settings]) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reloads. StartError when an address is taken or a probe is missing."""
    give_back_large_blocks()
    loop = asyncio.get_running_loop()
    web = agent.settings.web
    bound = [sockets.listen(address) for address in web.listen_address]
    ready, ended = asyncio.Event(), asyncio.Event()

    async def reload() -> str:
        return await loop.run_in_executor(agent.worker, agent.reload, read)

    endpoints = server.Endpoints(web.telemetry_path, _metrics(agent), ready.is_set, reload, web.enable_lifecycle)
    views = api.application(agent.views.api(), agent.access, ready.is_set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    reloads: set[asyncio.Task[str]] = set()

    def reload_in_background() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload_in_background)
    runner = await server.start(server.application(endpoints, {"/api": views}), bound)
    try:
        await loop.run_in_executor(agent.worker, agent.start)
        ready.set()
        for own in bound:
            _log.info(f"listening on http://{sockets.url_host(own)}{web.telemetry_path}")
        await asyncio.gather(_maintain(ended, agent), _drain(ended, agent))
    finally:
        await _shut_down(agent, runner)


def _metrics(agent: Agent) -> Callable[[server.Scrape], Awaitable[server.Answer]]:
    flight = SingleFlight[Query, bytes | bytearray](lambda query: agent.page.render(query), agent.worker)

    async def metrics(scrape: server.Scrape) -> server.Answer:
        chosen = content_type(scrape.accept)
        query = Query(scrape.names, scrape.collectors, accepts_gzip(scrape.accept_encoding), FORMATS[chosen])
        agent.page.check(query)
        return server.Answer(await flight.get(query), chosen, "gzip" if query.gzip else "")

    return metrics


async def _maintain(ended: asyncio.Event, agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    while not await _within(ended, _MAINTENANCE):
        await loop.run_in_executor(agent.worker, _guarded, agent.maintain)


async def _drain(ended: asyncio.Event, agent: Agent) -> None:
    """Drain each ring a few times a second, and at once when the kernel side says that it fills."""
    loop = asyncio.get_running_loop()
    filling = asyncio.Event()
    rings = [own.kernel.ring for own in agent.running]
    with select.epoll() as wake:
        for ring in rings:
            wake.register(ring.fd, select.EPOLLIN | select.EPOLLET)  # level-triggered, whatever is in the ring would wake

        def on_wake() -> None:
            wake.poll(0)
            filling.set()

        loop.add_reader(wake.fileno(), on_wake)
        try:
            while not ended.is_set():
                await _either(ended, filling, _DRAIN)
                filling.clear()
                if any(ring.has_data for ring in rings) or agent.intake.has_news:
                    await loop.run_in_executor(agent.drainer, _guarded, agent.intake.drain)
        finally:
            loop.remove_reader(wake.fileno())
        await loop.run_in_executor(agent.drainer, _guarded, agent.intake.drain)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False


async def _either(ended: asyncio.Event, filling: asyncio.Event, seconds: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in (ended, filling)]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _guarded(work: Callable[[], None]) -> None:
    """A bug in the upkeep must not end the agent: its numbers go on, and the log says it."""
    try:
        work()
    except Exception:
        _log.exception("upkeep failed")


async def _shut_down(agent: Agent, runner: server.Runner) -> None:
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    await runner.cleanup()
    await loop.run_in_executor(None, agent.explainer.close)
    agent.drainer.shutdown()
    await loop.run_in_executor(agent.worker, agent.stop)
    agent.worker.shutdown()
    _log.info("stopped", extra=fields(seconds=f"{time.monotonic() - began:.3f}"))
