"""What the analyzer is compared with: blame whatever moved most, as an N-sigma detector does. It sees the same facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["CODES", "loudest"]

CODES: Mapping[str, str] = {
    "cpu.busy": "RUNQ_SATURATION",
    "cpu.runnable": "RUNQ_SATURATION",
    "cpu.throttled": "CGROUP_CPU_THROTTLE",
    "device.flush": "FSYNC_JOURNAL_STALL",
    "device.latency": "SLOW_DEVICE",
    "device.queue": "DEVICE_SATURATION",
    "device.requests": "DEVICE_SATURATION",
    "device.throughput": "DEVICE_SATURATION",
    "device.utilization": "DEVICE_SATURATION",
    "device.wait.sync": "FSYNC_JOURNAL_STALL",
    "io.limit": "IO_CGROUP_THROTTLE",
    "memory.": "MEMCG_LIMIT",
    "pressure.cpu": "RUNQ_SATURATION",
    "pressure.io": "DEVICE_SATURATION",
    "pressure.memory": "MEMCG_LIMIT",
    "process.starts": "FORK_EXEC_STORM",
    "reads.buffered": "PAGE_CACHE_MISS_STORM",
    "vm.refaults": "PAGE_CACHE_MISS_STORM",
    "wait.cgroup_throttle": "IO_CGROUP_THROTTLE",
    "wait.memory": "MEMCG_LIMIT",
    "wait.runqueue": "RUNQ_SATURATION",
    "wait.sync": "FSYNC_JOURNAL_STALL",
}
"""The cause that a metric speaks for, by the begin of its name."""

_FLOORS = {"ratio": 0.01, "s": 0.001, "1/s": 1.0}
"""What a baseline is at least, by unit: anything is many times nothing."""


def loudest(facts: Iterable[Mapping[str, Any]]) -> str:
    """Return the code of the fact that is the most times its baseline; empty when none is more than it."""
    best, code = 1.0, ""
    for fact in facts:
        spoken = next((CODES[name] for name in CODES if fact["metric"].startswith(name)), "")
        times = fact["value"] / max(fact["baseline"] or 0.0, _FLOORS.get(fact["unit"], 1.0))
        if spoken and times > best:
            best, code = times, spoken
    return code
