"""What the JSON API shows of incidents and their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perflens.analysis import Action, Bundle, Fact, Hypothesis, Incident, Member, Recording, Signal, Subject

__all__ = ["bundle", "cause", "incident"]

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


def cause(own: Hypothesis, actions: Mapping[str, Action]) -> Json:
    """One cause, with what may help."""
    return {
        "code": own.code,
        "score": own.score,
        "confidence": own.confidence,
        "subject": _subject(own.subject),
        "culprit": _subject(own.culprit) if own.culprit else None,
        "victims": [_subject(victim) for victim in own.victims],
        "claim": own.claim,
        "supporting": list(own.supporting),
        "against": list(own.against),
        "explains": own.explains,
        "contributing": own.contributing,
        "actions": [_action(actions[one]) for one in own.actions if one in actions],
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
        "causes": [cause(one, actions) for one in own.hypotheses],
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
        "causes": [cause(one, actions) for one in own.causes],
        "members": [_member(one) for one in own.members],
        "merged_by": own.merged_by,
        "history": [{"time_ns": at, "cause": code} for at, code in own.history],
        "analysis": bundle(own.bundle, actions),
    }
