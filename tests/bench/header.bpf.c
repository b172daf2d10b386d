// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Sends one record again and again to a ring, as many times as its caller asks for, and counts those that found no room. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define RECORD_MAX 512

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct record {
	char byte[RECORD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct record);
} records SEC(".maps");

struct counts {
	__u64 sent;
	__u64 refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct counts);
} counted SEC(".maps");

SEC("raw_tp")
int header_send(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0, length = ctx->args[1];
	struct record *record = bpf_map_lookup_elem(&records, &zero);
	struct counts *counts = bpf_map_lookup_elem(&counted, &zero);

	if (!record || !counts || length < 8 || length > RECORD_MAX)
		return 1;
	for (int i = 0; i < 1024 && i < ctx->args[0]; i++) {
		if (bpf_ringbuf_output(&ring, record, length, BPF_RB_NO_WAKEUP))
			counts->refused++;
		else
			counts->sent++;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
