"""How long reads, writes, syncs and copies of files take, as the calling thread sees it."""

from __future__ import annotations

from perflens.probe import Histogram, Probe, Rung

PROBE = Probe(
    summary="Reads, writes, syncs and copies of regular files and block devices.",
    operations="file_operation",
    parts=(
        Histogram(
            "file_operation_duration_seconds",
            help="Time from the entry of a file system call to its exit, for files that are storage.",
            object_label="fs",
        ),
    ),
    requests="block_operation",
    rungs=(
        Rung(
            "fentry",
            ("file_exit_fentry_*", "file_enter_fentry_*"),
            tails={"file_exits": "file_exit_fentry", "file_enters": "file_enter_fentry"},
            waits=("wait_switch_tp_btf", "wait_waking_tp_btf"),
            locks=("wait_lock_begin_tp_btf", "wait_lock_end_tp_btf"),
        ),
        Rung(
            "tp_btf",
            ("file_exit_tp_btf", "file_enter_tp_btf"),
            waits=("wait_switch_tp_btf", "wait_waking_tp_btf"),
            locks=("wait_lock_begin_tp_btf", "wait_lock_end_tp_btf"),
        ),
        Rung(
            "raw_tp",
            ("file_exit_raw_tp", "file_enter_raw_tp"),
            waits=("wait_switch_raw_tp", "wait_waking_raw_tp"),
            locks=("wait_lock_begin_raw_tp", "wait_lock_end_raw_tp"),
        ),
        Rung(
            "kprobe",
            ("file_exit_kprobe", "file_enter_kprobe"),
            functions="file_enter_fentry_*",
            waits=("wait_switch_raw_tp", "wait_waking_raw_tp"),
            locks=("wait_lock_begin_raw_tp", "wait_lock_end_raw_tp"),
        ),
    ),
)
