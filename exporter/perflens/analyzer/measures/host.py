"""What the host and its cgroups did in a window, by the counters of procfs, sysfs and the cgroup trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from types import MappingProxyType

from perflens.analysis import HOST, Subject
from perflens.analyzer.readings.cgroup_delta import CgroupDelta
from perflens.analyzer.readings.delta import DiskDelta, HostDelta
from perflens.analyzer.readings.values import CgroupReading, HostReading
from perflens.analyzer.scene import owner_of
from perflens.analyzer.signals import Signal
from perflens.analyzer.totals import Totals

__all__ = ["cpu_culprits", "host_signals"]

_LEAST_CORES = 0.2
_PAGE_KB = 1_024  # pgpgin counts KiB
NO_NAMES: Mapping[str, str] = MappingProxyType({})


def host_signals(
    delta: HostDelta, now: HostReading, totals: Totals, numbers: Mapping[str, str], owners: Mapping[str, str] = NO_NAMES
) -> Iterator[Signal]:
    """Yield the signals. ``totals`` is what the window's requests were, ``numbers`` the devices' names by major:minor.

    ``owners`` has the owner's name by the name of a cgroup's reading, where it is another one: of several of one owner that is told
    which is worst, and the CPUs that they use together.
    """
    for metric, value, unit, text, source in _host(delta, now):
        if value is not None and isfinite(value):
            yield Signal(metric, HOST, value, unit, text, source)
    for resource, pressure in delta.pressure.items():
        text = f"time in which some task waited for {resource}"
        yield Signal(f"pressure.{resource}.some", HOST, pressure.some, "ratio", text, f"/proc/pressure/{resource}")
    for name, disk in delta.disks.items():
        yield from _disk(Subject("device", name), disk)
    found: dict[tuple[str, Subject], Signal] = {}
    for name, own in now.cgroups.items():  # one that is new has no counts yet, but limits, or none
        unit = owners.get(name, name)
        moved = delta.cgroups.get(name)
        limits = _limits(owner_of(unit), own, _rates(totals, unit, delta.seconds), numbers)
        for signal in (*(_cgroup(owner_of(unit), moved, own, delta.seconds) if moved else ()), *limits):
            before = found.get(signal.key)
            found[signal.key] = _together(before, signal) if before else signal
    yield from found.values()


def _together(one: Signal, other: Signal) -> Signal:
    if one.metric == "cpu.cores":
        return replace(one, value=one.value + other.value)
    return max(one, other, key=lambda own: own.value)


def _host(delta: HostDelta, now: HostReading) -> Iterator[tuple[str, float | None, str, str, str]]:
    yield "cpu.busy", delta.cpu.busy, "ratio", "CPU time in use", "/proc/stat"
    yield "cpu.steal", delta.cpu.steal, "ratio", "CPU time taken by the hypervisor", "/proc/stat"
    if now.cpu and now.running is not None:
        yield "cpu.runnable", now.running / max(now.cpu.cpus, 1), "", "runnable threads for each CPU", "/proc/stat"
    rates = delta.vmstat
    read_in, refaults = rates.get("pgpgin"), rates.get("workingset_refault_file", rates.get("workingset_refault"))
    yield "vm.read_in", None if read_in is None else read_in * _PAGE_KB, "B/s", "bytes read from disks", "/proc/vmstat"
    yield "vm.refaults", refaults, "1/s", "pages read again that had been given up", "/proc/vmstat"
    drops = rates.get("drop_pagecache")
    yield (
        "vm.cache_drops",
        None if drops is None else round(drops * delta.seconds),
        "",
        "times that the page cache was dropped",
        "/proc/vmstat",
    )
    yield "vm.major_faults", rates.get("pgmajfault"), "1/s", "faults that had to read", "/proc/vmstat"


def _disk(device: Subject, own: DiskDelta) -> Iterator[Signal]:
    source = "/proc/diskstats"
    if own.utilization is not None:
        yield Signal("device.utilization", device, own.utilization, "ratio", "time with a request in flight", source)
    if own.queue is not None:
        yield Signal("device.queue", device, own.queue, "", "requests in flight in the mean", source)
    if own.flushes is not None:
        yield Signal("device.flushes", device, own.flushes, "1/s", "flushes of its cache", source)
    if own.flush_latency is not None:
        yield Signal("device.flush_latency", device, own.flush_latency, "s", "mean time of a flush", source, counts=False)


def _cgroup(owner: Subject, own: CgroupDelta, now: CgroupReading, seconds: float) -> Iterator[Signal]:
    if own.throttling:
        text = "periods in which its CPU quota had run out"
        yield Signal("cpu.throttled", owner, own.throttling.ratio, "ratio", text, "cgroup: cpu.stat", own.throttling.periods)
        held = own.throttling.seconds_per_second
        yield Signal("cpu.throttled_time", owner, held, "ratio", "time a second that its threads were stopped", "cgroup: cpu.stat")
    if own.cores is not None:
        yield Signal("cpu.cores", owner, own.cores, "", "CPUs in use", "cgroup: cpu usage")
    if own.limit_events is not None:
        text = "times a second that it met its memory limit"
        yield Signal("memory.limit_events", owner, own.limit_events / seconds, "1/s", text, "cgroup: memory.events or failcnt")
    if own.oom_kills:
        yield Signal("memory.oom_kills", owner, own.oom_kills, "", "processes killed for want of memory", "cgroup: memory.events")
    if own.refaults_file is not None:
        text = "pages a second read again that it had given up"
        yield Signal("memory.refaults", owner, own.refaults_file, "1/s", text, "cgroup: memory.stat")
    if (pressure := own.pressure.get("memory")) is not None:
        text = "time in which some of its tasks waited for memory"
        yield Signal("memory.pressure", owner, pressure.some, "ratio", text, "cgroup: memory.pressure")
    if now.memory and now.memory.current is not None and now.limits.memory_limit:
        part = now.memory.current / now.limits.memory_limit
        yield Signal("memory.used", owner, part, "ratio", "part of its memory limit in use", "cgroup: memory")


def _rates(totals: Totals, unit: str, seconds: float) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for key, total in totals.requests.items():
        if key.owner == unit and key.operation in ("read", "write"):
            for what, value in ((f"{key.operation[0]}bps", total.bytes), (f"{key.operation[0]}iops", total.number)):
                found[key.device, what] = found.get((key.device, what), 0.0) + value / seconds
    return found


def _limits(owner: Subject, now: CgroupReading, rates: Mapping[tuple[str, str], float], numbers: Mapping[str, str]) -> Iterator[Signal]:
    limits = now.limits.io_limits
    number = sum(map(len, limits.values()))
    yield Signal("io.limits", owner, number, "", "I/O limits that bind it", "cgroup: io.max or blkio.throttle")
    reached = [
        rates.get((numbers.get(at, at), what), 0.0) / own.value for at, each in limits.items() for what, own in each.items() if own.value
    ]
    if reached:
        yield Signal("io.limit_reached", owner, max(reached), "ratio", "part of its I/O limit that it reaches", "perflens: block requests")


def cpu_culprits(
    delta: HostDelta, now: HostReading, owners: Mapping[str, str] = NO_NAMES
) -> Mapping[tuple[str, Subject], Sequence[Subject]]:
    """Return the owners that used most of the CPUs' time, the first one most. A cgroup above others has their time as well, and is none.

    ``owners`` is as above.
    """
    paths = {name: own.path.rstrip("/") for name, own in now.cgroups.items()}
    above = {name for name, path in paths.items() if any(other.startswith(f"{path}/") for other in paths.values())}
    known: dict[str, float] = {}
    for name, own in delta.cgroups.items():
        if own.cores is not None and name not in above:
            unit = owners.get(name, name)
            known[unit] = known.get(unit, 0.0) + own.cores
    cores = {unit: used for unit, used in known.items() if used >= _LEAST_CORES}
    ranked = sorted(cores, key=lambda unit: cores[unit], reverse=True)
    return {("cpu", HOST): tuple(map(owner_of, ranked[:3]))}
