/*
 * Births from outside.
 *
 * nsenter(1) and "docker exec" put processes into a pid namespace. Orphans of
 * such a one are children of the namespace's init, but not born below it: the
 * CABA is outside, and NScaba is 0. So on restore they, or the helpers above
 * them (who is adopted was a child of somebody who is gone), have to be forked
 * by somebody outside. A fork gives its maker's memory, though, and all that a
 * task is restored from (images, lists of files, mounts) is in the memory of
 * the root task, which is inside, and so are all whom it forks.
 *
 * Therefore the root task is forked by somebody outside who goes on to share
 * its memory and its files, like the parent of a vfork():
 *
 *  - CRIU forks the outsider, and that the root task (CLONE_VM, CLONE_FILES, and
 *    CLONE_PARENT, so the root task is CRIU's child as ever; or both are its
 *    siblings). It gets a stack, but no thread-local storage of its own, so only
 *    one of the two may run.
 *  - The outsider sleeps until it is the turn of somebody who comes from outside
 *    to be forked: before the root task forks its own children, or, with nested
 *    pid namespaces, in between, as the plan says. The root task sleeps then, and
 *    the outsider enters its namespaces (it is in its cgroups from the start: who
 *    makes memory pays for it) and forks. Who is forked is as if the root task had
 *    done it but for the birth.
 *  - After the last one it does nothing but system calls: it waits for these children,
 *    which are helpers and leave on the root task's order as all helpers do, and
 *    exits. What the helpers have forked is a child of the root task then, as
 *    that is the init of their namespace. Before the root task replaces its
 *    memory it waits for the end of the outsider.
 *
 * When one of the two dies, the kernel clears what the other one sleeps on. As a
 * sibling the outsider is waited for by who has called CRIU, if that waits for
 * children that it does not know, or dies.
 *
 * A task can't enter a time namespace while it shares its memory, so the
 * outsider does that for both, before. This needs a root that is the init of a
 * pid namespace. With --join-ns births from outside become births of the root.
 *
 * Several trees of one namespace, each with a parent outside, are not dumped:
 * see check_foreign().
 */
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "types.h"
#include "common/list.h"
#include "caba.h"
#include "cgroup.h"
#include "clone-noasan.h"
#include "cr_options.h"
#include "kerndat.h"
#include "namespaces.h"
#include "pstree.h"
#include "restorer.h"
#include "rst-malloc.h"
#include "rst_info.h"
#include "timens.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* Children run on below their parents; it is as large as any stack may get by default */
#define ROOT_STACK_SIZE (8UL << 20)

enum {
	OUTSIDE_ALONE, /* written by the kernel when the root task or the outsider is gone */
	OUTSIDE_SLEEPS,
	OUTSIDE_FORKS,
	OUTSIDE_HAS_FORKED,
	OUTSIDE_HAS_FAILED,
};

struct outside {
	futex_t root; /* its pid, negative if it could not be forked */
	futex_t state;
	pid_t pid;
	int nr;
};

static struct outside *outside;

/* Shared with the root task, which sets it: who is to be forked, where, and how */
static struct {
	struct pstree_item *item;
	int ns;
	int (*fork_item)(struct pstree_item *);
} order;

bool caba_can_be_outside(void)
{
	return kdat.has_clone3_set_tid && list_empty(&opts.join_ns);
}

int caba_prepare_outside(void)
{
	struct pstree_item *item;
	int nr = 0;

	list_for_each_entry(item, &root_item->children, sibling)
		nr += rsti(item)->caba.outside;
	if (!nr)
		return 0;

	outside = shmalloc(sizeof(*outside));
	if (!outside)
		return -1;
	*outside = (struct outside){ .nr = nr };
	futex_set(&outside->state, OUTSIDE_SLEEPS);
	pr_info("%d helpers come from outside\n", nr);
	return 0;
}

bool caba_outside(void)
{
	return outside;
}

/* For CRIU, whose child it is, and as the CABA of those it has forked */
bool caba_is_outsider(pid_t pid)
{
	return outside && pid == outside->pid;
}

struct clone_root {
	int (*fn)(void *);
	void *arg;
	unsigned long flags;
};

/* Nobody inherits that together with the memory, and restorers want to undo it */
static int register_rseq(void)
{
	struct __ptrace_rseq_configuration *conf = &kdat.libc_rseq_conf;

	if (!kdat.has_rseq || !kdat.has_ptrace_get_rseq_conf || !conf->rseq_abi_pointer)
		return 0;
	if (syscall(__NR_rseq, conf->rseq_abi_pointer, conf->rseq_abi_size, 0, conf->signature)) {
		pr_perror("Can't register rseq");
		return -1;
	}
	return 0;
}

static int be_root(void *arg)
{
	struct clone_root *cr = arg;

	if (register_rseq())
		return 1;
	return cr->fn(cr->arg);
}

static pid_t clone_root(struct clone_root *cr)
{
	void *stack;

	/* A sibling has another parent, whose end is not ours */
	if (!opts.restore_sibling && prctl(PR_SET_PDEATHSIG, SIGKILL)) {
		pr_perror("Can't set PDEATHSIG");
		return -1;
	}
	if (restore_task_cgroup(root_item))
		return -1;
	if (root_ns_mask & CLONE_NEWTIME) {
		if (prepare_timens(root_item->ids->time_ns_id))
			return -1;
	} else if (kdat.has_timens) {
		if (prepare_timens(0))
			return -1;
	}

	stack = mmap(NULL, ROOT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stack == MAP_FAILED) {
		pr_perror("Can't get a stack for the root task");
		return -1;
	}
	return clone(be_root, stack + ROOT_STACK_SIZE,
		     cr->flags | CLONE_VM | CLONE_FILES | CLONE_PARENT | CLONE_CHILD_CLEARTID, cr, NULL, NULL,
		     &outside->state.raw.counter);
}

static int enter_root(void)
{
	const int mask = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER;
	int fd, ret, ns = (root_ns_mask & mask) | CLONE_NEWPID;
	TaskKobjIdsEntry *ids = root_item->ids;

	fd = syscall(SYS_pidfd_open, futex_get(&outside->root), 0);
	if (fd < 0) {
		pr_perror("Can't open the root task");
		return -1;
	}
	/* The root task unshares it when it has been forked: it is not in the mask */
	if (ids && root_ids && ids->has_cgroup_ns_id && ids->cgroup_ns_id != root_ids->cgroup_ns_id)
		ns |= CLONE_NEWCGROUP;
	ret = setns(fd, ns);
	if (ret)
		pr_perror("Can't enter the namespaces of the root task");
	close(fd);
	if (!ret && (root_ns_mask & CLONE_NEWUSER)) {
		ret = prepare_userns_creds();
		/* Credentials that change clear it */
		if (!ret && !opts.restore_sibling && prctl(PR_SET_PDEATHSIG, SIGKILL))
			ret = -1;
	}
	return ret;
}

/* @current is the root task: it sleeps. Returns the next state. */
static int fork_outsider(void)
{
	static int forked;
	sigset_t chld;
	int ret;

	/* The handler is not to run beside the root task */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (forked)
		sigprocmask(SIG_UNBLOCK, &chld, NULL);
	else if (enter_root())
		return OUTSIDE_HAS_FAILED;

	ret = setns(order.ns, CLONE_NEWPID);
	if (ret)
		pr_perror("Can't enter the pid namespace of %d", vpid(order.item));
	close(order.ns);
	if (!ret)
		ret = order.fork_item(order.item) < 0;
	sigprocmask(SIG_BLOCK, &chld, NULL);
	if (ret)
		return OUTSIDE_HAS_FAILED;
	return ++forked < outside->nr ? OUTSIDE_SLEEPS : OUTSIDE_HAS_FORKED;
}

/* Always, and all of them: the root task, an init, can not end before they are released */
static void reap_outsiders(void)
{
	struct pstree_item *item;
	int nr = 0, status;
	pid_t pid;

	while (nr < outside->nr && (pid = wait4(-1, &status, __WALL, NULL)) > 0) {
		if (status) {
			futex_abort_and_wake(&task_entries->nr_in_progress);
			continue;
		}
		nr++;
		list_for_each_entry(item, &root_item->children, sibling)
			if (rsti(item)->caba.outside && item->pid->real == pid)
				break;
		futex_set_and_wake(&rsti(item)->caba.ended, 1);
	}
	if (nr != outside->nr)
		futex_abort_and_wake(&task_entries->nr_in_progress);
}

static int be_outside(void *arg)
{
	pid_t pid;
	int state;

	outside->pid = getpid();
	syscall(SYS_set_tid_address, &outside->state.raw.counter);
	pid = clone_root(arg);
	futex_set_and_wake(&outside->root, pid < 0 ? -1 : pid);
	if (pid < 0)
		return 1;

	do {
		/* Without a timeout: errno is the root task's, too */
		while (futex_get(&outside->state) == OUTSIDE_SLEEPS)
			syscall(SYS_futex, &outside->state.raw.counter, FUTEX_WAIT, OUTSIDE_SLEEPS, NULL, NULL, 0);

		/* The root task is gone: there is nobody to fork for */
		if (futex_get(&outside->state) == OUTSIDE_ALONE)
			syscall(SYS_exit_group, 1);

		state = fork_outsider();
		/* It may be gone by now, and that word says so */
		if (atomic_cmpxchg(&outside->state.raw, OUTSIDE_FORKS, state) != OUTSIDE_FORKS)
			state = OUTSIDE_HAS_FAILED;
		futex_wake(&outside->state);
	} while (state == OUTSIDE_SLEEPS);
	reap_outsiders();

	/* Nothing of what exit() does: that is the root task's */
	syscall(SYS_exit_group, state == OUTSIDE_HAS_FORKED ? 0 : 1);
	return 1;
}

/* Called by CRIU */
pid_t caba_clone_root(int (*fn)(void *), void *arg, unsigned long flags)
{
	struct clone_root cr = { .fn = fn, .arg = arg, .flags = flags };

	if (clone_noasan(be_outside, SIGCHLD | (flags & CLONE_PARENT), &cr) < 0)
		return -1;
	futex_wait_while_eq(&outside->root, 0);
	return (s32)futex_get(&outside->root);
}

/* Called by the root task, when all helpers have left */
void caba_part_from_outside(void)
{
	if (!outside)
		return;
	futex_wait_while_eq(&outside->state, OUTSIDE_HAS_FORKED);
	/* That word will be somebody else's memory */
	syscall(SYS_set_tid_address, NULL);
}

/* Called by CRIU: who waits for any child later on is not to get this one */
void caba_outside_is_over(void)
{
	if (outside)
		waitpid(outside->pid, NULL, 0);
}

/* Called by the root task, when it is the turn of that helper, to be in the pid namespace of @init */
int caba_fork_outside(struct pstree_item *item, pid_t init, int (*fork_item)(struct pstree_item *))
{
	order.item = item;
	order.fork_item = fork_item;
	order.ns = syscall(SYS_pidfd_open, init, 0);
	if (order.ns < 0) {
		pr_perror("Can't open a pidfd of %d", init);
		return -1;
	}
	if (atomic_cmpxchg(&outside->state.raw, OUTSIDE_SLEEPS, OUTSIDE_FORKS) != OUTSIDE_SLEEPS) {
		pr_err("Who forks from outside has gone\n");
		return -1;
	}
	futex_wake(&outside->state);
	futex_wait_while_eq(&outside->state, OUTSIDE_FORKS);
	switch (futex_get(&outside->state)) {
	case OUTSIDE_SLEEPS:
	case OUTSIDE_HAS_FORKED:
		return 0;
	}
	return -1;
}

/* In flat trees: all, before the root task forks its own children */
int caba_fork_all_outside(int (*fork_item)(struct pstree_item *))
{
	struct pstree_item *item;

	list_for_each_entry(item, &root_item->children, sibling)
		if (rsti(item)->caba.outside && caba_fork_outside(item, getpid(), fork_item))
			return -1;
	return 0;
}
