// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* process, for bcc: the same processes, cgroups and events as process.bpf.c. */
#define PARTS 1

#include "common.h"
#include <linux/binfmts.h>

#define PROGRAM_PATH_SIZE 256 /* powers of two: lengths are masked with them */
#define CGROUP_PATH_SIZE 1024 /* TRACE_CGROUP_PATH_LEN of kernel/cgroup/cgroup-internal.h */
#define ENDED_MAX 1024

struct process_buffer {
	struct process_event head;
	char path[PROGRAM_PATH_SIZE];
};

struct cgroup_buffer {
	struct cgroup_event head;
	char path[CGROUP_PATH_SIZE];
};

struct ended_process {
	u64 start;
	u64 pid;
};

/* One for each kind: a program that is preempted shares its own with nobody. */
BPF_F_TABLE("percpu_array", u32, struct process_buffer, process_buffers, 3, 0);
BPF_F_TABLE("percpu_array", u32, struct cgroup_buffer, cgroup_buffers, 2, 0);
/* Processes of several threads whose end was told: the threads that ended beside the last one may pass after it. */
BPF_F_TABLE("lru_hash", struct ended_process, u8, ended, ENDED_MAX, 0);

/* Nothing lasts here: one slot, which stays empty. */
BPF_F_TABLE("array", u32, struct op_slot, slots, SLOTS_ENTRIES, BPF_F_MMAPABLE);

/* Nothing tells the cells apart but owner and operation. */
static void object_name(char *name, u32 size, u64 object)
{
	*name = 0;
}

static bool ends_process(struct task_struct *task, u64 group_dead)
{
#if EXIT_TELLS_GROUP_DEAD
	return (bool)group_dead;
#else
	struct task_struct *leader = LOAD(task, group_leader);
	struct signal_struct *signal = LOAD(task, signal);
	struct ended_process process = {.start = LOAD(leader, start_boottime), .pid = LOAD(leader, pid)};
	u8 told = 1;

	if (LOAD(signal, live.counter))
		return false;
	if (LOAD(signal, nr_threads) == 1) /* the others have passed: nobody comes after it */
		return !ended.lookup(&process);
	return !ended.insert(&process, &told);
#endif
}

/* What is filtered is not counted and told nevertheless: the tree of processes has to be whole. */
static void count_process(u32 operation, u64 owner, struct kernfs_node *node)
{
	struct cell *cell;
	u16 last = 0;

	if (is_turned_away(this_task()))
		return;
	count(LEDGER_ENTERED);
	cell = cell_of(operation, owner, 0, node, 0, &last);
	if (cell)
		__sync_fetch_and_add(&cell->bucket[0], 1);
}

/* Count what a process does, `operation`, and tell it; `program` is the path in the kernel's memory or NULL. */
static void process_seen(u32 operation, struct task_struct *task, const char *program)
{
	struct task_struct *leader = LOAD(task, group_leader), *parent = LOAD(leader, real_parent);
	struct task_struct *parents_leader = LOAD(parent, group_leader);
	struct kernfs_node *node = owner_of(task);
	u64 owner = LOAD(node, id);
	struct process_buffer *event = process_buffers.lookup(&operation);
	u32 length = 0;
	long got;

	count_process(operation, owner, node);
	if (!event)
		return;
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = operation; /* the same numbers */
	event->head.pid = LOAD(leader, pid);
	event->head.start = LOAD(leader, start_boottime);
	event->head.parent = LOAD(parents_leader, pid);
	event->head.parent_start = LOAD(parents_leader, start_boottime);
	event->head.owner = owner;
	bpf_probe_read_kernel(&event->head.comm, sizeof(event->head.comm), &leader->comm);
	if (program) {
		got = bpf_probe_read_kernel_str(event->path, sizeof(event->path), (void *)program);
		length = got > 0 ? (got - 1) & (PROGRAM_PATH_SIZE - 1) : 0;
	}
	event->head.path_length = length;
	count(events.ringbuf_output(event, sizeof(event->head) + length, BPF_RB_NO_WAKEUP) ? LEDGER_RING_FULL : LEDGER_EMITTED);
}

static void cgroup_seen(u32 kind, struct cgroup *cgroup, const char *path)
{
	u32 place = kind - EVENT_MKDIR, length;
	struct cgroup_buffer *event = cgroup_buffers.lookup(&place);
	struct cgroup_root *root = LOAD(cgroup, root);
	struct kernfs_node *node = LOAD(cgroup, kn);
	long got;

	if (!event)
		return;
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = kind;
	event->head.hierarchy = LOAD(root, hierarchy_id);
	event->head.cgroup = LOAD(node, id);
	got = bpf_probe_read_kernel_str(event->path, sizeof(event->path), (void *)path);
	length = got > 0 ? (got - 1) & (CGROUP_PATH_SIZE - 1) : 0;
	if (length == CGROUP_PATH_SIZE - 1) /* it may have lost its end */
		length = 0;
	event->head.path_length = length;
	count(events.ringbuf_output(event, sizeof(event->head) + length, BPF_RB_NO_WAKEUP) ? LEDGER_RING_FULL : LEDGER_EMITTED);
}

ATTACH(process_exit, sched_process_exit)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];

	if (ends_process(task, ctx->args[1]))
		process_seen(PROCESS_EXIT, task, NULL);
	return 0;
}

ATTACH(process_exec, sched_process_exec)
{
	struct linux_binprm *program = (struct linux_binprm *)ctx->args[2];

	process_seen(PROCESS_EXEC, (struct task_struct *)ctx->args[0], LOAD(program, filename));
	return 0;
}

ATTACH(process_fork, sched_process_fork)
{
	struct task_struct *child = (struct task_struct *)ctx->args[1];

	if (LOAD(child, pid) == LOAD(child, tgid))
		process_seen(PROCESS_FORK, child, NULL);
	return 0;
}

ATTACH(process_cgroup_mkdir, cgroup_mkdir)
{
	cgroup_seen(EVENT_MKDIR, (struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
	return 0;
}

ATTACH(process_cgroup_rmdir, cgroup_rmdir)
{
	cgroup_seen(EVENT_RMDIR, (struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
	return 0;
}
