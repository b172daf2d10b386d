"""What a thread waits for, by the kernel functions that it sleeps in: the table that the kernel side searches.

A sleeping stack holds many of these functions: the one whose reason stands last in ``enum wait_reason`` (reason.h) decides. The
scheduler's own functions (schedule, io_schedule, mutex_lock, down_write …) are left out of such a stack by the kernel
(in_sched_functions of kernel/sched/core.c), so none stands here; locks are told by their tracepoints.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FUNCTIONS"]

_BY_REASON: Mapping[str, str] = MappingProxyType(
    {
        "block_io": """
            folio_wait_bit_common folio_wait_bit __wait_on_page_locked wait_on_page_bit_common wait_on_page_bit __folio_lock
            __folio_lock_killable filemap_update_page filemap_read_folio put_and_wait_on_page_locked folio_put_wait_locked
            iomap_dio_rw __iomap_dio_rw blkdev_direct_IO __blkdev_direct_IO __blkdev_direct_IO_simple blkdev_direct_write
            do_blockdev_direct_IO __blockdev_direct_IO dio_await_completion submit_bio_wait bio_await __wait_on_buffer
            bh_read __bread_gfp bread_gfp __ext4_sb_bread_gfp xfs_buf_iowait xfs_buf_read_map btrfs_dio_iomap_begin
            read_extent_buffer_pages wait_on_extent_buffer f2fs_wait_on_block_writeback zfs_read iomap_read_folio_sync
            loop_handle_cmd md_super_wait blk_execute_rq
        """,
        "futex": "futex_wait futex_wait_queue futex_wait_queue_me __futex_wait futex_lock_pi",
        "remote": """
            request_wait_answer __fuse_simple_request fuse_simple_request fuse_send_write rpc_wait_bit_killable
            rpc_execute __rpc_execute nfs_wait_bit_killable nfs_wait_on_request nfs_wait_client_init_complete nfs4_wait_bit_killable
            wait_for_response cifs_send_recv smb_send_recv compound_send_recv p9_client_rpc p9_client_zc_rpc
            p9_virtio_request p9_virtio_zc_request ceph_mdsc_wait_request
            ceph_osdc_wait_request wait_request_timeout wait_for_connected afs_make_call virtio_fs_enqueue_req
        """,
        "writeback": """
            folio_wait_writeback folio_wait_writeback_killable wait_on_page_writeback folio_wait_stable wait_for_stable_page
            __filemap_fdatawait_range filemap_fdatawait_range wb_wait_for_completion wait_sb_inodes
            btrfs_wait_ordered_range btrfs_start_ordered_extent btrfs_start_ordered_extent_nowriteback
        """,
        "tag": """
            rq_qos_wait wbt_wait blk_mq_get_tag __blk_mq_alloc_requests blk_mq_get_request __rq_qos_throttle blk_queue_enter
            __bio_queue_enter
        """,
        "flush": "blkdev_issue_flush",
        "journal": """
            jbd2_log_wait_commit jbd2_complete_transaction wait_transaction_locked wait_transaction_switching
            add_transaction_credits start_this_handle jbd2__journal_start do_get_write_access jbd2_journal_get_write_access
            __jbd2_log_wait_for_space jbd2_log_do_checkpoint jbd2_journal_flush jbd2_journal_commit_transaction
            ext4_fc_commit jbd2_fc_begin_commit jbd2_fc_wait_bufs xlog_wait xlog_wait_on_iclog xfs_log_force
            xfs_log_force_seq xfs_log_force_lsn __xfs_log_force_lsn xlog_force_lsn xlog_force_and_check_iclog xlog_grant_head_wait
            xlog_state_get_iclog_space xfs_log_reserve xfs_log_mount_finish btrfs_wait_for_commit btrfs_commit_transaction
            wait_current_trans wait_for_commit btrfs_sync_log btrfs_wait_tree_log_extents f2fs_issue_flush f2fs_write_checkpoint
        """,
        "swapin": """
            do_swap_page swap_read_folio swap_readpage swapin_readahead swap_cluster_readahead read_swap_cache_async
            shmem_swapin_folio
        """,
        "dirty_throttle": "balance_dirty_pages balance_dirty_pages_ratelimited balance_dirty_pages_ratelimited_flags",
        "reclaim": """
            try_to_free_pages try_to_free_mem_cgroup_pages shrink_node shrink_lruvec shrink_one reclaim_throttle
            throttle_direct_reclaim congestion_wait wait_iff_congested try_charge_memcg try_charge __alloc_pages_direct_reclaim
            __alloc_pages_direct_compact compact_zone mem_cgroup_oom_synchronize out_of_memory
        """,
        "memcg_high": "mem_cgroup_handle_over_high __mem_cgroup_handle_over_high",
        "freeze": "percpu_rwsem_wait",
        "cgroup_throttle": "blkcg_maybe_throttle_current blk_cgroup_throttle ioc_rqos_throttle blkcg_iolatency_throttle",
    }
)

FUNCTIONS: Mapping[str, str] = MappingProxyType({name: reason for reason, names in _BY_REASON.items() for name in names.split()})
"""Reason of a sleep within a function, by its name; what is not here tells nothing."""
