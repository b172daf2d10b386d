"""Scores every cause on everything that it may be about, and keeps those that explain what is slow on their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from perflens.analysis import HOST, Scene, Subject
from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import MET, Case, ramp
from perflens.analyzer.signals import Signal, Signals

__all__ = ["NEAR", "Finding", "Scene", "are_near", "judge"]

NEAR = 0.15
"""Causes whose scores are no further apart may change places."""

_LEAST = 0.2
_USED = MappingProxyType({"cpu": "cpu.cores"})
_MORE = 1.1
_OF_WORST = 0.75
_ANYBODY, _A_SECOND = (0.05, 0.15), (0.1, 0.5)
_SUPPRESSES_FROM, _OUTWEIGHS = 0.5, 0.3
_MOST = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that scores, on one subject. ``explains`` is the part of all slow seconds. ``contributing`` if another one causes it."""

    cause: Cause
    case: Case
    score: float
    explains: float
    victims: tuple[Subject, ...]
    supporting: tuple[Signal, ...]
    against: tuple[Signal, ...]
    contributing: bool = False


def are_near(one: float, other: float) -> bool:
    """Whether two scores are no further apart than that."""
    return abs(one - other) <= NEAR + 1e-9


def judge(causes: Mapping[str, Cause], signals: Signals, scene: Scene) -> list[Finding]:
    """Return what scores at all, the best first; what another one explains comes after all that stand on their own."""
    found = [own for cause in causes.values() for own in _weighed(_met(cause, signals, scene), scene)]
    found.sort(key=lambda own: (own.score, own.explains), reverse=True)
    best = _one_each(found)
    told = [_suppressed(own, best, scene) for own in best]
    return sorted(told, key=lambda own: own.contributing)[:_MOST]


def _cases(cause: Cause, signals: Signals, scene: Scene) -> Iterator[Case]:
    if cause.scope == "device":
        for device, victims in scene.on_device.items():
            yield from _of_device(cause, signals, scene, device, victims)
    elif cause.scope == "owner":
        for victim in scene.victims:
            yield Case(signals, victim, victim)
    elif scene.victims:
        worst = _worst(scene.victims)
        culprits = [own for own in _grown(cause, signals, scene, worst) if not cause.other or own != worst]
        yield Case(signals, HOST, worst, culprits[0] if culprits else None)


def _grown(cause: Cause, signals: Signals, scene: Scene, worst: Subject) -> Sequence[Subject]:
    """The culprits of the host, first who takes most more than usual: who takes as much as ever is not why.

    Of several that take about as much, who suffers ``worst`` comes last: a fair scheduler gives all the same.
    """
    ranked = scene.culprits.get((cause.culprit, HOST), ())
    used = {own: signal for own in ranked if (signal := signals.get(_USED.get(cause.culprit, ""), own))}
    if not used:
        return ranked
    more = {
        own: signal.value - (signal.baseline or 0.0) for own, signal in used.items() if signal.value >= _MORE * (signal.baseline or 0.0)
    }
    return sorted(more, key=lambda own: more[own] * (_OF_WORST if own == worst else 1), reverse=True)


def _of_device(cause: Cause, signals: Signals, scene: Scene, device: Subject, victims: Mapping[Subject, float]) -> Iterator[Case]:
    culprits = scene.culprits.get((cause.culprit, device), ())
    culprit = culprits[0] if culprits else None
    others = {victim: seconds for victim, seconds in victims.items() if victim != culprit}
    if not cause.other:
        yield Case(signals, device, _worst(others or victims), culprit, device)
    elif culprit and others:
        yield Case(signals, device, _worst(others), culprit, device)


def _worst(victims: Mapping[Subject, float]) -> Subject:
    return max(victims, key=lambda own: victims[own])


def _met(cause: Cause, signals: Signals, scene: Scene) -> list[Finding]:
    """Return a cause on each subject, with the score of its conditions alone."""
    return [own for case in _cases(cause, signals, scene) if (own := _finding(cause, case, scene))]


def _finding(cause: Cause, case: Case, scene: Scene) -> Finding | None:
    necessary = min(own.met(case) for own in cause.necessary)
    weights = sum(own.weight for own in cause.supporting)
    support = sum(own.weight * own.met(case) for own in cause.supporting) / weights if weights else 1.0
    vetoed = max((own.met(case) for own in cause.vetoes), default=0.0)
    score = necessary * (0.7 + 0.3 * support) * (1 - vetoed)
    if score < _LEAST:
        return None
    victims = _victims(cause, case, scene)
    explains = _explained(cause, victims, scene, case.signals, _blamed([case]) if cause.other else ())
    terms = (*cause.necessary, *cause.supporting)
    good = [signal for own in terms if own.met(case) >= MET for signal in own.seen(case)]
    bad = [signal for own in terms if own.met(case) < MET for signal in own.seen(case)]
    bad += [signal for own in cause.vetoes for signal in own.seen(case)]
    supporting = tuple(dict.fromkeys(good))
    against = tuple(own for own in dict.fromkeys(bad) if own not in supporting)
    return Finding(cause, case, score, explains, victims, supporting, against)


def _weighed(found: Sequence[Finding], scene: Scene) -> list[Finding]:
    """Weigh one cause on all its subjects by what it explains, on those where it holds together: many may be slow, each for itself."""
    holds = [own for own in found if own.score >= _SUPPRESSES_FROM]
    together = _together(holds, scene) if holds else 0.0
    scored = []
    for own in found:
        explains = max(own.explains, together) if own.score >= _SUPPRESSES_FROM else own.explains
        score = own.score * min(explains / 0.4, 1.0) ** 0.5
        if score >= _LEAST:
            scored.append(replace(own, score=score))
    return scored


def _together(holds: Sequence[Finding], scene: Scene) -> float:
    cause, victims = holds[0].cause, list(dict.fromkeys(victim for own in holds for victim in own.victims))
    blamed = _blamed([own.case for own in holds]) - set(victims) if cause.other else ()
    return _explained(cause, victims, scene, holds[0].case.signals, blamed)


def _blamed(cases: Sequence[Case]) -> set[Subject]:
    return {own.culprit for own in cases if own.culprit}


def _victims(cause: Cause, case: Case, scene: Scene) -> tuple[Subject, ...]:
    if cause.scope == "owner":
        return (case.subject,)
    own = scene.on_device.get(case.subject, {}) if cause.scope == "device" else scene.victims
    ranked = sorted(own, key=lambda victim: own[victim], reverse=True)
    return tuple(victim for victim in ranked if not (cause.other and victim == case.culprit))


def _explained(cause: Cause, victims: Sequence[Subject], scene: Scene, signals: Signals, blamed: Collection[Subject]) -> float:
    """The part of the slow time that a cause accounts for: of its victims' time that of the waits that it explains.

    Who is ``blamed`` waits for itself: that is not among it, unless hardly anybody else waits. What others wait counts as a part of
    all, and by the clock: a hundred threads that wait for themselves make little of one that does nothing else.
    """
    every = sum(scene.victims.values())
    itself = sum(scene.victims.get(own, 0.0) for own in blamed)
    if itself:
        others = 1 - itself / every
        every -= itself * max(ramp(others, *_ANYBODY), ramp(others * signals.value("slow.seconds", HOST), *_A_SECOND))
    if not every:
        return 0.0
    explained = 0.0
    for victim in victims:
        waits = scene.waits.get(victim, {})
        known = sum(waits.values())
        part = sum(seconds for reason, seconds in waits.items() if reason in cause.explains) / known if known and cause.explains else 1.0
        explained += part * scene.victims.get(victim, 0.0)
    return min(explained / every, 1.0)


def _one_each(found: Sequence[Finding]) -> list[Finding]:
    """Of each cause the best two subjects with victims in common: what a disk below another one shows as well is the same."""
    kept: list[Finding] = []
    for own in found:
        rows = [other for other in kept if other.cause is own.cause]
        if len(rows) < _MOST and sum(bool(set(other.victims) & set(own.victims)) for other in rows) < 2:
            kept.append(own)
    return kept


def _suppressed(own: Finding, found: Sequence[Finding], scene: Scene) -> Finding:
    """Return it as contributing when a cause that produces its signs, or the same one on another subject, has victims in common with it.

    One that hardly holds hides none that is certain: a disk that is somewhat busy is not why its journal stalls.
    """
    for other in found:
        if other is own or other.score < max(_SUPPRESSES_FROM, own.score - _OUTWEIGHS) or not set(own.victims) & set(other.victims):
            continue
        is_same = own.cause.code == other.cause.code and found.index(other) < found.index(own)
        if is_same or (own.cause.code in other.cause.causes and _covers(other, own, found, scene)):
            return replace(own, contributing=True)
    return own


def _covers(other: Finding, own: Finding, found: Sequence[Finding], scene: Scene) -> bool:
    """Whether what owners wait for, each for itself, is most of what is slow on a disk or a host: else that is told beside it."""
    if other.cause.scope != "owner" or own.cause.scope == "owner":
        return True
    alike = {victim for one in found if one.cause is other.cause and one.score >= _SUPPRESSES_FROM for victim in one.victims}
    every = {victim: scene.victims.get(victim, 0.0) for victim in own.victims}
    return 2 * sum(seconds for victim, seconds in every.items() if victim in alike) >= sum(every.values())
