"""enrich/wait_reasons.py: the functions in which a sleep has a reason."""

from __future__ import annotations

import re

import pytest

from perflens.enrich import wait_reasons
from perflens.enrich.symbols.kallsyms import stem
from perflens.enrich.wait_reasons import FUNCTIONS
from perflens.kernel.attached import object_path, object_types
from perflens.kernel.features import inspect
from perflens.layout import enum_labels

TYPES = object_types(object_path("file", inspect().machine))
LABELS = tuple(enum_labels("wait_reason", TYPES.enum("wait_reason"), exclude=frozenset({"WAIT_REASONS"})).values())
NOT_BY_FUNCTION = {"unclassified", "other", "lock", "runqueue", "unattributed"}  # too short, no known function, a tracepoint, no sleep


def test_reasons_are_those_of_the_kernel_side() -> None:
    """Each reason of a sleep that a function can tell has functions, and there is no other reason."""
    assert set(FUNCTIONS.values()) == set(LABELS) - NOT_BY_FUNCTION


def test_each_function_has_one_reason() -> None:
    """No function stands twice: the table that the kernel searches could hold one of them only."""
    written = [name for names in wait_reasons._BY_REASON.values() for name in names.split()]

    assert sorted(written) == sorted(FUNCTIONS)


def test_functions_are_names_of_the_source() -> None:
    """Names are those of the source, without what a compiler appends: symbols are looked up by their stem."""
    assert [name for name in FUNCTIONS if not re.fullmatch(r"[a-zA-Z_]\w*", name) or stem(name) != name] == []


def test_functions_of_the_scheduler_are_left_out() -> None:
    """The kernel leaves its own scheduler out of a sleeping stack: what is named so would never be found."""
    scheduler = {
        "schedule",
        "__schedule",
        "io_schedule",
        "schedule_timeout",
        "mutex_lock",
        "down_read",
        "down_write",
        "rwsem_down_write_slowpath",
    }

    assert scheduler.isdisjoint(FUNCTIONS)


def test_table_has_room() -> None:
    """The table of the kernel side holds 512 ranges: functions, and as many again that a compiler split off or repeated."""
    assert 2 * len(FUNCTIONS) <= 512


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("jbd2_log_wait_commit", "journal"),
        ("folio_wait_bit_common", "block_io"),
        ("futex_wait_queue", "futex"),
        ("blkdev_issue_flush", "flush"),
        ("balance_dirty_pages", "dirty_throttle"),
        ("vfs_read", None),
        ("", None),
        ("jbd2_log_wait_commit.cold", None),
    ],
)
def test_reason(function: str, reason: str | None) -> None:
    """A function has the reason that its sleep is for, or none."""
    assert FUNCTIONS.get(function) == reason


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        (["folio_wait_bit_common", "folio_wait_writeback", "__filemap_fdatawait_range"], "writeback"),
        (["rq_qos_wait", "wbt_wait", "__blk_mq_alloc_requests", "iomap_dio_rw"], "tag"),
        (["submit_bio_wait", "blkdev_issue_flush", "ext4_sync_file"], "flush"),
        (["jbd2_log_wait_commit", "ext4_sync_file"], "journal"),
        (["submit_bio_wait", "blkdev_issue_flush", "jbd2_journal_commit_transaction"], "journal"),
        (["folio_wait_bit_common", "do_swap_page"], "swapin"),
        (["io_schedule_timeout", "balance_dirty_pages", "balance_dirty_pages_ratelimited_flags"], "dirty_throttle"),
        (["folio_wait_bit_common", "shrink_node", "try_to_free_mem_cgroup_pages"], "reclaim"),
        (["rpc_wait_bit_killable", "rpc_execute", "nfs_wait_on_request", "folio_wait_writeback"], "writeback"),
        (["folio_wait_bit_common", "shrink_node", "mem_cgroup_handle_over_high"], "memcg_high"),
        (["blkcg_maybe_throttle_current", "percpu_rwsem_wait"], "cgroup_throttle"),
        (["vfs_read", "ksys_read"], None),
    ],
)
def test_precedence(stack: list[str], reason: str | None) -> None:
    """Of several reasons in a stack the one that stands last in the enum decides, as reason.h says: what makes it sleep, not how."""
    found = [own for function in stack if (own := FUNCTIONS.get(function))]

    assert max(found, key=LABELS.index, default=None) == reason
