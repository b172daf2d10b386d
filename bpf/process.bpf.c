// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * process: every process that begins, becomes another program or ends, and every cgroup that is made or removed. Processes are
 * counted by owner in histogram cells (hist.h), of which only the first bucket is used; each is told by an event too, and so is
 * each cgroup. Threads are no processes: they enter no ledger.
 */
#include "include/compat.h"
#include "include/ledger.h"
#include "include/owner.h"

enum process_operation {
	PROCESS_FORK,
	PROCESS_EXEC,
	PROCESS_EXIT,
};

DECLARE_ENUM(process_operation);

/* Nothing tells the cells apart but owner and operation. */
static __always_inline void object_name(char *name, __u32 size, __u64 object)
{
	*name = 0;
}

#define EVENTS_SIZE (1 << 20)

#include "include/filter.h"
#include "include/hist.h"
#include "include/ring.h"

#define PROGRAM_PATH_SIZE 256 /* powers of two: lengths are masked with them */
#define CGROUP_PATH_SIZE 1024 /* TRACE_CGROUP_PATH_LEN of kernel/cgroup/cgroup-internal.h: there is no longer one */
#define ENDED_MAX 1024

enum process_event_kind { EVENT_FORK, EVENT_EXEC, EVENT_EXIT, EVENT_MKDIR, EVENT_RMDIR };

DECLARE_ENUM(process_event_kind);

/* Followed by `path_length` bytes of the program's path, as the caller of exec gave it; none unless the kind is EVENT_EXEC. */
struct process_event {
	pl_ktime_ns time;
	__u32 kind;
	__u32 path_length;
	__u32 pid;
	__u32 parent;
	__u64 start; /* of the process and of its parent, ns of CLOCK_BOOTTIME */
	__u64 parent_start;
	pl_cgroup_id owner;
	char comm[16];
};

DECLARE_STRUCT(process_event);

/* Followed by `path_length` bytes of the path below the hierarchy's root; none when it is longer than CGROUP_PATH_SIZE. */
struct cgroup_event {
	pl_ktime_ns time;
	__u32 kind;
	__u32 path_length;
	__u32 hierarchy; /* 0: the v2 tree */
	__u32 spare;
	pl_cgroup_id cgroup;
};

DECLARE_STRUCT(cgroup_event);

_Static_assert(__builtin_offsetof(struct process_event, kind) == __builtin_offsetof(struct cgroup_event, kind), "it tells which one it is");

struct process_buffer {
	struct process_event head;
	char path[PROGRAM_PATH_SIZE];
};

struct cgroup_buffer {
	struct cgroup_event head;
	char path[CGROUP_PATH_SIZE];
};

/* One for each kind: a program that is preempted shares its own with nobody. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_EXIT + 1);
	__type(key, __u32);
	__type(value, struct process_buffer);
} process_buffers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_RMDIR - EVENT_MKDIR + 1);
	__type(key, __u32);
	__type(value, struct cgroup_buffer);
} cgroup_buffers SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	int nr_threads;
};

struct task_struct___with_signal {
	struct signal_struct *signal;
};

struct linux_binprm {
	const char *filename;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup___with_root {
	struct cgroup_root *root;
};

struct trace_event_raw_sched_process_exit {
	bool group_dead;
};

#pragma clang attribute pop

struct ended_process {
	__u64 start;
	__u64 pid;
};

/* Processes of several threads whose end was told: the threads that ended beside the last one may pass after it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDED_MAX);
	__type(key, struct ended_process);
	__type(value, __u8);
} ended SEC(".maps");

static __noinline int ends_first(struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct ended_process process = {.start = BPF_CORE_READ(leader, start_boottime), .pid = BPF_CORE_READ(leader, pid)};
	struct signal_struct *signal = BPF_CORE_READ((struct task_struct___with_signal *)task, signal);
	__u8 told = 1;

	if (BPF_CORE_READ(signal, live.counter))
		return 0;
	if (BPF_CORE_READ(signal, nr_threads) == 1) /* the others have passed: nobody comes after it */
		return !bpf_map_lookup_elem(&ended, &process);
	return !bpf_map_update_elem(&ended, &process, &told, BPF_NOEXIST);
}

/*
 * Whether a thread that exits is the last of its process. The tracepoint says so from "exit: move and extend
 * sched_process_exit() tracepoint" (6.16) on; before, of threads that end together each may find itself the last.
 */
static __always_inline bool ends_process(struct task_struct *task, __u64 group_dead)
{
	if (bpf_core_field_exists(struct trace_event_raw_sched_process_exit, group_dead))
		return (bool)group_dead;
	return ends_first(task);
}

/* What is filtered is not counted and told nevertheless: the tree of processes has to be whole. */
static __noinline int count_process(__u32 operation, __u64 owner)
{
	__u16 last = 0;

	if (is_turned_away(current_task()))
		return 0;
	count(LEDGER_ENTERED);
	record(operation, owner, 0, 0, false, &last);
	return 0;
}

/* Count what a process does, `operation`, and tell it; `program` is the path in the kernel's memory or NULL. */
static __noinline int process_seen(__u32 operation, struct task_struct *task, const char *program)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader), *parent = BPF_CORE_READ(leader, real_parent, group_leader);
	struct process_buffer *event = bpf_map_lookup_elem(&process_buffers, &operation);
	__u64 owner = BPF_CORE_READ(owner_of_untyped(task), id);
	__u32 length = 0;
	long got;

	count_process(operation, owner);
	if (!event)
		return 0;
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = operation; /* the same numbers */
	event->head.pid = BPF_CORE_READ(leader, pid);
	event->head.start = BPF_CORE_READ(leader, start_boottime);
	event->head.parent = BPF_CORE_READ(parent, pid);
	event->head.parent_start = BPF_CORE_READ(parent, start_boottime);
	event->head.owner = owner;
	BPF_CORE_READ_INTO(&event->head.comm, leader, comm);
	if (program) {
		got = bpf_probe_read_kernel_str(event->path, sizeof(event->path), program);
		length = got > 0 ? (got - 1) & (PROGRAM_PATH_SIZE - 1) : 0;
	}
	event->head.path_length = length;
	emit(event, sizeof(event->head) + length);
	return 0;
}

static __always_inline int process_fork(struct task_struct *child)
{
	if (BPF_CORE_READ(child, pid) == BPF_CORE_READ(child, tgid))
		process_seen(PROCESS_FORK, child, NULL);
	return 0;
}

static __always_inline int process_exec(struct task_struct *task, struct linux_binprm *program)
{
	return process_seen(PROCESS_EXEC, task, BPF_CORE_READ(program, filename));
}

static __always_inline int process_exit(struct task_struct *task, __u64 group_dead)
{
	if (ends_process(task, group_dead))
		process_seen(PROCESS_EXIT, task, NULL);
	return 0;
}

static __noinline int cgroup_seen(__u32 kind, struct cgroup *cgroup, const char *path)
{
	__u32 place = kind - EVENT_MKDIR, length;
	struct cgroup_buffer *event = bpf_map_lookup_elem(&cgroup_buffers, &place);
	long got;

	if (!event)
		return 0;
	event->head.time = bpf_ktime_get_ns();
	event->head.kind = kind;
	event->head.hierarchy = BPF_CORE_READ((struct cgroup___with_root *)cgroup, root, hierarchy_id);
	event->head.spare = 0;
	event->head.cgroup = BPF_CORE_READ(cgroup, kn, id);
	got = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);
	length = got > 0 ? (got - 1) & (CGROUP_PATH_SIZE - 1) : 0;
	if (length == CGROUP_PATH_SIZE - 1) /* it may have lost its end */
		length = 0;
	event->head.path_length = length;
	emit(event, sizeof(event->head) + length);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int process_fork_tp_btf(__u64 *ctx)
{
	return process_fork((struct task_struct *)ctx[1]);
}

SEC("tp_btf/sched_process_exec")
int process_exec_tp_btf(__u64 *ctx)
{
	return process_exec((struct task_struct *)ctx[0], (struct linux_binprm *)ctx[2]);
}

SEC("tp_btf/sched_process_exit")
int process_exit_tp_btf(__u64 *ctx)
{
	if (bpf_core_field_exists(struct trace_event_raw_sched_process_exit, group_dead))
		return process_exit((struct task_struct *)ctx[0], ctx[1]);
	return process_exit((struct task_struct *)ctx[0], 0);
}

SEC("tp_btf/cgroup_mkdir")
int process_cgroup_mkdir_tp_btf(__u64 *ctx)
{
	return cgroup_seen(EVENT_MKDIR, (struct cgroup *)ctx[0], (const char *)ctx[1]);
}

SEC("tp_btf/cgroup_rmdir")
int process_cgroup_rmdir_tp_btf(__u64 *ctx)
{
	return cgroup_seen(EVENT_RMDIR, (struct cgroup *)ctx[0], (const char *)ctx[1]);
}

SEC("raw_tp/sched_process_fork")
int process_fork_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return process_fork((struct task_struct *)ctx->args[1]);
}

SEC("raw_tp/sched_process_exec")
int process_exec_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return process_exec((struct task_struct *)ctx->args[0], (struct linux_binprm *)ctx->args[2]);
}

SEC("raw_tp/sched_process_exit")
int process_exit_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return process_exit((struct task_struct *)ctx->args[0], ctx->args[1]);
}

SEC("raw_tp/cgroup_mkdir")
int process_cgroup_mkdir_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return cgroup_seen(EVENT_MKDIR, (struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
}

SEC("raw_tp/cgroup_rmdir")
int process_cgroup_rmdir_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return cgroup_seen(EVENT_RMDIR, (struct cgroup *)ctx->args[0], (const char *)ctx->args[1]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
