/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One slot per thread for the operation that it is in: no map insert or delete per operation. */
#ifndef PERFLENS_OP_H
#define PERFLENS_OP_H

#include "compat.h"
#include "ledger.h"

#define SLOTS_MAX 65536 /* the agent lowers it to the host's pid_max */
#define OVERFLOW_SLOTS 1024
#define OPERATIONS_MAX 8

const volatile __u32 slot_mask = SLOTS_MAX - 1;

struct op_slot {
	pl_ktime_ns start;		/* 0: no operation in flight; only its thread writes, the agent reclaims */
	__u32 tid;
	__u32 operation;
	pl_cgroup_id owner;
	__u64 object;
	__u32 cell[OPERATIONS_MAX];	/* the thread's last cell of each operation, 0: none */
};					/* one cache line */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct op_slot);
} slots SEC(".maps");

/* Threads whose slot is taken by another one that is in flight (tids that differ by a multiple of SLOTS_MAX). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OVERFLOW_SLOTS);
	__type(key, __u32);
	__type(value, struct op_slot);
} overflow_slots SEC(".maps");

__u64 overflow_in_flight = 0; /* keeps the exit of other system calls free of a hash look-up */

static __noinline int slot_begin_overflow(const struct op_slot *op)
{
	__u32 tid = op->tid;

	count(LEDGER_SLOT_COLLISION);
	if (!bpf_map_update_elem(&overflow_slots, &tid, op, BPF_NOEXIST)) {
		__sync_fetch_and_add(&overflow_in_flight, 1);
		count(LEDGER_OVERFLOW_ENTERED);
	} else if (!bpf_map_update_elem(&overflow_slots, &tid, op, BPF_EXIST)) {
		count(LEDGER_DIED); /* its exit was not seen */
	} else {
		count(LEDGER_NO_SLOT);
	}
	return 0;
}

/* Begin an operation of the current thread, `task`. */
static __always_inline void slot_begin(struct task_struct *task, __u32 operation, pl_cgroup_id owner, __u64 object)
{
	__u32 tid = thread_id(task);
	__u32 index = tid & slot_mask;
	struct op_slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!slot)
		return;
	if (slot->start) {
		if (slot->tid != tid) {
			struct op_slot op = {.start = bpf_ktime_get_ns(), .tid = tid, .operation = operation, .owner = owner, .object = object};

			slot_begin_overflow(&op);
			return;
		}
		count(LEDGER_DIED); /* its exit was not seen */
	}
	slot->tid = tid;
	slot->operation = operation;
	slot->owner = owner;
	slot->object = object;
	slot->start = bpf_ktime_get_ns();
}

/* The slot of the current thread's operation in flight, or NULL. */
static __always_inline struct op_slot *slot_find(struct task_struct *task)
{
	__u32 tid = thread_id(task);
	__u32 index = tid & slot_mask;
	struct op_slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (slot && slot->tid == tid && slot->start)
		return slot;
	if (overflow_in_flight)
		return bpf_map_lookup_elem(&overflow_slots, &tid);
	return NULL;
}

static __always_inline void slot_end(struct op_slot *slot)
{
	__u32 tid = slot->tid;

	slot->start = 0;
	if (overflow_in_flight && !bpf_map_delete_elem(&overflow_slots, &tid)) {
		__sync_fetch_and_add(&overflow_in_flight, -1);
		count(LEDGER_OVERFLOW_LEFT);
	}
}

#endif
