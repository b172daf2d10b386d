"""A disk takes longer for each request, though no more is asked of it."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AllOf, AnyOf, Condition

CAUSE = Cause(
    "SLOW_DEVICE",
    "device",
    "{subject} takes longer for each request than usual, under no more load.",
    necessary=(
        AnyOf(
            (
                Condition("device.latency", 2, 4, of="ratio", least=0.002),
                AllOf((Condition("device.latency", 0.008, 0.02), Condition("device.queue", 4, 2))),
            )
        ),
    ),
    supporting=(
        Condition("device.queue_time", 0.5, 0.1, missing=0.5),
        Condition("device.requests", 1.3, 1.0, of="ratio", missing=0.5),
    ),
    vetoes=(
        AllOf((Condition("device.requests", 1.5, 2.5, of="ratio", least=5), Condition("device.queue", 1.5, 4))),  # by more load they queue
        Condition("device.throughput", 1.5, 3, of="ratio", least=5_000_000),
    ),
    explains=frozenset({"block_io", "tag", "writeback", "journal", "flush", "dirty_throttle", "unclassified"}),
    causes=frozenset({"DEVICE_SATURATION", "FSYNC_JOURNAL_STALL", "PAGE_CACHE_MISS_STORM", "CACHE_THRASH"}),
    actions=("A04",),
)
