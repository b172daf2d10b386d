"""A cgroup is at its memory limit, and waits for its own pages to be reclaimed."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "MEMCG_LIMIT",
    "owner",
    "{subject} is at its memory limit and waits for memory to be reclaimed.",
    necessary=(
        Condition("memory.limit_events", 0.2, 2),
        AnyOf((Condition("wait.memory", 0.1, 0.25), Condition("memory.oom_kills", 0, 1), Condition("memory.pressure", 0.05, 0.2))),
    ),
    supporting=(Condition("memory.used", 0.85, 0.95, missing=0.5), Condition("memory.refaults", 50, 500, missing=0.5)),
    explains=frozenset({"reclaim", "memcg_high", "swapin", "block_io", "writeback", "unclassified", "runqueue"}),
    causes=frozenset({"CACHE_THRASH", "PAGE_CACHE_MISS_STORM", "DEVICE_SATURATION"}),
    actions=("A10",),
)
