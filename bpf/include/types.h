/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The few kernel structs that PerfLens reads, with the few fields that it reads: CO-RE finds the real offsets.
 * The pl_* typedefs name what a number means; user space reads the names from this object's BTF.
 */
#ifndef PERFLENS_TYPES_H
#define PERFLENS_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

typedef __u64 pl_ktime_ns;  /* CLOCK_MONOTONIC */
typedef __u64 pl_cgroup_id; /* kernfs id of the owner's cgroup */

/* Keep an enum in this object's BTF, where user space reads its names. */
#define DECLARE_ENUM(name) const enum name *declare_##name __attribute__((unused))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long di, si, dx, r10, r8, r9;
	unsigned long bx, cx, bp;
	unsigned long orig_ax;
};

struct thread_info {
	unsigned int status;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31];
	int syscallno;
};

struct thread_info {
	unsigned long flags;
};
#else
#error "PerfLens knows the registers of x86 and arm64 only"
#endif

struct kernfs_node {
	__u64 id;
	const char *name;
	struct kernfs_node *parent;
};

struct kernfs_node___rcu_parent {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

enum cgroup_subsys_id { memory_cgrp_id = 4 };

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct address_space;

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
};

struct address_space {
	struct inode *host;
};

struct file {
	struct inode *f_inode;
	struct address_space *f_mapping;
};

struct list_head {
	struct list_head *next;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	int pid;
	struct thread_info thread_info;
	struct files_struct *files;
	struct css_set *cgroups;
};

#pragma clang attribute pop

#endif
