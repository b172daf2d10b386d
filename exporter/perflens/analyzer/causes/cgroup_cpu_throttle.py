"""A cgroup has used up its CPU quota: its threads are stopped in the middle of what they do."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import AnyOf, Condition

CAUSE = Cause(
    "CGROUP_CPU_THROTTLE",
    "owner",
    "{subject} has used up its CPU quota and is stopped for the rest of each period.",
    necessary=(
        Condition("cpu.throttled", 0.1, 0.25),
        AnyOf((Condition("wait.runqueue", 0.1, 0.25), Condition("cpu.throttled_time", 0.1, 0.3))),
    ),
    supporting=(Condition("cpu.throttled_time", 0.05, 0.1, missing=0.5), Condition("cpu.busy", 0.95, 0.7, role="host")),
    vetoes=(Condition("wait.block_io", 0.6, 0.8),),
    explains=frozenset({"runqueue", "unattributed", "on_cpu", "lock"}),
    causes=frozenset({"RUNQ_SATURATION"}),
    actions=("A11",),
)
