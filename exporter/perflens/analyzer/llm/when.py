"""When a model is asked of an incident again: when there is something new to say."""

from __future__ import annotations

import math
from typing import Literal

from perflens.analysis import Bundle, Incident, Subject

__all__ = ["Why", "when_to_call"]

Why = Literal["", "opened", "cause", "severity", "moved"]

_BETWEEN = 600_000_000_000
_STEP = 1.0


def when_to_call(previous: Incident | None, incident: Incident) -> Why:
    """Return why to ask of an incident that was last asked of as ``previous``, None when it never was; empty when there is no reason.

    ``previous.updated`` is taken for the time of that call.
    """
    if incident.state == "resolved":
        return ""
    if previous is None or previous.id != incident.id or previous.state == "resolved":
        return "opened"
    if (previous.cause, previous.subject) != (incident.cause, incident.subject):
        return "cause"
    if previous.severity != incident.severity:
        return "severity"
    is_due = incident.updated - previous.updated >= _BETWEEN
    return "moved" if is_due and _moved(previous.bundle, incident.bundle) else ""


def _moved(before: Bundle, after: Bundle) -> bool:
    """Whether a number that both have is at least twice or at most half of what it was."""
    values, later = _numbers(before), _numbers(after)
    return any(_steps(values[key], value) >= _STEP for key, value in later.items() if key in values)


def _numbers(bundle: Bundle) -> dict[tuple[str, str, Subject], float]:
    """Return what was measured, without changes, which have no number."""
    return {(fact.metric, fact.text, fact.subject): fact.value for fact in bundle.facts if not fact.detail}


def _steps(before: float, after: float) -> float:
    """Return how many powers of two apart two numbers are, without end where one is 0 or has another sign."""
    if before == after:
        return 0.0
    ratio = after / before if before else 0.0
    return abs(math.log2(ratio)) if ratio > 0 else math.inf
