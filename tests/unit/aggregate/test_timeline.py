"""aggregate/timeline.py: the last five minutes, second by second."""

from __future__ import annotations

import random
from collections import Counter

from perflens.aggregate.timeline import Bucket, Slow, Timeline

SECOND = 10**9


class Clock:
    """CLOCK_MONOTONIC in the hands of a test."""

    def __init__(self, second: int) -> None:
        self.ns = second * SECOND

    def __call__(self) -> int:
        return self.ns


def test_nothing_is_zero() -> None:
    """Where nothing happened there is a bucket of zeros, and the last one is this second."""
    buckets = Timeline(Clock(1_000)).buckets()

    assert [bucket.second for bucket in buckets] == list(range(701, 1_001))
    assert all(bucket == Bucket(bucket.second, Slow(), 0, 0, {}) for bucket in buckets)


def test_a_second_has_everything_that_was_added_to_it() -> None:
    """Operations are told apart by probe and name; the whole is their sum."""
    timeline = Timeline(Clock(1_000))
    timeline.add_slow(999, "file", "read", 2, 30)
    timeline.add_slow(999, "file", "read", 1, 5)
    timeline.add_slow(999, "block", "read", 1, 7)
    timeline.add_suppressed(999, "file", "read", 1)
    timeline.add_processes(999, 3, 2)
    before, now = timeline.buckets(2)

    assert before == Bucket(999, Slow(4, 42, 1), 3, 2, {("file", "read"): Slow(3, 35, 1), ("block", "read"): Slow(1, 7)})
    assert now == Bucket(1_000, Slow(), 0, 0, {})
    assert timeline.window() == Bucket(1_000, before.slow, 3, 2, before.operations)


def test_a_second_leaves_the_window() -> None:
    """After five minutes a bucket is gone, also when nothing was added since."""
    clock = Clock(1_000)
    timeline = Timeline(clock)
    timeline.add_slow(1_000, "file", "read", 1, 5)
    clock.ns += 299 * SECOND
    assert timeline.buckets()[0].slow == Slow(1, 5)
    clock.ns += SECOND
    assert timeline.window().slow == Slow()
    assert timeline.late == 0


def test_what_comes_too_late_or_too_early() -> None:
    """What is told after its second left the window is counted; a second to come is this one."""
    timeline = Timeline(Clock(1_000))
    timeline.add_slow(700, "file", "read", 2, 5)
    timeline.add_processes(3, 1, 1)
    timeline.add_slow(1_001, "file", "read", 1, 5)

    assert timeline.late == 4
    assert [bucket.second for bucket in timeline.buckets() if bucket.slow.count] == [1_000]


def test_any_order_gives_exact_sums() -> None:
    """Ten minutes of operations, told up to 30 s late: each second of the window has its own, and no other."""
    clock, chance, expected = Clock(0), random.Random(1), Counter[int]()
    timeline = Timeline(clock)
    for now in range(600):
        clock.ns = now * SECOND + chance.randrange(SECOND)
        for _ in range(chance.randrange(20)):
            second = max(now - chance.randrange(30), 0)
            timeline.add_slow(second, "file", chance.choice(["read", "write"]), 1, second)
            expected[second] += 1

    assert timeline.late == 0
    assert {bucket.second: bucket.slow.count for bucket in timeline.buckets()} == {second: expected[second] for second in range(300, 600)}
    assert all(bucket.slow.ns == bucket.second * bucket.slow.count for bucket in timeline.buckets())
