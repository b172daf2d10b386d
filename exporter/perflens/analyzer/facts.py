"""The numbered facts of a window, and its hypotheses as they cite them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from perflens.analysis import FACTS_MAX, HOST, Fact, Hypothesis, Polarity, Subject
from perflens.analyzer.judge import Finding
from perflens.analyzer.signals import Signal, Signals
from perflens.analyzer.words import told, who

__all__ = ["facts_of", "hypotheses_of"]

_TOLD_OF_EACH = 3
_ALWAYS = (("slow.operations", HOST), ("slow.seconds", HOST))
_CONTEXT = (("cpu.busy", HOST), ("pressure.io.some", HOST), ("pressure.cpu.some", HOST), ("pressure.memory.some", HOST))


def facts_of(signals: Signals, findings: Sequence[Finding], changes: Iterable[Signal] = ()) -> tuple[Fact, ...]:
    """Return the facts: how bad it is, what speaks for and against each finding in turn, what changed, and the state of the host."""
    chosen: dict[tuple[str, object], tuple[Signal, Polarity]] = {}
    for signal, polarity in _wanted(signals, findings, changes):
        chosen.setdefault((signal.metric, signal.subject if not signal.detail else (signal.subject, signal.detail)), (signal, polarity))
    return tuple(_fact(number, *own) for number, own in zip(range(1, FACTS_MAX + 1), chosen.values(), strict=False))


def _wanted(signals: Signals, findings: Sequence[Finding], changes: Iterable[Signal]) -> Iterator[tuple[Signal, Polarity]]:
    for key in _ALWAYS:
        if own := signals.get(*key):
            yield own, "context"
    for finding in findings:
        yield from ((own, "support") for own in finding.supporting)
        yield from ((own, "refute") for own in finding.against)
    yield from ((own, "context") for own in changes)
    for key in _CONTEXT:
        if own := signals.get(*key):
            yield own, "context"


def _fact(number: int, own: Signal, polarity: Polarity) -> Fact:
    return Fact(
        f"E{number:02}",
        own.metric,
        own.subject,
        own.text,
        own.value,
        own.unit,
        own.baseline,
        own.samples,
        own.quality,
        own.source,
        polarity,
        own.detail,
    )


def hypotheses_of(findings: Sequence[Finding], facts: Sequence[Fact]) -> tuple[Hypothesis, ...]:
    """Return the findings with the ids of their facts; one whose facts found no room among them cites fewer."""
    ids = {(fact.metric, fact.subject): fact for fact in facts if not fact.detail}
    return tuple(_hypothesis(own, ids) for own in findings)


def _hypothesis(own: Finding, ids: dict[tuple[str, Subject], Fact]) -> Hypothesis:
    supporting = [ids[signal.key] for signal in own.supporting if signal.key in ids]
    against = [ids[signal.key] for signal in own.against if signal.key in ids]
    case = own.case
    claim = own.cause.claim.format(subject=who(case.subject), victim=who(case.victim), culprit=who(case.culprit))
    evidence = "; ".join(map(told, supporting[:_TOLD_OF_EACH]))
    return Hypothesis(
        own.cause.code,
        round(own.score, 3),
        case.subject,
        case.culprit,
        own.victims,
        f"{claim} {evidence}." if evidence else claim,
        tuple(fact.id for fact in supporting),
        tuple(fact.id for fact in against),
        round(own.explains, 3),
        own.cause.actions,
        contributing=own.contributing,
    )
