"""What may help, by id. The agent runs none of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perflens.analysis import Action

__all__ = ["ACTIONS"]

_ALL = (
    Action(
        "A01",
        "Move or spread the load, or give the device more to work with.",
        "iostat -x 1 <device>",
        "none: it only looks",
        True,
        "device.queue falls below 2",
    ),
    Action(
        "A02",
        "Limit the I/O of the culprit.",
        "echo '<major:minor> rbps=<bytes> wbps=<bytes>' > /sys/fs/cgroup/<culprit>/io.max",
        "the culprit becomes slower",
        True,
        "device.queue and the victims' slow.seconds fall",
    ),
    Action(
        "A03",
        "Give the culprit's I/O a lower weight or class.",
        "ionice -c 3 -p <pid>",
        "only schedulers that know classes heed it",
        True,
        "the victims' slow.seconds fall",
    ),
    Action(
        "A04",
        "Check the health of the device, and whether its volume has used up its credits.",
        "smartctl -a /dev/<device>",
        "none: it only looks",
        True,
        "device.latency is as usual again",
    ),
    Action(
        "A05",
        "Raise the I/O limit of the cgroup, or move the job to another time.",
        "echo '<major:minor> rbps=max wbps=max riops=max wiops=max' > /sys/fs/cgroup/<victim>/io.max",
        "others get less of the device",
        True,
        "wait.cgroup_throttle falls to 0",
    ),
    Action(
        "A06",
        "Sync less often: several changes for each fsync (group commit).",
        "",
        "what is not synced is lost in a crash",
        True,
        "wait.journal and wait.flush fall",
    ),
    Action(
        "A07",
        "Put the journal, or the files of those who sync, on a device of their own.",
        "tune2fs -J device=<device> <file system>",
        "the file system has to be unmounted",
        False,
        "wait.journal falls",
    ),
    Action(
        "A08",
        "Find who drops the page cache, and stop it.",
        "grep drop_pagecache /proc/vmstat",
        "none: it only looks",
        True,
        "vm.cache_drops stays at 0",
    ),
    Action(
        "A09",
        "Read what is needed into the page cache before it is asked for.",
        "vmtouch -t <files>",
        "other pages have to go",
        True,
        "device.read_throughput falls",
    ),
    Action(
        "A10",
        "Raise the memory limit of the cgroup, or give the job a smaller working set.",
        "echo <bytes> > /sys/fs/cgroup/<victim>/memory.max",
        "the host has less memory for others",
        True,
        "memory.limit_events and memory.refaults fall to 0",
    ),
    Action(
        "A11",
        "Raise the CPU quota, allow bursts, or run fewer threads than the quota has cores.",
        "echo 'max 100000' > /sys/fs/cgroup/<victim>/cpu.max",
        "others get less of the CPU",
        True,
        "cpu.throttled falls to 0",
    ),
    Action(
        "A12",
        "Lower the weight of the culprit, keep it to some CPUs, or move it.",
        "echo 10 > /sys/fs/cgroup/<culprit>/cpu.weight",
        "the culprit becomes slower",
        True,
        "wait.runqueue falls",
    ),
    Action(
        "A13",
        "Look at the loop that starts the processes: a shell script, a health check, a job of cron.",
        "ps -o pid,ppid,lstart,args --ppid <pid>",
        "none: it only looks",
        True,
        "process.starts is as usual again",
    ),
    Action(
        "A14", "Undo the change, if it is not what was wanted.", "", "as the change itself", True, "the facts go back to their baselines"
    ),
)

ACTIONS: Mapping[str, Action] = MappingProxyType({own.id: own for own in _ALL})
"""The catalogue."""
