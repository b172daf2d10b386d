/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Requests, bios and disks as the kernel has them, and where kernels differ in them. */
#ifndef PERFLENS_BLOCK_H
#define PERFLENS_BLOCK_H

#include "compat.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct block_device_operations {
	void *submit_bio; /* set for devices that take bios and make no requests of their own (5.9) */
};

struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
	struct block_device_operations *fops;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct page;

struct bio_vec {
	struct page *bv_page;
};

struct bvec_iter {
	unsigned int bi_size;
	unsigned int bi_idx;
};

struct bio {
	struct bio *bi_next;
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	struct bvec_iter bi_iter;
	void *bi_private;
	struct blkcg_gq *bi_blkg;
	struct bio_vec *bi_io_vec;
};

struct bio___with_disk {
	struct gendisk *bi_disk;
};

struct bio_list {
	struct bio *head;
	struct bio *tail;
};

struct request_queue___with_disk {
	struct gendisk *disk;
};

struct reference {
	int counter;
};

struct request {
	struct request_queue *q;
	struct reference ref; /* a refcount_t, later an atomic_t: begins with an int */
	unsigned int cmd_flags;
	unsigned int rq_flags;
	unsigned int __data_len;
	__u64 __sector;
	struct bio *bio;
	__u64 start_time_ns;
	__u64 io_start_time_ns;
};

struct request___with_disk {
	struct gendisk *rq_disk;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
};

struct obj_cgroup {
	struct mem_cgroup *memcg;
};

struct obj_cgroup___of_folios {
	bool is_root;
};

struct page {
	unsigned long compound_head;
	struct address_space *mapping;
	unsigned long memcg_data;
};

struct page___head_in_info {
	unsigned long compound_info;
};

struct page___with_mem_cgroup {
	struct mem_cgroup *mem_cgroup;
};

struct folio {
	unsigned long memcg_data;
};

struct super_block___with_flags {
	unsigned long s_iflags;
};

struct throtl_qnode {
	struct bio_list bios;
};

struct throtl_qnode___by_limit {
	struct bio_list bios_bps;
	struct bio_list bios_iops;
};

struct throtl_grp___with_queues {
	struct throtl_qnode qnode_on_self[2];
};

struct throtl_data {
	unsigned int nr_queued[2];
};

#pragma clang attribute pop

enum pageflags { PG_writeback = 1 };

enum req_flag_bits { __REQ_META = 12, __REQ_FUA = 17, __REQ_PREFLUSH = 18 };

#define REQ_OP_MASK 0xff /* REQ_OP_BITS of include/linux/blk_types.h; a few numbers have moved, those below have not */
#define REQ_OP_READ 0
#define REQ_OP_WRITE 1
#define REQ_OP_FLUSH 2
#define REQ_OP_DISCARD 3
#define REQ_OP_SECURE_ERASE 5
#define REQ_OP_WRITE_SAME 7 /* REQ_OP_ZONE_APPEND from 5.18 on: a write too */
#define REQ_OP_WRITE_ZEROES 9

#define RQF_FLUSH_SEQ (1 << 1) /* enum rqf_flags of include/linux/blk-mq.h, since 6.11 */
#define RQF_FLUSH_SEQ_BEFORE (1 << 4)

#define SB_I_CGROUPWB 1 /* include/linux/fs.h */
#define MEMCG_DATA_FLAGS 7UL
#define MEMCG_DATA_KMEM 2UL

/*
 * block_rq_issue and its like lost their first argument, the queue (a54895fa057c, "block: remove the request_queue to argument
 * request based tracepoints", 5.11, and in stable 5.10 kernels): the agent looks at the prototype.
 */
const volatile bool queue_first = false;

/* request_queue::disk (d152c682f03c, 5.14) took the place of request::rq_disk (f3fa33acca9f, 5.17). */
static __always_inline struct gendisk *disk_of_request(struct request *request)
{
	struct request_queue___with_disk *queue = (void *)READ(request, q);

	if (bpf_core_field_exists(queue->disk))
		return READ(queue, disk);
	return READ((struct request___with_disk *)request, rq_disk);
}

/* bio::bi_bdev came back (309dca309fc3, "block: store a block_device pointer in struct bio", 5.12) for bi_disk. */
static __always_inline struct gendisk *disk_of_bio(struct bio *bio)
{
	if (bpf_core_field_exists(bio->bi_bdev)) {
		struct block_device *device = READ(bio, bi_bdev);

		return READ(device, bd_disk);
	}
	return READ((struct bio___with_disk *)bio, bi_disk);
}

/*
 * The flags of requests became an enum (5f89154e8e9e, "block: Use enum to define RQF_x bit indexes", 6.11), and moved. It had no name at
 * first, so that no relocation finds it: the agent looks for its member.
 */
const volatile bool request_flags_enum = false;

static __always_inline bool is_in_flush_sequence(struct request *request)
{
	return READ(request, rq_flags) & (request_flags_enum ? RQF_FLUSH_SEQ : RQF_FLUSH_SEQ_BEFORE);
}

#endif
