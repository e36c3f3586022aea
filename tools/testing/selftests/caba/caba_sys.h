/* SPDX-License-Identifier: GPL-2.0 */
/*
 * System calls that the tests make by themselves: either the C library has no
 * wrapper, or the wrapper keeps state about processes and threads that would
 * not survive what is done here.
 */
#ifndef _SELFTESTS_CABA_SYS_H
#define _SELFTESTS_CABA_SYS_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/syscall.h>

#ifndef __NR_fsopen
#define __NR_fsopen	430
#endif
#ifndef __NR_fsconfig
#define __NR_fsconfig	431
#endif
#ifndef __NR_fsmount
#define __NR_fsmount	432
#endif
#ifndef __NR_clone3
#define __NR_clone3	435
#endif

/* struct clone_args as far as it is needed; older headers have less of it. */
struct caba_clone {
	uint64_t flags, pidfd, child_tid, parent_tid;
	uint64_t exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

/* clone3() as a fork(): the child goes on with a copy of the stack. */
static inline pid_t caba_clone3(struct caba_clone *how)
{
	/* a sibling takes its creator's signal */
	how->exit_signal = how->flags & CLONE_PARENT ? 0 : SIGCHLD;
	return syscall(__NR_clone3, how, sizeof(*how));
}

static inline pid_t caba_fork(unsigned int flags)
{
	struct caba_clone how = { .flags = flags };

	return caba_clone3(&how);
}

/*
 * Mount a new instance of a file system nowhere. A procfs is that of the pid
 * namespace the caller is in. Return: a directory's descriptor, or -errno.
 */
static inline int caba_mount(const char *type)
{
	int fd, mnt, error;

	fd = syscall(__NR_fsopen, type, 0);
	if (fd < 0)
		return -errno;
	mnt = syscall(__NR_fsconfig, fd, 6 /* FSCONFIG_CMD_CREATE */, NULL,
		      NULL, 0);
	if (!mnt)
		mnt = syscall(__NR_fsmount, fd, 0, 0);
	error = errno;
	close(fd);
	return mnt < 0 ? -error : mnt;
}

#endif /* _SELFTESTS_CABA_SYS_H */
