// SPDX-License-Identifier: GPL-2.0
/*
 * The processes that the tests of cabatree need and a shell cannot make.
 *
 *	leader		a process whose first thread is over, and another is not
 *	storm N		N processes that fork as fast as they can, each child
 *			living for 30 ms
 *	comet		a process that forks and exits; so does its child, and so on
 *	crowd N NAME COMMAND...
 *			N processes that rest; then each COMMAND and, under its NAME,
 *			what it cost: ms of CPU time, KiB, exit status
 *	recycle SECONDS [CABATREE]
 *			pid numbers that are used again as fast as they can,
 *			by turns by one born below a process and by an outsider,
 *			while "CABATREE --signal USR1" goes to those below. Fails
 *			when an outsider got one, or none below did. Without
 *			CABATREE: what kill() does with the numbers in /proc, which
 *			must hit outsiders, or the test shows nothing.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
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
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CROWD_GROUP	20
#define CROWD_STACK	2048

#define SLOTS		8
#define FIRST_NUMBER	2000

/* By whom a number is used now */
enum { BELOW, OUTSIDE };

static struct {
	atomic_int turn[SLOTS];
	atomic_long used[2], hits[2], stopped;
} *shared;

static int side;

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
	signal(SIGCHLD, SIG_IGN);
	while (--nr > 0 && child())
		;
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
	atomic_fetch_add(&shared->hits[side], 1);
}

static void futex(atomic_int *word, int op, int value)
{
	syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* One number after the other: born, gone, and then it is the other side's turn. */
static void use_number(int slot)
{
	pid_t number = FIRST_NUMBER + slot, pid;
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (unsigned long)&number,
		.set_tid_size = 1,
	};
	unsigned int n = 0;
	int status;

	for (;;) {
		while (shared->turn[slot] != side)
			futex(&shared->turn[slot], FUTEX_WAIT, !side);
		pid = syscall(SYS_clone3, &args, sizeof(args));
		if (!pid) {
			double end = now() + (n * 2654435761u >> 24) / 1e6;

			while (now() < end)
				;
			_exit(0);
		}
		if (pid < 0)
			err(1, "clone3");
		n++;
		atomic_fetch_add(&shared->used[side], 1);
		while (waitpid(pid, &status, side == OUTSIDE ? WUNTRACED : 0) < 0 ||
		       WIFSTOPPED(status)) {
			if (WIFSTOPPED(status)) {
				atomic_fetch_add(&shared->stopped, 1);
				kill(pid, SIGCONT);
			}
		}
		shared->turn[slot] = !side;
		futex(&shared->turn[slot], FUTEX_WAKE, 1);
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
	for (i = 0; i < SLOTS; i++) {
		if (!child())
			use_number(i);
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

static int run_recycle(double seconds, const char *cabatree)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	double end;
	long runs = 0, unfinished = 0;
	pid_t below, pid;
	char number[16];
	int status;

	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		err(1, "mount");
	sigaction(SIGUSR1, &action, NULL);
	below = start_side(BELOW);
	start_side(OUTSIDE);
	snprintf(number, sizeof(number), "%d", below);
	end = now() + seconds;
	/* kill() may need some patience, on a slow machine. */
	while (now() < end || (!cabatree && !shared->hits[OUTSIDE] && now() < end + 60)) {
		runs++;
		if (!cabatree) {
			kill_below(below);
			continue;
		}
		pid = child();
		if (!pid) {
			if (!freopen("/dev/null", "w", stderr))
				err(127, "/dev/null");
			/* SIGSTOP is not to hit anyone else, either. */
			if (runs % 4)
				execl(cabatree, "cabatree", "--signal", "USR1",
				      "--rounds", "3", number, NULL);
			else
				execl(cabatree, "cabatree", "--signal", "USR1",
				      "--freeze", number, NULL);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 5))
			errx(1, "%s: status %x", cabatree, status);
		unfinished += WEXITSTATUS(status) == 5;
	}
	printf("%.0f s, %s: %ld runs, %ld not to the end\n", seconds,
	       cabatree ? "cabatree" : "kill()", runs, unfinished);
	printf("numbers used %ld times below, %ld times outside\n",
	       shared->used[BELOW], shared->used[OUTSIDE]);
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
	if (!strcmp(what, "comet"))
		return comet();
	if (!strcmp(what, "crowd") && argc > 3)
		return crowd(atoi(argv[2]), argv + 3);
	if (!strcmp(what, "recycle") && argc >= 3)
		return recycle(atof(argv[2]), argv[3]);
	errx(2, "see the comment at its top");
}
