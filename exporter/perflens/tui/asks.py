"""What is asked of the API: a path, its parameters, how often, and how the answer is read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from perflens.tui import diagnoses, model
from perflens.tui.reading import Reader

__all__ = [
    "ANALYSES",
    "EVENTS",
    "INCIDENTS",
    "IN_PROGRESS",
    "PROCESSES",
    "STARTS",
    "SUMMARY",
    "TIMELINE",
    "TREE",
    "Ask",
    "Data",
    "agent_now",
    "cursor_of",
    "in_progress_of",
    "of_process",
    "of_window",
]

T = TypeVar("T")
Timed = TypeVar("Timed", model.Event, model.Start)
_MOST_EVENTS, _MOST_STARTS = 2_000, 1_000
_AHEAD = 86_400.0  # s: by how much the clock of an agent may be before ours
_OVERLAP = 2.0  # s: an event is told a moment after its operation ended
_TOLD_LATE = 5  # s, likewise
_SECONDS, _AT_ONCE = 300, 500
_MOST_ANALYSES = 20


def _last(_: Any, new: Any) -> Any:
    return new


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One question. ``merge`` makes one answer of the last and the new one; ``more`` are the parameters by which to ask for what is new.

    It gets the last answer, and how many seconds ago it was asked for. One that ``follows`` asks for what came after that answer's cursor.
    """

    path: str
    read: Callable[[Reader], T] = field(compare=False)
    parameters: tuple[tuple[str, str], ...] = ()
    every: float = 1.0
    merge: Callable[[T, T], T] = field(default=_last, compare=False)
    more: Callable[[T, float], Mapping[str, str]] | None = field(default=None, compare=False)
    follows: bool = field(default=False, compare=False)

    def query(self, last: T | None, age: float = 0.0, cursor: str = "") -> dict[str, str]:
        """Return the parameters; ``last`` is the answer that is there already, asked for ``age`` seconds ago."""
        if self.follows and cursor:
            return {**dict(self.parameters), "after": cursor}
        return {**dict(self.parameters), **(self.more(last, age) if self.more and last is not None else {})}


@dataclass(frozen=True)
class Data:
    """The last answer to each question, at ``now`` (seconds since 1970)."""

    answers: Mapping[Ask[Any], Any]
    now: float

    def of(self, ask: Ask[T]) -> T | None:
        """Return the last answer; None when there is none yet."""
        found: T | None = self.answers.get(ask)
        return found


def agent_now(data: Data) -> float:
    """Return the time by the agent's clock, where it has told it: the end of the last second of its timeline."""
    seconds = data.of(TIMELINE)
    return seconds[-1].time + 1.0 if seconds else data.now


def of_window(data: Data, ask: Ask[tuple[Timed, ...]], seconds: int) -> tuple[Timed, ...]:
    """Return what ended within the last seconds, by the agent's clock; none of a time to come."""
    now = agent_now(data)
    return tuple(own for own in data.of(ask) or () if now - seconds < own.end <= now + 1)


def _events(own: Reader) -> tuple[model.Event, ...]:
    return model.merged((), model.events(own), _MOST_EVENTS)


def _newest(ends: Iterable[float]) -> float:
    """Return the first; one of a time to come, which no agent means, must not hide all others. 0 where there is none."""
    return next((end for end in ends if end < time.time() + _AHEAD), 0.0)


def _since(known: Iterable[model.Event | model.Start], _: float) -> Mapping[str, str]:
    """From shortly before the newest on."""
    start = _newest(own.end for own in known) - _OVERLAP
    return {"since": f"{start:.3f}"} if start > 0 else {}


def _lately(_: tuple[model.Second, ...], age: float) -> Mapping[str, str]:
    """The seconds since, and those before in which something may have been told meanwhile."""
    return {"seconds": str(min(math.ceil(age) + _TOLD_LATE, _SECONDS))}


def _more_seconds(old: tuple[model.Second, ...], new: tuple[model.Second, ...]) -> tuple[model.Second, ...]:
    """An agent whose clock was set back, or that was started anew, begins anew."""
    if not new:
        return old
    return (*(own for own in old if new[-1].time - _SECONDS < own.time < new[0].time), *new)[-_SECONDS:]


def cursor_of(answer: Reader) -> str:
    """Return the cursor to follow; empty where there is none, and after as many events as fit: there may be more, and the newest matter."""
    return answer.text("cursor", 64) if answer.has("cursor") and len(answer.each("events", lambda own: own)) < _AT_ONCE else ""


def _in_reach(old: tuple[Timed, ...], new: tuple[Timed, ...]) -> tuple[Timed, ...]:
    """What a window that ends with the newest may still show."""
    begin = _newest(own.end for own in new) - _SECONDS - _OVERLAP
    return tuple(own for own in old if own.end >= begin)


def _more_events(old: tuple[model.Event, ...], new: tuple[model.Event, ...]) -> tuple[model.Event, ...]:
    return model.merged(_in_reach(old, new), new, _MOST_EVENTS)


def _more_starts(old: tuple[model.Start, ...], new: tuple[model.Start, ...]) -> tuple[model.Start, ...]:
    return model.merged_starts(_in_reach(old, new), new, _MOST_STARTS)


def _later(known: Iterable[diagnoses.Diagnosis], _: float) -> Mapping[str, str]:
    """The windows after the newest: each is as large as some hundred events, and does not change."""
    last = _newest(own.updated for own in known)
    return {"since": f"{last + 0.001:.3f}"} if last else {}


def _more_analyses(old: tuple[diagnoses.Diagnosis, ...], new: tuple[diagnoses.Diagnosis, ...]) -> tuple[diagnoses.Diagnosis, ...]:
    ids = {own.id for own in new}
    return (*new, *(own for own in old if own.id not in ids))[:_MOST_ANALYSES]


SUMMARY = Ask("summary", model.summary)
PROCESSES = Ask("processes", model.processes)
TREE = Ask("process-tree", model.tree, (("ended", "false"), ("limit", "1000")), every=2.0)
TIMELINE = Ask("timeline", model.seconds, (("seconds", str(_SECONDS)),), merge=_more_seconds, more=_lately)
EVENTS = Ask("events", _events, (("limit", str(_AT_ONCE)),), merge=_more_events, more=_since, follows=True)
STARTS = Ask("process-starts", model.starts, (("limit", "500"),), merge=_more_starts, more=_since)
IN_PROGRESS = Ask("events", model.events, (("in_progress", "true"), ("limit", "200")))
INCIDENTS = Ask("incidents", diagnoses.incidents, (("limit", "20"),), every=5.0)
ANALYSES = Ask("analyses", diagnoses.analyses, (("limit", str(_MOST_ANALYSES)),), every=5.0, merge=_more_analyses, more=_later)


def of_process(pid: int) -> Ask[tuple[model.Event, ...]]:
    """Ask for the slow operations of a process."""
    return Ask("events", model.events, (("pid", str(pid)), ("limit", "100")))


def in_progress_of(pid: int) -> Ask[tuple[model.Event, ...]]:
    """Ask for the operations of a process that have not ended."""
    return Ask("events", model.events, (("pid", str(pid)), ("in_progress", "true"), ("limit", "20")))
