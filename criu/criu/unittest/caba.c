/*
 * Random histories of fork, exit, setsid, setpgid, sub-reapers, CLONE_PARENT,
 * wait and setns on a model of the kernel's processes. What is left at the end
 * is all that the plan gets to see; the model carries the plan out, and the
 * tree has to be the same: parents, groups, sessions, born ancestors, zombies.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "criu-log.h"
#include "caba-plan.h"

#define MAX_PROCS  1024
#define MAX_TASKS  160
#define NR_SEEDS   4000

enum { GONE, ALIVE, ZOMBIE };

struct proc {
	int state;
	int parent;
	int caba;
	int sid;
	int pgid;
	bool subreaper;
};

/* Index is the pid, 1 is init, 0 is outside */
struct kernel {
	struct proc p[MAX_PROCS];
	int last;
};

static unsigned long long rnd_state;

static unsigned int rnd(unsigned int n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rnd_state >> 33) % n;
}

static int k_fork(struct kernel *k, int creator, int pid)
{
	k->p[pid] = (struct proc){
		.state = ALIVE,
		.parent = creator,
		.caba = creator,
		.sid = k->p[creator].sid,
		.pgid = k->p[creator].pgid,
	};
	if (pid > k->last)
		k->last = pid;
	return pid;
}

static int k_group_sid(struct kernel *k, int pgid)
{
	int i;

	for (i = 1; i <= k->last; i++)
		if (k->p[i].state != GONE && k->p[i].pgid == pgid)
			return k->p[i].sid;
	return 0;
}

static int k_setsid(struct kernel *k, int pid)
{
	if (k->p[pid].sid == pid || k_group_sid(k, pid))
		return -1;
	k->p[pid].sid = k->p[pid].pgid = pid;
	return 0;
}

static int k_setpgid(struct kernel *k, int pid, int pgid)
{
	if (k->p[pid].sid == pid)
		return -1;
	if (pid != pgid && k_group_sid(k, pgid) != k->p[pid].sid)
		return -1;
	k->p[pid].pgid = pgid;
	return 0;
}

static void k_exit(struct kernel *k, int pid)
{
	int reaper, i;

	for (reaper = k->p[pid].parent; reaper != 1 && !k->p[reaper].subreaper; reaper = k->p[reaper].parent)
		;
	for (i = 1; i <= k->last; i++) {
		if (k->p[i].state == GONE)
			continue;
		if (k->p[i].parent == pid)
			k->p[i].parent = reaper;
		if (k->p[i].caba == pid)
			k->p[i].caba = k->p[pid].caba;
	}
	k->p[pid].state = ZOMBIE;
	k->p[pid].subreaper = false;
}

static void k_reap(struct kernel *k, int pid)
{
	assert(k->p[pid].state == ZOMBIE);
	k->p[pid].state = GONE;
}

static int pick(struct kernel *k, int state)
{
	int pid, tries = 64;

	while (tries--) {
		pid = rnd(k->last) + 1;
		if (k->p[pid].state == state)
			return pid;
	}
	return 0;
}

static void random_history(struct kernel *k, int max_tasks)
{
	int steps = max_tasks * 6, nr = 1, p, c;
	int bias = rnd(20);

	memset(k, 0, sizeof(*k));
	k->last = 1;
	k->p[1] = (struct proc){ .state = ALIVE, .sid = 1, .pgid = 1 };

	while (steps--) {
		p = pick(k, ALIVE);
		if (!p)
			p = 1;

		switch (rnd(24 + bias)) {
		case 0:
		case 1:
			k_setsid(k, p);
			break;
		case 20:
		case 21:
			k_setpgid(k, p, p);
			break;
		case 22:
		case 23:
			c = pick(k, ALIVE);
			if (c)
				k_setpgid(k, p, k->p[c].pgid);
			break;
		case 2:
		case 3:
			k->p[p].subreaper = !k->p[p].subreaper;
			break;
		case 4:
		case 5:
		case 6:
		case 7:
			if (p == 1)
				break;
			k_exit(k, p);
			if (rnd(3)) {
				k_reap(k, p);
				nr--;
			}
			break;
		case 8:
			p = pick(k, ZOMBIE);
			if (!p)
				break;
			k_reap(k, p);
			nr--;
			break;
		case 9:
			if (k->last + 1 >= MAX_PROCS || nr >= max_tasks)
				break;
			c = k_fork(k, p, k->last + 1);
			nr++;
			if (p != 1) {
				/* CLONE_PARENT */
				k->p[c].parent = k->p[p].parent;
			} else {
				/* setns from outside, its parent has exited, setsid */
				k->p[c].caba = 0;
				k->p[c].sid = k->p[c].pgid = c;
			}
			break;
		default:
			if (k->last + 1 >= MAX_PROCS || nr >= max_tasks)
				break;
			k_fork(k, p, k->last + 1);
			nr++;
			break;
		}
	}
}

/* What a dump sees */
static void fill_forest(struct kernel *k, struct caba_forest *f, struct caba_node *nodes, bool by_parents)
{
	struct caba_node *of[MAX_PROCS] = {};
	int i;

	f->nodes = nodes;
	f->nr_tasks = 0;
	for (i = 1; i <= k->last; i++) {
		if (k->p[i].state == GONE)
			continue;
		of[i] = &nodes[f->nr_tasks++];
		*of[i] = (struct caba_node){
			.pid = i,
			.sid = k->p[i].sid,
			.pgid = k->p[i].pgid,
			.zombie = k->p[i].state == ZOMBIE,
		};
	}
	for (i = 2; i <= k->last; i++) {
		if (!of[i])
			continue;
		of[i]->parent = of[k->p[i].parent];
		of[i]->caba = by_parents ? of[i]->parent : of[k->p[i].caba ?: 1];
	}
}

static bool before_setsid(struct caba_node *child)
{
	pid_t sid = child->born_sid == -1 ? child->sid : child->born_sid;

	return child->creator->born_sid == sid;
}

static int create(struct kernel *k, struct caba_forest *f, struct caba_node *n)
{
	int pass, i;

	for (pass = 0; pass < 2; pass++) {
		if (pass && n->sid == n->pid && n != f->nodes && k_setsid(k, n->pid)) {
			printf("%d can't do setsid\n", n->pid);
			return -1;
		}
		if (pass && n->sid != k->p[n->pid].sid) {
			printf("%d has session %d, not %d\n", n->pid, k->p[n->pid].sid, n->sid);
			return -1;
		}
		for (i = 1; i < f->nr; i++) {
			struct caba_node *c = &f->nodes[i];

			if (c->creator != n || before_setsid(c) == pass)
				continue;
			k_fork(k, n->pid, c->pid);
			if (create(k, f, c))
				return -1;
		}
	}
	return 0;
}

static int depth(struct caba_node *n)
{
	int d = 0;

	for (; n->creator; n = n->creator)
		d++;
	return d;
}

static int check_same(struct kernel *a, struct kernel *b)
{
	int i;

	for (i = 1; i < MAX_PROCS; i++) {
		struct proc *x = &a->p[i], *y = &b->p[i];

		if (x->state != y->state) {
			printf("%d is in state %d, not %d\n", i, y->state, x->state);
			return -1;
		}
		if (x->state == GONE || i == 1)
			continue;
		if (x->parent != y->parent || x->sid != y->sid || x->pgid != y->pgid ||
		    (x->caba ?: 1) != y->caba) {
			printf("%d: parent %d group %d session %d caba %d, not %d %d %d %d\n", i, y->parent,
			       y->pgid, y->sid, y->caba, x->parent, x->pgid, x->sid, x->caba ?: 1);
			return -1;
		}
	}
	return 0;
}

/* As restore_pgid() does, and what waits there has to get on at some time */
struct joining {
	int pid;
	int pgid;
	int keeper; /* 0 if there is none */
	bool keeps;
	bool done;
};

static int join(struct kernel *k, struct joining *j, bool *set)
{
	if (j->keeper) {
		if (!set[j->pid] && k_setpgid(k, j->pid, j->pid))
			return -1;
		set[j->pid] = true;
		if (!set[j->keeper])
			return 0;
	}
	if (k->p[j->pid].pgid != j->pgid) {
		/* A session comes with its group */
		if (j->pgid != j->pid && j->pgid != k->p[j->pid].sid && !set[j->pgid])
			return 0;
		if (k_setpgid(k, j->pid, j->pgid))
			return -1;
		if (j->pgid == j->pid || j->keeps)
			set[j->pid] = true;
	}
	j->done = true;
	return 1;
}

/* Returns the number of helpers, which are in @helpers */
static int join_groups(struct kernel *k, struct caba_forest *f, int *helpers)
{
	static struct joining jn[3 * MAX_PROCS];
	bool set[MAX_PROCS] = {}, progress = true;
	int i, nr = 0, nr_helpers = 0, left, ret, start;

	for (i = 0; i < f->nr; i++) {
		struct caba_node *n = &f->nodes[i];

		if (n->kind != CABA_TASK && n->kind != CABA_GROUP)
			continue;
		jn[nr++] = (struct joining){ .pid = n->pid, .pgid = n->pgid, .keeps = n->kind == CABA_GROUP };
		if (n->kind != CABA_GROUP)
			continue;
		helpers[nr_helpers++] = n->pid;
		jn[n->creator - f->nodes].keeper = n->pid;
	}

	/* The leaders that are gone */
	for (i = 0; i < f->nr_tasks; i++) {
		struct caba_node *n = &f->nodes[i];

		if (k->p[n->pgid].state != GONE)
			continue;
		jn[nr++] = (struct joining){ .pid = k_fork(k, n->pid, n->pgid), .pgid = n->pgid };
		helpers[nr_helpers++] = n->pgid;
	}

	for (left = nr; left && progress;) {
		progress = false;
		start = rnd(nr);
		for (i = 0; i < nr; i++) {
			struct joining *j = &jn[(start + i) % nr];

			if (j->done)
				continue;
			ret = join(k, j, set);
			if (ret < 0) {
				printf("%d can't get into group %d\n", j->pid, j->pgid);
				return -1;
			}
			if (ret) {
				left--;
				progress = true;
			}
		}
	}
	if (left) {
		for (i = 0; i < nr; i++)
			if (!jn[i].done)
				printf("%d of group %d waits for ever to get into group %d\n", jn[i].pid,
				       k->p[jn[i].pid].pgid, jn[i].pgid);
		return -1;
	}
	return nr_helpers;
}

/* Carries the plan out, as restore does */
static int restore(struct kernel *k, struct caba_forest *f, int free_pid)
{
	static int helpers[MAX_PROCS];
	struct caba_node *n;
	int d, i, j, nr;

	for (i = f->nr_tasks; i < f->nr; i++)
		if (!f->nodes[i].pid)
			f->nodes[i].pid = ++free_pid;
	if (free_pid >= MAX_PROCS) {
		printf("Too many helpers\n");
		return -1;
	}

	memset(k, 0, sizeof(*k));
	k->last = 1;
	k->p[1] = (struct proc){ .state = ALIVE, .sid = 1, .pgid = 1 };
	if (create(k, f, f->nodes))
		return -1;

	nr = join_groups(k, f, helpers);
	if (nr < 0)
		return -1;

	for (d = f->nr; d > 0; d--) {
		for (i = f->nr_tasks; i < f->nr; i++) {
			n = &f->nodes[i];
			if (n->kind == CABA_GROUP || depth(n) != d)
				continue;
			if (n->heir)
				k->p[n->heir->pid].subreaper = true;
			k_exit(k, n->pid);
			if (n->heir)
				k->p[n->heir->pid].subreaper = false;
			k_reap(k, n->pid);
		}
	}

	for (i = 0; i < nr; i++) {
		k_exit(k, helpers[i]);
		k_reap(k, helpers[i]);
	}

	for (i = 1; i < f->nr_tasks; i++) {
		if (!f->nodes[i].zombie)
			continue;
		for (j = 1; j <= k->last; j++)
			if (k->p[j].state != GONE && k->p[j].parent == f->nodes[i].pid) {
				printf("zombie %d still has child %d\n", f->nodes[i].pid, j);
				return -1;
			}
		k_exit(k, f->nodes[i].pid);
	}
	return 0;
}

static void test_damaged(void)
{
	struct caba_node n[CABA_MAX_NODES(3)] = {};
	struct caba_forest f = { .nodes = n, .nr_tasks = 3 };

#define SANE()                                                                       \
	n[0] = (struct caba_node){ .pid = 1, .sid = 1 };                             \
	n[1] = (struct caba_node){ .pid = 2, .sid = 1, .parent = n, .caba = n };     \
	n[2] = (struct caba_node){ .pid = 3, .sid = 1, .parent = n, .caba = n + 1 }

	SANE();
	assert(!caba_plan(&f));
	assert(f.nr == 4 && n[3].kind == CABA_ANON && n[3].creator == n + 1 && n[3].heir == n);
	assert(n[2].creator == n + 3);

	/* a circle, of one and of two */
	SANE();
	n[2].caba = n + 2;
	assert(caba_plan(&f));
	SANE();
	n[1].caba = n + 2;
	assert(caba_plan(&f));

	/* the same pid twice */
	SANE();
	n[2].pid = 2;
	assert(caba_plan(&f));

	/* nowhere */
	SANE();
	n[2].caba = NULL;
	assert(caba_plan(&f));

	/* a zombie has no children */
	SANE();
	n[1].zombie = true;
	assert(caba_plan(&f));

	/* a parent that is no born ancestor */
	SANE();
	n[2].parent = n + 1;
	n[2].caba = n;
	assert(caba_plan(&f));

	/* a session from below */
	SANE();
	n[1].sid = 3;
	n[2].sid = 3;
	assert(caba_plan(&f));

	/* born into two sessions: 3 belongs to 1, 4 to a dead one above */
	SANE();
	n[1].sid = 2;
	n[2].sid = 5;
	n[0].sid = 1;
	assert(!caba_plan(&f));
	n[2].sid = 3;
	n[1].sid = 3;
	assert(caba_plan(&f));

	/* two leaders in each other's groups: a helper stays in each of them */
	SANE();
	n[0].pgid = 1;
	n[1].pgid = 3;
	n[2].pgid = 2;
	assert(!caba_plan(&f));
	assert(f.nr == 6 && n[4].kind == CABA_GROUP && n[5].kind == CABA_GROUP);
	assert(n[4].creator == n + 1 && n[4].pgid == 2 && n[5].creator == n + 2 && n[5].pgid == 3);

	/* a group is part of one session, and so is its leader */
	SANE();
	n[0].pgid = 1;
	n[1].pgid = n[2].pgid = 4;
	assert(!caba_plan(&f));
	n[2].sid = 3;
	assert(caba_plan(&f));
	SANE();
	n[0].pgid = 1;
	n[1].pgid = 3;
	n[1].sid = 2;
	assert(caba_plan(&f));
	SANE();
	n[0].pgid = 1;
	n[1].sid = n[1].pgid = 2;
	n[2].pgid = 2;
	assert(caba_plan(&f));

	/* file tables are passed on by the helper, but not past another table */
	SANE();
	n[0].files_id = n[1].files_id = n[2].files_id = 1;
	assert(!caba_plan(&f));
	assert(n[2].share_files && n[3].share_files);
	n[1].files_id = 2;
	assert(caba_plan(&f));
}

void test_caba(void)
{
	static struct kernel k, r;
	static struct caba_node nodes[CABA_MAX_NODES(MAX_TASKS)];
	struct caba_forest f;
	int seed, i, nr = NR_SEEDS, refused_by_parents = 0, left_groups = 0;
	char *env = getenv("CABA_SEEDS");

	if (env)
		nr = atoi(env);

	log_set_loglevel(LOG_MSG);
	test_damaged();

	for (seed = 1; seed <= nr; seed++) {
		rnd_state = seed * 2654435761ULL;
		random_history(&k, 3 + rnd(rnd(4) ? 40 : MAX_TASKS - 3));

		fill_forest(&k, &f, nodes, true);
		if (caba_plan(&f))
			refused_by_parents++;

		fill_forest(&k, &f, nodes, false);
		if (caba_plan(&f) || restore(&r, &f, k.last) || check_same(&k, &r)) {
			printf("caba: seed %d does not come back\n", seed);
			log_set_loglevel(LOG_ERROR);
			caba_plan(&f);
			exit(1);
		}

		for (i = f.nr_tasks; i < f.nr; i++)
			if (f.nodes[i].kind == CABA_GROUP) {
				left_groups++;
				break;
			}
	}

	/* Births have to be what makes the difference */
	assert(nr < 100 || refused_by_parents > nr / 20);
	assert(nr < 100 || left_groups > nr / 40);
	printf("caba: %d histories come back, %d of them can not be planned from their parents alone\n", nr,
	       refused_by_parents);
	printf("caba: in %d of them leaders have left their groups\n", left_groups);
}
