"""One cgroup with what binds it from above, on v1, v2 and hybrid hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Protocol, TypeVar

from perflens.analyzer.readings.cgroup_v1 import V1Blkio, V1Cpu, V1Memory, v1_usage
from perflens.analyzer.readings.cgroup_v2 import CpuStat, V2Tree
from perflens.analyzer.readings.files import read
from perflens.analyzer.readings.hierarchies import CgroupPaths, Hierarchies, find_paths
from perflens.analyzer.readings.proc import parse_pressure
from perflens.analyzer.readings.values import (
    RESOURCES,
    CgroupCpu,
    CgroupMemory,
    CgroupReading,
    IoLimit,
    Limits,
    MemoryEvents,
    Pressure,
    Resource,
    Throttling,
)

__all__ = ["CgroupReader", "upwards"]

_T = TypeVar("_T", int, float)
_DEPTH_MAX = 32  # ancestors that are looked at


class _CpuTree(Protocol):
    def quota(self, path: str) -> float | None: ...
    def cpu(self, path: str) -> CpuStat | None: ...


class _MemoryTree(Protocol):
    def memory_limit(self, path: str) -> int | None: ...
    def memory(self, path: str) -> CgroupMemory | None: ...
    def limit_events(self, path: str) -> int | None: ...


class _IoTree(Protocol):
    is_inherited: bool

    def io_limits(self, path: str) -> dict[str, dict[str, int]]: ...


def upwards(path: str) -> Iterator[str]:
    """Yield a clean path and those of its ancestors, the root ``/`` last: in a cgroup namespace it is no root and has limits."""
    for _ in range(_DEPTH_MAX):
        if path in ("/", ""):
            break
        yield path
        path = path[: path.rfind("/")]
    yield "/"


class CgroupReader:
    """What one reading needs: each file of an ancestor is read once, so it is made anew for every reading."""

    def __init__(self, procfs: str, hierarchies: Hierarchies) -> None:
        self._procfs, self._hierarchies = procfs, hierarchies
        v2 = V2Tree(hierarchies.unified)
        cpu: _CpuTree = V1Cpu(hierarchies.cpu) if hierarchies.cpu else v2
        memory: _MemoryTree = V1Memory(hierarchies.memory) if hierarchies.memory else v2
        io: _IoTree = V1Blkio(hierarchies.blkio) if hierarchies.blkio else v2
        self._memory, self._is_io_inherited = memory, io.is_inherited
        self._quota, self._memory_limit, self._io_limits = cache(cpu.quota), cache(memory.memory_limit), cache(io.io_limits)
        self._cpu, self._limit_events = cache(cpu.cpu), cache(memory.limit_events)

    def limits(self, path: str) -> Limits | None:
        """Return what binds the cgroup at a clean path of the owner's hierarchy, None when it is gone."""
        limits = self._limits(self._paths(path))
        return limits if self._exists(path) else None

    def reading(self, path: str) -> CgroupReading | None:
        """Return the cgroup at a clean path of the owner's hierarchy, None when it is gone."""
        paths = self._paths(path)
        found = CgroupReading(path, self._cpu_of(paths), self._memory_of(path), self._limits(paths), dict(self._pressure(paths)))
        return found if self._exists(path) else None  # asked last: what was read of it is whole then

    def _paths(self, path: str) -> CgroupPaths:
        paths = find_paths(self._procfs, self._hierarchies, path)
        # controllers without a v1 hierarchy are those of the v2 tree
        cpu = paths.cpu if self._hierarchies.cpu else paths.unified
        return paths._replace(cpu=cpu, blkio=paths.blkio if self._hierarchies.blkio else paths.unified)

    def _exists(self, path: str) -> bool:
        with suppress(OSError, ValueError):
            return bool(self._hierarchies.owner) and os.access(f"{self._hierarchies.owner}{path}", os.F_OK)
        return False

    def _cpu_of(self, paths: CgroupPaths) -> CgroupCpu | None:
        own, usage = self._cpu(paths.cpu), self._usage(paths)
        if own is None and usage is None:
            return None
        levels = []
        for level in upwards(paths.cpu):
            if (level == paths.cpu or self._quota(level) is not None) and (stat := self._cpu(level)):
                levels.append(Throttling(level, stat.periods, stat.throttled, stat.throttled_seconds))
        if own is None:
            return CgroupCpu(usage, levels=tuple(levels))
        return CgroupCpu(usage, own.periods, own.throttled, own.throttled_seconds, tuple(levels))

    def _usage(self, paths: CgroupPaths) -> float | None:
        """Its CPU time. Where its processes are in a cgroup of another path, that one has those of others too."""
        if self._hierarchies.cpuacct:
            return v1_usage(self._hierarchies.cpuacct, paths.own) if paths.cpuacct == paths.own else None
        stat = V2Tree(self._hierarchies.unified).cpu(paths.own) if self._hierarchies.cpu else self._cpu(paths.own)
        return stat.usage_seconds if stat and paths.unified == paths.own else None

    def _memory_of(self, path: str) -> CgroupMemory | None:
        found = self._memory.memory(path)
        if found is None:
            return None
        levels = []
        for level in upwards(path):
            if self._memory_limit(level) is not None and (events := self._limit_events(level)) is not None:
                levels.append(MemoryEvents(level, events))
        return replace(found, levels=tuple(levels))

    def _limits(self, paths: CgroupPaths) -> Limits:
        quota, quota_at = _least(self._quota, paths.cpu)
        memory, memory_at = _least(self._memory_limit, paths.own)
        return Limits(quota, quota_at, memory, memory_at, self._io_limits_of(paths.blkio))

    def _io_limits_of(self, path: str) -> dict[str, dict[str, IoLimit]]:
        found: dict[str, dict[str, IoLimit]] = {}
        for level in upwards(path) if self._is_io_inherited else (path,):
            for device, limits in self._io_limits(level).items():
                own = found.setdefault(device, {})
                for key, value in limits.items():
                    if key not in own or value < own[key].value:
                        own[key] = IoLimit(value, level)
        return found

    def _pressure(self, paths: CgroupPaths) -> Iterator[tuple[Resource, Pressure]]:
        if self._hierarchies.unified and paths.unified == paths.own:
            for resource in RESOURCES:
                if pressure := parse_pressure(read(f"{self._hierarchies.unified}{paths.own}/{resource}.pressure") or b""):
                    yield resource, pressure


def _least(limit: Callable[[str], _T | None], path: str) -> tuple[_T | None, str]:
    """The least limit on the way to the root and the path that sets it, the nearest of equal ones."""
    least: _T | None = None
    at = ""
    for level in upwards(path):
        if (value := limit(level)) is not None and (least is None or value < least):
            least, at = value, level
    return least, at
