"""Incidents from their first sign to their end: opened once, kept up to date, resolved when it is over, reopened when it was not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2s

from perflens.analysis import HOST, UNEXPLAINED, Bundle, Hypothesis, Impact, Incident, Severity, Source, Subject
from perflens.analyzer.judge import NEAR, are_near
from perflens.analyzer.words import quantity, uncited, who

__all__ = ["Explanation", "Incidents", "is_impact", "summary_of"]

_SECOND = 1_000_000_000
_FLOOR_OPERATIONS, _FLOOR_SECONDS = 10, 0.3  # in 30 s
_SEVERE = 0.5  # slow seconds a second
_UNEXPLAINED_FROM = 0.1  # likewise
_MANIFEST = 0.02  # likewise: enough, however few operations were over the threshold
_OPENS_AT, _UNEXPLAINED_AFTER = 0.5, 4
_OPENS_AFTER, _RESOLVES_AFTER = 2, 4
_REOPENS_WITHIN = 600 * _SECOND
_WEAKER_FOR = 30 * _SECOND  # longer than a window is: what is said of one that fades would be of its rest
_CRITICAL_SECONDS, _CRITICAL_VICTIMS = 2.0, 4
_RESOLVED_KEPT, _HISTORY_KEPT = 200, 20
_TOLD = 3
_WINDOW = 30.0


def is_impact(impact: Impact, seconds: float) -> bool:
    """Whether enough was slower than usual in a window of so many seconds."""
    return impact.seconds >= _FLOOR_SECONDS * seconds / _WINDOW and (
        impact.operations >= _FLOOR_OPERATIONS * seconds / _WINDOW or impact.seconds >= _MANIFEST * seconds
    )


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a model made of the ``bundle`` of an incident whose first cause was ``cause``: the ids of facts in ``causes`` are that one's."""

    cause: str
    causes: tuple[Hypothesis, ...]
    summary: str
    source: Source
    model: str
    bundle: Bundle


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
        self._weaker_since: dict[str, int] = {}
        self._of_before = tuple(self.open)

    @property
    def all(self) -> list[Incident]:
        """Every incident that is kept, the newest first."""
        return sorted([*self.open, *self.resolved], key=lambda own: own.opened, reverse=True)

    def update(self, bundle: Bundle, *, impact: bool, early: bool = False, is_known: bool = True) -> list[Incident]:
        """Take in a window in which there was an impact or none; return the incidents that changed.

        One that comes ``early`` ends nothing. ``is_known``: it is known what is usual, without which causes may not show.
        """
        stale = [own for own in self._of_before if bundle.end - own.last_bad > _REOPENS_WITHIN]  # nobody knows what was meanwhile
        self._of_before = ()
        changed: list[Incident | None] = [self._resolve(own, own.last_bad) for own in stale]
        owned = self._owned(bundle) if impact else {}
        going = {own.id for own in self.open if own.id in owned or (impact and _goes_on(own, bundle, is_known))}
        changed += [self._go_on(own, owned.get(own.id, []), bundle) for own in self.open if own.id in going]
        if not early:
            changed += [self._end(own, bundle.end) for own in list(self.open) if own.id not in going]
        self._quiet |= dict.fromkeys(going, 0)
        if not impact:
            self._pending = _Pending()
        else:
            changed += self._begin(bundle)
        return [own for own in changed if own]

    def explained(self, identity: str, told: Explanation) -> Incident | None:
        """Put another's words and order into an open incident; None when it has ended, or has another cause meanwhile."""
        for own in self.open:
            if own.id == identity and own.cause == told.cause:
                known = {_key(cause): cause for cause in own.causes}
                words = {_key(cause): cause for cause in told.causes if _key(cause) in known}
                if told.bundle is own.bundle:
                    known |= words
                causes = tuple(known[key] for key in dict.fromkeys((*words, *known)))
                summary = told.summary if told.bundle is own.bundle else uncited(told.summary)
                return self._put(replace(own, causes=causes, summary=summary, source=told.source, model=told.model))
        return None

    def _owned(self, bundle: Bundle) -> dict[str, list[Hypothesis]]:
        """Each cause that stands on its own by the incident that has it, else by the first one of the same victims: it is told once."""
        found: dict[str, list[Hypothesis]] = {}
        for cause in (own for own in bundle.hypotheses if not own.contributing):
            known = [own for own in self.open if _key(cause) in map(_key, own.causes)]
            if mine := (known or [own for own in self.open if _is_of(cause, own)])[:1]:
                found.setdefault(mine[0].id, []).append(cause)
        return found

    def _end(self, own: Incident, now: int) -> Incident | None:
        self._quiet[own.id] = self._quiet.get(own.id, 0) + 1
        if self._quiet[own.id] < _RESOLVES_AFTER:
            return None
        return self._resolve(own, now)

    def _begin(self, bundle: Bundle) -> list[Incident]:
        new = [own for own in bundle.causes if own.score >= _OPENS_AT and not any(_is_of(own, other) for other in self.open)]
        self._pending.windows += 1
        seconds = (bundle.end - bundle.start) / _SECOND
        few = bundle.impact.operations < _FLOOR_OPERATIONS * seconds / _WINDOW or bundle.impact.seconds < _UNEXPLAINED_FROM * seconds
        explained = few or bool(self.open) or any(own.score >= _OPENS_AT for own in bundle.causes)
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
                return self._put(_updated(replace(own, state="open", resolved=0, reopened=own.reopened + 1), causes, bundle, anew=True))
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

    def _go_on(self, own: Incident, causes: Sequence[Hypothesis], bundle: Bundle) -> Incident:
        """What is much weaker than what was said changes it once it was so for a while: who did it may have ended, and others go on."""
        anew = False
        if causes and _is_weaker(own, causes):
            anew = bundle.end - self._weaker_since.setdefault(own.id, bundle.end) >= _WEAKER_FOR
        if anew or not _is_weaker(own, causes):
            self._weaker_since.pop(own.id, None)
        return self._put(_updated(own, causes, bundle, anew=anew))

    def _put(self, own: Incident) -> Incident:
        self.open = [own if other.id == own.id else other for other in self.open]
        return own

    def _resolve(self, own: Incident, now: int) -> Incident:
        done = replace(own, state="resolved", resolved=now, updated=now)
        self.open = [other for other in self.open if other.id != own.id]
        self._quiet.pop(own.id, None)
        self._weaker_since.pop(own.id, None)
        self.resolved = [done, *self.resolved][:_RESOLVED_KEPT]
        return done


def _key(cause: Hypothesis) -> tuple[str, Subject]:
    return cause.code, cause.subject


def _is_of(cause: Hypothesis, own: Incident) -> bool:
    """Whether a cause belongs to an incident: it is one that it has, or is about the same victims. One without any takes no weak one."""
    if _key(cause) in map(_key, own.causes):
        return True
    return bool(set(cause.victims) & _victims(own)) and (bool(own.causes) or cause.score >= _OPENS_AT)


def _victims(own: Incident) -> set[Subject]:
    """Whom an incident is about; without a cause, those whom none explains."""
    if own.causes:
        return {victim for cause in own.causes for victim in cause.victims}
    explained = {victim for cause in own.bundle.causes if cause.score >= _OPENS_AT for victim in cause.victims}
    return set(own.bundle.impact.victims) - explained


def _goes_on(own: Incident, bundle: Bundle, is_known: bool) -> bool:
    """Whether an incident lasts though no cause tells of it: it has none, or what is usual is not known, and its victims are slow."""
    return (not own.causes or not is_known) and bool(_victims(own) & set(bundle.impact.victims))


def _updated(own: Incident, causes: Sequence[Hypothesis], bundle: Bundle, *, anew: bool = False) -> Incident:
    """A better explanation changes the causes inside the incident; one that is much weaker than what was said does not.

    ``anew``: what was said, of whom and by whom, is of another time.
    """
    told = _as_preferred(own, causes)[:_TOLD]
    is_weaker = not anew and _is_weaker(own, told)
    if is_weaker:
        told = own.causes
    first = told[0].code if told else UNEXPLAINED
    history = own.history if first == own.cause else (*own.history, (bundle.end, own.cause))[-_HISTORY_KEPT:]
    is_same = not anew and own.source != "rules" and (first, told[0].subject if told else HOST) == (own.cause, own.subject)
    is_worse = anew or told != own.causes or bundle.impact.seconds >= own.bundle.impact.seconds
    kept = bundle if is_worse and not is_weaker else own.bundle  # which has the facts that the causes cite
    return replace(
        own,
        severity="critical" if "critical" in (own.severity, _severity(bundle)) else "warning",
        updated=bundle.end,
        last_bad=bundle.end,
        causes=told,
        bundle=kept,
        history=history,
        summary=(own.summary if kept is own.bundle else uncited(own.summary)) if is_same else summary_of(told, kept),
        source=own.source if is_same else "rules",
        model=own.model if is_same else "",
    )


def _is_weaker(own: Incident, causes: Sequence[Hypothesis]) -> bool:
    return bool(own.causes) and (not causes or causes[0].score < own.causes[0].score - NEAR)


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
