"""More threads want to run than there are CPUs: they queue for them."""

from __future__ import annotations

from perflens.analyzer.cause import Cause
from perflens.analyzer.conditions import Condition

CAUSE = Cause(
    "RUNQ_SATURATION",
    "host",
    "Threads wait for a CPU; {culprit} uses most of them.",
    necessary=(Condition("wait.runqueue", 0.15, 0.3, role="host"), Condition("cpu.busy", 0.75, 0.9, role="host")),
    supporting=(Condition("pressure.cpu.some", 0.15, 0.3, role="host", missing=0.5), Condition("cpu.runnable", 1, 2, role="host")),
    explains=frozenset({"runqueue", "unattributed", "on_cpu", "lock"}),
    culprit="cpu",
    actions=("A12",),
)
