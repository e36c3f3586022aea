// SPDX-License-Identifier: GPL-2.0
/*
 * Random process trees through dump and restore.
 *
 * For each seed a pid namespace is filled by random fork, exit, wait, setsid,
 * setpgid and sub-reapers. Then criu dumps and restores it, some times in a
 * row, and each time it is compared with what it was: pid, ppid, pgid, sid,
 * sub-reaper flag, zombies, and NScaba where the kernel has it. From level 5 on
 * there are pid namespaces below, and numbers and namespaces are compared, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PID	 8192
#define SHM_ADDR ((void *)0x100000000000UL)
#define TIMEOUT	 60 /* seconds */
#define NR_LEN	 64

enum { CMD_NONE, CMD_FORK, CMD_EXIT, CMD_WAIT, CMD_SETSID, CMD_SETPGID, CMD_SUBREAPER, CMD_GET_SUBREAPER,
       CMD_FORK_FILES, CMD_UNSHARE_FILES, CMD_CLONE, CMD_UNSHARE_PID, CMD_SETNS, CMD_SETPGID_OF };

struct slot {
	int cmd;
	int arg;
	int arg2;
	int ret;
	int real; /* from CMD_CLONE: as /proc has it, which is not the one of the tree */
};

struct shm {
	struct slot slot[MAX_PID];
};

static struct shm *shm;

static void futex_wait(int *f, int val)
{
	struct timespec ts = { .tv_sec = 1 };

	syscall(SYS_futex, f, FUTEX_WAIT, val, &ts, NULL, 0);
}

static void futex_wake(int *f)
{
	syscall(SYS_futex, f, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void obey(int slot);

static int carry_out(int cmd, int arg, int arg2)
{
	int ret = 0, flag, fd;
	char path[64] = "";
	siginfo_t si;

	switch (cmd) {
	case CMD_FORK:
		ret = fork();
		if (!ret)
			obey(getpid());
		break;
	case CMD_FORK_FILES:
		ret = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
		if (!ret)
			obey(getpid());
		break;
	case CMD_UNSHARE_FILES:
		ret = unshare(CLONE_FILES);
		break;
	case CMD_CLONE:
		ret = syscall(SYS_clone, arg | SIGCHLD, 0, 0, 0, 0);
		if (ret)
			break;
		if (readlink("/proc/self", path, sizeof(path) - 1) > 0)
			__atomic_store_n(&shm->slot[arg2].real, atoi(path), __ATOMIC_RELEASE);
		obey(arg2);
		break;
	case CMD_UNSHARE_PID:
		ret = unshare(CLONE_NEWPID);
		break;
	case CMD_SETNS:
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", arg);
		fd = open(path, O_RDONLY);
		ret = fd < 0 ? fd : setns(fd, CLONE_NEWPID);
		if (fd >= 0)
			close(fd);
		break;
	case CMD_SETPGID_OF:
		ret = setpgid(arg, arg2);
		break;
	case CMD_EXIT:
		/* An init survives that, and exits */
		if (arg % 4 == 0)
			kill(getpid(), SIGKILL);
		_exit(100 + arg);
	case CMD_WAIT:
		/* Negative leaves the zombie */
		ret = waitid(P_PID, abs(arg), &si, WEXITED | (arg < 0 ? WNOWAIT : 0));
		break;
	case CMD_SETSID:
		ret = setsid();
		break;
	case CMD_SETPGID:
		ret = setpgid(0, arg);
		break;
	case CMD_SUBREAPER:
		ret = prctl(PR_SET_CHILD_SUBREAPER, arg, 0, 0, 0);
		break;
	case CMD_GET_SUBREAPER:
		flag = -1;
		ret = prctl(PR_GET_CHILD_SUBREAPER, &flag, 0, 0, 0) ?: flag;
		break;
	}
	return ret < 0 ? -errno : ret;
}

/* What each process of the tree does */
static void obey(int slot)
{
	struct slot *me = &shm->slot[slot];
	int cmd;

	while (1) {
		cmd = __atomic_load_n(&me->cmd, __ATOMIC_ACQUIRE);
		if (cmd == CMD_NONE) {
			futex_wait(&me->cmd, CMD_NONE);
			continue;
		}
		me->ret = carry_out(cmd, me->arg, me->arg2);
		__atomic_store_n(&me->cmd, CMD_NONE, __ATOMIC_RELEASE);
		futex_wake(&me->cmd);
	}
}

/* Of the processes in the tree, by their pid there */
struct proc {
	bool exists;
	bool zombie;
	int end; /* of a zombie, as it is in stat, and 1 more; 0 if not known */
	int ppid;
	int pgid;
	int sid;
	int caba; /* -1 if the kernel does not tell */
	int subreaper;
	int real;

	/* Where there are pid namespaces below the root's */
	char nums[NR_LEN], sids[NR_LEN], pgids[NR_LEN]; /* from the root's down */
	unsigned long ns_ino, child_ino;
	int ns;	     /* pid of its init */
	int next_ns; /* the same for pid_for_children, -1 if it is dead, -2 if it is empty */
};

struct tree {
	struct proc p[MAX_PID];
	int last;
};

/* Each process of the tree would have a copy of it, two megabytes to be dumped */
static struct tree *new_tree(void)
{
	struct tree *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (t == MAP_FAILED || madvise(t, sizeof(*t), MADV_DONTFORK)) {
		perror("caba_tree: mmap");
		exit(1);
	}
	return t;
}

static char why[512];

static int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return -1;
}

/* Who gives the commands, if it is in the tree itself */
static int self;

/* By pid, where that is not the slot's number itself */
static int slot_of[MAX_PID];

static int command2(int pid, int cmd, int arg, int arg2)
{
	struct slot *s = &shm->slot[slot_of[pid] ?: pid];
	time_t end = time(NULL) + TIMEOUT;

	if (pid == self)
		return carry_out(cmd, arg, arg2);

	s->arg = arg;
	s->arg2 = arg2;
	__atomic_store_n(&s->cmd, cmd, __ATOMIC_RELEASE);
	futex_wake(&s->cmd);
	if (cmd == CMD_EXIT)
		return 0;

	while (__atomic_load_n(&s->cmd, __ATOMIC_ACQUIRE) != CMD_NONE) {
		futex_wait(&s->cmd, cmd);
		if (time(NULL) > end)
			return fail("process %d does not react", pid), -ETIMEDOUT;
	}
	return s->ret;
}

static int command(int pid, int cmd, int arg)
{
	return command2(pid, cmd, arg, 0);
}

/*
 * The tree as it should be by what was done to it. The real one is compared
 * with it before the first dump, so a mistake here is not one of criu.
 */
static unsigned long long rnd_state;

static unsigned int rnd(unsigned int n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rnd_state >> 33) % n;
}

static int nr_procs(struct tree *t)
{
	int i, nr = 0;

	for (i = 1; i <= t->last; i++)
		nr += t->p[i].exists;
	return nr;
}

static int pick_alive(struct tree *t)
{
	int pid;

	do
		pid = rnd(t->last) + 1;
	while (!t->p[pid].exists || t->p[pid].zombie);
	return pid;
}

static bool has_children(struct tree *t, int pid)
{
	int i;

	for (i = 1; i <= t->last; i++)
		if (t->p[i].exists && t->p[i].ppid == pid)
			return true;
	return false;
}

static int do_fork(struct tree *t, int pid, int cmd)
{
	int child = command(pid, cmd, 0);

	if (child <= 0 || child >= MAX_PID)
		return fail("fork of %d: %d", pid, child);
	t->p[child] = (struct proc){
		.exists = true, .ppid = pid, .caba = pid, .pgid = t->p[pid].pgid, .sid = t->p[pid].sid
	};
	if (child > t->last)
		t->last = child;
	return 0;
}

static int do_exit(struct tree *t, int pid, bool reap)
{
	int parent = t->p[pid].ppid, reaper, i, ret;

	command(pid, CMD_EXIT, rnd(100));
	ret = command(parent, CMD_WAIT, reap ? pid : -pid);
	if (ret)
		return fail("wait of %d for %d: %d", parent, pid, ret);
	/* It can't say so itself, and the next one with this pid shall not see it */
	shm->slot[pid].cmd = CMD_NONE;

	for (reaper = parent; reaper != 1 && !t->p[reaper].subreaper; reaper = t->p[reaper].ppid)
		;
	for (i = 1; i <= t->last; i++) {
		if (!t->p[i].exists)
			continue;
		if (t->p[i].ppid == pid)
			t->p[i].ppid = reaper;
		if (t->p[i].caba == pid)
			t->p[i].caba = t->p[pid].caba;
	}
	if (reap)
		t->p[pid].exists = false;
	t->p[pid].zombie = true;
	t->p[pid].subreaper = 0;
	return 0;
}

static int random_tree(struct tree *t, unsigned int seed, int level, int min, int max)
{
	int nr, steps, pid, ret, tries;

	rnd_state = seed * 2654435761ULL + level;
	nr = min + rnd(max - min + 1);
	steps = 4 * nr;

	memset(t, 0, sizeof(*t));
	t->last = 1;
	t->p[1] = (struct proc){ .exists = true, .pgid = 1, .sid = 1 };

	while (steps-- > 0 || nr_procs(t) < nr) {
		int op = rnd(100);

		pid = pick_alive(t);
		ret = 0;

		if (op < 45) {
			if (nr_procs(t) < nr)
				ret = do_fork(t, pid, CMD_FORK);
		} else if (op < 70) {
			if (pid != 1)
				ret = do_exit(t, pid, rnd(4));
		} else if (op < 82) {
			if (command(pid, CMD_SETSID, 0) == pid)
				t->p[pid].sid = t->p[pid].pgid = pid;
		} else if (op < 91) {
			if (level < 2 || pid == 1)
				continue;
			if (level == 2 && (has_children(t, pid) || t->p[pid].subreaper))
				continue;
			if (!command(pid, CMD_SUBREAPER, !t->p[pid].subreaper))
				t->p[pid].subreaper = !t->p[pid].subreaper;
		} else {
			int pgid = pid;

			if (level < 4)
				continue;
			/* Join somebody of the same session, or make an own group */
			for (tries = 0; tries < 8 && pgid == pid; tries++) {
				int other = pick_alive(t);

				if (t->p[other].sid == t->p[pid].sid)
					pgid = t->p[other].pgid;
			}
			if (!rnd(3))
				pgid = pid;
			if (!command(pid, CMD_SETPGID, pgid))
				t->p[pid].pgid = pgid;
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* The classical shapes, by name */
static int scenario_tree(struct tree *t, const char *name)
{
	int steps[64][3], nr = 0, i, ret = 0;

	int pids[64], nr_pids = 1;

	/*
	 * Columns: pid, what it does, argument. Pids are given out in order, but
	 * a container's runtime may have taken some of them before us.
	 */
#define STEP(p, c, a) (steps[nr][0] = (p), steps[nr][1] = (c), steps[nr++][2] = (a))
	if (!strcmp(name, "tricky")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SETSID, 0), STEP(2, CMD_FORK, 0); /* 3 */
		STEP(3, CMD_FORK, 0);						    /* 4 */
		STEP(4, CMD_FORK, 0);						    /* 5 */
		STEP(4, CMD_SETSID, 0), STEP(4, CMD_FORK, 0);			    /* 6 */
		STEP(6, CMD_FORK, 0);						    /* 7 */
		STEP(2, CMD_SUBREAPER, 1), STEP(6, CMD_EXIT, 1);
		STEP(2, CMD_SUBREAPER, 0), STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "subreaper-before")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1), STEP(2, CMD_SETSID, 0);
		STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0), STEP(4, CMD_FORK, 0);
		STEP(3, CMD_EXIT, 1), STEP(4, CMD_EXIT, 1);
	} else if (!strcmp(name, "subreaper-after")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0);
		STEP(4, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1), STEP(4, CMD_EXIT, 1), STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "subreaper-reset")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_FORK, 0), STEP(4, CMD_SETSID, 0);
		STEP(4, CMD_FORK, 0), STEP(4, CMD_FORK, 0), STEP(5, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1);
		STEP(5, CMD_EXIT, 1), STEP(2, CMD_SUBREAPER, 0), STEP(4, CMD_EXIT, 1), STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "orphan-chain")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0);
		STEP(4, CMD_FORK, 0), STEP(5, CMD_FORK, 0), STEP(6, CMD_FORK, 0);
		STEP(4, CMD_EXIT, 1), STEP(6, CMD_EXIT, 1), STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "dead-leader")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0);
		STEP(3, CMD_FORK, 0), STEP(3, CMD_FORK, 0), STEP(4, CMD_FORK, 0), STEP(4, CMD_SETSID, 0);
		STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "setsid-after-fork")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SETSID, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_FORK, 0);
		STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0), STEP(5, CMD_FORK, 0), STEP(5, CMD_SETSID, 0);
		STEP(5, CMD_FORK, 0), STEP(3, CMD_EXIT, 1);
	} else if (!strcmp(name, "zombies")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0);
		STEP(3, CMD_FORK, 0), STEP(4, CMD_FORK, 0), STEP(5, CMD_EXIT, 0), STEP(3, CMD_EXIT, 0);
		STEP(2, CMD_FORK, 0), STEP(7, CMD_SETSID, 0), STEP(7, CMD_FORK, 0), STEP(7, CMD_EXIT, 0);
	} else if (!strcmp(name, "dead-group-leader")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SETSID, 0), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETPGID, 3);
		STEP(3, CMD_FORK, 0), STEP(3, CMD_FORK, 0), STEP(2, CMD_FORK, 0), STEP(6, CMD_SETPGID, 3);
		STEP(3, CMD_EXIT, 1), STEP(2, CMD_FORK, 0), STEP(7, CMD_SETPGID, 7), STEP(7, CMD_FORK, 0);
		STEP(7, CMD_EXIT, 0);
	} else if (!strcmp(name, "left-groups")) {
		/* 3 and 4 make a group each, then join each other's; 5 and 6 stay where they were born */
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SETSID, 0), STEP(2, CMD_FORK, 0), STEP(2, CMD_FORK, 0);
		STEP(3, CMD_SETPGID, 3), STEP(3, CMD_FORK, 0), STEP(4, CMD_SETPGID, 4), STEP(4, CMD_FORK, 0);
		STEP(3, CMD_SETPGID, 4), STEP(4, CMD_SETPGID, 3), STEP(5, CMD_EXIT, 1), STEP(6, CMD_EXIT, 0);
		/* 7 has left its group, which 8 is in, for the one of the session; and is a zombie */
		STEP(2, CMD_FORK, 0), STEP(7, CMD_SETPGID, 7), STEP(7, CMD_FORK, 0), STEP(7, CMD_SETPGID, 2);
		STEP(7, CMD_EXIT, 0);
	} else if (!strcmp(name, "daemon")) {
		/* 2, a sub-reaper, gets 5, a daemon of the shell 3 in the session of 4, which is gone, and 7, a lost job */
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1), STEP(2, CMD_FORK, 0), STEP(3, CMD_SETSID, 0);
		STEP(3, CMD_FORK, 0), STEP(4, CMD_SETSID, 0), STEP(4, CMD_FORK, 0), STEP(4, CMD_EXIT, 1);
		STEP(3, CMD_FORK, 0), STEP(6, CMD_FORK, 0), STEP(6, CMD_EXIT, 1);
	} else if (!strcmp(name, "plain")) {
		/* Needs no births */
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SETSID, 0), STEP(2, CMD_FORK, 0), STEP(1, CMD_FORK, 0);
	} else if (!strcmp(name, "shared-files")) {
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1), STEP(2, CMD_FORK_FILES, 0);
		STEP(3, CMD_FORK_FILES, 0), STEP(4, CMD_FORK_FILES, 0), STEP(4, CMD_EXIT, 1);
		STEP(3, CMD_SETSID, 0), STEP(3, CMD_FORK, 0);
	} else if (!strcmp(name, "unshared-files")) {
		/* 5 shares files with its parent 2, but not with 3, which it was born by */
		STEP(1, CMD_FORK, 0), STEP(2, CMD_SUBREAPER, 1), STEP(2, CMD_FORK_FILES, 0);
		STEP(3, CMD_FORK_FILES, 0), STEP(4, CMD_FORK_FILES, 0), STEP(4, CMD_EXIT, 1);
		STEP(3, CMD_UNSHARE_FILES, 0);
	} else {
		fprintf(stderr, "No scenario %s\n", name);
		exit(2);
	}

	memset(t, 0, sizeof(*t));
	t->last = 1;
	t->p[1] = (struct proc){ .exists = true, .pgid = 1, .sid = 1 };

	pids[1] = 1;
	for (i = 0; i < nr && !ret; i++) {
		int pid = pids[steps[i][0]], arg = steps[i][2];

		switch (steps[i][1]) {
		case CMD_FORK:
		case CMD_FORK_FILES:
			ret = do_fork(t, pid, steps[i][1]);
			pids[++nr_pids] = t->last;
			break;
		case CMD_UNSHARE_FILES:
			ret = command(pid, CMD_UNSHARE_FILES, 0);
			break;
		case CMD_EXIT:
			ret = do_exit(t, pid, arg);
			break;
		case CMD_SETSID:
			ret = command(pid, CMD_SETSID, 0) == pid ? 0 : fail("setsid of %d", pid);
			t->p[pid].sid = t->p[pid].pgid = pid;
			break;
		case CMD_SETPGID:
			arg = pids[arg];
			ret = command(pid, CMD_SETPGID, arg);
			t->p[pid].pgid = arg;
			break;
		case CMD_SUBREAPER:
			ret = command(pid, CMD_SUBREAPER, arg);
			t->p[pid].subreaper = arg;
			break;
		}
	}
	return ret ? fail("step %d of %s: %d", i, name, ret) : 0;
}

/* n processes: a root, some daemons whose children are orphans, sessions */
static int big_tree(struct tree *t, int n)
{
	int i, pid;

	memset(t, 0, sizeof(*t));
	t->last = 1;
	t->p[1] = (struct proc){ .exists = true, .pgid = 1, .sid = 1 };

	while (nr_procs(t) < n) {
		/* Like shells and their jobs: a leader with nine children */
		if (do_fork(t, 1, CMD_FORK))
			return -1;
		pid = t->last;
		if (command(pid, CMD_SETSID, 0) != pid)
			return fail("setsid of %d", pid);
		t->p[pid].sid = t->p[pid].pgid = pid;
		for (i = 0; i < 9 && nr_procs(t) < n; i++)
			if (do_fork(t, pid, CMD_FORK))
				return -1;
	}
	return 0;
}

/*
 * Reality
 */
static bool nested;
static int above; /* levels from ours down to the root's */

/* The numbers from the root's level down */
static char *numbers(char *line)
{
	int n;

	for (n = 0; n <= above && line; n++)
		line = strchr(line + !!n, '\t');
	return line ? line + 1 : line;
}

static unsigned long ns_ino(int real, const char *name)
{
	char path[64], link[64] = "";
	unsigned long ino = 0;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", real, name);
	if (readlink(path, link, sizeof(link) - 1) > 0)
		sscanf(link, "pid:[%lu]", &ino);
	return ino;
}

/* Without the flag of a core dump, which a restore does not make */
static int end_of(int real)
{
	char path[64], buf[1024], *last;
	int fd, len;

	snprintf(path, sizeof(path), "/proc/%d/stat", real);
	fd = open(path, O_RDONLY);
	len = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	buf[len] = 0;
	last = strrchr(buf, ' ');
	return last ? (atoi(last) & ~0x80) + 1 : 0;
}

static int read_proc(int real, struct proc *p, int *pid)
{
	char path[64], buf[8192], *line, *last, *save;
	int fd, len;

	snprintf(path, sizeof(path), "/proc/%d/status", real);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	len = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (len <= 0)
		return -1;
	buf[len] = 0;

	memset(p, 0, sizeof(*p));
	p->exists = true;
	p->real = real;
	p->caba = -1;
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		last = strrchr(line, '\t');
		/* A CABA may be above */
		if (nested && !strncmp(line, "NS", 2) && strncmp(line, "NScaba", 6))
			last = numbers(line);
		if (!last)
			continue;
		if (!strncmp(line, "State:", 6))
			p->zombie = line[7] == 'Z' || line[7] == 'X';
		else if (!strncmp(line, "PPid:", 5))
			p->ppid = atoi(line + 5);
		else if (!strncmp(line, "NSpid:", 6))
			*pid = atoi(last), snprintf(p->nums, NR_LEN, "%s", last);
		else if (!strncmp(line, "NSpgid:", 7))
			p->pgid = atoi(last), snprintf(p->pgids, NR_LEN, "%s", last);
		else if (!strncmp(line, "NSsid:", 6))
			p->sid = atoi(last), snprintf(p->sids, NR_LEN, "%s", last);
		else if (!strncmp(line, "NScaba:", 7))
			p->caba = atoi(line + 7);
	}
	if (p->zombie)
		p->end = end_of(real);
	if (nested) {
		p->ns_ino = ns_ino(real, "pid");
		p->child_ino = p->zombie ? p->ns_ino : ns_ino(real, "pid_for_children");
	}
	return 0;
}

struct real_list {
	int real[MAX_PID];
	int pid[MAX_PID];
	int nr;
};

static int list_tree(int real, struct tree *t, struct real_list *l)
{
	char path[64], *buf = NULL, *s, *end;
	size_t size = 0;
	struct proc p;
	FILE *f;
	int pid = 0;

	if (read_proc(real, &p, &pid))
		return fail("can't read /proc/%d/status", real);
	if (pid <= 0 || pid >= MAX_PID)
		return fail("pid %d is out of range", pid);
	t->p[pid] = p;
	if (pid > t->last)
		t->last = pid;
	l->real[l->nr] = real;
	l->pid[l->nr++] = pid;

	/* Zombies have none */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", real, real);
	f = fopen(path, "r");
	if (!f)
		return fail("no %s", path);
	if (getline(&buf, &size, f) < 0)
		size = 0;
	fclose(f);
	for (s = buf; size && s; s = end) {
		int child = strtol(s, &end, 10);

		if (end == s)
			break;
		if (list_tree(child, t, l))
			return -1;
	}
	free(buf);
	return 0;
}

static int to_pid(struct real_list *l, int real)
{
	int i;

	for (i = 0; i < l->nr; i++)
		if (l->real[i] == real)
			return l->pid[i];
	return 0;
}

static bool is_init(struct proc *p)
{
	char *last = strrchr(p->nums, '\t');

	return last ? !strcmp(last, "\t1") : !strcmp(p->nums, "1");
}

static int init_of(struct tree *t, unsigned long ino)
{
	int i;

	for (i = 1; i <= t->last; i++)
		if (t->p[i].exists && t->p[i].ns_ino == ino && is_init(&t->p[i]))
			return i;
	return -1;
}

/* All that can be seen of a tree, with the pids of its namespace */
static int scan(int root, struct tree *t)
{
	static struct real_list l;
	char first[NR_LEN];
	struct proc p;
	int i, pid;

	memset(t, 0, sizeof(*t));
	l.nr = 0;
	if (nested) {
		above = 0;
		if (read_proc(root, &p, &pid))
			return fail("no root");
		snprintf(first, sizeof(first), "%s", p.nums);
		for (i = 0; first[i]; i++)
			above += first[i] == '\t';
	}
	if (list_tree(root, t, &l))
		return -1;
	for (i = 1; i <= t->last && nested; i++) {
		struct proc *q = &t->p[i];

		if (!q->exists)
			continue;
		q->ns = init_of(t, q->ns_ino);
		if (!q->child_ino)
			q->next_ns = -2;
		else
			q->next_ns = q->child_ino == q->ns_ino ? 0 : init_of(t, q->child_ino);
	}

	for (i = 1; i <= t->last; i++) {
		struct proc *p = &t->p[i];

		if (!p->exists)
			continue;
		p->ppid = i == 1 ? 0 : to_pid(&l, p->ppid);
		if (p->caba != -1)
			p->caba = i == 1 ? 0 : to_pid(&l, p->caba);
	}
	return 0;
}

static int look(int root, struct tree *t)
{
	int i;

	if (scan(root, t))
		return -1;

	for (i = 1; i <= t->last; i++) {
		struct proc *p = &t->p[i];

		if (p->exists && !p->zombie) {
			p->subreaper = command(i, CMD_GET_SUBREAPER, 0);
			if (p->subreaper < 0)
				return -1;
		}
	}
	return 0;
}

static int compare(struct tree *a, struct tree *b)
{
	int i, last = a->last > b->last ? a->last : b->last;

	for (i = 1; i <= last; i++) {
		struct proc *x = &a->p[i], *y = &b->p[i];

		if (x->exists != y->exists)
			return fail("%d is %s", i, x->exists ? "missing" : "new");
		if (!x->exists)
			continue;
#define SAME(f)                                                                        \
	if (x->f != y->f)                                                              \
	return fail("%d has " #f " %d, not %d", i, y->f, x->f)
		SAME(zombie);
		if (x->end && y->end)
			SAME(end);
		SAME(ppid);
		SAME(pgid);
		SAME(sid);
		SAME(subreaper);
		if (x->caba != -1 && y->caba != -1)
			SAME(caba);
		SAME(ns);
		SAME(next_ns);
		if (nested && (strcmp(x->nums, y->nums) || strcmp(x->sids, y->sids) || strcmp(x->pgids, y->pgids)))
			return fail("%d has numbers %s, session %s, group %s, not %s, %s, %s", i, y->nums, y->sids,
				    y->pgids, x->nums, x->sids, x->pgids);
	}
	return 0;
}

static void print_tree(struct tree *t)
{
	int i;

	printf("%6s%6s%6s%6s%6s\n", "pid", "ppid", "pgid", "sid", "caba");
	for (i = 1; i <= t->last; i++) {
		struct proc *p = &t->p[i];

		if (p->exists)
			printf("%6d%6d%6d%6d%6d%s%s%s%s\n", i, p->ppid, p->pgid, p->sid, p->caba,
			       p->subreaper ? " sub-reaper" : "", p->zombie ? " zombie" : "",
			       nested ? "  " : "", nested ? p->nums : "");
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* What criu has left behind: we are a sub-reaper, so it is ours */
static void kill_left(void)
{
	char path[64];
	int pid;
	FILE *f;

	do {
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
		f = fopen(path, "r");
		if (!f)
			return;
		while (fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		fclose(f);
	} while (waitpid(-1, NULL, 0) > 0);
}

static int limit = 600;

static int run(char **argv)
{
	double end = now() + limit;
	int pid, status, ret;

	pid = fork();
	if (!pid) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		return -1;

	while (!(ret = waitpid(pid, &status, WNOHANG)) && now() < end)
		usleep(5000);
	if (!ret) {
		fprintf(stderr, "%s %s does not end, killed\n", argv[0], argv[1]);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (ret < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int start_ns(void *arg)
{
	int fd;

	(void)arg;
	if (setsid() < 0)
		_exit(1);
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0), dup2(fd, 1), dup2(fd, 2);
	syscall(SYS_close_range, 3, ~0U, 0);
	obey(1);
	return 0;
}

/*
 * Trees with pid namespaces below the root's. There is no model of these here:
 * what has come of the history is read from /proc.
 */
static int nr_slots;

static int levels_of(struct proc *p)
{
	int n = 1, i;

	for (i = 0; p->nums[i]; i++)
		n += p->nums[i] == '\t';
	return n;
}

/* The number of @p in the namespace of @in, which is not below it */
static int number_in(struct proc *p, struct proc *in)
{
	char *s = p->nums;
	int n;

	for (n = levels_of(in); n > 1 && s; n--) {
		s = strchr(s, '\t');
		s = s ? s + 1 : s;
	}
	return s ? atoi(s) : 0;
}

/* Somebody new has a slot, and tells which process it is */
static int learn_pid(int slot)
{
	int *real = &shm->slot[slot].real, tries, pid = 0;
	struct proc p;

	for (tries = 0; !__atomic_load_n(real, __ATOMIC_ACQUIRE); tries++) {
		if (tries > 5000)
			return fail("a new process does not start");
		usleep(1000);
	}
	if (read_proc(*real, &p, &pid) || pid <= 0 || pid >= MAX_PID)
		return fail("new process %d", *real);
	slot_of[pid] = slot;
	return pid;
}

static int new_slot(void)
{
	memset(&shm->slot[++nr_slots], 0, sizeof(shm->slot[0]));
	return nr_slots;
}

static int do_clone(int pid, int flags)
{
	int slot = new_slot(), ret;

	ret = command2(pid, CMD_CLONE, flags, slot);
	return ret < 0 ? 0 : learn_pid(slot);
}

/* From outside: who enters does setsid() and forks; what stays is an orphan */
static int put_in(struct tree *t, int init)
{
	int slot = new_slot(), real = t->p[init].real, enter, pid, child, fd;

	enter = fork();
	if (!enter) {
		if (carry_out(CMD_SETNS, real, 0))
			_exit(1);
		fd = open("/dev/null", O_RDWR);
		dup2(fd, 0), dup2(fd, 1), dup2(fd, 2);
		syscall(SYS_close_range, 3, ~0U, 0);
		if (carry_out(CMD_CLONE, 0, slot) < 0)
			_exit(1);
		waitpid(-1, NULL, 0);
		_exit(0);
	}
	pid = learn_pid(slot);
	if (pid < 0)
		return -1;
	command(pid, CMD_SETSID, 0);
	child = do_clone(pid, 0);
	if (child > 0 && rnd(2))
		command(child, CMD_SETSID, 0);
	if (rnd(2))
		do_clone(pid, 0);
	command(pid, CMD_EXIT, 0);
	waitpid(enter, NULL, 0);
	return child < 0 ? -1 : 0;
}

/* An init in a group that a dead process of its own namespace has led could not die */
static void leave_dead_groups(struct tree *t)
{
	int i;

	for (i = 2; i <= t->last; i++) {
		struct proc *p = &t->p[i];

		if (p->exists && !p->zombie && is_init(p) && p->sid != i && !t->p[p->pgid].exists)
			command2(i, CMD_SETPGID_OF, 0, 0);
	}
}

static int reap(struct tree *t, int pid, bool leave)
{
	struct proc *p = &t->p[pid], *parent = &t->p[p->ppid];
	int nr = number_in(p, parent);

	return command(p->ppid, CMD_WAIT, leave ? -nr : nr);
}

static int die(int root, struct tree *t, int pid, bool leave)
{
	int level = levels_of(&t->p[pid]), tries, i, ret;
	bool init = is_init(&t->p[pid]);

	if (init)
		leave_dead_groups(t);
	command(pid, CMD_EXIT, rnd(100));

	/* What it takes with it may have parents or groups outside */
	for (tries = 0; init; tries++) {
		if (tries > 300)
			return fail("init %d does not die", pid);
		usleep(2000);
		if (scan(root, t))
			continue;
		if (t->p[pid].zombie || !t->p[pid].exists)
			break;
		for (i = 2; i <= t->last; i++) {
			struct proc *p = &t->p[i];

			if (!p->exists || i == pid)
				continue;
			if (p->zombie && levels_of(p) >= level && !t->p[p->ppid].zombie && p->ppid != pid)
				reap(t, i, false);
			else if (tries > 20 && !p->zombie && levels_of(p) < level && p->sid != i)
				command2(i, CMD_SETPGID_OF, 0, 0);
		}
	}
	if (init && !t->p[pid].exists)
		return 0;
	ret = reap(t, pid, leave);
	return ret ? fail("wait for %d: %d", pid, ret) : 0;
}

static int nested_tree(int root, struct tree *t, unsigned int seed, int level, int min, int max)
{
	int depth = (level < 7 ? level : 7) - 2, nr, steps, pid, other, ret;

	rnd_state = seed * 2654435761ULL + level;
	nr = min + rnd(max - min + 1);
	steps = 3 * nr;
	memset(slot_of, 0, sizeof(slot_of));
	slot_of[1] = nr_slots = 1;

	while (1) {
		int op = rnd(100), have;
		struct proc *p, *o;

		if (scan(root, t))
			return -1;
		have = nr_procs(t);
		if (steps-- <= 0 && have >= nr)
			break;
		if (steps < -10 * nr)
			return fail("the tree does not grow");
		pid = pick_alive(t);
		other = pick_alive(t);
		p = &t->p[pid];
		o = &t->p[other];
		ret = 0;

		if (op < 40) {
			if (have < nr)
				ret = do_clone(pid, 0);
		} else if (op < 50) {
			if (have < nr && levels_of(p) < depth)
				ret = do_clone(pid, CLONE_NEWPID);
		} else if (op < 65) {
			if (pid != 1 && (!is_init(p) || !rnd(5)))
				ret = die(root, t, pid, !rnd(4));
		} else if (op < 73) {
			command(pid, CMD_SETSID, 0);
		} else if (op < 80) {
			command(pid, CMD_SUBREAPER, rnd(10) < 6);
		} else if (op < 85) {
			/* Numbers that are not seen are refused */
			command2(pid, CMD_SETPGID_OF, 0, rnd(2) || !t->p[o->pgid].exists ? 0 : number_in(&t->p[o->pgid], p));
		} else if (level < 6) {
			continue;
		} else if (op < 89) {
			if (have < nr)
				ret = put_in(t, o->ns);
		} else if (op < 93) {
			command(pid, CMD_SETNS, rnd(3) ? o->real : p->real);
		} else if (level < 7) {
			continue;
		} else if (op < 96) {
			if (have < nr && pid != 1)
				ret = do_clone(pid, CLONE_PARENT | (levels_of(p) < depth && !rnd(5) ? CLONE_NEWPID : 0));
		} else if (op < 99) {
			if (o->ppid)
				command2(o->ppid, CMD_SETPGID_OF, number_in(o, &t->p[o->ppid]),
					 rnd(2) || !t->p[p->pgid].exists ? 0 : number_in(&t->p[p->pgid], &t->p[o->ppid]));
		} else if (levels_of(p) < depth) {
			command(pid, CMD_UNSHARE_PID, 0);
		}
		if (ret < 0)
			return ret;
	}
	leave_dead_groups(t);
	return 0;
}

/* The shared memory of a restored tree is another one */
static int map_shm(int root)
{
	char path[128];
	int fd;

	munmap(SHM_ADDR, sizeof(*shm));
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", root, (unsigned long)SHM_ADDR,
		 (unsigned long)SHM_ADDR + ((sizeof(*shm) + 4095) & ~4095UL));
	fd = open(path, O_RDWR);
	if (fd < 0)
		return fail("%s: %s", path, strerror(errno));
	shm = mmap(SHM_ADDR, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	return shm == MAP_FAILED ? fail("mmap") : 0;
}

static const char *criu = "criu", *dir = "/tmp/caba_tree", *scenario;
static int iters = 1, level = 1, min_procs = 20, max_procs = 40, big;
static bool verbose, keep;

static double t_dump, t_restore;

/* The first error that criu has written */
static void add_error(const char *dir, const char *log)
{
	char path[400], line[512], *s;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, log);
	f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		s = strstr(line, "Error (");
		if (!s)
			continue;
		s[strcspn(s, "\n")] = 0;
		snprintf(why + strlen(why), sizeof(why) - strlen(why), ": %s", s);
		break;
	}
	fclose(f);
}

static int read_pidfile(const char *path)
{
	FILE *f = fopen(path, "r");
	int pid = 0;

	if (f) {
		if (fscanf(f, "%d", &pid) != 1)
			pid = 0;
		fclose(f);
	}
	return pid;
}

static void kill_tree(int root)
{
	int status;

	if (root <= 0)
		return;
	kill(root, SIGKILL);
	waitpid(root, &status, 0);
}

/* Logs take a fifth of the time */
static const char *log_level(void)
{
	return keep || verbose ? "-v4" : "-v1";
}

enum { SAME, REFUSED, LOST, WRONG, BROKEN, NR_RESULTS };
static const char *result_name[] = { "same", "refused", "lost", "wrong", "broken" };

static int one_seed(unsigned int seed)
{
	static struct tree *model, *before, *after;
	static char stack[65536] __attribute__((aligned(16)));
	char d[256], img[300], pidfile[300], s_pid[16];
	int root, it, ret = BROKEN;
	double t;

	if (!model)
		model = new_tree(), before = new_tree(), after = new_tree();
	why[0] = 0;
	snprintf(d, sizeof(d), "%s/%u", dir, seed);
	mkdir(dir, 0700);
	run((char *[]){ "rm", "-rf", d, NULL });
	mkdir(d, 0700);
	if (chdir(d))
		return fail("chdir %s", d), BROKEN;

	munmap(SHM_ADDR, sizeof(*shm));
	shm = mmap(SHM_ADDR, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		   -1, 0);
	if (shm != SHM_ADDR)
		return fail("mmap"), BROKEN;

	root = clone(start_ns, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, NULL);
	if (root < 0)
		return fail("clone: %s", strerror(errno)), BROKEN;

	if (big)
		it = big_tree(model, big);
	else if (nested)
		it = nested_tree(root, model, seed, level, min_procs, max_procs);
	else
		it = scenario ? scenario_tree(model, scenario) : random_tree(model, seed, level, min_procs, max_procs);
	if (it || look(root, before))
		goto out;
	if (verbose)
		print_tree(before);
	if (!nested && compare(model, before)) {
		fail("before the dump: %s", strdup(why));
		goto out;
	}

	for (it = 1; it <= iters; it++) {
		snprintf(img, sizeof(img), "%s/%d", d, it);
		snprintf(pidfile, sizeof(pidfile), "%s/pid%d", d, it);
		snprintf(s_pid, sizeof(s_pid), "%d", root);
		mkdir(img, 0700);

		t = now();
		ret = run((char *[]){ (char *)criu, "dump", "-D", img, "-o", "dump.log", (char *)log_level(), "-t", s_pid,
				      "--timeout", "600", NULL });
		t_dump += now() - t;
		if (ret) {
			/* Then everything has to be as it was */
			ret = REFUSED;
			fail("dump %d", it);
			add_error(img, "dump.log");
			if (look(root, after) || compare(before, after))
				ret = BROKEN;
			goto out;
		}
		waitpid(root, NULL, 0);
		root = 0;

		t = now();
		ret = run((char *[]){ (char *)criu, "restore", "-D", img, "-o", "restore.log", (char *)log_level(), "-d", "--pidfile",
				      pidfile, NULL });
		t_restore += now() - t;
		if (ret) {
			fail("restore %d", it);
			add_error(img, "restore.log");
			kill_left();
			ret = LOST;
			goto out;
		}

		root = read_pidfile(pidfile);
		ret = WRONG;
		if (root <= 0 || map_shm(root) || look(root, after))
			goto out;
		if (verbose)
			print_tree(after);
		if (compare(before, after))
			goto out;
	}
	ret = SAME;
out:
	kill_tree(root);
	if (!chdir("/") && !keep && ret == SAME)
		run((char *[]){ "rm", "-rf", d, NULL });
	return ret;
}

/*
 * As the init of a container: the tree of a scenario, and a counter that has to
 * go on. It is in the state file, with a word that no other run has and the
 * sub-reapers, and is sent to whoever connects.
 */
static int listen_on(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int sk, one = 1;

	sk = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (sk < 0 || setsockopt(sk, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(sk, (struct sockaddr *)&addr, sizeof(addr)) || listen(sk, 4))
		return fail("port %d: %s", port, strerror(errno));
	return sk;
}

static int be_init(const char *state, int port, int fill)
{
	struct tree *model = new_tree(), *seen = new_tree();
	char line[256], subreapers[128] = "";
	int fd, sk = -1, client = -1, len, i;
	unsigned long long word = 0, count;
	size_t size = (size_t)fill << 20;
	char *memory;

	self = getpid();
	syscall(SYS_close_range, 3, ~0U, 0);
	fd = open(state, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || (scenario && (self != 1 || (getsid(0) != 1 && setsid() != 1)))) {
		fprintf(stderr, "%s: %s, pid %d\n", state, strerror(errno), self);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	shm = mmap(SHM_ADDR, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		   -1, 0);
	if (shm != SHM_ADDR)
		return 1;
	if (scenario && (scenario_tree(model, scenario) || look(1, seen) || compare(model, seen))) {
		dprintf(fd, "failed: %s\n", why);
		return 1;
	}
	if (port) {
		sk = listen_on(port);
		if (sk < 0) {
			dprintf(fd, "failed: %s\n", why);
			return 1;
		}
	}
	/* Nobody else's: pages that are not all the same */
	memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || getrandom(&word, sizeof(word), 0) != sizeof(word))
		return 1;
	for (i = 0; i < fill * 256; i++)
		*(unsigned long long *)(memory + (size_t)i * 4096) = word + i;

	for (count = 1;; count++) {
		if (count % 64 == 1)
			for (i = 1, len = 0; scenario && i <= model->last; i++)
				if (model->p[i].exists && !model->p[i].zombie && command(i, CMD_GET_SUBREAPER, 0) == 1)
					len += snprintf(subreapers + len, sizeof(subreapers) - len, " %d", i);
		for (i = 0; i < fill * 256; i++)
			if (*(unsigned long long *)(memory + (size_t)i * 4096) != word + i)
				return 1;
		len = snprintf(line, sizeof(line), "%016llx %012llu%s\n", word, count, subreapers);
		if (pwrite(fd, line, len, 0) != len)
			return 1;
		if (sk >= 0) {
			if (client < 0)
				client = accept4(sk, NULL, NULL, SOCK_NONBLOCK);
			if (client >= 0 && send(client, line, len, 0) < 0 && errno != EAGAIN)
				close(client), client = -1;
		}
		usleep(10000);
	}
}

static void usage(void)
{
	printf("Usage: caba_tree [--criu FILE] [--dir DIR] [--seeds FIRST-LAST] [--level 1..7] [--iters N]\n"
	       "                 [--procs MIN-MAX] [--scenario NAME] [--big N] [--limit SECONDS] [--verbose] [--keep]\n"
	       "Levels: 1 fork, exit, wait, setsid; 2 also sub-reapers, set before they have children;\n"
	       "        3 sub-reapers set and cleared at any time; 4 also setpgid;\n"
	       "        5 pid namespaces below; 6 entered from inside and, with even seeds, from outside; 7 also\n"
	       "        CLONE_PARENT, setpgid of children, unshare\n"
	       "Scenarios: tricky subreaper-before subreaper-after subreaper-reset orphan-chain\n"
	       "           dead-leader setsid-after-fork zombies dead-group-leader left-groups shared-files\n"
	       "           daemon plain unshared-files (which can not be restored)\n"
	       "       caba_tree [--scenario NAME] --init STATEFILE [--listen PORT] [--fill MIB]\n"
	       "as pid 1 of a container: the tree, a counter in STATEFILE and on PORT, and some memory;\n"
	       "without a tree any process can be that\n"
	       "       caba_tree --leave\n"
	       "leaves two orphans in a session of its own, in which it is to be entered\n");
	exit(2);
}

/* What is open belongs to who has entered us here */
static int leave(void)
{
	int i;

	setsid();
	syscall(SYS_close_range, 0, ~0U, 0);
	for (i = 0; i < 2; i++)
		if (!fork())
			while (1)
				pause();
	return 0;
}

int main(int argc, char *argv[])
{
	unsigned int first = 1, last = 1, seed;
	int count[NR_RESULTS] = {}, port = 0, fill = 0, i, ret;
	const char *state = NULL;

	for (i = 1; i < argc; i++) {
		const char *a = argv[i], *v = argv[i + 1] ?: "";

		if (!strcmp(a, "--verbose")) {
			verbose = true;
			continue;
		}
		if (!strcmp(a, "--keep")) {
			keep = true;
			continue;
		}
		if (!strcmp(a, "--leave"))
			return leave();
		i++;
		if (!strcmp(a, "--criu"))
			criu = v;
		else if (!strcmp(a, "--dir"))
			dir = v;
		else if (!strcmp(a, "--seeds")) {
			if (sscanf(v, "%u-%u", &first, &last) != 2)
				usage();
		} else if (!strcmp(a, "--level"))
			level = atoi(v), nested = level >= 5;
		else if (!strcmp(a, "--iters"))
			iters = atoi(v);
		else if (!strcmp(a, "--procs")) {
			if (sscanf(v, "%d-%d", &min_procs, &max_procs) != 2)
				usage();
		} else if (!strcmp(a, "--scenario"))
			scenario = v;
		else if (!strcmp(a, "--big"))
			big = atoi(v);
		else if (!strcmp(a, "--limit"))
			limit = atoi(v);
		else if (!strcmp(a, "--init"))
			state = v;
		else if (!strcmp(a, "--listen"))
			port = atoi(v);
		else if (!strcmp(a, "--fill"))
			fill = atoi(v);
		else
			usage();
	}
	if (state)
		return be_init(state, port, fill);

	/* So that restored trees are our children, and can be waited for */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

	for (seed = first; seed <= last; seed++) {
		ret = one_seed(seed);
		count[ret]++;
		if (ret != SAME || verbose)
			printf("seed %u: %s%s%s\n", seed, result_name[ret], why[0] ? ": " : "", why);
		fflush(stdout);
	}

	printf("total %u same %d refused %d lost %d wrong %d broken %d dump %.2fs restore %.2fs\n", last - first + 1,
	       count[SAME], count[REFUSED], count[LOST], count[WRONG], count[BROKEN], t_dump, t_restore);
	return count[SAME] != (int)(last - first + 1);
}
