"""aggregate/evidence.py: the newest evidence, and what is in progress."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from perflens.aggregate.evidence import Cursor, EvidenceStore, Wanted, estimated_bytes, key_of
from perflens.model import Evidence
from tests.evidence import SECOND, evidence

NOW = 1_000 * SECOND


class Clock:
    def __init__(self) -> None:
        self.ns = NOW

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ends(found: list[Evidence]) -> list[int]:
    return [one.event.start + one.event.duration - NOW for one in found]


def test_newest_first(clock: Clock) -> None:
    """The newest come first, and no more than were asked for."""
    store = EvidenceStore(clock)
    for number in range(5):
        store.add(evidence(end=NOW + number))

    assert ends(store.recent(Wanted(), 3)) == [4, 3, 2]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(probe="block"),
        Wanted(operation="fsync"),
        Wanted(owner="b.service"),
        Wanted(pid=101),
        Wanted(min_duration=10_000_001),
        Wanted(since=1_700_001_000 * SECOND + 1),
    ],
)
def test_filters(clock: Clock, wanted: Wanted) -> None:
    """Each filter lets through what it names and nothing else; a bound is inclusive."""
    store = EvidenceStore(clock)
    store.add(evidence())
    assert store.recent(wanted, 10) == []
    chosen = {name: getattr(wanted, name) for name in ("probe", "operation", "pid") if getattr(wanted, name)}
    match = evidence(**chosen, unit=wanted.owner or "a.service", duration=10_000_001, end=NOW + 1)
    store.add(match)

    assert store.recent(wanted, 10) == [match]


def test_number_and_age_are_bounded(clock: Clock) -> None:
    """The oldest go when there are too many, which is counted, and after five minutes, which is not."""
    store = EvidenceStore(clock, limit=3)
    for number in range(5):
        store.add(evidence(end=NOW + number))
    assert (len(store), store.evicted) == (3, 2)

    clock.ns += 300 * SECOND + 3
    assert ends(store.recent(Wanted(), 10)) == [4, 3]
    clock.ns += 2
    assert store.recent(Wanted(), 10) == []
    assert (store.bytes, store.evicted) == (0, 2)


def test_bytes_are_bounded(clock: Clock) -> None:
    """Evidence with long stacks is kept in a smaller number."""
    store = EvidenceStore(clock, max_bytes=100_000)
    for number in range(100):
        store.add(evidence(kernel=tuple(f"{number}{'f' * 200}{depth}" for depth in range(40)), end=NOW + number))

    assert 5 < len(store) < 50
    assert store.bytes <= 100_000
    assert store.evicted == 100 - len(store)


@pytest.mark.parametrize("frames", [0, 2, 20, 127])
def test_estimate_is_no_less_than_what_is_used(frames: int) -> None:
    """The estimate covers what Python takes, and is not far above."""
    make: Callable[[int], Evidence] = lambda pid: evidence(  # noqa: E731
        kernel=tuple(f"function_{pid}_{number}+0x1a [module]" for number in range(frames)),
        user=tuple(f"function_{pid}_{number}+0x1a [libc.so.6]" for number in range(frames)),
        kernel_stack=tuple(0xFFFF_0000_0000_0000 + 1_000 * pid + number for number in range(frames)),
        pid=pid + 1_000,
        end=NOW + pid,
    )
    make(1)
    tracemalloc.start()
    kept = [make(pid) for pid in range(200)]
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert 0.9 * used <= sum(map(estimated_bytes, kept)) <= 2.5 * used


def test_in_progress(clock: Clock) -> None:
    """What is known of an operation in progress is replaced at each scan, and gone when it ends."""
    store = EvidenceStore(clock)
    start = NOW - 5 * SECOND
    for seconds in (1, 2, 3):
        store.add(evidence(in_progress=True, start=start, duration=seconds * SECOND))
    store.add(evidence(in_progress=True, start=start - 1, duration=9, pid=200))
    assert [one.event.duration for one in store.in_progress(Wanted(), 10)] == [9, 3 * SECOND]
    assert [one.event.process.pid for one in store.in_progress(Wanted(pid=100), 10)] == [100]
    assert store.recent(Wanted(), 10) == []

    ended = evidence(start=start, duration=4 * SECOND)
    store.add(ended)
    store.add(evidence(in_progress=True, start=start, duration=3 * SECOND))  # told late
    assert [one.event.process.pid for one in store.in_progress(Wanted(), 10)] == [200]
    assert store.recent(Wanted(), 10) == [ended]


def test_in_progress_ends_without_evidence(clock: Clock) -> None:
    """It is forgotten when it is said to have ended, when a scan does not find it, and when none has seen it for a minute."""
    store = EvidenceStore(clock)
    stuck = [evidence(in_progress=True, pid=pid) for pid in (1, 2, 3)]
    for one in stuck:
        store.add(one)
    store.ended(key_of(stuck[0]))
    store.retain("file", {key_of(stuck[0]), key_of(stuck[1])})
    assert store.in_progress(Wanted(), 10) == [stuck[1]]
    clock.ns += 61 * SECOND
    assert store.in_progress(Wanted(), 10) == []


def test_in_progress_is_bounded(clock: Clock) -> None:
    """A thousand stuck threads do not grow without end."""
    store = EvidenceStore(clock, limit=10)
    for pid in range(50):
        store.add(evidence(in_progress=True, pid=pid + 1))

    assert len(store.in_progress(Wanted(), 100)) == 10
    assert store.evicted == 40


def test_after_a_cursor(clock: Clock) -> None:
    """What ended after a cursor comes once, in the order in which it was told, however the answers are cut."""
    store = EvidenceStore(clock, identity=5)
    for number in (3, 1, 2):
        store.add(evidence(end=NOW + number))
    first = store.after(Cursor(5, 0), Wanted(), 2)
    second = store.after(first.cursor, Wanted(), 2)

    assert (ends(first.evidence), first.cursor, first.missed) == ([3, 1], (5, 2), 0)
    assert (ends(second.evidence), second.cursor, second.missed) == ([2], (5, 3), 0)
    assert store.after(second.cursor, Wanted(), 2) == ([], (5, 3), 0)
    assert store.cursor == (5, 3)


def test_after_a_cursor_with_a_filter(clock: Clock) -> None:
    """What does not fit is passed over, and not looked at again; a full answer goes on where it ended."""
    store = EvidenceStore(clock, identity=5)
    for number, operation in enumerate(("read", "write", "read", "write")):
        store.add(evidence(end=NOW + number, operation=operation))

    assert store.after(Cursor(5, 0), Wanted(operation="read"), 9).cursor == (5, 4)
    cut = store.after(Cursor(5, 0), Wanted(operation="write"), 1)
    assert (ends(cut.evidence), cut.cursor) == ([1], (5, 2))
    assert ends(store.after(cut.cursor, Wanted(operation="write"), 1).evidence) == [3]


def test_missed_after_a_cursor(clock: Clock) -> None:
    """What was evicted or has expired since is counted, once."""
    store = EvidenceStore(clock, limit=3, identity=5)
    for number in range(10):
        store.add(evidence(end=NOW + number))
    late = store.after(Cursor(5, 2), Wanted(), 9)
    assert (ends(late.evidence), late.cursor, late.missed) == ([7, 8, 9], (5, 10), 5)
    assert store.after(late.cursor, Wanted(), 9).missed == 0
    assert store.after(Cursor(5, 7), Wanted(), 9).missed == 0

    clock.ns += 301 * SECOND
    assert store.after(Cursor(5, 9), Wanted(), 9) == ([], (5, 10), 1)


@pytest.mark.parametrize(("cursor", "found"), [(Cursor(6, 2), [0, 1, 2]), (Cursor(5, 99), [])])
def test_cursor_of_another_store(clock: Clock, cursor: Cursor, found: list[int]) -> None:
    """After a restart everything is new; a number that was never given is the end."""
    store = EvidenceStore(clock, identity=5)
    for number in range(3):
        store.add(evidence(end=NOW + number))

    news = store.after(cursor, Wanted(), 9)
    assert (ends(news.evidence), news.cursor, news.missed) == (found, (5, 3), 0)


def test_stores_are_told_apart(clock: Clock) -> None:
    """Two stores give cursors of their own."""
    assert EvidenceStore(clock).cursor.store != EvidenceStore(clock).cursor.store
