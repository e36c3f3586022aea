// SPDX-License-Identifier: GPL-2.0
/*
 * Can the init of a pid namespace exit when it is in the process group of a
 * dead process of that namespace? It waits until all numbers of the namespace
 * but its own are free, and its group's is one of them.
 *
 * A kernel where it can not keeps the init for ever: SIGKILL does not help.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "../pidfd/pidfd.h"

#define PATIENCE_MS	30000

static void *last_thread(void *leader)
{
	/* a zombie: the last thread is to be another one than the leader */
	pthread_join(*(pthread_t *)leader, NULL);
	_exit(0);
}

static void act_as_init(bool leader_first)
{
	pthread_t leader = pthread_self(), thread;
	pid_t child = fork();

	if (!child)
		for (;;)
			pause();
	/* setpgid() wants a group that is there, so the child dies after it */
	if (child < 0 || setpgid(child, child) || setpgid(0, child) ||
	    kill(child, SIGKILL) || waitpid(child, NULL, 0) != child)
		_exit(1);
	if (leader_first &&
	    !pthread_create(&thread, NULL, last_thread, &leader))
		pthread_exit(NULL);
	_exit(leader_first);
}

FIXTURE(init) {};
FIXTURE_SETUP(init) {}
FIXTURE_TEARDOWN(init) {}
FIXTURE_VARIANT(init) {
	bool leader_first;
};

FIXTURE_VARIANT_ADD(init, of_one_thread) {
	.leader_first = false,
};

FIXTURE_VARIANT_ADD(init, whose_leader_exits_first) {
	.leader_first = true,
};

TEST_F_TIMEOUT(init, in_the_group_of_a_dead_process_exits, 60)
{
	struct pollfd pfd = { .events = POLLIN };
	int status;
	pid_t pid;

	if (unshare((geteuid() ? CLONE_NEWUSER : 0) | CLONE_NEWPID))
		SKIP(return, "no pid namespace: %s", strerror(errno));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		act_as_init(variant->leader_first);
	pfd.fd = sys_pidfd_open(pid, 0);
	ASSERT_LE(0, pfd.fd);
	ASSERT_EQ(1, poll(&pfd, 1, PATIENCE_MS))
		TH_LOG("the init does not exit");
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
