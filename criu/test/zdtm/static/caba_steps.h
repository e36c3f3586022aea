/*
 * Trees of processes, made step by step and compared with themselves after
 * a restore: parents, groups, sessions, sub-reaper flags, zombies, and births
 * where the kernel tells them.
 *
 * Process 0 is the test itself, and a sub-reaper, so nobody gets out of its
 * tree. All the others wait for what it tells them to do.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
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
	EXIT,	     /* arg: is it waited for */
	WAIT,
	SETSID,
	SETPGID, /* into the group of process arg */
	SUBREAPER,
	REPORT,
};

struct step {
	int who;
	int op;
	int arg;
};

struct state {
	int zombie;
	int ppid;
	int pgid;
	int sid;
	int caba;
	int subreaper;
};

struct proc {
	futex_t cmd;
	int arg;
	int ret;
	int pid; /* 0 when there is none */
	int zombie;
	struct state before, after;
};

#define MAX_PROCS 64

static struct proc *procs;
static int me;

static int do_cmd(int cmd, int arg);

/* Returns only in processes that have been told to go away */
static void obey(int id)
{
	struct proc *p;

	me = id;
	p = &procs[me];
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

static void *thread_fork(void *arg)
{
	int id = (long)arg, pid;

	pid = fork();
	if (pid == 0)
		obey(id);
	__atomic_store_n(&procs[id].pid, pid, __ATOMIC_RELEASE);
	while (1)
		pause();
	return NULL;
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
		procs[arg].pid = pid;
		return pid;
	case THREAD_FORK:
		if (pthread_create(&thread, NULL, thread_fork, (void *)(long)arg))
			return -1;
		while (!(pid = __atomic_load_n(&procs[arg].pid, __ATOMIC_ACQUIRE)))
			usleep(1000);
		return pid;
	case SIBLING:
		pid = syscall(SYS_clone, CLONE_PARENT, 0, 0, 0, 0);
		if (pid == 0)
			obey(arg);
		procs[arg].pid = pid;
		return pid;
	case WAIT:
		/* A negative one stays a zombie */
		return waitid(P_PID, abs(arg), &si, WEXITED | (arg < 0 ? WNOWAIT : 0));
	case SETSID:
		return setsid();
	case SETPGID:
		return setpgid(0, arg);
	case SUBREAPER:
		return prctl(PR_SET_CHILD_SUBREAPER, arg, 0, 0, 0);
	case REPORT:
		prctl(PR_GET_CHILD_SUBREAPER, &flag, 0, 0, 0);
		return flag;
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

static int get_state(int who, struct state *s)
{
	struct proc *p = &procs[who];
	char path[64], line[256];
	FILE *f;

	memset(s, 0, sizeof(*s));
	s->caba = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", p->pid);
	f = fopen(path, "r");
	if (!f) {
		pr_perror("Can't open %s", path);
		return -1;
	}
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "State:", 6))
			s->zombie = line[7] == 'Z';
		if (!strncmp(line, "PPid:", 5))
			s->ppid = atoi(line + 5);
		if (!strncmp(line, "NSpgid:", 7))
			s->pgid = atoi(line + 7);
		if (!strncmp(line, "NSsid:", 6))
			s->sid = atoi(line + 6);
		if (!strncmp(line, "NScaba:", 7))
			s->caba = atoi(line + 7);
	}
	fclose(f);

	if (!s->zombie)
		s->subreaper = tell(who, REPORT, 0);
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
		ret = tell(parent, WAIT, s->arg ? procs[s->who].pid : -procs[s->who].pid);
		procs[s->who].zombie = 1;
		if (s->arg)
			procs[s->who].pid = 0;
		futex_set(&procs[s->who].cmd, NONE);
		return ret;
	case SETPGID:
		return tell(s->who, SETPGID, procs[s->arg].pid);
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
		SAME(zombie);
		SAME(pgid);
		SAME(sid);
		SAME(subreaper);
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
