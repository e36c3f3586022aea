// SPDX-License-Identifier: GPL-2.0
/*
 * What births and deaths cost: nanoseconds of CLOCK_MONOTONIC for each, as mean
 * and as median. What the kernel does now and then (timers, RCU callbacks) is
 * in the mean only.
 *
 * It runs on any kernel, to compare one with CABA and one without. In a guest
 * whose clock counts instructions (qemu -icount shift=0,sleep=off) the figures
 * are instructions, and nearly free of noise.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#endif

/* What exec is to run: this program, ending at once. */
#define EXEC_NAME	"caba_bench"
#define EXIT_OPTION	"--exit"

#define STACK_SIZE	(64 * 1024)

#define CABD_STACK	4096

#define LOOK_EVERY	10000	/* nanoseconds between two looks of the watcher */

static long nr_cabds = 1600, nr_levels = 8;
static bool subreapers;
static char *stack;
static int self = -1;
/* How late a watcher was woken: until now, and while CABDs were handed over. */
static long long longest_wait, longest_seen;

static void die(const char *what)
{
	fprintf(stderr, "caba_bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts))
		die("clock_gettime");
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0)
		die("cannot make a process");
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status) {
		fprintf(stderr, "caba_bench: a child failed, status %#x\n",
			(unsigned int)status);
		exit(1);
	}
}

/* Each of these does one operation and returns the nanoseconds it took. */

static long long bench_fork(void)
{
	long long start = now();
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	wait_for(pid);
	return now() - start;
}

static long long bench_vfork(void)
{
	long long start = now();
	pid_t pid = vfork();

	if (!pid)
		_exit(0);
	wait_for(pid);
	return now() - start;
}

static int exit_child(void *arg)
{
	_exit(!!arg);
}

static long long bench_clone(void)
{
	long long start = now();

	/* from the middle: there a stack may grow either way */
	wait_for(clone(exit_child, stack + STACK_SIZE / 2,
		       CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
	return now() - start;
}

static void *exit_thread(void *arg)
{
	return arg;
}

static long long bench_thread(void)
{
	long long start = now();
	pthread_t thread;

	errno = pthread_create(&thread, NULL, exit_thread, NULL);
	if (!errno)
		errno = pthread_join(thread, NULL);
	if (errno)
		die("thread");
	return now() - start;
}

/* Away from its file system, whose cost is not ours to measure. */
static void copy_self(void)
{
	static char buf[64 * 1024];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	self = memfd_create(EXEC_NAME, MFD_CLOEXEC);
	if (fd < 0 || self < 0)
		die("cannot copy this program to memory");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(self, buf, n) != n)
			die("cannot copy this program to memory");
	close(fd);
}

static long long bench_exec(void)
{
	char *const argv[] = { EXEC_NAME, EXIT_OPTION, NULL };
	char *const envp[] = { NULL };
	long long start;
	pid_t pid;

	if (self < 0)
		copy_self();
	start = now();
	pid = vfork();
	if (!pid) {
		fexecve(self, argv, envp);
		_exit(127);
	}
	wait_for(pid);
	return now() - start;
}

static long long bench_status(void)
{
	static int fd = -1;
	char buf[8192];
	long long start;

	if (fd < 0)
		fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	start = now();
	if (pread(fd, buf, sizeof(buf), 0) <= 0)
		die("/proc/self/status");
	return now() - start;
}

static int cabd(void *end)
{
	char c;

	while (read((intptr_t)end, &c, 1) > 0)
		;
	_exit(0);
}

/*
 * A line of processes, each waiting for the next one. The last has nr_cabds
 * children, and waits for a word to exit: then all of the line do, from the
 * bottom up. Each exit hands the children to the next CABA. Only the first one
 * reparents them too, or each does if they are sub-reapers.
 */
static void handover_line(int ready, int go, int end)
{
	char *stacks, c = 0;
	long i;

	for (i = 1; i < nr_levels; i++) {
		pid_t pid = fork();

		if (pid) {
			if (subreapers && prctl(PR_SET_CHILD_SUBREAPER, 1))
				_exit(1);
			wait_for(pid);
			_exit(0);
		}
	}

	/* they share the memory: there may be very many of them */
	stacks = mmap(NULL, nr_cabds * CABD_STACK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stacks == MAP_FAILED)
		die("mmap");
	for (i = 0; i < nr_cabds; i++)
		if (clone(cabd, stacks + i * CABD_STACK + CABD_STACK / 2,
			  CLONE_VM | SIGCHLD, (void *)(intptr_t)end) < 0)
			die("cannot make a process");
	if (write(ready, &c, 1) != 1 || read(go, &c, 1) != 1)
		die("pipe");
	_exit(0);
}

static long long bench_handover(void)
{
	int ready[2], go[2], end[2];
	long long start, took;
	char c = 0;
	pid_t pid;

	/* the orphans are to come to us */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		die("PR_SET_CHILD_SUBREAPER");
	if (pipe(ready) || pipe(go) || pipe(end))
		die("pipe");

	pid = fork();
	if (!pid) {
		/* so that the end of this process is seen by all of them */
		close(end[1]);
		close(go[1]);
		close(ready[0]);
		handover_line(ready[1], go[0], end[0]);
	}
	close(ready[1]);
	close(go[0]);
	close(end[0]);
	if (pid > 0 && read(ready[0], &c, 1) != 1)
		die("pipe");

	start = now();
	__atomic_store_n(&longest_wait, 0, __ATOMIC_RELAXED);
	if (write(go[1], &c, 1) != 1)
		die("pipe");
	wait_for(pid);
	took = now() - start;
	longest_seen = __atomic_load_n(&longest_wait, __ATOMIC_RELAXED);

	close(ready[0]);
	close(go[1]);
	close(end[1]);
	while (wait(NULL) > 0)
		;
	return took;
}

/* Wakes up all the time before everybody else, and notes how late. */
static int watch(void *first)
{
	struct timespec at;
	long long due, late;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) ||
	    sched_setscheduler(0, SCHED_FIFO, first))
		die("SCHED_FIFO");
	for (;;) {
		due = now() + LOOK_EVERY;
		at.tv_sec = due / 1000000000;
		at.tv_nsec = due % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		late = now() - due;
		if (late > __atomic_load_n(&longest_wait, __ATOMIC_RELAXED))
			__atomic_store_n(&longest_wait, late, __ATOMIC_RELAXED);
	}
	return 0;
}

static long long bench_latency(void)
{
	struct sched_param first = { .sched_priority = 1 };
	pid_t watcher;
	int status;

	/* without a signal: bench_handover() does not wait for this one */
	watcher = clone(watch, stack + STACK_SIZE / 2, CLONE_VM, &first);
	if (watcher < 0)
		die("cannot make a process");
	bench_handover();
	if (kill(watcher, SIGKILL) ||
	    waitpid(watcher, &status, __WCLONE) != watcher)
		die("the watcher");
	/* it has said why, if it was over before */
	if (!WIFSIGNALED(status))
		exit(1);
	return longest_seen;
}

static const struct bench {
	const char *name;
	long long (*once)(void);
	long ops;
	const char *what;
} benches[] = {
	{ "fork", bench_fork, 2000, "fork, _exit, waitpid" },
	{ "vfork", bench_vfork, 5000, "vfork, _exit, waitpid" },
	{ "clone", bench_clone, 5000,
	  "clone(CLONE_VM | CLONE_VFORK), _exit, waitpid" },
	{ "thread", bench_thread, 5000, "a thread is created and joined" },
	{ "exec", bench_exec, 500, "vfork, exec of this program, waitpid" },
	{ "status", bench_status, 5000, "one read of /proc/self/status" },
	{ "handover", bench_handover, 5,
	  "all of a line of ancestors die, and hand all CABDs up each" },
	{ "latency", bench_latency, 5,
	  "how late at worst a real-time task is woken meanwhile, on one CPU" },
};

static void usage(FILE *out)
{
	size_t i;

	fprintf(out,
		"Usage: caba_bench [--ops N] [--cabds N] [--levels M] [--subreapers] [BENCHMARK]...\n"
		"\n"
		"Prints a line \"name mean_ns median_ns\" for each benchmark, all if none is named:\n");
	for (i = 0; i < ARRAY_SIZE(benches); i++)
		fprintf(out, "  %-10s %s (%ld ops)\n", benches[i].name,
			benches[i].what, benches[i].ops);
	fprintf(out,
		"\n"
		"  --ops N     operations that are measured, after N / 10 that are not\n"
		"  --cabds N   handover: how many CABDs (%ld)\n"
		"  --levels M  handover: through how many ancestors (%ld)\n"
		"  --subreapers  handover: which are sub-reapers\n"
		"  --help      this text\n",
		nr_cabds, nr_levels);
}

static int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return x < y ? -1 : x > y;
}

static void run(const struct bench *bench, long ops)
{
	long long sum = 0, *each;
	long i;

	if (!ops)
		ops = bench->ops;
	each = malloc(ops * sizeof(*each));
	if (!each)
		die("malloc");
	/* no page of it is to be new while something is measured */
	memset(each, 1, ops * sizeof(*each));
	for (i = 0; i < ops / 10 + 1; i++)
		bench->once();
	for (i = 0; i < ops; i++)
		sum += each[i] = bench->once();
	qsort(each, ops, sizeof(*each), compare);
	printf("%s %.1f %.1f\n", bench->name, (double)sum / ops,
	       (each[(ops - 1) / 2] + each[ops / 2]) / 2.0);
	fflush(stdout);
	free(each);
}

static long parse_number(const char *option, const char *arg)
{
	char *end;
	long val;

	errno = 0;
	val = arg ? strtol(arg, &end, 10) : 0;
	if (!arg || errno || *end || val < 1 || val > 100000000) {
		fprintf(stderr,
			"caba_bench: %s takes a number from 1 to 100000000%s%s\n",
			option, arg ? ", not " : "", arg ?: "");
		exit(2);
	}
	return val;
}

static const struct bench *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(benches); i++)
		if (!strcmp(name, benches[i].name))
			return &benches[i];
	fprintf(stderr, "caba_bench: no benchmark '%s', see --help\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	bool named = false;
	long ops = 0;
	size_t b;
	int i;

	if (argc == 2 && !strcmp(argv[1], EXIT_OPTION))
		_exit(0);

	/* nothing is run unless all is right */
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage(stdout);
			return 0;
		} else if (!strcmp(argv[i], "--ops")) {
			ops = parse_number("--ops", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--cabds")) {
			nr_cabds = parse_number("--cabds", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--levels")) {
			nr_levels = parse_number("--levels", argv[i + 1]);
			i++;
		} else if (!strcmp(argv[i], "--subreapers")) {
			subreapers = true;
		} else {
			find(argv[i]);
			named = true;
		}
	}

	stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		die("mmap");

	if (!named)
		for (b = 0; b < ARRAY_SIZE(benches); b++)
			run(&benches[b], ops);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--subreapers"))
			continue;
		if (argv[i][0] == '-')
			i++;
		else
			run(find(argv[i]), ops);
	}
	return 0;
}
