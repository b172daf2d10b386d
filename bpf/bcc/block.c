// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * block, for bcc: how long each request of a disk was held back before there was a request, in the queue, and on the device; its bytes.
 * The same requests and owners as block.bpf.c. Without devices that are stacked on others, without what a cgroup's limit holds back
 * before any tracepoint, and without the file operation that a request served.
 */
#define PARTS 5 /* as in block.bpf.c: of the layer there are no cells */

#include "common.h"
#include "slow.h"
#include <linux/blkdev.h>
#include <linux/blk-mq.h>
#include <linux/bio.h>
#include <linux/mm_types.h>
#include <linux/memcontrol.h>

#define REQUESTS_BITS 13
#define REQUESTS_MAX (1 << REQUESTS_BITS)
#define OVERFLOW_REQUESTS 1024
#define BIOS_BITS 13
#define BIOS_MAX (1 << BIOS_BITS)
#define FLUSHERS_MAX 256
#define UNTIMED_AFTER 1000000000 /* ns: a start so long before is another request's */
#define OWNER_UNKNOWN (~0ULL)
#define WRITEBACK_BY_CGROUP 1 /* SB_I_CGROUPWB of include/linux/fs.h */
#define CHARGE_FLAGS 7UL      /* of memcg_data, include/linux/memcontrol.h */
#define CHARGED_BY_OBJECT 2UL

struct bio_time {
	u64 bio;
	u64 time;
};

/* What block/blk-cgroup.h begins with, which is not among the installed headers; so since 5.9. */
struct group_of_queue {
	struct request_queue *queue;
	struct list_head queue_node;
	struct hlist_node group_node;
	struct cgroup_subsys_state *group; /* a struct blkcg, whose first member it is */
};

struct blame {
	u64 owner;
	struct kernfs_node *node; /* of the owner, NULL: not at hand */
	u32 method;
};

BPF_F_TABLE("array", u32, struct request_slot, requests, REQUESTS_MAX, BPF_F_MMAPABLE);
/* Requests whose slot another one has. */
BPF_F_TABLE("hash", u64, struct request_slot, overflow_requests, OVERFLOW_REQUESTS, 0);
/* When bios were submitted, by their address: each lasts until another one of the same place is. */
BPF_F_TABLE("array", u32, struct bio_time, bios, BIOS_MAX, 0);
/* Who last asked a queue for a flush, and in place of the time why that is not measured, or PASSES: the flush itself has no bio. */
BPF_F_TABLE("lru_hash", u64, struct submitter, flushers, FLUSHERS_MAX, 0);
/* One for each use: programs may preempt each other, none itself. */
BPF_F_TABLE("percpu_array", u32, struct request_slot, request_scratch, SCRATCHES, 0);
BPF_F_TABLE("percpu_array", u32, struct event, event_buffers, 1, 0);

static void object_name(char *name, u32 size, u64 object)
{
	*name = 0;
	if (object)
		bpf_probe_read_kernel_str(name, size, (void *)((struct gendisk *)object)->disk_name);
}

static u32 place_of(u64 address, u32 bits)
{
	return (u32)address * 0x9e3779b1u >> (32 - bits); /* 2^32 divided by the golden ratio */
}

static struct gendisk *disk_of_request(struct request *request)
{
#if QUEUE_HAS_DISK
	struct request_queue *queue = LOAD(request, q);

	return LOAD(queue, disk);
#else
	return LOAD(request, rq_disk);
#endif
}

static u32 number_of(struct gendisk *disk)
{
	return disk ? LOAD(disk, major) << 20 | LOAD(disk, first_minor) : 0;
}

static u16 operation_of(u32 opf)
{
	switch (opf & REQ_OP_MASK) {
	case REQ_OP_READ:
		return BLOCK_READ;
	case REQ_OP_WRITE:
	case 7: /* REQ_OP_WRITE_SAME, REQ_OP_ZONE_APPEND from 5.18 on */
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

static void blame_node(struct blame *blame, struct kernfs_node *node, u32 method)
{
	blame->node = node;
	blame->owner = LOAD(node, id);
	blame->method = method;
}

/* The first page of a bio; of a compound one the first, which carries the flags and the charge. */
static struct page *first_page(struct bio *bio)
{
	struct bio_vec *vector = LOAD(bio, bi_io_vec);
	u32 index = LOAD(bio, bi_iter.bi_idx);
	struct page *page;
	unsigned long head;

	if (!vector || !LOAD(bio, bi_iter.bi_size))
		return NULL;
	vector += index;
	page = LOAD(vector, bv_page);
	head = LOAD(page, compound_head);
	return head & 1 ? (struct page *)(head - 1) : page;
}

/* The cgroup that a page's memory is charged to, or NULL. */
static struct kernfs_node *charged_node(struct page *page)
{
#ifdef CONFIG_MEMCG
	struct mem_cgroup *charged;
	struct cgroup *group;
#if PAGE_HAS_MEM_CGROUP
	charged = LOAD(page, mem_cgroup);
#else
#if HAS_FOLIOS
	unsigned long data = LOAD((struct folio *)page, memcg_data);
#else
	unsigned long data = LOAD(page, memcg_data);
#endif
	u64 target = data & ~CHARGE_FLAGS;

	charged = (struct mem_cgroup *)target;
	if (data & CHARGED_BY_OBJECT || (data && OBJECTS_OF_FOLIOS))
		charged = LOAD((struct obj_cgroup *)target, memcg);
#endif
	if (!charged)
		return NULL;
	group = LOAD(charged, css.cgroup);
	return LOAD(group, kn);
#else
	return NULL;
#endif
}

static bool blame_memory(struct blame *blame, struct page *page, bool unless_root)
{
	struct kernfs_node *node = charged_node(page);

	if (!node || (unless_root && !parent_of(node)))
		return false;
	blame_node(blame, node, LEDGER_BY_MEMCG);
	return true;
}

/* By the cgroup of the bio; on hosts with cgroup v1 that is one of another hierarchy than the owners'. */
static bool blame_block(struct blame *blame, struct bio *bio)
{
#if !OWNER_BY_MEMORY && defined(CONFIG_BLK_CGROUP)
	struct group_of_queue *own = (struct group_of_queue *)LOAD(bio, bi_blkg);
	struct cgroup_subsys_state *state;
	struct cgroup *group;
	struct kernfs_node *node;

	if (!own)
		return false;
	state = LOAD(own, group);
	group = LOAD(state, cgroup);
	node = LOAD(group, kn);
	if (!node || !parent_of(node))
		return false;
	blame_node(blame, node, LEDGER_BY_BLKCG);
	return true;
#else
	return false;
#endif
}

static struct inode *host_of(struct page *page)
{
	u64 mapping = (u64)LOAD(page, mapping);

	if (!mapping || mapping & 3) /* anonymous or of a driver */
		return NULL;
	return LOAD((struct address_space *)mapping, host);
}

/* Whose a bio is: see blame.h. */
static void blame_of(struct blame *blame, struct bio *bio, struct submitter *who, struct kernfs_node *node)
{
	u32 opf = LOAD(bio, bi_opf), operation = opf & REQ_OP_MASK;
	bool own_read = who->is_process && operation == REQ_OP_READ;
	struct page *page = operation <= REQ_OP_WRITE && !own_read ? first_page(bio) : NULL;
	struct inode *inode = page ? host_of(page) : NULL;
	struct super_block *super = inode ? LOAD(inode, i_sb) : NULL;
	unsigned long flags = 0;

	if (page && operation == REQ_OP_WRITE)
		bpf_probe_read_kernel(&flags, sizeof(flags), (void *)page); /* the first member */
	if (flags & (1UL << PG_writeback)) {
		if (opf & REQ_META) /* shared by all */
			return;
		if (super && LOAD(super, s_iflags) & WRITEBACK_BY_CGROUP && blame_block(blame, bio))
			return;
		blame_memory(blame, page, false);
	} else if (who->is_process) {
		blame->owner = who->owner;
		blame->node = node;
		blame->method = LEDGER_BY_SUBMITTER;
	} else if (!blame_block(blame, bio) && page && !(inode && (LOAD(inode, i_mode) & S_IFMT) == S_IFBLK)) {
		blame_memory(blame, page, true);
	}
}

static void describe_submitter(struct submitter *who, struct task_struct *task, struct kernfs_node *node)
{
	struct task_struct *leader = LOAD(task, group_leader), *parent = LOAD(leader, real_parent);

	who->owner = LOAD(node, id);
	who->tid = LOAD(task, pid);
	who->pid = LOAD(task, tgid);
	who->is_process = LOAD(task, mm) != NULL;
	who->operation_start = 0;
	who->process_start = LOAD(leader, start_boottime);
	who->parent = LOAD(parent, tgid);
	bpf_probe_read_kernel(&who->comm, sizeof(who->comm), &task->comm);
	bpf_probe_read_kernel(&who->process_name, sizeof(who->process_name), &leader->comm);
}

static void record_part(struct request_slot *slot, u32 part, u64 ns, struct kernfs_node *node, struct gendisk *disk)
{
	u32 number = part * OPERATIONS_MAX + slot->operation;
	struct cell *cell = cell_of(number, slot->owner, slot->number, node, (u64)disk, &slot->cell[part & 7]);

	if (cell)
		cell_count(cell, ns);
}

static void record_bytes(struct request_slot *slot, u64 bytes, struct gendisk *disk)
{
	u32 number = BLOCK_BYTES * OPERATIONS_MAX + slot->operation;
	struct cell *cell = cell_of(number, slot->owner, slot->number, NULL, (u64)disk, &slot->cell[BLOCK_BYTES]);

	if (cell)
		__sync_fetch_and_add(&cell->sum, bytes);
}

static struct request_slot *request_place(struct request *request)
{
	u32 index = place_of((u64)request, REQUESTS_BITS);

	return requests.lookup(&index);
}

static struct request_slot *request_find(struct request *request)
{
	struct request_slot *slot = request_place(request);
	u64 key = (u64)request;

	if (slot && slot->request == key && slot->start)
		return slot;
	return overflow_requests.lookup(&key);
}

/* A request whose end was not seen: its address is in use again. */
static void request_lost(struct request *request, struct request_slot *slot)
{
	struct gendisk *disk = disk_of_request(request);

	if (number_of(disk) != slot->number)
		disk = NULL;
	record_part(slot, BLOCK_QUEUE, slot->issued > slot->start ? slot->issued - slot->start : 0, NULL, disk);
	record_bytes(slot, slot->bytes ? slot->bytes : slot->size, disk);
	count(LEDGER_DIED);
}

/* The slot in which a request begins: its own place if that is free, else the scratch. */
static struct request_slot *request_claim(struct request *request, u32 use, bool *spilled)
{
	struct request_slot *slot = request_place(request);

	*spilled = false;
	if (!slot)
		return NULL;
	if (slot->request == (u64)request && slot->start) {
		request_lost(request, slot);
		return slot;
	}
	__sync_fetch_and_add(&slot->claims, 1);
	if (*(volatile u32 *)&slot->claims == 1)
		return slot;
	__sync_fetch_and_add(&slot->claims, -1);
	*spilled = true;
	return request_scratch.lookup(&use);
}

/* Keep a request that begins; false when there is no room. */
static bool request_keep(struct request *request, struct request_slot *slot, bool spilled)
{
	u64 key = (u64)request;
	struct request_slot *lost;

	if (!spilled) {
		slot->begun++;
		return true;
	}
	lost = overflow_requests.lookup(&key);
	if (lost)
		request_lost(request, lost);
	if (overflow_requests.update(&key, slot))
		return false;
	count(LEDGER_ENTERED);
	count(LEDGER_SLOT_COLLISION);
	if (!lost)
		count(LEDGER_OVERFLOW_ENTERED);
	return true;
}

static void request_let_go(struct request *request, struct request_slot *slot)
{
	u64 key = (u64)request;

	if (slot->claims) { /* not in the overflow table */
		slot->start = 0;
		__sync_fetch_and_add(&slot->claims, -1);
	} else if (!overflow_requests.delete(&key)) {
		count(LEDGER_OVERFLOW_LEFT);
	}
}

/* The slot of a request in flight. One that ended unseen is let go if its address is in use again: see block.bpf.c. */
static struct request_slot *request_current(struct request *request)
{
	struct request_slot *slot = request_find(request);

	if (!slot || !slot->issued || LOAD(request, start_time_ns) <= slot->issued)
		return slot;
	request_lost(request, slot);
	request_let_go(request, slot);
	return NULL;
}

/* When a bio was submitted, or the one that it was split from; 0: not seen. */
static u64 submitted_at(struct bio *bio)
{
	u64 key = (u64)bio;
	u32 index = place_of(key, BIOS_BITS);
	struct bio_time *own = bios.lookup(&index);

	if (own && own->bio == key)
		return own->time;
	key = (u64)LOAD(bio, bi_private);
	index = place_of(key, BIOS_BITS);
	own = bios.lookup(&index);
	return own && own->bio == key ? own->time : 0;
}

/*
 * Who submitted a request, and whose it is. Of one that is noticed at its end nobody knows: the current task was interrupted.
 * Return why it is not measured, or PASSES.
 */
static u32 find_owner(struct request_slot *slot, struct bio *bio, struct blame *blame, u64 queue, u64 now, bool late)
{
	struct task_struct *task = this_task();
	struct kernfs_node *node = NULL;
	struct submitter *flusher = NULL;

	if (slot->operation == BLOCK_FLUSH)
		flusher = flushers.lookup(&queue);
	if (flusher) {
		u32 why = flusher->time;

		slot->who = *flusher;
		slot->who.time = now;
		slot->who.operation_start = 0;
		blame->owner = flusher->owner;
		blame->method = LEDGER_BY_FLUSH;
		return why;
	}
	if (late) {
		__builtin_memset(&slot->who, 0, sizeof(slot->who));
	} else {
		node = owner_of(task);
		describe_submitter(&slot->who, task, node);
		slot->who.time = bio ? submitted_at(bio) : now;
	}
	if (slot->operation == BLOCK_FLUSH)
		slot->who.time = now;
	else if (bio)
		blame_of(blame, bio, &slot->who, node);
	else if (slot->who.is_process)
		blame_node(blame, node, LEDGER_BY_SUBMITTER);
	return HAS_FILTERS ? refusal_of(slot->who.pid, slot->who.comm, blame->node) : PASSES;
}

static void flush_asked(u64 queue, struct submitter *who, struct blame *blame, u32 why)
{
	who->owner = blame->owner;
	who->time = why;
	flushers.update(&queue, who);
}

/* A request is made; with SCRATCH_COMPLETE it was made before, unseen, and is about to end. */
static void request_begin(struct request *request, u32 use)
{
	bool late = use == SCRATCH_COMPLETE, spilled;
	struct bio *bio = LOAD(request, bio);
	struct gendisk *disk = disk_of_request(request);
	u32 opf = LOAD(request, cmd_flags);
	u64 now = bpf_ktime_get_ns(), queue = (u64)LOAD(request, q), made = LOAD(request, start_time_ns);
	struct blame blame = {.owner = OWNER_UNKNOWN, .method = LEDGER_BY_UNKNOWN};
	struct request_slot *slot = request_claim(request, use, &spilled);
	bool asking;
	u32 why;

	if (!slot)
		return;
	if (late && made && made < now)
		now = made;
	slot->operation = operation_of(opf);
	asking = opf & (REQ_PREFLUSH | REQ_FUA) && slot->operation != BLOCK_FLUSH;
	why = find_owner(slot, bio, &blame, queue, now, late);
	if (why != PASSES) {
		if (asking)
			flush_asked(queue, &slot->who, &blame, why);
		turn_away(why);
		if (!spilled) {
			slot->start = 0;
			__sync_fetch_and_add(&slot->claims, -1);
		}
		return;
	}
	slot->request = (u64)request;
	slot->owner = blame.owner;
	slot->tid = slot->who.tid;
	slot->number = number_of(disk);
	slot->made = made;
	slot->sector = LOAD(request, __sector);
	slot->held = slot->who.time && slot->who.time < now ? now - slot->who.time : 0;
	slot->issued = late ? LOAD(request, io_start_time_ns) : 0; /* 0 where the kernel does not note it */
	slot->issues = slot->issued != 0;
	slot->bytes = 0;
	slot->size = LOAD(request, __data_len);
	slot->error = 0;
	slot->start = now;
	if (!request_keep(request, slot, spilled)) {
		if (late || HAS_FILTERS) /* else there is a second chance at its end */
			turn_away(LEDGER_NO_SLOT);
		return;
	}
	if (!slot->who.time)
		count(LEDGER_HELD_UNKNOWN);
	count(blame.method);
	record_part(slot, BLOCK_HELD, slot->held, blame.node, disk);
	if (asking)
		flush_asked(queue, &slot->who, &blame, PASSES);
}

/* Whether the request in a slot is one that ended unseen, and its address is in use again. */
static bool is_another(struct request *request, struct request_slot *slot)
{
	return LOAD(request, start_time_ns) > slot->made;
}

static void request_issue(struct request *request, bool begins)
{
	struct request_slot *slot = request_current(request);

	if (slot && begins && is_another(request, slot))
		slot = NULL;
	if (!slot && (begins || operation_of(LOAD(request, cmd_flags)) == BLOCK_FLUSH)) {
		request_begin(request, SCRATCH_ISSUE);
		slot = request_find(request);
	}
	if (!slot)
		return;
	if (slot->issues) /* the driver could not take it before */
		count(LEDGER_REQUEUED);
	slot->issues++;
	slot->size = LOAD(request, __data_len);
	slot->issued = bpf_ktime_get_ns();
}

static void event_emit(struct request_slot *slot, u64 queue, u64 device, struct gendisk *disk)
{
	u32 only = 0;
	struct event *event = event_buffers.lookup(&only);

	if (!event)
		return;
	if (!is_within_budget(slot->owner, bpf_ktime_get_ns())) {
		count(LEDGER_SUPPRESSED);
		return;
	}
	event->start = slot->start - slot->held;
	event->held = slot->held;
	event->queue = queue;
	event->device = device;
	event->duration = slot->held + queue + device;
	event->process_start = slot->who.process_start;
	event->owner = slot->owner;
	event->result = slot->error ? slot->error : slot->bytes;
	event->sector = slot->sector;
	event->operation_start = 0;
	event->number = slot->number;
	event->pid = slot->who.pid;
	event->tid = slot->who.tid;
	event->parent = slot->who.parent;
	event->bytes = slot->bytes;
	event->operation = slot->operation;
	event->issues = slot->issues;
	__builtin_memcpy(event->comm, slot->who.comm, sizeof(event->comm));
	__builtin_memcpy(event->process_name, slot->who.process_name, sizeof(event->process_name));
	object_name(event->object, sizeof(event->object), (u64)disk);
	count(events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP) ? LEDGER_RING_FULL : LEDGER_EMITTED);
}

/* A request is done; the kernel's own start is that of /proc/diskstats, and of merged requests the earliest. */
static void request_end(struct request *request, struct request_slot *slot)
{
	struct gendisk *disk = disk_of_request(request);
	u64 now = bpf_ktime_get_ns(), begun = LOAD(request, start_time_ns), until = slot->issued ? slot->issued : now, queue, device, took;
	u32 number = BLOCK_DEVICE * OPERATIONS_MAX + slot->operation;
	struct cell *cell;

	if (begun == slot->made || begun > until || slot->operation == BLOCK_FLUSH)
		begun = slot->start;
	queue = slot->issued > begun ? slot->issued - begun : 0;
	device = now - begun - queue;
	took = slot->held + queue + device;
	record_part(slot, BLOCK_QUEUE, queue, NULL, disk);
	record_bytes(slot, slot->bytes, disk);
	cell = cell_of(number, slot->owner, slot->number, NULL, (u64)disk, &slot->cell[BLOCK_DEVICE]);
	if (cell) {
		cell_count(cell, device);
		if (is_slow(slot->operation, took)) {
			cell_count_slow(cell, took);
			event_emit(slot, queue, device, disk);
		}
	}
	request_let_go(request, slot);
}

static s32 error_of(s32 status)
{
	if (status <= 0) /* before 5.16 the tracepoint carried -errno */
		return status;
	switch ((u8)status) {
	case 1: /* BLK_STS_NOTSUPP, include/linux/blk_types.h */
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

/* A part of a request is done, or all of it; `ends` where nothing comes after it. */
static void request_progress(struct request *request, s32 status, u32 bytes, bool ends)
{
	struct request_slot *slot = request_current(request);
	u32 left = LOAD(request, __data_len);
	u64 in_sequence = (u64)LOAD(request, rq_flags) & (u64)RQF_FLUSH_SEQ, begun;

	if (!slot && !HAS_FILTERS) { /* programs do not run everywhere: its begin was not seen */
		request_begin(request, SCRATCH_COMPLETE);
		slot = request_find(request);
	}
	if (!slot)
		return;
	slot->bytes += bytes;
	if (status)
		slot->error = error_of(status);
	begun = LOAD(request, start_time_ns);
	ends = ends || !begun || (begun == slot->made && begun + UNTIMED_AFTER < slot->start); /* see block.bpf.c */
	if (slot->operation == BLOCK_FLUSH || (ends && bytes >= left && !in_sequence))
		request_end(request, slot);
}

#if QUEUE_FIRST
#define REQUEST_OF(ctx) ((struct request *)(ctx)->args[1])
#else
#define REQUEST_OF(ctx) ((struct request *)(ctx)->args[0])
#endif

#if HAS_IO_START
/* From 6.5 on. */
ATTACH(block_request_done, block_io_done)
{
	struct request *request = (struct request *)ctx->args[0];
	struct request_slot *slot = request_find(request);

	if (slot && slot->operation != BLOCK_FLUSH && !((u64)LOAD(request, rq_flags) & (u64)RQF_FLUSH_SEQ))
		request_end(request, slot);
	return 0;
}
#endif

ATTACH(block_request_complete, block_rq_complete)
{
	request_progress((struct request *)ctx->args[0], ctx->args[1], ctx->args[2], !HAS_IO_START);
	return 0;
}

/* A request goes into another one, which was made before it. */
ATTACH(block_request_merge, block_rq_merge)
{
	struct request *request = REQUEST_OF(ctx);
	struct request_slot *slot = request_find(request);

	if (!slot)
		return 0;
	count(LEDGER_MERGED);
	request_let_go(request, slot);
	return 0;
}

ATTACH(block_request_issue, block_rq_issue)
{
	request_issue(REQUEST_OF(ctx), !HAS_IO_START);
	return 0;
}

#if HAS_IO_START
ATTACH(block_request_start, block_io_start)
{
	request_begin((struct request *)ctx->args[0], SCRATCH_START);
	return 0;
}
#else
/* A request is seen when it is first inserted or issued, and ends with its last part. */
ATTACH(block_request_insert, block_rq_insert)
{
	struct request *request = REQUEST_OF(ctx);
	struct request_slot *slot = request_find(request);

	if (!slot || is_another(request, slot))
		request_begin(request, SCRATCH_START);
	return 0;
}
#endif

ATTACH(block_bio_submit, block_bio_queue)
{
	struct bio *bio = (struct bio *)ctx->args[BIO_AFTER_QUEUE];
	u64 key = (u64)bio;
	u32 index = place_of(key, BIOS_BITS);
	struct bio_time *own = bios.lookup(&index);

	if (!own)
		return 0;
	own->time = bpf_ktime_get_ns();
	own->bio = key;
	return 0;
}

/* Run by the agent with the address of a request that began long ago: whether it has ended, which no program was there to see. */
BY_HAND(block_request_is_over)
{
	struct request *request = (struct request *)ctx->args[0];
	int references = 1;

	bpf_probe_read_kernel(&references, sizeof(references), (void *)&request->ref); /* a refcount_t, later an atomic_t: begins with an int */
	return !references;
}
