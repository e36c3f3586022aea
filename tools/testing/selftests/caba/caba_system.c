// SPDX-License-Identifier: GPL-2.0
/*
 * What NScaba tells where it takes more than processes to see it: a device, or a
 * setting of the whole system, which is put back. Not for everybody's machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "caba_stage.h"

/*
 * Rule 3: alive until the last thread exits
 */

/*
 * A has a thread of vhost's, which is told to go when the device is closed, by
 * A's exit: so it is always the last one.
 */
TEST_F(caba, a_vhost_worker_is_the_last_thread)
{
	int i, err;

	for (i = 0; i < 8; i++) {
		BIRTH(S, A);
		BIRTH(A, B);
		err = ask(A, OP_VHOST_WORKER, 0, 0);
		if (err == -ENOENT || err == -ENODEV || err == -EACCES)
			SKIP(return, "no /dev/vhost-net or vhost-vsock: %s",
			     strerror(-err));
		ASSERT_EQ(0, err);
		EXPECT_CABA(B, A);
		switch (i % 3) {
		case 0:
			BEGIN(A, OP_EXIT_THREAD);
			ASSERT_EQ(0, await_death(A));
			break;
		case 1:
			DIE(A);
			break;
		case 2:
			KILL(A);
			break;
		}
		EXPECT_CABA(B, S);
		EXPECT_CABA(A, S);
		REAP(S, A);
		KILL(B);
	}
}

/*
 * Rule 6: a program that the kernel starts has a kernel thread for CABA
 */

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE_SOCKET	"\0caba_core"
#define CORE_ARGUMENT	"--core"

struct core_report {
	pid_t ppid, caba;
	int levels;
};

static int core_socket(struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){
		.sun_family = AF_UNIX,
		.sun_path = CORE_SOCKET,
	};
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* What core_pattern starts: tells about itself. */
static void __attribute__((constructor)) report_core(int argc, char **argv)
{
	pid_t levels[CABA_MAX_LEVELS];
	struct core_report report;
	struct sockaddr_un addr;
	int fd;

	if (argc < 2 || strcmp(argv[1], CORE_ARGUMENT))
		return;
	fd = core_socket(&addr);
	report.levels = caba_read_file("/proc/self/status", "NScaba:", levels);
	report.caba = report.levels > 0 ? levels[0] : 0;
	report.ppid = getppid();
	sendto(fd, &report, sizeof(report), 0, (struct sockaddr *)&addr,
	       sizeof(addr));
	_exit(0);
}

static bool is_kernel_thread(pid_t pid)
{
	char path[64], byte;
	int fd, n;

	/* no memory, so no command line */
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, &byte, 1);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return !n && readlink(path, &byte, 1) < 0;
}

static int write_pattern(const char *text)
{
	int fd = open(CORE_PATTERN, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err = -errno;
	close(fd);
	return err;
}

/*
 * A child of ours dumps core into a program. That one has kthreadd for parent,
 * and for CABA the worker that started it, or kthreadd if that is gone.
 */
TEST_F(caba, a_program_that_the_kernel_starts_has_a_kernel_thread_for_caba)
{
	const struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };
	char was[256], text[256], exe[160];
	struct core_report report = {};
	struct sockaddr_un addr;
	struct pollfd pfd;
	ssize_t len;
	pid_t pid;
	int fd;

	if (!self->root)
		SKIP(return, NOT_ROOT);
	if (getppid() == 0 || !is_kernel_thread(2))
		SKIP(return, "not in the initial pid namespace");
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	ASSERT_LT(0, len);
	exe[len] = '\0';
	if (len > 100)
		SKIP(return, "%s is too long for " CORE_PATTERN, exe);
	fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no " CORE_PATTERN);
	len = read(fd, was, sizeof(was) - 1);
	close(fd);
	ASSERT_LE(0, len);
	was[len] = '\0';

	pfd.fd = core_socket(&addr);
	pfd.events = POLLIN;
	ASSERT_EQ(0, bind(pfd.fd, (struct sockaddr *)&addr, sizeof(addr)));
	snprintf(text, sizeof(text), "|%s " CORE_ARGUMENT, exe);
	ASSERT_EQ(0, write_pattern(text));
	pid = fork();
	if (!pid) {
		setrlimit(RLIMIT_CORE, &core);
		abort();
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	len = -1;
	if (poll(&pfd, 1, STEP_SECONDS * 1000) == 1)
		len = recv(pfd.fd, &report, sizeof(report), 0);
	ASSERT_EQ(0, write_pattern(was));
	close(pfd.fd);

	ASSERT_LT(0, pid);
	ASSERT_EQ((ssize_t)sizeof(report), len);
	EXPECT_EQ(2, report.ppid);
	EXPECT_EQ(1, report.levels);
	EXPECT_LT(1, report.caba);
	/* a worker may have ended since */
	EXPECT_TRUE(is_kernel_thread(report.caba) || kill(report.caba, 0))
		TH_LOG("its CABA is %d", report.caba);
}
