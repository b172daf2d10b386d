"""More is asked of a disk than it can do: requests queue, and the queue grows with the load."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AllOf, AnyOf, Condition

CAUSE = Cause(
    "DEVICE_SATURATION",
    "device",
    "{subject} is saturated: requests wait in its queue. Most of them are of {culprit}.",
    necessary=(
        AnyOf(  # always at work, or in bursts so large that they fill its queue whenever they come
            (
                Condition("device.utilization", 0.7, 0.9),
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
                Condition("device.queue", 1.5, 4),
                AllOf(
                    (
                        Condition("device.queue", 2, 4, of="ratio", least=1.5),
                        Condition("device.latency", 1.2, 2, of="ratio", missing=0.8),
                    )
                ),
            )
        ),
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
