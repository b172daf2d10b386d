/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Slow operations as events: header, waits, stacks and file of one operation, as long as they are, in a ring that the agent
 * maps. Each slow operation is emitted, or counted under the reason why not.
 */
#ifndef PERFLENS_EVENT_H
#define PERFLENS_EVENT_H

#define HAS_WAITS
#include "budget.h"
#include "hist.h"
#include "request.h"
#include "ring.h"
#include "wait.h"

#define EVENT_PATH_SIZE 1024 /* power of two: offsets are masked with it */
#define EVENT_NAME_SIZE 256  /* NAME_MAX and a NUL */
#define EVENT_DEPTH 32

/* Frames of a user stack; the agent sets it, at most STACK_MAX. */
const volatile __u32 user_frames = 20;
const volatile __u32 kernel_frames = 20;

__u64 in_progress_after = 0; /* ns; the agent sets it */

enum event_kind { EVENT_ENDED, EVENT_IN_PROGRESS };

DECLARE_ENUM(event_kind);

struct event_frame { /* struct bpf_stack_build_id of include/uapi/linux/bpf.h */
	__s32 status;
	__u8 build_id[20];
	__u64 offset;
};

DECLARE_STRUCT(event_frame);

/*
 * Followed by, each in turn: if `noted` SLEEP_REASONS u64 of ns asleep by reason, `waits` struct wait_interval, `requests` struct
 * request_note, `kernel_frames` u64 addresses, `user_frames` struct event_frame, `program_length` bytes of the path of what the process runs and `path_length` bytes
 * of the file's, leaf first, each name ended by NUL.
 */
struct event {
	pl_ktime_ns start;
	__u64 duration;
	__u64 process_start; /* ns of CLOCK_BOOTTIME */
	pl_cgroup_id owner;
	__s64 result;
	__u64 inode;
	__u64 runqueue;
	__u64 unattributed;
	__u64 unclassified;
	__u32 device; /* as the kernel keeps it: major << 20 | minor */
	__u32 pid;
	__u32 tid;
	__u32 parent;
	__u16 kind;
	__u16 operation;
	__u16 noted;
	__u16 waits;
	__u16 kernel_frames;
	__u16 user_frames;
	__u16 path_length;
	__u16 path_complete;
	__u16 program_length;
	__u16 program_complete;
	__u16 requests;
	__u16 spare;
	__u32 requests_seen;
	__u32 waits_seen;
	__u32 used; /* bytes that follow; kept here and not in a register, so that the verifier does not follow its every value */
	__u32 waiting_reason; /* in progress: of the sleep that goes on */
	__u64 waiting;	      /* ns of it, in no other field */
	char comm[16];
	char process_name[16];
	char object[16];
};

/* The tail is written at offsets up to TAIL_MASK, by pieces of at most 4 KiB. */
#define TAIL_MASK 8191

struct event_buffer {
	__u64 claims; /* who reads 1 after adding 1 has the buffer: programs of several functions may preempt each other */
	struct event head;
	char tail[TAIL_MASK + 1 + 4096];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2); /* by event_kind */
	__type(key, __u32);
	__type(value, struct event_buffer);
} event_buffers SEC(".maps");

struct path_walk {
	struct dentry *dentry;
	struct dentry *root; /* of the mount */
	struct mount *mount;
};

/*
 * Add the name of where the walk is, or cross to the mount around it; false at the end. A function of its own: kernels before
 * 6.2 refuse a loop that the compiler enters in its middle.
 */
static __noinline int event_path_step(struct event_buffer *event, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
	__u32 length = event->head.path_length, at = event->head.used + length;
	long got;

	if (dentry == walk->root || dentry == parent) {
		struct mount *mount = walk->mount, *below = BPF_CORE_READ(mount, mnt_parent);

		if (dentry != walk->root || below == mount) {
			event->head.path_complete = 1;
			return 0;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = below;
		walk->root = BPF_CORE_READ(below, mnt.mnt_root);
		return 1;
	}
	got = bpf_probe_read_kernel_str(&event->tail[at & TAIL_MASK], EVENT_NAME_SIZE, BPF_CORE_READ(dentry, d_name.name));
	if (got <= 0 || length + got > EVENT_PATH_SIZE)
		return 0;
	event->head.path_length = length + got;
	walk->dentry = parent;
	return 1;
}

/* Copy the path of a file, leaf first, through the mounts up to its namespace's root. */
static __noinline int event_path(struct event_buffer *event, struct file *file)
{
	struct vfsmount *visible = BPF_CORE_READ(file, f_path.mnt);
	struct path_walk walk = {.dentry = BPF_CORE_READ(file, f_path.dentry), .root = BPF_CORE_READ(visible, mnt_root)};

	walk.mount = (void *)visible - bpf_core_field_offset(struct mount, mnt);
	event->head.path_length = event->head.path_complete = 0;
	if (!file)
		return 0;
	for (int level = 0; level < EVENT_DEPTH; level++) {
		if (!event_path_step(event, &walk))
			break;
	}
	event->head.used += event->head.path_length;
	return 0;
}

/* The paths of the program that a task runs, none of a kernel thread, and of the file of its operation. */
static __always_inline void event_paths(struct event_buffer *event, struct task_struct *task, struct file *file)
{
	event_path(event, BPF_CORE_READ(task, mm, exe_file));
	event->head.program_length = event->head.path_length;
	event->head.program_complete = event->head.path_complete;
	event_path(event, file);
}

static __always_inline void event_file(struct event_buffer *event, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	event->head.inode = BPF_CORE_READ(inode, i_ino);
	event->head.device = (BPF_CORE_READ(inode, i_mode) & 0170000) == 0060000 ? BPF_CORE_READ(inode, i_rdev)
										  : BPF_CORE_READ(inode, i_sb, s_dev);
}

static __always_inline void event_task(struct event *head, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	head->process_start = BPF_CORE_READ(leader, start_boottime);
	head->pid = BPF_CORE_READ(task, tgid);
	head->tid = BPF_CORE_READ(task, pid);
	head->parent = BPF_CORE_READ(task, real_parent, tgid);
	BPF_CORE_READ_INTO(&head->comm, task, comm);
	BPF_CORE_READ_INTO(&head->process_name, leader, comm);
}

/* What the block family noted of the operation. */
static __always_inline void event_requests(struct event_buffer *event, const struct op_slot *slot)
{
	__u32 at = event->head.used, tid = slot->tid;
	struct thread_requests *own = bpf_map_lookup_elem(&thread_requests, &tid);
	__u32 seen;

	if (!own || own->operation_start != slot->start)
		return;
	event->head.requests_seen = seen = own->seen;
	if (seen > NOTES_MAX)
		seen = NOTES_MAX;
	event->head.requests = seen;
	bpf_probe_read_kernel(&event->tail[at & TAIL_MASK], sizeof(own->note), own->note); /* all: before 6.8 the verifier loses the bound of `seen` */
	event->head.used = at + seen * sizeof(struct request_note);
}

/* The header and the waits. */
static __always_inline void event_begin(struct event_buffer *event, struct op_slot *slot, struct task_struct *task)
{
	struct event *head = &event->head;
	__u32 tid = slot->tid;
	struct sleep *sleep = slot->waited && slot->noted ? bpf_map_lookup_elem(&sleeps, &tid) : NULL;

	head->used = 0;
	head->start = slot->start;
	head->owner = slot->owner;
	head->operation = slot->operation;
	head->runqueue = head->unattributed = head->unclassified = 0;
	head->noted = head->waits = head->waits_seen = head->kernel_frames = head->waiting_reason = 0;
	head->waiting = 0;
	head->requests = head->requests_seen = 0;
	object_name(head->object, sizeof(head->object), slot->object);
	event_task(head, task);
	event_file(event, slot->file);
	if (slot->waited) {
		head->runqueue = slot->runqueue;
		head->unattributed = slot->unattributed;
		head->unclassified = slot->unclassified;
	}
	if (sleep && sleep->start == slot->start) {
		__u32 waits = sleep->waits < WAITS_MAX ? sleep->waits : WAITS_MAX;

		head->noted = 1;
		head->waits = waits;
		head->waits_seen = sleep->waits;
		bpf_probe_read_kernel(event->tail, sizeof(sleep->blocked), sleep->blocked);
		bpf_probe_read_kernel(&event->tail[sizeof(sleep->blocked)], waits * sizeof(struct wait_interval), sleep->wait);
		head->used = sizeof(sleep->blocked) + waits * sizeof(struct wait_interval);
	}
}

static __always_inline void event_kernel_stack(struct event_buffer *event, const __u64 *stack, __u32 frames)
{
	__u32 at = event->head.used;

	if (frames > kernel_frames)
		frames = kernel_frames;
	if (frames > STACK_MAX)
		frames = STACK_MAX;
	event->head.kernel_frames = frames;
	bpf_probe_read_kernel(&event->tail[at & TAIL_MASK], frames * sizeof(__u64), stack);
	event->head.used = at + frames * sizeof(__u64);
}

static __always_inline void event_user_stack(struct event_buffer *event, void *ctx)
{
	__u32 at = event->head.used, size = user_frames * sizeof(struct event_frame);
	long got = bpf_get_stack(ctx, &event->tail[at & TAIL_MASK], size, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
	__u32 frames = got > 0 ? got / sizeof(struct event_frame) : 0;

	event->head.user_frames = frames;
	event->head.used = at + frames * sizeof(struct event_frame);
}

static __always_inline __u32 event_size(const struct event_buffer *event)
{
	__u32 used = event->head.used;

	return sizeof(event->head) + (used < TAIL_MASK ? used : TAIL_MASK);
}

struct operation_end {
	pl_ktime_ns time;
	__s64 result;
};

/* Emit the operation of the current thread, which has ended. */
static __noinline int event_emit(void *ctx, struct op_slot *slot, const struct operation_end *end)
{
	__u32 kind = EVENT_ENDED, tid = slot->tid;
	struct event_buffer *event = bpf_map_lookup_elem(&event_buffers, &kind);
	struct sleep *sleep;

	if (!event)
		return 0;
	if (!is_within_budget(slot->owner, end->time)) {
		count(LEDGER_SUPPRESSED);
		return 0;
	}
	__sync_fetch_and_add(&event->claims, 1);
	if (*(volatile __u64 *)&event->claims != 1) {
		__sync_fetch_and_add(&event->claims, -1);
		count(LEDGER_BUFFER_BUSY);
		return 0;
	}
	event_begin(event, slot, current_task());
	event->head.kind = EVENT_ENDED;
	event->head.duration = end->time - slot->start;
	event->head.result = end->result;
	event_requests(event, slot);
	sleep = event->head.noted ? bpf_map_lookup_elem(&sleeps, &tid) : NULL;
	if (sleep)
		event_kernel_stack(event, sleep->stack, sleep->frames);
	event_user_stack(event, ctx);
	event_paths(event, current_task(), slot->file);
	emit(&event->head, event_size(event));
	__sync_fetch_and_add(&event->claims, -1);
	return 0;
}

/* Add what an operation that ended at `now` waited for to its cell. */
static __noinline int wait_settle(struct op_slot *slot, struct cell *cell, __u64 now)
{
	struct sleep *sleep = NULL;
	__u32 tid = slot->tid;
	__u64 on_cpu;

	if (slot->off)
		wait_unseen(slot, current_task(), now);
	if (slot->noted)
		sleep = bpf_map_lookup_elem(&sleeps, &tid);
	if (sleep && sleep->start != slot->start)
		sleep = NULL;
	on_cpu = now - slot->start - slot->runqueue - slot->unattributed - slot->unclassified;
	for (int i = 0; sleep && i < SLEEP_REASONS; i++) {
		on_cpu -= sleep->blocked[i];
		if (cell && sleep->blocked[i])
			__sync_fetch_and_add(&cell->wait[i], sleep->blocked[i]);
	}
	wait_correct(slot, queued_unseen(slot, current_task()), on_cpu);
	if (!cell)
		return 0;
	__sync_fetch_and_add(&cell->wait[WAIT_UNCLASSIFIED], slot->unclassified);
	__sync_fetch_and_add(&cell->wait[WAIT_RUNQUEUE], slot->runqueue);
	__sync_fetch_and_add(&cell->wait[WAIT_UNATTRIBUTED], slot->unattributed);
	return 0;
}

/* The operation of the current thread is over: aggregate it, emit it if it is slow, and let its slot go. */
static __always_inline void operation_over(void *ctx, struct op_slot *slot, __u64 object, __s64 result)
{
	struct operation_end end = {.result = result};
	__u32 operation = slot->operation & (OPERATIONS_MAX - 1), tid = slot->tid;
	struct cell *cell;
	__u64 ns;
	bool slow;

	slot->over = 1;
	end.time = bpf_ktime_get_ns();
	ns = end.time - slot->start;
	slow = is_slow(operation, ns);
	cell = record(operation, slot->owner, object, ns, slow, &slot->cell[operation]);
	if (slot->waited)
		wait_settle(slot, cell, end.time);
	if (slow)
		event_emit(ctx, slot, &end);
	if (slot->waited && slot->noted)
		bpf_map_delete_elem(&sleeps, &tid);
	slot_end(slot);
}

/* The sleep, or the wait for a CPU, that goes on. */
static __always_inline void event_waiting(struct event *head, const struct op_slot *slot, const struct sleep *taken, __u32 frames, __u64 now)
{
	__u64 off = slot->off;

	if (!slot->waited || !off || off > now)
		return;
	/* a wake-up before it was off may be one that it has slept again since */
	head->waiting_reason = slot->waking >= off ? WAIT_RUNQUEUE : reason_of_sleep(taken, frames, slot);
	head->waiting = now - off;
}

#ifndef WITHOUT_KERNEL_BTF

/* Each operation that has been in flight for long enough, as an event of EVENT_IN_PROGRESS. */
SEC("iter/task")
int event_in_progress(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 kind = EVENT_IN_PROGRESS, frames;
	struct event_buffer *event;
	struct sleep *scratch;
	struct op_slot *slot;
	__u64 now = bpf_ktime_get_ns(), start;
	long got;

	if (!task)
		return 0;
	slot = slot_of(task->pid);
	event = bpf_map_lookup_elem(&event_buffers, &kind);
	scratch = scratch_of_sleep(1);
	if (!slot || !event || !scratch)
		return 0;
	start = slot->start;
	if (!start || start > now || now - start < in_progress_after)
		return 0;
	event_begin(event, slot, task);
	event->head.kind = EVENT_IN_PROGRESS;
	event->head.duration = now - start;
	event->head.result = 0;
	got = is_walkable(task) ? bpf_get_task_stack(task, scratch->stack, sizeof(scratch->stack), 0) : 0;
	frames = got > 0 ? got / sizeof(__u64) : 0;
	event_kernel_stack(event, scratch->stack, frames);
	event_waiting(&event->head, slot, scratch, frames, now);
	event->head.user_frames = 0; /* the kernel walks no other process's user stack */
	event_paths(event, task, slot->file);
	if (slot->start == start)
		bpf_seq_write(ctx->meta->seq, &event->head, event_size(event));
	return 0;
}

#endif

#endif
