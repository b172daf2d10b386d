// SPDX-License-Identifier: GPL-3.0-only
/*
 * The load: one thread on one CPU that makes system calls and tells how much CPU time each took.
 * Usage: load CPU FILE; then one line "CALL COUNT" a measurement on standard input, answered by ns per call in the
 * fastest of five loops: what else happens on the machine only ever adds.
 * The thread's CPU time, not the wall clock: what else runs on the CPU meanwhile is not ours to count.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 10000000
#define WARM_UP 2000
#define LOOPS 5

static int file;
static char buffer[4096];

static long call(const char *name)
{
	if (!strcmp(name, "read_1"))
		return pread(file, buffer, 1, 0) == 1;
	if (!strcmp(name, "read_4096"))
		return pread(file, buffer, sizeof(buffer), 0) == sizeof(buffer);
	return !strcmp(name, "getppid") && syscall(SYS_getppid) >= 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

/* One loop a call, so that what is timed is the call and no choice of it. */
static double loop(const char *name, long count)
{
	double began = now();

	if (!strcmp(name, "read_1"))
		for (long i = 0; i < count; i++)
			pread(file, buffer, 1, 0);
	else if (!strcmp(name, "read_4096"))
		for (long i = 0; i < count; i++)
			pread(file, buffer, sizeof(buffer), 0);
	else
		for (long i = 0; i < count; i++)
			syscall(SYS_getppid);
	return (now() - began) / count;
}

int main(int argc, char **argv)
{
	cpu_set_t cpus;
	char name[16];
	long count;

	if (argc != 3)
		return 2;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	file = open(argv[2], O_RDONLY);
	if (file < 0 || sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("load");
		return 1;
	}
	while (scanf("%15s %ld", name, &count) == 2) {
		if (count < 1 || count > COUNT_MAX || !call(name))
			return 1;
		loop(name, WARM_UP);
		double best = loop(name, count);

		for (int i = 1; i < LOOPS; i++) {
			double ns = loop(name, count);

			best = ns < best ? ns : best;
		}
		printf("%.3f\n", best);
		fflush(stdout);
	}
	return 0;
}
