"""Slow operations as they are told: each of them once, and what was missed between two questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Back", "Gone", "Missed", "Restarted", "follow"]

Ask = Callable[[Mapping[str, object]], Mapping[str, Any]]

MOST = 1_000
_PAUSE, _LONGEST_PAUSE = 0.5, 8.0  # s


@dataclass(frozen=True, slots=True)
class Missed:
    """So many operations were kept no more when they were asked for, whether they would have fitted or not."""

    number: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """Another agent answers: what ended under the old one since the last question is not known."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The agent does not answer; it is asked again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Back:
    """It answers again."""


Told = Mapping[str, Any] | Missed | Restarted | Gone | Back


def follow(
    ask: Ask, filters: Mapping[str, object], limit: int, pause: Callable[[float], None], unavailable: type[Exception]
) -> Iterator[Told]:
    """Yield the last ``limit`` operations, then each that ends. ``ask`` answers a query of /api/v1/events, or raises ``unavailable``.

    That is passed on from the first question; later it is told, and asked again after longer and longer pauses.
    """
    answer = ask({**filters, "limit": limit})
    yield from reversed(answer["events"])
    cursor, wait, gone = answer["cursor"], _PAUSE, False
    while True:
        pause(wait)
        try:
            answer = ask({**filters, "after": cursor, "limit": MOST})
        except unavailable as error:
            if not gone:
                yield Gone(str(error))
            gone, wait = True, min(2 * wait, _LONGEST_PAUSE)
            continue
        if gone:
            yield Back()
        if store_of(answer["cursor"]) != store_of(cursor):
            yield Restarted()
        if answer["missed"]:
            yield Missed(answer["missed"])
        yield from answer["events"]
        gone, cursor = False, answer["cursor"]
        wait = 0.0 if len(answer["events"]) == MOST else _PAUSE


def store_of(cursor: str) -> str:
    """Return what a cursor says of the agent that gave it."""
    return cursor.partition("-")[0]
