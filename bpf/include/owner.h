/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Who an operation belongs to (a cgroup, with its path), and whether the file behind it is storage or a peer. */
#ifndef PERFLENS_OWNER_H
#define PERFLENS_OWNER_H

#include "compat.h"
#include "ledger.h"
#include "pseudo.h"

/* On hosts whose memory controller is on cgroup v1 the owner is its cgroup, else the one of the v2 tree. */
const volatile bool owner_by_memory = false;

#define OWNER_PATH_SIZE 512 /* power of two: offsets are masked with it */
#define OWNER_NAME_SIZE 256 /* NAME_MAX and a NUL */
#define OWNER_DEPTH 24

struct owner_path {
	__u32 length;			/* bytes used: names, the leaf first, each ended by NUL; the root has none */
	__u32 complete;			/* 0: names are missing at the root's end, or all */
	char names[OWNER_PATH_SIZE + OWNER_NAME_SIZE];
};

/* The owner of a task that the program knows by its address alone. */
static __always_inline struct kernfs_node *owner_of_untyped(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	if (owner_by_memory && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
		struct cgroup_subsys_state *css;

		bpf_core_read(&css, sizeof(css), &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
		return BPF_CORE_READ(css, cgroup, kn);
	}
	return BPF_CORE_READ(set, dfl_cgrp, kn);
}

static __always_inline struct kernfs_node *owner_of(struct task_struct *task)
{
	if (!HAS_TYPED_TASK)
		return owner_of_untyped(task);
	if (owner_by_memory && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return task->cgroups->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]->cgroup->kn;
	return task->cgroups->dfl_cgrp->kn;
}

/* The id of a task's owner. */
static __always_inline pl_cgroup_id owner_id_of(struct task_struct *task)
{
	struct kernfs_node *owner = owner_of(task);

	return HAS_TYPED_TASK ? owner->id : BPF_CORE_READ(owner, id);
}

static __always_inline struct kernfs_node *current_owner(void)
{
	return owner_of(current_task());
}

/* Copy the path of `node`, leaf first. A path that is too long loses its root end and is counted. */
static __always_inline void read_owner_path(struct owner_path *path, struct kernfs_node *node)
{
	__u32 used = 0;

	path->complete = 0;
	for (int level = 0; level < OWNER_DEPTH; level++) {
		struct kernfs_node *parent = kernfs_parent(node);

		if (!parent) { /* the root's own name is empty */
			path->complete = 1;
			break;
		}
		if (used >= OWNER_PATH_SIZE)
			break;
		long got = bpf_probe_read_kernel_str(&path->names[used & (OWNER_PATH_SIZE - 1)], OWNER_NAME_SIZE, BPF_CORE_READ(node, name));

		if (got <= 0 || used + got > OWNER_PATH_SIZE)
			break;
		used += got;
		node = parent;
	}
	path->length = used;
	if (!path->complete)
		count(LEDGER_NAME_TRUNCATED);
}

#define FDS_LEAST 64 /* NR_OPEN_DEFAULT of include/linux/fdtable.h on 64 bits: no table has fewer */

static __always_inline struct file *current_file(struct task_struct *task, __u32 fd)
{
	struct list_head *place; /* any struct that begins with a pointer: a cast needs a type of the kernel's BTF */
	struct fdtable *table;

	if (HAS_TYPED_TASK)
		table = task->files->fdt;
	else
		table = BPF_CORE_READ(task, files, fdt);
	if (fd >= FDS_LEAST && fd >= READ(table, max_fds))
		return NULL;
	place = (struct list_head *)(READ(table, fd) + fd);
	return (struct file *)READ(place, next);
}

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000

/*
 * The type of the file system (struct file_system_type) of a file that is storage (a regular file, folder or block device), else 0: a peer.
 * `known` is a type (or 0) of which a file was storage before: what it is needs no second look.
 */
static __always_inline __u64 storage_of(struct file *file, __u64 known)
{
	struct inode *inode = READ(file, f_inode);
	__u32 format = READ(inode, i_mode) & S_IFMT;
	struct super_block *super;
	__u64 type;

	if (format == S_IFBLK) { /* the node's own file system is devtmpfs; the device's is bdev */
		struct address_space *mapping = READ(file, f_mapping);

		inode = READ(mapping, host);
		super = READ(inode, i_sb);
		return (__u64)READ(super, s_type);
	}
	if (format != S_IFREG && format != S_IFDIR)
		return 0;
	super = READ(inode, i_sb);
	type = (__u64)READ(super, s_type);
	return type != known && is_pseudo(READ(super, s_magic)) ? 0 : type;
}

#endif
