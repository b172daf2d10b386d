/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Whose a bio is. What a thread does for itself is its own; pages of the page cache that are written back are charged to the
 * cgroup that they belong to, whoever writes them: the flusher, a sync, another's fsync or reclaim. Never who took the interrupt.
 */
#ifndef PERFLENS_BLAME_H
#define PERFLENS_BLAME_H

#include "block.h"
#include "throttled.h"

#define OWNER_UNKNOWN (~0ULL)

struct blame {
	pl_cgroup_id owner;
	struct kernfs_node *node; /* of the owner, NULL: not at hand */
	enum ledger_counter method;
};

static __always_inline void blame_node(struct blame *blame, struct kernfs_node *node, enum ledger_counter method)
{
	blame->node = node;
	blame->owner = READ(node, id);
	blame->method = method;
}

static __always_inline struct page *first_page(struct bio *bio)
{
	struct bio_vec *vector = READ(bio, bi_io_vec);

	if (!vector || !READ(bio, bi_iter.bi_size))
		return NULL;
	vector = (void *)vector + READ(bio, bi_iter.bi_idx) * bpf_core_type_size(struct bio_vec);
	return READ(vector, bv_page);
}

/* The first page of a compound one, which carries the flags and the charge; its pointer moved into `compound_info` in 7.1. */
static __always_inline struct page *head_of(struct page *page)
{
	struct page___head_in_info *other = (void *)page;
	unsigned long head = 0;

	if (bpf_core_field_exists(page->compound_head))
		head = BPF_CORE_READ(page, compound_head);
	else if (bpf_core_field_exists(other->compound_info))
		head = BPF_CORE_READ(other, compound_info);
	return head & 1 ? (void *)(head - 1) : page;
}

/* The memory cgroup that a page is charged to, or NULL. */
static __always_inline struct mem_cgroup *charged_of(struct page *head)
{
	struct page___with_mem_cgroup *before = (void *)head;
	struct folio *folio = (void *)head;
	unsigned long data = 0;

	if (bpf_core_field_exists(before->mem_cgroup)) /* until bcfe06bf2622, "mm: memcontrol: Use helpers to read page's memcg data", 5.11 */
		return BPF_CORE_READ(before, mem_cgroup);
	if (bpf_core_field_exists(folio->memcg_data))
		data = BPF_CORE_READ(folio, memcg_data);
	else if (bpf_core_field_exists(head->memcg_data))
		data = BPF_CORE_READ(head, memcg_data);
	/* Folios too are charged by way of an object (memcg_data of struct folio) where obj_cgroup::is_root exists, since 7.1. */
	if (data & MEMCG_DATA_KMEM || (data && bpf_core_field_exists(((struct obj_cgroup___of_folios *)data)->is_root)))
		return BPF_CORE_READ((struct obj_cgroup *)(data & ~MEMCG_DATA_FLAGS), memcg);
	return (void *)(data & ~MEMCG_DATA_FLAGS);
}

static __always_inline bool blame_memory(struct blame *blame, struct page *head, bool unless_root)
{
	struct mem_cgroup *charged = charged_of(head);
	struct kernfs_node *node = charged ? BPF_CORE_READ(charged, css.cgroup, kn) : NULL;

	if (!node || (unless_root && !kernfs_parent(node)))
		return false;
	blame_node(blame, node, LEDGER_BY_MEMCG);
	return true;
}

/* By the cgroup of the bio; on hosts with cgroup v1 that is one of another hierarchy than the owners'. */
static __always_inline bool blame_block(struct blame *blame, struct bio *bio)
{
	struct blkcg_gq *group = READ(bio, bi_blkg);
	struct kernfs_node *node;

	if (owner_by_memory || !group)
		return false;
	node = BPF_CORE_READ(group, blkcg, css.cgroup, kn);
	if (!node || !kernfs_parent(node))
		return false;
	blame_node(blame, node, LEDGER_BY_BLKCG);
	return true;
}

static __always_inline struct inode *host_of(struct page *head)
{
	unsigned long mapping = (unsigned long)BPF_CORE_READ(head, mapping);

	if (!mapping || mapping & 3) /* anonymous or of a driver */
		return NULL;
	return BPF_CORE_READ((struct address_space *)mapping, host);
}

/* Pages of the page cache on their way to the disk. */
static __always_inline void blame_writeback(struct blame *blame, struct bio *bio, struct page *head)
{
	struct inode *inode = host_of(head);
	struct super_block___with_flags *super = inode ? (void *)BPF_CORE_READ(inode, i_sb) : NULL;
	bool by_cgroup = super && BPF_CORE_READ(super, s_iflags) & SB_I_CGROUPWB;

	if (by_cgroup && blame_block(blame, bio))
		return;
	blame_memory(blame, head, false);
}

/* Metadata and journal are of the device's own mapping, charged to whoever touched them first: that tells nothing. */
static __always_inline bool is_metadata(struct page *head)
{
	struct inode *inode = host_of(head);

	return inode && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFBLK;
}

/* What a thread of the kernel submits that is no writeback: for whom it works, if the bio or its memory tells. */
static __always_inline void blame_for_kernel(struct blame *blame, struct bio *bio, struct page *head)
{
	if (blame_block(blame, bio) || !head || is_metadata(head))
		return;
	blame_memory(blame, head, true);
}

/* Find the owner of a bio that `who` submitted; `node` is that of who's cgroup, or NULL. */
static __noinline int blame_of(struct blame *blame, struct bio *bio, const struct submitter *who, struct kernfs_node *node)
{
	__u32 opf = READ(bio, bi_opf), operation = opf & REQ_OP_MASK;
	bool own_read = who->is_process && operation == REQ_OP_READ; /* its pages tell nothing */
	struct page *page = operation <= REQ_OP_WRITE && !own_read ? first_page(bio) : NULL;
	struct page *head = page ? head_of(page) : NULL;
	unsigned long writeback = 1UL << bpf_core_enum_value(enum pageflags, PG_writeback), flags = 0;
	__u64 metadata = 1ULL << bpf_core_enum_value(enum req_flag_bits, __REQ_META);

	blame->owner = OWNER_UNKNOWN;
	blame->node = NULL;
	blame->method = LEDGER_BY_UNKNOWN;
	if (head && operation == REQ_OP_WRITE)
		bpf_probe_read_kernel(&flags, sizeof(flags), head); /* the first member, of a type of its own since 6.18 */
	if (flags & writeback) {
		if (!(opf & metadata)) /* that of a file system is shared: charged to who touched it first, which tells nothing */
			blame_writeback(blame, bio, head);
	} else if (who->is_process) {
		blame->owner = who->owner;
		blame->node = node;
		blame->method = LEDGER_BY_SUBMITTER;
	} else {
		blame_for_kernel(blame, bio, head);
	}
	return 0;
}

#endif
