"""What the JSON API shows of incidents and their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perflens.analysis import Action, Bundle, Fact, Hypothesis, Incident, Member, Recording, Signal, Subject

__all__ = ["bundle", "incident"]

Json = dict[str, Any]


def _subject(subject: Subject) -> Json:
    return {"kind": subject.kind, "name": subject.name, "volume": subject.volume, "workload": subject.workload}


def _fact(fact: Fact) -> Json:
    return {
        "id": fact.id,
        "metric": fact.metric,
        "subject": _subject(fact.subject),
        "text": fact.text,
        "value": fact.value,
        "unit": fact.unit,
        "baseline": fact.baseline,
        "samples": fact.samples,
        "quality": fact.quality,
        "source": fact.source,
        "polarity": fact.polarity,
        "detail": fact.detail,
    }


def _action(action: Action) -> Json:
    return {
        "id": action.id,
        "text": action.text,
        "command": action.command,
        "risk": action.risk,
        "reversible": action.reversible,
        "verify": action.verify,
    }


def _cause(cause: Hypothesis, actions: Mapping[str, Action]) -> Json:
    return {
        "code": cause.code,
        "score": cause.score,
        "confidence": cause.confidence,
        "subject": _subject(cause.subject),
        "culprit": _subject(cause.culprit) if cause.culprit else None,
        "victims": [_subject(victim) for victim in cause.victims],
        "claim": cause.claim,
        "supporting": list(cause.supporting),
        "against": list(cause.against),
        "explains": cause.explains,
        "contributing": cause.contributing,
        "actions": [_action(actions[own]) for own in cause.actions if own in actions],
    }


def _signal(own: Signal) -> Json:
    return {
        "metric": own.metric,
        "subject": _subject(own.subject),
        "value": own.value,
        "unit": own.unit,
        "text": own.text,
        "source": own.source,
        "samples": own.samples,
        "quality": own.quality,
        "baseline": own.baseline,
        "detail": own.detail,
    }


def _recording(own: Recording) -> Json:
    scene = own.scene
    return {
        "victims": [{"subject": _subject(who), "seconds": seconds} for who, seconds in scene.victims.items()],
        "on_device": [
            {"device": _subject(device), "subject": _subject(who), "seconds": seconds}
            for device, victims in scene.on_device.items()
            for who, seconds in victims.items()
        ],
        "waits": [
            {"subject": _subject(who), "reason": reason, "seconds": seconds}
            for who, waits in scene.waits.items()
            for reason, seconds in waits.items()
        ],
        "culprits": [
            {"kind": kind, "of": _subject(of), "subjects": [_subject(one) for one in who]} for (kind, of), who in scene.culprits.items()
        ],
        "signals": [_signal(one) for one in own.signals],
        "changes": [_signal(one) for one in own.changes],
        "complete": own.complete,
    }


def bundle(own: Bundle, actions: Mapping[str, Action]) -> Json:
    """The evidence of one window."""
    return {
        "host": own.host,
        "start_time_ns": own.start,
        "end_time_ns": own.end,
        "onset_time_ns": own.onset,
        "verdict": own.verdict,
        "slow_operations": own.impact.operations,
        "slow_seconds": own.impact.seconds,
        "victims": [{"subject": _subject(victim), "seconds": seconds} for victim, seconds in own.impact.victims.items()],
        "facts": [_fact(fact) for fact in own.facts],
        "causes": [_cause(cause, actions) for cause in own.hypotheses],
        "gaps": list(own.gaps),
        "recording": _recording(own.recording) if own.recording else None,
    }


def _member(own: Member) -> Json:
    return {
        "host": own.host,
        "id": own.id,
        "state": own.state,
        "severity": own.severity,
        "cause": own.cause,
        "subject": _subject(own.subject),
        "opened_time_ns": own.opened,
        "updated_time_ns": own.updated,
    }


def incident(own: Incident, actions: Mapping[str, Action]) -> Json:
    """An incident with the evidence of its worst window."""
    return {
        "id": own.id,
        "host": own.host,
        "state": own.state,
        "severity": own.severity,
        "cause": own.cause,
        "subject": _subject(own.subject),
        "opened_time_ns": own.opened,
        "updated_time_ns": own.updated,
        "last_bad_time_ns": own.last_bad,
        "resolved_time_ns": own.resolved,
        "summary": own.summary,
        "source": own.source,
        "model": own.model,
        "reopened": own.reopened,
        "causes": [_cause(cause, actions) for cause in own.causes],
        "members": [_member(one) for one in own.members],
        "merged_by": own.merged_by,
        "history": [{"time_ns": at, "cause": code} for at, code in own.history],
        "analysis": bundle(own.bundle, actions),
    }
