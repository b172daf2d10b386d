"""One owner takes most of a disk's time, and others wait."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition
from perflens.analyzer.disks import IN_BURSTS, crowded

CAUSE = Cause(
    "NOISY_NEIGHBOUR_IO",
    "device",
    "{culprit} takes most of the time of {subject}, and {victim} waits.",
    necessary=(
        AnyOf((Condition("device.utilization", 0.6, 0.85), IN_BURSTS)),
        AnyOf((Condition("device.queue", 1.2, 3), crowded(1.2))),
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
