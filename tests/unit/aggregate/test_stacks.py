"""aggregate/stacks.py: identical stacks, counted."""

from __future__ import annotations

from perflens.aggregate.stacks import Stacks
from tests.evidence import SECOND, evidence

NOW = 1_000 * SECOND
MS = 10**6


def test_identical_stacks_are_one() -> None:
    """Kernel and user stack, operation and owner make a stack; the one with the most time comes first."""
    stacks = Stacks()
    for ms in (10, 30):
        stacks.add(evidence(duration=ms * MS))
    stacks.add(evidence(duration=50 * MS, user=("other+0x1",)))
    stacks.add(evidence(duration=5 * MS, unit="b.service"))
    top = stacks.top(NOW, 10)

    assert [(own.count, own.total, own.maximum) for own in top] == [(1, 50 * MS, 50 * MS), (2, 40 * MS, 30 * MS), (1, 5 * MS, 5 * MS)]
    assert top[0].key.user == ("other+0x1",)
    assert stacks.top(NOW, 1) == top[:1]
    assert stacks.top(NOW, 10, owner="b.service") == top[2:]
    assert stacks.top(NOW, 10, operation="write") == stacks.top(NOW, 10, probe="block") == []


def test_what_has_no_stack_or_no_end_does_not_count() -> None:
    """An operation in progress would be counted again when it ends."""
    stacks = Stacks()
    stacks.add(evidence(in_progress=True))
    stacks.add(evidence(kernel=(), user=()))

    assert stacks.top(NOW, 10) == []


def test_stacks_leave_the_window() -> None:
    """After five minutes, and a pane of a minute at most, a stack is gone."""
    stacks = Stacks()
    stacks.add(evidence())
    stacks.add(evidence(end=NOW + 100 * SECOND))
    assert stacks.top(NOW + 200 * SECOND, 10)[0].count == 2
    assert stacks.top(NOW + 380 * SECOND, 10)[0].count == 1
    assert stacks.top(NOW + 500 * SECOND, 10) == []
    stacks.add(evidence(end=NOW - 600 * SECOND))
    assert stacks.top(NOW + 500 * SECOND, 10) == []


def test_number_is_bounded() -> None:
    """Of many different stacks those with the most time stay, and the rest is counted."""
    stacks = Stacks(limit=60)
    stacks.add(evidence(kernel=("heavy",), duration=900 * MS))
    for number in range(500):
        stacks.add(evidence(kernel=(f"f{number}",)))
    top = stacks.top(NOW, 1_000)

    assert top[0].key.kernel == ("heavy",)
    assert len(top) <= 10
    assert stacks.evicted == 501 - len(top)
