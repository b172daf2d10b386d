"""More is asked of a disk than it can do: requests queue, and the queue grows with the load."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition
from perflens.analyzer.disks import IN_BURSTS, crowded

CAUSE = Cause(
    "DEVICE_SATURATION",
    "device",
    "{subject} is saturated: requests wait in its queue. Most of them are of {culprit}.",
    necessary=(
        AnyOf((Condition("device.utilization", 0.7, 0.9), IN_BURSTS)),
        AnyOf((Condition("device.queue", 1.5, 4), crowded(1.5))),
    ),
    supporting=(
        Condition("device.throughput", 1.2, 2, of="ratio", missing=0.5),
        Condition("device.requests", 1.2, 2, of="ratio", missing=0.5),
        Condition("device.latency", 1.5, 3, of="ratio", missing=0.5),
        Condition("pressure.io.some", 0.1, 0.3, role="host"),
    ),
    explains=frozenset({"block_io", "tag", "writeback", "journal", "flush", "dirty_throttle", "unclassified"}),
    culprit="device",
    causes=frozenset({"FSYNC_JOURNAL_STALL"}),
    actions=("A01",),
)
