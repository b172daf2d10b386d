"""Looks at one window after the other: what is wrong, why, and what that means for the incidents."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perflens.analysis import Bundle, Impact, Incident, Verdict
from perflens.analyzer.baseline import Baseline
from perflens.analyzer.cause import Cause
from perflens.analyzer.causes import discover
from perflens.analyzer.facts import facts_of, hypotheses_of
from perflens.analyzer.incidents import Incidents, is_impact
from perflens.analyzer.judge import Finding, Scene, judge
from perflens.analyzer.measures.operations import operation_signals
from perflens.analyzer.measures.requests import device_culprits, request_signals
from perflens.analyzer.onset import onset
from perflens.analyzer.scene import impact_of, scene_of
from perflens.analyzer.signals import Signals
from perflens.analyzer.window import Window

__all__ = ["Analyst", "Look"]

_SECOND = 1_000_000_000
_KEPT = 120
_KNOWN_AT = 0.35


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
        self.baseline = Baseline()
        self.bundles: deque[Bundle] = deque(maxlen=_KEPT)
        self.windows = 0

    def look(self, window: Window) -> Look:
        """Judge a window. Where little is slow that is all there is to it, and what was measured becomes the usual."""
        self.windows += 1
        impact = impact_of(window.totals, window.events, self.baseline.usual_of)
        scene = scene_of(impact, window.totals, window.events, {**device_culprits(window.totals), **window.culprits})
        measured = _measured(window, impact, scene)
        bad = is_impact(impact, window.seconds)
        signals = self.baseline.applied(measured)
        findings = judge(self._causes, signals, scene) if bad else []
        bundle = self._bundle(window, impact, signals, findings)
        if not bad and not self.incidents.open:
            self.baseline.learn(measured)
        if bad or self.incidents.open:
            self.bundles.append(bundle)
        return Look(bundle, bad, tuple(self.incidents.update(bundle, impact=bad)))

    def _bundle(self, window: Window, impact: Impact, signals: Signals, findings: Sequence[Finding]) -> Bundle:
        facts = facts_of(signals, findings, window.changes if findings else ())
        began = onset(window.slow, window.usual) if findings else None
        at = 0 if began is None else window.end - (len(window.slow) - began) * _SECOND
        hypotheses = hypotheses_of(findings, facts)
        return Bundle(self._host, window.start, window.end, at, impact, facts, hypotheses, _verdict(hypotheses), window.gaps)


def _measured(window: Window, impact: Impact, scene: Scene) -> Signals:
    own = [*operation_signals(window.seconds, window.totals, impact, scene, window.events), *request_signals(window.seconds, window.totals)]
    return Signals([*own, *window.host])


def _verdict(hypotheses: Sequence[object]) -> Verdict:
    return "incident" if hypotheses else "benign"
