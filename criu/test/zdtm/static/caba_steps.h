/*
 * Trees of processes, made step by step and compared with themselves after
 * a restore: parents, groups, sessions, sub-reaper flags, zombies, settings of
 * pid namespaces, and births where the kernel tells them.
 *
 * Process 0 is the test itself, and a sub-reaper, so nobody gets out of its
 * tree. All the others wait for what it tells them to do. They can be in pid
 * namespaces below that of the test, where they have more numbers; "pid" is
 * always the one that the test sees.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "lock.h"

const char *test_author = "The CABA series";

enum {
	NONE,
	FORK,	     /* a new process, number arg */
	THREAD_FORK, /* the same by a thread that stays */
	SIBLING,     /* the same with CLONE_PARENT */
	NEWPID,	     /* the same as init of a new pid namespace */
	PUT_IN,	     /* the same into the pid namespace of a process: INTO(process, number) */
	CHILDREN_IN, /* setns() to the pid namespace of process arg, for children */
	EXIT,	     /* arg: is it waited for */
	WAIT,
	SETSID,
	SETPGID, /* into the group of process arg */
	SUBREAPER,
	NOEXEC, /* memfd_noexec of its pid namespace */
	REPORT,
	LAST_PID, /* of its pid namespace */
	MEMFD_NOEXEC,
};

#define MAX_PROCS 64
#define LAST_PID_PATH	  "/proc/sys/kernel/ns_last_pid"
#define MEMFD_NOEXEC_PATH "/proc/sys/vm/memfd_noexec"
#define INTO(where, id) ((where) * MAX_PROCS + (id))

struct step {
	int who;
	int op;
	int arg;
};

struct state {
	int zombie;
	char pids[64]; /* all numbers, from the test's level down */
	char pgids[64];
	char sids[64];
	int ns;	      /* the first process that is in the same pid namespace */
	int children; /* the first process whose namespace children get, -1 for none */
	int ppid;
	int caba;
	int subreaper;
	int last_pid;
	int memfd_noexec;
};

struct proc {
	futex_t cmd;
	int arg;
	int ret;
	int pid; /* 0 when there is none */
	int zombie;
	struct state before, after;
};

static struct proc *procs;
static int me;

static int do_cmd(int cmd, int arg);

/* As the test sees it: /proc is the one of its namespace */
static int top_pid(void)
{
	char buf[16] = {};

	return readlink("/proc/self", buf, sizeof(buf) - 1) > 0 ? atoi(buf) : -1;
}

/* Line of /proc/<pid>/status */
static int status_line(int pid, const char *key, char *buf, int size)
{
	char path[64], line[256];
	int len = strlen(key), ret = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (ret && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len)) {
			line[strcspn(line, "\n")] = 0;
			snprintf(buf, size, "%s", line + len);
			ret = 0;
		}
	fclose(f);
	return ret;
}

/* The number of a process for one that is in a namespace above, or the same */
static int number_for(int who, int id)
{
	char mine[64], its[64], *m, *s;

	if (status_line(procs[who].pid, "NSpid:", mine, sizeof(mine)) ||
	    status_line(procs[id].pid, "NSpid:", its, sizeof(its)))
		return -1;
	for (m = mine, s = its; m && s && (m = strchr(m + 1, '\t'));)
		s = strchr(s + 1, '\t');
	return s ? atoi(s) : -1;
}

/* Returns only in processes that have been told to go away */
static void obey(int id)
{
	struct proc *p;

	me = id;
	p = &procs[me];
	__atomic_store_n(&p->pid, top_pid(), __ATOMIC_RELEASE);
	while (1) {
		int cmd;

		futex_wait_while(&p->cmd, NONE);
		cmd = futex_get(&p->cmd);
		if (cmd == EXIT)
			_exit(p->arg);
		p->ret = do_cmd(cmd, p->arg);
		futex_set_and_wake(&p->cmd, NONE);
	}
}

/* It has said its number */
static int wait_for(int id, int pid)
{
	while (pid > 0 && !__atomic_load_n(&procs[id].pid, __ATOMIC_ACQUIRE))
		usleep(1000);
	return pid;
}

static void *thread_fork(void *arg)
{
	int id = (long)arg;

	if (fork() == 0)
		obey(id);
	while (1)
		pause();
	return NULL;
}

static int children_in(int pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0), ret;

	ret = fd < 0 ? -1 : setns(fd, CLONE_NEWPID);
	close(fd);
	return ret;
}

/* Of the namespace of who calls */
static int get_setting(const char *path)
{
	int value = -1;
	FILE *f = fopen(path, "r");

	if (f && fscanf(f, "%d", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

/* Not before 6.3, and not in a user namespace */
static int set_noexec(int value)
{
	int fd = open(MEMFD_NOEXEC_PATH, O_WRONLY), ret;

	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -1;
	ret = dprintf(fd, "%d", value);
	close(fd);
	return ret < 0 ? -1 : 0;
}

static int do_cmd(int cmd, int arg)
{
	pthread_t thread;
	siginfo_t si;
	int pid, flag = 0;

	switch (cmd) {
	case FORK:
		pid = fork();
		if (pid == 0)
			obey(arg);
		return wait_for(arg, pid);
	case THREAD_FORK:
		if (pthread_create(&thread, NULL, thread_fork, (void *)(long)arg))
			return -1;
		return wait_for(arg, 1);
	case SIBLING:
	case NEWPID:
		pid = syscall(SYS_clone, cmd == NEWPID ? CLONE_NEWPID | SIGCHLD : CLONE_PARENT, 0, 0, 0, 0);
		if (pid == 0)
			obey(arg);
		return wait_for(arg, pid);
	case PUT_IN:
		if (children_in(number_for(me, arg / MAX_PROCS)))
			return -1;
		pid = fork();
		if (pid == 0)
			obey(arg % MAX_PROCS);
		wait_for(arg % MAX_PROCS, pid);
		return children_in(getpid()) ? -1 : pid;
	case CHILDREN_IN:
		return children_in(number_for(me, arg));
	case WAIT:
		/* A negative one stays a zombie */
		return waitid(P_PID, number_for(me, abs(arg)), &si, WEXITED | (arg < 0 ? WNOWAIT : 0));
	case SETSID:
		return setsid();
	case SETPGID:
		return setpgid(0, number_for(me, arg));
	case SUBREAPER:
		return prctl(PR_SET_CHILD_SUBREAPER, arg, 0, 0, 0);
	case NOEXEC:
		return set_noexec(arg);
	case REPORT:
		prctl(PR_GET_CHILD_SUBREAPER, &flag, 0, 0, 0);
		return flag;
	case LAST_PID:
		return get_setting(LAST_PID_PATH);
	case MEMFD_NOEXEC:
		return get_setting(MEMFD_NOEXEC_PATH);
	}
	return -1;
}

static int tell(int who, int cmd, int arg)
{
	struct proc *p = &procs[who];

	if (who == 0)
		return do_cmd(cmd, arg);

	p->arg = arg;
	futex_set_and_wake(&p->cmd, cmd);
	if (cmd == EXIT)
		return 0;
	futex_wait_until(&p->cmd, NONE);
	return p->ret;
}

/* The first process whose pid namespace this is */
static int same_ns(int pid, const char *which)
{
	struct stat a, b;
	char path[64];
	int i;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, which);
	if (stat(path, &a))
		return -1;
	for (i = 0; i < MAX_PROCS; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", procs[i].pid);
		if (procs[i].pid && !stat(path, &b) && a.st_ino == b.st_ino)
			return i;
	}
	return MAX_PROCS;
}

static int get_state(int who, struct state *s)
{
	struct proc *p = &procs[who];
	char line[256];

	memset(s, 0, sizeof(*s));
	s->caba = -1;

	if (status_line(p->pid, "State:", line, sizeof(line)) || status_line(p->pid, "NSpid:", s->pids, sizeof(s->pids)) ||
	    status_line(p->pid, "NSpgid:", s->pgids, sizeof(s->pgids)) ||
	    status_line(p->pid, "NSsid:", s->sids, sizeof(s->sids))) {
		pr_perror("Can't read the status of %d", p->pid);
		return -1;
	}
	s->zombie = line[1] == 'Z';
	if (!status_line(p->pid, "PPid:", line, sizeof(line)))
		s->ppid = atoi(line);
	if (!status_line(p->pid, "NScaba:", line, sizeof(line)))
		s->caba = atoi(line);
	/* A restored zombie is root's, and only root may see its namespaces */
	s->ns = s->zombie && geteuid() ? 0 : same_ns(p->pid, "pid");
	s->children = s->zombie ? 0 : same_ns(p->pid, "pid_for_children");

	if (s->zombie)
		return 0;
	s->subreaper = tell(who, REPORT, 0);
	/* CRIU leaves those of the test's namespace alone */
	if (s->ns) {
		s->last_pid = tell(who, LAST_PID, 0);
		s->memfd_noexec = tell(who, MEMFD_NOEXEC, 0);
	}
	return 0;
}

static int id_of(int pid)
{
	int i;

	for (i = 0; i < MAX_PROCS; i++)
		if (procs[i].pid == pid)
			return i;
	return -1;
}

static int do_step(const struct step *s)
{
	struct state st;
	int ret, parent;

	switch (s->op) {
	case EXIT:
		if (get_state(s->who, &st))
			return -1;
		parent = id_of(st.ppid);
		if (parent < 0) {
			pr_err("Process %d has a strange parent %d\n", s->who, st.ppid);
			return -1;
		}
		tell(s->who, EXIT, s->who);
		ret = tell(parent, WAIT, s->arg ? s->who : -s->who);
		procs[s->who].zombie = 1;
		if (s->arg)
			procs[s->who].pid = 0;
		futex_set(&procs[s->who].cmd, NONE);
		return ret;
	case SETPGID:
		return tell(s->who, SETPGID, s->arg);
	}
	ret = tell(s->who, s->op, s->arg);
	return ret < 0 ? -1 : 0;
}

static int prepare_procs(void)
{
	procs = mmap(NULL, MAX_PROCS * sizeof(*procs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (procs == MAP_FAILED) {
		pr_perror("mmap");
		return -1;
	}
	procs[0].pid = getpid();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) {
		pr_perror("prctl");
		return -1;
	}
	return 0;
}

/* The moment between the two is the one of the test */
static int compare_all(void)
{
	int i, err = 0;

	for (i = 0; i < MAX_PROCS; i++)
		if (procs[i].pid && get_state(i, &procs[i].before))
			return -1;

	test_daemon();
	test_waitsig();

	for (i = 0; i < MAX_PROCS; i++) {
		struct state *b = &procs[i].before, *a = &procs[i].after;

		if (!procs[i].pid)
			continue;
		if (get_state(i, a))
			return -1;
#define SAME(f)                                                                                 \
	do {                                                                                    \
		if (a->f != b->f) {                                                             \
			fail("process %d(%d): " #f " %d, not %d", i, procs[i].pid, a->f, b->f); \
			err = 1;                                                                \
		}                                                                               \
	} while (0)
#define SAME_NUMBERS(f)                                                                            \
	do {                                                                                       \
		if (strcmp(a->f, b->f)) {                                                          \
			fail("process %d(%d): " #f "%s, not%s", i, procs[i].pid, a->f, b->f); \
			err = 1;                                                                   \
		}                                                                                  \
	} while (0)
		SAME(zombie);
		SAME(ns);
		SAME(children);
		SAME_NUMBERS(pids);
		SAME_NUMBERS(pgids);
		SAME_NUMBERS(sids);
		SAME(subreaper);
		SAME(last_pid);
		SAME(memfd_noexec);
		/* The ones of the test itself may be criu's */
		if (i == 0)
			continue;
		SAME(ppid);
		if (b->caba != -1)
			SAME(caba);
	}
	return err;
}

static void kill_all(void)
{
	int i;

	for (i = 1; i < MAX_PROCS; i++)
		if (procs[i].pid)
			kill(procs[i].pid, SIGKILL);
	while (wait(NULL) > 0)
		;
}

#ifdef STEPS
int main(int argc, char *argv[])
{
	static const struct step steps[] = { STEPS };
	int i, ret = 1;

	test_init(argc, argv);
	if (prepare_procs())
		return 1;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (do_step(&steps[i])) {
			pr_err("Step %d: %d %d %d\n", i, steps[i].who, steps[i].op, steps[i].arg);
			goto out;
		}

	ret = compare_all();
	if (!ret)
		pass();
out:
	kill_all();
	return ret;
}
#endif
