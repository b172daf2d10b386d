"""The files of a cgroup of the v2 tree (Documentation/admin-guide/cgroup-v2.rst). Paths are from the root down, as ``/a/b``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from perflens.analyzer.readings.files import number, pairs, read, whole
from perflens.analyzer.readings.values import CgroupMemory

__all__ = ["LIMIT_KEYS", "CpuStat", "V2Tree", "parse_cpu_max", "parse_cpu_stat", "parse_io_max", "refaults"]

LIMIT_KEYS = ("rbps", "wbps", "riops", "wiops")
_MICRO = 1e-6


class CpuStat(NamedTuple):
    """cpu.stat: how often the quota was enforced and had run out, and times in s; ``usage_seconds`` is None on v1."""

    periods: int
    throttled: int
    throttled_seconds: float
    usage_seconds: float | None


def parse_cpu_max(text: bytes) -> float | None:
    """Return the quota of ``max 100000`` or ``150000 100000`` in cores, None without one."""
    numbers = [whole(word) for word in text.split()]
    if len(numbers) != 2 or numbers[0] is None or not numbers[1]:
        return None
    return numbers[0] / numbers[1]


def parse_cpu_stat(text: bytes) -> CpuStat | None:
    """Parse cpu.stat; None without ``usage_usec``, which it always has. A cgroup without the controller has no throttling: zeros."""
    found = dict(pairs(text))
    usage = found.get(b"usage_usec")
    if usage is None:
        return None
    seconds = found.get(b"throttled_usec", 0) * _MICRO
    return CpuStat(found.get(b"nr_periods", 0), found.get(b"nr_throttled", 0), seconds, usage * _MICRO)


def parse_io_max(text: bytes) -> dict[str, dict[str, int]]:
    """Parse io.max: ``8:16 rbps=2097152 wbps=max riops=max wiops=120``, a line a device; what has no limit is left out."""
    found = {}
    for line in text.splitlines():
        device, *words = line.split()[:8] or (b"",)
        limits = {}
        for word in words:
            key, _, number = os.fsdecode(word).partition("=")
            value = whole(number.encode("ascii", "replace"))
            if key in LIMIT_KEYS and value is not None:
                limits[key] = value
        if limits and device.replace(b":", b"", 1).isdigit() and b":" in device:
            found[os.fsdecode(device)] = limits
    return found


def refaults(stat: bytes, prefix: bytes = b"") -> tuple[int | None, int | None]:
    """Return the refaults of file pages and of anonymous ones that memory.stat tells; before 5.9 one number has both."""
    file = number(stat, prefix + b"workingset_refault_file")
    return number(stat, prefix + b"workingset_refault") if file is None else file, number(stat, prefix + b"workingset_refault_anon")


class V2Tree:
    """The v2 tree at a mount point. It serves each of the controllers; without a point it has no files."""

    is_inherited: bool = True
    """Whether an ancestor's I/O limits bind a cgroup."""

    def __init__(self, point: str) -> None:
        self.point = point

    def quota(self, path: str) -> float | None:
        """Return the CPU quota of this cgroup alone in cores, None without one."""
        return parse_cpu_max(self._read(path, "cpu.max"))

    def cpu(self, path: str) -> CpuStat | None:
        """Return its counters of CPU."""
        return parse_cpu_stat(self._read(path, "cpu.stat"))

    def memory_limit(self, path: str) -> int | None:
        """Return the memory limit of this cgroup alone in bytes: the lesser of the hard one and the one it is throttled at."""
        limits = (whole(self._read(path, name).strip()) for name in ("memory.max", "memory.high"))
        return min((limit for limit in limits if limit is not None), default=None)

    def memory(self, path: str) -> CgroupMemory | None:
        """Return its memory, without levels; None where the controller is off."""
        current = whole(self._read(path, "memory.current").strip())
        if current is None:
            return None
        events = dict(pairs(self._read(path, "memory.events")))
        file, anon = refaults(self._read(path, "memory.stat"))
        return CgroupMemory(current, _met(events), events.get(b"oom_kill"), file, anon)

    def limit_events(self, path: str) -> int | None:
        """Return how often its own limit was met, by what is below it too; before 5.2 also how often limits below it were."""
        local = self._read(path, "memory.events.local")
        return _met(dict(pairs(local or self._read(path, "memory.events"))))

    def io_limits(self, path: str) -> dict[str, dict[str, int]]:
        """Return the I/O limits of this cgroup alone by device and by kind."""
        return parse_io_max(self._read(path, "io.max"))

    def _read(self, path: str, name: str) -> bytes:
        return read(f"{self.point}{path}/{name}") or b"" if self.point else b""


def _met(events: Mapping[bytes, int]) -> int | None:
    return events[b"max"] + events.get(b"high", 0) if b"max" in events else None
