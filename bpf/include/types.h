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

/* Keep a type in this object's BTF, where user space reads its names. */
#define DECLARE_ENUM(name) const enum name *declare_##name __attribute__((unused))
#define DECLARE_STRUCT(name) const struct name *declare_##name __attribute__((unused))

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

enum cgroup_subsys_id { io_cgrp_id = 3, memory_cgrp_id = 4 };

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	unsigned int s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct address_space;

struct inode {
	unsigned short i_mode;
	unsigned int i_rdev;
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct address_space {
	struct inode *host;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct inode *f_inode;
	struct address_space *f_mapping;
	struct path f_path;
};

struct list_head {
	struct list_head *next;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

/* The queues of blk-throttle: block/blk-throttle.h, include/linux/blk-cgroup.h. */
struct throtl_service_queue {
	struct list_head queued[2];
};

struct throtl_data;

struct throtl_grp {
	struct throtl_data *td;
	struct throtl_service_queue service_queue;
};

struct request_queue {
	struct throtl_data *td;
};

struct blkg_policy_data;

struct blkcg;

struct blkcg_gq {
	struct request_queue *q;
	struct hlist_node blkcg_node;
	struct blkcg *blkcg;
	struct blkcg_gq *parent;
	struct blkg_policy_data *pd[6];
};

struct blkcg {
	struct cgroup_subsys_state css;
	struct hlist_head blkg_list;
};

struct mm_struct {
	struct file *exe_file;
};

struct sched_info {
	__u64 run_delay; /* missing without CONFIG_SCHED_INFO */
};

struct task_struct {
	int pid;
	int tgid;
	unsigned int __state;
	char comm[16];
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct thread_info thread_info;
	struct mm_struct *mm;
	struct files_struct *files;
	struct css_set *cgroups;
	struct sched_info sched_info;
};

struct llist_head {
	void *first;
};

struct task_struct___with_rethooks {
	struct llist_head rethooks;
};

struct task_struct___before_state_was_private {
	long state;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
