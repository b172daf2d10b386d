"""A cgroup's own limit holds its I/O back: io.max, or by the kernel's own word io.latency and io.cost, of which there is no number."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "IO_CGROUP_THROTTLE",
    "owner",
    "{subject} waits for its own I/O limit.",
    necessary=(
        AnyOf((Condition("wait.cgroup_throttle", 0.15, 0.4), Condition("held.share", 0.3, 0.6))),
        AnyOf((Condition("io.limits", 0, 1, missing=0.8), Condition("wait.cgroup_throttle", 0.3, 0.6))),
    ),
    supporting=(Condition("io.limit_reached", 0.6, 0.9, missing=0.5), Condition("held.share", 0.2, 0.5)),
    explains=frozenset({"cgroup_throttle", "block_io", "writeback", "unclassified", "journal"}),
    causes=frozenset({"DEVICE_SATURATION", "FSYNC_JOURNAL_STALL", "SLOW_DEVICE", "PAGE_CACHE_MISS_STORM", "CACHE_THRASH"}),
    actions=("A05",),
)
