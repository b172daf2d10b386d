"""The numbers of one window, each with its baseline: what conditions look at and facts are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from perflens.analysis import Signal, Subject

__all__ = ["Signal", "Signals"]


class Signals:
    """The signals of a window, by metric and subject; of two that agree in both the last one counts."""

    def __init__(self, signals: Iterable[Signal]) -> None:
        self._by_key = {own.key: own for own in signals}

    def __iter__(self) -> Iterator[Signal]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, metric: str, subject: Subject) -> Signal | None:
        """Return a signal; None when it was not measured."""
        return self._by_key.get((metric, subject))

    def value(self, metric: str, subject: Subject, default: float = 0.0) -> float:
        """Return a signal's value."""
        own = self._by_key.get((metric, subject))
        return own.value if own else default

    def of(self, metric: str) -> list[Signal]:
        """Return the signals of a metric, the greatest first."""
        return sorted((own for own in self if own.metric == metric), key=lambda own: own.value, reverse=True)
