"""Who syncs waits for the journal, which everybody who changes the file system shares, or for the device's cache to be flushed."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "FSYNC_JOURNAL_STALL",
    "device",
    "{victim} waits for the journal of the file system on {subject}, or for its cache to be flushed. Most requests are of {culprit}.",
    necessary=(AnyOf((Condition("device.wait.sync", 0.2, 0.4), Condition("wait.sync", 0.2, 0.4, role="victim"))),),
    supporting=(
        Condition("device.flushes", 1.5, 3, of="ratio", missing=0.5),
        Condition("device.flush_latency", 2, 4, of="ratio", missing=0.5),
        Condition("device.utilization", 1.0, 0.7),
    ),
    explains=frozenset({"journal", "flush", "writeback", "block_io"}),
    culprit="device",
    actions=("A06", "A07"),
)
