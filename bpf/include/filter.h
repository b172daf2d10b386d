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

static __always_inline bool is_wanted_pid(__u32 pid)
{
	for (int i = 0; i < FILTERS_MAX; i++) {
		if (filter_pid[i] == pid)
			return true;
	}
	return false;
}

static __always_inline bool is_wanted_comm(const char *name)
{
	__u64 comm[2] = {};
	bool ended = false;

	for (int i = 0; i < 16; i++) { /* what follows the NUL may be anything */
		ended = ended || !name[i];
		if (!ended)
			((char *)comm)[i] = name[i];
	}
	for (int i = 0; i < FILTERS_MAX; i++) {
		if (filter_comm[2 * i] == comm[0] && filter_comm[2 * i + 1] == comm[1])
			return true;
	}
	return false;
}

static __always_inline bool is_wanted_cgroup(struct kernfs_node *node)
{
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

/* Each kind of filter that is set must let pass what a process did for the cgroup of `node`. */
static __noinline int passes_filters_of(__u32 pid, const char *name, struct kernfs_node *node)
{
	if (filter_pids && !is_wanted_pid(pid))
		return 0;
	if (filter_comms && !is_wanted_comm(name))
		return 0;
	if (filter_cgroups && !is_wanted_cgroup(node))
		return 0;
	return 1;
}

static __always_inline bool is_filtered(struct task_struct *task)
{
	char name[16] = {};

	if (!filter_pids && !filter_comms && !filter_cgroups)
		return false;
	bpf_get_current_comm(name, sizeof(name));
	return !passes_filters_of(READ(task, tgid), name, owner_of(task));
}

#endif
