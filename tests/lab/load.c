// SPDX-License-Identifier: GPL-3.0-only
/*
 * A load. Usage: load FILE read|write|append|burn|spawn BLOCK DIRECT THREADS RATE FSYNC SIZE
 * Each thread does operations of BLOCK bytes at random places of the first SIZE bytes of FILE, past the page cache if DIRECT, at most
 * RATE a second (0: as fast as it goes), with an fsync after every FSYNC of them (0: none). `append` writes one block after the other,
 * and begins with an empty file again once it is full. `burn` uses the CPU and reads one block RATE times a second in between; `spawn`
 * starts /bin/true over and over, in THREADS processes. It runs until it is ended.
 * With GAUGE=FILE in the environment it counts its operations there by how long they took: see gauge.py.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *file, *mode;
static long block, rate, every, size;
static int direct;

#define GAUGE_BUCKETS 256 /* bucket i counts what took less than 2^(i/4) ns */
static uint64_t *gauge;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void nap(double until)
{
	double left = until - now();
	struct timespec time = {left > 0 ? (time_t)left : 0, left > 0 ? (long)((left - (time_t)left) * 1e9) : 0};

	if (left > 0)
		nanosleep(&time, NULL);
}

static void count(double seconds)
{
	double bucket = ceil(4 * log2(seconds * 1e9 + 1));

	__atomic_add_fetch(&gauge[bucket < GAUGE_BUCKETS - 1 ? (int)bucket : GAUGE_BUCKETS - 1], 1, __ATOMIC_RELAXED);
}

static void open_gauge(const char *path)
{
	int fd = open(path, O_RDWR);

	gauge = mmap(NULL, GAUGE_BUCKETS * sizeof(*gauge), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (gauge == MAP_FAILED)
		exit(7);
	close(fd);
}

static void *work(void *argument)
{
	uint64_t state = 88172645463325252ULL ^ ((uint64_t)(uintptr_t)argument << 17) ^ (uint64_t)getpid();
	int appends = !strcmp(mode, "append"), writes = appends || !strcmp(mode, "write"), burns = !strcmp(mode, "burn");
	int fd = open(file, (writes ? O_RDWR | O_CREAT : O_RDONLY) | (direct ? O_DIRECT : 0), 0600);
	double next = now();
	char *memory;

	if (fd < 0 || posix_memalign((void **)&memory, 4096, block))
		exit(1);
	memset(memory, 7, block);
	for (off_t place = 0; !writes && !direct && place < size; place += block) { /* what is read over and over is in the page cache */
		if (pread(fd, memory, block, place) < 0)
			exit(6);
	}
	for (long number = 1;; number++) {
		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		off_t place = (off_t)(state % (uint64_t)(size / block)) * block;
		double began = now();
		if (appends) {
			place = number % (size / block) * block;
			if (!place && ftruncate(fd, 0))
				exit(8);
		}
		if ((writes ? pwrite(fd, memory, block, place) : pread(fd, memory, block, place)) < 0)
			exit(2);
		if (every && number % every == 0 && fsync(fd))
			exit(3);
		if (gauge)
			count(now() - began);
		if (!rate)
			continue;
		next += 1.0 / rate;
		if (next < now() - 1)
			next = now();
		while (burns && now() < next)
			;
		nap(next);
	}
	return NULL;
}

static void spawn_for_ever(void)
{
	char *arguments[] = {"true", NULL};

	for (;;) {
		pid_t pid;

		if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ))
			exit(4);
		waitpid(pid, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 9)
		return 5;
	file = argv[1], mode = argv[2], block = atol(argv[3]), direct = atoi(argv[4]);
	rate = atol(argv[6]), every = atol(argv[7]), size = atol(argv[8]);
	if (getenv("GAUGE"))
		open_gauge(getenv("GAUGE"));
	if (!strcmp(mode, "spawn")) {
		for (long i = 1; i < atol(argv[5]) && fork(); i++)
			;
		spawn_for_ever();
	}
	for (long i = 1; i < atol(argv[5]); i++)
		pthread_create(&thread, NULL, work, (void *)i);
	work(NULL);
}
