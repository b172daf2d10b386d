// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The floor: programs that do nothing, at the entry and the exit of every system call, at every switch and at every wake-up. */
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
