/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose operations are measured, when the configuration names some: by process, by thread name, by cgroup, by the names of pods. */
#ifndef PERFLENS_FILTER_H
#define PERFLENS_FILTER_H

#include "owner.h"

#define FILTERS_MAX 16
#define FILTER_DEPTH 32
#define PASSES LEDGER_ENTERED /* no refusal */
#define COUNTERS_MASK 31 /* for the verifier, which loses the bounds of what a function returned */

const volatile bool has_filters = false; /* any of these: all that an operation looks at where there is none */
const volatile __u32 filter_pids = 0; /* how many of each the agent has set; 0 lets all pass */
const volatile __u32 filter_comms = 0;
const volatile __u32 filter_cgroups = 0;
const volatile bool filter_names = false;

__u32 filter_pid[FILTERS_MAX] = {};
__u64 filter_comm[2 * FILTERS_MAX] = {}; /* 16 bytes each */
__u64 filter_cgroup[FILTERS_MAX] = {}; /* kernfs ids; 0 where the cgroup does not exist yet */

enum filter_verdict {
	FILTER_WANTED,
	FILTER_UNWANTED,
	FILTER_UNDECIDED,
};

DECLARE_ENUM(filter_verdict);

/* By the kernfs id of a cgroup, for it and what is below it up to the next entry; what has none above it is in no pod, and unwanted. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* the agent sets it where there is a filter */
	__type(key, pl_cgroup_id);
	__type(value, __u32);
} filter_verdicts SEC(".maps");

static __always_inline bool is_wanted_pid(__u32 pid)
{
	if (!pid) /* the idle task, or nobody: what is not set is 0 too */
		return false;
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
	if (!comm[0]) /* a thread may have no name; what is not set has none either */
		return false;
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

static __always_inline enum ledger_counter refusal_by_name(struct kernfs_node *node)
{
	for (int level = 0; level < FILTER_DEPTH && node; level++) {
		pl_cgroup_id id = BPF_CORE_READ(node, id);
		__u32 *verdict = bpf_map_lookup_elem(&filter_verdicts, &id);

		if (verdict && *verdict == FILTER_WANTED)
			return PASSES;
		if (verdict)
			return *verdict == FILTER_UNDECIDED ? LEDGER_UNDECIDED : LEDGER_FILTERED;
		node = kernfs_parent(node);
	}
	return LEDGER_FILTERED;
}

/*
 * Why what a process did for the cgroup of `node` is not measured: each kind of filter that is set must let it pass. The names come last,
 * so that only what all others let pass may be undecided.
 */
static __noinline int refusal_of(__u32 pid, const char *name, struct kernfs_node *node)
{
	if (filter_pids && !is_wanted_pid(pid))
		return LEDGER_FILTERED;
	if (filter_comms && !is_wanted_comm(name))
		return LEDGER_FILTERED;
	if (filter_cgroups && !is_wanted_cgroup(node))
		return LEDGER_FILTERED;
	return filter_names ? refusal_by_name(node) : PASSES;
}

/* Count what is not measured, and return whether that is so. */
static __always_inline bool is_turned_away(struct task_struct *task)
{
	char name[16] = {};
	int why;

	if (!has_filters)
		return false;
	bpf_get_current_comm(name, sizeof(name));
	why = refusal_of(READ(task, tgid), name, owner_of(task));
	if (why == PASSES)
		return false;
	turn_away(why & COUNTERS_MASK);
	return true;
}

#endif
