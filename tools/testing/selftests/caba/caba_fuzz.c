// SPDX-License-Identifier: GPL-2.0
/*
 * Random histories of processes, checked against a model.
 *
 * A tree of workers grows and dies as a seed wants it. Every worker thread
 * waits in shared memory for a command of the controller, carries it out and
 * reports. The controller keeps a model: who was born by whom, who is the
 * parent, who is alive, a zombie or gone. After each operation it waits until
 * all deaths the model expects have happened, then reads the status file of
 * every process and every thread and compares NScaba (and, to see early when
 * model and kernel part, State, Tgid, PPid and NStgid) with the model.
 *
 * The tree's root is the init of a pid namespace one level below the
 * controller: nothing escapes, and its death ends everything. The controller's
 * own procfs shows all levels; inner namespaces' procfs is read now and then.
 *
 * Decisions depend on the seed and on logical numbers only, never on raw pids
 * or time: the same seed and options replay the same history.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <getopt.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "../kselftest.h"
#include "caba_helpers.h"
#include "caba_sys.h"

#define MAX_PROCS	96
#define MAX_THREADS	192	/* in the whole tree */
#define MAX_NS		128
#define MAX_DEPTH	4	/* pid namespaces below the controller's */
#define STACK_SIZE	32768
#define DEADLINE	120	/* seconds an operation may take */
#define INNER_EVERY	8	/* steps between reads from an inner procfs */
#define FULL_EVERY	64	/* steps between checks of everything */
#define HISTORY		24	/* operations shown with a difference */

/* File descriptors of the workers, the same before and after exec. */
#define SHM_FD		100
#define EXE_FD		101
#define PROC_FD		102

#ifdef SYS_futex
struct futex_timeout { long sec, nsec; };
#else
#define SYS_futex	SYS_futex_time64
struct futex_timeout { long long sec, nsec; };
#endif

#ifndef PTRACE_SEIZE
#define PTRACE_SEIZE	0x4206
#endif
#ifndef PTRACE_INTERRUPT
#define PTRACE_INTERRUPT 0x4207
#endif

/* ---- what controller and workers share ---- */

enum worker_cmd {
	CMD_FORK,		/* flags, slot of the child */
	CMD_VFORK,		/* slot of the child, its stack */
	CMD_THREAD,		/* slot of the thread, its stack */
	CMD_THREAD_EXIT,
	CMD_EXIT,
	CMD_EXEC,
	CMD_WAIT,		/* pid */
	CMD_SUBREAPER,		/* on */
	CMD_IGNORE,		/* on */
	CMD_SETSID,
	CMD_UNSHARE,
	CMD_SETNS,		/* pid in the outermost procfs */
	CMD_ATTACH,		/* tid */
	CMD_DETACH,		/* tid */
	CMD_PROCFS,
	CMD_CLOSE,		/* fd */
};

struct slot {
	uint32_t go;		/* futex: commands given */
	uint32_t done;		/* commands carried out */
	uint32_t hello;		/* a thread has started here */
	int32_t cmd;
	int32_t arg[2];
	int32_t ret;		/* of the command, -errno for an error */
	int32_t root;		/* thread of the tree's root */
	int32_t tgid, tid;	/* as the thread sees itself */
	int32_t out_tgid, out_tid;	/* in the outermost procfs */
};

struct shared {
	uint32_t bell;		/* futex: something was reported */
	struct slot slot[MAX_THREADS];
};

static struct shared *shm;

static int futex_wait(uint32_t *word, uint32_t val, int timeout_ms)
{
	struct futex_timeout ts = {
		timeout_ms / 1000, timeout_ms % 1000 * 1000000L
	};

	return syscall(SYS_futex, word, 0 /* FUTEX_WAIT */, val,
		       timeout_ms < 0 ? NULL : &ts, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *word, uint32_t val)
{
	__atomic_store_n(word, val, __ATOMIC_RELEASE);
}

/* ---- workers ---- */

/*
 * Threads of one process share the C library's thread area, and a child of
 * vfork() shares its parent's memory: what follows does without state of its
 * own, without malloc and without stdio.
 */

static char stacks[MAX_THREADS][STACK_SIZE];

static void worker(int me);

static int thread_start(void *slot)
{
	worker((intptr_t)slot);
	return 0;
}

static void *stack_top(int stack)
{
	return (void *)((uintptr_t)(stacks[stack] + STACK_SIZE) & ~63ul);
}

/* The new image starts as the thread that execs: see main(). */
static int do_exec(int me)
{
	static const char digits[] = "0123456789";
	char slot[4] = { digits[me / 100], digits[me / 10 % 10],
			 digits[me % 10] };

	syscall(SYS_execveat, EXE_FD, "",
		(char *[]){ "caba_fuzz", "--worker", slot, NULL },
		(char *[]){ NULL }, AT_EMPTY_PATH);
	return -errno;
}

static int do_wait(pid_t pid)
{
	pid_t got = waitpid(pid, NULL, __WALL | WNOHANG);

	return got < 0 ? -errno : got;
}

static int do_ignore(bool on)
{
	return signal(SIGCHLD, on ? SIG_IGN : SIG_DFL) == SIG_ERR ? -errno : 0;
}

static int do_setns(pid_t out_pid)
{
	char path[40];
	int fd, ret;

	snprintf(path, sizeof(path), "%d/ns/pid", (int)out_pid);
	fd = openat(PROC_FD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = setns(fd, CLONE_NEWPID) ? -errno : 0;
	close(fd);
	return ret;
}

static int do_detach(pid_t tid)
{
	int status;

	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	if (waitpid(tid, &status, __WALL) != tid)
		return -errno;
	if (!WIFSTOPPED(status))
		return -EPROTO;
	return ptrace(PTRACE_DETACH, tid, NULL, NULL) ? -errno : 0;
}

static void say_hello(struct slot *s)
{
	char link[64];
	char *p = link;
	ssize_t n;

	if (s->root)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	s->tgid = getpid();
	s->tid = syscall(SYS_gettid);
	/* "<tgid>/task/<tid>" */
	n = readlinkat(PROC_FD, "thread-self", link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = '\0';
	s->out_tgid = strtol(p, &p, 10);
	p = strrchr(link, '/');
	s->out_tid = p ? atoi(p + 1) : 0;

	store(&s->hello, 1);
	__atomic_fetch_add(&shm->bell, 1, __ATOMIC_SEQ_CST);
	futex_wake(&shm->bell);
}

static void worker(int me)
{
	struct slot *s = &shm->slot[me];
	/* before the hello: after an exec the command for it is an old one */
	uint32_t go = load(&s->go);
	int ret;

	say_hello(s);
	for (;;) {
		while (load(&s->go) == go)
			futex_wait(&s->go, go, -1);
		go = load(&s->go);

		switch ((enum worker_cmd)s->cmd) {
		case CMD_FORK:
			ret = caba_fork(s->arg[0]);
			if (!ret) {
				me = s->arg[1];
				s = &shm->slot[me];
				go = 0;
				say_hello(s);
				continue;
			}
			if (ret < 0)
				ret = -errno;
			break;
		case CMD_VFORK:
			ret = clone(thread_start, stack_top(s->arg[1]),
				    CLONE_VM | CLONE_VFORK | SIGCHLD,
				    (void *)(intptr_t)s->arg[0]);
			if (ret < 0)
				ret = -errno;
			break;
		case CMD_THREAD:
			ret = clone(thread_start, stack_top(s->arg[1]),
				    CLONE_VM | CLONE_FS | CLONE_FILES |
				    CLONE_SIGHAND | CLONE_THREAD |
				    CLONE_SYSVSEM,
				    (void *)(intptr_t)s->arg[0]);
			if (ret < 0)
				ret = -errno;
			break;
		case CMD_THREAD_EXIT:
			syscall(SYS_exit, 0);
			ret = -EIO;
			break;
		case CMD_EXIT:
			syscall(SYS_exit_group, 0);
			ret = -EIO;
			break;
		case CMD_EXEC:
			ret = do_exec(me);
			break;
		case CMD_WAIT:
			ret = do_wait(s->arg[0]);
			break;
		case CMD_SUBREAPER:
			ret = prctl(PR_SET_CHILD_SUBREAPER, s->arg[0]) ?
				-errno : 0;
			break;
		case CMD_IGNORE:
			ret = do_ignore(s->arg[0]);
			break;
		case CMD_SETSID:
			ret = setsid() < 0 ? -errno : 0;
			break;
		case CMD_UNSHARE:
			ret = unshare(CLONE_NEWPID) ? -errno : 0;
			break;
		case CMD_SETNS:
			ret = do_setns(s->arg[0]);
			break;
		case CMD_ATTACH:
			ret = ptrace(PTRACE_SEIZE, s->arg[0], NULL, NULL) ?
				-errno : 0;
			break;
		case CMD_DETACH:
			ret = do_detach(s->arg[0]);
			break;
		case CMD_PROCFS:
			ret = caba_mount("proc");
			break;
		case CMD_CLOSE:
			ret = close(s->arg[0]) ? -errno : 0;
			break;
		default:
			ret = -EINVAL;
		}

		s->ret = ret;
		store(&s->done, go);
		__atomic_fetch_add(&shm->bell, 1, __ATOMIC_SEQ_CST);
		futex_wake(&shm->bell);
	}
}

/* ---- the model ---- */

enum life {
	UNUSED,
	ALIVE,		/* some thread has not exited */
	DYING,		/* a dead init that waits for its namespace to empty */
	ZOMBIE,		/* dead, not released */
	RELEASED,	/* gone; the kernel may need a moment */
};

enum thread_state {
	NO_THREAD,
	IDLE,		/* waits for a command */
	BLOCKED,	/* in vfork() */
	DEAD,		/* a leader not released, or kept by its tracer */
	GONE,		/* released; the kernel may need a moment */
};

struct proc;

struct ns {
	bool used;
	bool dead;		/* its init is: nobody can be born here */
	int id;
	int level;		/* the controller's is 0, the root's 1 */
	int procfs;		/* its mount, or -1 */
	struct ns *up;
	struct proc *init;	/* NULL before its birth and after its release */
};

struct thread {
	enum thread_state state;
	struct proc *proc;
	int no;			/* logical, within the process */
	int stack;
	int fd;			/* .../task/<tid>/status */
	pid_t tid[MAX_DEPTH + 1];
	struct ns *ns_children;
	struct thread *tracer;
	struct thread *vforker;	/* who waits in vfork() for this one to leave */
	pid_t vfork_ret;	/* what vfork() has to return */
	bool acks;		/* left vfork(), a report is due */
};

struct proc {
	enum life life;
	int id;			/* logical: order of births */
	struct ns *ns;
	struct proc *parent;	/* NULL: the controller */
	struct proc *caba;	/* NULL: the controller */
	struct thread *leader;
	int threads_born;
	int fd;			/* /proc/<tgid>/status */
	pid_t pid[MAX_DEPTH + 1];
	bool subreaper;
	bool ignores;		/* SIGCHLD: children reap themselves */
	bool session;		/* called setsid() */
	bool settle;		/* its death has not been seen yet */
};

static struct ns nss[MAX_NS];
static struct proc procs[MAX_PROCS];
static struct thread threads[MAX_THREADS];
static struct proc *root;
static int ns_born, procs_born;

static int thread_slot(const struct thread *t)
{
	return t - threads;
}

/* Not released yet: it has a status file. */
static bool hashed(const struct proc *p)
{
	return p->life == ALIVE || p->life == DYING || p->life == ZOMBIE;
}

static bool thread_hashed(const struct thread *t)
{
	return t->state == IDLE || t->state == BLOCKED || t->state == DEAD;
}

static bool runs(const struct thread *t)
{
	return t->state == IDLE || t->state == BLOCKED;
}

static bool in_ns(const struct ns *ns, const struct ns *above)
{
	while (ns && ns->level > above->level)
		ns = ns->up;
	return ns == above;
}

static bool is_init(const struct proc *p)
{
	return p->ns->init == p;
}

/* How many threads of @p run, or with @all are not released. */
static int count_threads(const struct proc *p, bool all)
{
	struct thread *t;
	int n = 0;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->proc == p && (all ? thread_hashed(t) : runs(t)))
			n++;
	return n;
}

/* A dead process that can be reported to its parent. */
static bool complete(const struct proc *p)
{
	return p->life == ZOMBIE && count_threads(p, true) == 1;
}

static void proc_complete(struct proc *p);

static void release_thread(struct thread *t)
{
	t->state = GONE;
	t->tracer = NULL;
	t->proc->settle = true;
}

static void release_proc(struct proc *p)
{
	if (is_init(p))
		p->ns->init = NULL;
	release_thread(p->leader);
	p->life = RELEASED;
}

static void untrace(struct thread *t)
{
	t->tracer = NULL;
	if (t->state != DEAD)
		return;
	if (t != t->proc->leader)
		release_thread(t);
	if (complete(t->proc))
		proc_complete(t->proc);
}

/* Tell the parent, or the tracer first. */
static void proc_complete(struct proc *p)
{
	if (p->leader->tracer)
		return;
	if (p->parent && p->parent->ignores)
		release_proc(p);
}

static void thread_exits(struct thread *t)
{
	struct thread *other;

	for (other = threads; other < threads + MAX_THREADS; other++) {
		if (!thread_hashed(other))
			continue;
		if (other->tracer == t)
			untrace(other);
		if (other->vforker == t)
			other->vforker = NULL;
	}
	if (t->vforker) {
		t->vforker->state = IDLE;
		t->vforker->acks = true;
		t->vforker = NULL;
	}
	t->proc->settle = true;
	if (t == t->proc->leader || t->tracer)
		t->state = DEAD;
	else
		release_thread(t);
}

static struct proc *find_reaper(const struct proc *p)
{
	struct proc *r;

	for (r = p->parent; r && r->ns->level == p->ns->level; r = r->parent)
		if (r->subreaper && r->life == ALIVE)
			return r;
	return p->ns->init;
}

static void reparent(struct proc *dead)
{
	struct proc *p, *reaper = NULL;

	for (p = procs; p < procs + MAX_PROCS; p++) {
		if (!hashed(p) || p->parent != dead)
			continue;
		if (!reaper)
			reaper = find_reaper(dead);
		p->parent = reaper;
		if (complete(p))
			proc_complete(p);
	}
}

static void kill_proc(struct proc *p);

/* The last thread of @p has exited. */
static void proc_dies(struct proc *dead)
{
	struct proc *p;

	for (p = procs; p < procs + MAX_PROCS; p++)
		if (hashed(p) && p->caba == dead)
			p->caba = dead->caba;

	if (!is_init(dead)) {
		dead->life = ZOMBIE;
		reparent(dead);
		if (complete(dead))
			proc_complete(dead);
		return;
	}

	/* It kills its namespace, reaps what it can and waits for the rest. */
	dead->life = DYING;
	dead->ns->dead = true;
	dead->ignores = true;
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (p->life == ALIVE && in_ns(p->ns, dead->ns))
			kill_proc(p);
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (p->parent == dead && complete(p) && !p->leader->tracer)
			release_proc(p);
}

static void kill_proc(struct proc *p)
{
	struct thread *t;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->proc == p && runs(t))
			thread_exits(t);
	proc_dies(p);
}

/* Let dead inits go whose namespaces are empty by now. */
static void finish_inits(void)
{
	struct proc *init, *p;
	bool again;

	do {
		again = false;
		for (init = procs; init < procs + MAX_PROCS; init++) {
			if (init->life != DYING)
				continue;
			for (p = procs; p < procs + MAX_PROCS; p++)
				if (p != init && hashed(p) &&
				    in_ns(p->ns, init->ns))
					break;
			if (p < procs + MAX_PROCS)
				continue;
			init->life = ZOMBIE;
			init->settle = true;
			if (complete(init))
				proc_complete(init);
			again = true;
		}
	} while (again);
}

/* @t becomes its process's only thread and its leader. */
static void thread_execs(struct thread *t)
{
	struct proc *p = t->proc;
	struct thread *old = p->leader, *other;

	for (other = threads; other < threads + MAX_THREADS; other++) {
		if (other->proc != p || other == t || !thread_hashed(other))
			continue;
		if (other == old)
			other->tracer = NULL;
		if (runs(other))
			thread_exits(other);
		if (thread_hashed(other))
			release_thread(other);
	}
	if (t->vforker) {
		t->vforker->state = IDLE;
		t->vforker->acks = true;
		t->vforker = NULL;
	}
	if (t != old) {
		/* the two have exchanged their tids before the old one went */
		int fd = old->fd;

		old->fd = t->fd;
		t->fd = fd;
		memcpy(t->tid, p->pid, sizeof(t->tid));
		p->leader = t;
	}
	t->stack = 0;
}

static struct ns *new_ns(struct ns *up)
{
	struct ns *ns;

	for (ns = nss; ns < nss + MAX_NS; ns++) {
		if (ns->used)
			continue;
		*ns = (struct ns) {
			.used = true,
			.id = ++ns_born,
			.level = up ? up->level + 1 : 0,
			.up = up,
			.procfs = -1,
		};
		return ns;
	}
	return NULL;
}

static struct proc *new_proc(void)
{
	struct proc *p;

	for (p = procs; p < procs + MAX_PROCS; p++) {
		if (p->life != UNUSED)
			continue;
		memset(p, 0, sizeof(*p));
		p->fd = -1;
		p->id = ++procs_born;
		return p;
	}
	return NULL;
}

/* A stack is taken as long as any thread of any process grew up on it. */
static int new_stack(void)
{
	bool taken[MAX_THREADS + 1] = {};
	struct thread *t;
	int i;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->state != NO_THREAD)
			taken[t->stack] = true;
	for (i = 1; i < MAX_THREADS; i++)
		if (!taken[i])
			return i;
	return -1;
}

static struct thread *new_thread(struct proc *p)
{
	struct thread *t;

	for (t = threads; t < threads + MAX_THREADS; t++) {
		if (t->state != NO_THREAD)
			continue;
		memset(t, 0, sizeof(*t));
		t->fd = -1;
		t->proc = p;
		t->no = ++p->threads_born;
		memset(&shm->slot[thread_slot(t)], 0, sizeof(struct slot));
		shm->slot[thread_slot(t)].root = p == root;
		return t;
	}
	return NULL;
}

/* ---- randomness ---- */

static uint64_t rng;

/* Below @n. splitmix64: the same on every architecture. */
static unsigned int rnd(unsigned int n)
{
	uint64_t z = rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % n;
}

/* ---- controller ---- */

enum op {
	OP_FORK, OP_FORK_THREAD, OP_VFORK, OP_SIBLING, OP_NEWPID,
	OP_THREAD, OP_THREAD_EXIT, OP_LEADER_EXIT, OP_EXEC, OP_EXEC_THREAD,
	OP_EXIT, OP_KILL, OP_NS_DEATH, OP_WAIT, OP_SUBREAPER, OP_IGNORE,
	OP_SETSID, OP_UNSHARE, OP_SETNS, OP_ATTACH, OP_DETACH,
	OP_COUNT
};

static const struct {
	const char *name;
	unsigned int weight;
	int growth;		/* of the number of processes */
} ops[OP_COUNT] = {
	[OP_FORK]	 = { "fork", 24, 1 },
	[OP_FORK_THREAD] = { "fork from a thread", 12, 1 },
	[OP_VFORK]	 = { "vfork", 6, 1 },
	[OP_SIBLING]	 = { "CLONE_PARENT", 12, 1 },
	[OP_NEWPID]	 = { "CLONE_NEWPID", 5, 1 },
	[OP_THREAD]	 = { "thread", 14, 0 },
	[OP_THREAD_EXIT] = { "thread exit", 7, 0 },
	[OP_LEADER_EXIT] = { "leader exit", 5, 0 },
	[OP_EXEC]	 = { "exec", 4, 0 },
	[OP_EXEC_THREAD] = { "exec from a thread", 5, 0 },
	[OP_EXIT]	 = { "exit", 12, -1 },
	[OP_KILL]	 = { "kill", 12, -1 },
	[OP_NS_DEATH]	 = { "death of an init", 2, -1 },
	[OP_WAIT]	 = { "wait", 20, -1 },
	[OP_SUBREAPER]	 = { "sub-reaper", 7, 0 },
	[OP_IGNORE]	 = { "ignore SIGCHLD", 3, 0 },
	[OP_SETSID]	 = { "setsid", 3, 0 },
	[OP_UNSHARE]	 = { "unshare", 4, 0 },
	[OP_SETNS]	 = { "setns", 6, 0 },
	[OP_ATTACH]	 = { "ptrace attach", 6, 0 },
	[OP_DETACH]	 = { "ptrace detach", 3, 0 },
};

static struct {
	unsigned long long checks, inner_checks, refused;
	unsigned long long op[OP_COUNT];
	unsigned long long steps, seeds, first_seed, last_seed;
} stats;

static unsigned int max_procs = 24;
static unsigned int ops_per_seed = 200;
static bool verbose;

static int out_procfs;
static pid_t controller;	/* in the outermost procfs */
static pid_t root_pid;		/* the same, while there is a root to kill */
static unsigned long long seed;
static unsigned int step;
static char history[HISTORY][160];
static char *op_text = history[0];
static bool failed;

static const char *const life_names[] = {
	[UNUSED] = "unused", [ALIVE] = "alive", [DYING] = "dying",
	[ZOMBIE] = "zombie", [RELEASED] = "released",
};

static const char *const thread_names[] = {
	[NO_THREAD] = "unused", [IDLE] = "idle", [BLOCKED] = "in vfork",
	[DEAD] = "dead", [GONE] = "gone",
};

static void print_proc(const struct proc *p, int depth)
{
	const struct proc *q;
	struct thread *t;

	ksft_print_msg("%*s#%d pid %d %s, parent #%d, ns %d%s%s%s%s\n",
		       depth * 2, "", p->id, p->pid[0], life_names[p->life],
		       p->parent ? p->parent->id : 0, p->ns->id,
		       is_init(p) ? " init" : "",
		       p->subreaper ? ", sub-reaper" : "",
		       p->ignores ? ", ignores SIGCHLD" : "",
		       p->session ? ", session leader" : "");
	for (t = threads; t < threads + MAX_THREADS; t++) {
		if (t->proc != p || !thread_hashed(t))
			continue;
		ksft_print_msg("%*s   thread %d.%d tid %d %s%s, children in ns %d",
			       depth * 2, "", p->id, t->no, t->tid[0],
			       thread_names[t->state],
			       t == p->leader ? ", leader" : "",
			       t->ns_children->id);
		if (t->tracer)
			printf(", traced by %d.%d", t->tracer->proc->id,
			       t->tracer->no);
		printf("\n");
	}
	for (q = procs; q < procs + MAX_PROCS; q++)
		if (hashed(q) && q->caba == p)
			print_proc(q, depth + 1);
}

static void kill_tree(void)
{
	if (root_pid > 0)
		kill(root_pid, SIGKILL);
	root_pid = 0;
}

/* The first difference ends it: all that comes after would be a consequence. */
static void give_up(const char *why)
{
	struct proc *p;
	unsigned int i;

	ksft_print_msg("seed %llu, step %u, %s: %s\n", seed, step, op_text, why);
	ksft_print_msg("replay: caba_fuzz --seed %llu --ops %u --max-procs %u\n",
		       seed, ops_per_seed, max_procs);
	ksft_print_msg("operations until then:\n");
	for (i = step >= HISTORY ? step - HISTORY + 1 : 1; i <= step; i++)
		ksft_print_msg("  %u: %s\n", i, history[i % HISTORY]);
	ksft_print_msg("the tree by the model, by births:\n");
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (hashed(p) && !p->caba)
			print_proc(p, 0);
	kill_tree();
	/* once more: of a long log some see nothing but the results */
	ksft_test_result_fail("seed %llu, step %u, %s: %s\n", seed, step,
			      op_text, why);
	failed = true;
	exit(KSFT_FAIL);
}

#define difference(...) do {						\
	static char why[512];						\
									\
	snprintf(why, sizeof(why), __VA_ARGS__);			\
	give_up(why);							\
} while (0)

#define op_says(...)							\
	snprintf(op_text + strlen(op_text),				\
		 sizeof(history[0]) - strlen(op_text), __VA_ARGS__)

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Wait until a word of @t's slot has the value wanted, or @or reports. */
static void wait_word(struct thread *t, const uint32_t *word, uint32_t want,
		      const struct slot *or)
{
	double end = now() + DEADLINE;
	uint32_t bell;

	for (;;) {
		bell = load(&shm->bell);
		if (load(word) == want || (or && load(&or->done) == or->go))
			return;
		if (now() > end)
			difference("thread %d.%d (tid %d) does not answer",
				   t->proc->id, t->no, t->tid[0]);
		futex_wait(&shm->bell, bell, 1000);
	}
}

static void give_command(struct thread *t, enum worker_cmd cmd, int arg0, int arg1)
{
	struct slot *s = &shm->slot[thread_slot(t)];

	s->cmd = cmd;
	s->arg[0] = arg0;
	s->arg[1] = arg1;
	store(&s->go, s->go + 1);
	futex_wake(&s->go);
}

static int command(struct thread *t, enum worker_cmd cmd, int arg)
{
	struct slot *s = &shm->slot[thread_slot(t)];

	give_command(t, cmd, arg, 0);
	wait_word(t, &s->done, s->go, NULL);
	return s->ret;
}

/* A command that must bring @want. */
static void must(struct thread *t, enum worker_cmd cmd, int arg, int want)
{
	int ret = command(t, cmd, arg);

	if (ret < 0 && ret != want)
		difference("failed: %s", strerror(-ret));
	if (ret != want)
		difference("returned %d instead of %d", ret, want);
	if (want < 0)
		stats.refused++;
}

static int open_status(int procfs, pid_t tgid, pid_t tid)
{
	char path[64];

	if (tid)
		snprintf(path, sizeof(path), "%d/task/%d/status", (int)tgid,
			 (int)tid);
	else
		snprintf(path, sizeof(path), "%d/status", (int)tgid);
	return openat(procfs, path, O_RDONLY | O_CLOEXEC);
}

static int read_status(int fd, char buf[CABA_STATUS_SIZE])
{
	ssize_t n = pread(fd, buf, CABA_STATUS_SIZE - 1, 0);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void open_thread(struct thread *t)
{
	struct proc *p = t->proc;

	close_fd(&t->fd);
	t->fd = open_status(out_procfs, p->pid[0], t->tid[0]);
	if (t->fd < 0)
		difference("thread %d.%d: %d/task/%d/status cannot be opened: %s",
			   p->id, t->no, p->pid[0], t->tid[0], strerror(errno));
}

static void open_proc(struct proc *p)
{
	close_fd(&p->fd);
	p->fd = open_status(out_procfs, p->pid[0], 0);
	if (p->fd < 0)
		difference("process #%d: %d/status cannot be opened: %s",
			   p->id, p->pid[0], strerror(errno));
}

/* Learn the numbers of a thread at all levels from what it sees itself. */
static void meet(struct thread *t)
{
	struct slot *s = &shm->slot[thread_slot(t)];
	struct proc *p = t->proc;
	pid_t levels[CABA_MAX_LEVELS];
	char buf[CABA_STATUS_SIZE];
	const char *line;
	int n;

	t->state = IDLE;
	t->tid[0] = s->out_tid;
	if (!p->leader) {
		p->leader = t;
		p->life = ALIVE;
		p->pid[0] = s->out_tgid;
		open_proc(p);
	}
	open_thread(t);
	n = read_status(t->fd, buf);
	line = n < 0 ? NULL : caba_find_line(buf, "NSpid:");
	n = line ? caba_parse_line(line, "NSpid:", levels) : -1;
	if (n != p->ns->level + 1)
		difference("thread %d.%d (tid %d) is in %d pid namespaces instead of %d",
			   p->id, t->no, t->tid[0], n, p->ns->level + 1);
	memcpy(t->tid, levels, n * sizeof(*levels));
	if (t == p->leader)
		memcpy(p->pid, levels, n * sizeof(*levels));
	if (s->out_tgid != p->pid[0] || s->tgid != p->pid[p->ns->level] ||
	    s->tid != levels[n - 1])
		difference("thread %d.%d (tid %d) sees itself as %d/%d",
			   p->id, t->no, t->tid[0], s->tgid, s->tid);
}

/* The number of @p in the namespace @reader, or 0. NULL is the controller. */
static pid_t pid_seen(const struct proc *p, const struct ns *reader)
{
	if (!p)
		return reader->level ? 0 : controller;
	return in_ns(p->ns, reader) ? p->pid[reader->level] : 0;
}

static void levels_line(char *line, const char *key, const struct proc *p,
			const struct ns *reader)
{
	int level;

	line += sprintf(line, "%s\t%d", key, (int)pid_seen(p, reader));
	if (p && in_ns(p->ns, reader))
		for (level = reader->level + 1; level <= p->ns->level; level++)
			line += sprintf(line, "\t%d", (int)p->pid[level]);
	sprintf(line, "\n");
}

/* What the status files of a process and of its threads have to say. */
struct expected {
	char tgid[24], ppid[24], nstgid[96], nscaba[96];
};

static void expect(struct expected *e, const struct proc *p,
		   const struct ns *reader)
{
	sprintf(e->tgid, "Tgid:\t%d\n", (int)pid_seen(p, reader));
	sprintf(e->ppid, "PPid:\t%d\n", (int)pid_seen(p->parent, reader));
	levels_line(e->nstgid, "NStgid:", p, reader);
	levels_line(e->nscaba, "NScaba:", p->caba, reader);
}

/* For a difference: the process's own status file, or a thread's. */
static const char *whose(const struct proc *p, const struct thread *t)
{
	static char text[80];

	if (t)
		snprintf(text, sizeof(text), "thread %d.%d (pid %d tid %d)",
			 p->id, t->no, p->pid[0], t->tid[0]);
	else
		snprintf(text, sizeof(text), "process #%d (pid %d)", p->id,
			 p->pid[0]);
	return text;
}

static const char *want_line(const char *text, const char *key,
			     const char *want, const struct proc *p,
			     const struct thread *t, const struct ns *reader)
{
	const char *line = caba_find_line(text, key);

	if (!line)
		difference("%s read from ns %d: no line %s", whose(p, t),
			   reader->id, key);
	if (strncmp(line, want, strlen(want)))
		difference("%s read from ns %d: %.*s, expected %.*s",
			   whose(p, t), reader->id,
			   (int)strcspn(line, "\n"), line,
			   (int)strcspn(want, "\n"), want);
	return line;
}

/* A zombie's state is Z, a dying init's depends on which thread went last. */
static bool state_is(const char *text, const struct proc *p,
		     const struct thread *t)
{
	const char *line = caba_find_line(text, "State:");
	bool zombie = line && !strncmp(line, "State:\tZ", 8);

	if (!t)
		t = p->leader;
	return p->life == DYING || zombie == (t->state == DEAD);
}

static void check_text(const char *text, const struct expected *e,
		       const struct proc *p, const struct thread *t,
		       const struct ns *reader)
{
	const char *at = text;

	if (!state_is(text, p, t))
		difference("%s is not %s", whose(p, t),
			   thread_names[(t ?: p->leader)->state]);
	at = want_line(at, "Tgid:", e->tgid, p, t, reader);
	at = want_line(at, "PPid:", e->ppid, p, t, reader);
	at = want_line(at, "NStgid:", e->nstgid, p, t, reader);
	want_line(at, "NScaba:", e->nscaba, p, t, reader);
	stats.checks++;
	if (reader->level)
		stats.inner_checks++;
}

/* One status file; @fd -1 means by its path in the procfs of @reader. */
static void check_file(int fd, const struct expected *e, const struct proc *p,
		       const struct thread *t, const struct ns *reader)
{
	char buf[CABA_STATUS_SIZE];
	bool opened = fd < 0;
	int n;

	if (opened)
		fd = open_status(reader->procfs, p->pid[reader->level],
				 t ? t->tid[reader->level] : 0);
	n = fd < 0 ? -errno : read_status(fd, buf);
	if (opened && fd >= 0)
		close(fd);
	if (n < 0)
		difference("%s read from ns %d: no status: %s", whose(p, t),
			   reader->id, strerror(-n));
	check_text(buf, e, p, t, reader);
}

/* All processes and threads that can be seen from @reader. */
static void check_from(const struct ns *reader)
{
	struct expected e;
	struct thread *t;
	struct proc *p;

	for (p = procs; p < procs + MAX_PROCS; p++) {
		if (!hashed(p) || !in_ns(p->ns, reader))
			continue;
		expect(&e, p, reader);
		check_file(reader->level ? -1 : p->fd, &e, p, NULL, reader);
		for (t = threads; t < threads + MAX_THREADS; t++) {
			if (t->proc != p || !thread_hashed(t))
				continue;
			check_file(reader->level ? -1 : t->fd, &e, p, t,
				   reader);
		}
	}
}

static int count_numbers(int procfs, const char *path)
{
	int fd = openat(procfs, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *d;
	int n = 0;
	DIR *dir;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		difference("%s cannot be listed: %s", path, strerror(errno));
	while ((d = readdir(dir)))
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9')
			n++;
	closedir(dir);
	return n;
}

/* Nobody there whom the model does not know. */
static void check_numbers(void)
{
	int seen, want = 0;
	struct proc *p;
	char path[32];

	for (p = procs; p < procs + MAX_PROCS; p++) {
		if (!hashed(p))
			continue;
		want++;
		if (p->life == DYING)
			continue;
		sprintf(path, "%d/task", (int)p->pid[0]);
		seen = count_numbers(out_procfs, path);
		if (seen != count_threads(p, true))
			difference("#%d pid %d has %d threads instead of %d",
				   p->id, p->pid[0], seen,
				   count_threads(p, true));
	}
	if (!root->ns->dead) {
		seen = count_numbers(root->ns->procfs, ".");
		if (seen != want)
			difference("%d processes instead of %d", seen, want);
	}
}

static void check_everything(void)
{
	struct thread *t;
	struct proc *p;
	struct ns *ns;

	check_numbers();
	/* by path, as anybody else would come */
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (hashed(p))
			open_proc(p);
	for (t = threads; t < threads + MAX_THREADS; t++)
		if (thread_hashed(t) && t->proc->life != DYING)
			open_thread(t);
	for (ns = nss; ns < nss + MAX_NS; ns++)
		if (ns->used && (ns->procfs >= 0 || !ns->level))
			check_from(ns);
}

static void check_inner(void)
{
	struct ns *ns, *pick = NULL;
	int n = 0;

	for (ns = nss; ns < nss + MAX_NS; ns++)
		if (ns->used && ns->level && ns->procfs >= 0 && !rnd(++n))
			pick = ns;
	if (pick)
		check_from(pick);
}

static bool ignores_sigchld(const char *text)
{
	const char *line = caba_find_line(text, "SigIgn:");

	return line && strtoull(line + 7, NULL, 16) >> (SIGCHLD - 1) & 1;
}

/* Has the kernel done what the model says of @p's death? */
static bool settled(const struct proc *p)
{
	char buf[CABA_STATUS_SIZE];
	struct thread *t;
	int n;

	for (t = threads; t < threads + MAX_THREADS; t++) {
		if (t->proc != p || t->fd < 0)
			continue;
		if (p->life == DYING && t != p->leader)
			continue;
		n = read_status(t->fd, buf);
		if (t->state == GONE && n != -ESRCH)
			return false;
		if (t->state == DEAD && (n < 0 || !state_is(buf, p, t)))
			return false;
		/* the first thing a dying init does after telling its CABDs */
		if (p->life == DYING && (n < 0 || !ignores_sigchld(buf)))
			return false;
	}
	if (p->life == RELEASED && p->fd >= 0)
		return read_status(p->fd, buf) == -ESRCH;
	return true;
}

static void settle_proc(struct proc *p)
{
	double end = now() + DEADLINE;
	struct timespec pause = { 0, 20000 };
	struct thread *t;
	int tries = 0;

	while (!settled(p)) {
		if (now() > end)
			difference("#%d pid %d is not %s", p->id, p->pid[0],
				   life_names[p->life]);
		if (tries++ < 4) {
			sched_yield();
			continue;
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 5000000)
			pause.tv_nsec += pause.tv_nsec / 2;
	}
	p->settle = false;
	/* one of its threads, which one we cannot know, is not gone yet */
	if (p->life == DYING)
		return;
	for (t = threads; t < threads + MAX_THREADS; t++) {
		if (t->proc != p || t->state != GONE)
			continue;
		close_fd(&t->fd);
		t->state = NO_THREAD;
		t->proc = NULL;
	}
	if (p->life == RELEASED) {
		close_fd(&p->fd);
		p->life = UNUSED;
	}
}

static void free_nss(void)
{
	struct thread *t;
	struct proc *p;
	struct ns *ns, *up;
	bool used[MAX_NS] = { true };

	for (p = procs; p < procs + MAX_PROCS; p++)
		if (hashed(p))
			for (up = p->ns; up; up = up->up)
				used[up - nss] = true;
	for (t = threads; t < threads + MAX_THREADS; t++)
		if (runs(t))
			for (up = t->ns_children; up; up = up->up)
				used[up - nss] = true;
	for (ns = nss; ns < nss + MAX_NS; ns++) {
		if (!ns->used || used[ns - nss])
			continue;
		close_fd(&ns->procfs);
		ns->used = false;
	}
}

/* Wait for what is not finished when the command is: deaths, ends of vfork. */
static void settle(void)
{
	siginfo_t info;
	struct thread *t;
	struct proc *p;

	finish_inits();
	for (t = threads; t < threads + MAX_THREADS; t++) {
		struct slot *s = &shm->slot[thread_slot(t)];

		if (t->state != IDLE || !t->acks)
			continue;
		wait_word(t, &s->done, s->go, NULL);
		if (s->ret != t->vfork_ret)
			difference("vfork in %d.%d returned %d instead of %d",
				   t->proc->id, t->no, s->ret, t->vfork_ret);
		t->acks = false;
	}
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (p->settle)
			settle_proc(p);
	free_nss();
	/* takes tasklist_lock: who still writes there has finished then */
	waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
}

/* ---- the operations: false if they are not possible now ---- */

typedef bool (*filter)(const struct thread *t);

static bool any_thread(const struct thread *t)
{
	return t->state == IDLE;
}

static bool is_leader(const struct thread *t)
{
	return t == t->proc->leader;
}

static bool not_leader(const struct thread *t)
{
	return t != t->proc->leader;
}

static struct thread *pick_thread(filter f)
{
	struct thread *t, *pick = NULL;
	int n = 0;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->state == IDLE && f(t) && !rnd(++n))
			pick = t;
	return pick;
}

static unsigned int count_procs(void)
{
	unsigned int n = 0;
	struct proc *p;

	for (p = procs; p < procs + MAX_PROCS; p++)
		if (p->life != UNUSED)
			n++;
	return n;
}

static unsigned int count_all_threads(void)
{
	unsigned int n = 0;
	struct thread *t;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->state != NO_THREAD)
			n++;
	return n;
}

static void begin_by_none(const char *name)
{
	op_text = history[step % HISTORY];
	snprintf(op_text, sizeof(history[0]), "%s", name);
}

static void begin(const char *name, const struct thread *t)
{
	begin_by_none(name);
	op_says(" by %d.%d", t->proc->id, t->no);
}

/* A procfs of @t's namespace, which is new. */
static void mount_procfs(struct thread *t)
{
	char path[40];
	int fd;

	fd = command(t, CMD_PROCFS, 0);
	if (fd < 0)
		difference("no procfs in ns %d: %s", t->proc->ns->id,
			   strerror(-fd));
	snprintf(path, sizeof(path), "%d/fd/%d", (int)t->proc->pid[0], fd);
	t->proc->ns->procfs = openat(out_procfs, path,
				     O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc->ns->procfs < 0)
		difference("procfs of ns %d: %s", t->proc->ns->id,
			   strerror(errno));
	must(t, CMD_CLOSE, fd, 0);
}

/* The model's side of a birth; @t is the creator. */
static struct thread *give_birth(struct thread *t, int flags)
{
	struct proc *p = new_proc();
	struct thread *child;

	if (!p)
		difference("more processes than the model can hold");
	p->ns = t->ns_children;
	if (flags & CLONE_NEWPID)
		p->ns = new_ns(t->ns_children);
	if (!p->ns)
		difference("more namespaces than the model can hold");
	p->parent = flags & CLONE_PARENT ? t->proc->parent : t->proc;
	p->caba = t->proc;
	p->ignores = t->proc->ignores;
	child = new_thread(p);
	if (!child)
		difference("more threads than the model can hold");
	child->ns_children = p->ns;
	child->stack = t->stack;
	return child;
}

/* After the first report of a new process. */
static void welcome(struct thread *t, struct thread *child)
{
	struct proc *p = child->proc;

	meet(child);
	op_says(" -> #%d", p->id);
	if (t->proc->pid[0] == p->pid[0])
		difference("the child has its creator's pid");
	if (p->ns->init)
		return;
	/* An init has to reap: it must be seen when it begins to ignore. */
	p->ns->init = p;
	if (p->ignores) {
		must(child, CMD_IGNORE, 0, 0);
		p->ignores = false;
	}
	if (rnd(2))
		mount_procfs(child);
}

/* What fails is worth a try, but not as often as all the rest. */
static bool refuse_rarely(void)
{
	return rnd(6);
}

static int birth_error(const struct thread *t, int flags)
{
	if ((flags & CLONE_PARENT) && is_init(t->proc))
		return -EINVAL;
	if ((flags & CLONE_NEWPID) && t->ns_children != t->proc->ns)
		return -EINVAL;
	if (t->ns_children->dead)
		return -ENOMEM;
	return 0;
}

static bool do_birth(const char *name, filter f, int flags)
{
	struct thread *t = pick_thread(f), *child;
	struct slot *s;
	int error;

	if (!t || count_procs() >= max_procs)
		return false;
	if ((flags & CLONE_NEWPID) && t->ns_children->level >= MAX_DEPTH)
		return false;
	error = birth_error(t, flags);
	if (error && refuse_rarely())
		return false;
	begin(name, t);
	s = &shm->slot[thread_slot(t)];
	if (error) {
		give_command(t, CMD_FORK, flags, 0);
		wait_word(t, &s->done, s->go, NULL);
		if (s->ret != error)
			difference("returned %d instead of %d", s->ret, error);
		op_says(" refused");
		stats.refused++;
		return true;
	}
	child = give_birth(t, flags);
	give_command(t, CMD_FORK, flags, thread_slot(child));
	wait_word(t, &s->done, s->go, NULL);
	if (s->ret < 0)
		difference("failed: %s", strerror(-s->ret));
	wait_word(child, &shm->slot[thread_slot(child)].hello, 1, NULL);
	welcome(t, child);
	if (s->ret != child->proc->pid[t->proc->ns->level])
		difference("returned %d instead of %d", s->ret,
			   child->proc->pid[t->proc->ns->level]);
	return true;
}

static bool do_vfork(void)
{
	struct thread *t = pick_thread(any_thread), *child;
	struct slot *s;

	if (!t || count_procs() >= max_procs || birth_error(t, 0))
		return false;
	begin(ops[OP_VFORK].name, t);
	s = &shm->slot[thread_slot(t)];
	child = give_birth(t, 0);
	child->stack = new_stack();
	child->vforker = t;
	give_command(t, CMD_VFORK, thread_slot(child), child->stack);
	wait_word(child, &shm->slot[thread_slot(child)].hello, 1, s);
	if (load(&s->done) == s->go)
		difference("returned %d at once", s->ret);
	t->state = BLOCKED;
	welcome(t, child);
	t->vfork_ret = child->proc->pid[t->proc->ns->level];
	return true;
}

static bool do_thread(void)
{
	struct thread *t = pick_thread(any_thread), *thread;
	struct slot *s;

	if (!t || count_all_threads() >= 2 * max_procs)
		return false;
	if (t->ns_children != t->proc->ns && refuse_rarely())
		return false;
	begin(ops[OP_THREAD].name, t);
	s = &shm->slot[thread_slot(t)];
	if (t->ns_children != t->proc->ns) {
		must(t, CMD_THREAD, 0, -EINVAL);
		op_says(" refused");
		return true;
	}
	thread = new_thread(t->proc);
	if (!thread)
		difference("more threads than the model can hold");
	thread->ns_children = t->ns_children;
	thread->stack = new_stack();
	give_command(t, CMD_THREAD, thread_slot(thread), thread->stack);
	wait_word(t, &s->done, s->go, NULL);
	if (s->ret < 0)
		difference("failed: %s", strerror(-s->ret));
	wait_word(thread, &shm->slot[thread_slot(thread)].hello, 1, NULL);
	meet(thread);
	op_says(" -> %d.%d", thread->proc->id, thread->no);
	return true;
}

static bool can_exit_thread(const struct thread *t)
{
	return not_leader(t) && (t->proc != root ||
				 count_threads(t->proc, false) > 1);
}

static bool can_exit_leader(const struct thread *t)
{
	return is_leader(t) && count_threads(t->proc, false) > 1;
}

/*
 * A dead child is held by its thread that we trace, too. Whether our last
 * thread or another lets it go decides whether we, who ignore, or the reaper
 * is told: not for a model to know.
 */
static bool unclear_death(const struct proc *p)
{
	struct thread *t;

	for (t = threads; t < threads + MAX_THREADS; t++)
		if (p->ignores && t->state == DEAD && t->tracer &&
		    t->tracer->proc == p && t->proc->parent == p &&
		    t->proc->life == ZOMBIE && t != t->proc->leader)
			return true;
	return false;
}

static bool do_thread_exit(const char *name, filter f)
{
	struct thread *t = pick_thread(f);

	if (!t || unclear_death(t->proc))
		return false;
	begin(name, t);
	give_command(t, CMD_THREAD_EXIT, 0, 0);
	thread_exits(t);
	if (!count_threads(t->proc, false))
		proc_dies(t->proc);
	return true;
}

/*
 * exec waits for all other threads but the leader to be released, and a
 * tracer of another process would not do that while it waits for us.
 */
static bool can_exec(const struct thread *t)
{
	struct thread *other;

	for (other = threads; other < threads + MAX_THREADS; other++)
		if (other->proc == t->proc && thread_hashed(other) &&
		    other != t && not_leader(other) && other->tracer)
			return false;
	return true;
}

static bool can_exec_leader(const struct thread *t)
{
	return is_leader(t) && can_exec(t);
}

static bool can_exec_thread(const struct thread *t)
{
	return not_leader(t) && can_exec(t);
}

static bool do_exec_by(const char *name, filter f)
{
	struct thread *t = pick_thread(f);
	struct slot *s;

	if (!t)
		return false;
	begin(name, t);
	s = &shm->slot[thread_slot(t)];
	store(&s->hello, 0);
	give_command(t, CMD_EXEC, 0, 0);
	wait_word(t, &s->hello, 1, s);
	if (load(&s->done) == s->go)
		difference("failed: %s", strerror(-s->ret));
	thread_execs(t);
	meet(t);
	return true;
}

static bool not_root(const struct thread *t)
{
	return t->proc != root;
}

static bool of_init(const struct thread *t)
{
	return t->proc != root && is_init(t->proc);
}

static bool do_exit(const char *name, filter f)
{
	struct thread *t = pick_thread(f);

	if (!t || unclear_death(t->proc))
		return false;
	begin(name, t);
	give_command(t, CMD_EXIT, 0, 0);
	kill_proc(t->proc);
	return true;
}

static bool do_kill(const char *name, bool init)
{
	struct proc *p, *pick = NULL;
	int n = 0;

	for (p = procs; p < procs + MAX_PROCS; p++) {
		if (p->life != ALIVE || p == root || (init && !is_init(p)) ||
		    unclear_death(p))
			continue;
		if (!rnd(++n))
			pick = p;
	}
	if (!pick)
		return false;
	begin_by_none(name);
	op_says(": SIGKILL to #%d", pick->id);
	if (kill(pick->pid[0], SIGKILL))
		difference("kill: %s", strerror(errno));
	kill_proc(pick);
	return true;
}

static bool do_wait_for(void)
{
	struct thread *t, *pick = NULL, *waiter = NULL;
	struct proc *by = NULL, *p;
	int n = 0;

	/* dead: a child to reap, or somebody's tracee */
	for (t = threads; t < threads + MAX_THREADS; t++) {
		struct proc *who;

		p = t->proc;
		if (t->state != DEAD || p->life != ZOMBIE)
			continue;
		if (is_leader(t) && !complete(p))
			continue;
		who = t->tracer ? t->tracer->proc : p->parent;
		if (is_leader(t) || t->tracer)
			if (who && who->life == ALIVE && !rnd(++n)) {
				pick = t;
				by = who;
			}
	}
	if (!pick)
		return false;
	n = 0;
	for (t = threads; t < threads + MAX_THREADS; t++)
		if (t->proc == by && t->state == IDLE && !rnd(++n))
			waiter = t;
	if (!waiter)
		return false;

	p = pick->proc;
	begin(ops[OP_WAIT].name, waiter);
	op_says(" for %d.%d", p->id, pick->no);
	must(waiter, CMD_WAIT, pick->tid[by->ns->level],
	     pick->tid[by->ns->level]);
	if (pick->tracer && (not_leader(pick) || p->parent != by))
		untrace(pick);
	else
		release_proc(p);
	return true;
}

static bool do_subreaper(void)
{
	struct thread *t = pick_thread(any_thread);

	if (!t)
		return false;
	begin(ops[OP_SUBREAPER].name, t);
	t->proc->subreaper = !t->proc->subreaper;
	op_says(t->proc->subreaper ? " on" : " off");
	must(t, CMD_SUBREAPER, t->proc->subreaper, 0);
	return true;
}

static bool not_init(const struct thread *t)
{
	return !is_init(t->proc);
}

static bool do_ignore_by(void)
{
	struct thread *t = pick_thread(not_init);

	if (!t)
		return false;
	begin(ops[OP_IGNORE].name, t);
	t->proc->ignores = !t->proc->ignores;
	op_says(t->proc->ignores ? " on" : " off");
	must(t, CMD_IGNORE, t->proc->ignores, 0);
	return true;
}

static bool no_session(const struct thread *t)
{
	return !t->proc->session;
}

static bool do_setsid(void)
{
	struct thread *t = pick_thread(no_session);

	if (!t)
		return false;
	begin(ops[OP_SETSID].name, t);
	must(t, CMD_SETSID, 0, 0);
	t->proc->session = true;
	return true;
}

static bool do_unshare(void)
{
	struct thread *t = pick_thread(any_thread);
	struct ns *ns;

	if (!t || t->ns_children->level >= MAX_DEPTH)
		return false;
	if (t->ns_children != t->proc->ns && refuse_rarely())
		return false;
	begin(ops[OP_UNSHARE].name, t);
	if (t->ns_children != t->proc->ns) {
		must(t, CMD_UNSHARE, 0, -EINVAL);
		op_says(" refused");
		return true;
	}
	ns = new_ns(t->proc->ns);
	if (!ns)
		return false;
	must(t, CMD_UNSHARE, 0, 0);
	t->ns_children = ns;
	op_says(" -> ns %d", ns->id);
	return true;
}

static bool do_setns_by(void)
{
	struct thread *t = pick_thread(any_thread);
	struct ns *ns, *pick = NULL;
	int n = 0;

	if (!t)
		return false;
	for (ns = nss; ns < nss + MAX_NS; ns++)
		if (ns->used && ns->init && in_ns(ns, t->proc->ns) &&
		    !rnd(++n))
			pick = ns;
	/* home again now and then, or nobody would be born there any more */
	if (t->ns_children != t->proc->ns && rnd(2))
		pick = t->proc->ns;
	if (!pick)
		return false;
	begin(ops[OP_SETNS].name, t);
	op_says(" to ns %d", pick->id);
	must(t, CMD_SETNS, pick->init->pid[0], 0);
	t->ns_children = pick;
	return true;
}

static bool do_attach(void)
{
	struct thread *t = pick_thread(any_thread), *x, *pick = NULL;
	int n = 0;

	if (!t)
		return false;
	for (x = threads; x < threads + MAX_THREADS; x++) {
		if (x->state != IDLE || x->tracer || x->proc == t->proc)
			continue;
		if (!in_ns(x->proc->ns, t->proc->ns))
			continue;
		/*
		 * Which of its threads a killed init dies with decides
		 * whether it waits for another that a tracer keeps.
		 */
		if (is_init(x->proc) && not_leader(x))
			continue;
		if (!rnd(++n))
			pick = x;
	}
	if (!pick)
		return false;
	begin(ops[OP_ATTACH].name, t);
	op_says(" to %d.%d", pick->proc->id, pick->no);
	must(t, CMD_ATTACH, pick->tid[t->proc->ns->level], 0);
	pick->tracer = t;
	return true;
}

static bool do_detach_by(void)
{
	struct thread *x, *t, *pick = NULL;
	int n = 0;

	for (x = threads; x < threads + MAX_THREADS; x++)
		if (x->state == IDLE && x->tracer && x->tracer->state == IDLE &&
		    !rnd(++n))
			pick = x;
	if (!pick)
		return false;
	t = pick->tracer;
	begin(ops[OP_DETACH].name, t);
	op_says(" from %d.%d", pick->proc->id, pick->no);
	must(t, CMD_DETACH, pick->tid[t->proc->ns->level], 0);
	pick->tracer = NULL;
	return true;
}

static bool do_op(enum op op)
{
	const char *name = ops[op].name;

	switch (op) {
	case OP_FORK:
		return do_birth(name, is_leader, 0);
	case OP_FORK_THREAD:
		return do_birth(name, not_leader, 0);
	case OP_VFORK:
		return do_vfork();
	case OP_SIBLING:
		return do_birth(name, any_thread, CLONE_PARENT |
				(rnd(8) ? 0 : CLONE_NEWPID));
	case OP_NEWPID:
		return do_birth(name, any_thread, CLONE_NEWPID);
	case OP_THREAD:
		return do_thread();
	case OP_THREAD_EXIT:
		return do_thread_exit(name, can_exit_thread);
	case OP_LEADER_EXIT:
		return do_thread_exit(name, can_exit_leader);
	case OP_EXEC:
		return do_exec_by(name, can_exec_leader);
	case OP_EXEC_THREAD:
		return do_exec_by(name, can_exec_thread);
	case OP_EXIT:
		return do_exit(name, not_root);
	case OP_KILL:
		return do_kill(name, false);
	case OP_NS_DEATH:
		return rnd(2) ? do_kill(name, true) : do_exit(name, of_init);
	case OP_WAIT:
		return do_wait_for();
	case OP_SUBREAPER:
		return do_subreaper();
	case OP_IGNORE:
		return do_ignore_by();
	case OP_SETSID:
		return do_setsid();
	case OP_UNSHARE:
		return do_unshare();
	case OP_SETNS:
		return do_setns_by();
	case OP_ATTACH:
		return do_attach();
	case OP_DETACH:
		return do_detach_by();
	case OP_COUNT:
		break;
	}
	return false;
}

/*
 * Weights drift, so that there are times of births and times of deaths,
 * times of threads and times of namespaces.
 */
static void random_step(void)
{
	static const unsigned int moods[] = { 0, 1, 2, 2, 3, 6 };
	static unsigned int mood[OP_COUNT];
	unsigned int weight[OP_COUNT], sum = 0, n = count_procs(), at, i;
	enum op op;

	if (step % 50 == 1)
		for (i = 0; i < OP_COUNT; i++)
			mood[i] = moods[rnd(ARRAY_SIZE(moods))];

	for (i = 0; i < OP_COUNT; i++) {
		weight[i] = ops[i].weight * (1 + 2 * mood[i]);
		if (ops[i].growth > 0 && n < max_procs / 3)
			weight[i] *= 3;
		if (ops[i].growth < 0)
			weight[i] = n < max_procs / 3 ? weight[i] / 3 :
				    n > max_procs * 3 / 4 ? weight[i] * 2 :
				    weight[i];
		sum += weight[i];
	}
	do {
		at = rnd(sum);
		for (i = 0; at >= weight[i]; i++)
			at -= weight[i];
		op = i;
	} while (!do_op(op));
	stats.op[op]++;
	stats.steps++;
}

static void start_root(void)
{
	struct thread *t;
	struct ns *outer;
	sigset_t all, old;
	struct proc *p;
	struct ns *ns;

	for (p = procs; p < procs + MAX_PROCS; p++)
		close_fd(&p->fd);
	for (t = threads; t < threads + MAX_THREADS; t++)
		close_fd(&t->fd);
	for (ns = nss; ns < nss + MAX_NS; ns++)
		if (ns->used)
			close_fd(&ns->procfs);
	memset(procs, 0, sizeof(procs));
	memset(threads, 0, sizeof(threads));
	memset(nss, 0, sizeof(nss));
	for (p = procs; p < procs + MAX_PROCS; p++)
		p->fd = -1;
	for (t = threads; t < threads + MAX_THREADS; t++)
		t->fd = -1;
	ns_born = -1;
	procs_born = 0;

	begin_by_none("start");
	outer = new_ns(NULL);
	root = new_proc();
	root->ns = new_ns(outer);
	t = new_thread(root);
	t->ns_children = root->ns;

	/* Ever after, in all of the tree, no signal but SIGKILL does a thing. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	fflush(stdout);
	root_pid = caba_fork(CLONE_NEWPID);
	if (!root_pid)
		worker(thread_slot(t));
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (root_pid < 0)
		ksft_exit_fail_msg("clone3(CLONE_NEWPID): %s\n",
				   strerror(errno));
	wait_word(t, &shm->slot[thread_slot(t)].hello, 1, NULL);
	meet(t);
	root->ns->init = root;
	mount_procfs(t);
}

/* The death of the root, an init, must leave nobody but its own zombie. */
static void end_root(void)
{
	struct proc *p;

	step++;
	begin_by_none("death of the root");
	kill(root_pid, SIGKILL);
	kill_proc(root);
	settle();
	check_from(nss);
	for (p = procs; p < procs + MAX_PROCS; p++)
		if (p != root && p->life != UNUSED)
			difference("#%d pid %d outlived the root", p->id,
				   p->pid[0]);
	if (waitpid(root_pid, NULL, 0) != root_pid)
		difference("waitpid: %s", strerror(errno));
	root_pid = 0;
	release_proc(root);
	settle();
}

static void run_seed(unsigned long long s)
{
	unsigned long long checks = stats.checks;
	double start = now();

	seed = s;
	rng = s;
	step = 0;
	ksft_print_msg("seed %llu\n", seed);
	if (!stats.seeds++)
		stats.first_seed = seed;
	stats.last_seed = seed;

	start_root();
	check_everything();
	while (step < ops_per_seed) {
		step++;
		random_step();
		if (verbose)
			ksft_print_msg("%u: %s\n", step, op_text);
		settle();
		if (step % FULL_EVERY)
			check_from(nss);
		else
			check_everything();
		if (!(step % INNER_EVERY))
			check_inner();
	}
	check_everything();
	end_root();
	ksft_print_msg("seed %llu: %u operations, %llu checks, %.1f s\n",
		       seed, ops_per_seed, stats.checks - checks,
		       now() - start);
}

static void print_stats(void)
{
	unsigned int i;

	kill_tree();
	if (!stats.seeds)
		return;
	printf("# %s: %llu checks (%llu from inner namespaces)",
	       failed ? "until the difference" : "no difference",
	       stats.checks, stats.inner_checks);
	printf(" after %llu operations (%llu refused as they must):",
	       stats.steps, stats.refused);
	for (i = 0; i < OP_COUNT; i++)
		printf("%s %s %llu", i ? "," : "", ops[i].name, stats.op[i]);
	printf("; %llu seeds, %llu to %llu\n",
	       stats.seeds, stats.first_seed, stats.last_seed);
	fflush(stdout);
}

static void usage(FILE *f)
{
	fputs("Usage: caba_fuzz [OPTION]...\n"
	      "Grow and kill random process trees and check NScaba against a model.\n"
	      "Without --seed, --ops and --time: some fixed seeds.\n\n"
	      "  --seed S       the random history to run (default: from the time)\n"
	      "  --ops N        operations per seed (default 200, with --time 400)\n"
	      "  --max-procs N  processes at most, zombies included (default 24, up to 90)\n"
	      "  --time SECONDS run seed after seed for that long\n"
	      "  --verbose      print every operation (--trace is the same)\n"
	      "  --help         print this\n", f);
}

static unsigned long long number(const char *text, unsigned long long min,
				 unsigned long long max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || n < min || n > max) {
		fprintf(stderr, "caba_fuzz: not between %llu and %llu: %s\n",
			min, max, text);
		exit(KSFT_FAIL);
	}
	return n;
}

static void fixed_fd(int fd, int to)
{
	if (fd < 0 || dup2(fd, to) != to)
		ksft_exit_fail_msg("file descriptor %d: %s\n", to,
				   strerror(errno));
	if (fd != to)
		close(fd);
}

static void map_shared(void)
{
	shm = mmap(NULL, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED,
		   SHM_FD, 0);
	if (shm == MAP_FAILED)
		exit(KSFT_FAIL);
}

static void set_up(void)
{
	char link[16] = "";
	int fd;

	fd = memfd_create("caba_fuzz", 0);
	fixed_fd(fd, SHM_FD);
	if (ftruncate(SHM_FD, sizeof(*shm)))
		ksft_exit_fail_msg("ftruncate: %s\n", strerror(errno));
	map_shared();
	/* not the /proc that happens to be mounted: that of our namespace */
	out_procfs = caba_mount("proc");
	if (out_procfs < 0)
		ksft_exit_fail_msg("procfs: %s\n", strerror(-out_procfs));
	fixed_fd(out_procfs, PROC_FD);
	out_procfs = PROC_FD;
	fixed_fd(openat(PROC_FD, "self/exe", O_RDONLY), EXE_FD);
	if (readlinkat(PROC_FD, "self", link, sizeof(link) - 1) < 0)
		ksft_exit_fail_msg("procfs: %s\n", strerror(errno));
	controller = atoi(link);
	if (controller != getpid())
		ksft_exit_fail_msg("procfs shows us as %d\n", controller);
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'o' },
		{ "max-procs", required_argument, NULL, 'm' },
		{ "time", required_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "trace", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	static const unsigned long long fixed_seeds[] = { 1, 2, 3, 4, 5 };
	bool seed_given = false, ops_given = false;
	unsigned long long first;
	double seconds = 0, end;
	unsigned int i;
	int c;

	if (argc == 3 && !strcmp(argv[1], "--worker")) {
		map_shared();
		worker(atoi(argv[2]));
	}

	first = time(NULL);
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			first = number(optarg, 0, ULLONG_MAX);
			seed_given = true;
			break;
		case 'o':
			ops_per_seed = number(optarg, 1, 1000000000);
			ops_given = true;
			break;
		case 'm':
			max_procs = number(optarg, 4, 90);
			break;
		case 't':
			seconds = number(optarg, 1, 100000000);
			break;
		case 'v':
			verbose = true;
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

	ksft_print_header();
	if (!caba_supported())
		ksft_exit_skip("%s\n", CABA_NO_KERNEL);
	if (geteuid())
		ksft_exit_skip("needs root, for pid namespaces\n");
	set_up();
	atexit(print_stats);

	if (seconds) {
		if (!ops_given)
			ops_per_seed = 400;
		ksft_set_plan(1);
		end = now() + seconds;
		for (i = 0; !i || now() < end; i++)
			run_seed(first + i);
		ksft_test_result_pass("%u seeds from %llu\n", i, first);
	} else if (seed_given || ops_given) {
		ksft_set_plan(1);
		run_seed(first);
		ksft_test_result_pass("seed %llu\n", first);
	} else {
		ksft_set_plan(ARRAY_SIZE(fixed_seeds));
		for (i = 0; i < ARRAY_SIZE(fixed_seeds); i++) {
			run_seed(fixed_seeds[i]);
			ksft_test_result_pass("seed %llu\n",
					      fixed_seeds[i]);
		}
	}
	ksft_finished();
}
