// SPDX-License-Identifier: GPL-3.0-only
/*
 * The load: one thread on one CPU that makes system calls and tells how much CPU time each took; for `yield` and `pipe` two.
 * Usage: load CPU FILE; then one line "CALL COUNT" a measurement on standard input, answered by ns per call in the
 * fastest of five loops: what else happens on the machine only ever adds.
 * The process's CPU time, not the wall clock: what else runs on the CPU meanwhile is not ours to count.
 * A `yield` is one switch from one thread to the other, a `pipe` one byte there and back: two switches, two wake-ups, four calls.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT_MAX 10000000
#define WARM_UP 2000
#define LOOPS 5

static int file;
static char buffer[65536];

static long call(const char *name)
{
	if (!strcmp(name, "read_1"))
		return pread(file, buffer, 1, 0) == 1;
	if (!strcmp(name, "read_4096"))
		return pread(file, buffer, 4096, 0) == 4096;
	if (!strcmp(name, "read_65536"))
		return pread(file, buffer, sizeof(buffer), 0) == sizeof(buffer);
	if (!strcmp(name, "yield") || !strcmp(name, "pipe"))
		return 1;
	return !strcmp(name, "getppid") && syscall(SYS_getppid) >= 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

struct partner {
	long count;
	int from[2], to[2];
	pthread_barrier_t both;
};

static void *yield_too(void *argument)
{
	struct partner *own = argument;

	pthread_barrier_wait(&own->both);
	for (long i = 0; i < own->count; i++)
		sched_yield();
	return NULL;
}

static void *answer(void *argument)
{
	struct partner *own = argument;
	char byte;

	pthread_barrier_wait(&own->both);
	for (long i = 0; i < own->count; i++)
		if (read(own->to[0], &byte, 1) != 1 || write(own->from[1], &byte, 1) != 1)
			exit(1);
	return NULL;
}

static long switches(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return used.ru_nvcsw + used.ru_nivcsw;
}

/* The same from two threads: of `yield` each makes half of the calls. */
static double together(bool pipes, long count)
{
	struct partner own = {.count = pipes ? count : count / 2};
	pthread_t other;
	double began;
	long before;
	char byte = 0;

	if (pipes && (pipe(own.from) || pipe(own.to)))
		exit(1);
	pthread_barrier_init(&own.both, NULL, 2);
	if (pthread_create(&other, NULL, pipes ? answer : yield_too, &own))
		exit(1);
	pthread_barrier_wait(&own.both);
	before = switches();
	began = now();
	for (long i = 0; i < own.count; i++)
		if (!pipes)
			sched_yield();
		else if (write(own.to[1], &byte, 1) != 1 || read(own.from[0], &byte, 1) != 1)
			exit(1);
	pthread_join(other, NULL);
	began = (now() - began) / count;
	if (switches() - before < (pipes ? 2 : 1) * count * 9 / 10) {
		fprintf(stderr, "load: %ld switches in %ld rounds\n", switches() - before, count);
		exit(1);
	}
	for (int i = 0; pipes && i < 2; i++) {
		close(own.from[i]);
		close(own.to[i]);
	}
	pthread_barrier_destroy(&own.both);
	return began;
}

/* One loop a call, so that what is timed is the call and no choice of it. */
static double loop(const char *name, long count)
{
	if (!strcmp(name, "yield") || !strcmp(name, "pipe"))
		return together(!strcmp(name, "pipe"), count);
	double began = now();

	if (!strcmp(name, "read_1"))
		for (long i = 0; i < count; i++)
			pread(file, buffer, 1, 0);
	else if (!strcmp(name, "read_4096"))
		for (long i = 0; i < count; i++)
			pread(file, buffer, 4096, 0);
	else if (!strcmp(name, "read_65536"))
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
