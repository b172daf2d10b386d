"""What is usual: the median of each signal over the last windows without an incident."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median

from perflens.analysis import Subject, SubjectKind
from perflens.analyzer.signals import Signal, Signals

__all__ = ["WINDOWS", "Baseline"]

_KEPT = 8_192
_LEAST = 3
WINDOWS = 60
"""Of how many windows something is the usual: those of ten minutes."""
MEANS = frozenset({"operation.latency"})
"""Metrics of which it is asked what is usual though a window has none of it."""


_SHARED: frozenset[SubjectKind] = frozenset(("host", "device"))
"""Subjects that the causes of everybody are about: what is usual for them is forgotten last."""


@dataclass(slots=True)
class _Past:
    values: array[float]
    counts: bool


class Baseline:
    """Bounded by ``limit`` signals, of which those go first that were not measured for the longest time, and by ``windows`` values of each.

    What a window does not have of something that counts was 0 in it: what does not happen is usual as well.
    """

    def __init__(self, *, limit: int = _KEPT, windows: int = WINDOWS, least: int = _LEAST) -> None:
        self._past: OrderedDict[tuple[str, Subject], _Past] = OrderedDict()
        self._limit, self._windows, self._least = limit, windows, least
        self.learnt = 0

    def __len__(self) -> int:
        return len(self._past)

    @property
    def is_known(self) -> bool:
        """Whether there have been enough windows to say what is usual."""
        return self.learnt >= self._least

    def learn(self, signals: Iterable[Signal]) -> None:
        """Take in a window in which nothing was wrong."""
        now = {own.key: own for own in sorted(signals, key=lambda own: own.subject.kind in _SHARED)}
        for key, past in self._past.items():
            if key not in now and past.counts:
                past.values.append(0.0)
        before = min(self.learnt, self._windows - 1)
        for key, own in now.items():
            past = self._past.get(key) or _Past(array("d", [0.0] * before * own.counts), own.counts)
            past.values.append(own.value)
            self._past[key] = past
            self._past.move_to_end(key)
        for past in self._past.values():
            del past.values[: -self._windows]
        self.learnt += 1
        for key in [key for key, past in self._past.items() if not any(past.values)]:
            del self._past[key]
        self._bound()

    def learn_new(self, signals: Iterable[Signal]) -> None:
        """Take in those that never were, of a window in which something else was wrong: the least that is known of them."""
        self._past |= {own.key: _Past(array("d", [own.value]), own.counts) for own in signals if own.value and own.key not in self._past}
        self._bound()

    def _bound(self) -> None:
        while len(self._past) > self._limit:
            self._past.popitem(last=False)

    def applied(self, signals: Iterable[Signal]) -> Signals:
        """Return the signals with what is usual for each; None for all before enough is known, and for means that never were."""
        return Signals(replace(own, baseline=self._usual(own)) for own in signals) if self.is_known else Signals(signals)

    def usual(self, metric: str, subject: Subject) -> float | None:
        """Return what is usual for something that counts; None before enough is known."""
        if not self.is_known:
            return None
        past = self._past.get((metric, subject))
        return median(past.values) if past else 0.0

    def usual_of(self, metric: str, subject: Subject) -> float | None:
        """Return what is usual, of a mean too: None for one that never was."""
        past = self._past.get((metric, subject))
        return None if past is None and metric in MEANS else self.usual(metric, subject)

    def _usual(self, own: Signal) -> float | None:
        return self.usual(*own.key) if own.counts or own.key in self._past else None
