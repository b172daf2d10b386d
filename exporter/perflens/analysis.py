"""The values that flow through the analyzer: what was measured, what may explain it, and the incident that it is told as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "FACTS_MAX",
    "HOST",
    "Action",
    "AnalysisCounts",
    "Bundle",
    "Fact",
    "Hypothesis",
    "Impact",
    "Incident",
    "ModelRequest",
    "Polarity",
    "Quality",
    "Severity",
    "Source",
    "State",
    "Subject",
    "SubjectKind",
    "TellingCounts",
    "Verdict",
]

FACTS_MAX = 60
"""Most facts of a bundle: their ids are E01 to E60."""

SubjectKind = Literal["host", "device", "owner", "process", "file"]
Quality = Literal["exact", "sampled", "estimated", "lossy"]
Polarity = Literal["support", "refute", "context"]
Verdict = Literal["incident", "benign", "insufficient_evidence"]
Severity = Literal["warning", "critical"]
State = Literal["open", "resolved"]
Source = Literal["rules", "llm", "rules+llm"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What something is said of. ``name`` is escaped and bounded: a device's, an owner's unit, ``comm[pid]``, a path; empty for the host.

    ``volume`` identifies a device or its hardware beyond this host (its WWN or volume handle), empty where nothing does.
    """

    kind: SubjectKind
    name: str = ""
    volume: str = ""

    def __str__(self) -> str:
        return self.name or self.kind


HOST = Subject("host")


@dataclass(frozen=True, slots=True)
class Fact:
    """One measured number. ``metric`` is a dotted name, ``text`` what people read of it, without the number.

    ``value`` and ``baseline`` are in ``unit`` (a base unit, ``ratio`` for parts of one, or ``1/s``); ``baseline`` is the median of the
    time before, None where there is none. ``samples`` is of how many it was made, ``source`` where it can be checked. A change has
    no number: ``value`` is then how many seconds before the onset it was, and ``detail`` what was changed.
    """

    id: str
    metric: str
    subject: Subject
    text: str
    value: float
    unit: str
    baseline: float | None
    samples: int
    quality: Quality
    source: str
    polarity: Polarity = "context"
    detail: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times its baseline it is; None without one, or where it was 0."""
        return self.value / self.baseline if self.baseline else None


@dataclass(frozen=True, slots=True)
class Action:
    """One recommendation. Nothing here is ever run by the agent: ``command`` is a template for the operator."""

    id: str
    text: str
    command: str
    risk: str
    reversible: bool
    verify: str


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A cause that may explain what is slow. ``score`` is from 0 to 1, ``explains`` the part of the slow time.

    ``supporting`` and ``against`` are ids of facts, ``actions`` of recommendations; ``claim`` is a sentence made of the facts.
    ``missing`` says what could not be measured. One that is ``contributing`` is the effect of another one.
    """

    code: str
    score: float
    subject: Subject
    culprit: Subject | None
    victims: tuple[Subject, ...]
    claim: str
    supporting: tuple[str, ...]
    against: tuple[str, ...]
    explains: float
    actions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    contributing: bool = False

    @property
    def confidence(self) -> Literal["low", "medium", "high"]:
        """The score in a word."""
        return "low" if self.score < 0.5 else "medium" if self.score < 0.8 else "high"


@dataclass(frozen=True, slots=True)
class Impact:
    """What was slow in the window: operations, their seconds in all, and the seconds of each victim by name, the worst first."""

    operations: int = 0
    seconds: float = 0.0
    victims: Mapping[Subject, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The evidence of one window, from ``start`` to ``end``; ``onset`` is when it began, 0 when nothing did. Times in ns since the epoch.

    ``hypotheses`` are those that score at all, the best first; ``gaps`` says what could not be measured.
    """

    host: str
    start: int
    end: int
    onset: int
    impact: Impact
    facts: tuple[Fact, ...]
    hypotheses: tuple[Hypothesis, ...]
    verdict: Verdict
    gaps: tuple[str, ...] = ()

    def fact(self, identity: str) -> Fact:
        """Return a fact by its id; KeyError when there is none."""
        for fact in self.facts:
            if fact.id == identity:
                return fact
        raise KeyError(identity)

    @property
    def causes(self) -> tuple[Hypothesis, ...]:
        """The independent causes that are told, three at most."""
        return tuple(own for own in self.hypotheses if not own.contributing)[:3]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model's server and how it ended, without anything that was said. Times in ns since the epoch.

    ``error`` is an HTTP status or a word, empty for none; ``finish`` why the model ended, as its server says; tokens are None where the
    server told none.
    """

    base_url: str
    model: str
    start: int
    end: int
    is_json: bool
    most_tokens: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class TellingCounts:
    """What became of questions to a model, and of incidents by sink, each by kind and then by outcome; empty for what is not configured."""

    llm: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sinks: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisCounts:
    """What the analyzer has done: ``windows`` it looked at, those with an ``impact``, those that ``failed``, and the ``seconds`` it took.

    ``active`` has (cause, subject, severity) of each incident that is open, ``opened`` how many there were by cause, ``unwritten`` how
    often the state file could not be written.
    """

    windows: int = 0
    impacts: int = 0
    failed: int = 0
    seconds: float = 0.0
    unwritten: int = 0
    active: tuple[tuple[str, str, str], ...] = ()
    opened: Mapping[str, int] = field(default_factory=dict)
    telling: TellingCounts = field(default_factory=TellingCounts)


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, from its onset until it is resolved; times in ns since the epoch, ``resolved`` 0 while it is open.

    ``id`` is of 8 hex digits and stays the same for host, first cause and subject. ``last_bad`` is the end of the last window in which
    it showed. ``source`` says whose words ``summary`` has; ``history`` the causes that it had before, as (time, code).
    """

    id: str
    host: str
    state: State
    severity: Severity
    opened: int
    updated: int
    last_bad: int
    resolved: int
    summary: str
    causes: tuple[Hypothesis, ...]
    bundle: Bundle
    source: Source = "rules"
    model: str = ""
    history: tuple[tuple[int, str], ...] = ()
    reopened: int = 0

    @property
    def cause(self) -> str:
        """The code of its first cause."""
        return self.causes[0].code if self.causes else "UNEXPLAINED"

    @property
    def subject(self) -> Subject:
        """What its first cause is about."""
        return self.causes[0].subject if self.causes else HOST
