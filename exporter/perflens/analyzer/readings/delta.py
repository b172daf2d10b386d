"""What moved between two readings: rates and ratios. A counter that went backwards, or is new, gives None or is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from perflens.analyzer.readings.cgroup_delta import CgroupDelta, cgroup_delta
from perflens.analyzer.readings.rates import PressureRatio, moved, pressure_ratios, rate, ratio
from perflens.analyzer.readings.values import CpuTimes, DiskReading, HostReading, Resource

__all__ = ["CpuDelta", "DiskDelta", "HostDelta", "delta"]

_PAGES = frozenset(("nr_dirty", "nr_writeback"))  # what vmstat tells of now, which has no rate


class CpuDelta(NamedTuple):
    """Parts of the time of all CPUs, from 0 to 1."""

    busy: float | None = None
    iowait: float | None = None
    steal: float | None = None


_NO_CPU = CpuDelta()


class DiskDelta(NamedTuple):
    """One disk: ``utilization`` from 0 to 1, ``queue`` the mean number of requests in flight, rates per second, mean latencies in s.

    A latency is None where nothing was done; it is that of the requests that completed.
    """

    utilization: float | None = None
    queue: float | None = None
    reads: float | None = None
    read_bytes: float | None = None
    read_latency: float | None = None
    writes: float | None = None
    write_bytes: float | None = None
    write_latency: float | None = None
    discards: float | None = None
    flushes: float | None = None
    flush_latency: float | None = None

    @property
    def operations(self) -> float | None:
        """Reads and writes per second."""
        return None if self.reads is None or self.writes is None else self.reads + self.writes


@dataclass(frozen=True, slots=True)
class HostDelta:
    """What moved in ``seconds``. ``vmstat`` are rates per second by key, ``pressure`` parts of the time, ``forks`` is per second."""

    seconds: float
    cpu: CpuDelta = _NO_CPU
    forks: float | None = None
    pressure: Mapping[Resource, PressureRatio] = field(default_factory=dict)
    vmstat: Mapping[str, float] = field(default_factory=dict)
    disks: Mapping[str, DiskDelta] = field(default_factory=dict)
    cgroups: Mapping[str, CgroupDelta] = field(default_factory=dict)


def delta(before: HostReading, after: HostReading) -> HostDelta | None:
    """Return what moved; None when no time passed."""
    seconds = (after.time_ns - before.time_ns) / 1e9
    if seconds <= 0:
        return None
    return HostDelta(
        seconds=seconds,
        cpu=_cpu(before.cpu, after.cpu),
        forks=rate(before.forks, after.forks, seconds),
        pressure=pressure_ratios(before.pressure, after.pressure, seconds),
        vmstat=_vmstat(before.vmstat, after.vmstat, seconds),
        disks={name: _disk(before.disks[name], own, seconds) for name, own in after.disks.items() if name in before.disks},
        cgroups={
            name: cgroup_delta(before.cgroups[name], own, seconds)
            for name, own in after.cgroups.items()
            if name in before.cgroups and before.cgroups[name].path == own.path
        },
    )


def _cpu(before: CpuTimes | None, after: CpuTimes | None) -> CpuDelta:
    if before is None or after is None:
        return _NO_CPU
    parts = [moved(old, new) for old, new in zip(before[:4], after[:4], strict=True)]
    total = sum(part for part in parts if part is not None)
    busy, _, iowait, steal = (ratio(part, total) for part in parts)
    return CpuDelta(busy, iowait, steal)


def _vmstat(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> dict[str, float]:
    found = {}
    for key, new in after.items():
        if key not in _PAGES and (value := rate(before.get(key), new, seconds)) is not None:
            found[key] = value
    return found


def _disk(before: DiskReading, after: DiskReading, seconds: float) -> DiskDelta:
    return DiskDelta(
        utilization=ratio(moved(before.busy_seconds, after.busy_seconds), seconds),
        queue=rate(before.weighted_seconds, after.weighted_seconds, seconds),
        reads=rate(before.reads, after.reads, seconds),
        read_bytes=rate(before.read_bytes, after.read_bytes, seconds),
        read_latency=_mean(before.read_seconds, after.read_seconds, before.reads, after.reads),
        writes=rate(before.writes, after.writes, seconds),
        write_bytes=rate(before.write_bytes, after.write_bytes, seconds),
        write_latency=_mean(before.write_seconds, after.write_seconds, before.writes, after.writes),
        discards=rate(before.discards, after.discards, seconds),
        flushes=rate(before.flushes, after.flushes, seconds),
        flush_latency=_mean(before.flush_seconds, after.flush_seconds, before.flushes, after.flushes),
    )


def _mean(before: float | None, after: float | None, count_before: int | None, count_after: int | None) -> float | None:
    seconds, count = moved(before, after), moved(count_before, count_after)
    return seconds / count if seconds is not None and count else None
