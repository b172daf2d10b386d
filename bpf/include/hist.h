/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Histogram cells: one per {owner, object, operation}, in shards that the agent maps and harvests by exchange.
 * A family includes this header after it has defined `object_name`.
 */
#ifndef PERFLENS_HIST_H
#define PERFLENS_HIST_H

#include "bucket.h"
#include "op.h"
#include "owner.h"
#ifdef HAS_WAITS /* a family whose cells tell what its operations waited for defines it before this header */
#include "reason.h"
#endif

#ifndef PARTS /* likewise one that splits each operation: cells are numbered part * OPERATIONS_MAX + operation */
#define PARTS 1
#endif

#define CELL_NUMBERS (PARTS * OPERATIONS_MAX)
#define CELLS_MAX 4096 /* the agent sets the configured number; the first CELL_NUMBERS are the `other` cells */

const volatile __u64 bounds[BOUNDS] = {}; /* see bucket.h; the agent sets it */
__u64 thresholds[OPERATIONS_MAX] = {}; /* ns, by operation; the agent changes them while the programs run */

struct cell {
	__u64 sum;	/* ns */
	__u64 slow_sum;	/* ns, of the operations from the threshold on */
#ifdef HAS_WAITS
	__u64 wait[WAIT_REASONS]; /* ns off the CPU, of all operations */
#endif
	__u32 slow;
	__u32 bucket[BUCKETS];
} __attribute__((aligned(64)));

enum cell_state { CELL_FREE, CELL_LIVE, CELL_DEAD };

DECLARE_ENUM(cell_state);

struct cell_key {
	pl_cgroup_id owner;
	__u64 object;
	__u32 operation;
	__u32 state;
};

struct cell_info {
	char object[32]; /* DISK_NAME_LEN of include/linux/blkdev.h; names of file systems are shorter */
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

/* Take a free cell for `key`; its owner's path is that of `owner` if it is still of this id, its object's name that of `named`. */
static __noinline __u32 cell_claim(struct cell_key *key, struct kernfs_node *owner, __u64 named)
{
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
	object_name(info->object, sizeof(info->object), named);
	info->owner.length = info->owner.complete = 0;
	if (owner && BPF_CORE_READ(owner, id) == key->owner) /* else the thread was moved meanwhile: the agent looks the path up */
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
	return key->operation < CELL_NUMBERS ? key->operation : 0;
}

/* Whether a cell is the one of these three. */
static __always_inline bool is_cell_of(__u32 index, __u32 number, pl_cgroup_id owner, __u64 object)
{
	struct cell_key *own = bpf_map_lookup_elem(&cell_keys, &index);

	return own && own->state == CELL_LIVE && own->owner == owner && own->object == object && own->operation == number;
}

/* This CPU's shard of a cell. */
static __always_inline struct cell *cell_at(__u32 index)
{
	__u32 mask = shard_mask, at = index * (mask + 1) + (bpf_get_smp_processor_id() & mask);

	return bpf_map_lookup_elem(&cells, &at);
}

static __always_inline void cell_count(struct cell *cell, __u64 ns)
{
	__u32 bucket = bucket_in(bounds, ns);

	if (bucket >= BUCKETS) {
		bucket = BUCKETS - 1;
		count(LEDGER_OVERLONG);
	}
	__sync_fetch_and_add(&cell->bucket[bucket], 1);
	if (__builtin_constant_p(ns) && !ns) /* what only counts: clang makes an atomic OR of adding 0, which 5.10 does not have */
		return;
	__sync_fetch_and_add(&cell->sum, ns);
}

static __always_inline void cell_count_slow(struct cell *cell, __u64 ns)
{
	__sync_fetch_and_add(&cell->slow, 1);
	__sync_fetch_and_add(&cell->slow_sum, ns);
}

/* Whether an operation that took `ns` is slow. The agent changes thresholds meanwhile: who needs to know it twice asks once. */
static __always_inline bool is_slow(__u32 operation, __u64 ns)
{
	return ns >= thresholds[operation & (OPERATIONS_MAX - 1)];
}

/* Aggregate one operation and return its cell; `last` remembers the cell for the next one. */
static __always_inline struct cell *record(__u32 operation, pl_cgroup_id owner, __u64 object, __u64 ns, bool slow, __u16 *last)
{
	__u32 index = *last;
	struct cell *cell;

	operation &= OPERATIONS_MAX - 1;
	if (!is_cell_of(index, operation, owner, object)) {
		struct cell_key key = {.owner = owner, .object = object, .operation = operation, .state = CELL_LIVE};

		index = *last = cell_claim(&key, current_owner(), object);
	}
	cell = cell_at(index);
	if (!cell)
		return NULL;
	cell_count(cell, ns);
	if (slow)
		cell_count_slow(cell, ns);
	return cell;
}

#endif
