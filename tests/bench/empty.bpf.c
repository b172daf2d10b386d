// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The floors: programs that do nothing, at the entry and the exit of every system call, at every switch and wake-up, on the way of a
 * request; and a pair that takes the time between entry and exit, of one thread at a time, and keeps nothing but a count and a sum.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tp/sys_enter")
int empty_enter(void *context)
{
	return 0;
}

SEC("raw_tp/sys_exit")
int empty_exit(void *context)
{
	return 0;
}

static __u64 entered, operations, sum;

SEC("raw_tp/sys_enter")
int least_enter(void *context)
{
	entered = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/sys_exit")
int least_exit(void *context)
{
	__sync_fetch_and_add(&operations, 1);
	__sync_fetch_and_add(&sum, bpf_ktime_get_ns() - entered);
	return 0;
}

SEC("raw_tp/sched_switch")
int empty_switch_raw_tp(void *context)
{
	return 0;
}

SEC("raw_tp/sched_waking")
int empty_waking_raw_tp(void *context)
{
	return 0;
}

SEC("tp_btf/sched_switch")
int empty_switch_tp_btf(void *context)
{
	return 0;
}

SEC("tp_btf/sched_waking")
int empty_waking_tp_btf(void *context)
{
	return 0;
}

SEC("tp_btf/block_bio_queue")
int empty_bio_queue(void *context)
{
	return 0;
}

SEC("tp_btf/block_io_start")
int empty_request_start(void *context)
{
	return 0;
}

SEC("tp_btf/block_rq_issue")
int empty_request_issue(void *context)
{
	return 0;
}

SEC("tp_btf/block_rq_complete")
int empty_request_complete(void *context)
{
	return 0;
}

SEC("tp_btf/block_io_done")
int empty_request_done(void *context)
{
	return 0;
}

SEC("tp_btf/block_bio_complete")
int empty_bio_complete(void *context)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
