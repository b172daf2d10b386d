// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * block: how long each request of a disk was held back before there was a request, in the queue, and on the device. A request is
 * counted once, on the disk that makes requests; devices stacked on others take bios, whose whole time is the layer's (bios that a
 * stacked device takes are no requests). The population is that of /proc/diskstats, flushes included.
 * Between its begin and its end a request lives in a slot of its own, found by its address.
 */
#include "include/block.h"
#include "include/ledger.h"

#define EVENTS_SIZE (4 << 20)

enum block_part { BLOCK_HELD, BLOCK_QUEUE, BLOCK_DEVICE, BLOCK_LAYER, BLOCK_BYTES };

DECLARE_ENUM(block_part);

#define PARTS 5

/* The disk's name; `object` is its address here, its number in the key. */
static __always_inline void object_name(char *name, __u32 size, __u64 object)
{
	*name = 0;
	if (object)
		bpf_probe_read_kernel_str(name, size, (void *)object + bpf_core_field_offset(struct gendisk, disk_name));
}

#include "include/blame.h"
#include "include/budget.h"
#include "include/filter.h"
#include "include/hist.h"
#include "include/request.h"
#include "include/ring.h"
#include "include/throttled.h"

#define REQUESTS_BITS 13
#define REQUESTS_MAX (1 << REQUESTS_BITS)
#define OVERFLOW_REQUESTS 1024
#define BIOS_BITS 13
#define BIOS_MAX (1 << BIOS_BITS)
#define LAYERS_MAX 4096
#define FLUSHERS_MAX 256
#define UNTIMED_AFTER 1000000000 /* ns: a start so long before is another request's */

__u64 note_from = 0; /* ns; requests as long as this are noted for their operation; the agent sets it */

struct request_slot {
	pl_ktime_ns start; /* 0: none in flight */
	__u64 request;
	pl_cgroup_id owner;
	__u64 begun; /* requests of this slot since the start */
	__u32 claims; /* who reads 1 after adding 1 has the slot */
	__u32 tid;
	__u32 number; /* of the disk */
	__u16 operation;
	__u16 issues;
	__u64 held; /* ns */
	pl_ktime_ns issued; /* last */
	/* second cache line */
	pl_ktime_ns made; /* by the kernel: the time falls when an earlier request is merged into this one */
	__u64 sector;
	__u32 bytes; /* done */
	__s32 error;
	__u32 size; /* to do, as it was when it was issued */
	__u16 cell[8]; /* of each part, the last one that was used here */
	struct submitter who;
} __attribute__((aligned(64)));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUESTS_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct request_slot);
} requests SEC(".maps");

/* Requests whose slot another one has. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OVERFLOW_REQUESTS);
	__type(key, __u64);
	__type(value, struct request_slot);
} overflow_requests SEC(".maps");

__u64 requests_overflowing = 0;

/* One for each use: programs may preempt each other, none itself. */
enum scratch_use { SCRATCH_START, SCRATCH_ISSUE, SCRATCH_COMPLETE, SCRATCH_LAYER, SCRATCH_LAYER_END, SCRATCH_MERGE, SCRATCHES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct request_slot);
} request_scratch SEC(".maps");

/* When bios were submitted, by their address: each lasts until another one of the same place is. */
struct bio_time {
	__u64 bio;
	pl_ktime_ns time;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BIOS_MAX);
	__type(key, __u32);
	__type(value, struct bio_time);
} bios SEC(".maps");

struct layer {
	pl_ktime_ns start;
	pl_cgroup_id owner;
	__u32 number;
	__u32 operation;
};

/* What is in stacked devices, by address of the bio. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LAYERS_MAX);
	__type(key, __u64);
	__type(value, struct layer);
} layers SEC(".maps");

__u64 layers_now = 0;

/* Who last asked a queue for a flush, and in place of the time why that is not measured, or PASSES: the flush itself has no bio. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLUSHERS_MAX);
	__type(key, __u64);
	__type(value, struct submitter);
} flushers SEC(".maps");

struct event {
	pl_ktime_ns start;
	__u64 duration;
	__u64 process_start;
	pl_cgroup_id owner;
	__s64 result;
	__u64 sector;
	pl_ktime_ns operation_start;
	__u64 held;
	__u64 queue;
	__u64 device;
	__u32 number;
	__u32 pid;
	__u32 tid;
	__u32 parent;
	__u32 bytes;
	__u16 operation;
	__u16 issues;
	char comm[16];
	char process_name[16];
	char object[32];
};

DECLARE_STRUCT(event);

/* An entry without notes, to begin one with. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread_requests);
} no_notes SEC(".maps");

/* Spread addresses over a table, by their lower half: arithmetic on a whole pointer is refused. */
static __always_inline __u32 place_of(void *address, __u32 bits)
{
	__u32 half;

	asm volatile("%0 = %1" : "=w"(half) : "w"((__u32)(unsigned long)address)); /* a copy of half a pointer is a number, as the verifier sees it */
	return half * 0x9e3779b1u >> (32 - bits); /* 2^32 divided by the golden ratio */
}

static __always_inline __u32 number_of(struct gendisk *disk)
{
	return disk ? READ(disk, major) << 20 | READ(disk, first_minor) : 0;
}

static __always_inline __u16 operation_of(__u32 opf)
{
	switch (opf & REQ_OP_MASK) {
	case REQ_OP_READ:
		return BLOCK_READ;
	case REQ_OP_WRITE:
	case REQ_OP_WRITE_SAME:
	case REQ_OP_WRITE_ZEROES:
		return BLOCK_WRITE;
	case REQ_OP_FLUSH:
		return BLOCK_FLUSH;
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
		return BLOCK_DISCARD;
	default:
		return BLOCK_OTHER;
	}
}

/* This CPU's shard of the cell of a request's part, claimed if there is none; `node` is that of the owner, if it is at hand. */
static __noinline struct cell *cell_of_part(struct request_slot *slot, __u32 part, struct kernfs_node *node, struct gendisk *disk)
{
	__u32 number = part * OPERATIONS_MAX + slot->operation, index = slot->cell[part & 7];

	if (!is_cell_of(index, number, slot->owner, slot->number)) {
		struct cell_key key = {.owner = slot->owner, .object = slot->number, .operation = number, .state = CELL_LIVE};

		index = slot->cell[part & 7] = cell_claim(&key, node, (__u64)disk);
	}
	return cell_at(index);
}

static __always_inline struct cell *record_part(struct request_slot *slot, __u32 part, __u64 ns, struct kernfs_node *node, struct gendisk *disk)
{
	struct cell *cell = cell_of_part(slot, part, node, disk);

	if (cell)
		cell_count(cell, ns);
	return cell;
}

static __always_inline void record_bytes(struct request_slot *slot, __u64 bytes, struct gendisk *disk)
{
	struct cell *cell = cell_of_part(slot, BLOCK_BYTES, NULL, disk);

	if (cell)
		__sync_fetch_and_add(&cell->sum, bytes);
}

static __always_inline struct request_slot *request_place(struct request *request)
{
	__u32 index = place_of(request, REQUESTS_BITS);

	return bpf_map_lookup_elem(&requests, &index);
}

static __always_inline struct request_slot *request_find(struct request *request)
{
	struct request_slot *slot = request_place(request);
	__u64 key = (__u64)request;

	if (slot && slot->request == key && slot->start)
		return slot;
	if (requests_overflowing)
		return bpf_map_lookup_elem(&overflow_requests, &key);
	return NULL;
}

/*
 * A request whose end was not seen: its address is in use again. Its bytes and its time in the queue are known, that on the device is not.
 */
static __noinline int request_lost(struct request *request, struct request_slot *slot)
{
	struct gendisk *disk = disk_of_request(request);

	if (number_of(disk) != slot->number)
		disk = NULL;
	record_part(slot, BLOCK_QUEUE, slot->issued > slot->start ? slot->issued - slot->start : 0, NULL, disk);
	record_bytes(slot, slot->bytes ? slot->bytes : slot->size, disk);
	count(LEDGER_DIED);
	return 0;
}

/* The slot in which a request begins: its own place if that is free, else the scratch. */
static __always_inline struct request_slot *request_claim(struct request *request, enum scratch_use use, bool *spilled)
{
	struct request_slot *slot = request_place(request);
	__u32 scratch = use;

	*spilled = false;
	if (!slot)
		return NULL;
	if (slot->request == (__u64)request && slot->start) {
		request_lost(request, slot);
		return slot;
	}
	__sync_fetch_and_add(&slot->claims, 1);
	if (*(volatile __u32 *)&slot->claims == 1)
		return slot;
	__sync_fetch_and_add(&slot->claims, -1);
	*spilled = true;
	return bpf_map_lookup_elem(&request_scratch, &scratch);
}

/* Keep a request that begins; false when there is no room. */
static __always_inline bool request_keep(struct request *request, struct request_slot *slot, bool spilled)
{
	__u64 key = (__u64)request;
	struct request_slot *lost;

	if (!spilled) {
		slot->begun++;
		return true;
	}
	lost = requests_overflowing ? bpf_map_lookup_elem(&overflow_requests, &key) : NULL;
	if (lost)
		request_lost(request, lost);
	if (bpf_map_update_elem(&overflow_requests, &key, slot, BPF_ANY))
		return false;
	count(LEDGER_ENTERED);
	count(LEDGER_SLOT_COLLISION);
	if (!lost) {
		__sync_fetch_and_add(&requests_overflowing, 1);
		count(LEDGER_OVERFLOW_ENTERED);
	}
	return true;
}

static __always_inline void request_let_go(struct request *request, struct request_slot *slot)
{
	__u64 key = (__u64)request;

	if (slot->claims) { /* not in the overflow table */
		slot->start = 0;
		__sync_fetch_and_add(&slot->claims, -1);
	} else if (!bpf_map_delete_elem(&overflow_requests, &key)) {
		__sync_fetch_and_add(&requests_overflowing, -1);
		count(LEDGER_OVERFLOW_LEFT);
	}
}

/*
 * The slot of a request in flight. One that ended unseen is let go if its address is in use again: what is there was made after that was
 * issued.
 */
static __always_inline struct request_slot *request_current(struct request *request)
{
	struct request_slot *slot = request_find(request);

	if (!slot || !slot->issued || READ(request, start_time_ns) <= slot->issued)
		return slot;
	request_lost(request, slot);
	request_let_go(request, slot);
	return NULL;
}

/* When a bio was submitted, or the one that it was split from; 0: not seen. */
static __always_inline pl_ktime_ns submitted_at(struct bio *bio)
{
	__u64 key = (__u64)bio;
	__u32 index = place_of(bio, BIOS_BITS);
	struct bio_time *own = bpf_map_lookup_elem(&bios, &index);

	if (own && own->bio == key)
		return own->time;
	bio = BPF_CORE_READ(bio, bi_private); /* a number to the verifier, where READ() gives a pointer */
	key = (__u64)bio;
	index = place_of(bio, BIOS_BITS);
	own = bpf_map_lookup_elem(&bios, &index);
	return own && own->bio == key ? own->time : 0;
}

/* Whether a bio of this address was submitted after `time`. */
static __always_inline bool submitted_since(struct bio *bio, pl_ktime_ns time)
{
	__u64 key = (__u64)bio;
	__u32 index = place_of(bio, BIOS_BITS);
	struct bio_time *own = bpf_map_lookup_elem(&bios, &index);

	return own && own->bio == key && own->time > time;
}

/*
 * Who submitted a bio, and when: the current task, unless it was held back and goes on in a thread of the kernel: then the note tells,
 * of a part that was split from it too, and goes with what is left of it. Of a request that is noticed at its end nobody knows who it was:
 * the current task is one that was interrupted.
 */
static __always_inline struct kernfs_node *find_submitter(struct submitter *who, struct bio *bio, pl_ktime_ns now, bool late)
{
	struct kernfs_node *node, *noted = NULL;

	if (is_any_throttled() && bio && (throttled_take(bio, who, &noted) || throttled_find(READ(bio, bi_private), who, &noted)))
		return noted;
	if (late) {
		__builtin_memset(who, 0, sizeof(*who));
		return NULL;
	}
	node = current_owner();
	describe_current(who, node, now);
	who->time = bio ? submitted_at(bio) : now;
	return node;
}

static __always_inline int refusal_of_request(const struct submitter *who, const struct blame *blame)
{
	if (!has_filters)
		return PASSES;
	return refusal_of(who->pid, who->comm, blame->node);
}

static __always_inline void flush_asked(__u64 queue, struct submitter *who, const struct blame *blame, int why)
{
	who->owner = blame->owner;
	who->time = why;
	bpf_map_update_elem(&flushers, &queue, who, BPF_ANY);
}

/* When the kernel made a request, or `now` if it did not note that. */
static __always_inline pl_ktime_ns made_at(struct request *request, pl_ktime_ns now)
{
	pl_ktime_ns made = READ(request, start_time_ns);

	return made && made < now ? made : now;
}

/* A request is made; with SCRATCH_COMPLETE it was made before, unseen, and is about to end. */
static __noinline int request_begin(struct request *request, enum scratch_use use)
{
	bool late = use == SCRATCH_COMPLETE, spilled;
	struct bio *bio = READ(request, bio);
	struct gendisk *disk = disk_of_request(request);
	__u32 opf = READ(request, cmd_flags);
	__u64 now = bpf_ktime_get_ns(), queue = (__u64)READ(request, q);
	__u64 asks = 1ULL << bpf_core_enum_value(enum req_flag_bits, __REQ_PREFLUSH) | 1ULL << bpf_core_enum_value(enum req_flag_bits, __REQ_FUA);
	struct submitter *flusher = NULL;
	struct blame blame = {.owner = OWNER_UNKNOWN, .method = LEDGER_BY_UNKNOWN};
	struct kernfs_node *node;
	struct request_slot *slot = request_claim(request, use, &spilled);
	bool asking;
	int why = PASSES;

	if (!slot)
		return 0;
	if (late)
		now = made_at(request, now);
	slot->operation = operation_of(opf);
	asking = opf & asks && slot->operation != BLOCK_FLUSH;
	if (slot->operation == BLOCK_FLUSH)
		flusher = bpf_map_lookup_elem(&flushers, &queue);
	if (flusher) {
		if (has_filters)
			why = flusher->time & COUNTERS_MASK;
		slot->who = *flusher;
		slot->who.time = now;
		slot->who.operation_start = 0;
		blame.owner = flusher->owner;
		blame.method = LEDGER_BY_FLUSH;
	} else {
		node = find_submitter(&slot->who, bio, now, late);
		if (slot->operation == BLOCK_FLUSH)
			slot->who.time = now;
		else if (node && slot->operation == BLOCK_READ && slot->who.is_process) /* most requests: no look at their pages */
			blame_node(&blame, node, LEDGER_BY_SUBMITTER);
		else if (bio)
			blame_of(&blame, bio, &slot->who, node);
		else if (slot->who.is_process)
			blame_node(&blame, node, LEDGER_BY_SUBMITTER);
		why = refusal_of_request(&slot->who, &blame);
	}
	if (why != PASSES) {
		if (asking)
			flush_asked(queue, &slot->who, &blame, why);
		turn_away(why & COUNTERS_MASK);
		if (!spilled) {
			slot->start = 0;
			__sync_fetch_and_add(&slot->claims, -1);
		}
		return 0;
	}
	slot->request = (__u64)request;
	slot->owner = blame.owner;
	slot->tid = slot->who.tid;
	slot->number = number_of(disk);
	slot->made = READ(request, start_time_ns);
	slot->sector = READ(request, __sector);
	slot->held = slot->who.time && slot->who.time < now ? now - slot->who.time : 0;
	slot->issued = late ? READ(request, io_start_time_ns) : 0; /* 0 where the kernel does not note it */
	slot->issues = slot->issued != 0;
	slot->bytes = 0;
	slot->size = READ(request, __data_len);
	slot->error = 0;
	slot->start = now;
	if (!request_keep(request, slot, spilled)) {
		if (late || has_filters) /* else there is a second chance at its end */
			turn_away(LEDGER_NO_SLOT);
		return 0;
	}
	if (!slot->who.time)
		count(LEDGER_HELD_UNKNOWN);
	count(blame.method & 31); /* the mask is for the verifier, which loses the bounds of a word on the stack before 6.8 */
	record_part(slot, BLOCK_HELD, slot->held, blame.node, disk);
	if (asking)
		flush_asked(queue, &slot->who, &blame, PASSES);
	return 0;
}

/* Whether the request in a slot is one that ended unseen, and its address is in use again. */
static __always_inline bool is_another(struct request *request, const struct request_slot *slot)
{
	return READ(request, start_time_ns) > slot->made;
}

static __always_inline void request_first(struct request *request)
{
	struct request_slot *slot = request_find(request);

	if (!slot || is_another(request, slot))
		request_begin(request, SCRATCH_START);
}

static __always_inline void request_issue(struct request *request, bool begins)
{
	struct request_slot *slot = request_current(request);

	if (slot && begins && is_another(request, slot))
		slot = NULL;
	if (!slot && (begins || operation_of(READ(request, cmd_flags)) == BLOCK_FLUSH)) {
		request_begin(request, SCRATCH_ISSUE);
		slot = request_find(request);
	}
	if (!slot)
		return;
	if (slot->issues) /* the driver could not take it before */
		count(LEDGER_REQUEUED);
	slot->issues++;
	slot->size = READ(request, __data_len);
	slot->issued = bpf_ktime_get_ns();
}

/* What a request's time went to, at `now`; the kernel's own start is that of /proc/diskstats, and of merged requests the earliest. */
static __always_inline void request_times(struct request *request, const struct request_slot *slot, __u64 now, struct request_note *times)
{
	__u64 begun = READ(request, start_time_ns), until = slot->issued ? slot->issued : now;

	if (begun == slot->made || begun > until || slot->operation == BLOCK_FLUSH) /* as it was: of an earlier one, where nobody asks for it */
		begun = slot->start;
	times->start = slot->start - slot->held;
	times->held = slot->held;
	times->queue = slot->issued > begun ? slot->issued - begun : 0;
	times->device = now - begun - times->queue;
	times->sector = slot->sector;
	times->bytes = slot->bytes;
	times->number = slot->number;
	times->error = slot->error;
	times->operation = slot->operation;
	times->spare = 0;
}

/* Note a request for the operation that its submitter was in when it was made, if that still goes on: else the notes are another's. */
static __noinline int request_note(struct request *request, struct request_slot *slot)
{
	struct request_note note;
	struct thread_requests *own;
	__u32 tid = slot->who.tid, none = 0, at;
	__u64 operation_start = slot->who.operation_start;
	struct op_slot *operation = slot_at(tid);

	request_times(request, slot, bpf_ktime_get_ns(), &note);
	if (note.held + note.queue + note.device < note_from)
		return 0;
	if (!operation || operation->tid != tid || operation->start != operation_start)
		return 0;
	own = bpf_map_lookup_elem(&thread_requests, &tid);
	if (!own || own->operation_start != operation_start) {
		own = bpf_map_lookup_elem(&no_notes, &none);
		if (!own)
			return 0;
		own->operation_start = operation_start;
		bpf_map_update_elem(&thread_requests, &tid, own, BPF_ANY);
		own = bpf_map_lookup_elem(&thread_requests, &tid);
		if (!own)
			return 0;
	}
	at = own->seen;
	__sync_fetch_and_add(&own->seen, 1);
	if (at < NOTES_MAX)
		own->note[at & (NOTES_MAX - 1)] = note;
	return 0;
}

static __noinline int request_emit(struct request_slot *slot, const struct request_note *times, struct gendisk *disk)
{
	struct event event = {};

	if (!is_within_budget(slot->owner, bpf_ktime_get_ns())) {
		count(LEDGER_SUPPRESSED);
		return 0;
	}
	event.start = times->start;
	event.held = times->held;
	event.queue = times->queue;
	event.device = times->device;
	event.duration = times->held + times->queue + times->device;
	event.process_start = slot->who.process_start;
	event.owner = slot->owner;
	event.result = slot->error ? slot->error : slot->bytes;
	event.sector = slot->sector;
	event.operation_start = slot->who.operation_start;
	event.number = slot->number;
	event.pid = slot->who.pid;
	event.tid = slot->who.tid;
	event.parent = slot->who.parent;
	event.bytes = slot->bytes;
	event.operation = slot->operation;
	event.issues = slot->issues;
	__builtin_memcpy(event.comm, slot->who.comm, sizeof(event.comm));
	__builtin_memcpy(event.process_name, slot->who.process_name, sizeof(event.process_name));
	object_name(event.object, sizeof(event.object), (__u64)disk);
	emit(&event, sizeof(event));
	return 0;
}

/* A request is done: aggregate it, emit it if it was slow, and let its slot go. */
static __noinline int request_end(struct request *request, struct request_slot *slot)
{
	struct gendisk *disk = disk_of_request(request);
	struct request_note times;
	struct cell *cell;
	__u64 took;

	request_times(request, slot, bpf_ktime_get_ns(), &times);
	took = times.held + times.queue + times.device;
	record_part(slot, BLOCK_QUEUE, times.queue, NULL, disk);
	record_bytes(slot, slot->bytes, disk);
	cell = record_part(slot, BLOCK_DEVICE, times.device, NULL, disk);
	if (cell && is_slow(slot->operation, took)) {
		cell_count_slow(cell, took);
		request_emit(slot, &times, disk);
	}
	request_let_go(request, slot);
	return 0;
}

/* include/linux/blk_types.h; before 5.16 the tracepoint carried -errno. */
static __always_inline __s32 error_of(__s32 status)
{
	if (status <= 0)
		return status;
	switch ((__u8)status) {
	case 1: /* BLK_STS_NOTSUPP */
		return -95;
	case 2: /* BLK_STS_TIMEOUT */
		return -110;
	case 3: /* BLK_STS_NOSPC */
		return -28;
	case 7: /* BLK_STS_MEDIUM */
		return -61;
	case 8: /* BLK_STS_PROTECTION */
		return -84;
	default:
		return -5;
	}
}

/* Whether the kernel takes no time of a request, and so does not tell its end either: blk_mq_need_time_stamp(). */
static __always_inline bool is_untimed(struct request *request, const struct request_slot *slot)
{
	__u64 begun = READ(request, start_time_ns);

	return !begun || (begun == slot->made && begun + UNTIMED_AFTER < slot->start);
}

/* A part of a request is done, or all of it; `ends` where nothing ever comes after it. */
static __always_inline void request_progress(struct request *request, __s32 status, __u32 bytes, bool ends)
{
	struct request_slot *slot = request_current(request);
	__u32 left = READ(request, __data_len);

	if (!slot && !has_filters) { /* programs do not run everywhere: its begin was not seen */
		request_begin(request, SCRATCH_COMPLETE);
		slot = request_find(request);
	}
	if (!slot)
		return;
	slot->bytes += bytes;
	if (status)
		slot->error = error_of(status);
	if (slot->operation == BLOCK_FLUSH) {
		request_end(request, slot);
		return;
	}
	if (bytes < left || is_in_flush_sequence(request))
		return;
	if (slot->who.operation_start) /* now: the operation's thread is woken before the request is done */
		request_note(request, slot);
	if (ends || is_untimed(request, slot))
		request_end(request, slot);
}

static __always_inline void request_done(struct request *request)
{
	struct request_slot *slot = request_find(request);

	if (slot && slot->operation != BLOCK_FLUSH && !is_in_flush_sequence(request))
		request_end(request, slot);
}

/* A request goes into another one, which was made before it. */
static __always_inline void request_merged(struct request *request)
{
	struct request_slot *slot = request_find(request);

	if (!slot)
		return;
	count(LEDGER_MERGED);
	request_let_go(request, slot);
}

/* A bio enters a device that takes bios. */
static __noinline int layer_begin(struct bio *bio, struct gendisk *disk)
{
	__u32 use = SCRATCH_LAYER;
	struct request_slot *slot = bpf_map_lookup_elem(&request_scratch, &use);
	struct blame blame = {};
	struct layer layer = {};
	struct kernfs_node *node = NULL;
	__u64 now = bpf_ktime_get_ns(), key = (__u64)bio;
	bool held;

	if (!slot)
		return 0;
	held = is_any_throttled() && throttled_take(bio, &slot->who, &node);
	if (!held) {
		node = current_owner();
		describe_current(&slot->who, node, now);
	}
	blame_of(&blame, bio, &slot->who, node);
	if (refusal_of_request(&slot->who, &blame) != PASSES)
		return 0;
	slot->owner = layer.owner = blame.owner;
	slot->number = layer.number = number_of(disk);
	slot->operation = layer.operation = operation_of(READ(bio, bi_opf));
	layer.start = now;
	cell_of_part(slot, BLOCK_LAYER, blame.node, disk); /* with the names of owner and disk, which are not at hand at the end */
	if (held)
		record_part(slot, BLOCK_HELD, now - slot->who.time, blame.node, disk);
	if (!bpf_map_update_elem(&layers, &key, &layer, BPF_NOEXIST))
		__sync_fetch_and_add(&layers_now, 1);
	else if (bpf_map_update_elem(&layers, &key, &layer, BPF_EXIST))
		count(LEDGER_LAYER_NOT_NOTED);
	return 0;
}

static __noinline int layer_end(struct bio *bio)
{
	__u32 use = SCRATCH_LAYER_END;
	struct request_slot *slot = bpf_map_lookup_elem(&request_scratch, &use);
	__u64 key = (__u64)bio, now = bpf_ktime_get_ns();
	struct layer *layer = bpf_map_lookup_elem(&layers, &key);
	struct gendisk *disk = disk_of_bio(bio);
	__u64 start;

	if (!slot || !layer)
		return 0;
	slot->owner = layer->owner;
	slot->number = layer->number;
	slot->operation = layer->operation;
	start = layer->start;
	if (bpf_map_delete_elem(&layers, &key))
		return 0;
	__sync_fetch_and_add(&layers_now, -1);
	if (submitted_since(bio, start)) /* the end of what was in the layer was not seen */
		count(LEDGER_LAYER_NOT_NOTED);
	else /* some layers only change the bio's device, and it ends on the disk below */
		record_part(slot, BLOCK_LAYER, now - start, NULL, number_of(disk) == slot->number ? disk : NULL);
	return 0;
}

static __always_inline void bio_queued(struct bio *bio)
{
	struct gendisk *disk = disk_of_bio(bio);
	struct block_device_operations *operations = READ(disk, fops);
	__u64 key = (__u64)bio;
	__u32 index = place_of(bio, BIOS_BITS);
	struct bio_time *own;

	own = bpf_map_lookup_elem(&bios, &index);
	if (!own)
		return;
	own->time = bpf_ktime_get_ns();
	own->bio = key;
	if (READ(operations, submit_bio)) /* a layer may hand the same bio on, which is told of once */
		layer_begin(bio, disk);
}

/* A bio that was held back joins a request: no request is made of it, its time was spent nevertheless. */
static __noinline int held_merged(struct bio *bio)
{
	__u32 use = SCRATCH_MERGE;
	struct request_slot *slot = bpf_map_lookup_elem(&request_scratch, &use);
	struct gendisk *disk = disk_of_bio(bio);
	struct blame blame = {};
	struct kernfs_node *node = NULL;

	if (!slot || !throttled_take(bio, &slot->who, &node))
		return 0;
	blame_of(&blame, bio, &slot->who, node);
	if (refusal_of_request(&slot->who, &blame) != PASSES)
		return 0;
	slot->owner = blame.owner;
	slot->number = number_of(disk);
	slot->operation = operation_of(READ(bio, bi_opf));
	record_part(slot, BLOCK_HELD, bpf_ktime_get_ns() - slot->who.time, blame.node, disk);
	return 0;
}

static __always_inline void bio_merged(struct bio *bio)
{
	if (is_any_throttled())
		held_merged(bio);
}

static __always_inline void bio_completed(struct bio *bio)
{
	if (layers_now)
		layer_end(bio);
	if (is_any_throttled()) /* one that failed before there was a request: its address will be another's */
		throttled_forget(bio);
}

static __always_inline void task_leaves(bool preempted, struct task_struct *task)
{
	if (!preempted && task_state(task))
		throttled_look(task);
}

static __always_inline void bio_held(struct bio *bio, bool held)
{
	struct held_bio own = {};
	struct kernfs_node *owner;

	if (!held)
		return;
	owner = current_owner();
	own.node = (__u64)owner;
	describe_current(&own.who, owner, bpf_ktime_get_ns());
	throttled_note(bio, &own);
}

/* First of all programs: where functions cannot be traced nothing else is loaded in vain. */
SEC("fexit/__blk_throtl_bio")
int block_held_fexit(__u64 *arguments)
{
	bio_held((struct bio *)arguments[0], arguments[1]);
	return 0;
}

SEC("fexit/blk_throtl_bio") /* until "blk-throttle: Check for bio without rules early", 5.15 */
int block_held_before_fexit(__u64 *arguments)
{
	bio_held((struct bio *)arguments[0], arguments[1]);
	return 0;
}

/*
 * The argument at `index` where `condition` holds, else the first. The empty assembly keeps the branches apart: merged into one load
 * at a computed offset of the context they would be refused.
 */
#define ARGUMENT(condition, arguments, index)                                                                                    \
	({                                                                                                                       \
		__u64 argument;                                                                                                  \
		if (condition) {                                                                                                 \
			argument = (arguments)[index];                                                                           \
			asm volatile("" : "+r"(argument) : "i"(1));                                                              \
		} else {                                                                                                         \
			argument = (arguments)[0];                                                                               \
			asm volatile("" : "+r"(argument) : "i"(0));                                                              \
		}                                                                                                                \
		argument;                                                                                                        \
	})

#define REQUEST_OF(arguments) ((struct request *)ARGUMENT(queue_first, arguments, 1))
/* Tracepoints of bios had the queue first until bi_bdev came back: e8a676d61c07 and 309dca309fc3, both 5.12. */
#define BIO_OF(arguments, index) ((struct bio *)ARGUMENT(!bpf_core_field_exists(((struct bio *)0)->bi_bdev), arguments, index))

#define HOOK(name, tracepoint, body)                                                                                             \
	SEC("tp_btf/" tracepoint)                                                                                                \
	int block_##name##_tp_btf(__u64 *arguments)                                                                              \
	{                                                                                                                        \
		body;                                                                                                            \
		return 0;                                                                                                        \
	}                                                                                                                        \
	SEC("raw_tp/" tracepoint)                                                                                                \
	int block_##name##_raw_tp(struct bpf_raw_tracepoint_args *ctx)                                                           \
	{                                                                                                                        \
		__u64 *arguments = ctx->args;                                                                                    \
		body;                                                                                                            \
		return 0;                                                                                                        \
	}

/* From 5a80bd075f3b, "block: introduce block_io_start/block_io_done tracepoints" (6.5), on. */
HOOK(start, "block_io_start", request_begin((struct request *)arguments[0], SCRATCH_START))
HOOK(issue, "block_rq_issue", request_issue(REQUEST_OF(arguments), false))
HOOK(complete, "block_rq_complete", request_progress((struct request *)arguments[0], arguments[1], arguments[2], false))
HOOK(done, "block_io_done", request_done((struct request *)arguments[0]))
/* Before, a request is seen when it is first inserted or issued, and ends with its last part. */
HOOK(insert_begins, "block_rq_insert", request_first(REQUEST_OF(arguments)))
HOOK(issue_begins, "block_rq_issue", request_issue(REQUEST_OF(arguments), true))
HOOK(complete_ends, "block_rq_complete", request_progress((struct request *)arguments[0], arguments[1], arguments[2], true))

HOOK(merge, "block_rq_merge", request_merged(REQUEST_OF(arguments)))
HOOK(bio_queue, "block_bio_queue", bio_queued(BIO_OF(arguments, 1)))
HOOK(bio_complete, "block_bio_complete", bio_completed((struct bio *)arguments[1]))
HOOK(bio_backmerge, "block_bio_backmerge", bio_merged(BIO_OF(arguments, 2)))
HOOK(bio_frontmerge, "block_bio_frontmerge", bio_merged(BIO_OF(arguments, 2)))
HOOK(switch, "sched_switch", task_leaves(arguments[0], (struct task_struct *)arguments[1]))

/* Run by the agent with the address of a request that began long ago: whether it has ended, which no program was there to see. */
SEC("raw_tp")
int block_request_is_over(struct bpf_raw_tracepoint_args *ctx)
{
	struct request *request = (void *)ctx->args[0];
	int references = 1;

	bpf_core_read(&references, sizeof(references), &request->ref);
	return !references;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
