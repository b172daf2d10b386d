/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The operations ledger: each operation that enters is aggregated, or counted here under the reason why not. */
#ifndef PERFLENS_LEDGER_H
#define PERFLENS_LEDGER_H

#include "types.h"

/* Shards of every shared word: a power of two, so that the CPU number needs no division. */
#define SHARDS_MAX 8

const volatile __u32 shard_mask = SHARDS_MAX - 1;

enum ledger_counter {
	LEDGER_ENTERED,		/* beside those that the slots count: turned away, or begun in the overflow table */
	LEDGER_BLOCKING_PEER,	/* a pipe, socket, terminal, pseudo file …: waits for a peer, not for storage */
	LEDGER_FILTERED,	/* no open file behind the descriptor, or excluded by a filter */
	LEDGER_NO_SLOT,		/* in-flight table full */
	LEDGER_DIED,		/* the thread ended, or began another operation, without an exit */
	LEDGER_OVERLONG,	/* longer than the last bucket's bound, counted in it */
	LEDGER_NO_CELL,		/* no free cell, aggregated as `other` */
	LEDGER_SLOT_COLLISION,	/* two threads in flight in one slot, one kept in the overflow table */
	LEDGER_OVERFLOW_ENTERED,
	LEDGER_OVERFLOW_LEFT,
	LEDGER_NAME_TRUNCATED,	/* an owner's path longer than OWNER_PATH_SIZE */
	LEDGER_EMITTED,		/* slow operations = these four */
	LEDGER_SUPPRESSED,	/* over the owner's rate */
	LEDGER_RING_FULL,
	LEDGER_BUFFER_BUSY,	/* preempted in the middle of another one on this CPU */
	LEDGER_SLEEP_NOT_NOTED,	/* table of sleeps full: its time stays unclassified */
	LEDGER_MERGED,		/* a request that went into another one */
	LEDGER_REQUEUED,	/* issues of a request after its first */
	LEDGER_HELD_UNKNOWN,	/* a request whose submission was not seen: held for 0 ns */
	LEDGER_LAYER_NOT_NOTED,	/* table of what is in stacked devices full: not in their histogram */
	LEDGER_BY_SUBMITTER,	/* how the owner of a request was found */
	LEDGER_BY_BLKCG,
	LEDGER_BY_MEMCG,
	LEDGER_BY_FLUSH,
	LEDGER_BY_UNKNOWN,
	LEDGER_UNDECIDED,	/* of a pod or container whose name the filter does not know yet */
	LEDGER_COUNTERS,
};

DECLARE_ENUM(ledger_counter);

struct ledger_shard {
	__u64 counter[32]; /* whole cache lines */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SHARDS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct ledger_shard);
} ledger SEC(".maps");

static __always_inline void count(enum ledger_counter which)
{
	__u32 shard = bpf_get_smp_processor_id() & shard_mask;
	struct ledger_shard *own = bpf_map_lookup_elem(&ledger, &shard);

	if (own)
		__sync_fetch_and_add(&own->counter[which], 1);
}

/* An operation that takes no slot: it is over where it begins. */
static __always_inline void turn_away(enum ledger_counter why)
{
	count(LEDGER_ENTERED);
	count(why);
}

#endif
