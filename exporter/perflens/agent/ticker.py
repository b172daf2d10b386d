"""When the rings are drained: a few times a second, and at once when the kernel side says that one fills."""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from perflens.agent.intake import Intake
from perflens.kernel.ring import Ring

__all__ = ["Ticker"]

_log = logging.getLogger("perflens")

_INTERVAL, _IDLE_INTERVAL = 0.25, 0.5


class Ticker:
    """Makes the thread of ``executor`` drain. An idle host costs two wake-ups of the event loop a second, and none of the thread."""

    def __init__(self, intake: Intake, rings: Sequence[Ring], executor: Executor) -> None:
        self._intake, self._rings, self._executor = intake, rings, executor
        self._loop = asyncio.get_running_loop()
        self._wake = select.epoll()
        self._wanted = self._busy = self._stopped = False
        for ring in rings:
            self._wake.register(ring.fd, select.EPOLLIN | select.EPOLLET)  # level-triggered, whatever is in the ring would wake
        self._loop.add_reader(self._wake.fileno(), self._on_wake)
        self._timer = self._loop.call_later(_INTERVAL, self._tick)

    async def stop(self) -> None:
        """Drain for the last time."""
        self._stopped = True
        self._timer.cancel()
        self._loop.remove_reader(self._wake.fileno())
        self._wake.close()
        await self._loop.run_in_executor(self._executor, guarded, self._intake.drain)

    def _tick(self) -> None:
        has_work = any(ring.has_data for ring in self._rings) or self._intake.has_news
        self._timer = self._loop.call_later(_INTERVAL if has_work else _IDLE_INTERVAL, self._tick)
        if has_work:
            self._drain()

    def _on_wake(self) -> None:
        self._wake.poll(0)
        self._drain()

    def _drain(self) -> None:
        self._wanted = True
        if not self._busy:
            self._busy = True
            self._executor.submit(self._work)

    def _work(self) -> None:
        """On the thread. What was asked for while it drained is done after what others have for the thread: a storm may go on for ever.

        What is asked for between the last two lines waits for a tick at most.
        """
        self._wanted = False
        guarded(self._intake.drain)
        if self._wanted and not self._stopped:
            self._executor.submit(self._work)
        else:
            self._busy = False


def guarded(work: Callable[[], None]) -> None:
    """A bug in the upkeep must not end the agent: its numbers go on, and the log says it."""
    try:
        work()
    except Exception:
        _log.exception("upkeep failed")
