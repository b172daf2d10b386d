"""Keeps the last answer to every question that the visible view asks, each at its own pace, and says how old it is."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from perflens.tui.asks import Ask, Data, cursor_of
from perflens.tui.reading import Reader, Unreadable
from perflens.tui.source import Source, Unavailable
from perflens.tui.text import clean

__all__ = ["Feed"]

_MOST_KEPT = 16  # the nine questions of views, and those of a few processes, whose stacks are large
_LONGEST_PAUSE = 15.0  # s
_PATIENCE = 3.0  # s: how old an answer may be before the header says so, beside its own pace


@dataclass(frozen=True, slots=True)
class _Answer:
    """The last answer, when it was asked for and came (0 for never), its cursor, why there is no newer one, and how often that failed."""

    value: Any = None
    came: float = 0.0
    error: str = ""
    failures: int = 0
    due: float = 0.0
    asked: float = 0.0
    cursor: str = ""


def _boot_time() -> float:
    """The time that goes on while this computer sleeps; the agent does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Feed:
    """Asks a source. ``changed`` is called on the event loop when there is something new to show.

    At most one request of a question is on the way. After a failure the pauses double up to 15 s, each with chance added.
    """

    def __init__(self, source: Source, changed: Callable[[], None], clock: Callable[[], float] = _boot_time) -> None:
        self.source = source
        self._changed, self._clock = changed, clock
        self._answers: dict[Ask[Any], _Answer] = {}
        self._tasks: dict[Ask[Any], asyncio.Task[None]] = {}
        self._asked: tuple[Ask[Any], ...] = ()
        self._since: dict[Ask[Any], float] = {}

    def look(self, asks: Iterable[Ask[Any]], paused: bool = False) -> None:
        """Ask what is due of these questions; while paused, or of a recording, only what has no answer yet."""
        now = self._clock()
        self._asked = tuple(asks)
        self._since = {ask: now if paused else self._since.get(ask, now) for ask in self._asked}
        once = paused or bool(self.source.recorded)
        for ask in self._asked:
            own = self._answers[ask] = self._answers.pop(ask, _Answer())  # what was seen last stays longest
            if ask not in self._tasks and own.due <= now and not (once and (own.came or own.failures)):
                self._tasks[ask] = asyncio.get_running_loop().create_task(self._fetch(ask))
        for ask in list(self._answers)[: max(len(self._answers) - _MOST_KEPT, 0)]:
            if ask not in self._asked and ask not in self._tasks:
                del self._answers[ask]

    def data(self) -> Data:
        """Return what is known now."""
        answers = {ask: own.value for ask, own in self._answers.items() if own.came}
        return Data(answers, self.source.recorded or time.time())

    def stale(self) -> tuple[float, str]:
        """Return for how long what is shown has been out of date (s, 0 when it is not), and why."""
        now = self._clock()
        oldest, reason = 0.0, ""
        for ask in self._asked if not self.source.recorded else ():
            own = self._answers.get(ask, _Answer())
            age = now - (own.came if own.came and own.error else max(own.came, self._since[ask]))
            if (own.error or age > ask.every + _PATIENCE) and age > oldest:
                oldest, reason = age, own.error or "no answer yet"
        return oldest, reason

    def missing(self, ask: Ask[Any]) -> str:
        """Return why a question has no answer; empty when it has one, or none is known."""
        own = self._answers.get(ask, _Answer())
        return "" if own.came else own.error

    async def close(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.source.close()

    async def _fetch(self, ask: Ask[Any]) -> None:
        own, asked = self._answers[ask], self._clock()
        try:
            answer = Reader(await self.source.get(ask.path, ask.query(own.value, asked - own.asked, own.cursor)))
            found = ask.read(answer)
            now = self._clock()
            value = ask.merge(own.value, found) if own.came else found
            cursor = cursor_of(answer) if ask.follows else ""
            self._answers[ask] = _Answer(value, now, due=now + ask.every, asked=asked, cursor=cursor)
        except Exception as error:  # a bug of ours must not end the screen either, and is told as the reason
            pause = min(ask.every * 2**own.failures, _LONGEST_PAUSE) * (1 + random.random() / 4)  # noqa: S311
            self._answers[ask] = replace(own, error=_told(error), failures=min(own.failures + 1, 10), due=self._clock() + pause)
        finally:
            self._tasks.pop(ask, None)
        self._changed()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable | Unreadable) else clean(f"{type(error).__name__}: {error}")
