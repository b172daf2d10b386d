// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * file, for bcc: how long each read, write, fsync, sync_file_range and copy takes, from the entry of the system call to its exit.
 * The same operations, peers and owners as file.bpf.c, with the same table of system calls, which the agent copies from its object.
 * Without what an operation waited for, without stacks and paths.
 */
#define PARTS 1

#include "common.h"
#include "slow.h"
#include "../include/pseudo.h"

#define SYSCALLS_MAX 512
#define COMPAT 0x80 /* the number is of the 32-bit table */
#define OVERFLOW_SLOTS 1024
#define TAKEN_OVER (1ULL << 63)

struct call_forms {
	u8 form[SYSCALLS_MAX];
};

BPF_F_TABLE("array", u32, struct call_forms, forms, 1, 0);
BPF_F_TABLE("array", u32, struct op_slot, slots, SLOTS_ENTRIES, BPF_F_MMAPABLE);
/* Threads whose slot is taken by another one that is in flight. */
BPF_F_TABLE("hash", u32, struct op_slot, overflow_slots, OVERFLOW_SLOTS, 0);
BPF_F_TABLE("percpu_array", u32, struct event, event_buffers, 1, 0);

static void object_name(char *name, u32 size, u64 object)
{
	bpf_probe_read_kernel_str(name, size, (void *)LOAD((struct file_system_type *)object, name));
}

#if defined(__TARGET_ARCH_x86) || defined(CONFIG_X86)

static bool is_compat_syscall(struct task_struct *task)
{
	return LOAD(task, thread_info.status) & TS_COMPAT;
}

static long syscall_number(struct pt_regs *regs)
{
	return LOAD(regs, orig_ax);
}

static u64 syscall_argument(struct pt_regs *regs, int index, bool compat)
{
	if (index == 0)
		return compat ? LOAD(regs, bx) : LOAD(regs, di);
	if (index == 1)
		return compat ? LOAD(regs, cx) : LOAD(regs, si);
	return LOAD(regs, dx);
}

#else

static bool is_compat_syscall(struct task_struct *task)
{
	return LOAD(task, thread_info.flags) & (1UL << TIF_32BIT);
}

static long syscall_number(struct pt_regs *regs)
{
	return LOAD(regs, syscallno);
}

static u64 syscall_argument(struct pt_regs *regs, int index, bool compat)
{
	return LOAD(regs, regs[index]);
}

#endif

static u8 form_of(unsigned long number)
{
	u32 only = 0;
	struct call_forms *table = forms.lookup(&only);

	return table && number < SYSCALLS_MAX ? table->form[number & (SYSCALLS_MAX - 1)] : 0;
}

static struct file *current_file(struct task_struct *task, u32 fd)
{
	struct files_struct *files = LOAD(task, files);
	struct fdtable *table = (struct fdtable *)LOAD(files, fdt);
	struct file **place;
	struct file *found = NULL;

	if (fd >= LOAD(table, max_fds))
		return NULL;
	place = (struct file **)LOAD(table, fd);
	bpf_probe_read_kernel(&found, sizeof(found), place + fd);
	return found;
}

/* The super block of a file that is storage (a regular file, folder or block device), else NULL: a peer. */
static struct super_block *storage_of(struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);
	u32 format = LOAD(inode, i_mode) & S_IFMT;
	struct super_block *super;

	if (format == S_IFBLK) { /* the node's own file system is devtmpfs; the device's is bdev */
		struct address_space *mapping = LOAD(file, f_mapping);

		inode = LOAD(mapping, host);
		return LOAD(inode, i_sb);
	}
	if (format != S_IFREG && format != S_IFDIR)
		return NULL;
	super = LOAD(inode, i_sb);
	return is_pseudo(LOAD(super, s_magic)) ? NULL : super;
}

static struct op_slot *slot_at(u32 tid)
{
	u32 index = tid & SLOT_MASK;

	return slots.lookup(&index);
}

/* The slot's operation is of the thread that begins another one: its exit was not seen. */
static void slot_take_over(struct op_slot *slot)
{
	__sync_fetch_and_add(&slot->start, TAKEN_OVER);
	if (*(volatile u64 *)&slot->start != TAKEN_OVER) { /* else the agent was faster, and has counted it */
		count(LEDGER_DIED);
		if (SHARED_SLOTS)
			__sync_fetch_and_add(&slot->claims, -1);
	}
	slot->start = 0;
}

/* Whether the thread has the slot to itself until slot_end(): see op.h. */
static bool slot_take(struct op_slot *slot, u32 tid)
{
	if (SHARED_SLOTS) {
		__sync_fetch_and_add(&slot->claims, 1);
		if (*(volatile u32 *)&slot->claims == 1)
			return true;
	} else if (!slot->start) {
		return true;
	}
	if (slot->start && slot->tid == tid) {
		slot_take_over(slot);
		return true;
	}
	if (SHARED_SLOTS)
		__sync_fetch_and_add(&slot->claims, -1);
	return false;
}

/* The thread begins what takes no slot: see op.h. */
static void slot_leave(u32 tid)
{
	struct op_slot *slot = slot_at(tid);

	if (!slot || slot->tid != tid || !slot->start)
		return;
	if (SHARED_SLOTS)
		__sync_fetch_and_add(&slot->claims, 1);
	if (*(volatile u64 *)&slot->start && *(volatile u32 *)&slot->tid == tid)
		slot_take_over(slot);
	if (SHARED_SLOTS)
		__sync_fetch_and_add(&slot->claims, -1);
}

static void slot_begin_overflow(u32 tid, struct op_slot *op)
{
	count(LEDGER_ENTERED);
	count(LEDGER_SLOT_COLLISION);
	if (!overflow_slots.insert(&tid, op))
		count(LEDGER_OVERFLOW_ENTERED);
	else if (overflow_slots.lookup(&tid)) {
		overflow_slots.update(&tid, op);
		count(LEDGER_DIED); /* its exit was not seen */
	} else {
		count(LEDGER_NO_SLOT);
	}
}

static void slot_begin(struct task_struct *task, u32 tid, u16 operation, struct file *file, struct super_block *super)
{
	struct op_slot other = {}, *slot = slot_at(tid);
	u64 owner = LOAD(owner_of(task), id), object = (u64)LOAD(super, s_type);

	if (!slot)
		return;
	if (!slot_take(slot, tid)) {
		other.tid = tid;
		other.operation = operation;
		other.owner = owner;
		other.object = object;
		other.file = (u64)file;
		other.start = bpf_ktime_get_ns();
		slot_begin_overflow(tid, &other);
		return;
	}
	slot->tid = tid;
	slot->operation = operation;
	slot->waited = 0;
	slot->owner = owner;
	slot->object = object;
	slot->file = (u64)file;
	slot->begun++;
	slot->start = bpf_ktime_get_ns();
}

static void slot_end(struct op_slot *slot, u32 tid, bool overflowed)
{
	if (overflowed) {
		if (!overflow_slots.delete(&tid))
			count(LEDGER_OVERFLOW_LEFT);
		return;
	}
	slot->start = 0;
	if (SHARED_SLOTS)
		__sync_fetch_and_add(&slot->claims, -1);
}

/* The header alone: no waits, no stacks, no paths. What the time went to is not known. */
static void event_emit(struct op_slot *slot, u64 now, s64 result)
{
	struct task_struct *task = this_task(), *leader = LOAD(task, group_leader), *parent = LOAD(leader, real_parent);
	u32 only = 0;
	struct event *event = event_buffers.lookup(&only);
	struct file *file = (struct file *)slot->file;
	struct inode *inode = LOAD(file, f_inode);
	struct super_block *super = LOAD(inode, i_sb);

	if (!event)
		return;
	if (!is_within_budget(slot->owner, now)) {
		count(LEDGER_SUPPRESSED);
		return;
	}
	event->start = slot->start;
	event->duration = event->unattributed = now - slot->start;
	event->process_start = LOAD(leader, start_boottime);
	event->owner = slot->owner;
	event->result = result;
	event->inode = LOAD(inode, i_ino);
	event->device = (LOAD(inode, i_mode) & S_IFMT) == S_IFBLK ? LOAD(inode, i_rdev) : LOAD(super, s_dev);
	event->pid = LOAD(task, tgid);
	event->tid = LOAD(task, pid);
	event->parent = LOAD(parent, tgid);
	event->operation = slot->operation;
	bpf_probe_read_kernel(&event->comm, sizeof(event->comm), &task->comm);
	bpf_probe_read_kernel(&event->process_name, sizeof(event->process_name), &leader->comm);
	object_name(event->object, sizeof(event->object), slot->object);
	count(events.ringbuf_output(event, sizeof(*event), BPF_RB_NO_WAKEUP) ? LEDGER_RING_FULL : LEDGER_EMITTED);
}

ATTACH(file_exit, sys_exit)
{
	u32 tid = bpf_get_current_pid_tgid(), operation;
	bool overflowed = false;
	struct op_slot *slot;
	struct cell *cell;
	u64 now, ns;

	if (!form_of(syscall_number((struct pt_regs *)ctx->args[0])))
		return 0;
	slot = slot_at(tid);
	if (!slot || slot->tid != tid || !slot->start) {
		slot = overflow_slots.lookup(&tid);
		overflowed = true;
	}
	if (!slot) /* a peer, or entered before the programs were attached */
		return 0;
	now = bpf_ktime_get_ns();
	ns = now - slot->start;
	operation = slot->operation & (OPERATIONS_MAX - 1);
	cell = cell_of(operation, slot->owner, slot->object, owner_of(this_task()), slot->object, &slot->cell[operation]);
	if (cell)
		cell_count(cell, ns);
	if (is_slow(operation, ns)) {
		if (cell)
			cell_count_slow(cell, ns);
		event_emit(slot, now, ctx->args[1]);
	}
	slot_end(slot, tid, overflowed);
	return 0;
}

/* A copy is an operation on its destination, unless one of its ends is a peer. */
static void enter_copy(struct task_struct *task, struct pt_regs *regs, u8 form, bool compat)
{
	struct file *first = current_file(task, syscall_argument(regs, 0, compat)), *other;
	struct super_block *super, *other_super;

	slot_leave(bpf_get_current_pid_tgid());
	if (form == FORM_COPY_FIRST_TO_THIRD)
		other = current_file(task, syscall_argument(regs, 2, compat));
	else
		other = current_file(task, syscall_argument(regs, 1, compat));
	if (!first || !other) {
		turn_away(LEDGER_FILTERED);
		return;
	}
	super = storage_of(first);
	other_super = storage_of(other);
	if (!super || !other_super) {
		turn_away(LEDGER_BLOCKING_PEER);
		return;
	}
	if (form == FORM_COPY_FIRST_TO_THIRD)
		slot_begin(task, bpf_get_current_pid_tgid(), FILE_COPY, other, other_super);
	else
		slot_begin(task, bpf_get_current_pid_tgid(), FILE_COPY, first, super);
}

ATTACH(file_enter, sys_enter)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	u8 form = form_of(ctx->args[1]);
	struct super_block *super;
	struct task_struct *task;
	struct file *file;
	bool compat;

	if (!form)
		return 0;
	task = this_task();
	compat = is_compat_syscall(task);
	if (compat != !!(form & COMPAT))
		return 0;
	form &= ~COMPAT;
	if (is_turned_away(task))
		return 0;
	if (form >= FORM_COPY_FIRST_TO_THIRD) {
		enter_copy(task, regs, form, compat);
		return 0;
	}
	file = current_file(task, syscall_argument(regs, 0, compat));
	super = file ? storage_of(file) : NULL;
	if (!super) {
		slot_leave(bpf_get_current_pid_tgid());
		turn_away(file ? LEDGER_BLOCKING_PEER : LEDGER_FILTERED);
		return 0;
	}
	slot_begin(task, bpf_get_current_pid_tgid(), form - FORM_READ, file, super);
	return 0;
}
