// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Sends as many numbered records of a given length to a ring as its caller asks for, and counts those that found no room. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} refused SEC(".maps");

__u64 sequence = 0;

SEC("raw_tp")
int ring_send(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 record[32] = {};
	__u32 zero = 0, length = ctx->args[1];
	__u64 *lost = bpf_map_lookup_elem(&refused, &zero);

	if (!lost || length < 8 || length > sizeof(record))
		return 1;
	for (int i = 0; i < 1024 && i < ctx->args[0]; i++) {
		record[0] = sequence++;
		if (bpf_ringbuf_output(&ring, record, length, BPF_RB_NO_WAKEUP))
			__sync_fetch_and_add(lost, 1);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
