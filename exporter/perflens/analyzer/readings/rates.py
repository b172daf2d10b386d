"""Arithmetic of counters: what moved between two readings of one, and parts of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perflens.analyzer.readings.values import Pressure, Resource

__all__ = ["PressureRatio", "moved", "pressure_ratios", "rate", "ratio"]


class PressureRatio(NamedTuple):
    """The part of the time, from 0 to 1, in which some task and all tasks waited."""

    some: float
    full: float


def moved(before: float | None, after: float | None) -> float | None:
    """Return how far a counter went; None where one reading lacks it or it went backwards."""
    return after - before if before is not None and after is not None and after >= before else None


def rate(before: float | None, after: float | None, seconds: float) -> float | None:
    """Return how far a counter went per second."""
    step = moved(before, after)
    return None if step is None else step / seconds


def ratio(part: float | None, total: float | None) -> float | None:
    """Return the part, 1 at most: a counter and the clock are not read at one instant. None without both."""
    return min(part / total, 1.0) if part is not None and total else None


def pressure_ratios(
    before: Mapping[Resource, Pressure], after: Mapping[Resource, Pressure], seconds: float
) -> dict[Resource, PressureRatio]:
    """Return the pressure of each resource that both readings have."""
    found = {}
    for resource, new in after.items():
        if old := before.get(resource):
            some, full = ratio(moved(old.some_us, new.some_us), seconds * 1e6), ratio(moved(old.full_us, new.full_us), seconds * 1e6)
            if some is not None and full is not None:
                found[resource] = PressureRatio(some, full)
    return found
