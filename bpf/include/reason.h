/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the time of an operation off the CPU is charged to. */
#ifndef PERFLENS_REASON_H
#define PERFLENS_REASON_H

#include "types.h"

/* The agent's table of functions names these (wait_reasons.py); what a higher number names wins over what a lower one does. */
enum wait_reason {
	WAIT_UNCLASSIFIED,	/* less than SLEEP_MIN in all, or no stack */
	WAIT_OTHER,		/* a stack without a function of the table */
	WAIT_BLOCK_IO,
	WAIT_LOCK,
	WAIT_FUTEX,
	WAIT_REMOTE,
	WAIT_WRITEBACK,
	WAIT_TAG,
	WAIT_FLUSH,
	WAIT_JOURNAL,
	WAIT_SWAPIN,
	WAIT_DIRTY_THROTTLE,
	WAIT_RECLAIM,
	WAIT_MEMCG_HIGH,
	WAIT_FREEZE,
	WAIT_CGROUP_THROTTLE,
	WAIT_RUNQUEUE,		/* runnable, without a CPU */
	WAIT_UNATTRIBUTED,	/* a switch or a wake-up was not seen */
	WAIT_REASONS,
};

DECLARE_ENUM(wait_reason);

#define SLEEP_REASONS WAIT_RUNQUEUE /* those before it */

#endif
