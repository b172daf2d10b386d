"""Tells incidents in Grafana: one annotation each, from its onset on, made longer while it lasts and finished when it is resolved."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from perflens.analysis import Incident
from perflens.annotate.answers import Failure
from perflens.annotate.counts import SinkCounts
from perflens.annotate.settings import GrafanaSettings
from perflens.annotate.worker import Worker

__all__ = ["GrafanaSink"]

_log = logging.getLogger(__name__)

_MOST_WAITING = 256
_LAST_REQUEST = 3.0


class GrafanaSink:
    """``put`` and ``counts`` may be called by any thread, the rest belongs to one loop.

    The analyzer puts an open incident at every tick: what it has not put within 5 minutes of the start is resolved where it was last
    seen. ``wall`` and ``monotonic`` are clocks in seconds, ``uniform(low, high)`` a random number.
    """

    def __init__(
        self,
        settings: GrafanaSettings,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._worker, self._sleep = Worker(settings, wall, monotonic, uniform), sleep
        self._inbox: dict[tuple[str, int], Incident] = {}
        self._lock = threading.Lock()
        self._wake: Callable[[], object] = _nobody
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    def put(self, incident: Incident) -> None:
        """Note what an incident is like now. It is safe from a kill once the request that is under way has been answered."""
        key = (incident.id, incident.opened)
        with self._lock:  # held for a few operations on memory
            has_room = key in self._inbox or len(self._inbox) < _MOST_WAITING
            if has_room:
                self._inbox[key] = incident
            else:
                self._worker.lose("overflow")
        self._wake()

    def counts(self) -> SinkCounts:
        """Return what became of the annotations so far."""
        return self._worker.counts(len(self._inbox))

    async def run(self) -> None:
        """Deliver until ``stop``."""
        self._task = asyncio.current_task()
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: _call(loop, woken.set)
        try:
            while not self._is_stopping:
                woken.clear()
                seconds = await self._guarded_turn()
                await _first(woken.wait(), self._sleep, seconds)
        finally:
            self._wake = _nobody
            await self._worker.absorb(self._taken())
            await self._worker.close()

    async def stop(self) -> None:
        """End ``run``: the request that is under way has 3 s left, and what is unsent stays in the file."""
        self._is_stopping = True
        self._wake()
        if self._task:
            _, unfinished = await asyncio.wait({self._task}, timeout=_LAST_REQUEST)
            if unfinished:
                self._task.cancel()
                await asyncio.wait(unfinished)

    async def turn(self) -> float | None:
        """Do the next thing; return in how many seconds there is another, None when not before the next ``put``."""
        await self._worker.absorb(self._taken())
        return await self._worker.turn()

    async def _guarded_turn(self) -> float | None:
        """A turn that fails as none should leaves the annotations of later incidents alive."""
        try:
            return await self.turn()
        except Exception as error:
            _log.exception("annotations failed")
            self._worker.fail(Failure("internal", type(error).__name__))
            return 0.0

    def _taken(self) -> list[Incident]:
        with self._lock:
            taken = list(self._inbox.values())
            self._inbox.clear()
        return taken


async def _first(woken: Awaitable[object], sleep: Callable[[float], Awaitable[None]], seconds: float | None) -> None:
    """Wait until woken, or for so many seconds when that is a number."""
    waits = [asyncio.ensure_future(woken)]
    if seconds is not None:
        waits.append(asyncio.ensure_future(sleep(seconds)))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(function)


def _nobody() -> None:
    """Whoever runs later looks by himself."""
