// SPDX-License-Identifier: GPL-2.0
/*
 * CABA under stress: all that changes the tree, at the same time.
 *
 * Workers on all CPUs start small histories that end by themselves: trees of
 * orphans, execs and exits of threads, group kills, vfork, CLONE_PARENT,
 * sub-reapers, zombies, namespaces that die, tracers. Readers go through all
 * status files of all processes and threads meanwhile. Nobody knows the right
 * answers there, but what an answer may look like and what it may never say is
 * known. Survivors know more: between deaths that they cause themselves they
 * check the exact CABA of their children. All of it is in a pid namespace
 * whose init's death ends it.
 *
 * The same is done again while memory and pids are short, and while random
 * allocations fail. Then each single allocation of a fork is made to fail, one
 * after another, and fork is made to fail by all other means there are.
 *
 * In the end, as all the time, caba/check in debugfs has to say "ok".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <getopt.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "../kselftest.h"
#include "caba_helpers.h"
#include "caba_sys.h"

#define MAX_CPUS	32
#define THREADS		6	/* at most, in one process */
#define STACK_SIZE	32768
#define TREE_DEPTH	4
#define SURVIVORS	2
#define LINE		5	/* processes in a survivor's line */
#define WORKERS		(2 * cpus + 1)
#define DEADLINE	120	/* seconds for what needs milliseconds */
#define PIDS_SHORT	40	/* what pids.max leaves of processes */
#define MEMORY_SHORT	"32M"	/* and memory.max of memory */
#define MAX_NTH		5000	/* allocations of a fork, and many more */

#ifndef PTRACE_SEIZE
#define PTRACE_SEIZE	0x4206
#endif

enum event {
	EV_BIRTH, EV_NO_BIRTH, EV_THREAD, EV_EXEC, EV_KILL, EV_NAMESPACE,
	EV_INJECTED, EV_TRACED, EV_STATUS, EV_VANISHED, EV_PAIR, EV_ROUND,
	EV_CHECK, EV_OOM,
	EVENTS
};

static const char *const event_names[EVENTS] = {
	[EV_BIRTH] = "births", [EV_NO_BIRTH] = "forks that failed",
	[EV_THREAD] = "threads", [EV_EXEC] = "execs", [EV_KILL] = "kills",
	[EV_NAMESPACE] = "namespaces", [EV_INJECTED] = "births by setns",
	[EV_TRACED] = "tracees", [EV_STATUS] = "status files",
	[EV_VANISHED] = "vanished while read",
	[EV_PAIR] = "CABAs looked up", [EV_ROUND] = "rounds of survivors",
	[EV_CHECK] = "tree checks", [EV_OOM] = "hogs killed",
};

static struct shared {
	int stop;
	int bad;		/* futex-less: the first violation wins */
	int told;		/* what[] is complete */
	char what[512];
	unsigned long count[EVENTS];
	pid_t line[SURVIVORS][LINE];	/* their children */
	pid_t result[8];
} *sh;

enum mode { RACE, PRESSURE, FAULTS };

static enum mode mode;
static unsigned long long seed;
static int cpus;
static int proc_fd = -1;	/* of the pid namespace we are in */
static int debug_fd = -1;	/* debugfs, or -errno */
static int exe_fd = -1;
static char stacks[THREADS][STACK_SIZE];

static void count(enum event e)
{
	__atomic_fetch_add(&sh->count[e], 1, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&sh->stop, __ATOMIC_RELAXED);
}

static void stop(void)
{
	__atomic_store_n(&sh->stop, 1, __ATOMIC_RELAXED);
}

/* Says what is wrong, once, and ends the run. */
#define violation(...) do {						\
	if (!__atomic_exchange_n(&sh->bad, 1, __ATOMIC_SEQ_CST)) {	\
		snprintf(sh->what, sizeof(sh->what), __VA_ARGS__);	\
		__atomic_store_n(&sh->told, 1, __ATOMIC_RELEASE);	\
	}								\
	stop();								\
} while (0)

static int ended;		/* by SIGINT or SIGTERM */

static void on_end(int sig)
{
	__atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
	stop();
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void pause_us(unsigned int us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000L };

	nanosleep(&ts, NULL);
}

/* ---- randomness: each process and thread has its own ---- */

static uint64_t next(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static unsigned int rnd(uint64_t *rng, unsigned int n)
{
	return next(rng) % n;
}

static void nap(uint64_t *rng, unsigned int most_us)
{
	switch (rnd(rng, 3)) {
	case 0:
		break;
	case 1:
		sched_yield();
		break;
	default:
		pause_us(rnd(rng, most_us));
	}
}

/* ---- readers ---- */

static int read_at(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

static int open_in(int dir, pid_t pid, pid_t tid, const char *name)
{
	char path[64];

	if (tid)
		snprintf(path, sizeof(path), "%d/task/%d/%s", (int)pid,
			 (int)tid, name);
	else
		snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	return openat(dir, path, O_RDONLY | O_CLOEXEC);
}

/* The fields of a stat file after the name: state is 3, and so on. */
static bool parse_stat(const char *text, char *state, long *threads,
		       unsigned long long *start)
{
	const char *p = strrchr(text, ')');
	int field;

	for (field = 3; p && field <= 22; field++) {
		p = strchr(p, ' ');
		if (!p++)
			break;
		if (field == 3)
			*state = *p;
		else if (field == 20)
			*threads = strtol(p, NULL, 10);
		else if (field == 22)
			*start = strtoull(p, NULL, 10);
	}
	return p;
}

static int read_stat(int dir, pid_t pid, char *state, long *threads,
		     unsigned long long *start)
{
	char buf[1024];
	int fd, n;

	fd = open_in(dir, pid, 0, "stat");
	if (fd < 0)
		return -errno;
	n = read_at(fd, buf, sizeof(buf));
	close(fd);
	if (n < 0)
		return n;
	return parse_stat(buf, state, threads, start) ? 0 : -EIO;
}

/* Return: how many numbers there are, -ESRCH, -ENOMEM, or -EBADMSG. */
static int read_nscaba(int fd, pid_t pid, pid_t tid, pid_t *levels)
{
	pid_t own[CABA_MAX_LEVELS];
	char buf[CABA_STATUS_SIZE];
	const char *line, *tgid;
	int i, n, depth;

	n = read_at(fd, buf, sizeof(buf));
	if (n < 0) {
		count(EV_VANISHED);
		if (n == -ESRCH || n == -ENOMEM)
			return n;
		violation("reading the status of %d/%d: %s", (int)pid,
			  (int)tid, strerror(-n));
		return -EBADMSG;
	}
	count(EV_STATUS);
	tgid = caba_find_line(buf, "NStgid:");
	line = caba_find_line(buf, "NScaba:");
	if (!line || !tgid) {
		violation("%d/%d: no NScaba among %d bytes of status",
			  (int)pid, (int)tid, n);
		return -EBADMSG;
	}
	n = caba_parse_line(line, "NScaba:", levels);
	depth = caba_parse_line(tgid, "NStgid:", own);
	if (n < 1 || depth < 1) {
		violation("%d/%d: malformed: %.*s", (int)pid, (int)tid,
			  (int)strcspn(line, "\n"), line);
		return -EBADMSG;
	}
	/* "0" and nothing else, or numbers down to the CABA's own level */
	for (i = 0; i < n; i++)
		if (!levels[i] && n > 1)
			break;
	if (i < n || n > depth || levels[0] == pid) {
		violation("%d/%d: cannot be: %.*s with %.*s", (int)pid,
			  (int)tid, (int)strcspn(line, "\n"), line,
			  (int)strcspn(tgid, "\n"), tgid);
		return -EBADMSG;
	}
	return n;
}

/*
 * A process that was the CABA before and after is one and the same, and was
 * alive all the time: there could not be another of that number that is older
 * than its CABD. So it can be found, is older and is no zombie.
 */
static void check_pair(int dir, int fd, pid_t pid, pid_t tid)
{
	pid_t before[CABA_MAX_LEVELS], after[CABA_MAX_LEVELS];
	unsigned long long start, own_start;
	long threads, own_threads;
	char state, own_state;
	int n, error;

	n = read_nscaba(fd, pid, tid, before);
	if (n < 0 || !before[0])
		return;
	error = read_stat(dir, before[0], &state, &threads, &start);
	if (error == -ENOMEM || error == -EMFILE)
		return;
	if (!error && read_stat(dir, pid, &own_state, &own_threads, &own_start))
		return;
	if (read_nscaba(fd, pid, tid, after) != n ||
	    memcmp(before, after, n * sizeof(*before)))
		return;
	count(EV_PAIR);
	if (error)
		violation("%d/%d: its CABA %d cannot be found: %s", (int)pid,
			  (int)tid, (int)before[0], strerror(-error));
	else if (start > own_start)
		violation("%d/%d, born at %llu: its CABA %d was born at %llu",
			  (int)pid, (int)tid, own_start, (int)before[0], start);
	else if (state == 'Z' && threads == 1)
		violation("%d/%d: its CABA %d is a zombie", (int)pid, (int)tid,
			  (int)before[0]);
}

static void read_one(int dir, pid_t pid, pid_t tid, uint64_t *rng)
{
	pid_t levels[CABA_MAX_LEVELS];
	int fd;

	fd = open_in(dir, pid, tid, "status");
	if (fd < 0) {
		count(EV_VANISHED);
		return;
	}
	if (rnd(rng, 4))
		read_nscaba(fd, pid, tid, levels);
	else
		check_pair(dir, fd, pid, tid);
	/* what is held open for a while may be released in between */
	if (!rnd(rng, 16)) {
		nap(rng, 500);
		read_nscaba(fd, pid, tid, levels);
	}
	close(fd);
}

static DIR *list(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

/* All processes and threads of a procfs, once. */
static void read_all(int dir, uint64_t *rng)
{
	struct dirent *d, *t;
	DIR *pids, *tids;
	char path[32];
	pid_t pid;

	pids = list(dir, ".");
	while (pids && !stopped() && (d = readdir(pids))) {
		pid = atoi(d->d_name);
		if (!pid)
			continue;
		read_one(dir, pid, 0, rng);
		snprintf(path, sizeof(path), "%d/task", (int)pid);
		tids = list(dir, path);
		while (tids && !stopped() && (t = readdir(tids)))
			if (atoi(t->d_name))
				read_one(dir, pid, atoi(t->d_name), rng);
		if (tids)
			closedir(tids);
	}
	if (pids)
		closedir(pids);
}

/* ---- small histories ---- */

/*
 * The rest is done without malloc and stdio: after a fork among threads, or
 * in memory that a parent of vfork() waits to get back, they cannot be used.
 */

static void quit(void)
{
	syscall(SYS_exit_group, 0);
}

/* A fork that counts, and lets the child have a history of its own. */
static pid_t birth(unsigned int flags, uint64_t *rng)
{
	uint64_t own = next(rng);
	pid_t pid = caba_fork(flags);

	if (!pid)
		*rng = own;
	else
		count(pid > 0 ? EV_BIRTH : EV_NO_BIRTH);
	return pid;
}

static void exec_again(uint64_t *rng)
{
	char again[2] = { rnd(rng, 2) ? '1' : '0' };

	count(EV_EXEC);
	syscall(SYS_execveat, exe_fd, "",
		(char *[]){ "caba_stress", "--victim", again, NULL },
		(char *[]){ NULL }, AT_EMPTY_PATH);
}

static void reap_all(void)
{
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
}

static void kill_and_count(pid_t pid)
{
	if (pid > 0 && !kill(pid, SIGKILL))
		count(EV_KILL);
}

static int start_thread(int nr, int (*fn)(void *), void *arg)
{
	uintptr_t top = (uintptr_t)(stacks[nr] + STACK_SIZE) & ~63ul;
	int tid = clone(fn, (void *)top,
			CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
			CLONE_THREAD | CLONE_SYSVSEM, arg);

	count(tid > 0 ? EV_THREAD : EV_NO_BIRTH);
	return tid;
}

/* One person of a family: has children, does something to the tree, dies. */
static void family(int depth, uint64_t *rng)
{
	unsigned int i, children = depth ? rnd(rng, 3) : 0;
	unsigned int flags;
	pid_t pid;

	if (!rnd(rng, 4))
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!rnd(rng, 6))
		setsid();
	if (!rnd(rng, 6))
		signal(SIGCHLD, SIG_IGN);

	for (i = 0; i < children; i++) {
		flags = rnd(rng, 4) ? 0 : CLONE_PARENT;
		pid = birth(flags, rng);
		if (!pid) {
			family(depth - 1, rng);
			quit();
		}
		nap(rng, 500);
		if (!rnd(rng, 5))
			kill_and_count(pid);
	}
	switch (rnd(rng, 5)) {
	case 0:
		reap_all();
		break;
	case 1:
		waitpid(-1, NULL, WNOHANG);
		break;
	case 2:
		prctl(PR_SET_CHILD_SUBREAPER, 0);
		break;
	case 3:
		nap(rng, 3000);
		break;
	case 4:
		if (!rnd(rng, 3))
			exec_again(rng);
	}
}

/* What is run by exec: dies at once, or has a child first. */
static int victim(const char *again)
{
	if (*again == '1' && !caba_fork(0)) {
		sched_yield();
		quit();
	}
	return 0;
}

static void family_tree(uint64_t *rng)
{
	family(TREE_DEPTH, rng);
}

struct crowd {
	uint64_t rng;
	bool exec;		/* one of them will */
};

static int one_of_crowd(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t rng = crowd->rng + (uintptr_t)__builtin_frame_address(0);
	int i;

	for (i = 0; i < 3; i++) {
		if (!birth(rnd(&rng, 4) ? 0 : CLONE_PARENT, &rng)) {
			nap(&rng, 1000);
			quit();
		}
		nap(&rng, 300);
	}
	if (crowd->exec && !rnd(&rng, 2))
		exec_again(&rng);
	syscall(SYS_exit, 0);
	return 0;
}

/* A process with threads that all fork, exit or exec; its leader, too. */
static void crowd(bool exec, uint64_t *rng)
{
	static struct crowd all;	/* every process has its own */
	int i, n = 1 + rnd(rng, THREADS);

	all = (struct crowd){ next(rng), exec };
	for (i = 0; i < n; i++)
		start_thread(i, one_of_crowd, &all);
	nap(rng, 500);
	switch (rnd(rng, 4)) {
	case 0:
		quit();
		break;
	case 1:
		if (exec)
			exec_again(rng);
		break;
	case 2:
		one_of_crowd(&all);
	}
	syscall(SYS_exit, 0);
}

static void threads_exec(uint64_t *rng)
{
	pid_t pid = birth(0, rng);

	if (!pid)
		crowd(true, rng);
	nap(rng, 2000);
	reap_all();
}

static void group_kill(uint64_t *rng)
{
	pid_t pid = birth(rnd(rng, 4) ? 0 : CLONE_PARENT, rng);

	if (!pid)
		crowd(rnd(rng, 4) == 0, rng);
	nap(rng, 2000);
	kill_and_count(pid);
	if (rnd(rng, 2))
		waitpid(pid, NULL, __WALL);
}

static int vforked(void *arg)
{
	uint64_t *rng = arg;

	if (rnd(rng, 2) && !birth(0, rng)) {
		nap(rng, 1000);
		quit();
	}
	nap(rng, 1000);
	if (rnd(rng, 2))
		exec_again(rng);
	quit();
	return 0;
}

static void vfork_kill(uint64_t *rng)
{
	pid_t pid = birth(0, rng);
	uintptr_t top = (uintptr_t)(stacks[0] + STACK_SIZE) & ~63ul;

	if (!pid) {
		pid = clone(vforked, (void *)top,
			    CLONE_VM | CLONE_VFORK | SIGCHLD, rng);
		count(pid > 0 ? EV_BIRTH : EV_NO_BIRTH);
		nap(rng, 500);
		quit();
	}
	nap(rng, 2000);
	if (rnd(rng, 2))
		kill_and_count(pid);
}

static void zombies(uint64_t *rng)
{
	pid_t pid[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		pid[i] = birth(0, rng);
		if (!pid[i]) {
			if (rnd(rng, 3))
				quit();
			/* a child that outlives its parent the zombie */
			if (!birth(0, rng))
				nap(rng, 4000);
			quit();
		}
	}
	nap(rng, 3000);
	for (i = 0; i < ARRAY_SIZE(pid); i++)
		if (pid[i] > 0 && rnd(rng, 2))
			waitpid(pid[i], NULL, 0);
}

static void namespace(int depth, uint64_t *rng);

/* The init of a namespace, in the end killed by whoever made it. */
static void namespace_init(int depth, uint64_t *rng)
{
	pid_t pid;
	int i, fd;

	for (i = 0; i < 3; i++) {
		pid = birth(0, rng);
		if (pid)
			continue;
		if (depth && !rnd(rng, 3))
			namespace(depth - 1, rng);
		else
			family(2, rng);
		quit();
	}
	if (!rnd(rng, 8)) {
		/* a reader who is killed while it reads */
		fd = caba_mount("proc");
		if (fd >= 0)
			for (i = 0; i < 3; i++)
				read_all(fd, rng);
	}
	/* so that whoever enters is not too late each time */
	if (!sh->count[EV_INJECTED])
		pause_us(50000);
	nap(rng, 4000);
	if (rnd(rng, 2))
		reap_all();
}

static void namespace(int depth, uint64_t *rng)
{
	pid_t init, pid;
	int i, fd;

	init = birth(CLONE_NEWPID, rng);
	if (!init) {
		namespace_init(depth, rng);
		quit();
	}
	if (init < 0)
		return;
	count(EV_NAMESPACE);
	fd = open_in(proc_fd, init, 0, "ns/pid");
	if (fd >= 0 && (rnd(rng, 2) || !sh->count[EV_INJECTED]) &&
	    !setns(fd, CLONE_NEWPID)) {
		/* born in there, but our children: their init has to wait */
		for (i = 0; i < 3; i++) {
			pid = birth(rnd(rng, 3) ? 0 : CLONE_PARENT, rng);
			if (!pid) {
				family(1, rng);
				quit();
			}
			if (pid > 0)
				count(EV_INJECTED);
			nap(rng, 500);
		}
	}
	if (fd >= 0)
		close(fd);
	nap(rng, 2000);
	if (rnd(rng, 4))
		kill_and_count(init);
	if (rnd(rng, 2))
		reap_all();
}

static void namespaces(uint64_t *rng)
{
	namespace(2, rng);
}

static void tracer(uint64_t *rng)
{
	pid_t pid = birth(0, rng);

	if (!pid) {
		if (rnd(rng, 2))
			crowd(!rnd(rng, 3), rng);
		family(2, rng);
		quit();
	}
	if (pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		count(EV_TRACED);
	nap(rng, 2000);
	if (rnd(rng, 2))
		kill_and_count(pid);
}

static void (*const histories[])(uint64_t *rng) = {
	family_tree, family_tree, threads_exec, group_kill, vfork_kill,
	zombies, namespaces, tracer,
};

static void write_self(const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "self/%s", name);
	fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		violation("%s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void work(uint64_t *rng)
{
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (!stopped()) {
		pid = birth(0, rng);
		if (!pid) {
			prctl(PR_SET_CHILD_SUBREAPER, 0);
			if (mode == PRESSURE)
				write_self("oom_score_adj", "500");
			if (mode == FAULTS)
				write_self("make-it-fail", "1");
			histories[rnd(rng, ARRAY_SIZE(histories))](rng);
			quit();
		}
		if (pid < 0)
			pause_us(1000);
		/* all that is left of a history comes to us and ends */
		reap_all();
	}
}

/* ---- survivors ---- */

static pid_t caba_now(pid_t pid)
{
	pid_t levels[CABA_MAX_LEVELS];
	int fd, n;

	fd = open_in(proc_fd, pid, 0, "status");
	if (fd < 0)
		return -errno;
	n = read_nscaba(fd, pid, 0, levels);
	close(fd);
	return n > 0 ? levels[0] : n;
}

static bool caba_must_be(const char *when, pid_t pid, pid_t want)
{
	pid_t caba = caba_now(pid);

	if (caba == want)
		return true;
	if (caba != -ENOMEM)
		violation("survivor %d, %s: CABA of %d is %d instead of %d",
			  (int)getpid(), when, (int)pid, (int)caba, (int)want);
	return false;
}

/*
 * A line of births, each the child of the one before, all of them waiting. If
 * there is no memory for one more, -1 stands in its place.
 */
static void grow_line(pid_t *line, int left)
{
	pid_t pid;

	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		__atomic_store_n(line++, getpid(), __ATOMIC_RELEASE);
		if (!--left)
			break;
		pid = caba_fork(0);
		if (pid < 0)
			__atomic_store_n(line, -1, __ATOMIC_RELEASE);
		if (pid)
			break;
	}
	for (;;)
		pause();
}

/* How long the line has become, 0 while it grows. */
static int line_grown(const pid_t *line)
{
	pid_t pid;
	int i;

	for (i = 0; i < LINE; i++) {
		pid = __atomic_load_n(&line[i], __ATOMIC_ACQUIRE);
		if (pid <= 0)
			return pid ? i : 0;
	}
	return LINE;
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* Wait for what another process does sooner or later. */
#define wait_until(cond) ({						\
	double end_ = now() + DEADLINE;					\
	bool true_;							\
	while (!(true_ = (cond)) && now() < end_)			\
		pause_us(200);						\
	if (!true_)							\
		violation("survivor %d: %s takes more than %d s",	\
			  (int)getpid(), #cond, DEADLINE);		\
	true_;								\
})

/* Each alive has the one before it that is, the first has us. */
static bool line_is_right(const pid_t *line, const bool *alive, int len)
{
	pid_t caba = getpid();
	int i;

	for (i = 0; i < len; i++) {
		if (!alive[i])
			continue;
		if (!caba_must_be("in a line", line[i], caba))
			return false;
		caba = line[i];
	}
	return true;
}

static void survivor_round(pid_t *line, uint64_t *rng)
{
	bool alive[LINE] = { };
	int i, len, left, victim;
	siginfo_t info;
	pid_t first;

	memset(line, 0, LINE * sizeof(*line));
	first = caba_fork(0);
	if (!first)
		grow_line(line, LINE);
	if (first < 0 || !wait_until(line_grown(line)))
		return;
	len = line_grown(line);
	for (i = 0; i < len; i++)
		alive[i] = true;

	for (left = len; left; left--) {
		if (!line_is_right(line, alive, len))
			break;
		do
			victim = rnd(rng, len);
		while (!alive[victim]);
		alive[victim] = false;
		kill_and_count(line[victim]);
		if (!victim) {
			/* a zombie keeps its CABA and is nobody's */
			waitid(P_PID, first, &info, WEXITED | WNOWAIT);
			if (!caba_must_be("a zombie", first, getpid()) ||
			    !line_is_right(line, alive, len))
				break;
			waitpid(first, NULL, 0);
		} else if (!wait_until(gone(line[victim]))) {
			break;
		}
	}
	if (!left)
		count(EV_ROUND);
	for (i = 0; i < len; i++)
		if (alive[i])
			kill(line[i], SIGKILL);
	reap_all();
}

/* ---- the namespace it all is in ---- */

static void staff(int nr, uint64_t *rng)
{
	if (mode == PRESSURE)
		write_self("oom_score_adj", "-1000");
	if (nr < SURVIVORS) {
		while (!stopped())
			survivor_round(sh->line[nr], rng);
	} else if (nr > SURVIVORS) {
		work(rng);
	} else {
		while (!stopped())
			read_all(proc_fd, rng);
	}
	quit();
}

/* Keep memory short: take what there is until the kernel takes it back. */
static void hog(void)
{
	char *p;

	write_self("oom_score_adj", "1000");
	for (;;) {
		p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (p == MAP_FAILED || stopped())
			quit();
		memset(p, 1, 1 << 20);
		pause_us(2000);
	}
}

static void init_of_all(int cgroup, uint64_t *rng)
{
	pid_t pid, hog_pid = 0;
	int i, status, fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	proc_fd = caba_mount("proc");
	if (proc_fd < 0) {
		violation("procfs: %s", strerror(-proc_fd));
		quit();
	}
	if (cgroup >= 0) {
		fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			violation("cgroup.procs: %s", strerror(errno));
		close(fd);
	}
	if (mode == PRESSURE)
		write_self("oom_score_adj", "-1000");
	/* survivors, a reader, workers */
	for (i = 0; i < SURVIVORS + 1 + WORKERS; i++) {
		pid = birth(0, rng);
		if (!pid)
			staff(i, rng);
		if (pid < 0)
			violation("fork: %s", strerror(errno));
	}
	for (;;) {
		if (mode == PRESSURE && !hog_pid && !stopped()) {
			hog_pid = caba_fork(0);
			if (!hog_pid)
				hog();
		}
		pid = waitpid(-1, &status, __WALL);
		if (pid == hog_pid) {
			hog_pid = 0;
			if (WIFSIGNALED(status))
				count(EV_OOM);
			continue;
		}
		if (pid < 0 && errno != EINTR)
			break;
	}
	quit();
}

/* ---- caba/check ---- */

/* What it says; false if it cannot be read. */
static bool tree_check(char *text, size_t size)
{
	int fd, n;

	if (debug_fd < 0) {
		snprintf(text, size, "no debugfs: %s", strerror(-debug_fd));
		return false;
	}
	fd = openat(debug_fd, "caba/check", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -errno : read_at(fd, text, size);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		snprintf(text, size, "no caba/check in debugfs: %s%s",
			 strerror(-n),
			 n == -ENOENT ? " (CONFIG_DEBUG_CABA)" : "");
		return false;
	}
	text[strcspn(text, "\n")] = '\0';
	return true;
}

static bool tree_check_ok(const char *text)
{
	char *end;

	return strtoul(text, &end, 10) > 0 && !strcmp(end, " ok");
}

static void report_check(const char *name)
{
	char text[256];

	if (!tree_check(text, sizeof(text)))
		ksft_test_result_skip("%s: caba/check: %s\n", name, text);
	else if (tree_check_ok(text))
		ksft_test_result_pass("%s: caba/check: %s\n", name, text);
	else
		ksft_test_result_fail("%s: caba/check: %s\n", name, text);
}

/* ---- the race ---- */

static void outer_reader(uint64_t *rng)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!stopped())
		read_all(proc_fd, rng);
	quit();
}

/* Has everything happened that is to be tried? */
static bool seen_all(void)
{
	static const enum event wanted[] = {
		EV_BIRTH, EV_THREAD, EV_EXEC, EV_KILL, EV_NAMESPACE,
		EV_INJECTED, EV_TRACED, EV_STATUS, EV_PAIR, EV_ROUND,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!sh->count[wanted[i]])
			return false;
	return mode == RACE || sh->count[EV_NO_BIRTH];
}

/*
 * Let it run for that long, or longer if the machine is so slow that not all
 * has happened by then.
 */
static void run_race(const char *name, double seconds, int cgroup)
{
	uint64_t rng = seed + mode;
	unsigned long *c = sh->count;
	double end = now() + seconds;
	pid_t init, reader;
	char text[256];
	bool init_ended;
	int i;

	memset(sh, 0, sizeof(*sh));
	fflush(stdout);
	init = birth(CLONE_NEWPID, &rng);
	if (!init)
		init_of_all(cgroup, &rng);
	reader = birth(0, &rng);
	if (!reader)
		outer_reader(&rng);

	init_ended = init < 0 || reader < 0;
	while (!init_ended && !stopped() &&
	       (now() < end || (!seen_all() && now() < end + 4 * DEADLINE))) {
		pause_us(100000);
		if (tree_check(text, sizeof(text))) {
			count(EV_CHECK);
			if (!tree_check_ok(text))
				violation("caba/check: %s", text);
		}
		init_ended = waitpid(init, NULL, WNOHANG) == init;
	}
	if (init_ended && !stopped())
		violation("the init of the namespace has ended early");
	stop();
	end = now() + DEADLINE;
	while (!init_ended && now() < end) {
		pause_us(20000);
		init_ended = waitpid(init, NULL, WNOHANG) == init;
	}
	if (!init_ended) {
		violation("there are processes left %d s after the end",
			  DEADLINE);
		kill(init, SIGKILL);
		waitpid(init, NULL, 0);
	}
	waitpid(reader, NULL, 0);

	ksft_print_msg("%s:", name);
	for (i = 0; i < EVENTS; i++)
		if (c[i])
			printf(" %lu %s,", c[i], event_names[i]);
	printf(" seed %llu\n", seed);

	if (__atomic_load_n(&ended, __ATOMIC_RELAXED))
		ksft_exit_fail_msg("ended by a signal\n");
	if (sh->bad)
		ksft_print_msg("%s: %s\n", name, sh->told ? sh->what :
			       "a violation, its text was not finished");
	ksft_test_result(!sh->bad, "%s: nothing read that cannot be\n", name);
	ksft_test_result(!sh->bad && c[EV_ROUND],
			 "%s: survivors see the CABA they expect\n", name);
	ksft_test_result(seen_all(), "%s: all has happened\n", name);
	report_check(name);
}

static void skip_race(const char *name, const char *why)
{
	ksft_test_result_skip("%s: nothing read that cannot be: %s\n", name,
			      why);
	ksft_test_result_skip("%s: survivors see the CABA they expect: %s\n",
			      name, why);
	ksft_test_result_skip("%s: all has happened: %s\n", name, why);
	ksft_test_result_skip("%s: caba/check: %s\n", name, why);
}

/* ---- small files ---- */

static int write_file(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The first line. Not all files of debugfs can pread(). */
static int read_file(int dir, const char *path, char *buf, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n >= 0) {
		buf[n] = '\0';
		buf[strcspn(buf, "\n")] = '\0';
	}
	return n;
}

/* ---- a cgroup that is too small ---- */

static int cgroups = -1;
static char enabled[64];	/* controllers to disable again */
static char cgroup_name[32];

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (; text; text = strchr(text, ' ') ? strchr(text, ' ') + 1 : NULL)
		if (!strncmp(text, word, len) &&
		    (!text[len] || text[len] == ' '))
			return true;
	return false;
}

/* Let children of the root have a controller. */
static int enable(const char *controller)
{
	char text[256], plus[32];
	int ret;

	ret = read_file(cgroups, "cgroup.subtree_control", text, sizeof(text));
	if (ret < 0)
		return ret;
	if (has_word(text, controller))
		return 0;
	snprintf(plus, sizeof(plus), "+%s", controller);
	ret = write_file(cgroups, "cgroup.subtree_control", plus);
	if (!ret)
		snprintf(enabled + strlen(enabled),
			 sizeof(enabled) - strlen(enabled), "-%s ", controller);
	return ret;
}

static void remove_cgroup(void)
{
	int tries = 500;

	if (cgroups < 0)
		return;
	/* who is dead leaves a moment later */
	while (*cgroup_name && unlinkat(cgroups, cgroup_name, AT_REMOVEDIR) &&
	       errno == EBUSY && tries--)
		pause_us(10000);
	if (*enabled)
		write_file(cgroups, "cgroup.subtree_control", enabled);
	*enabled = '\0';
	*cgroup_name = '\0';
	close(cgroups);
	cgroups = -1;
}

/* A cgroup's directory; -1 and the reason in @why if there is none. */
static int make_cgroup(const char *memory, const char *pids, char *why,
		       size_t size)
{
	int dir = -1, ret;

	cgroups = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroups < 0 || faccessat(cgroups, "cgroup.controllers", F_OK, 0)) {
		if (cgroups >= 0)
			close(cgroups);
		cgroups = caba_mount("cgroup2");
		if (cgroups < 0) {
			snprintf(why, size, "no cgroup2: %s",
				 strerror(-cgroups));
			return -1;
		}
	}
	ret = memory ? enable("memory") : 0;
	if (!ret)
		ret = enable("pids");
	if (ret) {
		snprintf(why, size, "cgroup controllers memory and pids: %s",
			 strerror(-ret));
		remove_cgroup();
		return -1;
	}
	snprintf(cgroup_name, sizeof(cgroup_name), "caba_stress.%d",
		 (int)getpid());
	ret = mkdirat(cgroups, cgroup_name, 0755) ? -errno : 0;
	if (!ret) {
		dir = openat(cgroups, cgroup_name,
			     O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (memory)
			ret = write_file(dir, "memory.max", memory);
		if (!ret)
			ret = write_file(dir, "pids.max", pids);
		/* without swap, if it can be had */
		if (memory)
			write_file(dir, "memory.swap.max", "0");
	}
	if (ret) {
		snprintf(why, size, "cgroup: %s", strerror(-ret));
		if (dir >= 0)
			close(dir);
		remove_cgroup();
		return -1;
	}
	return dir;
}

static void memory_pressure(double seconds)
{
	const char *name = "memory pressure";
	char why[128], pids[16];
	int dir;

	mode = PRESSURE;
	snprintf(pids, sizeof(pids), "%d", PIDS_SHORT + WORKERS);
	dir = make_cgroup(MEMORY_SHORT, pids, why, sizeof(why));
	if (dir < 0) {
		skip_race(name, why);
		return;
	}
	run_race(name, seconds, dir);
	close(dir);
	remove_cgroup();
}

/* ---- fault injection ---- */

/* What is set while faults are injected, and what it was before. */
static struct setting {
	const char *path, *value;
	char *before;
} settings[] = {
	{ "failslab/ignore-gfp-wait", "N", NULL },
	{ "failslab/cache-filter", "N", NULL },
	{ "failslab/verbose", "0", NULL },
	{ "failslab/task-filter", "Y", NULL },
	{ "failslab/times", "-1", NULL },
	{ "failslab/interval", "1", NULL },
	{ "failslab/probability", "0", NULL },
	{ "fail_page_alloc/ignore-gfp-wait", "N", NULL },
	{ "fail_page_alloc/ignore-gfp-highmem", "N", NULL },
	{ "fail_page_alloc/min-order", "0", NULL },
	{ "fail_page_alloc/verbose", "0", NULL },
	{ "fail_page_alloc/task-filter", "Y", NULL },
	{ "fail_page_alloc/times", "-1", NULL },
	{ "fail_page_alloc/interval", "1", NULL },
	{ "fail_page_alloc/probability", "0", NULL },
};

static bool faults_set;

static void reset_faults(void)
{
	unsigned int i;

	if (!faults_set)
		return;
	faults_set = false;
	for (i = ARRAY_SIZE(settings); i--; ) {
		if (settings[i].before)
			write_file(debug_fd, settings[i].path,
				   settings[i].before);
		free(settings[i].before);
		settings[i].before = NULL;
	}
}

static bool set_faults(char *why, size_t size)
{
	struct setting *s;
	char before[32];
	int ret;

	if (debug_fd < 0) {
		snprintf(why, size, "no debugfs: %s", strerror(-debug_fd));
		return false;
	}
	faults_set = true;
	for (s = settings; s < settings + ARRAY_SIZE(settings); s++) {
		ret = read_file(debug_fd, s->path, before, sizeof(before));
		if (ret >= 0) {
			s->before = strdup(before);
			ret = write_file(debug_fd, s->path, s->value);
		}
		if (ret < 0) {
			snprintf(why, size,
				 "%s: %s (CONFIG_FAULT_INJECTION_DEBUG_FS, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC)",
				 s->path, strerror(-ret));
			reset_faults();
			return false;
		}
	}
	return true;
}

static void random_faults(double seconds)
{
	const char *name = "random faults";
	char why[256];

	mode = FAULTS;
	if (!set_faults(why, sizeof(why))) {
		skip_race(name, why);
		return;
	}
	write_file(debug_fd, "failslab/probability", "1");
	write_file(debug_fd, "fail_page_alloc/probability", "1");
	run_race(name, seconds, -1);
	reset_faults();
}

/* ---- each error path of fork ---- */

/*
 * The tests are run by a process of its own, so that what they do to limits,
 * identity and signals ends with it. Its parent is not the test, for it has
 * siblings made, too.
 */

enum kind { FORK, SIBLING, THREAD, NAMESPACE };

static pid_t own_caba;
static pid_t witness;		/* a child that is there all the time */

/* Who is born looks for itself: 0 if its CABA is @want. */
static int look(pid_t want)
{
	pid_t levels[CABA_MAX_LEVELS];
	int n;

	n = caba_read_file("/proc/thread-self/status", "NScaba:", levels);
	return n == 1 && levels[0] == want ? 0 : 1;
}

static int born_thread(void *want)
{
	int bad = look((intptr_t)want);

	__atomic_store_n(&sh->result[0], 1 + bad, __ATOMIC_SEQ_CST);
	syscall(SYS_exit, 0);
	return 0;
}

/* A sibling is not ours to wait for, and must look while we live. */
static bool sibling_looks(void)
{
	double end = now() + DEADLINE;
	int result;

	do {
		sched_yield();
		result = __atomic_load_n(&sh->result[0], __ATOMIC_SEQ_CST);
	} while (!result && now() < end);
	return result == 1;
}

static pid_t try_thread(pid_t want)
{
	uintptr_t top = (uintptr_t)(stacks[0] + STACK_SIZE) & ~63ul;
	double end = now() + DEADLINE;
	int tid;

	sh->result[0] = 0;
	tid = clone(born_thread, (void *)top,
		    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
		    CLONE_THREAD | CLONE_SYSVSEM, (void *)(intptr_t)want);
	if (tid < 0)
		return -errno;
	while (syscall(SYS_tgkill, getpid(), tid, 0) == 0 && now() < end)
		sched_yield();
	return sh->result[0] == 1 ? tid : -EBADMSG;
}

/* A birth that may fail. Return: pid, -EBADMSG for a wrong CABA, -errno. */
static pid_t try_birth(enum kind kind, const struct caba_clone *as)
{
	struct caba_clone how = *as;
	pid_t me = getpid(), pid;
	int status;

	switch (kind) {
	case THREAD:
		return try_thread(own_caba);
	case SIBLING:
		how.flags |= CLONE_PARENT;
		sh->result[0] = 0;
		break;
	case NAMESPACE:
		how.flags |= CLONE_NEWPID;
		break;
	case FORK:
		break;
	}
	pid = caba_clone3(&how);
	if (!pid) {
		int bad = look(me);

		if (kind == SIBLING)
			__atomic_store_n(&sh->result[0], 1 + bad,
					 __ATOMIC_SEQ_CST);
		syscall(SYS_exit_group, bad);
	}
	if (pid < 0)
		return -errno;
	if (kind == SIBLING)
		return sibling_looks() ? pid : -EBADMSG;
	if (waitpid(pid, &status, 0) != pid || status)
		return -EBADMSG;
	return pid;
}

static pid_t plain_birth(enum kind kind)
{
	struct caba_clone how = { };

	return try_birth(kind, &how);
}

/* What must not have changed; also that a birth still works. */
static const char *still_sound(void)
{
	if (caba_now(witness) != getpid())
		return "the witness has another CABA";
	if (plain_birth(FORK) < 0)
		return "fork does not work any more";
	return NULL;
}

#define SKIP_IT	((const char *)1)	/* the reason is in why[] */
static char why[256];
static char note[256];

/* Let the first allocation of a birth fail, then the second ... */
static const char *fail_each(enum kind kind)
{
	int fd, n, len, failed = 0;
	char text[16];
	pid_t pid = 0;

	if (!faults_set)	/* why is known already */
		return SKIP_IT;
	fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, sizeof(why), "fail-nth: %s", strerror(errno));
		return SKIP_IT;
	}
	for (n = 1; n < MAX_NTH; n++) {
		len = snprintf(text, sizeof(text), "%d", n);
		if (pwrite(fd, text, len, 0) != len)
			return "fail-nth cannot be written";
		pid = plain_birth(kind);
		len = read_at(fd, text, sizeof(text));
		if (len < 0 || pwrite(fd, "0", 1, 0) != 1)
			return "fail-nth cannot be read";
		if (caba_now(witness) != getpid())
			return "the witness has another CABA";
		if (atoi(text))	/* there is no nth any more */
			break;
		if (pid == -EBADMSG)
			return "who was born has another CABA";
		if (pid < 0)
			failed++;
	}
	close(fd);
	snprintf(note, sizeof(note), "%d of %d failures let it fail", failed,
		 n - 1);
	if (n == MAX_NTH)
		return "there is always one more allocation";
	if (pid < 0)
		return "does not succeed in the end";
	if (!failed && kind == THREAD) {
		/* It takes but a few, and they may come from caches. */
		snprintf(why, sizeof(why), "none of its %d allocations fails here",
			 n - 1);
		return SKIP_IT;
	}
	if (!failed)
		return "no failure has let it fail";
	return NULL;
}

static const char *must_fail(enum kind kind, const struct caba_clone *how,
			     int error)
{
	pid_t pid = try_birth(kind, how);

	if (pid == -error)
		return NULL;
	snprintf(note, sizeof(note), "%s instead of %s",
		 pid < 0 ? strerror(-pid) : "success", strerror(error));
	return "fails otherwise";
}

static const char *test_set_tid(void)
{
	pid_t taken = getpid();
	struct caba_clone how = {
		.set_tid = (uintptr_t)&taken, .set_tid_size = 1,
	};

	return must_fail(FORK, &how, EEXIST);
}

static const char *test_bad_pidfd(void)
{
	struct caba_clone how = { .flags = CLONE_PIDFD, .pidfd = 16 };

	return must_fail(FORK, &how, EFAULT);
}

static const char *test_no_pidfd(void)
{
	struct rlimit old, none = { 3, 3 };
	int fd;
	struct caba_clone how = {
		.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd,
	};
	const char *ret;

	if (getrlimit(RLIMIT_NOFILE, &old))
		return "getrlimit";
	none.rlim_max = old.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &none))
		return "setrlimit";
	ret = must_fail(FORK, &how, EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	return ret;
}

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP	0x200000000ULL
#endif

static const char *test_into_cgroup(void)
{
	struct caba_clone how = {
		.flags = CLONE_INTO_CGROUP, .cgroup = 9999,
	};
	pid_t pid = try_birth(FORK, &how);

	if (pid == -EINVAL || pid == -EOPNOTSUPP) {
		snprintf(why, sizeof(why), "no CONFIG_CGROUPS");
		return SKIP_IT;
	}
	return pid == -EBADF ? NULL : "fails otherwise";
}

static const char *test_depth(void)
{
	struct caba_clone how = { .flags = CLONE_NEWPID };
	int status, levels = 0;
	pid_t pid = 0;

	/* down until it fails; the deepest one reports */
	while (levels < 64) {
		pid = caba_clone3(&how);
		if (pid)
			break;
		levels++;
	}
	if (pid > 0) {
		waitpid(pid, &status, 0);
		if (levels)
			syscall(SYS_exit_group, WEXITSTATUS(status));
		snprintf(note, sizeof(note), "%d levels", WEXITSTATUS(status));
		return WIFEXITED(status) && WEXITSTATUS(status) >= 8 ?
			NULL : "fails otherwise";
	}
	if (!levels)
		return "not even one level";
	syscall(SYS_exit_group, errno == ENOSPC ? levels : 0);
	return NULL;
}

static const char *test_rlimit(void)
{
	struct rlimit one = { 1, 1 };
	pid_t pid;

	if (setrlimit(RLIMIT_NPROC, &one))
		return "setrlimit";
	/* in a process of its own, for there is no way back */
	pid = caba_fork(0);
	if (!pid) {
		if (setresgid(65534, 65534, 65534) ||
		    setresuid(65534, 65534, 65534))
			syscall(SYS_exit_group, 2);
		pid = caba_fork(0);
		if (!pid)
			quit();
		syscall(SYS_exit_group, pid < 0 && errno == EAGAIN ? 0 : 1);
	}
	if (pid < 0 || waitpid(pid, &sh->result[0], 0) != pid)
		return "fork";
	return sh->result[0] ? "does not fail with EAGAIN" : NULL;
}

static const char *test_pids(void)
{
	int dir = make_cgroup(NULL, "2", why, sizeof(why));
	struct caba_clone how = { };
	const char *ret;
	pid_t pid;

	if (dir < 0)
		return SKIP_IT;
	pid = caba_fork(0);
	if (!pid) {
		/* we are one, a child that waits is two, and that is all */
		if (write_file(dir, "cgroup.procs", "0"))
			syscall(SYS_exit_group, 2);
		witness = caba_fork(0);
		if (!witness)
			for (;;)
				pause();
		ret = must_fail(FORK, &how, EAGAIN) ?:
		      must_fail(SIBLING, &how, EAGAIN) ?:
		      must_fail(THREAD, &how, EAGAIN);
		if (!ret && caba_now(witness) != getpid())
			ret = "the witness has another CABA";
		kill(witness, SIGKILL);
		waitpid(witness, NULL, 0);
		syscall(SYS_exit_group, ret ? 1 : 0);
	}
	waitpid(pid, &sh->result[0], 0);
	close(dir);
	remove_cgroup();
	return sh->result[0] ? "does not fail with EAGAIN" : NULL;
}

struct deadline_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* A task with a deadline may not have children: sched_fork() refuses. */
static const char *test_deadline(void)
{
	struct deadline_attr attr = {
		.size = sizeof(attr), .policy = 6 /* SCHED_DEADLINE */,
		.runtime = 10000000, .deadline = 100000000,
		.period = 100000000,
	};
	struct deadline_attr normal = { .size = sizeof(normal) };
	struct caba_clone how = { };
	const char *ret;

	if (syscall(SYS_sched_setattr, 0, &attr, 0)) {
		snprintf(why, sizeof(why), "sched_setattr: %s",
			 strerror(errno));
		return SKIP_IT;
	}
	ret = must_fail(FORK, &how, EAGAIN) ?:
	      must_fail(SIBLING, &how, EAGAIN) ?:
	      must_fail(THREAD, &how, EAGAIN);
	syscall(SYS_sched_setattr, 0, &normal, 0);
	return ret;
}

static const char *test_tls(void)
{
#ifdef __x86_64__
	struct caba_clone how = {
		.flags = CLONE_SETTLS, .tls = 1ull << 63,
	};

	return must_fail(FORK, &how, EPERM);
#else
	snprintf(why, sizeof(why), "only x86_64 looks at the address");
	return SKIP_IT;
#endif
}

static void on_alarm(int sig)
{
}

/* A signal at the wrong moment makes fork start anew. */
static const char *test_signals(void)
{
	struct itimerval once = { }, never = { };
	const char *ret = NULL;
	int i;

	signal(SIGALRM, on_alarm);
	for (i = 0; i < 300 && !ret; i++) {
		struct caba_clone how = { };
		pid_t me = getpid(), pid;
		int status;

		/* one for each fork: of more a slow machine would see no end */
		once.it_value.tv_usec = 1 + i * 7;
		setitimer(ITIMER_REAL, &once, NULL);
		pid = caba_clone3(&how);
		if (!pid) {
			setitimer(ITIMER_REAL, &never, NULL);
			syscall(SYS_exit_group, look(me));
		}
		if (pid < 0) {
			ret = "fork fails";
			break;
		}
		while (waitpid(pid, &status, 0) != pid)
			if (errno != EINTR)
				break;
		if (status)
			ret = "a child has another CABA";
	}
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	return ret;
}

/* Killed while it forks: -EINTR at the last point where fork can fail. */
static const char *test_kill(void)
{
	uint64_t rng = seed;
	pid_t pid;
	int i;

	for (i = 0; i < 100; i++) {
		pid = caba_fork(0);
		if (!pid) {
			signal(SIGCHLD, SIG_IGN);
			for (;;)
				if (!caba_fork(rnd(&rng, 4) ? 0 : CLONE_NEWPID))
					quit();
		}
		if (pid < 0)
			return "fork";
		pause_us(rnd(&rng, 3000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (caba_now(witness) != getpid())
			return "the witness has another CABA";
	}
	return NULL;
}

static const char *fail_fork(void) { return fail_each(FORK); }
static const char *fail_sibling(void) { return fail_each(SIBLING); }
static const char *fail_thread(void) { return fail_each(THREAD); }
static const char *fail_namespace(void) { return fail_each(NAMESPACE); }

static const struct {
	const char *name;
	const char *(*fn)(void);
} failures[] = {
	{ "each allocation of fork", fail_fork },
	{ "each allocation of CLONE_PARENT", fail_sibling },
	{ "each allocation of CLONE_THREAD", fail_thread },
	{ "each allocation of CLONE_NEWPID", fail_namespace },
	{ "set_tid of a pid that is taken", test_set_tid },
	{ "CLONE_PIDFD without memory for it", test_bad_pidfd },
	{ "CLONE_PIDFD without a descriptor left", test_no_pidfd },
	{ "CLONE_INTO_CGROUP that is none", test_into_cgroup },
	{ "CLONE_SETTLS with an address of the kernel", test_tls },
	{ "namespaces too deep", test_depth },
	{ "SCHED_DEADLINE", test_deadline },
	{ "pids.max", test_pids },
	{ "signals during fork", test_signals },
	{ "SIGKILL during fork", test_kill },
	{ "RLIMIT_NPROC", test_rlimit },
};

/* In a grandchild; how it went is its exit status, words are printed here. */
static void run_failure(unsigned int nr)
{
	const char *ret;

	*note = '\0';
	own_caba = caba_now(getpid());
	witness = caba_fork(0);
	if (!witness) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	ret = failures[nr].fn();
	if (!ret)
		ret = still_sound();
	kill(witness, SIGKILL);
	waitpid(witness, NULL, 0);
	if (ret == SKIP_IT) {
		snprintf(sh->what, sizeof(sh->what), "%s", why);
		syscall(SYS_exit_group, KSFT_SKIP);
	}
	snprintf(sh->what, sizeof(sh->what), "%s%s%s", ret ?: "",
		 ret && *note ? ": " : "", note);
	syscall(SYS_exit_group, ret ? KSFT_FAIL : KSFT_PASS);
}

static void fail_forks(void)
{
	unsigned int i;
	int status, child;
	pid_t pid;

	set_faults(why, sizeof(why));
	for (i = 0; i < ARRAY_SIZE(failures); i++) {
		const char *name = failures[i].name;

		memset(sh, 0, sizeof(*sh));
		fflush(stdout);
		pid = caba_fork(0);
		if (!pid) {
			/* the parent of siblings, too */
			pid_t tester = caba_fork(0), got;
			int result = KSFT_FAIL;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (!tester) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				run_failure(i);
			}
			while ((got = waitpid(-1, &child, __WALL)) > 0) {
				if (got != tester)
					continue;
				if (WIFEXITED(child))
					result = WEXITSTATUS(child);
				else
					snprintf(sh->what, sizeof(sh->what),
						 "killed by signal %d",
						 WTERMSIG(child));
			}
			syscall(SYS_exit_group, result);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			ksft_exit_fail_msg("fork: %s\n", strerror(errno));
		if (WIFEXITED(status) && WEXITSTATUS(status) == KSFT_SKIP) {
			ksft_test_result_skip("%s: %s\n", name, sh->what);
			continue;
		}
		if (*sh->what)
			ksft_print_msg("%s: %s\n", name, sh->what);
		ksft_test_result(WIFEXITED(status) && !WEXITSTATUS(status),
				 "%s\n", name);
	}
	reset_faults();
	report_check("failing forks");
}

/* ---- main ---- */

static void usage(FILE *f)
{
	fputs("Usage: caba_stress [OPTION]...\n"
	      "Race everything that changes the CABA tree with readers of NScaba.\n"
	      "Without one of the first three options: all three.\n\n"
	      "  --race             as the machine is\n"
	      "  --memory-pressure  in a cgroup with too little memory and too few pids\n"
	      "  --fail-fork        with random faults, then each error path of fork\n"
	      "  --time SECONDS     how long, all in all (default 10; failing forks take\n"
	      "                     their own time)\n"
	      "  --seed S           of the random choices (default: from the time)\n"
	      "  --help             print this\n", f);
}

static unsigned long long number(const char *text, unsigned long long min,
				 unsigned long long max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || n < min || n > max) {
		fprintf(stderr, "caba_stress: not between %llu and %llu: %s\n",
			min, max, text);
		exit(KSFT_FAIL);
	}
	return n;
}

static void clean_up(void)
{
	reset_faults();
	remove_cgroup();
}

/*
 * Where the kernel cannot write to a thread's area for restartable sequences it
 * kills with SIGSEGV. After a fork that page is to be copied, and when that
 * allocation is the one made to fail, the one who forks dies of it. So do
 * without; the C library asks its tunables at the start of a program.
 */
static void without_rseq(char *argv[])
{
	if (getenv("GLIBC_TUNABLES"))
		return;
	setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
	execv("/proc/self/exe", argv);
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "race", no_argument, NULL, 'r' },
		{ "memory-pressure", no_argument, NULL, 'm' },
		{ "fail-fork", no_argument, NULL, 'f' },
		{ "time", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	bool race = false, pressure = false, faults = false;
	double seconds = 10, share;
	int c;

	if (argc == 3 && !strcmp(argv[1], "--victim"))
		return victim(argv[2]);

	without_rseq(argv);
	seed = time(NULL);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'r':
			race = true;
			break;
		case 'm':
			pressure = true;
			break;
		case 'f':
			faults = true;
			break;
		case 't':
			seconds = number(optarg, 1, 100000000);
			break;
		case 's':
			seed = number(optarg, 0, ULLONG_MAX);
			break;
		case 'h':
			usage(stdout);
			return KSFT_PASS;
		default:
			usage(stderr);
			return KSFT_FAIL;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return KSFT_FAIL;
	}
	if (!race && !pressure && !faults) {
		race = true;
		pressure = true;
		faults = true;
	}

	ksft_print_header();
	ksft_print_msg("seed %llu\n", seed);
	if (!caba_supported())
		ksft_exit_skip("%s\n", CABA_NO_KERNEL);
	if (geteuid())
		ksft_exit_skip("needs root, for pid namespaces\n");

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	proc_fd = caba_mount("proc");
	debug_fd = caba_mount("debugfs");
	if (sh == MAP_FAILED || exe_fd < 0 || proc_fd < 0)
		ksft_exit_fail_msg("cannot start: %s\n", strerror(errno));
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpus = cpus < 1 ? 1 : cpus > MAX_CPUS ? MAX_CPUS : cpus;
	atexit(clean_up);
	signal(SIGINT, on_end);
	signal(SIGTERM, on_end);

	ksft_set_plan(4 * (race + pressure + faults) +
		      (faults ? ARRAY_SIZE(failures) + 1 : 0));
	share = seconds / (3 * race + pressure + faults);
	if (race) {
		mode = RACE;
		run_race("race", 3 * share, -1);
	}
	if (pressure)
		memory_pressure(share);
	if (faults) {
		random_faults(share);
		mode = RACE;
		fail_forks();
	}
	ksft_finished();
}
