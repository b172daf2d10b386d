"""aggregate/slowest.py: the slowest processes, by their longest operation and by all their slow time."""

from __future__ import annotations

import random
from collections import Counter

from perflens.aggregate.slowest import Slowest
from perflens.model import ProcessKey
from tests.evidence import SECOND, evidence

NOW = 1_000 * SECOND
MS = 10**6


def process(pid: int) -> ProcessKey:
    return ProcessKey(pid, pid * SECOND)


def test_both_lists() -> None:
    """One process has the longest operation, another the most time."""
    slowest = Slowest()
    slowest.add(process(1), "a", 900 * MS, NOW)
    for _ in range(10):
        slowest.add(process(2), "b", 100 * MS, NOW + 1)
    top = slowest.top(NOW + 2)

    assert [own.comm for own in top.by_maximum] == ["a", "b"]
    assert [(own.comm, own.count, own.total, own.maximum) for own in top.by_total] == [
        ("b", 10, 1_000 * MS, 100 * MS),
        ("a", 1, 900 * MS, 900 * MS),
    ]
    assert top.processes == 2
    assert slowest.counts(NOW + 2) == {process(1): 1, process(2): 10}


def test_evidence_is_that_of_the_longest_operation() -> None:
    """The stacks shown are those of the event that is shown: a longer event without evidence takes the old one's away."""
    slowest = Slowest()
    first, second = (evidence(kernel=(name,), pid=1, duration=ms * MS, end=NOW + ms) for name, ms in (("short", 10), ("long", 20)))
    for one in (first, second):
        assert slowest.add(one.event.process, "a", one.event.duration, one.event.start + one.event.duration)
        slowest.attach(one)
    slowest.attach(first)
    assert slowest.top(NOW + 99).by_maximum[0].evidence is second

    assert slowest.add(process(1), "a", 30 * MS, NOW + 50)
    assert slowest.top(NOW + 99).by_maximum[0].evidence is None
    assert not slowest.add(process(1), "a", 25 * MS, NOW + 51)


def test_same_name_is_another_process() -> None:
    """Processes are told apart by PID and start, not by name; the name shown is the newest."""
    slowest = Slowest()
    slowest.add(ProcessKey(1, 1), "sh", 10 * MS, NOW)
    slowest.add(ProcessKey(1, 2), "sh", 20 * MS, NOW + 40 * SECOND)
    slowest.add(ProcessKey(1, 1), "db", 5 * MS, NOW + 70 * SECOND)

    assert [(own.process.start, own.comm, own.count) for own in slowest.top(NOW + 80 * SECOND).by_maximum] == [(2, "sh", 1), (1, "db", 2)]


def test_a_maximum_does_not_stay() -> None:
    """After five minutes, and a pane of 30 s at most, a process is gone and the next maximum counts."""
    slowest = Slowest()
    slowest.add(process(1), "a", 900 * MS, NOW)
    slowest.add(process(1), "a", 20 * MS, NOW + 100 * SECOND)
    assert slowest.top(NOW + 290 * SECOND).by_maximum[0].maximum == 900 * MS
    assert slowest.top(NOW + 340 * SECOND).by_maximum[0].maximum == 20 * MS
    assert slowest.top(NOW + 440 * SECOND).processes == 0
    assert not slowest.add(process(2), "b", 10 * MS, NOW - 1_000 * SECOND)


def test_only_what_may_be_shown_is_explained() -> None:
    """Once ten processes are slower, an operation of an eleventh needs no explanation."""
    slowest = Slowest()
    for pid in range(1, 11):
        assert slowest.add(process(pid), "a", 100 * MS, NOW)
    assert not slowest.add(process(11), "b", 50 * MS, NOW)
    assert slowest.add(process(12), "c", 150 * MS, NOW)


def test_storm_of_processes() -> None:
    """20,000 processes pass; the few that took the most time, and those with the longest operations, are found all the same."""
    slowest, chance = Slowest(limit=1_100), random.Random(2)
    heavy = {process(pid): 1_000 * (pid - 99_989) for pid in range(99_990, 100_000)}
    long = {process(pid): 50_000 * MS + pid for pid in range(200_000, 200_010)}
    work = [(key, 6 * MS) for key, count in heavy.items() for _ in range(count)]
    work += list(long.items())
    work += [(process(pid), 5 * MS) for pid in range(1, 20_001)]
    chance.shuffle(work)
    explained = sum(slowest.add(key, "x", duration, NOW + at) for at, (key, duration) in enumerate(work))
    top = slowest.top(NOW + SECOND)

    assert [own.process for own in top.by_maximum] == sorted(long, key=lambda key: -long[key])
    assert {own.process for own in top.by_total} <= {*heavy, *long}
    assert top.processes <= 1_100
    assert slowest.evicted > 19_000
    assert explained < len(work) / 10


def test_counts_are_exact_without_evictions() -> None:
    """Below the limit every count and sum is exact, whatever the order."""
    slowest, chance, counts, sums = Slowest(), random.Random(3), Counter[ProcessKey](), Counter[ProcessKey]()
    for _ in range(5_000):
        key, duration = process(chance.randrange(1, 200)), chance.randrange(5 * MS, 500 * MS)
        counts[key] += 1
        sums[key] += duration
        slowest.add(key, "x", duration, NOW + chance.randrange(200) * SECOND)
    top = slowest.top(NOW + 200 * SECOND)

    assert slowest.counts(NOW + 200 * SECOND) == counts
    assert [(own.process, own.total) for own in top.by_total] == sums.most_common(10)


def test_evidence_is_kept_for_the_top_only() -> None:
    """Evidence of a process that others have pushed out is let go."""
    slowest = Slowest()
    for pid in range(1, 1_000):
        one = evidence(pid=pid, duration=(10 + pid) * MS, end=NOW + pid)
        slowest.add(one.event.process, "x", one.event.duration, NOW + pid)
        slowest.attach(one)
    pane = slowest._panes.at(NOW)

    assert pane is not None
    assert sum(record.evidence is not None for record in pane.records.values()) <= 20
    assert all(own.evidence for own in slowest.top(NOW + SECOND).by_maximum)


def test_many_at_once_are_as_one_after_the_other() -> None:
    """A longest operation with others beside it counts as all of them would."""
    apart, together = Slowest(), Slowest()
    for duration, end in ((5 * MS, NOW), (9 * MS, NOW + 1), (7 * MS, NOW + 2)):
        apart.add(process(1), "a", duration, end)
    assert together.add(process(1), "a", 9 * MS, NOW + 1, others=2, others_ns=12 * MS)

    assert together.top(NOW + 3) == apart.top(NOW + 3)
