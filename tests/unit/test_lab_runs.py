"""The windows of the lab's runs, judged again by the rules as they are: what a change of the rules would have said."""

from __future__ import annotations

from pathlib import Path

import pytest

from perflens.analysis import Bundle
from tests.lab.again import first_cause, is_judged_as_it_was, windows
from tests.lab.runs import Outcome, load, rules

RUNS = load(Path(__file__).parents[1] / "lab/runs")
WINDOWS = [(run, own) for run in RUNS for own in windows(run)]


def _right(found: list[tuple[Outcome, Bundle]]) -> float:
    return sum(first_cause(own) in run.truth for run, own in found) / len(found)


@pytest.mark.parametrize("again", [False, True])
def test_faults_that_were_felt_have_their_cause(again: bool) -> None:
    """In eight of ten windows near the end of a fault, of the means that the rules were made with and of others."""
    felt = [(run, own) for run, own in WINDOWS if run.truth and run.felt and run.again is again]

    assert felt
    assert _right(felt) >= 0.8, [(run.scenario, run.when, first_cause(own)) for run, own in felt if first_cause(own) not in run.truth]


def test_windows_are_judged_as_they_were() -> None:
    """Those of the same rules all, of others nine of ten: a change that moves more of them asks for new runs."""
    moved = [run for run, own in WINDOWS if not is_judged_as_it_was(own)]
    other = [(run.scenario, run.when) for run in moved]

    assert not [run for run in moved if run.rules == rules()]
    assert len(other) <= len(WINDOWS) / 10, other
