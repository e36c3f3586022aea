// SPDX-License-Identifier: GPL-2.0
/*
 * Does PIDFD_GET_INFO tell the closest alive born ancestor?
 *
 * "caba_pidfd --print" tells it of the pidfd that is its standard input: the
 * TGID and the inode number.
 */
#define _GNU_SOURCE
#include <dirent.h>
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
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "../kselftest_harness.h"
#include "caba_helpers.h"
#include "caba_sys.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

/* As include/uapi/linux/pidfd.h has it, which may be older here. */
struct info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t other[13];
	uint64_t supported_mask;
	uint64_t caba_ino;
	int32_t caba_tgid;
	uint32_t caba_pad;
};

#define INFO_EXIT	0x008
#define INFO_SUPPORTED	0x020
#define INFO_CABA	0x100
#define GET_INFO(type)	_IOWR(0xff, 11, type)
#define PIDFD_THREAD	O_EXCL

#define BUSY_SECONDS	5

static int pidfd_open(pid_t pid, unsigned int flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

/* Return: 0, or -errno; -ENODATA where there is no word of a CABA. */
static int ask(int pidfd, struct info *info)
{
	memset(info, 0, sizeof(*info));
	info->mask = INFO_CABA;
	if (ioctl(pidfd, GET_INFO(struct info), info))
		return -errno;
	return info->mask & INFO_CABA ? 0 : -ENODATA;
}

static uint64_t inode(int pidfd)
{
	struct stat st;

	return fstat(pidfd, &st) ? 0 : st.st_ino;
}

static bool supported(void)
{
	struct info info = { .mask = INFO_SUPPORTED };
	int pidfd = pidfd_open(getpid(), 0);
	bool yes = pidfd >= 0 && !ioctl(pidfd, GET_INFO(struct info), &info) &&
		   (info.mask & INFO_SUPPORTED) &&
		   (info.supported_mask & INFO_CABA);

	if (pidfd >= 0)
		close(pidfd);
	return yes;
}

/* In each test: an old harness runs one whose set-up has been skipped, too. */
#define NO_FIELD	"PIDFD_GET_INFO of this kernel has no CABA"

FIXTURE(pidfd) {
	int go[2];	/* closed at the end: children read it and exit */
};

FIXTURE_SETUP(pidfd)
{
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, pipe(self->go));
}

FIXTURE_TEARDOWN(pidfd)
{
	close(self->go[0]);
	close(self->go[1]);
	while (wait(NULL) > 0)
		;
}

/* A child that stays until the test ends or kills it. */
static pid_t stay(int go[2], unsigned int flags)
{
	pid_t pid = caba_fork(flags);
	char c;

	if (pid)
		return pid;
	close(go[1]);
	while (read(go[0], &c, 1) > 0)
		;
	_exit(0);
}

TEST_F(pidfd, the_creator_by_number_and_inode)
{
	int own = pidfd_open(getpid(), 0), child;
	struct info info;

	if (!supported())
		SKIP(return, NO_FIELD);
	child = pidfd_open(stay(self->go, 0), 0);
	ASSERT_EQ(0, ask(child, &info));
	EXPECT_EQ(getpid(), info.caba_tgid);
	EXPECT_TRUE(inode(own) == info.caba_ino);
}

/* The middle one dies: its child is ours, though no child of ours by birth. */
TEST_F(pidfd, who_inherits_it)
{
	int back[2], own = pidfd_open(getpid(), 0), grandchild;
	struct info info;
	pid_t middle, pid;

	if (!supported())
		SKIP(return, NO_FIELD);
	ASSERT_EQ(0, pipe(back));
	middle = fork();
	if (!middle) {
		pid = stay(self->go, 0);
		_exit(write(back[1], &pid, sizeof(pid)) != sizeof(pid));
	}
	ASSERT_EQ((ssize_t)sizeof(pid), read(back[0], &pid, sizeof(pid)));
	ASSERT_EQ(middle, waitpid(middle, NULL, 0));
	grandchild = pidfd_open(pid, 0);
	ASSERT_EQ(0, ask(grandchild, &info));
	EXPECT_EQ(getpid(), info.caba_tgid);
	EXPECT_TRUE(inode(own) == info.caba_ino);
}

static void *ask_of_thread(void *answer)
{
	int pidfd = pidfd_open(syscall(SYS_gettid), PIDFD_THREAD);

	*(int *)answer = ask(pidfd, (struct info *)answer + 1);
	return NULL;
}

TEST_F(pidfd, a_thread_has_what_its_process_has)
{
	struct info answer[2], of_process;
	pthread_t thread;

	if (!supported())
		SKIP(return, NO_FIELD);
	ASSERT_EQ(0, ask(pidfd_open(getpid(), 0), &of_process));
	ASSERT_EQ(0, pthread_create(&thread, NULL, ask_of_thread, answer));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, *(int *)answer);
	EXPECT_NE(0, of_process.caba_tgid);
	EXPECT_EQ(of_process.caba_tgid, answer[1].caba_tgid);
	EXPECT_TRUE(of_process.caba_ino == answer[1].caba_ino);
}

/* The first process of a pid namespace asks about itself. */
TEST_F(pidfd, what_is_outside_the_pid_namespace_is_0)
{
	struct info info;
	int status;
	pid_t pid;

	if (!supported())
		SKIP(return, NO_FIELD);
	pid = caba_fork(CLONE_NEWPID);
	if (pid < 0)
		SKIP(return, "no pid namespace: %s", strerror(errno));
	if (!pid)
		_exit(ask(pidfd_open(1, 0), &info) || info.caba_tgid ||
		      info.caba_ino);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(pidfd, a_zombie_has_one_and_who_is_reaped_has_none)
{
	struct info info = { .mask = INFO_CABA | INFO_EXIT };
	pid_t pid = stay(self->go, 0);
	int child = pidfd_open(pid, 0);
	siginfo_t how;

	if (!supported())
		SKIP(return, NO_FIELD);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(0, waitid(P_PID, pid, &how, WEXITED | WNOWAIT));
	ASSERT_EQ(0, ask(child, &info));
	EXPECT_EQ(getpid(), info.caba_tgid);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(-ESRCH, ask(child, &info));
	info.mask = INFO_CABA | INFO_EXIT;
	ASSERT_EQ(0, ioctl(child, GET_INFO(struct info), &info));
	EXPECT_FALSE(!(info.mask & INFO_EXIT));
	EXPECT_FALSE(!!(info.mask & INFO_CABA));
}

/* Who does not ask, or has no room, is told nothing and keeps its bytes. */
TEST_F(pidfd, old_callers_see_nothing_new)
{
	struct old { uint64_t field[11]; };
	struct info info = { .caba_ino = 5, .caba_tgid = 6 };
	int own = pidfd_open(getpid(), 0);

	if (!supported())
		SKIP(return, NO_FIELD);
	ASSERT_EQ(0, ioctl(own, GET_INFO(struct info), &info));
	EXPECT_FALSE(!!(info.mask & INFO_CABA));
	EXPECT_EQ(0, info.caba_tgid);

	info.mask = INFO_CABA;
	info.caba_ino = 5;
	info.caba_tgid = 6;
	ASSERT_EQ(0, ioctl(own, GET_INFO(struct old), &info));
	EXPECT_FALSE(!!(info.mask & INFO_CABA));
	EXPECT_EQ(5u, info.caba_ino);
	EXPECT_EQ(6, info.caba_tgid);
}

/* A pidfd of the CABA, made of what was told: it was opened before, by us. */
TEST_F(pidfd, the_inode_makes_a_pidfd)
{
	struct {
		struct file_handle handle;
		uint64_t ino;
	} fh = { .handle = { .handle_bytes = 8, .handle_type = 0xfe } };
	int own = pidfd_open(getpid(), 0), other;
	struct info info;

	if (!supported())
		SKIP(return, NO_FIELD);
	ASSERT_EQ(0, ask(pidfd_open(stay(self->go, 0), 0), &info));
	memcpy(fh.handle.f_handle, &info.caba_ino, sizeof(info.caba_ino));
	other = open_by_handle_at(-10002 /* FD_PIDFS_ROOT */, &fh.handle, 0);
	ASSERT_LE(0, other);
	EXPECT_TRUE(inode(own) == inode(other));
}

/* Births and deaths all the time; who is born hardly lives. */
static void be_busy(unsigned int seed)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			if (rand_r(&seed) % 2 && !fork())
				usleep(rand_r(&seed) % 3000);
			usleep(rand_r(&seed) % 3000);
			_exit(0);
		}
		seed++;
		usleep(rand_r(&seed) % 2000);
	}
}

struct counts { int same, reused, wrong; };

/* One process: what the pidfd says is what /proc says, if that stays. */
static void compare(pid_t pid, struct counts *count)
{
	pid_t before[CABA_MAX_LEVELS], after[CABA_MAX_LEVELS];
	int pidfd = pidfd_open(pid, 0), caba;
	struct info info, again;

	if (pidfd < 0)
		return;
	/* the number is the pidfd's process: it is still there afterwards */
	if (caba_read("/proc", pid, before) > 0 && !ask(pidfd, &info) &&
	    caba_read("/proc", pid, after) > 0 && before[0] == after[0] &&
	    !ask(pidfd, &again)) {
		count->same++;
		if (info.caba_tgid != before[0] ||
		    !info.caba_tgid != !info.caba_ino)
			count->wrong++;
		caba = info.caba_tgid ? pidfd_open(info.caba_tgid, 0) : -1;
		if (caba >= 0 && inode(caba) != info.caba_ino) {
			/* somebody else's number by now: so it has another */
			count->reused++;
			if (!ask(pidfd, &again) &&
			    again.caba_ino == info.caba_ino)
				count->wrong++;
		}
		if (caba >= 0)
			close(caba);
	}
	close(pidfd);
}

TEST_F_TIMEOUT(pidfd, the_same_as_proc_of_every_process, 120)
{
	struct counts count = { };
	struct timespec now, end;
	struct dirent *entry;
	pid_t busy[3];
	size_t i;
	DIR *dir;

	if (!supported())
		SKIP(return, NO_FIELD);
	for (i = 0; i < 3; i++) {
		busy[i] = fork();
		if (!busy[i])
			be_busy(i);
	}
	dir = opendir("/proc");
	ASSERT_NE(NULL, dir);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += BUSY_SECONDS;
	do {
		rewinddir(dir);
		while ((entry = readdir(dir)))
			if (atoi(entry->d_name))
				compare(atoi(entry->d_name), &count);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	closedir(dir);
	for (i = 0; i < 3; i++)
		kill(busy[i], SIGKILL);
	TH_LOG("%d compared, %d of them with a number that was used again",
	       count.same, count.reused);
	EXPECT_LT(20, count.same);
	EXPECT_EQ(0, count.wrong);
}

static int print(void)
{
	struct info info;
	int err = ask(STDIN_FILENO, &info);

	if (err) {
		fprintf(stderr, "caba_pidfd: %s\n", strerror(-err));
		return 1;
	}
	printf("%d %llu\n", info.caba_tgid, (unsigned long long)info.caba_ino);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--print"))
		return print();
	return test_harness_run(argc, argv);
}
