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
#include "include/syscalls.h"
#include "include/throttled.h"

enum file_operation {
	FILE_READ,
	FILE_WRITE,
	FILE_FSYNC,
	FILE_SYNC_RANGE,
	FILE_COPY,
};

DECLARE_ENUM(file_operation);

#define FORM_OF(number, function, form) [number] = form,
#define COMPAT_FORM_OF(number, function, form) [number] = COMPAT | form,

static const __u8 forms[SYSCALLS_MAX] = {
	EACH_SYSCALL(FORM_OF)
	EACH_CONDITIONAL_SYSCALL(FORM_OF)
	EACH_COMPAT_SYSCALL(COMPAT_FORM_OF)
	EACH_CONDITIONAL_COMPAT_SYSCALL(COMPAT_FORM_OF)
	EACH_COMPAT_SYSCALL_OF_64_BIT(COMPAT_FORM_OF)
};

bool compat_seen = false; /* until then the exit of close, stat … , whose numbers are in the 32-bit table, looks for no slot */

static __always_inline void object_name(char *name, __u32 size, __u64 object)
{
	bpf_probe_read_kernel_str(name, size, READ((struct file_system_type *)object, name));
}

#define only_reads(operation) ((operation) == FILE_READ)

const volatile bool notes_held = false; /* for the block family, whose requests they become */

#define at_sleep(task)                                                                                                           \
	({                                                                                                                       \
		if (notes_held && task_state(task))                                                                              \
			throttled_look(task);                                                                                    \
	})

#include "include/event.h"
#include "include/filter.h"

/* A copy is an operation on its destination, unless one of its ends is a peer. A function, so that reads do not step over it. */
static __noinline int enter_copy(struct task_struct *task, struct pt_regs *regs, enum file_form form, bool compat)
{
	bool to_third = form == FORM_COPY_FIRST_TO_THIRD;
	struct file *first = current_file(task, syscall_argument(regs, false, 0, compat)), *other;
	__u64 type, other_type;
	struct beginning op = {.frame = (__u64)regs, .operation = FILE_COPY};
	__u32 tid = thread_id(task);
	struct op_slot *slot = slot_at(tid);

	if (slot)
		slot_leave(slot, tid);
	other = current_file(task, to_third ? syscall_argument(regs, false, 2, compat) : syscall_argument(regs, false, 1, compat));
	if (!first || !other || !slot) {
		turn_away(LEDGER_FILTERED);
		return 0;
	}
	type = storage_of(first, 0);
	other_type = storage_of(other, 0);
	if (!type || !other_type) {
		turn_away(LEDGER_BLOCKING_PEER);
		return 0;
	}
	op.file = to_third ? other : first;
	op.object = to_third ? other_type : type;
	op.owner = owner_id_of(task);
	slot_begin(slot, tid, &op);
	return 0;
}

/* `typed`: the verifier knows what `regs` points to. */
static __always_inline int file_enter(struct pt_regs *regs, bool typed, unsigned long number)
{
	struct beginning op = {.frame = (__u64)regs};
	struct task_struct *task;
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
	if (is_turned_away(task))
		return 0;
	if (form >= FORM_COPY_FIRST_TO_THIRD)
		return enter_copy(task, regs, form, compat);
	tid = thread_id(task);
	slot = slot_at(tid);
	op.file = current_file(task, syscall_argument(regs, typed, 0, compat));
	if (!op.file || !slot) {
		if (slot)
			slot_leave(slot, tid);
		turn_away(LEDGER_FILTERED);
		return 0;
	}
	op.object = storage_of(op.file, slot->object);
	if (!op.object) {
		slot_leave(slot, tid);
		turn_away(LEDGER_BLOCKING_PEER);
		return 0;
	}
	op.operation = form - FORM_READ;
	op.owner = owner_id_of(task);
	slot_begin(slot, tid, &op);
	return 0;
}

static __always_inline int file_end(void *ctx, struct op_slot *slot, long result)
{
	if (slot) /* else a peer, or entered before the programs were attached */
		operation_over(ctx, slot, slot->object, result);
	return 0;
}

static __always_inline int file_exit(void *ctx, struct pt_regs *regs, bool typed, long result)
{
	unsigned long number = syscall_number(regs, typed);

	if (number >= SYSCALLS_MAX || !forms[number] || ((forms[number] & COMPAT) && !compat_seen))
		return 0;
	return file_end(ctx, slot_find((__u64)regs), result);
}

SEC("tp_btf/sys_enter")
int file_enter_tp_btf(__u64 *ctx)
{
	return file_enter((struct pt_regs *)ctx[0], true, ctx[1]);
}

SEC("tp_btf/sys_exit")
int file_exit_tp_btf(__u64 *ctx)
{
	return file_exit(ctx, (struct pt_regs *)ctx[0], true, ctx[1]);
}

SEC("raw_tp/sys_enter")
int file_enter_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return file_enter((struct pt_regs *)ctx->args[0], false, ctx->args[1]);
}

SEC("raw_tp/sys_exit")
int file_exit_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return file_exit(ctx, (struct pt_regs *)ctx->args[0], false, ctx->args[1]);
}

/*
 * The functions of the system calls themselves: other calls pay nothing. Each goes on in the one program that does the work, so that
 * it is verified once and not for each function.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} file_enters SEC(".maps"), file_exits SEC(".maps");

#define TRACED(name, function)                                                                                                   \
	SEC("fexit/" function)                                                                                                   \
	int file_exit_fentry_##name(__u64 *ctx)                                                                                  \
	{                                                                                                                        \
		bpf_tail_call_static(ctx, &file_exits, 0);                                                                       \
		return 0;                                                                                                        \
	}                                                                                                                        \
	SEC("fentry/" function)                                                                                                  \
	int file_enter_fentry_##name(__u64 *ctx)                                                                                 \
	{                                                                                                                        \
		bpf_tail_call_static(ctx, &file_enters, 0);                                                                      \
		return 0;                                                                                                        \
	}

/*
 * Never true. Where programs may be preempted, those of two functions may be in the program that does the work at once on one CPU, which
 * the kernel does not expect of one without tail calls: it gives it a stack of the CPU's ("bpf: Find eligible subprogs for private stack
 * support", 6.13), where each would write over the other's.
 */
const volatile bool goes_on = false;

#define TRACED_ALONE(name, function, word, shared)                                                                               \
	SEC("fexit/" function)                                                                                                   \
	int file_exit_##name(__u64 *ctx)                                                                                         \
	{                                                                                                                        \
		if (shared && goes_on)                                                                                           \
			bpf_tail_call_static(ctx, &file_exits, 0);                                                               \
		return file_exit(ctx, (struct pt_regs *)word(ctx, 0), shared, word(ctx, 1));                                     \
	}                                                                                                                        \
	SEC("fentry/" function)                                                                                                  \
	int file_enter_##name(__u64 *ctx)                                                                                        \
	{                                                                                                                        \
		struct pt_regs *regs = (struct pt_regs *)word(ctx, 0);                                                           \
		if (shared && goes_on)                                                                                           \
			bpf_tail_call_static(ctx, &file_enters, 0);                                                              \
		return file_enter(regs, shared, syscall_number(regs, shared));                                                   \
	}

#define WORD_OF(ctx, index) (ctx)[index]

/* A function of another prototype cannot share programs, and its argument may be of a type that the verifier lets nobody load. */
static __always_inline __u64 word_read(__u64 *ctx, int index)
{
	__u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), &ctx[index]);
	return word;
}

#define TRACED_64(number, function, form) TRACED(64_##number, #function)
#define TRACED_32(number, function, form) TRACED(32_##number, #function)
#define TRACED_64_ALONE(number, function, form) TRACED_ALONE(fentry_64_##number, #function, word_read, false)
#define TRACED_32_ALONE(number, function, form) TRACED_ALONE(fentry_32_##number, #function, word_read, false)

EACH_SYSCALL(TRACED_64)
EACH_COMPAT_SYSCALL(TRACED_32)
EACH_CONDITIONAL_SYSCALL(TRACED_64_ALONE)
EACH_CONDITIONAL_COMPAT_SYSCALL(TRACED_32_ALONE)
TRACED_ALONE(fentry, FIRST_SYSCALL, WORD_OF, true)

/* Attached to the same functions. The registers of the caller are the function's argument; at its return they are not at hand. */
SEC("kretprobe")
int file_exit_kprobe(__u64 *registers)
{
	return file_end(registers, slot_of(thread_id(current_task())), registers[REGISTER_RESULT]);
}

SEC("kprobe")
int file_enter_kprobe(__u64 *registers)
{
	struct pt_regs *regs = (struct pt_regs *)registers[REGISTER_ARGUMENT];

	return file_enter(regs, false, syscall_number(regs, false));
}

/* Never attached: run by BPF_PROG_TEST_RUN with {operation, ns, object} to prove the buckets of the loaded object. */
SEC("raw_tp")
int file_record(struct bpf_raw_tracepoint_args *ctx)
{
	__u16 last = 0;

	count(LEDGER_ENTERED);
	record(ctx->args[0], owner_id_of(current_task()), ctx->args[2], ctx->args[1], is_slow(ctx->args[0], ctx->args[1]), &last);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
