// SPDX-License-Identifier: GPL-2.0
/*
 * Does a reader ever see a wrong NScaba while the tree changes under its eyes?
 *
 * In both tests there are but one or two right answers at any moment, so
 * each read can be judged, however it races. "0" is never one of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "caba_helpers.h"

#define RACE_SECONDS	5
#define NR_READERS	3

/* An image that has this in its environment only goes on with the race. */
#define EXECER_ENV	"CABA_RACE_EXECER"

static struct race {
	long stop;
	long subject;		/* whose NScaba is read; 0: nobody's just now */
	long right[2];
	long reads, wrong;
	long seen;		/* the last wrong one */
} *race;

static long get(long *what)
{
	return __atomic_load_n(what, __ATOMIC_SEQ_CST);
}

static void set(long *what, long to)
{
	__atomic_store_n(what, to, __ATOMIC_SEQ_CST);
}

static void count(long *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_SEQ_CST);
}

static void reader(void)
{
	pid_t levels[CABA_MAX_LEVELS];
	long subject;
	int n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!get(&race->stop)) {
		subject = get(&race->subject);
		if (!subject)
			continue;
		n = caba_read("/proc", subject, levels);
		/* only what was read while it was the subject all along */
		if (n < 1 || get(&race->subject) != subject)
			continue;
		count(&race->reads);
		if (levels[0] == get(&race->right[0]) || levels[0] == get(&race->right[1]))
			continue;
		if (get(&race->subject) != subject)
			continue;
		count(&race->wrong);
		set(&race->seen, levels[0]);
	}
	_exit(0);
}

static void *exec_thread(void *unused)
{
	/* /proc/self has no exe any more when the leader is gone */
	execl("/proc/thread-self/exe", "caba_execer", NULL);
	_exit(1);
}

/* Exec by a thread, and again by a thread of the new image, for ever. */
static void execer(void)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pthread_create(&thread, NULL, exec_thread, NULL))
		_exit(1);
	for (;;)
		pause();
}

static void __attribute__((constructor)) go_on(void)
{
	if (getenv(EXECER_ENV))
		execer();
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

FIXTURE(race) {
	pid_t readers[NR_READERS];
};

FIXTURE_SETUP(race)
{
	int i;

	if (!caba_supported())
		SKIP(return, "no NScaba in /proc/self/status: CONFIG_CABA is off");
	race = mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, race);
	race->right[0] = getpid();
	race->right[1] = getpid();
	for (i = 0; i < NR_READERS; i++) {
		self->readers[i] = fork();
		ASSERT_LE(0, self->readers[i]);
		if (!self->readers[i])
			reader();
	}
}

FIXTURE_TEARDOWN(race)
{
	int i;

	for (i = 0; i < NR_READERS; i++) {
		if (self->readers[i] <= 0)
			continue;
		kill(self->readers[i], SIGKILL);
		waitpid(self->readers[i], NULL, 0);
	}
}

/* A child execs from a thread all the time: its CABA is always its parent. */
TEST_F(race, exec_of_a_thread_hides_nothing_from_readers)
{
	double end = now() + RACE_SECONDS;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		setenv(EXECER_ENV, "1", 1);
		execer();
	}
	set(&race->subject, pid);
	while (now() < end && !get(&race->wrong))
		sched_yield();
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG)) {
		TH_LOG("the child that execs has ended");
	}
	set(&race->stop, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_LT(0, race->reads);
	EXPECT_EQ(0, race->wrong) {
		TH_LOG("of %ld reads %ld were wrong: saw %ld, not %ld", race->reads,
		       race->wrong, race->seen, race->right[0]);
	}
}

/* We have a child with a child, and the middle one dies and is reaped. */
TEST_F(race, the_death_of_the_caba_hides_nothing_from_readers)
{
	double end = now() + RACE_SECONDS;
	long deaths = 0, before;
	int born[2], go[2];
	pid_t middle, pid;
	char c = 0;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	while (now() < end && !get(&race->wrong)) {
		ASSERT_EQ(0, pipe(born));
		ASSERT_EQ(0, pipe(go));
		middle = fork();
		ASSERT_LE(0, middle);
		if (!middle) {
			pid = fork();
			if (!pid) {
				prctl(PR_SET_PDEATHSIG, 0);
				for (;;)
					pause();
			}
			if (write(born[1], &pid, sizeof(pid)) != sizeof(pid) ||
			    read(go[0], &c, 1) != 1)
				_exit(1);
			_exit(0);
		}
		ASSERT_EQ((ssize_t)sizeof(pid), read(born[0], &pid, sizeof(pid)));
		set(&race->right[1], middle);
		before = get(&race->reads);
		set(&race->subject, pid);
		while (get(&race->reads) < before + NR_READERS && now() < end)
			sched_yield();
		ASSERT_EQ(1, write(go[1], &c, 1));
		ASSERT_EQ(middle, waitpid(middle, NULL, 0));
		/* those who began to read before that are to be judged, too */
		before = get(&race->reads);
		while (get(&race->reads) < before + NR_READERS && now() < end)
			sched_yield();
		set(&race->subject, 0);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		close(born[0]);
		close(born[1]);
		close(go[0]);
		close(go[1]);
		deaths++;
	}
	set(&race->stop, 1);
	EXPECT_LT(0, deaths);
	EXPECT_LT(0, race->reads);
	EXPECT_EQ(0, race->wrong) {
		TH_LOG("%ld deaths, %ld reads, %ld wrong: saw %ld", deaths,
		       race->reads, race->wrong, race->seen);
	}
}

TEST_HARNESS_MAIN
