"""Joins what the rules found with what a model said of it: the rules rank, the model chooses among near equals and puts it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from perflens.analysis import Bundle, Hypothesis, Subject
from perflens.analyzer.judge import are_near
from perflens.analyzer.llm.reply import Answer, Cause

__all__ = ["Merged", "Source", "merged", "rules_summary"]

Source = Literal["rules", "llm", "rules+llm"]

_VERDICTS: Mapping[str, str] = {
    "incident": "Operations are slow, and no cause explains it.",
    "benign": "Nothing is wrong.",
    "insufficient_evidence": "What was measured does not single out a cause.",
}


@dataclass(frozen=True, slots=True)
class Merged:
    """What is told: all hypotheses in their order, the first cause's summary, whose words that has, and where the two differ.

    ``source`` is ``llm`` when the summary is the model's, ``rules+llm`` when it is the first claim and claims or the order are the model's.
    """

    hypotheses: tuple[Hypothesis, ...]
    summary: str
    source: Source
    disagreement: str = ""


def rules_summary(bundle: Bundle) -> str:
    """Return what the rules say of a bundle: the claim of its first cause."""
    return bundle.causes[0].claim if bundle.causes else _VERDICTS[bundle.verdict]


def merged(bundle: Bundle, answer: Answer | None) -> Merged:
    """Return the rules' findings in the words of an answer; as they are without one."""
    if answer is None or (answer.is_empty and not answer.causes):
        return Merged(bundle.hypotheses, rules_summary(bundle), "rules")
    said = {(cause.code, cause.subject): cause for cause in answer.listed}
    ordered = _ordered(bundle.hypotheses, list(said))
    told = tuple(_told(own, said.get((own.code, own.subject))) for own in ordered)
    differs = _disagreement(bundle, answer)
    first = next((own for own in told if not own.contributing), None)
    if answer.summary and answer.verdict == bundle.verdict and _leads(answer, first):
        return Merged(told, answer.summary, "llm", differs)
    summary = first.claim if first else rules_summary(bundle)
    return Merged(told, summary, "rules+llm" if told != bundle.hypotheses else "rules", differs)


def _ordered(hypotheses: tuple[Hypothesis, ...], chosen: Sequence[tuple[str, Subject]]) -> tuple[Hypothesis, ...]:
    """Return hypotheses with near equals among the independent ones in the model's order; effects stay where they are."""
    rank = {key: position for position, key in enumerate(chosen)}
    causes = [own for own in hypotheses if not own.contributing]
    wanted = [rank.get((own.code, own.subject), len(rank)) for own in causes]
    for last in range(len(causes) - 1, 0, -1):
        for at in range(last):
            if wanted[at] > wanted[at + 1] and are_near(causes[at].score, causes[at + 1].score):
                causes[at], causes[at + 1] = causes[at + 1], causes[at]
                wanted[at], wanted[at + 1] = wanted[at + 1], wanted[at]
    moved = iter(causes)
    return tuple(own if own.contributing else next(moved) for own in hypotheses)


def _told(own: Hypothesis, cause: Cause | None) -> Hypothesis:
    """Return a hypothesis with the model's claim, and its actions in the model's order."""
    if cause is None:
        return own
    rest = tuple(action for action in own.actions if action not in cause.actions)
    return replace(own, claim=cause.claim, actions=(*cause.actions, *rest))


def _leads(answer: Answer, first: Hypothesis | None) -> bool:
    """Whether a summary speaks of the cause that is told first."""
    if not answer.listed:
        return first is None and not answer.causes
    return first is not None and (answer.listed[0].code, answer.listed[0].subject) == (first.code, first.subject)


def _disagreement(bundle: Bundle, answer: Answer) -> str:
    if answer.verdict != bundle.verdict:
        return f"model finds {answer.verdict.replace('_', ' ')}, rules find {bundle.verdict.replace('_', ' ')}"
    if not answer.listed or not bundle.causes:
        return ""
    first, own = answer.listed[0], bundle.causes[0]
    return "" if (first.code, first.subject) == (own.code, own.subject) else f"model prefers {first.code} on {first.subject}"
