"""Incidents from their first sign to their end: opened once, kept up to date, resolved when it is over, reopened when it was not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2s

from perflens.analysis import HOST, UNEXPLAINED, Bundle, Hypothesis, Impact, Incident, Severity, Source, Subject
from perflens.analyzer.judge import NEAR, are_near
from perflens.analyzer.words import quantity, who

__all__ = ["Explanation", "Incidents", "is_impact", "summary_of"]

_SECOND = 1_000_000_000
_FLOOR_OPERATIONS, _FLOOR_SECONDS = 10, 0.3  # in 30 s
_SEVERE = 0.5  # slow seconds a second
_UNEXPLAINED_FROM = 0.1  # likewise
_MANIFEST = 0.02  # likewise: enough, however few operations were over the threshold
_OPENS_AT, _UNEXPLAINED_BELOW, _UNEXPLAINED_AFTER = 0.5, 0.35, 4
_OPENS_AFTER, _RESOLVES_AFTER = 2, 4
_REOPENS_WITHIN = 600 * _SECOND
_CRITICAL_SECONDS, _CRITICAL_VICTIMS = 2.0, 4
_RESOLVED_KEPT, _HISTORY_KEPT = 200, 20
_WINDOW = 30.0


def is_impact(impact: Impact, seconds: float) -> bool:
    """Whether enough was slower than usual in a window of so many seconds."""
    return impact.seconds >= _FLOOR_SECONDS * seconds / _WINDOW and (
        impact.operations >= _FLOOR_OPERATIONS * seconds / _WINDOW or impact.seconds >= _MANIFEST * seconds
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model made of an incident whose first cause was ``cause``."""

    cause: str
    causes: tuple[Hypothesis, ...]
    summary: str
    source: Source
    model: str


@dataclass(slots=True)
class _Pending:
    """What is about to be an incident: for how many windows, and for how many without a cause."""

    windows: int = 0
    unexplained: int = 0


class Incidents:
    """``open`` and ``resolved`` hold what is told. ``update`` takes one window's evidence; times are those of the bundles."""

    def __init__(self, host: str, known: Iterable[Incident] = ()) -> None:
        self._host = host
        self.open: list[Incident] = [own for own in known if own.state == "open"]
        self.resolved: list[Incident] = [own for own in known if own.state == "resolved"]
        self._pending = _Pending()
        self._quiet: dict[str, int] = {own.id: 0 for own in self.open}

    @property
    def all(self) -> list[Incident]:
        """Every incident that is kept, the newest first."""
        return sorted([*self.open, *self.resolved], key=lambda own: own.opened, reverse=True)

    def update(self, bundle: Bundle, *, impact: bool) -> list[Incident]:
        """Take in a window in which there was an impact or none; return the incidents that changed."""
        changed = [self._continue(own, bundle, impact=impact) for own in list(self.open)]
        if not impact:
            self._pending = _Pending()
        else:
            changed += self._begin(bundle)
        return [own for own in changed if own]

    def explained(self, identity: str, told: Explanation) -> Incident | None:
        """Put another's words and order into an open incident; None when it has ended, or has another cause meanwhile."""
        for own in self.open:
            if own.id == identity and own.cause == told.cause:
                known = [(cause.code, cause.subject) for cause in own.causes]
                ordered = [cause for cause in told.causes if (cause.code, cause.subject) in known]
                first = [(cause.code, cause.subject) for cause in ordered]
                causes = (*ordered, *(cause for cause in own.causes if (cause.code, cause.subject) not in first))
                return self._put(replace(own, causes=causes, summary=told.summary, source=told.source, model=told.model))
        return None

    def _continue(self, own: Incident, bundle: Bundle, *, impact: bool) -> Incident | None:
        mine = [cause for cause in bundle.causes if _is_of(cause, own)] if impact else []
        if mine or (impact and not own.causes and not bundle.causes):
            self._quiet[own.id] = 0
            return self._put(_updated(own, mine, bundle))
        self._quiet[own.id] = self._quiet.get(own.id, 0) + 1
        if self._quiet[own.id] < _RESOLVES_AFTER:
            return None
        return self._resolve(own, bundle.end)

    def _begin(self, bundle: Bundle) -> list[Incident]:
        new = [own for own in bundle.causes if own.score >= _OPENS_AT and not any(_is_of(own, other) for other in self.open)]
        self._pending.windows += 1
        seconds = (bundle.end - bundle.start) / _SECOND
        few = bundle.impact.operations < _FLOOR_OPERATIONS * seconds / _WINDOW or bundle.impact.seconds < _UNEXPLAINED_FROM * seconds
        explained = few or bool(self.open) or any(own.score >= _UNEXPLAINED_BELOW for own in bundle.causes)
        self._pending.unexplained = 0 if explained else self._pending.unexplained + 1
        severe = bundle.impact.seconds >= _SEVERE * seconds
        if new and (self._pending.windows >= _OPENS_AFTER or severe):
            first, *others = new
            together = [own for own in others if set(own.victims) & set(first.victims)]
            alone = [own for own in others if own not in together]
            return [self._open([first, *together], bundle), *(self._open([own], bundle) for own in alone)]
        if self._pending.unexplained >= _UNEXPLAINED_AFTER:
            return [self._open([], bundle)]
        return []

    def _open(self, causes: Sequence[Hypothesis], bundle: Bundle) -> Incident:
        code, subject = (causes[0].code, causes[0].subject) if causes else (UNEXPLAINED, HOST)
        for own in self.resolved:
            if (own.cause, own.subject) == (code, subject) and bundle.end - own.resolved <= _REOPENS_WITHIN:
                self.resolved.remove(own)
                self._quiet[own.id] = 0
                self.open.append(own)
                return self._put(_updated(replace(own, state="open", resolved=0, reopened=own.reopened + 1), causes, bundle))
        opened = bundle.onset or bundle.start
        identity = blake2s(f"{self._host}|{code}|{subject.kind}|{subject.name}|{opened}".encode(), digest_size=4).hexdigest()
        own = Incident(
            identity,
            self._host,
            "open",
            _severity(bundle),
            opened,
            bundle.end,
            bundle.end,
            0,
            summary_of(causes, bundle),
            tuple(causes),
            bundle,
        )
        self.open.append(own)
        self._quiet[identity] = 0
        return own

    def _put(self, own: Incident) -> Incident:
        self.open = [own if other.id == own.id else other for other in self.open]
        return own

    def _resolve(self, own: Incident, now: int) -> Incident:
        done = replace(own, state="resolved", resolved=now, updated=now)
        self.open = [other for other in self.open if other.id != own.id]
        self._quiet.pop(own.id, None)
        self.resolved = [done, *self.resolved][:_RESOLVED_KEPT]
        return done


def _is_of(cause: Hypothesis, own: Incident) -> bool:
    """Whether a cause belongs to an incident: it is one that it has, or is about the same victims."""
    if any((cause.code, cause.subject) == (other.code, other.subject) for other in own.causes):
        return True
    victims = {victim for other in own.causes for victim in other.victims}
    return bool(set(cause.victims) & victims)


def _updated(own: Incident, causes: Sequence[Hypothesis], bundle: Bundle) -> Incident:
    """A better explanation changes the causes inside the incident; one that is much weaker than what was said does not."""
    told = _as_preferred(own, causes)
    if own.causes and (not told or told[0].score < own.causes[0].score - NEAR):
        told = own.causes
    first = told[0].code if told else UNEXPLAINED
    history = own.history if first == own.cause else (*own.history, (bundle.end, own.cause))[-_HISTORY_KEPT:]
    is_same = own.source != "rules" and (first, told[0].subject if told else HOST) == (own.cause, own.subject)
    kept = bundle if told != own.causes or bundle.impact.seconds >= own.bundle.impact.seconds else own.bundle
    return replace(
        own,
        severity="critical" if "critical" in (own.severity, _severity(bundle)) else "warning",
        updated=bundle.end,
        last_bad=bundle.end,
        causes=told,
        bundle=kept,
        history=history,
        summary=own.summary if is_same else summary_of(told, kept),
        source=own.source if is_same else "rules",
        model=own.model if is_same else "",
    )


def _as_preferred(own: Incident, causes: Sequence[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The cause that a model has put first stays there for as long as it scores about the same as the best."""
    for cause in causes:
        if own.source != "rules" and (cause.code, cause.subject) == (own.cause, own.subject) and are_near(cause.score, causes[0].score):
            return (cause, *(other for other in causes if other is not cause))
    return tuple(causes)


def _severity(bundle: Bundle) -> Severity:
    seconds = (bundle.end - bundle.start) / _SECOND
    severe = seconds > 0 and bundle.impact.seconds / seconds >= _CRITICAL_SECONDS
    return "critical" if severe or len(bundle.impact.victims) >= _CRITICAL_VICTIMS else "warning"


def summary_of(causes: Sequence[Hypothesis], bundle: Bundle) -> str:
    """Return what is told in one paragraph: the impact and the claim of the first cause."""
    seconds = (bundle.end - bundle.start) / _SECOND
    worst: Subject | None = next(iter(bundle.impact.victims), None)
    took, within = quantity(bundle.impact.seconds, "s"), quantity(seconds, "s")
    many = bundle.impact.operations
    over = f"{many} operations were over the threshold." if many else "No operation was over the threshold."
    slow = f"{took} in {within} were slow or slower than usual, most of {who(worst)}; {over}"
    return f"{causes[0].claim} {slow}" if causes else f"{slow} None of the known causes explains it."
