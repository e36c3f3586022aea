/*
 * Numbers of processes that are kept elsewhere, in a tree with a nested pid
 * namespace: owners of files, pidfds and threads that timers notify. Whom they
 * are about is in the same namespace as who has them, above, or below.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "lock.h"

const char *test_doc = "File owners, pidfds and timers across pid namespaces";
const char *test_author = "The CABA series";

enum { ROOT, INIT, MEMBER, THREAD };	   /* who gets signals; the thread is one of INIT */
enum { SAME, GROUP, TID, ABOVE, BELOW, NR }; /* owners of pipes, the first four of those of INIT */
enum { SELF_FD, ABOVE_FD, DEAD_FD, NR_FDS };

#define OF_PIPE(i) (SIGRTMIN + (i))
#define OF_TIMER   (SIGRTMIN + NR)

static const int expected[NR] = { MEMBER, MEMBER, THREAD, ROOT, INIT };

struct shared {
	futex_t ready, go;
	int failed;
	int owner[2][NR]; /* before and after */
	int fds[NR_FDS];
	int tid[2];
	int got[NR][4];
	int ticks[4];
};

static struct shared *shared;

static int me, pipes[NR][2];
static pid_t tid;

static int gettid_(void)
{
	return syscall(SYS_gettid);
}

static int clone_into(unsigned long flags)
{
	return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static void on_signal(int sig)
{
	int who = me == INIT && gettid_() != getpid() ? THREAD : me;

	if (sig == OF_TIMER)
		shared->ticks[who]++;
	else
		shared->got[sig - SIGRTMIN][who]++;
}

static int owned_by(int i, int type, pid_t pid)
{
	struct f_owner_ex o = { .type = type, .pid = pid };
	int fd = pipes[i][0];

	return fcntl(fd, F_SETOWN_EX, &o) || fcntl(fd, F_SETSIG, OF_PIPE(i)) ||
	       fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC);
}

/* How it is seen by who has the file */
static int owner_of(int i)
{
	struct f_owner_ex o;

	if (fcntl(pipes[i][0], F_GETOWN_EX, &o))
		return -1;
	return o.type * 1000000 + o.pid;
}

static int pidfd_of(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static void *be_thread(void *arg)
{
	int below = clone_into(CLONE_NEWPID);
	sigset_t set;

	/* What is for the process is for its main thread */
	sigemptyset(&set);
	sigaddset(&set, OF_PIPE(BELOW));
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (!below)
		while (1)
			pause();
	/* Where its children go */
	if (setns(pidfd_of(below), CLONE_NEWPID))
		shared->failed = __LINE__;
	shared->tid[0] = tid = gettid_();
	futex_inc_and_wake(&shared->ready);
	futex_wait_while(&shared->go, 0);
	shared->tid[1] = gettid_();
	while (1)
		usleep(10000);
	return NULL;
}

static void be_init(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = OF_TIMER };
	struct itimerspec often = { .it_value.tv_nsec = 50000000, .it_interval.tv_nsec = 50000000 };
	int member, dead, i;
	timer_t timer;
	pthread_t t;

	me = INIT;
	member = clone_into(0);
	if (!member) {
		me = MEMBER;
		setpgid(0, 0);
		futex_inc_and_wake(&shared->ready);
		while (1)
			pause();
	}
	if (pthread_create(&t, NULL, be_thread, NULL))
		_exit(1);
	futex_wait_while_lt(&shared->ready, 2);

	dead = clone_into(0);
	if (!dead)
		_exit(0);
	shared->fds[DEAD_FD] = pidfd_of(dead);
	waitpid(dead, NULL, 0);
	shared->fds[SELF_FD] = pidfd_of(member);

	ev._sigev_un._tid = tid;
	if (owned_by(SAME, F_OWNER_PID, member) || owned_by(GROUP, F_OWNER_PGRP, member) ||
	    owned_by(TID, F_OWNER_TID, tid) || timer_create(CLOCK_MONOTONIC, &ev, &timer) ||
	    timer_settime(timer, 0, &often, NULL))
		shared->failed = __LINE__;
	for (i = 0; i <= ABOVE; i++)
		shared->owner[0][i] = owner_of(i);
	futex_inc_and_wake(&shared->ready);

	while (!futex_get(&shared->go))
		usleep(10000);
	for (i = 0; i <= ABOVE; i++) {
		shared->owner[1][i] = owner_of(i);
		if (write(pipes[i][1], "x", 1) != 1)
			shared->failed = __LINE__;
	}
	futex_inc_and_wake(&shared->ready);
	while (1)
		usleep(10000);
}

/* What the test itself reads of it in /proc */
struct seen {
	char text[4096];
};

static void add_line(struct seen *s, const char *key, const char *fmt, int pid, int nr)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), fmt, pid, nr);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			strncat(s->text, line, sizeof(s->text) - strlen(s->text) - 1);
	if (f)
		fclose(f);
	else
		strcat(s->text, "nothing\n");
}

static bool same_ns(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_ino == y.st_ino;
}

static void look(struct seen *s, int init, int below_fd)
{
	int i, pid, thread = 0, below = 0;
	char own[64], path[64];

	memset(s, 0, sizeof(*s));
	add_line(s, "NSpid:", "/proc/%d/fdinfo/%d", getpid(), below_fd);
	for (i = 0; i < NR_FDS; i++)
		add_line(s, "NSpid:", "/proc/%d/fdinfo/%d", init, shared->fds[i]);

	/* The thread, and its child in another namespace, came soon after */
	snprintf(own, sizeof(own), "/proc/%d/ns/pid", init);
	for (pid = init + 1; pid < init + 100 && !below; pid++) {
		struct seen parent = {}, wanted = {};

		snprintf(path, sizeof(path), "/proc/%d/task/%d", init, pid);
		if (!access(path, F_OK))
			thread = pid;
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
		if (access(path, F_OK) || same_ns(path, own))
			continue;
		add_line(&parent, "PPid:", "/proc/%d/status", pid, 0);
		snprintf(wanted.text, sizeof(wanted.text), "PPid:\t%d\n", init);
		if (!strcmp(parent.text, wanted.text))
			below = pid;
	}
	add_line(s, "NSpid:", "/proc/%d/task/%d/status", init, thread);
	add_line(s, "NSpid:", "/proc/%d/status", below, 0);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/ns/pid_for_children", init, thread);
	snprintf(own, sizeof(own), "/proc/%d/ns/pid", below);
	strcat(s->text, same_ns(path, own) ? "into it\n" : "elsewhere\n");
}

static bool signals_came(void)
{
	int i;

	for (i = 0; i < NR; i++)
		if (!shared->got[i][expected[i]])
			return false;
	return shared->ticks[THREAD];
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct seen before, after;
	int i, j, init, below_fd;

	test_init(argc, argv);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	futex_init(&shared->ready);
	futex_init(&shared->go);
	for (i = 0; i <= NR; i++)
		if (sigaction(SIGRTMIN + i, &sa, NULL))
			return 1;
	for (i = 0; i < NR; i++)
		if (pipe(pipes[i]))
			return 1;
	shared->fds[ABOVE_FD] = pidfd_of(getpid());
	if (owned_by(ABOVE, F_OWNER_PID, getpid()))
		return 1;

	init = clone_into(CLONE_NEWPID);
	if (!init)
		be_init();
	/* What is left to it alone */
	for (i = 0; i <= ABOVE; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	close(shared->fds[ABOVE_FD]);
	below_fd = pidfd_of(init);
	if (owned_by(BELOW, F_OWNER_PID, init))
		return 1;
	shared->owner[0][BELOW] = owner_of(BELOW);
	futex_wait_while_lt(&shared->ready, 3);
	look(&before, init, below_fd);
	test_msg("%s\n", before.text);
	if (shared->failed) {
		pr_err("line %d\n", shared->failed);
		kill(init, SIGKILL);
		return 1;
	}

	test_daemon();
	test_waitsig();

	look(&after, init, below_fd);
	memset(shared->got, 0, sizeof(shared->got));
	memset(shared->ticks, 0, sizeof(shared->ticks));
	futex_set_and_wake(&shared->go, 1);
	shared->owner[1][BELOW] = owner_of(BELOW);
	if (write(pipes[BELOW][1], "x", 1) != 1)
		shared->failed = __LINE__;
	futex_wait_while_lt(&shared->ready, 4);
	for (i = 0; i < 300 && !signals_came(); i++)
		usleep(100000);

	if (strcmp(before.text, after.text))
		fail("pids are\n%sinstead of\n%s", after.text, before.text);
	else if (shared->failed || shared->tid[0] != shared->tid[1])
		fail("line %d, thread %d was %d", shared->failed, shared->tid[1], shared->tid[0]);
	else if (memcmp(shared->owner[0], shared->owner[1], sizeof(shared->owner[0])))
		for (i = 0; i < NR; i++)
			fail("owner %d is %d, was %d", i, shared->owner[1][i], shared->owner[0][i]);
	else if (!signals_came() || shared->ticks[INIT] || shared->ticks[ROOT])
		for (i = 0; i < NR; i++)
			for (j = 0; j <= THREAD; j++)
				fail("%d signals of file %d, %d of the timer for %d", shared->got[i][j], i,
				     shared->ticks[j], j);
	else
		pass();
	kill(init, SIGKILL);
	return 0;
}
