/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What differs between kernels and architectures, one block per difference; callers see plain functions. */
#ifndef PERFLENS_COMPAT_H
#define PERFLENS_COMPAT_H

#include "types.h"

/* Objects for kernels without BTF of their own (WITHOUT_KERNEL_BTF) use nothing that the kernel types. */
#ifdef WITHOUT_KERNEL_BTF
#define WITHOUT_CAST
#define HAS_TYPED_TASK false
#else
#define HAS_TYPED_TASK bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)
#endif

/*
 * bpf_rdonly_cast (kernel commit fd264ca02094, "bpf: Add kfunc bpf_cast_to_kern_ctx", 6.2) types any pointer, so that a field is one
 * load; before it each field is a probe_read. Objects for older kernels (WITHOUT_CAST) do not name it: libbpf looks for a function that
 * the kernel lacks in every module, which takes CAP_SYS_ADMIN.
 */
#ifdef WITHOUT_CAST
#define READS_BY_CAST false
#define bpf_rdonly_cast(object, btf_id) ((void *)(object))
#define READ(pointer, field) BPF_CORE_READ((pointer), field)
#else
#define READS_BY_CAST true
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym;

#define READ(pointer, field) (((typeof(pointer))bpf_rdonly_cast((pointer), bpf_core_type_id_kernel(typeof(*(pointer)))))->field)
#endif

/* A field by one load where the verifier knows the pointer's type, which a cast would have it check at each load. */
#define READ_IF_TYPED(typed, pointer, field) ((typed) ? (pointer)->field : READ(pointer, field))

/* bpf_get_current_task_btf (3ca1032ab7ab, 5.11) types the current task without a cast. */
static __always_inline struct task_struct *current_task(void)
{
	if (HAS_TYPED_TASK)
		return (struct task_struct *)bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/* Copy a task's name, 16 bytes: two loads where the task is `typed`, or by a cast, in place of a helper's call. */
static __always_inline void copy_comm(char *to, struct task_struct *task, bool typed)
{
	if (typed || READS_BY_CAST) {
		struct task_struct *own = typed ? task : bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
		const __u64 *from = (const __u64 *)&own->comm;

		((__u64 *)to)[0] = from[0];
		((__u64 *)to)[1] = from[1];
	} else {
		bpf_probe_read_kernel(to, 16, (void *)task + bpf_core_field_offset(struct task_struct, comm));
	}
}

/* The thread id of the current task: a load where the task is typed, a helper's call (10 ns) where it is not. */
static __always_inline __u32 thread_id(struct task_struct *task)
{
	if (HAS_TYPED_TASK)
		return task->pid;
	return (__u32)bpf_get_current_pid_tgid();
}

/* task_struct::state became __state (2f064a59a11f, "sched: Change task_struct::state", 5.14). */
static __always_inline long task_state(struct task_struct *task)
{
	struct task_struct___before_state_was_private *before = (void *)task;

	if (bpf_core_field_exists(before->state))
		return BPF_CORE_READ(before, state);
	return READ(task, __state);
}

/*
 * Whether the stack of another task can be walked: with a kretprobe on it the kernel warns, if the task runs meanwhile, or is about to
 * (73f9b911faa7, "kprobes: Use rethook for kretprobe if possible", 5.18; rethook_find_ret_addr).
 */
static __always_inline bool is_walkable(struct task_struct *task)
{
	struct task_struct___with_rethooks *with = (void *)task;

	return !bpf_core_field_exists(with->rethooks) || !BPF_CORE_READ(with, rethooks.first);
}

/* kernfs_node::parent became __parent, read under RCU (741c10b096bc, "kernfs: Use RCU to access kernfs_node::parent", 6.15). */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___rcu_parent *rcu = (void *)node;

	if (bpf_core_field_exists(rcu->__parent))
		return BPF_CORE_READ(rcu, __parent);
	return BPF_CORE_READ(node, parent);
}

#if defined(__TARGET_ARCH_x86)

#define REGISTER_ARGUMENT 14 /* di and ax in struct pt_regs of arch/x86/include/uapi/asm/ptrace.h, in words */
#define REGISTER_RESULT 10

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit system call is running */

static __always_inline bool is_compat_syscall(struct task_struct *task)
{
	return READ_IF_TYPED(HAS_TYPED_TASK, task, thread_info.status) & TS_COMPAT;
}

static __always_inline long syscall_number(struct pt_regs *regs, bool typed)
{
	return READ_IF_TYPED(typed, regs, orig_ax);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, bool typed, int index, bool compat)
{
	switch (index) {
	case 0:
		return compat ? READ_IF_TYPED(typed, regs, bx) : READ_IF_TYPED(typed, regs, di);
	case 1:
		return compat ? READ_IF_TYPED(typed, regs, cx) : READ_IF_TYPED(typed, regs, si);
	default:
		return READ_IF_TYPED(typed, regs, dx);
	}
}

#elif defined(__TARGET_ARCH_arm64)

#define REGISTER_ARGUMENT 0 /* x0, in struct user_pt_regs of arch/arm64/include/uapi/asm/ptrace.h */
#define REGISTER_RESULT 0

#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */

static __always_inline bool is_compat_syscall(struct task_struct *task)
{
	return READ_IF_TYPED(HAS_TYPED_TASK, task, thread_info.flags) & (1UL << TIF_32BIT);
}

static __always_inline long syscall_number(struct pt_regs *regs, bool typed)
{
	return READ_IF_TYPED(typed, regs, syscallno);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, bool typed, int index, bool compat)
{
	switch (index) {
	case 0:
		return READ_IF_TYPED(typed, regs, regs[0]);
	case 1:
		return READ_IF_TYPED(typed, regs, regs[1]);
	default:
		return READ_IF_TYPED(typed, regs, regs[2]);
	}
}

#endif

#endif
