// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * file: how long each read, write, fsync, sync_file_range and copy takes, from the entry of the system call to its exit,
 * for files that are storage. In between the state lives in the thread's slot (op.h); at the exit it is added to the
 * owner's histogram cell (hist.h). Calls on pipes, sockets, terminals and pseudo files wait for a peer: one counter, no slot.
 * Not seen here: io_uring, libaio, page faults of mapped files, msync, sync and syncfs.
 */
#include "include/compat.h"
#include "include/ledger.h"
#include "include/owner.h"

enum file_operation {
	FILE_READ,
	FILE_WRITE,
	FILE_FSYNC,
	FILE_SYNC_RANGE,
	FILE_COPY,
};

DECLARE_ENUM(file_operation);

/* How a system call names its files; 0 is no call of this family. */
enum file_form {
	FORM_NONE,
	FORM_READ,
	FORM_WRITE,
	FORM_FSYNC,
	FORM_SYNC_RANGE,
	FORM_COPY_FIRST_TO_THIRD,
	FORM_COPY_SECOND_TO_FIRST,
};

#define SYSCALLS_MAX 512
#define COMPAT 0x80 /* the number is of the 32-bit table: of this family no number is in both */

/* System call numbers are an ABI: arch/x86/entry/syscalls/, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl. */
#if defined(__TARGET_ARCH_x86)
static const __u8 forms[SYSCALLS_MAX] = {
	[0 /* read */] = FORM_READ, [17 /* pread64 */] = FORM_READ, [19 /* readv */] = FORM_READ,
	[295 /* preadv */] = FORM_READ, [327 /* preadv2 */] = FORM_READ,
	[1 /* write */] = FORM_WRITE, [18 /* pwrite64 */] = FORM_WRITE, [20 /* writev */] = FORM_WRITE,
	[296 /* pwritev */] = FORM_WRITE, [328 /* pwritev2 */] = FORM_WRITE,
	[74 /* fsync */] = FORM_FSYNC, [75 /* fdatasync */] = FORM_FSYNC, [277 /* sync_file_range */] = FORM_SYNC_RANGE,
	[326 /* copy_file_range */] = FORM_COPY_FIRST_TO_THIRD, [275 /* splice */] = FORM_COPY_FIRST_TO_THIRD,
	[40 /* sendfile */] = FORM_COPY_SECOND_TO_FIRST,
	/* of 32-bit callers */
	[3 /* read */] = COMPAT | FORM_READ, [180 /* pread64 */] = COMPAT | FORM_READ, [145 /* readv */] = COMPAT | FORM_READ,
	[333 /* preadv */] = COMPAT | FORM_READ, [378 /* preadv2 */] = COMPAT | FORM_READ,
	[4 /* write */] = COMPAT | FORM_WRITE, [181 /* pwrite64 */] = COMPAT | FORM_WRITE, [146 /* writev */] = COMPAT | FORM_WRITE,
	[334 /* pwritev */] = COMPAT | FORM_WRITE, [379 /* pwritev2 */] = COMPAT | FORM_WRITE,
	[118 /* fsync */] = COMPAT | FORM_FSYNC, [148 /* fdatasync */] = COMPAT | FORM_FSYNC, [314 /* sync_file_range */] = COMPAT | FORM_SYNC_RANGE,
	[377 /* copy_file_range */] = COMPAT | FORM_COPY_FIRST_TO_THIRD, [313 /* splice */] = COMPAT | FORM_COPY_FIRST_TO_THIRD,
	[187 /* sendfile */] = COMPAT | FORM_COPY_SECOND_TO_FIRST, [239 /* sendfile64 */] = COMPAT | FORM_COPY_SECOND_TO_FIRST,
};
#elif defined(__TARGET_ARCH_arm64)
static const __u8 forms[SYSCALLS_MAX] = {
	[63 /* read */] = FORM_READ, [67 /* pread64 */] = FORM_READ, [65 /* readv */] = FORM_READ,
	[69 /* preadv */] = FORM_READ, [286 /* preadv2 */] = FORM_READ,
	[64 /* write */] = FORM_WRITE, [68 /* pwrite64 */] = FORM_WRITE, [66 /* writev */] = FORM_WRITE,
	[70 /* pwritev */] = FORM_WRITE, [287 /* pwritev2 */] = FORM_WRITE,
	[82 /* fsync */] = FORM_FSYNC, [83 /* fdatasync */] = FORM_FSYNC, [84 /* sync_file_range */] = FORM_SYNC_RANGE,
	[285 /* copy_file_range */] = FORM_COPY_FIRST_TO_THIRD, [76 /* splice */] = FORM_COPY_FIRST_TO_THIRD,
	[71 /* sendfile */] = FORM_COPY_SECOND_TO_FIRST,
	/* of 32-bit callers */
	[3 /* read */] = COMPAT | FORM_READ, [180 /* pread64 */] = COMPAT | FORM_READ, [145 /* readv */] = COMPAT | FORM_READ,
	[361 /* preadv */] = COMPAT | FORM_READ, [392 /* preadv2 */] = COMPAT | FORM_READ,
	[4 /* write */] = COMPAT | FORM_WRITE, [181 /* pwrite64 */] = COMPAT | FORM_WRITE, [146 /* writev */] = COMPAT | FORM_WRITE,
	[362 /* pwritev */] = COMPAT | FORM_WRITE, [393 /* pwritev2 */] = COMPAT | FORM_WRITE,
	[118 /* fsync */] = COMPAT | FORM_FSYNC, [148 /* fdatasync */] = COMPAT | FORM_FSYNC, [341 /* sync_file_range2 */] = COMPAT | FORM_SYNC_RANGE,
	[391 /* copy_file_range */] = COMPAT | FORM_COPY_FIRST_TO_THIRD, [340 /* splice */] = COMPAT | FORM_COPY_FIRST_TO_THIRD,
	[187 /* sendfile */] = COMPAT | FORM_COPY_SECOND_TO_FIRST, [239 /* sendfile64 */] = COMPAT | FORM_COPY_SECOND_TO_FIRST,
};
#endif

bool compat_seen = false; /* until then the exit of close, stat … , whose numbers are in the 32-bit table, looks for no slot */

static __always_inline void object_name(char *name, __u32 size, __u64 object)
{
	bpf_probe_read_kernel_str(name, size, READ((struct file_system_type *)object, name));
}

#define only_reads(operation) ((operation) == FILE_READ)

#include "include/event.h"
#include "include/filter.h"

/* A copy is an operation on its destination, unless one of its ends is a peer. A function, so that reads do not step over it. */
static __noinline int enter_copy(struct task_struct *task, struct pt_regs *regs, enum file_form form, bool compat)
{
	bool to_third = form == FORM_COPY_FIRST_TO_THIRD;
	struct file *first = current_file(task, syscall_argument(regs, 0, compat)), *other;
	struct super_block *super, *other_super;
	struct beginning op = {.frame = (__u64)regs, .operation = FILE_COPY};
	__u32 tid = thread_id(task);
	struct op_slot *slot = slot_at(tid);

	other = to_third ? current_file(task, syscall_argument(regs, 2, compat)) : current_file(task, syscall_argument(regs, 1, compat));
	if (!first || !other || !slot) {
		turn_away(LEDGER_FILTERED);
		return 0;
	}
	super = storage_of(first, 0);
	other_super = storage_of(other, 0);
	if (!super || !other_super) {
		turn_away(LEDGER_BLOCKING_PEER);
		return 0;
	}
	op.file = to_third ? other : first;
	op.object = (__u64)READ(to_third ? other_super : super, s_type);
	op.owner = owner_of(task);
	slot_begin(slot, tid, &op);
	return 0;
}

static __always_inline int file_enter(struct pt_regs *regs, unsigned long number)
{
	struct beginning op = {.frame = (__u64)regs};
	struct task_struct *task;
	struct super_block *super;
	struct op_slot *slot;
	enum file_form form;
	bool compat;
	__u32 tid;

	if (number >= SYSCALLS_MAX || !forms[number])
		return 0;
	task = current_task();
	compat = is_compat_syscall(task);
	if (compat != !!(forms[number] & COMPAT))
		return 0;
	form = forms[number] & ~COMPAT;
	if (compat && !compat_seen) /* written once: its cache line is shared by all CPUs */
		compat_seen = true;
	if (is_filtered(task)) {
		turn_away(LEDGER_FILTERED);
		return 0;
	}
	if (form >= FORM_COPY_FIRST_TO_THIRD)
		return enter_copy(task, regs, form, compat);
	tid = thread_id(task);
	slot = slot_at(tid);
	op.file = current_file(task, syscall_argument(regs, 0, compat));
	if (!op.file || !slot) {
		turn_away(LEDGER_FILTERED);
		return 0;
	}
	super = storage_of(op.file, slot->object);
	if (!super) {
		turn_away(LEDGER_BLOCKING_PEER);
		return 0;
	}
	op.operation = form - FORM_READ;
	op.object = (__u64)READ(super, s_type);
	op.owner = owner_of(task);
	slot_begin(slot, tid, &op);
	return 0;
}

static __always_inline int file_exit(void *ctx, struct pt_regs *regs, long result)
{
	unsigned long number = syscall_number(regs);
	struct op_slot *slot;

	if (number >= SYSCALLS_MAX || !forms[number] || ((forms[number] & COMPAT) && !compat_seen))
		return 0;
	slot = slot_find((__u64)regs);
	if (slot) /* else a peer, or entered before the programs were attached */
		operation_over(ctx, slot, slot->object, result);
	return 0;
}

SEC("tp_btf/sys_enter")
int file_enter_tp_btf(__u64 *ctx)
{
	return file_enter((struct pt_regs *)ctx[0], ctx[1]);
}

SEC("tp_btf/sys_exit")
int file_exit_tp_btf(__u64 *ctx)
{
	return file_exit(ctx, (struct pt_regs *)ctx[0], ctx[1]);
}

SEC("raw_tp/sys_enter")
int file_enter_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return file_enter((struct pt_regs *)ctx->args[0], ctx->args[1]);
}

SEC("raw_tp/sys_exit")
int file_exit_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return file_exit(ctx, (struct pt_regs *)ctx->args[0], ctx->args[1]);
}

/* Never attached: run by BPF_PROG_TEST_RUN with {operation, ns, object} to prove the buckets of the loaded object. */
SEC("raw_tp")
int file_record(struct bpf_raw_tracepoint_args *ctx)
{
	struct kernfs_node *owner = current_owner();
	__u16 last = 0;

	count(LEDGER_ENTERED);
	record(ctx->args[0], READ(owner, id), ctx->args[2], ctx->args[1], &last);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
