"""analyzer/llm/when.py: a model is asked again when there is something new."""

from __future__ import annotations

from dataclasses import replace

import pytest

from perflens.analysis import Bundle, Subject
from perflens.analyzer.llm.when import when_to_call
from tests.unit.analyzer.llm.bundles import BUNDLE, SECOND, SLOW, fact, incident

LATER = 600 * SECOND


def with_first(value: float) -> Bundle:
    return replace(BUNDLE, facts=(fact("E01", value=value), *BUNDLE.facts[1:]))


def test_opened() -> None:
    assert when_to_call(None, incident()) == "opened"
    assert when_to_call(incident(identity="ffffffff"), incident()) == "opened"
    assert when_to_call(incident(state="resolved"), incident()) == "opened"
    assert when_to_call(None, incident(state="resolved")) == ""


def test_nothing_new() -> None:
    assert when_to_call(incident(), incident(updated=LATER)) == ""


def test_another_cause() -> None:
    assert when_to_call(incident(), incident(replace(BUNDLE, hypotheses=(SLOW,)))) == "cause"
    elsewhere = replace(SLOW, subject=Subject("device", "sdb"))
    before = incident(replace(BUNDLE, hypotheses=(SLOW,)))
    assert when_to_call(before, incident(replace(BUNDLE, hypotheses=(elsewhere,)))) == "cause"


def test_causes_that_take_turns() -> None:
    """One that it was asked of with before is asked of again after ten minutes, not at each turn."""
    before, asked = incident(), {(own.cause, own.subject) for own in (incident(), incident(replace(BUNDLE, hypotheses=(SLOW,))))}
    turned = replace(BUNDLE, hypotheses=(SLOW,))
    assert when_to_call(before, incident(turned), asked) == ""
    assert when_to_call(before, incident(turned, LATER - 1), asked) == ""
    assert when_to_call(before, incident(turned, LATER), asked) == "cause"
    assert when_to_call(before, incident(turned, severity="critical"), asked) == "severity"
    assert when_to_call(before, incident(turned), {(before.cause, before.subject)}) == "cause"
    assert when_to_call(before, incident(turned), {(code, before.subject) for code in "ABCD"}) == ""


def test_another_severity() -> None:
    assert when_to_call(incident(), incident(severity="critical")) == "severity"


@pytest.mark.parametrize(
    ("value", "after", "expected"),
    [
        (0.0964, LATER, "moved"),
        (0.0241, LATER, "moved"),
        (0.0, LATER, "moved"),
        (-0.0482, LATER, "moved"),
        (0.0900, LATER, ""),
        (0.0964, LATER - 1, ""),
    ],
)
def test_moved(value: float, after: int, expected: str) -> None:
    assert when_to_call(incident(), incident(with_first(value), after)) == expected


def test_new_facts_are_no_move() -> None:
    more = replace(BUNDLE, facts=(*BUNDLE.facts, fact("E07", metric="new")))
    assert when_to_call(incident(), incident(more, LATER)) == ""
