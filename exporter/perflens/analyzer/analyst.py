"""Looks at one window after the other: what is wrong, why, and what that means for the incidents."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from perflens.analysis import Bundle, Impact, Incident, Scene, Signal
from perflens.analyzer.baseline import WINDOWS, Baseline
from perflens.analyzer.cause import Cause
from perflens.analyzer.causes import discover
from perflens.analyzer.conclusion import Conclusion, conclusion, recording_of
from perflens.analyzer.identities import identified, identified_scene
from perflens.analyzer.incidents import Incidents, is_impact
from perflens.analyzer.measures.operations import operation_signals
from perflens.analyzer.measures.requests import device_culprits, request_signals
from perflens.analyzer.onset import onset
from perflens.analyzer.scene import impact_of, scene_of
from perflens.analyzer.signals import Signals
from perflens.analyzer.stopped import stopped
from perflens.analyzer.window import Window

__all__ = ["Analyst", "Look"]

_SECOND = 1_000_000_000
_KEPT = 120
_RECORDED = 30


@dataclass(frozen=True, slots=True)
class Look:
    """What one window came to: its evidence, whether operations were slow enough to matter, and the incidents that changed."""

    bundle: Bundle
    impact: bool
    changed: tuple[Incident, ...]


class Analyst:
    """Keeps what is usual, the last bundles and the incidents. One thread calls it."""

    def __init__(self, host: str, incidents: Incidents, causes: Mapping[str, Cause] | None = None) -> None:
        self._host, self.incidents = host, incidents
        self._causes = discover() if causes is None else causes
        self.baseline, self._since_start = Baseline(), Baseline()
        self._judged = frozenset(own.id for own in incidents.open if any(fact.baseline is not None for fact in own.bundle.facts))
        self.bundles: deque[Bundle] = deque(maxlen=_KEPT)
        self.windows = 0

    def look(self, window: Window, *, early: bool = False) -> Look:
        """Judge a window. Where little is slow that is all there is to it, and what was measured becomes the usual.

        One that comes ``early`` counts when it is bad, and for nothing else: what is usual and what is over is told by those in turn.
        """
        self.windows += 1
        usual = self.baseline.usual_of
        held = stopped(window.totals, window.host, window.changes, usual)
        impact = impact_of(window.totals, window.events, usual, held)
        own = scene_of(impact, window.totals, window.events, {**device_culprits(window.totals), **window.culprits})
        scene = identified_scene(own, window.identities)
        measured = _measured(window, impact, scene)
        bad = is_impact(impact, window.seconds)
        signals = Signals(identified(self.baseline.applied(measured), window.identities))
        told = conclusion(self._causes, signals, scene if bad else None, window.changes)
        bundle = self._bundle(window, impact, told)
        if early and not bad:
            return Look(bundle, bad, ())
        if not early:
            self._learn(measured, impact, bad=bad)
        if bad or self.incidents.open:
            self._keep(replace(bundle, recording=recording_of(scene, signals, window.changes)) if bad else bundle)
        return Look(bundle, bad, tuple(self.incidents.update(bundle, impact=bad, early=early, is_known=self.baseline.is_known)))

    def _learn(self, measured: Signals, impact: Impact, *, bad: bool) -> None:
        """What is usual is told by windows in which nothing is wrong; where there were none since the start, by ten minutes of others.

        Else on a host that is never without slow operations nothing would ever be usual. Not while an incident lasts that was judged
        by what was usual before the start. What is not wrong in a window of those others is the usual of who is new in it.
        """
        if not bad and not self.incidents.open:
            self.baseline.learn(measured)
        else:
            self.baseline.learn_new(own for own in measured if _is_mean_of_others(own, impact))
            if not self.baseline.is_known and not any(own.id in self._judged for own in self.incidents.open):
                self._since_start.learn(measured)
                if self._since_start.learnt == WINDOWS:
                    self.baseline = self._since_start
        if self.baseline.is_known:
            self._since_start = Baseline()

    def _keep(self, bundle: Bundle) -> None:
        """What the last minutes were judged by is kept with them: it takes much more room than what they came to."""
        self.bundles.append(bundle)
        if len(self.bundles) > _RECORDED:
            self.bundles[-_RECORDED - 1] = replace(self.bundles[-_RECORDED - 1], recording=None)

    def _bundle(self, window: Window, impact: Impact, told: Conclusion) -> Bundle:
        began = onset(window.slow, window.usual) if told.hypotheses else None
        at = 0 if began is None else window.end - (len(window.slow) - began) * _SECOND
        return Bundle(self._host, window.start, window.end, at, impact, told.facts, told.hypotheses, told.verdict, window.gaps)


def _measured(window: Window, impact: Impact, scene: Scene) -> Signals:
    own = [*operation_signals(window.seconds, window.totals, impact, scene, window.events), *request_signals(window.seconds, window.totals)]
    return Signals([*own, *window.host])


def _is_mean_of_others(own: Signal, impact: Impact) -> bool:
    return own.subject.kind == "owner" and not own.counts and own.subject not in impact.victims
