"""Which processes begin, become another program and end, and which cgroups are made and removed."""

from __future__ import annotations

from perflens.probe import Counter, Probe, Rung

_HOOKS = ("exit", "exec", "fork", "cgroup_mkdir", "cgroup_rmdir")  # the end first: who is seen to begin must be seen to end

PROBE = Probe(
    summary="Processes that begin, become another program and end; cgroups that are made and removed.",
    operations="process_operation",
    parts=(),
    counters={
        "fork": Counter("processes_forked_total", help="Processes that began, by the cgroup in which they did; threads are none."),
        "exec": Counter("processes_executed_total", help="Programs that processes became, each successful exec."),
        "exit": Counter("processes_exited_total", help="Processes that ended, with the last of their threads."),
    },
    rungs=(
        Rung("tp_btf", tuple(f"process_{hook}_tp_btf" for hook in _HOOKS)),
        Rung("raw_tp", tuple(f"process_{hook}_raw_tp" for hook in _HOOKS)),
    ),
    cells=1_024,
    shards=2,
    ring=1 << 20,
)
