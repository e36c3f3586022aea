// SPDX-License-Identifier: GPL-2.0
/*
 * Who is meant by a number: for --signal, which is to hit nobody else, and for
 * --who, which reads one line of births instead of everything.
 *
 * Where PIDFD_GET_INFO tells the CABA by an inode number, which is never used
 * again, that is asked. Else the folder in proc of the one that NScaba names is
 * opened, and NScaba read again: if it is the same, the folder is the CABA's,
 * which has been there since before its CABD was born.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "cabatree.h"

/* How often to try again when the CABA dies meanwhile */
#define ROUNDS		20

/* As linux/pidfd.h has it, which may be older here */
struct info {
	uint64_t mask;
	uint32_t other[20];
	uint64_t caba_ino;
	uint32_t caba_tgid;
	uint32_t pad;
};

#define INFO_CABA	0x100
#define GET_INFO	_IOWR(0xff, 11, struct info)

/* More files than usual are open then. */
void raise_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* @fd: a pidfd, or a folder of proc, which is one for this call */
int send_signal(int fd, int sig)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
}

/* Zombies are there, too: their number is not free yet. */
bool is_there(int fd)
{
	return !send_signal(fd, 0) || errno == EPERM;
}

int open_pid(pid_t pid)
{
	char path[16];

	snprintf(path, sizeof(path), "%d", pid);
	return openat(proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* @dir: its folder, open since before; false when it is not @pid any more */
static bool ask(int dir, pid_t pid, struct births *births)
{
	struct info info = { .mask = INFO_CABA };
	int fd = syscall(SYS_pidfd_open, pid, 0);
	struct stat st;
	bool told;

	if (fd < 0)
		return false;
	told = is_there(dir) && !fstat(fd, &st) && !ioctl(fd, GET_INFO, &info) &&
	       (info.mask & INFO_CABA);
	close(fd);
	if (!told)
		return false;
	births->ino = st.st_ino;
	births->caba = info.caba_tgid;
	births->caba_ino = info.caba_ino;
	return true;
}

/*
 * Numbers are those of our pid namespace there: so is this proc if we have but
 * one number in it. On 32-bit machines fstat() gives half of the inode number.
 */
static bool pidfd_tells(void)
{
	static int tells = -1;
	struct births births;
	struct proc p;
	int dir;

	if (tells >= 0)
		return tells;
	tells = 0;
	dir = sizeof(long) < 8 ? -1 : open_pid(own_pid());
	if (dir >= 0 && read_proc(dir, 0, &p)) {
		tells = !p.nspid && ask(dir, p.pid, &births);
		forget(&p);
	}
	if (dir >= 0)
		close(dir);
	return tells;
}

/* False where the kernel does not tell, or @pid is gone: all is 0 then. */
bool ask_births(int dir, pid_t pid, struct births *births)
{
	*births = (struct births){};
	return pidfd_tells() && ask(dir, pid, births);
}

/*
 * The folder of the one above @p, whose own is @dir: -1 if there is none to be
 * seen. False when that one dies all the time, or @p itself did.
 */
static bool open_up(int dir, struct proc *p, int t, int *up)
{
	struct births births, above;
	struct proc again;
	bool same, told;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		told = t == BY_CABA && ask_births(dir, p->pid, &births);
		if (told)
			p->up[t] = births.caba;
		*up = p->up[t] ? open_pid(p->up[t]) : -1;
		if (told) {
			same = *up < 0 || (ask_births(*up, p->up[t], &above) &&
					   above.ino == births.caba_ino);
		} else {
			if (!read_proc(dir, 0, &again))
				break;
			same = again.up[t] == p->up[t];
			forget(p);
			*p = again;
		}
		/* Who cannot be opened may just have died. */
		if (same && (*up >= 0 || !p->up[t] || i == ROUNDS - 1))
			return true;
		if (*up >= 0)
			close(*up);
	}
	return false;
}

static bool climb(pid_t pid, int t)
{
	int dir = open_pid(pid), up;
	struct proc p;

	while (dir >= 0) {
		if (!read_proc(dir, 0, &p)) {
			close(dir);
			return false;
		}
		if (p.pid != pid) {
			/* That of a thread, which means its process */
			close(dir);
			pid = p.pid;
			forget(&p);
			dir = open_pid(pid);
			continue;
		}
		if (!open_up(dir, &p, t, &up)) {
			close(dir);
			forget(&p);
			return false;
		}
		p.fd = dir;
		keep_proc(&p);
		pid = p.up[t];
		dir = up;
	}
	return nr_procs;
}

/* Only @pid, and who is above it. False when that did not work out. */
bool read_line(pid_t pid, int t)
{
	int i;

	raise_limit();
	for (i = 0; i < ROUNDS; i++) {
		if (climb(pid, t)) {
			sort_procs();
			return true;
		}
		while (nr_procs) {
			close(procs[--nr_procs].fd);
			forget(&procs[nr_procs]);
		}
	}
	return false;
}
