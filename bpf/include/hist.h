/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Histogram cells: one per {owner, object, operation}, in shards that the agent maps and harvests by exchange.
 * A family includes this header after it has defined `object_name`.
 */
#ifndef PERFLENS_HIST_H
#define PERFLENS_HIST_H

#include "owner.h"
#include "wait.h"

#define CELLS_MAX 4096 /* the agent sets the configured number; the first OPERATIONS_MAX are the `other` cells */

/*
 * bounds[0] is 2^-20 s (the native zero bucket), then four buckets an octave up to 2^12 s: native schema 2.
 * bounds[i] = floor(10^9 * 2^((i - 80) / 4)) ns, upper-inclusive; the agent writes the table.
 */
#define BUCKETS 129

const volatile __u64 bounds[BUCKETS + 3] = {}; /* three more, which a masked index may reach */
__u64 thresholds[OPERATIONS_MAX] = {}; /* ns, by operation; the agent changes them while the programs run */

struct cell {
	__u64 sum;	/* ns */
	__u64 slow_sum;	/* ns, of the operations from the threshold on */
	__u64 wait[WAIT_REASONS]; /* ns off the CPU, of all operations */
	__u32 slow;
	__u32 bucket[BUCKETS];
	__u32 spare[6]; /* whole cache lines */
};

enum cell_state { CELL_FREE, CELL_LIVE, CELL_DEAD };

DECLARE_ENUM(cell_state);

struct cell_key {
	pl_cgroup_id owner;
	__u64 object;
	__u32 operation;
	__u32 state;
};

struct cell_info {
	char object[16];
	struct owner_path owner;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CELLS_MAX * SHARDS_MAX); /* [cell][shard] */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct cell);
} cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CELLS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct cell_key);
} cell_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CELLS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct cell_info);
} cell_infos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CELLS_MAX);
	__type(key, struct cell_key);
	__type(value, __u32);
} cell_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, CELLS_MAX);
	__type(value, __u32);
} free_cells SEC(".maps");

/* 1 when value > bound, for values below 2^63: without a branch, which neither the CPU nor the verifier has to follow. */
static __always_inline __u32 above(__u64 value, __u64 bound)
{
	return (bound - value) >> 63;
}

static __always_inline __u32 floor_log2(__u64 value)
{
	__u32 log = above(value, 0xffffffff) << 5, step;

	value >>= log;
	step = above(value, 0xffff) << 4;
	value >>= step, log |= step;
	step = above(value, 0xff) << 3;
	value >>= step, log |= step;
	step = above(value, 0xf) << 2;
	value >>= step, log |= step;
	step = above(value, 3) << 1;
	value >>= step, log |= step;
	return log | above(value, 1);
}

/*
 * The first bucket whose bound is not below `ns`; BUCKETS when there is none.
 * 2^e ns lies above bounds[4e - 40] and 2^(e+1) ns not above bounds[4e - 35], so four compares end the search.
 */
static __always_inline __u32 bucket_of(__u64 ns)
{
	__u32 octave, at;

	if (ns < 1024)
		return above(ns, bounds[0]);
	if (ns > bounds[BUCKETS - 1])
		return BUCKETS;
	octave = floor_log2(ns);
	at = (4 * octave - 39) & 127; /* 1 to 125; the mask is for the verifier */
	return at + above(ns, bounds[at]) + above(ns, bounds[at + 1]) + above(ns, bounds[at + 2]) + above(ns, bounds[at + 3]);
}

static __noinline __u32 cell_claim(struct cell_key *key)
{
	struct kernfs_node *owner = current_owner();
	struct cell_info *info;
	struct cell_key *own;
	__u32 index, *known;

	known = bpf_map_lookup_elem(&cell_index, key);
	if (known)
		return *known;
	if (bpf_map_pop_elem(&free_cells, &index))
		goto none;
	info = bpf_map_lookup_elem(&cell_infos, &index);
	own = bpf_map_lookup_elem(&cell_keys, &index);
	if (!info || !own)
		goto none;
	object_name(info->object, sizeof(info->object), key->object);
	info->owner.length = info->owner.complete = 0;
	if (BPF_CORE_READ(owner, id) == key->owner) /* else the thread was moved meanwhile: the agent looks the path up */
		read_owner_path(&info->owner, owner);
	own->owner = key->owner;
	own->object = key->object;
	own->operation = key->operation;
	if (bpf_map_update_elem(&cell_index, key, &index, BPF_NOEXIST)) { /* another CPU was faster */
		bpf_map_push_elem(&free_cells, &index, 0);
		known = bpf_map_lookup_elem(&cell_index, key);
		if (known)
			return *known;
		goto none;
	}
	own->state = CELL_LIVE; /* last: the agent binds no cell that could still be given back */
	return index;
none:
	count(LEDGER_NO_CELL);
	return key->operation & (OPERATIONS_MAX - 1);
}

/* Aggregate one operation and return its cell; `last` remembers the cell for the next one. */
static __always_inline struct cell *record(__u32 operation, pl_cgroup_id owner, __u64 object, __u64 ns, __u16 *last)
{
	__u32 index = *last, bucket, at;
	struct cell_key *own = bpf_map_lookup_elem(&cell_keys, &index);
	struct cell *cell;

	operation &= OPERATIONS_MAX - 1;
	if (!own || own->state != CELL_LIVE || own->owner != owner || own->object != object || own->operation != operation) {
		struct cell_key key = {.owner = owner, .object = object, .operation = operation, .state = CELL_LIVE};

		index = *last = cell_claim(&key);
	}
	at = index * (shard_mask + 1) + (bpf_get_smp_processor_id() & shard_mask);
	cell = bpf_map_lookup_elem(&cells, &at);
	if (!cell)
		return NULL;
	bucket = bucket_of(ns);
	if (bucket >= BUCKETS) {
		bucket = BUCKETS - 1;
		count(LEDGER_OVERLONG);
	}
	__sync_fetch_and_add(&cell->bucket[bucket], 1);
	if (__builtin_constant_p(ns) && !ns) /* what only counts: clang makes an atomic OR of adding 0, which 5.10 does not have */
		return cell;
	__sync_fetch_and_add(&cell->sum, ns);
	if (ns >= thresholds[operation]) {
		__sync_fetch_and_add(&cell->slow, 1);
		__sync_fetch_and_add(&cell->slow_sum, ns);
	}
	return cell;
}

/* Add what an operation that ended at `now` waited for to its cell. */
static __noinline int wait_settle(struct op_slot *slot, struct cell *cell, __u64 now)
{
	struct sleep *sleep = NULL;
	__u32 tid = slot->tid;
	__u64 on_cpu;

	if (slot->off)
		wait_unseen(slot, current_task(), now);
	if (slot->noted)
		sleep = bpf_map_lookup_elem(&sleeps, &tid);
	if (sleep && sleep->start != slot->start)
		sleep = NULL;
	on_cpu = now - slot->start - slot->runqueue - slot->unattributed - slot->unclassified;
	for (int i = 0; sleep && i < SLEEP_REASONS; i++) {
		on_cpu -= sleep->blocked[i];
		if (cell && sleep->blocked[i])
			__sync_fetch_and_add(&cell->wait[i], sleep->blocked[i]);
	}
	wait_correct(slot, queued_unseen(slot, current_task()), on_cpu);
	if (!cell)
		return 0;
	__sync_fetch_and_add(&cell->wait[WAIT_UNCLASSIFIED], slot->unclassified);
	__sync_fetch_and_add(&cell->wait[WAIT_RUNQUEUE], slot->runqueue);
	__sync_fetch_and_add(&cell->wait[WAIT_UNATTRIBUTED], slot->unattributed);
	return 0;
}

#endif
