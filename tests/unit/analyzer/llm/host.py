"""A host that has trouble now and then: windows as the agent makes them, with the measures of the real sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType

from perflens.analysis import HOST, Subject
from perflens.analyzer.changes import Changes, Program
from perflens.analyzer.measures.host import cpu_culprits, host_signals
from perflens.analyzer.measures.starts import start_signals
from perflens.analyzer.readings.cgroup_delta import CgroupDelta, ThrottlingDelta
from perflens.analyzer.readings.delta import CpuDelta, DiskDelta, HostDelta
from perflens.analyzer.readings.rates import PressureRatio
from perflens.analyzer.readings.values import CgroupMemory, CgroupReading, CpuTimes, HostReading, IoLimit, Limits
from perflens.analyzer.signals import Signal
from perflens.analyzer.totals import OperationKey, OperationTotal, RequestKey, RequestTotal, Totals
from perflens.analyzer.window import Window
from perflens.model import Evidence, Owner, ProcessKey
from tests.evidence import SECOND, evidence

__all__ = ["TROUBLES", "Host", "Trouble", "together"]

_WINDOW = 20
_CPUS = 8
_MIB = 1 << 20
_OWNERS = ("postgresql.service", "backup.timer", "kafka-0.orders.svc", "nginx.service", "tenant-4711.slice", "cron.service")
_DISKS = ("nvme0n1", "sdb", "dm-3")
_SHELL = ProcessKey(4_242, 1)
_STEADY: Mapping[str, float] = MappingProxyType(
    {
        "busy": 0.25, "runnable": 4, "io": 0.02, "cpu": 0.03, "memory": 0.001,
        "pgpgin": 4_000, "refaults": 4, "drops": 0, "majfaults": 2, "starts": 8,
        "utilization": 0.08, "queue": 0.1, "flushes": 6, "flush_latency": 0.002,
        "requests": 200, "latency": 0.000_6, "queue_time": 0.000_05, "share": 0.1,
        "throttled": 0, "throttled_time": 0, "limit_events": 0, "own_refaults": 1, "used": 0.5, "own_pressure": 0, "limited": 0,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Trouble:
    """What is not as usual: parts of the slow time by reason, slow seconds a second, numbers that differ from the steady ones.

    ``held`` is the part of the slow time in which the victim's requests were held back.
    """

    waits: Mapping[str, float]
    slow: float
    moved: Mapping[str, float] = field(default_factory=dict)
    held: float = 0.0
    victims: int = 1


_FULL: Mapping[str, float] = {"io": 0.6, "utilization": 0.99, "queue": 14, "requests": 3_000, "latency": 0.006, "queue_time": 0.004}
TROUBLES: Mapping[str, Trouble] = MappingProxyType(
    {
        "DEVICE_SATURATION": Trouble({"block_io": 0.95, "runqueue": 0.05}, 0.8, {**_FULL, "share": 0.05}),
        "NOISY_NEIGHBOUR_IO": Trouble({"block_io": 0.9, "runqueue": 0.1}, 1.2, {**_FULL, "share": 0.9}, victims=2),
        "SLOW_DEVICE": Trouble(
            {"block_io": 1.0}, 0.6, {"io": 0.5, "utilization": 0.7, "queue": 0.9, "latency": 0.03, "queue_time": 0, "requests": 150}
        ),
        "IO_CGROUP_THROTTLE": Trouble({"cgroup_throttle": 0.9, "block_io": 0.1}, 0.7, {"limited": 1, "requests": 50}, held=0.95),
        "FSYNC_JOURNAL_STALL": Trouble(
            {"journal": 0.6, "flush": 0.3, "block_io": 0.1}, 1.0, {"flushes": 300, "flush_latency": 0.012, "utilization": 0.5}
        ),
        "PAGE_CACHE_MISS_STORM": Trouble({"block_io": 0.9, "on_cpu": 0.1}, 0.5, {"drops": 8, "pgpgin": 400_000, "majfaults": 90}),
        "MEMCG_LIMIT": Trouble(
            {"reclaim": 0.6, "block_io": 0.3, "runqueue": 0.1},
            0.4,
            {"limit_events": 40, "own_refaults": 900, "used": 1.0, "own_pressure": 0.4, "memory": 0.2},
        ),
        "CACHE_THRASH": Trouble(
            {"block_io": 0.95, "reclaim": 0.05}, 0.5, {"limit_events": 40, "own_refaults": 4_000, "refaults": 4_000, "used": 1.0}
        ),
        "CGROUP_CPU_THROTTLE": Trouble({"runqueue": 0.8, "on_cpu": 0.2}, 0.3, {"throttled": 0.8, "throttled_time": 0.9}),
        "RUNQ_SATURATION": Trouble({"runqueue": 0.8, "on_cpu": 0.2}, 1.5, {"busy": 0.99, "runnable": 40, "cpu": 0.8}, victims=3),
        "FORK_EXEC_STORM": Trouble({"runqueue": 0.8, "on_cpu": 0.2}, 0.6, {"busy": 0.97, "starts": 3_000, "cpu": 0.7, "runnable": 20}),
    }
)
"""By the cause that the rules tell of each."""


def together(one: Trouble, other: Trouble, victims: int) -> Trouble:
    """Two at the same time, from which so many suffer."""
    waits = {reason: (one.waits.get(reason, 0) + other.waits.get(reason, 0)) / 2 for reason in {**one.waits, **other.waits}}
    return Trouble(waits, one.slow + other.slow, {**other.moved, **one.moved}, max(one.held, other.held), victims)


class Host:
    """Makes the window that ends at a time, with a trouble or without one. Numbers differ from one window to the next, as real ones do."""

    def __init__(self, seed: int, spread: float = 0.25) -> None:
        self._random, self._spread = Random(seed), spread
        self._changes = Changes(lambda text: text)

    def change(self, at: int) -> None:
        """Somebody installs something at a time in s."""
        number = self._random.randrange(100)
        self._changes.programs([Program(owner, f"/opt/release-{number}/bin/{name}") for owner in _OWNERS[:2] for name in "ab"], at * SECOND)

    def window(self, at: int, trouble: Trouble | None = None, place: int = 0) -> Window:
        """Return the window that ends at ``at`` (s since the epoch); ``place`` says who suffers, and on which disk."""
        now = {name: self._noisy(value) for name, value in {**_STEADY, **(trouble.moved if trouble else {})}.items()}
        for name in ("busy", "utilization", "io", "cpu", "memory", "share", "throttled", "used", "own_pressure"):
            now[name] = min(now[name], 1.0)
        victims = [_OWNERS[(place + number) % 4] for number in range(trouble.victims if trouble else 0)]
        disk, victim, other = _DISKS[place % 3], _OWNERS[place % 4], _OWNERS[4]
        events = [own for who in victims for own in self._events(who, disk, trouble)] if trouble else []
        slow = self._noisy(trouble.slow) if trouble else 0.0
        totals = self._totals(now, disk, victim, other, {who: slow / (1 + number) for number, who in enumerate(victims)}, trouble)
        moved, reading = self._moved(now, disk, victims), self._reading(now, victims)
        host = [*host_signals(moved, reading, totals, {"259:0": disk}), *_starts(int(now["starts"] * _WINDOW))]
        return Window(
            (at - _WINDOW) * SECOND,
            at * SECOND,
            totals,
            events,
            host,
            self._changes.signals((at - _WINDOW) * SECOND),
            {**cpu_culprits(moved, reading), ("parent", HOST): (Subject("process", "sh[4242]"),)},
            [slow] * _WINDOW,
            [0.0] * 100,
            ("no CPU time of 2 of 6 cgroups",),
        )

    def _noisy(self, value: float) -> float:
        return value * self._random.lognormvariate(0, self._spread)

    def _events(self, victim: str, disk: str, trouble: Trouble) -> Iterator[Evidence]:
        for _ in range(20):
            duration = int(self._noisy(0.15) * SECOND)
            own = evidence(duration=duration, end=900 * SECOND)
            waits = {reason: int(part * duration) for reason, part in trouble.waits.items() if reason not in ("runqueue", "on_cpu")}
            cpu = {reason: int(part * duration) for reason, part in trouble.waits.items() if reason not in waits}
            runqueue, on_cpu = cpu.get("runqueue", 0), cpu.get("on_cpu", 0)
            event = replace(own.event, blocked=waits, on_cpu=on_cpu, runqueue=runqueue, unattributed=0, requests=())
            yield replace(own, event=event, owner=Owner(7, victim, victim), devices=(disk,), kernel_stack=("filemap_read+0x1",))

    def _totals(
        self, now: Mapping[str, float], disk: str, victim: str, other: str, slow: Mapping[str, float], trouble: Trouble | None
    ) -> Totals:
        operations = {OperationKey("read", owner): OperationTotal(4_000, int(self._noisy(0.4) * SECOND), 0, 0) for owner in _OWNERS}
        for who, seconds in slow.items():
            took = int(seconds * _WINDOW * SECOND)
            operations[OperationKey("read", who)] = OperationTotal(4_000, took + SECOND // 2, max(1, took // (SECOND // 7)), took)
        requests = {
            RequestKey("read", name, owner): self._requests(_STEADY, part)
            for name in _DISKS
            for owner, part in ((victim, 1 - _STEADY["share"]), (other, _STEADY["share"]))
        }
        if trouble:
            own, held = self._requests(now, 1 - now["share"]), int(sum(slow.values()) * _WINDOW * SECOND * trouble.held)
            requests[RequestKey("read", disk, victim)] = own._replace(held=held)
            requests[RequestKey("read", disk, other)] = self._requests(now, now["share"])
        return Totals(_WINDOW * SECOND, operations, requests, {})

    def _requests(self, now: Mapping[str, float], part: float) -> RequestTotal:
        number = int(self._noisy(now["requests"]) * _WINDOW * part) + 1
        times = (int(number * self._noisy(now[name]) * SECOND) for name in ("queue_time", "latency"))
        return RequestTotal(number, number * 16_384, 0, *times)

    def _moved(self, now: Mapping[str, float], disk: str, victims: Collection[str]) -> HostDelta:
        pressure = {name: PressureRatio(now[name], now[name] / 2) for name in ("io", "cpu", "memory")}
        vmstat = {"pgpgin": now["pgpgin"], "workingset_refault_file": now["refaults"], "pgmajfault": now["majfaults"]}
        vmstat["drop_pagecache"] = now["drops"] / _WINDOW
        disks = {name: DiskDelta(self._noisy(0.05), self._noisy(0.05), flushes=self._noisy(3)) for name in _DISKS}
        disks[disk] = DiskDelta(now["utilization"], now["queue"], flushes=now["flushes"], flush_latency=now["flush_latency"])
        cgroups = {owner: self._cgroup(owner, now if owner in victims else _STEADY) for owner in _OWNERS}
        return HostDelta(float(_WINDOW), CpuDelta(now["busy"], 0.02, 0.0), 50, pressure, vmstat, disks, cgroups)  # type: ignore[arg-type]

    def _cgroup(self, owner: str, now: Mapping[str, float]) -> CgroupDelta:
        throttling = ThrottlingDelta(f"/{owner}", 200, int(200 * now["throttled"]), now["throttled"], now["throttled_time"])
        memory = {"memory": PressureRatio(now["own_pressure"], 0.0)}
        events = int(now["limit_events"] * _WINDOW)
        return CgroupDelta(throttling, self._noisy(0.4), events, f"/{owner}", 0, now["own_refaults"], 0.0, memory)  # type: ignore[arg-type]

    def _reading(self, now: Mapping[str, float], victims: Collection[str]) -> HostReading:
        cgroups = {}
        for owner in _OWNERS:
            limit = {"259:0": {"rbps": IoLimit(2 * _MIB, f"/{owner}")}} if owner in victims and now["limited"] else {}
            limits = Limits(2.0, f"/{owner}", 512 * _MIB, f"/{owner}", limit)
            used = int(512 * _MIB * (now["used"] if owner in victims else 0.4))
            cgroups[owner] = CgroupReading(f"/{owner}", memory=CgroupMemory(used), limits=limits)
        return HostReading(0, CpuTimes(0, 0, 0, 0, _CPUS), running=int(now["runnable"]), cgroups=cgroups)


def _starts(number: int) -> Iterator[Signal]:
    yield from start_signals(number, float(_WINDOW), _CPUS, Counter({_SHELL: number}), {}, {_SHELL: "sh[4242]"})
