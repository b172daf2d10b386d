/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The ring of records that the agent maps and drains: each is emitted, or counted as one that found no room. */
#ifndef PERFLENS_RING_H
#define PERFLENS_RING_H

#include "ledger.h"

#ifndef EVENTS_SIZE /* a family may define it before this header; the agent sets it */
#define EVENTS_SIZE (8 << 20)
#endif

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_SIZE);
} events SEC(".maps");

const volatile __u32 events_quarter = EVENTS_SIZE / 4;
__u32 woken = 0; /* the agent was told that the ring fills; it clears this when it has drained */

static __always_inline __u64 wake_flags(void)
{
	if (woken || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < events_quarter)
		return BPF_RB_NO_WAKEUP;
	woken = 1;
	return BPF_RB_FORCE_WAKEUP;
}

static __always_inline void emit(void *record, __u32 size)
{
	count(bpf_ringbuf_output(&events, record, size, wake_flags()) ? LEDGER_RING_FULL : LEDGER_EMITTED);
}

#endif
