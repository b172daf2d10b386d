"""What the rules as they are make of the windows that runs have kept."""

from __future__ import annotations

from perflens.analysis import Bundle
from perflens.analyzer.causes import discover
from perflens.analyzer.conclusion import judged_again
from perflens.analyzer.shapes import bundle_of
from tests.lab.runs import Outcome

__all__ = ["counts", "first_cause", "is_judged_as_it_was", "windows"]


def windows(run: Outcome) -> list[Bundle]:
    """Return what the analyzer looked at near the end of the run."""
    return [bundle_of(own) for own in run.evidence if own.get("recording")]


def first_cause(window: Bundle) -> str:
    """Return what is told first of a window now; empty for nothing."""
    again = judged_again(window, discover())
    return again.hypotheses[0].code if again.verdict == "incident" and again.hypotheses else ""


def is_judged_as_it_was(window: Bundle) -> bool:
    """Whether the same causes are told in the same order."""
    return [one.code for one in judged_again(window, discover()).hypotheses] == [one.code for one in window.hypotheses]


def counts(run: Outcome, rules: str) -> bool:
    """Whether a run need not be made again: its fault was felt, and these rules made it or judge its window as those of then did."""
    kept = windows(run)
    return (run.felt or not run.truth) and (run.rules == rules or (bool(kept) and all(map(is_judged_as_it_was, kept))))
