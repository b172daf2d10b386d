"""What a window comes to, of a scene and its signals alone: so it can be recorded, and come to the same again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from perflens.analysis import FACTS_MAX, HOST, Bundle, Fact, Hypothesis, Recording, Scene, Signal, Subject, Verdict
from perflens.analyzer.cause import Cause
from perflens.analyzer.facts import facts_of, hypotheses_of
from perflens.analyzer.judge import judge
from perflens.analyzer.signals import Signals

__all__ = ["Conclusion", "conclusion", "judged_again", "recording_of"]

_MOST_SIGNALS, _MOST_VICTIMS, _MOST_DEVICES = 512, 64, 32


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The facts of a window, what they may be explained by, and the verdict."""

    facts: tuple[Fact, ...]
    hypotheses: tuple[Hypothesis, ...]
    verdict: Verdict


def conclusion(causes: Mapping[str, Cause], signals: Signals, scene: Scene | None, changes: Iterable[Signal]) -> Conclusion:
    """Judge a scene; without one, as where little is slow, there is nothing to explain."""
    findings = judge(causes, signals, scene) if scene else []
    facts = facts_of(signals, findings, changes if findings else ())
    hypotheses = hypotheses_of(findings, facts)
    return Conclusion(facts, hypotheses, "incident" if hypotheses else "benign")


def recording_of(scene: Scene, signals: Iterable[Signal], changes: Sequence[Signal]) -> Recording:
    """Return what a conclusion rests on: of the signals those of who is in the scene, which are all that a cause looks at.

    Bounded: what is beyond the bounds is left out, the least of the victims first, and the recording then is not complete.
    """
    victims = sorted(scene.victims, key=lambda own: scene.victims[own], reverse=True)[:_MOST_VICTIMS]
    devices = sorted(scene.on_device, key=lambda own: sum(scene.on_device[own].values()), reverse=True)[:_MOST_DEVICES]
    kept = Scene(
        {own: scene.victims[own] for own in scene.victims if own in victims},
        {own: {who: at for who, at in scene.on_device[own].items() if who in victims} for own in scene.on_device if own in devices},
        {own: waits for own, waits in scene.waits.items() if own == HOST or own in victims},
        {(kind, where): tuple(who) for (kind, where), who in scene.culprits.items() if where == HOST or where in devices},
    )
    cast = _cast(kept)
    wanted = [own for own in signals if own.subject in cast]
    is_whole = len(victims) == len(scene.victims) and len(devices) == len(scene.on_device) and len(wanted) <= _MOST_SIGNALS
    return Recording(kept, tuple(wanted[:_MOST_SIGNALS]), tuple(changes[:FACTS_MAX]), is_whole)


def judged_again(bundle: Bundle, causes: Mapping[str, Cause]) -> Bundle:
    """Return a bundle with what the causes make of its recording now; ValueError when it has none."""
    own = bundle.recording
    if own is None:
        raise ValueError("the bundle has no recording")
    told = conclusion(causes, Signals(own.signals), own.scene, own.changes)
    return replace(bundle, facts=told.facts, hypotheses=told.hypotheses, verdict=told.verdict)


def _cast(scene: Scene) -> set[Subject]:
    """Everybody whom a case may be about."""
    of_devices = {victim for own in scene.on_device.values() for victim in own}
    culprits = {own for who in scene.culprits.values() for own in who}
    return {HOST, *scene.victims, *scene.on_device, *of_devices, *culprits}
