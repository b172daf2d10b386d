"""When the analyzer looks next: in turn, or early because tasks wait for a resource."""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from perflens.analyzer.readings.pressure import PressureTriggers
from perflens.logs import fields

__all__ = ["LEAST", "Looks"]

_log = logging.getLogger("perflens")

LEAST = 3.0
"""Seconds from one look to an early one, and from an early one to the one in turn."""

Wait = Callable[[float], Awaitable[bool]]
"""Waits for so many seconds, or until the agent is to end, and says whether it is."""


class Looks:
    """Belongs to the event loop. ``every`` is in seconds; between two looks in turn there is one early at most.

    Without triggers, or with a ``procfs`` that is empty, there are none.
    """

    def __init__(self, procfs: str, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._due = clock() + every
        self._was_early = False
        self._pressed = asyncio.Event()
        self._triggers = PressureTriggers(procfs) if procfs else None
        self._poll = select.epoll()  # the loop knows no POLLPRI, but a poll that has one can be read
        for file in self._triggers.files.values() if self._triggers else ():
            self._poll.register(file, select.EPOLLPRI)
        asyncio.get_running_loop().add_reader(self._poll.fileno(), self._note)
        if self._triggers and self._triggers.gaps:
            _log.info("pressure does not wake the analyzer", extra=fields(reason="; ".join(self._triggers.gaps)))

    async def next(self, wait: Wait) -> Literal["ended", "due", "early"]:
        """Wait for the next look, or the end."""
        self._pressed.clear()
        if not self._was_early and self._due - self._clock() > 2 * LEAST:
            if await wait(LEAST):
                return "ended"
            left = self._due - self._clock() - LEAST
            ended, pressed = await _first(wait, left, self._pressed)
            if ended:
                return "ended"
            if pressed:
                self._was_early = True
                return "early"
        if await wait(max(self._due - self._clock(), 0.0)):
            return "ended"
        self._was_early = False
        self._due = max(self._due + self._every, self._clock() + LEAST)
        return "due"

    def close(self) -> None:
        """Take the triggers back."""
        asyncio.get_running_loop().remove_reader(self._poll.fileno())
        self._poll.close()
        if self._triggers:
            self._triggers.close()

    def _note(self) -> None:
        self._poll.poll(0)  # the kernel reports each time once
        self._pressed.set()


async def _first(wait: Wait, seconds: float, pressed: asyncio.Event) -> tuple[bool, bool]:
    """Wait until the end, so many seconds, or pressure; return whether it is the end, and whether there is pressure."""
    if pressed.is_set():
        return False, True
    ending = asyncio.ensure_future(wait(seconds))
    pressing = asyncio.ensure_future(pressed.wait())
    await asyncio.wait((ending, pressing), return_when=asyncio.FIRST_COMPLETED)
    ended = ending.done() and ending.result()
    for each in (ending, pressing):
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    return ended, pressed.is_set()
