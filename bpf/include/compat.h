/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What differs between kernels and architectures, one block per difference; callers see plain functions. */
#ifndef PERFLENS_COMPAT_H
#define PERFLENS_COMPAT_H

#include "types.h"

/*
 * bpf_rdonly_cast (kernel commit fd264ca02094, "bpf: Add kfunc bpf_cast_to_kern_ctx", 6.2) types any pointer, so that
 * a field is one load; before it each field is a probe_read. The agent sets the knob when the kernel's BTF has the function.
 */
const volatile bool read_by_cast = false;

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

#define READ(pointer, field)                                                                                                     \
	(read_by_cast ? ((typeof(pointer))bpf_rdonly_cast((pointer), bpf_core_type_id_kernel(typeof(*(pointer)))))->field           \
		      : BPF_CORE_READ((pointer), field))

/* bpf_get_current_task_btf (3ca1032ab7ab, 5.11) types the current task without a cast. */
static __always_inline struct task_struct *current_task(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		return (struct task_struct *)bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/* The thread id of the current task: a load where the task is typed, a helper's call (10 ns) where it is not. */
static __always_inline __u32 thread_id(struct task_struct *task)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
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

/* kernfs_node::parent became __parent, read under RCU (741c10b096bc, "kernfs: Use RCU to access kernfs_node::parent", 6.15). */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___rcu_parent *rcu = (void *)node;

	if (bpf_core_field_exists(rcu->__parent))
		return BPF_CORE_READ(rcu, __parent);
	return BPF_CORE_READ(node, parent);
}

#if defined(__TARGET_ARCH_x86)

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit system call is running */

static __always_inline bool is_compat_syscall(struct task_struct *task)
{
	return READ(task, thread_info.status) & TS_COMPAT;
}

static __always_inline long syscall_number(struct pt_regs *regs)
{
	return READ(regs, orig_ax);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, int index, bool compat)
{
	switch (index) {
	case 0:
		return compat ? READ(regs, bx) : READ(regs, di);
	case 1:
		return compat ? READ(regs, cx) : READ(regs, si);
	default:
		return READ(regs, dx);
	}
}

#elif defined(__TARGET_ARCH_arm64)

#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */

static __always_inline bool is_compat_syscall(struct task_struct *task)
{
	return READ(task, thread_info.flags) & (1UL << TIF_32BIT);
}

static __always_inline long syscall_number(struct pt_regs *regs)
{
	return READ(regs, syscallno);
}

static __always_inline __u64 syscall_argument(struct pt_regs *regs, int index, bool compat)
{
	switch (index) {
	case 0:
		return READ(regs, regs[0]);
	case 1:
		return READ(regs, regs[1]);
	default:
		return READ(regs, regs[2]);
	}
}

#endif

#endif
