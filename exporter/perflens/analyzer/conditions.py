"""Smooth conditions: how far a signal speaks for a cause, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perflens.analysis import HOST, Subject
from perflens.analyzer.signals import Signal, Signals

__all__ = ["MET", "AllOf", "AnyOf", "Case", "Condition", "Role", "Term", "ramp"]

MET = 0.5
"""From here on a condition is met: what it looked at speaks for the cause, else against it."""

Role = Literal["subject", "victim", "culprit", "device", "host"]


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to ``low``, 1 from ``high`` on, and what lies between on a line; with ``low`` above ``high`` it falls."""
    if low == high:
        return float(value >= high)
    return min(max((value - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that may be the cause: whom it is about, by role, and the signals of the window."""

    signals: Signals
    subject: Subject
    victim: Subject | None = None
    culprit: Subject | None = None
    device: Subject | None = None

    def get(self, metric: str, role: Role) -> Signal | None:
        """Return the signal of whoever has this role; None when there is nobody, or nothing was measured.

        A metric that ends in ``@`` is one on the case's disk (``name@disk``).
        """
        subject = HOST if role == "host" else getattr(self, role)
        if metric.endswith("@"):
            metric += self.device.name if self.device else ""
        return self.signals.get(metric, subject) if subject else None


@dataclass(frozen=True, slots=True)
class Condition:
    """A ramp over a signal's ``value``, over how many times its baseline it is (``ratio``), or how far below that (``fall``).

    ``missing`` is what it comes to when there is no such signal or no baseline; a baseline of 0 is a ratio without bound. ``least`` is a
    value below which a ratio says nothing: ten times nearly nothing is nearly nothing.
    """

    metric: str
    low: float
    high: float
    role: Role = "subject"
    of: Literal["value", "ratio", "fall"] = "value"
    missing: float = 0.0
    least: float = 0.0
    weight: float = 1.0

    def met(self, case: Case) -> float:
        """Return how far it is met."""
        own = case.get(self.metric, self.role)
        if own is None:
            return self.missing
        if self.of == "value":
            return ramp(own.value, self.low, self.high)
        if own.baseline is None:
            return self.missing
        if self.of == "fall":
            return ramp(own.baseline - own.value, self.low, self.high)
        if own.value <= self.least:
            return ramp(0.0, self.low, self.high)
        return ramp(own.value / own.baseline, self.low, self.high) if own.baseline else ramp(float("1e9"), self.low, self.high)

    def seen(self, case: Case) -> tuple[Signal, ...]:
        """Return the signals that it looked at."""
        own = case.get(self.metric, self.role)
        return (own,) if own else ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The best of several."""

    terms: tuple[Condition | AllOf, ...]
    weight: float = 1.0

    def met(self, case: Case) -> float:
        """Return how far the best of them is met."""
        return max(own.met(case) for own in self.terms)

    def seen(self, case: Case) -> tuple[Signal, ...]:
        """Return the signals that they looked at, those of the best first; where some are met, those of the others say nothing."""
        terms = sorted(self.terms, key=lambda own: own.met(case), reverse=True)
        return _seen([own for own in terms if own.met(case) >= MET] or terms, case)


@dataclass(frozen=True, slots=True)
class AllOf:
    """The worst of several."""

    terms: tuple[Condition, ...]
    weight: float = 1.0

    def met(self, case: Case) -> float:
        """Return how far the worst of them is met."""
        return min(own.met(case) for own in self.terms)

    def seen(self, case: Case) -> tuple[Signal, ...]:
        """Return the signals that they looked at."""
        return _seen(self.terms, case)


def _seen(terms: Sequence[Condition | AllOf], case: Case) -> tuple[Signal, ...]:
    return tuple(dict.fromkeys(signal for own in terms for signal in own.seen(case)))


Term = Condition | AnyOf | AllOf
