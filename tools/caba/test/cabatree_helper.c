// SPDX-License-Identifier: GPL-2.0
/*
 * The processes that the tests of cabatree need and a shell cannot make.
 *
 *	leader		a process whose first thread is over, and another is not
 *	storm N		a process below which N fork as fast as they can, each child
 *			living for 30 ms
 *	reaper COMMAND...
 *			COMMAND as a sub-reaper
 *	comet		a process that forks and exits; so does its child, and so on
 *	crowd N NAME COMMAND...
 *			N processes that rest; then each COMMAND and, under its NAME,
 *			what it cost: ms of CPU time, KiB, exit status
 *	recycle SECONDS [CABATREE]
 *			pid numbers that are used again as soon as they are free, by
 *			a parent and a child born below a process and by two
 *			outsiders, while "CABATREE --signal USR1" goes to those
 *			below. Fails, at once, when an outsider got one; fails when
 *			none below did. Without CABATREE: what kill() does with the
 *			numbers in /proc, which must hit an outsider, or the test
 *			shows nothing.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define CROWD_GROUP	20
#define CROWD_STACK	2048

#define PAIRS		5
#define PAIR_STACK	65536
#define LAST_NUMBER	2000
#define HIGH_NUMBER	3000

enum { BELOW, OUTSIDE };

static struct {
	atomic_long born[2], hits[2], stopped;
} *shared;

/* Of who uses numbers again */
static int side = OUTSIDE;
static pid_t maker;
static int last_pid;
static char stacks[2][PAIR_STACK];

static void nap(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	return pid;
}

static void *rest(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static int leader(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, rest, NULL))
		errx(1, "no thread");
	pthread_exit(NULL);
}

static int storm(int nr)
{
	bool top = true;

	while (nr-- > 0 && top)
		top = child();
	if (top)
		rest(NULL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			nap(30000);
			_exit(0);
		}
		if (pid < 0)
			nap(1000);
	}
}

static int comet(void)
{
	for (;;) {
		pid_t pid = fork();

		if (pid > 0)
			_exit(0);
		if (pid < 0)
			nap(1000);
	}
}

/* They share their memory, so that many fit into a guest. */
static int start_one(int (*main)(void *arg), char *stack)
{
	return clone(main, stack + CROWD_STACK, CLONE_VM | SIGCHLD, stack);
}

static int in_crowd(void *unused)
{
	(void)unused;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rest(NULL);
	return 0;
}

static int group(void *stack)
{
	int i;

	for (i = 1; i < CROWD_GROUP; i++) {
		if (start_one(in_crowd, (char *)stack + i * CROWD_STACK) < 0)
			_exit(1);
	}
	return in_crowd(NULL);
}

static void make_crowd(int nr)
{
	char *stacks;
	int i;

	nr = (nr + CROWD_GROUP - 1) / CROWD_GROUP * CROWD_GROUP;
	stacks = mmap(NULL, (size_t)nr * CROWD_STACK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stacks == MAP_FAILED)
		err(1, "mmap");
	for (i = 0; i < nr; i += CROWD_GROUP) {
		if (start_one(group, stacks + (size_t)i * CROWD_STACK) < 0)
			err(1, "process %d", i);
	}
}

static int crowd(int nr, char **command)
{
	struct rusage used;
	pid_t pid, maker;
	int ready[2], status;
	char c;

	/* Not by who runs the commands: its memory would count as theirs. */
	if (pipe(ready))
		err(1, "pipe");
	maker = child();
	if (!maker) {
		make_crowd(nr);
		if (write(ready[1], "", 1) != 1)
			err(1, "write");
		rest(NULL);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		errx(1, "they did not start");
	for (; command[0] && command[1]; command += 2) {
		pid = child();
		if (!pid) {
			if (!freopen("/dev/null", "w", stdout))
				err(127, "/dev/null");
			execl("/bin/sh", "sh", "-c", command[1], NULL);
			err(127, "sh");
		}
		if (wait4(pid, &status, 0, &used) != pid)
			err(1, "wait4");
		printf("%s\t%.3f\t%ld\t%d\n", command[0],
		       (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 +
		       (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3,
		       used.ru_maxrss, WEXITSTATUS(status));
		fflush(stdout);
	}
	kill(maker, SIGKILL);
	return 0;
}

static void on_signal(int sig)
{
	(void)sig;
	if (side == OUTSIDE || getpid() != maker)
		atomic_fetch_add(&shared->hits[side], 1);
}

/*
 * With the lowest number above @last that is free. It shares the memory of its
 * maker, and so is born fast.
 */
static void start_at(int last, int (*main)(void *arg), char *stack, unsigned long arg)
{
	char number[16];
	int len = snprintf(number, sizeof(number), "%d", last);

	if (pwrite(last_pid, number, len, 0) != len)
		err(1, "ns_last_pid");
	if (clone(main, stack + PAIR_STACK, CLONE_VM | SIGCHLD, (void *)arg) < 0) {
		/* So it is when the pid namespace ends */
		if (errno == ENOMEM)
			_exit(1);
		err(1, "clone");
	}
	atomic_fetch_add(&shared->born[side], 1);
}

/* By the pace of the others, as a guest may be a slow one. */
static void linger(unsigned long n)
{
	unsigned int i;

	for (i = (unsigned int)n * 2654435761u >> 26; i; i--)
		sched_yield();
}

/* Outsiders that somebody stopped go on. */
static void wait_for_all(void)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, side == OUTSIDE ? WUNTRACED : 0)) > 0) {
		if (WIFSTOPPED(status)) {
			atomic_fetch_add(&shared->stopped, 1);
			kill(pid, SIGCONT);
		}
	}
}

static int younger(void *arg)
{
	linger((unsigned long)arg);
	return 0;
}

static int elder(void *arg)
{
	unsigned long n = (unsigned long)arg;

	start_at(n % 2 ? LAST_NUMBER : HIGH_NUMBER + n % 10000, younger, stacks[1], n + 1);
	linger(n);
	if (n % 4)
		wait_for_all();
	return 0;
}

/*
 * A process and its child, either of which may be over first, and again. So a
 * number means one below, or an outsider, or an outsider whose CABA has the
 * number of one below. Half of the children have a number that nobody has had.
 */
static void make_pairs(void)
{
	unsigned long n;

	maker = getpid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (n = 0; ; n++) {
		start_at(LAST_NUMBER, elder, stacks[0], n);
		wait_for_all();
	}
}

static pid_t start_side(int which)
{
	pid_t pid = child();
	int i;

	if (pid)
		return pid;
	side = which;
	/* On a slow machine whoever sends signals is to get a word in, too. */
	setpriority(PRIO_PROCESS, 0, 10);
	for (i = 0; i < PAIRS; i++) {
		if (!child())
			make_pairs();
	}
	for (;;)
		pause();
}

/* The first number that NScaba has; 0 when there is no such process. */
static pid_t caba_of(pid_t pid)
{
	char path[64], line[256];
	pid_t caba = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "NScaba: %d", &caba) == 1)
			break;
	}
	if (f)
		fclose(f);
	return caba;
}

/* What a script does. */
static void kill_below(pid_t top)
{
	static pid_t found[1024];
	struct dirent *d;
	int nr = 0, i;
	pid_t pid, up;
	DIR *dir;

	dir = opendir("/proc");
	while (dir && (d = readdir(dir))) {
		pid = atoi(d->d_name);
		if (!isdigit((unsigned char)*d->d_name) || nr == 1024)
			continue;
		for (up = caba_of(pid); up && up != top; up = caba_of(up))
			;
		if (up)
			found[nr++] = pid;
	}
	closedir(dir);
	for (i = 0; i < nr; i++)
		kill(found[i], SIGUSR1);
}

static pid_t start_cabatree(const char *cabatree, pid_t below, long run)
{
	pid_t pid = child();
	char number[16];

	if (pid)
		return pid;
	snprintf(number, sizeof(number), "%d", below);
	if (!freopen("/dev/null", "w", stderr))
		err(127, "/dev/null");
	/* SIGSTOP is not to hit anyone else, either. */
	if (run % 4)
		execl(cabatree, "cabatree", "--signal", "USR1", "--rounds", run % 2 ? "3" : "20",
		      number, NULL);
	else
		execl(cabatree, "cabatree", "--signal", "USR1", "--freeze", number, NULL);
	_exit(127);
}

/*
 * Wherever @pid is just now, it stops, until all numbers are somebody else's.
 * Those below are not born while it has frozen them.
 */
static int disturb(pid_t pid, double pause, double end)
{
	unsigned int seed = pid;
	int status = 0;
	double until;
	long born;

	for (;;) {
		nap(pause * (rand_r(&seed) % 1000) * 1e3);
		kill(pid, SIGSTOP);
		if (waitpid(pid, &status, WUNTRACED) != pid)
			err(1, "waitpid");
		if (!WIFSTOPPED(status))
			return status;
		born = shared->born[OUTSIDE] + shared->born[BELOW] + 2 * PAIRS * 4;
		until = now() + pause;
		while (shared->born[OUTSIDE] + shared->born[BELOW] < born && now() < until)
			sched_yield();
		kill(pid, SIGCONT);
		if (now() < end)
			continue;
		if (waitpid(pid, &status, 0) != pid)
			err(1, "waitpid");
		return status;
	}
}

static int run_recycle(double seconds, const char *cabatree)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	long runs = 0, unfinished = 0;
	double start, end, once = 0;
	pid_t below, pid;
	int status;

	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		err(1, "mount");
	last_pid = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (last_pid < 0)
		err(1, "ns_last_pid");
	sigaction(SIGUSR1, &action, NULL);
	below = start_side(BELOW);
	start_side(OUTSIDE);
	start = now();
	end = start + seconds;
	/* kill() may need some patience, on a slow machine. */
	while (!shared->hits[OUTSIDE] && !shared->stopped && now() < end + (cabatree ? 0 : 60)) {
		if (!cabatree) {
			kill_below(below);
			runs++;
			continue;
		}
		pid = start_cabatree(cabatree, below, runs + 1);
		if (runs++) {
			status = disturb(pid, once, end);
		} else {
			/* How long one takes, on this machine */
			once = now();
			if (waitpid(pid, &status, 0) != pid)
				err(1, "waitpid");
			once = now() - once;
		}
		if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 5))
			errx(1, "%s: status %x", cabatree, status);
		unfinished += WEXITSTATUS(status) == 5;
	}
	printf("%.0f s, %s: %ld runs, %ld not to the end\n", now() - start,
	       cabatree ? "cabatree" : "kill()", runs, unfinished);
	printf("born: %ld below, %ld outside\n", shared->born[BELOW], shared->born[OUTSIDE]);
	printf("signals: %ld below, %ld to outsiders; outsiders stopped: %ld\n",
	       shared->hits[BELOW], shared->hits[OUTSIDE], shared->stopped);
	if (!cabatree)
		return !shared->hits[OUTSIDE];
	return !shared->hits[BELOW] || shared->hits[OUTSIDE] || shared->stopped;
}

/* In a pid namespace of its own, which ends with its first process. */
static int recycle(double seconds, const char *cabatree)
{
	pid_t pid;
	int status;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	if (unshare(CLONE_NEWPID | CLONE_NEWNS))
		err(1, "unshare");
	pid = child();
	if (!pid) {
		status = run_recycle(seconds, cabatree);
		fflush(stdout);
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char *argv[])
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "leader"))
		return leader();
	if (!strcmp(what, "storm") && argc == 3)
		return storm(atoi(argv[2]));
	if (!strcmp(what, "reaper") && argc > 2) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		execvp(argv[2], argv + 2);
		err(127, "%s", argv[2]);
	}
	if (!strcmp(what, "comet"))
		return comet();
	if (!strcmp(what, "crowd") && argc > 3)
		return crowd(atoi(argv[2]), argv + 3);
	if (!strcmp(what, "recycle") && argc >= 3)
		return recycle(atof(argv[2]), argv[3]);
	errx(2, "see the comment at its top");
}
