// SPDX-License-Identifier: GPL-3.0-only
/* Capabilities are a thread's own (capset(2)): each thread of the process lowers its own in a signal handler, as those of set*id(2) do.
   Plain functions, called by ctypes: see capabilities.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t kept = UINT64_MAX;

static int lower(void)
{
	struct __user_cap_header_struct own = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	/* A program of root's that is executed would have its bounding set else. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capget, &own, sets))
		return -1;
	if (sets[0].effective >> CAP_SETPCAP & 1)
		for (int number = 0; number <= CAP_LAST_CAP; number++)
			if (!(kept >> number & 1))
				prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
	for (int half = 0; half < _LINUX_CAPABILITY_U32S_3; half++) {
		uint32_t mask = kept >> (32 * half);

		sets[half].effective &= mask;
		sets[half].permitted &= mask;
		sets[half].inheritable &= mask; /* the kernel takes the ambient ones along */
	}
	return (int)syscall(SYS_capset, &own, sets);
}

static void on_signal(int number)
{
	int before = errno;

	(void)number;
	lower();
	errno = before;
}

/* Lower the calling thread to these capabilities, as bits, and make every other one ready to be asked. 0, or -1 and errno. */
int perflens_keep_capabilities(uint64_t mask)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	__atomic_store_n(&kept, mask, __ATOMIC_SEQ_CST);
	sigfillset(&action.sa_mask);
	return sigaction(SIGRTMAX, &action, NULL) ? -1 : lower(); /* it stays: one that comes late would end the process */
}

/* Ask a thread of this process to do the same. 0, or -1 and errno: it has ended. */
int perflens_ask_thread(int thread)
{
	return (int)syscall(SYS_tgkill, getpid(), thread, SIGRTMAX);
}
