"""The files of a cgroup of the v1 hierarchies (Documentation/admin-guide/cgroup-v1, and scheduler/sched-bwc.rst)."""

from __future__ import annotations

import os

from perflens.analyzer.readings.cgroup_v2 import LIMIT_KEYS, CpuStat, refaults
from perflens.analyzer.readings.files import pairs, read, whole
from perflens.analyzer.readings.values import CgroupMemory

__all__ = ["V1Blkio", "V1Cpu", "V1Memory", "parse_throttle_device", "v1_usage"]

_NANO = 1e-9
_UNLIMITED = 1 << 60  # bytes; no limit is the largest multiple of a page in 63 bits
_FILES = ("read_bps", "write_bps", "read_iops", "write_iops")  # as LIMIT_KEYS


def parse_throttle_device(text: bytes) -> dict[str, int]:
    """Parse one of blkio.throttle.*_device: ``8:16 1048576``, a line a device that has a limit."""
    return {os.fsdecode(device): value for device, value in pairs(text) if b":" in device and device.replace(b":", b"", 1).isdigit()}


class V1Cpu:
    """The cpu controller at a mount point."""

    def __init__(self, point: str) -> None:
        self._point = point

    def quota(self, path: str) -> float | None:
        """Return the CPU quota of this cgroup alone in cores, None without one: it is -1 then."""
        quota = whole(_read(self._point, path, "cpu.cfs_quota_us").strip())
        period = whole(_read(self._point, path, "cpu.cfs_period_us").strip()) if quota is not None else None
        return quota / period if quota is not None and period else None

    def cpu(self, path: str) -> CpuStat | None:
        """Return its counters of throttling."""
        found = dict(pairs(_read(self._point, path, "cpu.stat")))
        if b"nr_periods" not in found:
            return None
        return CpuStat(found[b"nr_periods"], found.get(b"nr_throttled", 0), found.get(b"throttled_time", 0) * _NANO, None)


class V1Memory:
    """The memory controller at a mount point. Limits of ancestors are taken to bind, as they do since 5.11 and wherever systemd runs."""

    def __init__(self, point: str) -> None:
        self._point = point

    def memory_limit(self, path: str) -> int | None:
        """Return the memory limit of this cgroup alone in bytes, None without one."""
        limit = whole(_read(self._point, path, "memory.limit_in_bytes").strip())
        return limit if limit is not None and limit < _UNLIMITED else None

    def memory(self, path: str) -> CgroupMemory | None:
        """Return its memory with what is below it, without levels."""
        current = whole(_read(self._point, path, "memory.usage_in_bytes").strip())
        if current is None:
            return None
        kills = dict(pairs(_read(self._point, path, "memory.oom_control"))).get(b"oom_kill")
        file, anon = refaults(_read(self._point, path, "memory.stat"), b"total_")
        return CgroupMemory(current, self.limit_events(path), kills, file, anon)

    def limit_events(self, path: str) -> int | None:
        """Return how often its own limit was met, by what is below it too."""
        return whole(_read(self._point, path, "memory.failcnt").strip())


class V1Blkio:
    """The blkio controller at a mount point."""

    is_inherited: bool = False  # "throttling's hierarchy support is enabled iff sane_behavior is": blkio-controller.rst

    def __init__(self, point: str) -> None:
        self._point = point

    def io_limits(self, path: str) -> dict[str, dict[str, int]]:
        """Return the I/O limits of this cgroup alone by device and by kind."""
        found: dict[str, dict[str, int]] = {}
        for key, name in zip(LIMIT_KEYS, _FILES, strict=True):
            for device, value in parse_throttle_device(_read(self._point, path, f"blkio.throttle.{name}_device")).items():
                found.setdefault(device, {})[key] = value
        return found


def v1_usage(point: str, path: str) -> float | None:
    """Return the CPU time of a cgroup of the cpuacct controller, in s."""
    usage = whole(_read(point, path, "cpuacct.usage").strip())
    return None if usage is None else usage * _NANO


def _read(point: str, path: str, name: str) -> bytes:
    return read(f"{point}{path}/{name}") or b""
