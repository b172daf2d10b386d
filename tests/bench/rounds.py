"""Rounds of variants in random order, and what is compared: paired within a round, then the median over the rounds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Rounds", "Spread", "measure"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A measured quantity over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(median(found), found[0], found[-1])


@dataclass(frozen=True, slots=True)
class Rounds:
    """One value of each variant a round."""

    values: Sequence[Mapping[str, float]]

    def plain(self, variant: str) -> Spread:
        """Return a variant's own values."""
        return Spread.of(own[variant] for own in self.values)

    def added(self, variant: str, base: str) -> Spread:
        """Return what a variant has more than the base in the same round."""
        return Spread.of(own[variant] - own[base] for own in self.values)

    def ratio(self, variant: str, base: str) -> Spread:
        """Return a variant as a multiple of the base in the same round."""
        return Spread.of(own[variant] / own[base] for own in self.values)

    def added_ratio(self, variant: str, floor: str, base: str) -> Spread:
        """Return what a variant adds to the base as a multiple of what the floor adds to it in the same round."""
        pairs = ((own[variant] - own[base], own[floor] - own[base]) for own in self.values)
        return Spread.of(added / least if least > 0 else float("inf") for added, least in pairs)


def measure(variants: Mapping[str, Callable[[], float]], rounds: int, seed: int = 1) -> Rounds:
    """Measure every variant once a round, in another order each time, so that a drift of the machine is nobody's."""
    order, shuffle = list(variants), random.Random(seed).shuffle
    found = []
    for _ in range(rounds):
        shuffle(order)
        found.append({name: variants[name]() for name in order})
    return Rounds(found)
