"""The windows of the lab's runs, judged again by the rules as they are: what a change of the rules would have said."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflens.analysis import Bundle
from perflens.analyzer.causes import discover
from perflens.analyzer.conclusion import judged_again
from perflens.analyzer.shapes import bundle_of
from tests.lab.runs import Outcome, load, rules

RUNS = load(Path(__file__).parents[1] / "lab/runs")
WINDOWS = [(run, bundle_of(own)) for run in RUNS for own in run.evidence if own.get("recording")]


def _told(window: Bundle) -> str:
    again = judged_again(window, discover())
    return again.hypotheses[0].code if again.verdict == "incident" and again.hypotheses else ""


def _right(windows: list[tuple[Outcome, Bundle]]) -> float:
    return sum(_told(own) in run.truth for run, own in windows) / len(windows)


@pytest.mark.parametrize("again", [False, True])
def test_faults_that_were_felt_have_their_cause(again: bool) -> None:
    """In eight of ten windows near the end of a fault, of the means that the rules were made with and of others."""
    felt = [(run, own) for run, own in WINDOWS if run.truth and run.felt and run.again is again]

    assert felt
    assert _right(felt) >= 0.8, [(run.scenario, run.when, _told(own)) for run, own in felt if _told(own) not in run.truth]


def test_windows_are_judged_as_they_were() -> None:
    """By the same rules to the same causes."""
    for run, own in WINDOWS:
        if run.rules == rules():
            assert [one.code for one in judged_again(own, discover()).hypotheses] == [one.code for one in own.hypotheses]
