/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the block family did for the operations of threads: it notes its requests here, and the event of an operation takes them
 * along. The table and `slots` are shared between the two objects; each also works without the other.
 */
#ifndef PERFLENS_REQUEST_H
#define PERFLENS_REQUEST_H

#include "op.h"

#define NOTES_MAX 8
#define THREAD_REQUESTS_MAX 2048

enum block_operation { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_OTHER };

DECLARE_ENUM(block_operation);

struct request_note {
	pl_ktime_ns start; /* its bio was submitted */
	__u64 held;	   /* ns, then in the queue, then on the device */
	__u64 queue;
	__u64 device;
	__u64 sector;
	__u32 bytes;
	__u32 number; /* of the disk, as the kernel keeps it: major << 20 | minor */
	__s32 error;  /* 0 or -errno */
	__u16 operation;
	__u16 spare;
};

DECLARE_STRUCT(request_note);

struct thread_requests {
	pl_ktime_ns operation_start;
	__u32 seen; /* the first NOTES_MAX are kept */
	__u32 spare;
	struct request_note note[NOTES_MAX];
};

/* By thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THREAD_REQUESTS_MAX);
	__type(key, __u32);
	__type(value, struct thread_requests);
} thread_requests SEC(".maps");

#endif
