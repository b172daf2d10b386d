"""The values of one reading. Counters count since boot, or since their disk or cgroup came; None is what the kernel does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

__all__ = [
    "NO_LIMITS",
    "RESOURCES",
    "CgroupCpu",
    "CgroupMemory",
    "CgroupReading",
    "CpuTimes",
    "DiskReading",
    "HostReading",
    "IoLimit",
    "Limits",
    "Load",
    "MemoryEvents",
    "Pressure",
    "Resource",
    "Throttling",
]

Resource = Literal["cpu", "io", "memory"]
RESOURCES: tuple[Resource, ...] = ("cpu", "io", "memory")


class Pressure(NamedTuple):
    """How long some task, and all tasks at once, waited for a resource, in us (Documentation/accounting/psi.rst).

    ``full_us`` is 0 where the kernel has no such line: that of the CPU, before 5.13.
    """

    some_us: int
    full_us: int


class CpuTimes(NamedTuple):
    """Seconds of all CPUs together; ``busy`` has the interrupts. ``idle`` and ``iowait`` may go backwards by a little."""

    busy: float
    idle: float
    iowait: float
    steal: float
    cpus: int


class Load(NamedTuple):
    """The load averages of 1, 5 and 15 minutes, and how many threads are runnable of how many."""

    one: float
    five: float
    fifteen: float
    runnable: int
    threads: int


class DiskReading(NamedTuple):
    """A line of /proc/diskstats (Documentation/admin-guide/iostats.rst); times in s, and of the requests that are done.

    ``busy_seconds`` is the time with a request in flight, ``weighted_seconds`` the time of all that were in flight, each for itself.
    ``discards`` is None before 4.18, ``flushes`` and their time before 5.5.
    """

    reads: int
    read_bytes: int
    read_seconds: float
    writes: int
    write_bytes: int
    write_seconds: float
    in_flight: int
    busy_seconds: float
    weighted_seconds: float
    discards: int | None = None
    flushes: int | None = None
    flush_seconds: float | None = None


class Throttling(NamedTuple):
    """How often the quota of the cgroup at ``path`` was enforced and had run out. ``throttled_seconds`` is the sum over CPUs."""

    path: str
    periods: int
    throttled: int
    throttled_seconds: float


class MemoryEvents(NamedTuple):
    """How often the limit of the cgroup at ``path`` itself was met."""

    path: str
    events: int


class IoLimit(NamedTuple):
    """A limit in bytes/s or operations/s, and the path of the cgroup that sets it."""

    value: int
    path: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The tightest limits that bind a cgroup, its own or an ancestor's, with the path that sets each (empty where nothing does).

    ``quota`` is in cores, ``memory_limit`` in bytes: on v2 the lesser of memory.max and memory.high. ``io_limits`` is by the number
    of the device as ``major:minor`` and by ``rbps``, ``wbps``, ``riops`` or ``wiops``. A path is one of the controller's own hierarchy.
    """

    quota: float | None = None
    quota_at: str = ""
    memory_limit: int | None = None
    memory_limit_at: str = ""
    io_limits: Mapping[str, Mapping[str, IoLimit]] = field(default_factory=dict)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class CgroupCpu:
    """CPU of one cgroup, with its own counters of throttling; ``levels`` has those of itself, first, and of each ancestor with a quota.

    ``usage_seconds`` is None where its processes share a CPU cgroup with others.
    """

    usage_seconds: float | None
    periods: int = 0
    throttled: int = 0
    throttled_seconds: float = 0.0
    levels: tuple[Throttling, ...] = ()


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """Memory of one cgroup: ``current`` in bytes, how often a limit was met (v2: ``max`` and ``high``, v1: failcnt), and page refaults.

    ``limit_events`` counts on v2 what happened to cgroups below as well. ``levels`` has itself and each ancestor with a limit.
    """

    current: int | None
    limit_events: int | None = None
    oom_kills: int | None = None
    refaults_file: int | None = None
    refaults_anon: int | None = None
    levels: tuple[MemoryEvents, ...] = ()


@dataclass(frozen=True, slots=True)
class CgroupReading:
    """One cgroup. ``path`` is that of the owner's hierarchy; ``pressure`` has what its v2 cgroup tells, none for a shared one."""

    path: str
    cpu: CgroupCpu | None = None
    memory: CgroupMemory | None = None
    limits: Limits = NO_LIMITS
    pressure: Mapping[Resource, Pressure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostReading:
    """Everything at one time, in ns of CLOCK_MONOTONIC. ``cgroups`` is by the caller's names, ``disks`` has partitions too.

    ``vmstat`` has the keys of ``proc.VMSTAT`` that the kernel knows, ``meminfo`` is in bytes; ``running`` are the runnable threads,
    ``blocked`` those in wait for I/O, ``forks`` the processes and threads made since boot.
    """

    time_ns: int
    cpu: CpuTimes | None = None
    running: int | None = None
    blocked: int | None = None
    forks: int | None = None
    load: Load | None = None
    pressure: Mapping[Resource, Pressure] = field(default_factory=dict)
    vmstat: Mapping[str, int] = field(default_factory=dict)
    meminfo: Mapping[str, int] = field(default_factory=dict)
    disks: Mapping[str, DiskReading] = field(default_factory=dict)
    cgroups: Mapping[str, CgroupReading] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()
