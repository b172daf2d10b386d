"""Scores every cause on everything that it may be about, and keeps those that explain what is slow on their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from perflens.analysis import HOST, Scene, Subject
from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import MET, Case
from perflens.analyzer.signals import Signal, Signals

__all__ = ["NEAR", "Finding", "Scene", "are_near", "judge"]

NEAR = 0.15
"""Causes whose scores are no further apart may change places."""

_LEAST = 0.2
_SUPPRESSES_FROM = 0.5
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
    found = [own for cause in causes.values() for case in _cases(cause, signals, scene) if (own := _scored(cause, case, scene))]
    found.sort(key=lambda own: (own.score, own.explains), reverse=True)
    best = _one_each(found)
    told = [_suppressed(own, best) for own in best]
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
        culprits = [own for own in scene.culprits.get((cause.culprit, HOST), ()) if not cause.other or own != worst]
        yield Case(signals, HOST, worst, culprits[0] if culprits else None)


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


def _scored(cause: Cause, case: Case, scene: Scene) -> Finding | None:
    necessary = min(own.met(case) for own in cause.necessary)
    weights = sum(own.weight for own in cause.supporting)
    support = sum(own.weight * own.met(case) for own in cause.supporting) / weights if weights else 1.0
    vetoed = max((own.met(case) for own in cause.vetoes), default=0.0)
    victims = _victims(cause, case, scene)
    explains = _explained(cause, victims, scene)
    score = necessary * (0.7 + 0.3 * support) * (1 - vetoed) * min(explains / 0.4, 1.0) ** 0.5
    if score < _LEAST:
        return None
    terms = (*cause.necessary, *cause.supporting)
    good = [signal for own in terms if own.met(case) >= MET for signal in own.seen(case)]
    bad = [signal for own in terms if own.met(case) < MET for signal in own.seen(case)]
    bad += [signal for own in cause.vetoes for signal in own.seen(case)]
    supporting = tuple(dict.fromkeys(good))
    return Finding(cause, case, score, explains, victims, supporting, tuple(own for own in dict.fromkeys(bad) if own not in supporting))


def _victims(cause: Cause, case: Case, scene: Scene) -> tuple[Subject, ...]:
    if cause.scope == "owner":
        return (case.subject,)
    own = scene.on_device.get(case.subject, {}) if cause.scope == "device" else scene.victims
    ranked = sorted(own, key=lambda victim: own[victim], reverse=True)
    return tuple(victim for victim in ranked if not (cause.other and victim == case.culprit))


def _explained(cause: Cause, victims: Sequence[Subject], scene: Scene) -> float:
    """The part of the slow time that a cause accounts for: of its victims' time that of the waits that it explains."""
    every = sum(scene.victims.values())
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
    """Of each cause the best two subjects: what a disk below another one shows as well is the same."""
    kept: dict[str, list[Finding]] = {}
    for own in found:
        rows = kept.setdefault(own.cause.code, [])
        if len(rows) < 2:
            rows.append(own)
    return [own for own in found if own in kept[own.cause.code]]


def _suppressed(own: Finding, found: Sequence[Finding]) -> Finding:
    """Return it as contributing when a cause that produces its signs, or the same one on another subject, has victims in common with it."""
    for other in found:
        if other is own or other.score < _SUPPRESSES_FROM or not set(own.victims) & set(other.victims):
            continue
        if own.cause.code in other.cause.causes or (own.cause.code == other.cause.code and found.index(other) < found.index(own)):
            return replace(own, contributing=True)
    return own
