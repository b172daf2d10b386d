/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose operations are measured, when the configuration names some: by process, by thread name, by cgroup. */
#ifndef PERFLENS_FILTER_H
#define PERFLENS_FILTER_H

#include "owner.h"

#define FILTERS_MAX 16
#define FILTER_DEPTH 32

const volatile __u32 filter_pids = 0; /* how many of each the agent has set; 0 lets all pass */
const volatile __u32 filter_comms = 0;
const volatile __u32 filter_cgroups = 0;

__u32 filter_pid[FILTERS_MAX] = {};
__u64 filter_comm[2 * FILTERS_MAX] = {}; /* 16 bytes each */
__u64 filter_cgroup[FILTERS_MAX] = {}; /* kernfs ids; 0 where the cgroup does not exist yet */

static __always_inline bool is_wanted_pid(struct task_struct *task)
{
	__u32 pid = READ(task, tgid);

	for (int i = 0; i < FILTERS_MAX; i++) {
		if (filter_pid[i] == pid)
			return true;
	}
	return false;
}

static __always_inline bool is_wanted_comm(struct task_struct *task)
{
	__u64 comm[2] = {};
	bool ended = false;

	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) { /* what follows the NUL may be anything */
		if (ended)
			((char *)comm)[i] = 0;
		else
			ended = !((char *)comm)[i];
	}
	for (int i = 0; i < FILTERS_MAX; i++) {
		if (filter_comm[2 * i] == comm[0] && filter_comm[2 * i + 1] == comm[1])
			return true;
	}
	return false;
}

static __always_inline bool is_wanted_cgroup(struct task_struct *task)
{
	struct kernfs_node *node = owner_of(task);

	for (int level = 0; level < FILTER_DEPTH && node; level++) {
		__u64 id = BPF_CORE_READ(node, id);

		for (int i = 0; i < FILTERS_MAX; i++) {
			if (filter_cgroup[i] && filter_cgroup[i] == id)
				return true;
		}
		node = kernfs_parent(node);
	}
	return false;
}

static __noinline int passes_filters(struct task_struct *task)
{
	if (filter_pids && !is_wanted_pid(task))
		return 0;
	if (filter_comms && !is_wanted_comm(task))
		return 0;
	if (filter_cgroups && !is_wanted_cgroup(task))
		return 0;
	return 1;
}

/* Each kind of filter that is set must let the task pass. */
static __always_inline bool is_filtered(struct task_struct *task)
{
	if (!filter_pids && !filter_comms && !filter_cgroups)
		return false;
	return !passes_filters(task);
}

#endif
