"""Processes are started one after the other, at a rate that takes the CPUs from the rest."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "FORK_EXEC_STORM",
    "host",
    "{culprit} starts processes one after the other.",
    necessary=(
        Condition("process.starts", 40, 100, role="host"),
        AnyOf(
            (
                Condition("process.starts", 3, 8, role="host", of="ratio", missing=0.8),
                Condition("process.starts", 150, 300, role="host"),
            )
        ),
    ),
    supporting=(
        Condition("process.share", 0.4, 0.6, role="culprit", missing=0.5),
        Condition("cpu.busy", 0.6, 0.85, role="host"),
        Condition("pressure.cpu.some", 0.1, 0.3, role="host", missing=0.5),
    ),
    explains=frozenset({"runqueue", "unattributed", "on_cpu", "lock", "block_io", "unclassified"}),
    culprit="parent",
    causes=frozenset({"RUNQ_SATURATION", "PAGE_CACHE_MISS_STORM"}),
    actions=("A13",),
)
