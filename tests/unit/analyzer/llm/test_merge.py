"""analyzer/llm/merge.py: the rules rank, and the model chooses among near equals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflens.analysis import Hypothesis
from perflens.analyzer.judge import NEAR
from perflens.analyzer.llm.merge import Merged, merged, rules_summary
from perflens.analyzer.llm.reply import Answer, Cause
from tests.unit.analyzer.llm.bundles import BUNDLE, CHILD, DISK, NOISY, SLOW, hypothesis

SAID = "nvme0n1 takes 48.2 ms."


def chosen(*codes: str, **rest: Any) -> Answer:
    causes = tuple(Cause(code, DISK, None, None, f"model: {code}", ("E01",), (), "low", ()) for code in codes)
    known: dict[str, Any] = {"verdict": "incident", "summary": SAID, "summary_evidence": ("E01",), "dropped": {}, "kept": 1}
    return Answer(**{**known, "causes": causes, **rest})


def codes(found: Merged) -> list[str]:
    return [own.code for own in found.hypotheses]


def test_without_an_answer() -> None:
    assert merged(BUNDLE, None) == Merged(BUNDLE.hypotheses, NOISY.claim, "rules")


def test_nothing_left_of_an_answer() -> None:
    assert merged(BUNDLE, chosen(summary="", kept=0, dropped={"number": 1})) == Merged(BUNDLE.hypotheses, NOISY.claim, "rules")


def test_agreement() -> None:
    found = merged(BUNDLE, chosen("NOISY_NEIGHBOUR_IO"))
    assert found == Merged((replace(NOISY, claim="model: NOISY_NEIGHBOUR_IO"), SLOW, CHILD), SAID, "llm")


def test_near_equals_change_places() -> None:
    found = merged(BUNDLE, chosen("SLOW_DEVICE"))
    assert codes(found) == ["SLOW_DEVICE", "NOISY_NEIGHBOUR_IO", "DIRTY_THROTTLE"]
    assert (found.summary, found.source) == (SAID, "llm")
    assert found.disagreement == "model prefers SLOW_DEVICE on nvme0n1"


def test_others_do_not() -> None:
    bundle = replace(BUNDLE, hypotheses=(replace(NOISY, score=0.90), SLOW))
    found = merged(bundle, chosen("SLOW_DEVICE"))
    assert codes(found) == ["NOISY_NEIGHBOUR_IO", "SLOW_DEVICE"]
    assert (found.summary, found.source) == (NOISY.claim, "rules+llm")
    assert found.disagreement == "model prefers SLOW_DEVICE on nvme0n1"


@pytest.mark.parametrize("verdict", ["benign", "insufficient_evidence"])
def test_another_verdict_is_told_and_changes_nothing(verdict: str) -> None:
    found = merged(BUNDLE, chosen(verdict=verdict))
    assert (found.hypotheses, found.summary, found.source) == (BUNDLE.hypotheses, NOISY.claim, "rules")
    assert found.disagreement == f"model finds {verdict.replace('_', ' ')}, rules find incident"


def test_actions_in_the_models_order() -> None:
    answer = chosen("NOISY_NEIGHBOUR_IO")
    answer = replace(answer, causes=(replace(answer.causes[0], actions=("A02",)),))
    assert merged(BUNDLE, answer).hypotheses[0].actions == ("A02", "A01")


def test_without_a_cause() -> None:
    """Where the rules found none, the model's words stand if it found none either."""
    bundle = replace(BUNDLE, hypotheses=(), verdict="insufficient_evidence")
    assert rules_summary(bundle) == "What was measured does not single out a cause."
    assert merged(bundle, chosen(verdict="insufficient_evidence")).source == "llm"
    assert merged(bundle, chosen("OTHER", verdict="insufficient_evidence")).source == "rules"


def test_idea_leads_nowhere() -> None:
    found = merged(BUNDLE, chosen("OTHER"))
    assert (found.hypotheses, found.summary, found.source, found.disagreement) == (BUNDLE.hypotheses, NOISY.claim, "rules", "")


RULES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).map(
    lambda scores: tuple(hypothesis(f"CODE_{at}", score, ("E01",)) for at, score in enumerate(sorted(scores, reverse=True)))
)


@given(RULES, st.permutations(range(6)), st.integers(0, 3))
def test_no_cause_passes_one_that_is_far_better(rules: tuple[Hypothesis, ...], order: list[int], most: int) -> None:
    """The causes stay the same, and whichever passed another was within reach of it."""
    names = [f"CODE_{at}" for at in order if at < len(rules)][:most]
    found = merged(replace(BUNDLE, hypotheses=rules), chosen(*names)).hypotheses
    assert sorted(own.code for own in found) == sorted(own.code for own in rules)
    for at, first in enumerate(found):
        assert all(later.score - first.score <= NEAR + 1e-6 for later in found[at:])
