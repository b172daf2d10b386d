// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The floor: programs at the entry and the exit of every system call that do nothing. */
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
