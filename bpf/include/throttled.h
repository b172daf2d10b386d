/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Bios that blk-throttle holds back before there is a request: noted here by their submitter, until they go on.
 * Where functions can be traced, at the function that holds them back. Elsewhere when their submitter goes to sleep, from the
 * queues of its cgroup: no tracepoint lies between the submission and the throttle. One program at a switch does it for the
 * waits of operations too, if both families run: a second one would cost each switch as much again.
 */
#ifndef PERFLENS_THROTTLED_H
#define PERFLENS_THROTTLED_H

#include "block.h"
#include "op.h"
#include "owner.h"

#define THROTTLED_MAX 4096
#define THROTTLED_WALKED 32

/* Who submitted a bio, and when. */
struct submitter {
	pl_ktime_ns time;
	pl_ktime_ns operation_start; /* of the file operation that the thread is in, or 0 */
	pl_cgroup_id owner;
	__u64 process_start; /* ns of CLOCK_BOOTTIME */
	__u32 tid;
	__u32 pid;
	__u32 parent;
	__u32 is_process; /* not a thread of the kernel */
	char comm[16];
	char process_name[16];
};

struct held_bio {
	struct submitter who;
	__u64 node; /* of the owner, which may be gone since */
};

/* By address of the bio. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THROTTLED_MAX);
	__type(key, __u64);
	__type(value, struct held_bio);
} throttled_bios SEC(".maps");

/* How many bios are noted: while there are none nobody looks. In a table, since the family of the switch has it in common with ours. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} throttled_count SEC(".maps");

static __always_inline __u64 *throttled_now(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&throttled_count, &only);
}

static __always_inline bool is_any_throttled(void)
{
	__u64 *now = throttled_now();

	return now && *now;
}

/* `typed`: the verifier knows what `task` points to. */
static __always_inline void describe_submitter(struct submitter *who, struct task_struct *task, bool typed, struct kernfs_node *owner, __u64 now)
{
	struct task_struct *leader = READ_IF_TYPED(typed, task, group_leader), *parent = READ_IF_TYPED(typed, leader, real_parent);
	__u32 tid = READ_IF_TYPED(typed, task, pid), pid = READ_IF_TYPED(typed, task, tgid);
	struct op_slot *slot = slot_at(tid);

	who->time = now;
	who->owner = READ(owner, id);
	who->tid = tid;
	who->pid = pid;
	who->is_process = READ_IF_TYPED(typed, task, mm) != NULL;
	who->operation_start = slot && slot->tid == tid ? slot->start : 0;
	who->process_start = READ_IF_TYPED(typed, leader, start_boottime);
	who->parent = READ_IF_TYPED(typed, parent, tgid);
	copy_comm(who->comm, task, typed);
	copy_comm(who->process_name, leader, typed);
}

static __always_inline void describe_current(struct submitter *who, struct kernfs_node *owner, __u64 now)
{
	describe_submitter(who, current_task(), HAS_TYPED_TASK, owner, now);
}

static __noinline int throttled_note(struct bio *bio, const struct held_bio *held)
{
	__u64 key = (__u64)bio, *now = throttled_now();

	if (now && !bpf_map_update_elem(&throttled_bios, &key, held, BPF_NOEXIST))
		__sync_fetch_and_add(now, 1);
	return 0;
}

/* What is noted of a bio, with the owner's node if it is there still; false when that is nothing. Of no use to who only notes. */
static __noinline __attribute__((unused)) int throttled_find(struct bio *bio, struct submitter *who, struct kernfs_node **node)
{
	__u64 key = (__u64)bio;
	struct held_bio *own = bpf_map_lookup_elem(&throttled_bios, &key);
	struct kernfs_node *found;

	if (!own)
		return 0;
	*who = own->who;
	found = (struct kernfs_node *)own->node;
	*node = BPF_CORE_READ(found, id) == own->who.owner ? found : NULL;
	return 1;
}

static __noinline __attribute__((unused)) int throttled_forget(struct bio *bio)
{
	__u64 key = (__u64)bio, *now = throttled_now();

	if (now && !bpf_map_delete_elem(&throttled_bios, &key))
		__sync_fetch_and_add(now, -1);
	return 0;
}

/* Take the note of a bio that goes on; false when there is none. */
static __always_inline int throttled_take(struct bio *bio, struct submitter *who, struct kernfs_node **node)
{
	if (!throttled_find(bio, who, node))
		return 0;
	throttled_forget(bio);
	return 1;
}

/* Whose bios are noted at the moment: of the switch alone, which preempts itself on no CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held_bio);
} throttled_sleeper SEC(".maps");

/* Verified by itself: its loop is walked once, and not for each list. `address` is that of a struct bio_list. */
__noinline int throttled_note_list(__u64 address)
{
	struct bio_list *list = (void *)address;
	struct bio *bio = BPF_CORE_READ(list, head), *tail = BPF_CORE_READ(list, tail);
	__u32 only = 0;
	struct held_bio *own = bpf_map_lookup_elem(&throttled_sleeper, &only);

	if (!own)
		return 0;
	for (int i = 0; i < THROTTLED_WALKED && bio; i++) {
		throttled_note(bio, own);
		if (bio == tail)
			return 0;
		bio = BPF_CORE_READ(bio, bi_next);
	}
	if (tail) /* the newest is the one that is surely the submitter's */
		throttled_note(tail, own);
	return 0;
}

__noinline int throttled_note_group(__u64 group)
{
	__u64 place = group + bpf_core_field_offset(struct throtl_grp___with_queues, qnode_on_self);

	for (int direction = 0; direction < 2; direction++, place += bpf_core_type_size(struct throtl_qnode)) {
		struct throtl_qnode___by_limit *by_limit = (void *)place;

		if (bpf_core_field_exists(by_limit->bios_bps)) { /* 28ad83b774a6, "blk-throttle: Split the service queue", 6.16 */
			throttled_note_list(place + bpf_core_field_offset(struct throtl_qnode___by_limit, bios_bps));
			throttled_note_list(place + bpf_core_field_offset(struct throtl_qnode___by_limit, bios_iops));
		} else {
			throttled_note_list(place + bpf_core_field_offset(struct throtl_qnode, bios));
		}
	}
	return 0;
}

#define THROTTLED_DEVICES 4
#define THROTTLED_POLICIES 6

/* The throttle's data of a group on its device: of the policies' data the one that points to the queue's throtl_data. */
static __always_inline struct throtl_grp *throttle_of(struct blkcg_gq *group, struct throtl_data *data)
{
	void *place = (void *)group + bpf_core_field_offset(struct blkcg_gq, pd);

	for (int policy = 0; policy < THROTTLED_POLICIES; policy++, place += sizeof(void *)) {
		struct throtl_grp *own;

		if (!bpf_probe_read_kernel(&own, sizeof(own), place) && own && READ(own, td) == data)
			return own;
	}
	return NULL;
}

/* Note what a thread's cgroup has held back: most times its queues are empty, which costs a few loads. */
static __noinline int throttled_look(struct task_struct *task)
{
	struct cgroup_subsys_state *css;
	struct css_set *set = READ(task, cgroups);
	__u32 only = 0;
	struct held_bio *held = bpf_map_lookup_elem(&throttled_sleeper, &only);
	struct kernfs_node *owner;
	struct hlist_node *node;

	if (!held || !bpf_core_enum_value_exists(enum cgroup_subsys_id, io_cgrp_id) || !bpf_core_type_exists(struct throtl_grp))
		return 0;
	held->who.time = 0;
	bpf_core_read(&css, sizeof(css), &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, io_cgrp_id)]);
	node = READ((struct blkcg *)css, blkg_list.first);
	for (int device = 0; device < THROTTLED_DEVICES && node; device++) {
		struct blkcg_gq *group = (void *)node - bpf_core_field_offset(struct blkcg_gq, blkcg_node);
		struct request_queue *queue = READ(group, q);
		struct throtl_data *data = READ(queue, td);
		struct throtl_grp *own;

		node = READ(node, next);
		if (!data || !(BPF_CORE_READ(data, nr_queued[0]) | BPF_CORE_READ(data, nr_queued[1])))
			continue;
		own = throttle_of(group, data);
		if (!own)
			continue;
		if (!held->who.time) {
			owner = owner_of_untyped(task);
			held->node = (__u64)owner;
			describe_submitter(&held->who, task, false, owner, bpf_ktime_get_ns());
		}
		throttled_note_group((__u64)own);
	}
	return 0;
}

#endif
