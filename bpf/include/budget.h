/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How many slow operations of an owner become events: a leaky bucket each, so that one owner's storm hides no other's. */
#ifndef PERFLENS_BUDGET_H
#define PERFLENS_BUDGET_H

#include "types.h"

#define BUDGETS_MAX 4096

__u64 event_interval = 0; /* ns of an owner's budget that an event takes, 0: no limit; the agent changes both at any time */
__u64 event_burst = 0;	  /* ns that an owner may be ahead */

/* When each owner's budget is used up to: a leaky bucket in one word. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BUDGETS_MAX);
	__type(key, pl_cgroup_id);
	__type(value, __u64);
} event_budgets SEC(".maps");

static __always_inline bool is_within_budget(pl_cgroup_id owner, __u64 now)
{
	__u64 *until, next = now + event_interval;

	if (!event_interval)
		return true;
	until = bpf_map_lookup_elem(&event_budgets, &owner);
	if (!until) {
		bpf_map_update_elem(&event_budgets, &owner, &next, BPF_ANY);
		return true;
	}
	if (*until > now + event_burst)
		return false;
	if (*until < now)
		*until = next;
	else
		__sync_fetch_and_add(until, event_interval);
	return true;
}

#endif
