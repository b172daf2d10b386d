"""What a cgroup reads does not fit into its memory limit: pages are read, given up and read again."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "CACHE_THRASH",
    "owner",
    "{subject} reads pages again that its memory limit had made it give up.",
    necessary=(
        Condition("memory.limit_events", 0.2, 2),
        AnyOf((Condition("memory.refaults", 100, 500), Condition("memory.refaults", 5, 10, of="ratio", least=50))),
        Condition("wait.block_io", 0.2, 0.4),
    ),
    supporting=(Condition("memory.used", 0.85, 0.95, missing=0.5), Condition("pressure.memory.some", 0.02, 0.1, role="host")),
    explains=frozenset({"block_io", "reclaim", "unclassified", "swapin", "runqueue"}),
    causes=frozenset({"PAGE_CACHE_MISS_STORM", "DEVICE_SATURATION"}),
    actions=("A10",),
)
