"""When a model is asked of an incident again: when there is something new to say."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

from perflens.analysis import Bundle, Incident, Subject

__all__ = ["Why", "when_to_call"]

Why = Literal["", "opened", "cause", "severity", "moved"]

_BETWEEN = 600_000_000_000
_STEP = 1.0
_CAUSES_AT_ONCE = 4


def when_to_call(previous: Incident | None, incident: Incident, asked: Collection[tuple[str, Subject]] = ()) -> Why:
    """Return why to ask of an incident that was last asked of as ``previous``, None when it never was; empty when there is no reason.

    ``previous.updated`` is taken for the time of that call. ``asked`` are the first causes that it was asked of with, by code and subject:
    one of those that take turns is no news before the ten minutes are over, nor is a fifth one.
    """
    if incident.state == "resolved":
        return ""
    if previous is None or previous.id != incident.id or previous.state == "resolved":
        return "opened"
    is_due, cause = incident.updated - previous.updated >= _BETWEEN, (incident.cause, incident.subject)
    is_news = cause not in asked and len(asked) < _CAUSES_AT_ONCE
    if (previous.cause, previous.subject) != cause and (is_due or is_news):
        return "cause"
    if previous.severity != incident.severity:
        return "severity"
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
