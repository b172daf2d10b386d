/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* One slot per thread for the operation that it is in: no map insert or delete per operation. */
#ifndef PERFLENS_OP_H
#define PERFLENS_OP_H

#include "compat.h"
#include "ledger.h"

#define SLOTS_MAX 65536 /* the agent lowers it to the host's pid_max */
#define OVERFLOW_SLOTS 1024
#define OPERATIONS_MAX 8
#define CPUS_MAX 1024 /* hints wrap above it */

#define TAKEN_OVER (1ULL << 63)

const volatile __u32 slot_mask = SLOTS_MAX - 1;
const volatile bool shared_slots = true; /* the host has more thread ids than slots */

struct op_slot {
	pl_ktime_ns start;		/* 0: no operation in flight; only its thread writes, the agent reclaims by exchange */
	__u64 frame;			/* of the thread's registers: tells its exit without a look at the task */
	pl_cgroup_id owner;
	__u64 object;
	__u64 begun;			/* operations of this slot since the start; a counter of its own needs no atomic */
	__u32 tid;
	__u16 operation;
	__u8 waited;			/* the second line is valid */
	__u8 over;			/* its end is being counted: what its thread waits for now is not its own any more */
	__u16 cell[OPERATIONS_MAX];	/* the thread's last cell of each operation, 0: none */
	/* second cache line: waits, see wait.h */
	struct file *file;
	pl_ktime_ns off;		/* left the CPU; 0: on it */
	pl_ktime_ns waking;		/* woken, or never asleep; 0: not yet. The one word that other CPUs write */
	__u64 runqueue;			/* ns */
	__u64 unattributed;		/* ns */
	__u64 unclassified;		/* ns asleep, not charged to a reason yet */
	__u64 delay;			/* ns that the kernel had counted of the thread in run queues when it first left the CPU */
	__u32 claims;			/* threads that hold the slot or try to; not of this operation alone. 0: slots are not shared, or it is free */
	__u8 noted;			/* it has an entry of `sleeps` */
	__u8 throttled;			/* when it last went to sleep its cgroup had I/O held back */
	__u16 contended;		/* the reason of the lock that it waits for, and bits of the lock's address, or 0 */
};

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

/* The slot of the operation that began last on each CPU, on a cache line of the CPU's own. */
struct hint {
	__u32 slot;
} __attribute__((aligned(64)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS_MAX);
	__type(key, __u32);
	__type(value, struct hint);
} hints SEC(".maps");

static __noinline int slot_begin_overflow(const struct op_slot *op)
{
	__u32 tid = op->tid;

	count(LEDGER_ENTERED);
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

static __always_inline struct op_slot *slot_at(__u32 tid)
{
	__u32 index = tid & slot_mask;

	return bpf_map_lookup_elem(&slots, &index);
}

/* What begins: whose operation it is, on what. `frame` is any address that is the same at its exit and no other thread's. */
struct beginning {
	__u64 frame;
	pl_cgroup_id owner;
	__u64 object;
	struct file *file;
	__u16 operation;
};

/*
 * The slot's operation is of the thread that begins another one: its exit was not seen. The agent may be giving the slot back:
 * who changes `start` first has the operation's end to count, and its claim to withdraw.
 */
static __noinline int slot_take_over(struct op_slot *slot)
{
	__sync_fetch_and_add(&slot->start, TAKEN_OVER);
	if (slot->start != TAKEN_OVER) {
		count(LEDGER_DIED);
		if (shared_slots)
			__sync_fetch_and_add(&slot->claims, -1);
	}
	slot->start = 0; /* what the thread waits for from here on is of neither */
	return 0;
}

/*
 * Whether the thread has the slot to itself until slot_end(). Of those that claim it at once at most one finds its claim alone:
 * each adds before it looks (BPF before 5.12 has no add that returns what was there, and no exchange).
 */
static __always_inline bool slot_take(struct op_slot *slot, __u32 tid)
{
	if (shared_slots) {
		__sync_fetch_and_add(&slot->claims, 1);
		if (slot->claims == 1)
			return true;
	} else if (!slot->start) {
		return true;
	}
	if (slot->start && slot->tid == tid) {
		slot_take_over(slot);
		return true;
	}
	if (shared_slots)
		__sync_fetch_and_add(&slot->claims, -1);
	return false;
}

static __noinline int slot_abandon(struct op_slot *slot, __u32 tid)
{
	if (shared_slots) /* as who begins one: nobody else takes the slot meanwhile */
		__sync_fetch_and_add(&slot->claims, 1);
	if (slot->start && slot->tid == tid)
		slot_take_over(slot);
	if (shared_slots)
		__sync_fetch_and_add(&slot->claims, -1);
	return 0;
}

/* The thread begins what takes no slot. The exit of what it has in its slot was not seen: that of this call is not to end it. */
static __always_inline void slot_leave(struct op_slot *slot, __u32 tid)
{
	if (slot->start && slot->tid == tid)
		slot_abandon(slot, tid);
}

/* Begin an operation of the current thread, `tid`; `slot` is slot_at(tid). */
static __always_inline void slot_begin(struct op_slot *slot, __u32 tid, const struct beginning *op)
{
	__u32 cpu = bpf_get_smp_processor_id() & (CPUS_MAX - 1);
	struct hint *hint;

	if (!slot_take(slot, tid)) {
		struct op_slot other = {.frame = op->frame, .object = op->object, .tid = tid, .operation = op->operation, .file = op->file};

		other.owner = op->owner;
		other.start = bpf_ktime_get_ns();
		slot_begin_overflow(&other);
		return;
	}
	slot->tid = tid;
	slot->operation = op->operation;
	slot->waited = slot->over = 0;
	slot->frame = op->frame;
	slot->owner = op->owner;
	slot->object = op->object;
	slot->file = op->file;
	slot->begun++;
	hint = bpf_map_lookup_elem(&hints, &cpu);
	if (hint)
		hint->slot = tid & slot_mask;
	slot->start = bpf_ktime_get_ns();
}

/* The slot of a thread's operation in flight, or NULL. */
static __always_inline struct op_slot *slot_of(__u32 tid)
{
	struct op_slot *slot = slot_at(tid);

	if (slot && slot->tid == tid && slot->start)
		return slot;
	if (overflow_in_flight)
		return bpf_map_lookup_elem(&overflow_slots, &tid);
	return NULL;
}

/* The slot of the current thread's operation in flight, or NULL; `frame` as at its beginning. */
static __always_inline struct op_slot *slot_find(__u64 frame)
{
	__u32 cpu = bpf_get_smp_processor_id() & (CPUS_MAX - 1), index;
	struct hint *hint = bpf_map_lookup_elem(&hints, &cpu);
	struct op_slot *slot;

	if (hint) {
		index = hint->slot & slot_mask;
		slot = bpf_map_lookup_elem(&slots, &index);
		if (slot && slot->frame == frame && slot->start)
			return slot;
	}
	return slot_of(thread_id(current_task()));
}

static __always_inline void slot_end(struct op_slot *slot)
{
	bool is_claimed = shared_slots && slot->claims; /* not in the overflow table */
	__u32 tid = slot->tid;

	slot->start = 0;
	if (is_claimed)
		__sync_fetch_and_add(&slot->claims, -1);
	if (overflow_in_flight && !bpf_map_delete_elem(&overflow_slots, &tid)) {
		__sync_fetch_and_add(&overflow_in_flight, -1);
		count(LEDGER_OVERFLOW_LEFT);
		if (is_claimed)
			count(LEDGER_DIED); /* an earlier one of the thread, whose exit was not seen */
	}
}

#endif
