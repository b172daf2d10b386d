"""What the analyzer found, as frozen values: incidents, and the evidence of windows. Times are in seconds since 1970."""

from __future__ import annotations

from typing import NamedTuple

from perflens.tui.reading import Reader

__all__ = ["Action", "Analysis", "Cause", "Diagnosis", "Fact", "analyses", "incidents"]


class Fact(NamedTuple):
    """One measured fact; ``baseline`` is None when it is not known what is usual."""

    id: str
    subject: str
    text: str
    value: float
    unit: str
    baseline: float | None
    quality: str
    source: str
    detail: str


class Action(NamedTuple):
    """What may help."""

    text: str
    command: str
    risk: str
    verify: str


class Cause(NamedTuple):
    """A cause with the ids of the facts for and against it; ``explains`` is a part of the slow time."""

    code: str
    score: float
    confidence: str
    subject: str
    culprit: str
    claim: str
    supporting: tuple[str, ...]
    against: tuple[str, ...]
    explains: float
    actions: tuple[Action, ...]


class Analysis(NamedTuple):
    """The evidence of one window."""

    start: float
    end: float
    verdict: str
    slow: int
    slow_seconds: float
    victims: tuple[tuple[str, float], ...]
    facts: tuple[Fact, ...]
    causes: tuple[Cause, ...]
    gaps: tuple[str, ...]


class Diagnosis(NamedTuple):
    """An incident with its evidence, or with ``state`` "window" the evidence of one window alone."""

    id: str
    state: str
    severity: str
    cause: str
    subject: str
    opened: float
    updated: float
    resolved: float
    summary: str
    source: str
    causes: tuple[Cause, ...]
    analysis: Analysis


def _time(own: Reader, name: str) -> float:
    return own.integer(name) / 1e9


def _subject(own: Reader) -> str:
    return " ".join(part for part in (own.text("kind", 32), own.text("name")) if part)


def _fact(own: Reader) -> Fact:
    baseline = own.number("baseline") if own.has("baseline") else None
    return Fact(
        own.text("id", 16),
        _subject(own.object("subject")),
        own.text("text"),
        own.number("value"),
        own.text("unit", 16),
        baseline,
        own.text("quality", 32),
        own.text("source"),
        own.text("detail"),
    )


def _action(own: Reader) -> Action:
    return Action(own.text("text"), own.text("command"), own.text("risk"), own.text("verify"))


def _cause(own: Reader) -> Cause:
    return Cause(
        own.text("code", 64),
        own.number("score"),
        own.text("confidence", 16),
        _subject(own.object("subject")),
        _subject(own.object("culprit")),
        own.text("claim"),
        own.texts("supporting"),
        own.texts("against"),
        own.number("explains"),
        own.each("actions", _action),
    )


def _victim(own: Reader) -> tuple[str, float]:
    return _subject(own.object("subject")), own.number("seconds")


def _analysis(own: Reader) -> Analysis:
    return Analysis(
        _time(own, "start_time_ns"),
        _time(own, "end_time_ns"),
        own.text("verdict"),
        own.integer("slow_operations"),
        own.number("slow_seconds"),
        own.each("victims", _victim),
        own.each("facts", _fact),
        own.each("causes", _cause),
        own.texts("gaps"),
    )


def _incident(own: Reader) -> Diagnosis:
    return Diagnosis(
        own.text("id", 16),
        own.text("state", 16),
        own.text("severity", 16),
        own.text("cause", 64),
        _subject(own.object("subject")),
        _time(own, "opened_time_ns"),
        _time(own, "updated_time_ns"),
        _time(own, "resolved_time_ns"),
        own.text("summary", 4096),
        own.text("source", 32),
        own.each("causes", _cause),
        _analysis(own.object("analysis")),
    )


def _window(own: Reader) -> Diagnosis:
    """An analysis as a diagnosis, by its first cause."""
    found = _analysis(own)
    first = found.causes[0] if found.causes else None
    code, subject, claim = (first.code, first.subject, first.claim) if first else ("UNEXPLAINED", "", found.verdict)
    key = f"w{own.integer('end_time_ns')}"
    return Diagnosis(key, "window", "", code, subject, found.start, found.end, 0.0, claim, "rules", found.causes[:3], found)


def incidents(own: Reader) -> tuple[Diagnosis, ...]:
    """Read /incidents."""
    return own.each("incidents", _incident)


def analyses(own: Reader) -> tuple[Diagnosis, ...]:
    """Read /analyses."""
    return own.each("analyses", _window)
