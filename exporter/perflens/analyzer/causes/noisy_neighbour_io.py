"""One owner takes most of a disk's time, and others wait."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AllOf, AnyOf, Condition

CAUSE = Cause(
    "NOISY_NEIGHBOUR_IO",
    "device",
    "{culprit} takes most of the time of {subject}, and {victim} waits.",
    necessary=(
        AnyOf(  # always at work, or in bursts so large that they fill its queue whenever they come
            (
                Condition("device.utilization", 0.6, 0.85),
                AllOf(
                    (
                        Condition("device.utilization", 0.2, 0.4),
                        Condition("device.queue", 4, 12),
                        Condition("device.latency", 2, 4, of="ratio", missing=0.8),
                    )
                ),
            )
        ),
        AnyOf(  # many requests, or more than usual that make each other slow: a busy disk that is as fast as ever has room
            (
                Condition("device.queue", 1.2, 3),
                AllOf(
                    (
                        Condition("device.queue", 2, 4, of="ratio", least=1.2),
                        Condition("device.latency", 1.2, 2, of="ratio", missing=0.8),
                    )
                ),
            )
        ),
        Condition("device.share@", 0.4, 0.55, role="culprit"),
        Condition("device.share@", 0.45, 0.3, role="victim"),
        AnyOf(  # who has as much of it as ever, of a load that is as ever, is not why it is slow
            (
                Condition("device.share@", 1.5, 2.5, role="culprit", of="ratio", missing=1.0),
                Condition("device.throughput", 1.1, 1.5, of="ratio", missing=1.0),
                Condition("device.requests", 1.1, 1.5, of="ratio", missing=1.0),
            )
        ),
    ),
    supporting=(
        Condition("device.share@", 1.5, 2, role="culprit", of="ratio", missing=0.5),
        Condition("device.throughput", 1.2, 2, of="ratio", missing=0.5),
        Condition("device.latency", 1.5, 3, of="ratio", missing=0.5),
    ),
    explains=frozenset({"block_io", "tag", "writeback", "journal", "flush", "dirty_throttle", "unclassified"}),
    culprit="device",
    other=True,
    causes=frozenset({"DEVICE_SATURATION", "FSYNC_JOURNAL_STALL", "PAGE_CACHE_MISS_STORM", "SLOW_DEVICE"}),
    actions=("A02", "A03"),
)
