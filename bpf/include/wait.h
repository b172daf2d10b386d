/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the time of an operation goes while its thread is off the CPU: asleep, by what it slept in, and queued for a CPU.
 * Each ns between switch-out and switch-in is charged once; what is left of the duration was on the CPU.
 * A sleep's reason comes from the functions of the sleeping stack, taken when the thread is switched in, and at most once
 * for each SLEEP_MIN of sleep: shorter sleeps are charged to the reason of the one in which their sum reaches it.
 */
#ifndef PERFLENS_WAIT_H
#define PERFLENS_WAIT_H

#include "op.h"
#include "reason.h"

#define SLEEP_MIN 1000000 /* ns */
#define UNSEEN_MIN 500000 /* ns: the kernel's clock of its run queues is another one */
#define SLEEPS_MAX 2048
#define WAITS_MAX 8
#define STACK_MAX 127
#define THROTTLE_QUEUE_SIZE 16 /* sizeof(struct list_head) of the kernel; ours has its first member only */
#define WAIT_FRAMES_MAX 512 /* power of two */
#define CLASSIFIED_FRAMES 32
#define CONTENDED_REASON 31 /* the bits of op_slot::contended below those of the lock's address */

struct wait_interval {
	pl_ktime_ns off;
	pl_ktime_ns waking;
	pl_ktime_ns on;
	__u64 reason;
};

/* What is known of the sleeps of an operation in flight that slept for SLEEP_MIN. */
struct sleep {
	pl_ktime_ns start; /* of the operation */
	__u64 blocked[SLEEP_REASONS];
	__u64 longest;
	__u32 waits;
	__u32 frames;
	struct wait_interval wait[WAITS_MAX];
	__u64 stack[STACK_MAX]; /* of the longest, the leaf first */
	__u64 spare;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLEEPS_MAX);
	__type(key, __u32);
	__type(value, struct sleep);
} sleeps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3); /* at a switch, of a look at what is in progress, and of what was not seen */
	__type(key, __u32);
	__type(value, struct sleep);
} sleep_scratch SEC(".maps");

static __always_inline struct sleep *scratch_of_sleep(__u32 use)
{
	return bpf_map_lookup_elem(&sleep_scratch, &use);
}

/* Functions in which a sleep has a reason, sorted; the agent fills them in from the kernel's symbols. */
struct wait_frame {
	__u64 first;
	__u64 end;
	__u64 reason;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WAIT_FRAMES_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct wait_frame);
} wait_frames SEC(".maps");

static __always_inline bool starts_above(__u32 index, __u64 address)
{
	struct wait_frame *frame = bpf_map_lookup_elem(&wait_frames, &index);

	return !frame || !frame->first || frame->first > address;
}

/* Verified by itself: its loop is walked once, and not for each frame. */
__noinline int reason_of_frame(__u64 address)
{
	struct wait_frame *frame;
	__u32 low = 0, high = WAIT_FRAMES_MAX;

	for (int i = 0; i < 9; i++) { /* log2 of WAIT_FRAMES_MAX */
		__u32 middle = (low + high) / 2;

		if (starts_above(middle, address))
			high = middle;
		else
			low = middle;
	}
	frame = bpf_map_lookup_elem(&wait_frames, &low);
	if (!frame || address < frame->first || address >= frame->end)
		return WAIT_UNCLASSIFIED;
	return frame->reason;
}

static __noinline int reason_of_sleep(const struct sleep *taken, __u32 frames, const struct op_slot *slot)
{
	__u32 reason = frames ? WAIT_OTHER : WAIT_UNCLASSIFIED, of_lock = slot->contended & CONTENDED_REASON;

	if (of_lock > reason)
		reason = of_lock;

	for (__u32 i = 0; i < CLASSIFIED_FRAMES; i++) {
		__u32 found;

		if (i >= frames)
			break;
		found = reason_of_frame(taken->stack[i]);
		if (found > reason)
			reason = found;
	}
	if (slot->throttled && (reason <= WAIT_BLOCK_IO || reason == WAIT_WRITEBACK))
		reason = WAIT_CGROUP_THROTTLE;
	return reason & 31;
}

#define THROTTLE_DEVICES 4
#define THROTTLE_LEVELS 6
#define THROTTLE_POLICIES 6

#ifndef only_reads /* a family defines it before this header: whether an operation waits for no write */
#define only_reads(operation) false
#endif

static __always_inline bool is_queued(struct list_head *queue)
{
	return READ(queue, next) != queue;
}

/*
 * Whether a cgroup's data (struct blkcg_gq) of the throttle policy on a device (struct throtl_data) has reads queued, or anything else
 * that the operation may wait for. Verified by itself, and not for each level of each device.
 */
__noinline int holds_back(__u64 group, __u64 data, __u32 reads)
{
	void *place = (void *)group + bpf_core_field_offset(struct blkcg_gq, pd);

	for (int policy = 0; policy < THROTTLE_POLICIES; policy++, place += sizeof(void *)) {
		struct list_head *queues;
		struct throtl_grp *own;

		if (bpf_probe_read_kernel(&own, sizeof(own), place) || !own || (__u64)READ(own, td) != data)
			continue;
		queues = (void *)own + bpf_core_field_offset(struct throtl_grp, service_queue) +
			 bpf_core_field_offset(struct throtl_service_queue, queued);
		return is_queued((void *)queues) || (!reads && is_queued((void *)queues + THROTTLE_QUEUE_SIZE));
	}
	return false;
}

/*
 * Whether blk-throttle holds back I/O of the task's cgroup or of one above it; reads alone if the operation does nothing else.
 * The policy's number is not known here: its data is the one that points to the queue's throtl_data.
 */
static __noinline int is_throttled(struct task_struct *task, bool reads)
{
	struct cgroup_subsys_state *css;
	struct css_set *set = READ(task, cgroups);
	struct hlist_node *node;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id) || !bpf_core_type_exists(struct throtl_grp))
		return 0;
	bpf_core_read(&css, sizeof(css), &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id)]);
	node = BPF_CORE_READ((struct blkcg *)css, blkg_list.first); /* numbers to the verifier, where READ() gives pointers */
	for (int device = 0; device < THROTTLE_DEVICES && node; device++) {
		struct blkcg_gq *group = (void *)node - bpf_core_field_offset(struct blkcg_gq, blkcg_node);
		struct request_queue *queue = READ(group, q);
		struct throtl_data *data = BPF_CORE_READ(queue, td);

		node = BPF_CORE_READ(node, next);
		for (int level = 0; level < THROTTLE_LEVELS && group && data; level++) {
			if (holds_back((__u64)group, (__u64)data, reads))
				return 1;
			group = BPF_CORE_READ(group, parent);
		}
	}
	return 0;
}

/* The thread's entry of `sleeps` for its operation in flight, made of the scratch if there is none. */
static __always_inline struct sleep *sleep_of(struct op_slot *slot, struct sleep *scratch)
{
	__u32 tid = slot->tid;
	struct sleep *own = bpf_map_lookup_elem(&sleeps, &tid);

	if (own && own->start == slot->start)
		return own;
	scratch->start = slot->start;
	scratch->longest = scratch->waits = scratch->frames = 0;
	for (int i = 0; i < SLEEP_REASONS; i++)
		scratch->blocked[i] = 0;
	if (bpf_map_update_elem(&sleeps, &tid, scratch, BPF_ANY)) {
		count(LEDGER_SLEEP_NOT_NOTED);
		return NULL;
	}
	slot->noted = 1;
	own = bpf_map_lookup_elem(&sleeps, &tid);
	if (own) /* a program that was preempted here may have had another one write the scratch: of all that is in it only this differs */
		own->start = slot->start;
	return own;
}

/* Charge the sleep so far to the reason of the stack in `scratch` (of `frames`, 0: none), and keep what the event will show. */
static __noinline int sleep_note(struct op_slot *slot, struct sleep *scratch, struct wait_interval *wait, __u32 frames)
{
	__u64 took = wait->on - wait->off;
	struct sleep *own;
	__u32 reason;

	if (frames > STACK_MAX)
		frames = STACK_MAX;
	reason = slot->unclassified ? reason_of_sleep(scratch, frames, slot) : WAIT_RUNQUEUE;
	own = sleep_of(slot, scratch);
	if (!own)
		return 0;
	if (reason < SLEEP_REASONS) {
		own->blocked[reason] += slot->unclassified;
		slot->unclassified = 0;
	}
	if (took >= SLEEP_MIN) {
		if (own->waits < WAITS_MAX) {
			struct wait_interval *place = &own->wait[own->waits & (WAITS_MAX - 1)];

			place->off = wait->off;
			place->waking = wait->waking;
			place->on = wait->on;
			place->reason = wait->waking - wait->off > took / 2 ? reason : WAIT_RUNQUEUE;
		}
		own->waits++;
	}
	if (took > own->longest) {
		own->longest = took;
		own->frames = frames;
		bpf_probe_read_kernel(own->stack, frames * sizeof(__u64), scratch->stack);
	}
	return 0;
}

/* Clear the second line of a slot before its first use by an operation. */
static __always_inline void wait_first(struct op_slot *slot, struct task_struct *task)
{
	if (slot->waited)
		return;
	slot->delay = bpf_core_field_exists(task->sched_info.run_delay) ? READ(task, sched_info.run_delay) : 0;
	slot->off = slot->waking = slot->runqueue = slot->unattributed = slot->unclassified = 0;
	slot->noted = slot->throttled = slot->contended = 0;
	slot->waited = 1;
}

/* What the kernel counted in run queues, since the thread first left the CPU, that is not in the slot yet. */
static __always_inline __u64 queued_unseen(const struct op_slot *slot, struct task_struct *task)
{
	__u64 queued;

	if (!bpf_core_field_exists(task->sched_info.run_delay))
		return 0;
	queued = READ(task, sched_info.run_delay) - slot->delay;
	return queued > slot->runqueue ? queued - slot->runqueue : 0;
}

/*
 * A thread that left the CPU at slot->off, and whose switch-in was not seen, is on it. From its wake-up on it was in a run queue
 * for as long as the kernel counted, then on the CPU. Without a wake-up the rest could be either. The stack of the sleep is gone;
 * that its cgroup was throttled is known.
 */
static __noinline int wait_unseen(struct op_slot *slot, struct task_struct *task, __u64 now)
{
	struct wait_interval wait = {.off = slot->off, .waking = slot->waking};
	__u64 left = now - slot->off, queued = queued_unseen(slot, task);
	bool woken = slot->waking >= slot->off;
	struct sleep *scratch = scratch_of_sleep(2);

	if (woken)
		left = now - slot->waking;
	if (queued > left)
		queued = left;
	wait.on = slot->waking + queued;
	slot->runqueue += queued;
	if (woken)
		slot->unclassified += slot->waking - slot->off;
	else
		slot->unattributed += left - queued;
	slot->off = slot->waking = 0;
	if (woken && scratch && slot->unclassified >= SLEEP_MIN)
		sleep_note(slot, scratch, &wait, 0);
	return 0;
}

/* Take time in run queues that was not seen as such from what is not attributed, then from what would be told as on the CPU. */
static __always_inline void wait_correct(struct op_slot *slot, __u64 queued, __u64 on_cpu)
{
	__u64 moved = queued < slot->unattributed ? queued : slot->unattributed;

	slot->unattributed -= moved;
	slot->runqueue += moved;
	queued -= moved;
	if (queued >= UNSEEN_MIN) /* neither the switch-out was seen nor the switch-in */
		slot->runqueue += queued < on_cpu ? queued : on_cpu;
}

/* A thread leaves the CPU; `runnable` unless it goes to sleep. */
static __always_inline void wait_begin(struct op_slot *slot, struct task_struct *task, bool runnable)
{
	__u64 now = bpf_ktime_get_ns();

	wait_first(slot, task);
	if (slot->off)
		wait_unseen(slot, task, now);
	slot->off = now;
	if (runnable)
		slot->waking = now;
	else
		slot->throttled = is_throttled(task, only_reads(slot->operation));
}

/*
 * A thread is on the CPU again. A wake-up that came before it was off is one that overtook the switch; without one and
 * asleep, it is not known how long it slept.
 */
static __always_inline bool wait_end(struct op_slot *slot, struct wait_interval *wait)
{
	wait->off = slot->off;
	wait->waking = slot->waking;
	wait->on = bpf_ktime_get_ns();
	if (!slot->waited || !wait->off)
		return false;
	slot->off = slot->waking = 0;
	if (!wait->waking) {
		slot->unattributed += wait->on - wait->off;
		return false;
	}
	if (wait->waking < wait->off)
		wait->waking = wait->off;
	slot->unclassified += wait->waking - wait->off;
	slot->runqueue += wait->on - wait->waking;
	return wait->on - wait->off >= SLEEP_MIN || slot->unclassified >= SLEEP_MIN;
}

#ifndef at_sleep /* a family may define it before this header: what else is done with a thread that goes to sleep */
#define at_sleep(task) ((void)0)
#endif

static __always_inline void wait_leave(bool preempted, struct task_struct *prev)
{
	struct op_slot *slot = slot_of(READ(prev, pid));

	if (slot && !slot->over)
		wait_begin(slot, prev, preempted || !task_state(prev));
	if (!preempted)
		at_sleep(prev);
}

SEC("tp_btf/sched_switch")
int wait_switch_tp_btf(__u64 *ctx)
{
	struct task_struct *next = (struct task_struct *)ctx[2];
	struct wait_interval wait = {};
	struct sleep *scratch;
	struct op_slot *slot;
	long bytes;

	wait_leave(ctx[0], (struct task_struct *)ctx[1]);
	slot = slot_of(next->pid);
	if (!slot || !wait_end(slot, &wait))
		return 0;
	scratch = scratch_of_sleep(0);
	if (!scratch)
		return 0;
	bytes = is_walkable(next) ? bpf_get_task_stack(next, scratch->stack, sizeof(scratch->stack), 0) : 0;
	sleep_note(slot, scratch, &wait, bytes > 0 ? bytes / sizeof(__u64) : 0);
	return 0;
}

SEC("raw_tp/sched_switch")
int wait_switch_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *next = (struct task_struct *)ctx->args[2];
	struct wait_interval wait = {};
	struct sleep *scratch;
	struct op_slot *slot;

	wait_leave(ctx->args[0], (struct task_struct *)ctx->args[1]);
	slot = slot_of(READ(next, pid));
	if (!slot || !wait_end(slot, &wait))
		return 0;
	scratch = scratch_of_sleep(0);
	if (scratch)
		sleep_note(slot, scratch, &wait, 0); /* another task's stack is refused to this program type */
	return 0;
}

#define LCB_F_SPIN 1   /* include/linux/lockdep.h and include/trace/events/lock.h */
#define LCB_F_PERCPU 16

/* What of a lock's address op_slot::contended has room for. */
static __always_inline __u16 lock_bits(__u64 lock)
{
	return lock >> 3 << 5;
}

/* The lock's own functions are not in a sleeping stack: the kernel leaves out what is part of the scheduler. */
static __always_inline void lock_begin(__u64 lock, __u32 flags)
{
	struct task_struct *task = current_task();
	struct op_slot *slot;

	if (flags & LCB_F_SPIN)
		return;
	slot = slot_of(thread_id(task));
	if (!slot)
		return;
	wait_first(slot, task);
	slot->contended = flags & LCB_F_PERCPU ? WAIT_FREEZE : WAIT_LOCK; /* in a file operation such a lock is that of a frozen file system */
	slot->contended |= lock_bits(lock);
}

/* Another lock may end: one that spins, on the way to sleep for this one or in an interrupt. */
static __always_inline void lock_end(__u64 lock)
{
	struct op_slot *slot = slot_of(thread_id(current_task()));

	if (slot && slot->waited && (slot->contended & ~CONTENDED_REASON) == lock_bits(lock))
		slot->contended = 0;
}

SEC("tp_btf/contention_begin")
int wait_lock_begin_tp_btf(__u64 *ctx)
{
	lock_begin(ctx[0], ctx[1]);
	return 0;
}

SEC("tp_btf/contention_end")
int wait_lock_end_tp_btf(__u64 *ctx)
{
	lock_end(ctx[0]);
	return 0;
}

SEC("raw_tp/contention_begin")
int wait_lock_begin_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	lock_begin(ctx->args[0], ctx->args[1]);
	return 0;
}

SEC("raw_tp/contention_end")
int wait_lock_end_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	lock_end(ctx->args[0]);
	return 0;
}

static __always_inline void wait_wake(struct task_struct *task)
{
	struct op_slot *slot = slot_of(READ(task, pid));

	/* One that is in the run queue already is not woken from a sleep: preempted on its way there, it never slept. */
	if (slot && slot->waited && (!slot->off || slot->waking < slot->off))
		slot->waking = bpf_ktime_get_ns();
}

SEC("tp_btf/sched_waking")
int wait_waking_tp_btf(__u64 *ctx)
{
	wait_wake((struct task_struct *)ctx[0]);
	return 0;
}

SEC("raw_tp/sched_waking")
int wait_waking_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	wait_wake((struct task_struct *)ctx->args[0]);
	return 0;
}

#endif
