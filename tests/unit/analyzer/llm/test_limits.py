"""analyzer/llm/ladder.py, breaker.py and budget.py: what is remembered of a server, and how much may be asked."""

from __future__ import annotations

import pytest

from perflens.analyzer.llm.breaker import Breaker
from perflens.analyzer.llm.budget import Budget
from perflens.analyzer.llm.failures import FailureKind
from perflens.analyzer.llm.ladder import Ladder

DAY = 86_400.0


def test_ladder() -> None:
    ladder = Ladder()
    assert ladder.rung("a", "m", 0) == "json_schema"
    assert ladder.step_down("a", "m", 0)
    assert (ladder.rung("a", "m", 1), ladder.rung("a", "n", 1), ladder.rung("b", "m", 1)) == ("json_object", "json_schema", "json_schema")
    assert ladder.step_down("a", "m", 1)
    assert ladder.rung("a", "m", 2) == "none"
    assert not ladder.step_down("a", "m", 2)
    assert (ladder.rung("a", "m", DAY), ladder.rung("a", "m", DAY + 1)) == ("none", "json_schema")


def test_ladder_of_replies() -> None:
    """Two unreadable replies in a row step down; a readable one between them starts anew."""
    ladder = Ladder()
    for is_readable, expected in ((False, "json_schema"), (True, "json_schema"), (False, "json_schema"), (False, "json_object")):
        ladder.note("a", "m", is_readable=is_readable, now=0)
        assert ladder.rung("a", "m", 0) == expected
    for _ in range(6):
        ladder.note("a", "m", is_readable=False, now=0)
    assert ladder.rung("a", "m", 0) == "none"


@pytest.mark.parametrize(("kind", "seconds"), [("quota", 21_600), ("config", 600), ("request", 600)])
def test_breaker_opens_at_once(kind: FailureKind, seconds: int) -> None:
    breaker = Breaker()
    assert breaker.state(0) == "closed"
    breaker.fail(kind, 100)
    assert [breaker.state(100 + at) for at in (0, seconds - 1, seconds)] == ["open", "open", "half_open"]
    breaker.succeed()
    assert breaker.state(100) == "closed"


def test_breaker_of_a_wrong_token() -> None:
    breaker = Breaker()
    breaker.fail("auth", 0)
    assert not breaker.allows(1e12)
    breaker.reset()
    assert breaker.allows(0)


def test_breaker_of_passing_failures() -> None:
    """Five in a row open it for 2 minutes, then each for twice as long, 30 minutes at most."""
    breaker, now = Breaker(), 0.0
    kinds: tuple[FailureKind, ...] = ("transient", "timeout", "rate", "size")
    for kind in kinds:
        breaker.fail(kind, now)
        assert breaker.allows(now)
    for pause in (120, 240, 480, 960, 1_800, 1_800):
        breaker.fail("transient", now)
        assert not breaker.allows(now + pause - 1)
        now += pause
        assert breaker.state(now) == "half_open"
    breaker.succeed()
    breaker.fail("transient", now)
    assert breaker.state(now) == "closed"


@pytest.mark.parametrize("kind", ["format", "parameter", "context"])
def test_breaker_does_not_care_about_forms(kind: FailureKind) -> None:
    breaker = Breaker()
    for _ in range(9):
        breaker.fail(kind, 0)
    assert breaker.allows(0)


def test_requests_a_minute() -> None:
    budget = Budget(3, 60, 10**6)
    assert [budget.take(1, now) for now in (0, 10, 20, 30, 59)] == [True, True, True, False, False]
    assert [budget.take(1, now) for now in (60, 61, 70)] == [True, False, True]


def test_requests_an_hour() -> None:
    budget = Budget(10, 5, 10**6)
    assert [budget.take(1, 100.0 * at) for at in range(7)] == [True] * 5 + [False] * 2
    assert [budget.take(1, now) for now in (3_599, 3_600, 3_601)] == [False, True, False]


def test_tokens_a_day() -> None:
    budget = Budget(100, 100, 1_000)
    assert budget.take(900, 0)
    assert not budget.take(200, 1)
    budget.settle(900, 300)
    assert budget.remaining(2) == 700
    assert budget.take(700, 3)
    assert budget.remaining(DAY - 1) == 0
    assert budget.remaining(DAY) == 1_000
    budget.settle(700, 100)
    assert budget.remaining(DAY) == 1_000
