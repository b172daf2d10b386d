"""agent/joins.py: requests wait for the operation that they served."""

from __future__ import annotations

from typing import Any

import pytest

from perflens.agent.joins import Held, Joins, with_requests
from perflens.export.otlp.spans import SpanIds
from perflens.model import BlockRequest, SlowEvent
from tests.evidence import SECOND, evidence, slow_event

SOURCE: Any = None
START = 1_000 * SECOND


def request(number: int, start: int = START, device: int = 8) -> BlockRequest:
    return BlockRequest("write", (device, 0), number, 512, start + number, 1, 2, 3, 0, "sda")


def held(number: int, tid: int = 5, start: int = START) -> Held:
    """A request of an operation."""
    own = request(number, start)
    return Held(SOURCE, evidence(probe="block", tid=tid, requests=(own,), is_request=True, operation_start=start, start=own.start))


def operation(tid: int = 5, start: int = START, requests: tuple[BlockRequest, ...] = ()) -> SlowEvent:
    return slow_event(tid=tid, start=start, requests=requests, requests_seen=len(requests))


def test_operation_takes_its_own() -> None:
    """An operation is one thread at one time: it gets its requests in the order in which they came, once, and no others."""
    joins = Joins()
    mine = [held(1), held(2)]
    others = [held(3, tid=6), held(4, start=START + 1)]
    for own in (mine[0], *others, mine[1]):
        assert joins.hold(own) == []

    assert joins.take(operation()) == mine
    assert (joins.take(operation()), len(joins)) == ([], 2)
    assert joins.take(operation(tid=6)) == others[:1]


def test_bound() -> None:
    """What is too much lets the oldest go."""
    joins, all_of_them = Joins(limit=3), [held(number, tid=number) for number in range(5)]
    gone = [own for one in all_of_them for own in joins.hold(one)]

    assert (gone, len(joins)) == (all_of_them[:2], 3)
    assert joins.take(operation(tid=0)) == []
    assert joins.take(operation(tid=4)) == all_of_them[4:]


def test_patience() -> None:
    """A request waits for 10 s after its end."""
    joins, early, late = Joins(), held(1), held(2 + SECOND)
    joins.hold(late)
    joins.hold(early)
    (own,) = early.evidence.event.requests

    assert joins.overdue(own.end + 10 * SECOND) == []
    assert joins.overdue(own.end + 10 * SECOND + 1) == [early]
    assert joins.overdue(1 << 64) == [late]
    assert len(joins) == 0


def test_operation_that_was_told_of() -> None:
    """A request that is seen after its operation's event has the span that it got with it, or none."""
    joins, own = Joins(), operation(requests=(request(1),))
    assert not joins.was_told(held(1).evidence.event)
    joins.told(own, SpanIds("trace", "root", {request(1).identity: "child"}))

    assert joins.was_told(held(1).evidence.event)
    assert joins.ids_of(held(1).evidence.event) == SpanIds("trace", "child")
    assert joins.ids_of(held(2).evidence.event) is None
    joins.told(operation(tid=7), None)
    assert joins.was_told(held(1, tid=7).evidence.event)


@pytest.mark.parametrize(
    ("noted", "waiting", "seen", "expected"),
    [
        ((), (), 0, ()),
        ((3, 1), (), 5, (1, 3)),
        ((), (2, 1), 0, (1, 2)),
        ((1, 3), (3, 2), 2, (1, 2, 3)),
    ],
)
def test_requests_of_both(noted: tuple[int, ...], waiting: tuple[int, ...], seen: int, expected: tuple[int, ...]) -> None:
    """An operation shows what it noted and what waited for it, each request once, in the order of their submission."""
    own = slow_event(requests=tuple(map(request, noted)), requests_seen=seen)
    found = with_requests(own, [held(number) for number in waiting])

    assert [one.sector for one in found.requests] == list(expected)
    assert found.requests_seen == max(seen, len(expected))
