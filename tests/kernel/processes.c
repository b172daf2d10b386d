/* Known numbers of forks, execs, threads and exits: `processes MODE [NUMBER...]`. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 40

static char *own_path;
static pthread_barrier_t barrier;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static void reap(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, __WALL) != pid || status)
		fail("child");
}

static void become_nothing(void)
{
	execl(own_path, own_path, "nothing", NULL);
	_exit(3);
}

/* `number` children, each of which executes a program. */
static void fork_and_exec(long number)
{
	while (number--) {
		pid_t pid = vfork();

		if (!pid)
			become_nothing();
		reap(pid);
	}
}

/* `number` children in all, `rate` of them a second, which end at once. */
static void storm(long number, long rate)
{
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	while (number--) {
		pid_t pid = vfork();

		if (!pid)
			_exit(0);
		reap(pid);
		next.tv_nsec += 1000000000 / rate;
		if (next.tv_nsec >= 1000000000)
			next.tv_nsec -= 1000000000, next.tv_sec++;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
}

static void *wait_for_all(void *unused)
{
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void *exec_in_thread(void *unused)
{
	become_nothing();
	return NULL;
}

static void *stay_behind(void *unused)
{
	usleep(50000);
	return NULL;
}

static pthread_t begin(void *(*work)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, NULL))
		fail("pthread_create");
	return thread;
}

/* Threads that end one after the other, then the process. */
static void threads(long number)
{
	while (number--)
		pthread_join(begin(stay_behind), NULL);
}

/* The last threads of a process, its first one among them, end at the same moment. */
static void end_together(void)
{
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_detach(begin(wait_for_all));
	pthread_barrier_wait(&barrier);
	pthread_exit(NULL);
}

/* A child with the PID `number` (CAP_CHECKPOINT_RESTORE, or else CAP_SYS_ADMIN), twice. */
static void same_pid_twice(long number)
{
	pid_t wanted = number;
	struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid = (__u64)&wanted, .set_tid_size = 1};

	for (int i = 0; i < 2; i++) {
		pid_t pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

		if (!pid)
			_exit(0);
		if (pid < 0)
			fail("clone3");
		reap(pid);
	}
}

/* A child that begins in the cgroup at `path`. */
static void into_cgroup(const char *path)
{
	struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = open(path, O_RDONLY | O_DIRECTORY)};
	pid_t pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (!pid)
		_exit(0);
	if (pid < 0)
		fail("clone3");
	reap(pid);
}

/* A child, its child, and so on; each tells its PID. */
static void chain(long depth)
{
	pid_t pid;

	printf("%d\n", getpid());
	fflush(stdout);
	if (!depth)
		return;
	pid = fork();
	if (!pid) {
		chain(depth - 1);
		_exit(0);
	}
	reap(pid);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	long number = argc > 2 ? atol(argv[2]) : 0;

	own_path = argv[0];
	if (!strcmp(mode, "fork-and-exec"))
		fork_and_exec(number);
	else if (!strcmp(mode, "storm"))
		storm(number, atol(argv[3]));
	else if (!strcmp(mode, "threads"))
		threads(number);
	else if (!strcmp(mode, "exec-in-thread"))
		begin(exec_in_thread), pause();
	else if (!strcmp(mode, "first-thread-ends-first"))
		begin(stay_behind), pthread_exit(NULL);
	else if (!strcmp(mode, "end-together"))
		end_together();
	else if (!strcmp(mode, "same-pid-twice"))
		same_pid_twice(number);
	else if (!strcmp(mode, "into-cgroup"))
		into_cgroup(argv[2]);
	else if (!strcmp(mode, "chain"))
		chain(number);
	return strcmp(mode, "nothing") && argc < 2;
}
