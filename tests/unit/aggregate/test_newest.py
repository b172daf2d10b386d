"""aggregate/newest.py: the newest forks and execs, and how many are kept no more."""

from __future__ import annotations

from typing import Literal

from perflens.aggregate.newest import NewestStarts
from perflens.model import ProcessEvent, ProcessKey
from tests.evidence import SECOND

NOW, WINDOW = 1_000 * SECOND, 300 * SECOND


def _event(time: int, kind: Literal["fork", "exec", "exit"] = "fork") -> ProcessEvent:
    return ProcessEvent(kind, time, ProcessKey(2, 2), ProcessKey(1, 1), "sh", 7, "")


def _times(own: NewestStarts, limit: int = 100, since: int = 0) -> list[int]:
    return [NOW - event.time for event in own.newest(limit, since)]


def test_the_newest_first() -> None:
    """Whatever the order they come in; exits are none, and what is older than the window is not shown."""
    own = NewestStarts(lambda: NOW)
    own.add([_event(NOW - 3), _event(NOW - 1, "exec"), _event(NOW - WINDOW - 1)])
    own.add([_event(NOW - 2), _event(NOW, "exit")])

    assert _times(own) == [1, 2, 3]
    assert _times(own, limit=2) == [1, 2]
    assert _times(own, since=NOW - 2) == [1, 2]
    assert own.evicted == 0


def test_what_has_no_room_is_counted() -> None:
    """The oldest go first; those that had outlived the window are not missed."""
    own = NewestStarts(lambda: NOW, limit=3)
    own.add([_event(NOW - WINDOW - 5), _event(NOW - 9)])
    own.add([_event(NOW - 8), _event(NOW - 7)])
    assert (_times(own), own.evicted) == ([7, 8, 9], 0)

    own.add([_event(NOW - back) for back in (5, 4, 3, 2, 1)])
    assert (_times(own), own.evicted) == ([1, 2, 3], 5)
