"""What moved in one cgroup between two readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from perflens.analyzer.readings.rates import PressureRatio, moved, pressure_ratios, rate, ratio
from perflens.analyzer.readings.values import CgroupCpu, CgroupMemory, CgroupReading, Resource

__all__ = ["CgroupDelta", "ThrottlingDelta", "cgroup_delta"]


class ThrottlingDelta(NamedTuple):
    """How a quota was enforced: the part of its periods in which it had run out, and the seconds that CPUs were held, per second.

    The latter is of all CPUs together, and may exceed 1. ``path`` is the cgroup with the quota.
    """

    path: str
    periods: int
    throttled: int
    ratio: float
    seconds_per_second: float


@dataclass(frozen=True, slots=True)
class CgroupDelta:
    """One cgroup. ``throttling`` is that of the level, itself or an ancestor, that was throttled most: None where none has a quota.

    ``limit_events`` and ``oom_kills`` are how many there were, the former at the nearest limit ``limit_events_at`` that was met at all;
    ``cores`` is the CPU time per second, refaults are pages per second.
    """

    throttling: ThrottlingDelta | None = None
    cores: float | None = None
    limit_events: int | None = None
    limit_events_at: str = ""
    oom_kills: int | None = None
    refaults_file: float | None = None
    refaults_anon: float | None = None
    pressure: Mapping[Resource, PressureRatio] = field(default_factory=dict)


_NO_CPU = CgroupCpu(None)
_NO_MEMORY = CgroupMemory(None)


def cgroup_delta(before: CgroupReading, after: CgroupReading, seconds: float) -> CgroupDelta:
    """Return what moved in a cgroup in this time."""
    old_cpu, new_cpu = before.cpu or _NO_CPU, after.cpu or _NO_CPU
    old, new = before.memory or _NO_MEMORY, after.memory or _NO_MEMORY
    events, at = _limit_events(old, new, after.path)
    return CgroupDelta(
        throttling=max(_throttling(old_cpu, new_cpu, seconds), key=lambda own: (own.ratio, own.seconds_per_second), default=None),
        cores=rate(old_cpu.usage_seconds, new_cpu.usage_seconds, seconds),
        limit_events=events,
        limit_events_at=at,
        oom_kills=_steps(old.oom_kills, new.oom_kills),
        refaults_file=rate(old.refaults_file, new.refaults_file, seconds),
        refaults_anon=rate(old.refaults_anon, new.refaults_anon, seconds),
        pressure=pressure_ratios(before.pressure, after.pressure, seconds),
    )


def _throttling(before: CgroupCpu, after: CgroupCpu, seconds: float) -> Iterator[ThrottlingDelta]:
    olds = {own.path: own for own in before.levels}
    for new in after.levels:
        if old := olds.get(new.path):
            periods, throttled = _steps(old.periods, new.periods), _steps(old.throttled, new.throttled)
            held, part = rate(old.throttled_seconds, new.throttled_seconds, seconds), ratio(throttled, periods)
            if periods and throttled is not None and held is not None and part is not None:
                yield ThrottlingDelta(new.path, periods, throttled, part, held)


def _limit_events(before: CgroupMemory, after: CgroupMemory, path: str) -> tuple[int | None, str]:
    """How often the nearest limit was met that was met at all, else its own count."""
    olds = {own.path: own.events for own in before.levels}
    for new in after.levels:
        if step := _steps(olds.get(new.path), new.events):
            return step, new.path
    own = _steps(before.limit_events, after.limit_events)
    return own, path if own else ""


def _steps(before: int | None, after: int | None) -> int | None:
    step = moved(before, after)
    return None if step is None else int(step)
