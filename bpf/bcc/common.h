/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs for bcc have in common: the ledger, owners, filters, histogram cells and the ring, as the CO-RE programs keep them.
 * The agent writes before this text what it reads from the CO-RE object of the same family (its structs and enums, `struct variables`
 * for what changes while the programs run, a #define for each constant), NAME_ENTRIES for the size of each table, and which of
 * the forms below the kernel's headers have. It puts the text of included files in their place: bcc rewrites the main file alone.
 */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/cgroup-defs.h>
#include <linux/kernfs.h>
#include <linux/fs.h>
#include <linux/fdtable.h>
#include "../include/bucket.h"

#define FILTERS_MAX 16
#define FILTER_DEPTH 32
#define PASSES LEDGER_ENTERED /* no refusal */
#define OWNER_PATH_SIZE 512 /* power of two: offsets are masked with it */
#define OWNER_NAME_SIZE 256 /* NAME_MAX and a NUL */
#define OWNER_DEPTH 24
#define OPERATIONS_MAX 8
#define CELL_NUMBERS (PARTS * OPERATIONS_MAX)
#define COUNTERS_MASK 31

/* A field behind a pointer of the kernel; 0 where it cannot be read. Only fields that are no arrays. */
#define LOAD(pointer, field)                                                                                                     \
	({                                                                                                                       \
		typeof((pointer)->field) loaded_;                                                                                \
		bpf_probe_read_kernel(&loaded_, sizeof(loaded_), (void *)&(pointer)->field);                                             \
		loaded_;                                                                                                         \
	})

/* A program that the agent attaches to a raw tracepoint, in the order of the text: what ends operations comes first. */
#define ATTACH(name, tracepoint) int name(struct bpf_raw_tracepoint_args *ctx)
/* One that it runs by hand. */
#define BY_HAND(name) int name(struct bpf_raw_tracepoint_args *ctx)

/* A table with the name of a constant of the CO-RE object has its value: the agent sets it. */
struct bucket_bounds {
	__u64 bound[BOUNDS];
};

BPF_F_TABLE("array", u32, struct bucket_bounds, bounds, 1, 0);
BPF_F_TABLE("array", u32, struct variables, variables, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct ledger_shard, ledger, LEDGER_ENTRIES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct cell, cells, CELLS_ENTRIES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct cell_key, cell_keys, CELL_KEYS_ENTRIES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct cell_info, cell_infos, CELL_INFOS_ENTRIES, BPF_F_MMAPABLE);
BPF_F_TABLE("hash", struct cell_key, u32, cell_index, CELL_INDEX_ENTRIES, 0);
BPF_F_TABLE("hash", u64, u32, filter_verdicts, FILTER_VERDICTS_ENTRIES, 0);
BPF_QUEUE(free_cells, u32, FREE_CELLS_ENTRIES);
BPF_RINGBUF_OUTPUT(events, EVENTS_ENTRIES / PAGE_SIZE);

static struct variables *changing(void)
{
	u32 only = 0;

	return variables.lookup(&only);
}

static void count(u32 which)
{
	u32 shard = bpf_get_smp_processor_id() & SHARD_MASK;
	struct ledger_shard *own = ledger.lookup(&shard);

	if (own)
		__sync_fetch_and_add(&own->counter[which & COUNTERS_MASK], 1);
}

/* An operation that takes no slot: it is over where it begins. */
static void turn_away(u32 why)
{
	count(LEDGER_ENTERED);
	count(why);
}

static struct task_struct *this_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

static struct kernfs_node *parent_of(struct kernfs_node *node)
{
#if KERNFS_PARENT_BY_RCU
	return (struct kernfs_node *)LOAD(node, __parent);
#else
	return LOAD(node, parent);
#endif
}

static struct kernfs_node *owner_of(struct task_struct *task)
{
	struct css_set *set = LOAD(task, cgroups);
#if OWNER_BY_MEMORY && defined(CONFIG_MEMCG)
	struct cgroup_subsys_state *state = LOAD(set, subsys[memory_cgrp_id]);
	struct cgroup *group = LOAD(state, cgroup);
#else
	struct cgroup *group = LOAD(set, dfl_cgrp);
#endif

	return LOAD(group, kn);
}

/* Copy the path of `node`, leaf first. A path that is too long loses its root end and is counted. */
static void read_owner_path(struct owner_path *path, struct kernfs_node *node)
{
	u32 used = 0;

	for (int level = 0; level < OWNER_DEPTH; level++) {
		struct kernfs_node *parent = parent_of(node);
		const char *name;
		long got;

		if (!parent) { /* the root's own name is empty */
			path->complete = 1;
			break;
		}
		if (used >= OWNER_PATH_SIZE)
			break;
		name = LOAD(node, name);
		got = bpf_probe_read_kernel_str(&path->names[used & (OWNER_PATH_SIZE - 1)], OWNER_NAME_SIZE, (void *)name);
		if (got <= 0 || used + got > OWNER_PATH_SIZE)
			break;
		used += got;
		node = parent;
	}
	path->length = used;
	if (!path->complete)
		count(LEDGER_NAME_TRUNCATED);
}

static bool is_wanted_pid(struct variables *own, u32 pid)
{
	if (!pid) /* the idle task, or nobody: what is not set is 0 too */
		return false;
	for (int i = 0; i < FILTERS_MAX; i++) {
		if (own->filter_pid[i] == pid)
			return true;
	}
	return false;
}

static bool is_wanted_comm(struct variables *own, const char *name)
{
	u64 comm[2] = {};
	bool ended = false;

	for (int i = 0; i < 16; i++) { /* what follows the NUL may be anything */
		ended = ended || !name[i];
		if (!ended)
			((char *)comm)[i] = name[i];
	}
	if (!comm[0]) /* a thread may have no name; what is not set has none either */
		return false;
	for (int i = 0; i < FILTERS_MAX; i++) {
		if (own->filter_comm[2 * i] == comm[0] && own->filter_comm[2 * i + 1] == comm[1])
			return true;
	}
	return false;
}

static bool is_wanted_cgroup(struct variables *own, struct kernfs_node *node)
{
	for (int level = 0; level < FILTER_DEPTH && node; level++) {
		u64 id = LOAD(node, id);

		for (int i = 0; i < FILTERS_MAX; i++) {
			if (own->filter_cgroup[i] && own->filter_cgroup[i] == id)
				return true;
		}
		node = parent_of(node);
	}
	return false;
}

static u32 refusal_by_name(struct kernfs_node *node)
{
	for (int level = 0; level < FILTER_DEPTH && node; level++) {
		u64 id = LOAD(node, id);
		u32 *verdict = filter_verdicts.lookup(&id);

		if (verdict && *verdict == FILTER_WANTED)
			return PASSES;
		if (verdict)
			return *verdict == FILTER_UNDECIDED ? LEDGER_UNDECIDED : LEDGER_FILTERED;
		node = parent_of(node);
	}
	return LEDGER_FILTERED;
}

/* Why what a process did for the cgroup of `node` is not measured: each kind of filter that is set must let it pass. */
static u32 refusal_of(u32 pid, const char *name, struct kernfs_node *node)
{
	struct variables *own = changing();

	if (!own)
		return LEDGER_FILTERED;
	if (FILTER_PIDS && !is_wanted_pid(own, pid))
		return LEDGER_FILTERED;
	if (FILTER_COMMS && !is_wanted_comm(own, name))
		return LEDGER_FILTERED;
	if (FILTER_CGROUPS && !is_wanted_cgroup(own, node))
		return LEDGER_FILTERED;
	return FILTER_NAMES ? refusal_by_name(node) : PASSES;
}

/* Count what is not measured, and return whether that is so. */
static bool is_turned_away(struct task_struct *task)
{
	char name[16] = {};
	u32 why;

	if (!HAS_FILTERS)
		return false;
	bpf_get_current_comm(name, sizeof(name));
	why = refusal_of(LOAD(task, tgid), name, owner_of(task));
	if (why != PASSES)
		turn_away(why);
	return why != PASSES;
}

/* Of the family: write the name of the object of its operations. */
static void object_name(char *name, u32 size, u64 object);

/* Take a free cell for `key`; its owner's path is that of `owner` if it is still of this id, its object's name that of `named`. */
static u32 cell_claim(struct cell_key *key, struct kernfs_node *owner, u64 named)
{
	u32 index = 0, *known = cell_index.lookup(key);
	struct cell_info *info;
	struct cell_key *own;

	if (known)
		return *known;
	if (free_cells.pop(&index))
		goto none;
	info = cell_infos.lookup(&index);
	own = cell_keys.lookup(&index);
	if (!info || !own)
		goto none;
	object_name(info->object, sizeof(info->object), named);
	info->owner.length = info->owner.complete = 0;
	if (owner && LOAD(owner, id) == key->owner) /* else the thread was moved meanwhile: the agent looks the path up */
		read_owner_path(&info->owner, owner);
	own->owner = key->owner;
	own->object = key->object;
	own->operation = key->operation;
	if (cell_index.insert(key, &index)) { /* another CPU was faster */
		free_cells.push(&index, 0);
		known = cell_index.lookup(key);
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

/* This CPU's shard of the cell of these three; `last` remembers the cell for the next time. */
static struct cell *cell_of(u32 number, u64 owner, u64 object, struct kernfs_node *node, u64 named, u16 *last)
{
	u32 index = *last, at;
	struct cell_key *own = cell_keys.lookup(&index);

	if (!own || own->state != CELL_LIVE || own->owner != owner || own->object != object || own->operation != number) {
		struct cell_key key = {.owner = owner, .object = object, .operation = number, .state = CELL_LIVE};

		index = *last = cell_claim(&key, node, named);
	}
	at = index * (SHARD_MASK + 1) + (bpf_get_smp_processor_id() & SHARD_MASK);
	return cells.lookup(&at);
}

static void cell_count(struct cell *cell, u64 ns)
{
	u32 only = 0, bucket;
	struct bucket_bounds *table = bounds.lookup(&only);

	if (!table)
		return;
	bucket = bucket_in(table->bound, ns);
	if (bucket >= BUCKETS) {
		bucket = BUCKETS - 1;
		count(LEDGER_OVERLONG);
	}
	__sync_fetch_and_add(&cell->bucket[bucket], 1);
	__sync_fetch_and_add(&cell->sum, ns);
}
