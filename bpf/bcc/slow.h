/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which operations are slow, and how many of an owner's become events: of the families whose operations last. */
#define BUDGETS_MAX 4096

BPF_F_TABLE("lru_hash", u64, u64, event_budgets, BUDGETS_MAX, 0);

static void cell_count_slow(struct cell *cell, u64 ns)
{
	__sync_fetch_and_add(&cell->slow, 1);
	__sync_fetch_and_add(&cell->slow_sum, ns);
}

static bool is_slow(u32 operation, u64 ns)
{
	struct variables *own = changing();

	return own && ns >= own->thresholds[operation & (OPERATIONS_MAX - 1)];
}

/* A leaky bucket for each owner, so that one owner's storm hides no other's. */
static bool is_within_budget(u64 owner, u64 now)
{
	struct variables *own = changing();
	u64 *until, next;

	if (!own || !own->event_interval)
		return true;
	next = now + own->event_interval;
	until = event_budgets.lookup(&owner);
	if (!until) {
		event_budgets.update(&owner, &next);
		return true;
	}
	if (*until > now + own->event_burst)
		return false;
	if (*until < now)
		*until = next;
	else
		__sync_fetch_and_add(until, own->event_interval);
	return true;
}
