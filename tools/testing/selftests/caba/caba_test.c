// SPDX-License-Identifier: GPL-2.0
/*
 * Does NScaba in /proc/<pid>/status tell the closest alive born ancestor?
 *
 * One scenario for each thing that Documentation/admin-guide/caba.rst promises; the
 * rules are numbered as there. The words are those of caba_stage.h: BIRTH(A, B) has
 * A fork B, DIE(A) has it exit and waits until it is dead. Actors are named S for
 * the stage, where the others are born, P and R for parents and reapers, T and U
 * for threads or tracers, I and J for the inits of pid namespaces.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "caba_stage.h"

/*
 * NScaba: the line, and who may read it
 */

/* The line is NScaba, then a tab and a number for each level, after NSsid. */
TEST_F(caba, the_line_has_its_form_and_place)
{
	char buf[CABA_STATUS_SIZE], want[64];
	const char *line;

	ASSERT_LT(0, caba_read_status("/proc/self/status", buf));
	line = caba_find_line(buf, "NSsid:");
	ASSERT_NE(NULL, line);
	line = strchr(line, '\n') + 1;
	snprintf(want, sizeof(want), "NScaba:\t%d\n", getppid());
	EXPECT_EQ(0, strncmp(want, line, strlen(want)))
		TH_LOG("not '%s' but '%.20s'", want, line);
	EXPECT_NULL(caba_find_line(line + 1, "NScaba:"));
}

/*
 * Whatever runs here, kernel threads and strangers too: each thread has a
 * well-formed value, and nobody's CABA is itself.
 */
TEST_F(caba, no_task_of_the_system_lacks_a_value)
{
	pid_t levels[CABA_MAX_LEVELS];
	struct dirent *process, *thread;
	int nr, seen = 0;
	char path[64];
	DIR *dir, *tasks;

	BIRTH(S, A);
	THREAD(A, T);
	dir = opendir("/proc");
	ASSERT_NE(NULL, dir);
	while ((process = readdir(dir))) {
		pid_t pid = atoi(process->d_name);

		if (!pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task", pid);
		tasks = opendir(path);
		if (!tasks)
			continue;
		while ((thread = readdir(tasks))) {
			pid_t tid = atoi(thread->d_name);

			if (!tid)
				continue;
			nr = caba_read_task("/proc", pid, tid, levels);
			if (nr == -ESRCH || nr == -ENOENT)
				continue;
			seen++;
			ASSERT_LT(0, nr)
				TH_LOG("task %d: %s", tid, strerror(-nr));
			EXPECT_NE(pid, levels[0]);
			EXPECT_TRUE(levels[0] || nr == 1);
		}
		closedir(tasks);
	}
	closedir(dir);
	EXPECT_LT(4, seen);
}

/* Pid 1 and kthreadd were born by pid 0, the kernel threads by kthreadd. */
TEST_F(caba, pid_1_and_kthreadd_report_0)
{
	pid_t levels[CABA_MAX_LEVELS];
	char path[64], buf[CABA_STATUS_SIZE];
	struct dirent *entry;
	int nr, threads = 0;
	DIR *dir;

	ASSERT_EQ(1, caba_read("/proc", 1, levels));
	EXPECT_EQ(0, levels[0]);

	if (caba_read_status("/proc/2/status", buf) < 0 ||
	    strncmp(buf, "Name:\tkthreadd\n", strlen("Name:\tkthreadd\n")))
		SKIP(return, "kthreadd is not seen from this pid namespace");
	ASSERT_EQ(1, caba_read("/proc", 2, levels));
	EXPECT_EQ(0, levels[0]);

	dir = opendir("/proc");
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/status",
			 atoi(entry->d_name));
		if (caba_read_file(path, "PPid:", levels) != 1 ||
		    levels[0] != 2)
			continue;
		nr = caba_read_file(path, "NScaba:", levels);
		if (nr == -ESRCH || nr == -ENOENT)
			continue;
		EXPECT_EQ(1, nr);
		EXPECT_EQ(2, levels[0]);
		threads++;
	}
	closedir(dir);
	EXPECT_LT(0, threads);
}

/* NScaba is no secret: nobody reads of init and of A what root reads. */
TEST_F(caba, an_unprivileged_user_reads_the_same)
{
	pid_t want[2][CABA_MAX_LEVELS], levels[CABA_MAX_LEVELS];
	pid_t pid, pids[2];
	int i, status;

	BIRTH(S, A);
	pids[0] = 1;
	pids[1] = actors[A].pid;
	for (i = 0; i < 2; i++)
		ASSERT_EQ(1, caba_read("/proc", pids[i], want[i]));

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (!geteuid() &&
		    (setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
		     setresuid(65534, 65534, 65534)))
			_exit(1);
		for (i = 0; i < 2; i++)
			if (caba_read("/proc", pids[i], levels) != 1 ||
			    levels[0] != want[i][0])
				_exit(2 + i);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_CABA(A, S);
}

/*
 * R is nobody's user, its parent and CABA A is root's. Where hidepid keeps a
 * status file from R it does so with all of it; its own file names A as its CABA
 * as it does as its parent. Root, who is S, reads everything.
 */
TEST_F(caba, hidepid_protects_nscaba_like_ppid)
{
	static const struct {
		int viewer, option;
	} mounts[] = {
		{ C, PROC_HIDEPID_1 },
		{ D, PROC_HIDEPID_2 },
		{ E, PROC_HIDEPID_4 },
	};
	char want[64];
	size_t i;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(A, R);
	DO(R, OP_DROP_ROOT, 0);
	snprintf(want, sizeof(want), "%d", actors[A].pid);
	for (i = 0; i < ARRAY_SIZE(mounts); i++) {
		int viewer = mounts[i].viewer;

		BIRTH(S, viewer);
		DO(viewer, OP_MOUNT_PROC, mounts[i].option);
		EXPECT_CABA_AT(viewer, B, A);
		EXPECT_CABA_AT(viewer, R, A);
		EXPECT_EQ('(', *read_by(R, viewer, B, "PPid:"));
		EXPECT_EQ('(', *read_by(R, viewer, B, "NScaba:"));
		EXPECT_STREQ(want, read_by(R, viewer, R, "PPid:"));
		EXPECT_STREQ(want, read_by(R, viewer, R, "NScaba:"));
	}
	/* and where nothing is hidden */
	EXPECT_STREQ(want, read_by(R, S, B, "NScaba:"));
}

/* A procfs that has nothing but processes. */
TEST_F(caba, subset_pid_has_nscaba)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, P);
	DO(P, OP_MOUNT_PROC, PROC_SUBSET);
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	EXPECT_CABA_AT(P, C, B);
	DIE(B);
	EXPECT_CABA_AT(P, C, A);
}

/* A status file opened while B was alive: read again when B is dead. */
TEST_F(caba, an_open_file_tells_the_new_caba)
{
	char path[64], buf[CABA_STATUS_SIZE], want[64];
	const char *line;
	ssize_t len;
	int fd;

	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	snprintf(path, sizeof(path), "/proc/%d/status", actors[C].pid);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	len = pread(fd, buf, sizeof(buf) - 1, 0);
	ASSERT_LT(0, len);
	buf[len] = '\0';
	snprintf(want, sizeof(want), "NScaba:\t%d\n", actors[B].pid);
	line = caba_find_line(buf, "NScaba:");
	ASSERT_NE(NULL, line);
	EXPECT_EQ(0, strncmp(want, line, strlen(want)));

	DIE(B);
	len = pread(fd, buf, sizeof(buf) - 1, 0);
	ASSERT_LT(0, len);
	buf[len] = '\0';
	snprintf(want, sizeof(want), "NScaba:\t%d\n", actors[A].pid);
	line = caba_find_line(buf, "NScaba:");
	ASSERT_NE(NULL, line);
	EXPECT_EQ(0, strncmp(want, line, strlen(want)));

	DIE(C);
	REAP(TESTER, C);
	EXPECT_EQ(-1, pread(fd, buf, sizeof(buf) - 1, 0));
	EXPECT_EQ(ESRCH, errno);
	close(fd);
}

/*
 * Rules 2 and 3: the CABA is who forked, and when that dies the next one above
 */

/* S forks A, A forks B and C: each reports the one that forked it. */
TEST_F(caba, a_child_reports_its_parent)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(A, C);
	EXPECT_CABA(S, TESTER);
	EXPECT_CABA(A, S);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, A);
}

/* A daemon by double fork: PPid forgets A, NScaba does not. */
TEST_F(caba, an_orphan_reports_its_grandparent)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	DIE(B);
	REAP(A, B);
	EXPECT_PPID(C, TESTER);
	EXPECT_CABA(C, A);
	EXPECT_CABA(A, S);
}

/* Even the stage dies: its children report the test that made the stage. */
TEST_F(caba, a_child_of_a_dead_child_is_our_own_again)
{
	BIRTH(S, A);
	BIRTH(A, B);
	DIE(S);
	EXPECT_CABA(A, TESTER);
	EXPECT_CABA(B, A);
	KILL(A);
	EXPECT_CABA(B, TESTER);
}

/* S-A-B-C-D-E-F lose E, D, C, B, A: F is handed up one step each time. */
TEST_F(caba, a_line_dies_from_the_bottom_up)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	BIRTH(D, E);
	BIRTH(E, F);
	EXPECT_CABA(F, E);
	DIE(E);
	EXPECT_CABA(F, D);
	DIE(D);
	EXPECT_CABA(F, C);
	KILL(C);
	EXPECT_CABA(F, B);
	DIE(B);
	EXPECT_CABA(F, A);
	DIE(A);
	EXPECT_CABA(F, S);
}

/* S-A-B-C-D lose A, B, C: only the topmost of the rest is handed to S. */
TEST_F(caba, a_line_dies_from_the_top_down)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	DIE(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, B);
	EXPECT_CABA(D, C);
	KILL(B);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, C);
	DIE(C);
	EXPECT_CABA(D, S);
}

/* S-A-B-C-D-E lose C, B, D, A: E and what is between close the ranks. */
TEST_F(caba, a_line_dies_from_the_middle)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	BIRTH(D, E);
	DIE(C);
	EXPECT_CABA(B, A);
	EXPECT_CABA(D, B);
	EXPECT_CABA(E, D);
	DIE(B);
	EXPECT_CABA(D, A);
	EXPECT_CABA(E, D);
	DIE(D);
	EXPECT_CABA(E, A);
	DIE(A);
	EXPECT_CABA(E, S);
}

/* B has children C, D, E, born before and after C had one too: all go to A. */
TEST_F(caba, all_siblings_are_handed_up_together)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, F);
	BIRTH(B, D);
	BIRTH(A, P);
	BIRTH(B, E);
	KILL(B);
	EXPECT_CABA(C, A);
	EXPECT_CABA(D, A);
	EXPECT_CABA(E, A);
	EXPECT_CABA(P, A);
	EXPECT_CABA(F, C);
	DIE(D);
	DIE(A);
	EXPECT_CABA(C, S);
	EXPECT_CABA(E, S);
	EXPECT_CABA(P, S);
	EXPECT_CABA(F, C);
}

/* R, a sub-reaper far up, takes C when B dies. NScaba stays with A. */
TEST_F(caba, a_subreaper_takes_the_child_but_not_its_birth)
{
	BIRTH(S, R);
	DO(R, OP_SUBREAPER, 1);
	BIRTH(R, A);
	BIRTH(A, B);
	BIRTH(B, C);
	DIE(B);
	EXPECT_PPID(C, R);
	EXPECT_CABA(C, A);
	/* the birth of a child adopted by R is nothing to R either */
	BIRTH(C, D);
	DIE(C);
	EXPECT_PPID(D, R);
	EXPECT_CABA(D, A);
	DIE(R);
	EXPECT_PPID(D, TESTER);
	EXPECT_PPID(A, TESTER);
	EXPECT_CABA(D, A);
	EXPECT_CABA(A, S);
}

/*
 * Of A (sub-reaper) -> B -> C -> D only A and D are left, D A's child now.
 * D forks: from here on PPid and NScaba agree again.
 */
TEST_F(caba, an_adopted_process_has_children_of_its_own)
{
	BIRTH(S, A);
	DO(A, OP_SUBREAPER, 1);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	DIE(B);
	DIE(C);
	EXPECT_PPID(D, A);
	EXPECT_CABA(D, A);
	BIRTH(D, E);
	EXPECT_CABA(E, D);
	DIE(D);
	EXPECT_PPID(E, A);
	EXPECT_CABA(E, A);
}

/* B does all that changes the place of a process elsewhere, in vain. */
TEST_F(caba, setsid_and_subreaper_flags_and_wait_change_nothing)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	DO(C, OP_SETPGID, 0);
	DO(B, OP_SETSID, 0);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, B);
	DO(B, OP_SUBREAPER, 1);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, B);
	DIE(C);
	EXPECT_CABA(D, B);
	REAP(B, C);
	EXPECT_CABA(D, B);
	DO(B, OP_SUBREAPER, 0);
	EXPECT_PPID(D, B);
	EXPECT_CABA(D, B);
	EXPECT_CABA(B, A);
}

/*
 * The tree that CRIU cannot restore, in a pid namespace so that the numbers
 * are those of the documentation. Two sessions, and a sub-reaper that is one
 * only for a while: PPid alone no longer tells which session came first.
 */
TEST_F(caba, two_sessions_keep_the_order_of_their_births)
{
	static const struct {
		int who, pid, sid, ppid;
		const char *caba;
	} want[] = {
		{ A, 1, 1, 0, "0" },
		{ B, 2, 2, 1, "1" },
		{ D, 4, 4, 1, "2" },
		{ E, 5, 2, 4, "4" },
		{ U, 7, 4, 2, "4" },
	};
	size_t i;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH_FLAGS(S, A, CLONE_NEWPID);
	DO(A, OP_MOUNT_PROC, 0);
	DO(A, OP_SETSID, 0);
	BIRTH(A, B);
	DO(B, OP_SETSID, 0);
	BIRTH(B, C);
	BIRTH(C, D);
	BIRTH(D, E);
	DO(D, OP_SETSID, 0);
	BIRTH(D, T);
	BIRTH(T, U);
	DO(B, OP_SUBREAPER, 1);
	DIE(T);
	DO(B, OP_SUBREAPER, 0);
	DIE(C);

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		int who = want[i].who;

		EXPECT_EQ(want[i].pid, pid_at(A, who));
		EXPECT_EQ(want[i].sid, number_at(A, who, "NSsid:"));
		EXPECT_EQ(want[i].ppid, number_at(A, who, "PPid:"));
		EXPECT_STREQ(want[i].caba, nscaba(A, who))
			TH_LOG("NScaba of pid %d", want[i].pid);
	}
	EXPECT_CABA(A, S);
	EXPECT_CABA(B, A);
	EXPECT_CABA(D, B);
	EXPECT_CABA(E, D);
	EXPECT_CABA(U, D);
}

/*
 * Rule 3: a zombie is dead, and is handed up like the living
 */

/* B is dead but A does not reap it: C is A's, before as after. */
TEST_F(caba, a_zombie_is_nobodys_caba)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	DIE(B);
	EXPECT_ZOMBIE(B);
	EXPECT_CABA(C, A);
	REAP(A, B);
	EXPECT_CABA(C, A);
}

/* C is a zombie while B and A die above it, and reports it until reaped. */
TEST_F(caba, a_zombie_has_a_caba_until_it_is_reaped)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	DIE(C);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_ZOMBIE(C);
	EXPECT_CABA(C, A);
	DIE(A);
	EXPECT_ZOMBIE(C);
	EXPECT_CABA(C, S);
	REAP(TESTER, C);
	EXPECT_STREQ("(No such file or directory)", nscaba(S, C));
}

/* B, C and D are zombies at once, reaped in another order: E sees only A. */
TEST_F(caba, a_line_of_zombies_is_passed_over)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	BIRTH(D, E);
	DIE(C);
	DIE(D);
	EXPECT_CABA(D, B);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_ZOMBIE(B);
	EXPECT_ZOMBIE(C);
	EXPECT_ZOMBIE(D);
	EXPECT_CABA(E, A);
	EXPECT_CABA(D, A);
	EXPECT_CABA(C, A);
	EXPECT_CABA(B, A);
	REAP(TESTER, D);
	EXPECT_CABA(E, A);
	REAP(A, B);
	EXPECT_CABA(C, A);
	DIE(A);
	EXPECT_CABA(C, S);
	EXPECT_CABA(E, S);
}

/* A ignores SIGCHLD, so the kernel reaps B at once: C still goes to A. */
TEST_F(caba, a_process_that_no_one_waits_for_hands_up_too)
{
	BIRTH(S, A);
	DO(A, OP_IGNORE_CHILDREN, 0);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	DIE(B);
	EXPECT_CABA(C, A);
	ASSERT_EQ(0, await_end(B, false));
	EXPECT_CABA(C, A);
	EXPECT_CABA(D, C);
}

/*
 * Rules 1 and 3: processes, not threads; alive until the last one exits
 */

/* A's thread T forks B. B reports A's TGID, and does when T has exited. */
TEST_F(caba, a_child_of_a_thread_reports_the_tgid)
{
	BIRTH(S, A);
	THREAD(A, T);
	ASSERT_NE(actors[A].tid, actors[T].tid);
	BIRTH(T, B);
	EXPECT_CABA(B, A);
	EXPECT_EQ(actors[A].tid, number_at(S, B, "NScaba:"));
	END_THREAD(T);
	EXPECT_CABA(B, A);
	EXPECT_CABA(A, S);
	DIE(A);
	EXPECT_CABA(B, S);
}

/* A has threads T and U with a child each: all are A's till all have exited. */
TEST_F(caba, the_exit_of_a_thread_hands_up_nothing)
{
	BIRTH(S, A);
	THREAD(A, T);
	THREAD(T, U);
	BIRTH(A, B);
	BIRTH(T, C);
	BIRTH(U, D);
	END_THREAD(T);
	EXPECT_PPID(C, A);
	EXPECT_CABA(C, A);
	END_THREAD(U);
	EXPECT_CABA(D, A);
	EXPECT_CABA(B, A);
	EXPECT_CABA(A, S);
	DIE(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, S);
}

/* A is killed with three threads running: the children of each go to S. */
TEST_F(caba, a_killed_process_hands_up_for_all_its_threads)
{
	BIRTH(S, A);
	THREAD(A, T);
	THREAD(A, U);
	BIRTH(U, B);
	BIRTH(A, C);
	BIRTH(T, D);
	KILL(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, S);
	EXPECT_CABA(A, S);
}

/*
 * A's leader exits first: A lives on in its thread T, as a CABA and as a CABD,
 * until T exits too.
 */
TEST_F(caba, a_process_without_its_leader_is_alive)
{
	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	THREAD(A, T);
	END_THREAD(A);
	EXPECT_ZOMBIE(A);
	EXPECT_CABA(B, A);
	EXPECT_CABA(A, P);
	/* T still forks and makes threads */
	BIRTH(T, C);
	EXPECT_CABA(C, A);
	THREAD(T, U);
	BIRTH(U, D);
	EXPECT_CABA(D, A);
	EXPECT_CABA(A, P);
	/* and goes up the line when P dies, as every thread says */
	DIE(P);
	EXPECT_CABA(A, S);
	END_THREAD(U);
	EXPECT_CABA(D, A);
	DIE(T);
	EXPECT_CABA(A, S);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, S);
}

/*
 * B is made a child of R by reparenting. A thread that B starts only then
 * reports what B reports, also after R, its parent, has died and been reaped.
 */
TEST_F(caba, a_thread_made_after_reparenting_reports_as_its_process)
{
	BIRTH(S, R);
	DO(R, OP_SUBREAPER, 1);
	BIRTH(R, P);
	BIRTH(P, A);
	BIRTH(A, B);
	DIE(A);
	EXPECT_PPID(B, R);
	THREAD(B, T);
	EXPECT_CABA(B, P);
	KILL(R);
	REAP(S, R);
	EXPECT_PPID(B, TESTER);
	EXPECT_CABA(B, P);
	THREAD(T, U);
	DIE(P);
	EXPECT_CABA(B, S);
	END_THREAD(B);
	EXPECT_CABA(B, S);
}

/*
 * T holds A on its way out, where a tracer may still look at it. As long as its
 * exit has only begun A is alive.
 */
TEST_F(caba, a_process_stopped_at_its_exit_is_alive)
{
	int err;

	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(S, T);
	err = ask(T, OP_SEIZE, actors[A].pid, PTRACE_O_TRACEEXIT);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	BEGIN(A, OP_EXIT);
	DO(T, OP_AWAIT_EXIT, actors[A].pid);
	EXPECT_CABA(B, A);
	EXPECT_PPID(B, A);
	DO(T, OP_CONTINUE, actors[A].pid);
	ASSERT_EQ(0, await_death(A));
	EXPECT_ZOMBIE(A);
	EXPECT_CABA(B, S);
}

/*
 * A has a thread that the kernel runs: it waits for a byte from a pipe. That one
 * goes at the same time as the threads that A knows of, and may be the last.
 * A thread of A's own is the first or the second to go, by turns.
 */
TEST_F(caba, an_io_worker_may_be_the_last_thread)
{
	int i;

	for (i = 0; i < 24; i++) {
		int err;

		BIRTH(S, A);
		BIRTH(A, B);
		err = ask(A, OP_IO_WORKER, 0, 0);
		if (err == -ENOSYS || err == -EPERM)
			SKIP(return, "no io_uring here: %s", strerror(-err));
		ASSERT_EQ(0, err);
		EXPECT_CABA(B, A);
		switch (i % 3) {
		case 0:
			DIE(A);
			break;
		case 1:
			KILL(A);
			break;
		case 2:
			BEGIN(A, OP_EXIT_THREAD);
			ASSERT_EQ(0, await_death(A));
			break;
		}
		EXPECT_CABA(B, S);
		EXPECT_CABA(A, S);
		REAP(S, A);
		KILL(B);
	}
}

/*
 * CLONE_AUTOREAP (since 7.2): B has no zombie and tells nobody of its death.
 */
TEST_F(caba, a_process_that_reaps_itself_hands_up_too)
{
	int err;

	BIRTH(S, A);
	err = bring(A, OP_BIRTH, B, CLONE_AUTOREAP);
	if (err == -EINVAL || err == -ENOSYS)
		SKIP(return, "the kernel has no CLONE_AUTOREAP");
	ASSERT_EQ(0, err);
	EXPECT_CABA(B, A);
	BIRTH(B, C);
	EXPECT_CABA(C, B);
	DIE(B);
	ASSERT_EQ(0, await_end(B, false));
	EXPECT_CABA(C, A);
	DIE(A);
	EXPECT_CABA(C, S);
}

/*
 * Rule 4: exec changes nothing
 */

/* A execs and keeps its children and its own place. */
TEST_F(caba, exec_keeps_both_directions)
{
	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	THREAD(A, T);
	DO(A, OP_EXEC, 0);
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, A);
	BIRTH(A, C);
	EXPECT_CABA(C, A);
	DIE(P);
	EXPECT_CABA(A, S);
	DIE(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
}

/*
 * A's thread T execs and so becomes the leader. From above: A's children of
 * before and of after stay A's and are handed up when A dies.
 */
TEST_F(caba, exec_of_a_thread_keeps_the_cabds)
{
	pid_t pid;

	BIRTH(S, A);
	BIRTH(A, B);
	THREAD(A, T);
	BIRTH(T, C);
	pid = actors[A].pid;
	DO(T, OP_EXEC, 0);
	ASSERT_EQ(pid, actors[T].tid);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, A);
	BIRTH(T, D);
	EXPECT_CABA(D, A);
	DIE(T);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, S);
}

/*
 * The same from below: A keeps its own CABA, goes up when that dies, and is
 * out of the list of the one above it once it is reaped.
 */
TEST_F(caba, exec_of_a_thread_keeps_the_caba)
{
	BIRTH(S, P);
	BIRTH(P, R);
	BIRTH(R, A);
	BIRTH(R, B);
	THREAD(A, T);
	DO(T, OP_EXEC, 0);
	EXPECT_CABA(A, R);
	EXPECT_CABA(B, R);
	DIE(R);
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, P);
	DIE(T);
	EXPECT_CABA(A, P);
	REAP(TESTER, A);
	DIE(P);
	EXPECT_CABA(B, S);
}

/* A's leader is a zombie already, and U is there too, when T execs. */
TEST_F(caba, exec_of_a_thread_without_a_leader_keeps_both)
{
	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	THREAD(A, T);
	THREAD(A, U);
	BIRTH(U, C);
	END_THREAD(A);
	EXPECT_ZOMBIE(A);
	DO(T, OP_EXEC, 0);
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, A);
	DIE(P);
	EXPECT_CABA(A, S);
	DIE(T);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
}

/* Exec by a thread, by a thread of the new image, and so on: nothing moves. */
TEST_F(caba, exec_of_threads_may_be_repeated)
{
	static const int execers[] = { T, U, C, D, E };
	int leader = A;
	size_t i;

	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	for (i = 0; i < ARRAY_SIZE(execers); i++) {
		THREAD(leader, execers[i]);
		DO(execers[i], OP_EXEC, 0);
		leader = execers[i];
		EXPECT_CABA(A, P);
		EXPECT_CABA(B, A);
	}
	DIE(P);
	EXPECT_CABA(A, S);
	DIE(leader);
	EXPECT_CABA(B, S);
}

/*
 * A's thread T execs and waits for U, which P holds on its way out. So A is alive
 * and where it was when it is killed: T never becomes the leader.
 */
TEST_F(caba, exec_of_a_thread_that_is_killed_meanwhile)
{
	int err;

	BIRTH(S, R);
	BIRTH(R, A);
	BIRTH(A, B);
	THREAD(A, T);
	THREAD(A, U);
	BIRTH(S, P);
	err = ask(P, OP_SEIZE, actors[U].tid, PTRACE_O_TRACEEXIT);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	BEGIN(T, OP_EXEC);
	DO(P, OP_AWAIT_EXIT, actors[U].tid);
	ASSERT_EQ(0, await_state(T, 'D'));
	EXPECT_CABA(A, R);
	EXPECT_CABA(B, A);
	DIE(R);
	EXPECT_CABA(A, S);
	ASSERT_EQ(0, kill(actors[A].pid, SIGKILL));
	DO(P, OP_REAP, actors[U].tid);
	ASSERT_EQ(0, await_death(A));
	EXPECT_CABA(B, S);
	EXPECT_CABA(A, S);
}

/* The same, and it is A's leader that is held, for which T waits last. */
TEST_F(caba, exec_of_a_thread_that_is_killed_when_the_leader_is_left)
{
	int err;

	BIRTH(S, R);
	BIRTH(R, A);
	BIRTH(A, B);
	THREAD(A, T);
	BIRTH(S, P);
	err = ask(P, OP_SEIZE, actors[A].tid, PTRACE_O_TRACEEXIT);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	BEGIN(T, OP_EXEC);
	DO(P, OP_AWAIT_EXIT, actors[A].tid);
	ASSERT_EQ(0, await_state(T, 'D'));
	EXPECT_CABA(A, R);
	EXPECT_CABA(B, A);
	DIE(R);
	EXPECT_CABA(A, S);
	ASSERT_EQ(0, kill(actors[A].pid, SIGKILL));
	ASSERT_EQ(0, await_death(A));
	EXPECT_CABA(B, S);
	EXPECT_CABA(A, S);
	REAP(P, A);
}

/*
 * Rule 2: the creator, also with CLONE_PARENT, vfork, CLONE_VM
 */

/* B makes a sibling, C: the parent of both is A, but B has made C. */
TEST_F(caba, clone_parent_gives_the_creator)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH_FLAGS(B, C, CLONE_PARENT);
	EXPECT_PPID(C, A);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, A);
	DIE(A);
	EXPECT_CABA(C, S);
}

/* B's parent is the test by now, and so is C's; C's CABA is B all the same. */
TEST_F(caba, clone_parent_after_reparenting_gives_no_reaper)
{
	BIRTH(S, A);
	BIRTH(A, P);
	BIRTH(P, B);
	DIE(P);
	BIRTH_FLAGS(B, C, CLONE_PARENT);
	EXPECT_PPID(C, TESTER);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, A);
	DIE(A);
	EXPECT_CABA(C, S);
}

/* It is B's thread T that makes C, once with and once without a leader. */
TEST_F(caba, clone_parent_by_a_thread_gives_its_process)
{
	BIRTH(S, A);
	BIRTH(A, P);
	BIRTH(P, B);
	THREAD(B, T);
	BIRTH_FLAGS(T, C, CLONE_PARENT);
	EXPECT_PPID(C, P);
	EXPECT_CABA(C, B);
	DIE(P);
	END_THREAD(B);
	BIRTH_FLAGS(T, D, CLONE_PARENT);
	EXPECT_PPID(D, TESTER);
	EXPECT_CABA(D, B);
	EXPECT_CABA(C, B);
	/* and a thread that is the leader now */
	DO(T, OP_EXEC, 0);
	BIRTH_FLAGS(T, E, CLONE_PARENT);
	EXPECT_CABA(E, B);
	DIE(T);
	EXPECT_CABA(C, A);
	EXPECT_CABA(D, A);
	EXPECT_CABA(E, A);
}

/*
 * B leads a session, which C and D have from it, whoever is their parent: so
 * B is on the line of both.
 */
TEST_F(caba, clone_parent_keeps_the_sessions_leader_on_the_line)
{
	BIRTH(S, A);
	BIRTH(A, B);
	DO(B, OP_SETSID, 0);
	BIRTH_FLAGS(B, C, CLONE_PARENT);
	BIRTH_FLAGS(C, D, CLONE_PARENT);
	EXPECT_PPID(C, A);
	EXPECT_PPID(D, A);
	EXPECT_EQ(actors[B].pid, number_at(S, C, "NSsid:"));
	EXPECT_EQ(actors[B].pid, number_at(S, D, "NSsid:"));
	EXPECT_CABA(D, C);
	EXPECT_CABA(C, B);
	DIE(C);
	EXPECT_CABA(D, B);
}

/* As with vfork(): A is suspended, but is B's CABA. */
TEST_F(caba, a_vfork_child_reports_its_suspended_parent)
{
	BIRTH(S, A);
	BIRTH_FLAGS(A, B, CLONE_VM | CLONE_VFORK);
	EXPECT_CABA(B, A);
	/* B shares A's memory and yet is a process of its own */
	BIRTH(B, C);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, A);
	/* A goes on */
	BIRTH(A, D);
	EXPECT_CABA(D, A);
}

/* A is killed while it is suspended. */
TEST_F(caba, a_vfork_child_outlives_its_parent)
{
	BIRTH(S, A);
	BIRTH_FLAGS(A, B, CLONE_VM | CLONE_VFORK);
	KILL(A);
	EXPECT_CABA(B, S);
	BIRTH(B, C);
	EXPECT_CABA(C, B);
}

/* vfork() and exec, as a shell or posix_spawn() does. */
TEST_F(caba, a_vfork_child_that_execs_reports_its_parent)
{
	BIRTH(S, A);
	VFORK_EXEC(A, B);
	EXPECT_CABA(B, A);
	VFORK_EXEC(B, C);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, A);
	BIRTH(A, D);
	EXPECT_CABA(D, A);
}

/* B shares A's memory, files and handlers but is no thread of A's. */
TEST_F(caba, a_clone_vm_child_is_a_process)
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND;

	BIRTH(S, A);
	BIRTH_FLAGS(A, B, flags);
	ASSERT_NE(actors[A].pid, actors[B].pid);
	EXPECT_CABA(B, A);
	BIRTH(B, C);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, A);
	BIRTH_FLAGS(A, D, flags);
	EXPECT_CABA(D, A);
	DIE(A);
	EXPECT_CABA(C, S);
	EXPECT_CABA(D, S);
}

/*
 * Rule 5: pid namespaces do not bound the tree
 */

/*
 * S -> A, I (init of the first) -> B -> J (init of the second) -> C -> D.
 * Each is read through the procfs of all three namespaces.
 */
TEST_F(caba, each_namespace_reads_its_own_numbers)
{
	char want[64];

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, A);
	BIRTH_FLAGS(A, I, CLONE_NEWPID);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(I, B);
	BIRTH_FLAGS(B, J, CLONE_NEWPID);
	DO(J, OP_MOUNT_PROC, 0);
	BIRTH(J, C);
	BIRTH(C, D);

	/* by their numbers, from outside to inside */
	snprintf(want, sizeof(want), "%d", actors[S].pid);
	EXPECT_STREQ(want, nscaba(S, A));
	snprintf(want, sizeof(want), "%d", actors[A].pid);
	EXPECT_STREQ(want, nscaba(S, I));
	snprintf(want, sizeof(want), "%d 1", actors[I].pid);
	EXPECT_STREQ(want, nscaba(S, B));
	snprintf(want, sizeof(want), "%d 2", actors[B].pid);
	EXPECT_STREQ(want, nscaba(S, J));
	snprintf(want, sizeof(want), "%d 3 1", actors[J].pid);
	EXPECT_STREQ(want, nscaba(S, C));
	snprintf(want, sizeof(want), "%d 4 2", actors[C].pid);
	EXPECT_STREQ(want, nscaba(S, D));

	EXPECT_STREQ("0", nscaba(I, I));
	EXPECT_STREQ("1", nscaba(I, B));
	EXPECT_STREQ("2", nscaba(I, J));
	EXPECT_STREQ("3 1", nscaba(I, C));
	EXPECT_STREQ("4 2", nscaba(I, D));

	EXPECT_STREQ("0", nscaba(J, J));
	EXPECT_STREQ("1", nscaba(J, C));
	EXPECT_STREQ("2", nscaba(J, D));

	/* D to J, and J past B to I: the number of levels follows */
	DIE(C);
	EXPECT_STREQ("3 1", nscaba(I, D));
	EXPECT_STREQ("1", nscaba(J, D));
	DIE(B);
	snprintf(want, sizeof(want), "%d 1", actors[I].pid);
	EXPECT_STREQ(want, nscaba(S, J));
	EXPECT_STREQ("1", nscaba(I, J));
	EXPECT_STREQ("0", nscaba(J, J));
	DIE(A);
	EXPECT_CABA(I, S);
	EXPECT_STREQ("0", nscaba(I, I));
}

/*
 * I and J are the inits of two namespaces, neither of them in the other. It is
 * the procfs that counts: I, which has no number in J's, reads J's numbers.
 */
TEST_F(caba, a_procfs_shows_its_own_numbers_to_strangers)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH_FLAGS(S, I, CLONE_NEWPID);
	BIRTH_FLAGS(S, J, CLONE_NEWPID);
	DO(J, OP_MOUNT_PROC, 0);
	BIRTH(J, A);
	BIRTH(A, B);
	BIRTH(B, C);
	EXPECT_STREQ("3", read_by(I, J, C, "NScaba:"));
	EXPECT_STREQ("2", read_by(I, J, B, "NScaba:"));
	EXPECT_STREQ("1", read_by(I, J, A, "NScaba:"));
	EXPECT_STREQ("0", read_by(I, J, J, "NScaba:"));
	DIE(B);
	EXPECT_STREQ("2", read_by(I, J, C, "NScaba:"));
}

/* A moves its children to be into I's namespace: its CABDs see a 0 there. */
TEST_F(caba, a_child_born_after_setns_has_its_caba_outside)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH_FLAGS(S, I, CLONE_NEWPID);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(S, A);
	DO(A, OP_SETNS, actors[I].pid);
	BIRTH(A, B);
	EXPECT_CABA(B, A);
	EXPECT_NO_CABA_AT(I, B);
	BIRTH(B, C);
	EXPECT_CABA(C, B);
	EXPECT_CABA_AT(I, C, B);

	/* I takes C as its child. A, outside, gets it as its CABD. */
	DIE(B);
	EXPECT_EQ(1, number_at(I, C, "PPid:"));
	EXPECT_CABA(C, A);
	EXPECT_NO_CABA_AT(I, C);
	DIE(A);
	EXPECT_CABA(C, S);
	EXPECT_NO_CABA_AT(I, C);
	BIRTH(C, D);
	EXPECT_CABA_AT(I, D, C);
}

/* A's first child after unshare is an init, the second one is a mere child. */
TEST_F(caba, a_child_born_after_unshare_has_its_caba_outside)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, P);
	BIRTH(P, A);
	ASSERT_EQ(0, ask(A, OP_UNSHARE, 0, CLONE_NEWPID));
	EXPECT_CABA(A, P);
	BIRTH(A, I);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(A, B);
	EXPECT_EQ(1, pid_at(I, I));
	EXPECT_EQ(2, pid_at(I, B));
	EXPECT_CABA(I, A);
	EXPECT_CABA(B, A);
	EXPECT_NO_CABA_AT(I, I);
	EXPECT_NO_CABA_AT(I, B);
	DIE(A);
	EXPECT_CABA(I, P);
	EXPECT_CABA(B, P);
	EXPECT_NO_CABA_AT(I, B);
}

/*
 * A has made a namespace, and C makes its init: only then can A be born into
 * it (since 7.2).
 */
TEST_F(caba, an_init_may_come_from_somebody_else)
{
	int err;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(P, C);
	ASSERT_EQ(0, ask(A, OP_UNSHARE, 0, CLONE_NEWPID));
	err = ask(C, OP_SETNS, actors[A].pid, JOIN_CHILDREN);
	if (err == -ENOENT)
		SKIP(return, "the kernel keeps a namespace without init to its maker");
	ASSERT_EQ(0, err);
	BIRTH(C, I);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(A, B);
	BIRTH(I, D);
	EXPECT_EQ(1, pid_at(I, I));
	EXPECT_EQ(2, pid_at(I, B));
	EXPECT_CABA(I, C);
	EXPECT_CABA(B, A);
	EXPECT_CABA_AT(I, D, I);
	EXPECT_NO_CABA_AT(I, B);
	DIE(C);
	EXPECT_CABA(I, P);
	EXPECT_CABA(B, A);
}

/*
 * J's namespace is in I's. C, at home there, was born by B in I's, and D by A
 * above both: one level up, two levels up.
 */
TEST_F(caba, a_caba_may_be_several_namespaces_up)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH_FLAGS(S, I, CLONE_NEWPID);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH_FLAGS(I, J, CLONE_NEWPID);
	DO(J, OP_MOUNT_PROC, 0);
	BIRTH(I, B);
	DO(B, OP_SETNS, actors[J].pid);
	BIRTH(B, C);
	BIRTH(S, A);
	DO(A, OP_SETNS, actors[J].pid);
	BIRTH(A, D);
	BIRTH(D, E);

	EXPECT_CABA(C, B);
	EXPECT_CABA_AT(I, C, B);
	EXPECT_NO_CABA_AT(J, C);
	EXPECT_CABA(D, A);
	EXPECT_NO_CABA_AT(I, D);
	EXPECT_NO_CABA_AT(J, D);
	EXPECT_CABA_AT(J, E, D);

	/* E now is where D was, C goes from B to I */
	DIE(D);
	EXPECT_CABA(E, A);
	EXPECT_NO_CABA_AT(I, E);
	EXPECT_NO_CABA_AT(J, E);
	DIE(B);
	EXPECT_CABA(C, I);
	EXPECT_CABA_AT(I, C, I);
	EXPECT_NO_CABA_AT(J, C);
}

/* A makes a sibling in I's namespace: its CABA is A, which is outside. */
TEST_F(caba, clone_parent_into_a_namespace_gives_the_creator)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH_FLAGS(S, I, CLONE_NEWPID);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(S, P);
	BIRTH(P, R);
	BIRTH(R, A);
	DIE(R);
	DO(A, OP_SETNS, actors[I].pid);
	BIRTH_FLAGS(A, B, CLONE_PARENT);
	EXPECT_PPID(B, TESTER);
	EXPECT_CABA(B, A);
	EXPECT_NO_CABA_AT(I, B);
	DIE(A);
	EXPECT_CABA(B, P);
}

/*
 * I dies and takes its namespace along: B and C, and E that D made from
 * outside. E's zombie, and I's, keep reporting who is alive above them.
 */
TEST_F(caba, the_death_of_an_init_leaves_a_sound_tree)
{
	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, A);
	BIRTH_FLAGS(A, I, CLONE_NEWPID);
	BIRTH(I, B);
	BIRTH(B, C);
	BIRTH(A, D);
	DO(D, OP_SETNS, actors[I].pid);
	BIRTH(D, E);

	/* an init waits for all others to be reaped: D does not reap E yet */
	ASSERT_EQ(0, kill(actors[I].pid, SIGKILL));
	ASSERT_EQ(0, await_death(E));
	EXPECT_ZOMBIE(E);
	EXPECT_CABA(E, D);
	EXPECT_CABA(I, A);
	DIE(D);
	EXPECT_CABA(E, A);
	REAP(TESTER, E);
	ASSERT_EQ(0, await_death(I));
	EXPECT_ZOMBIE(I);
	EXPECT_CABA(I, A);
	DIE(A);
	EXPECT_CABA(I, S);
	REAP(TESTER, I);
}

/*
 * A closer look at that: I is killed, and with it its child B, whose
 * tracer T outside does not reap it. As long as I waits for that it is no
 * zombie, but dead: B is A's.
 */
TEST_F(caba, an_init_that_waits_for_its_namespace_is_dead)
{
	int err;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, A);
	BIRTH_FLAGS(A, I, CLONE_NEWPID);
	DO(I, OP_MOUNT_PROC, 0);
	BIRTH(I, B);
	BIRTH(S, T);
	err = ask(T, OP_SEIZE, actors[B].pid, 0);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	EXPECT_CABA_AT(I, B, I);

	ASSERT_EQ(0, kill(actors[I].pid, SIGKILL));
	ASSERT_EQ(0, await_death(B));
	EXPECT_ZOMBIE(B);
	EXPECT_NE('Z', state(I));
	EXPECT_CABA(B, A);
	EXPECT_CABA(I, A);
	REAP(T, B);
	ASSERT_EQ(0, await_death(I));
	EXPECT_CABA(I, A);
}

/*
 * The same, and I has threads. C, which finds all others on their way out, has to
 * empty the namespace, and waits for B. T has begun its exit after C, but takes
 * longer, with many files to close. When that is over I is dead.
 */
TEST_F_TIMEOUT(caba, an_init_with_threads_that_waits_for_its_namespace_is_dead,
	       600)
{
	int err, i;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	BIRTH(S, A);
	BIRTH(S, P);
	for (i = 0; i < 5; i++) {
		BIRTH_FLAGS(A, I, CLONE_NEWPID);
		BIRTH(I, B);
		THREAD(I, C);
		THREAD(I, T);
		DO(C, OP_SLOW_EXIT, 20000);
		DO(T, OP_SLOW_EXIT, 60000);
		END_THREAD(I);
		err = ask(P, OP_SEIZE, actors[B].pid, 0);
		if (err == -EPERM)
			SKIP(return, NO_PTRACE);
		ASSERT_EQ(0, err);
		EXPECT_CABA(B, I);

		BEGIN(C, OP_EXIT_THREAD);
		BEGIN(T, OP_EXIT_THREAD);
		ASSERT_EQ(0, await_death(B));
		ASSERT_EQ(0, await_threads(I, 1));
		EXPECT_CABA(B, A);
		EXPECT_CABA(I, A);
		REAP(P, B);
		ASSERT_EQ(0, await_death(I));
		EXPECT_CABA(I, A);
		REAP(A, I);
	}
}

/*
 * Rule 7: ptrace changes nothing
 */

/* T traces A, a stranger to it: the tracer is in nobody's line. */
TEST_F(caba, a_tracer_is_nobodys_caba)
{
	int err;

	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	BIRTH(S, T);
	err = ask(T, OP_ATTACH, actors[A].pid, 0);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	EXPECT_EQ(actors[T].pid, number_at(S, A, "TracerPid:"));
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, A);
	BIRTH(A, C);
	EXPECT_CABA(C, A);
	DIE(P);
	EXPECT_CABA(A, S);
	KILL(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, S);
}

/* The same, and the tracer dies first. */
TEST_F(caba, the_death_of_a_tracer_changes_nothing)
{
	int err;

	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	BIRTH(S, T);
	BIRTH(T, C);
	err = ask(T, OP_ATTACH, actors[A].pid, 0);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	KILL(T);
	EXPECT_EQ(0, number_at(S, A, "TracerPid:"));
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, S);
	DIE(P);
	EXPECT_CABA(A, S);
	DIE(A);
	EXPECT_CABA(B, S);
}

/* T follows A's forks, so that B is traced from its birth: by A all the same. */
TEST_F(caba, a_child_born_traced_reports_its_parent)
{
	int err;

	BIRTH(S, A);
	BIRTH(S, T);
	err = ask(T, OP_SEIZE, actors[A].pid, PTRACE_O_TRACEFORK);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, tell(A, OP_BIRTH, B, 0));
	/* A stops at its fork and B at its birth */
	DO(T, OP_RESUME, 2);
	ASSERT_EQ(0, hear(B));
	EXPECT_EQ(actors[T].pid, number_at(S, B, "TracerPid:"));
	EXPECT_CABA(B, A);
	KILL(T);
	EXPECT_CABA(B, A);
	DIE(A);
	EXPECT_CABA(B, S);
}

/* B asks to be traced by its parent A, which dies. */
TEST_F(caba, traceme_changes_nothing)
{
	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	DO(B, OP_TRACEME, 0);
	EXPECT_EQ(actors[A].pid, number_at(S, B, "TracerPid:"));
	EXPECT_CABA(B, A);
	EXPECT_CABA(C, B);
	KILL(A);
	EXPECT_CABA(B, S);
	EXPECT_CABA(C, B);
	DIE(B);
	EXPECT_CABA(C, S);
}

/*
 * B dies traced. Its zombie is T's first: A cannot even reap it. B is dead for
 * its child C, and keeps a CABA while A and then T die.
 */
TEST_F(caba, a_traced_zombie_is_like_any_other)
{
	int err;

	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(S, T);
	err = ask(T, OP_SEIZE, actors[B].pid, 0);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	DIE(B);
	EXPECT_ZOMBIE(B);
	EXPECT_CABA(C, A);
	EXPECT_CABA(B, A);
	DIE(A);
	EXPECT_CABA(C, S);
	EXPECT_CABA(B, S);
	DIE(T);
	EXPECT_ZOMBIE(B);
	EXPECT_CABA(B, S);
	REAP(TESTER, B);
	EXPECT_CABA(C, S);
}

/* A's leader is traced when A's thread U execs and takes its place. */
TEST_F(caba, exec_of_a_thread_under_a_tracer_keeps_both)
{
	int err;

	BIRTH(S, P);
	BIRTH(P, A);
	BIRTH(A, B);
	THREAD(A, U);
	BIRTH(S, T);
	err = ask(T, OP_SEIZE, actors[A].pid, 0);
	if (err == -EPERM)
		SKIP(return, NO_PTRACE);
	ASSERT_EQ(0, err);
	DO(U, OP_EXEC, 0);
	EXPECT_CABA(A, P);
	EXPECT_CABA(B, A);
	DIE(P);
	EXPECT_CABA(A, S);
	DIE(U);
	EXPECT_CABA(B, S);
}

/*
 * Many
 */

/* D has 1,000 children. D, C, B and A die: all are handed up, each time. */
TEST_F_TIMEOUT(caba, a_thousand_cabds_are_handed_up_at_once, 600)
{
	static const int above[] = { D, C, B, A, S };
	pid_t levels[CABA_MAX_LEVELS];
	size_t level;
	int err, i;

	BIRTH(S, A);
	BIRTH(A, B);
	BIRTH(B, C);
	BIRTH(C, D);
	err = ask(D, OP_MANY, NR_MANY, 0);
	if (err == -EAGAIN)
		SKIP(return, "not permitted to run %d processes", NR_MANY);
	ASSERT_EQ(0, err);

	for (level = 0; level < ARRAY_SIZE(above); level++) {
		int wrong = 0;

		for (i = 0; i < NR_MANY; i++)
			if (caba_read("/proc", many[i], levels) != 1 ||
			    levels[0] != actors[above[level]].pid)
				wrong++;
		EXPECT_EQ(0, wrong)
			TH_LOG("%d processes, %zu levels up", wrong, level);
		if (above[level] != S)
			DIE(above[level]);
	}
}
