"""Scrapes that arrive together share one rendering, which begins after the last of them has arrived."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")

_GATHER = 0.002


class SingleFlight(Generic[Q, A]):
    """Runs ``work(query)`` in ``executor``, one at a time.

    Who asks joins the flight for the same query that has not begun: nobody gets an answer older than his question. One that nobody waits
    for any more does not begin. ``flights`` counts the runs.
    """

    def __init__(self, work: Callable[[Q], A], executor: Executor) -> None:
        self._work, self._executor = work, executor
        self._waiting: dict[Q, asyncio.Task[A]] = {}
        self._passengers = Counter[asyncio.Task[A]]()
        self._turn = asyncio.Lock()
        self.flights = 0

    async def get(self, query: Q) -> A:
        """Return what ``work`` gives for ``query``; its exceptions come through."""
        flight = self._waiting.get(query)
        if flight is None:
            flight = self._waiting[query] = asyncio.create_task(self._fly(query))
        self._passengers[flight] += 1
        try:
            return await asyncio.shield(flight)
        finally:
            self._leave(query, flight)

    def _leave(self, query: Q, flight: asyncio.Task[A]) -> None:
        self._passengers[flight] -= 1
        if self._passengers[flight]:
            return
        del self._passengers[flight]
        if self._waiting.get(query) is flight:
            del self._waiting[query]
            flight.cancel()

    async def _fly(self, query: Q) -> A:
        await asyncio.sleep(_GATHER)
        async with self._turn:
            del self._waiting[query]
            self.flights += 1
            return await asyncio.get_running_loop().run_in_executor(self._executor, self._work, query)
