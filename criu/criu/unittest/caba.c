/*
 * Random histories of fork, exit, setsid, setpgid, sub-reapers, CLONE_PARENT,
 * pid namespaces, setns and wait on a model of the kernel: see caba-model.c.
 * What a dump can see at the end is all that the plan gets; the model carries
 * the plan out, everybody at a speed of its own, and the tree has to be the
 * same. With any of the plan's rules left out it must not be.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "criu-log.h"
#include "caba-plan.h"
#include "caba-model.h"

#define MAX_TASKS   120
#define MAX_OPS	    300
#define NR_SEEDS    400 /* of each mode */
#define NR_LEFT_OUT 60
#define NR_DAMAGED  4

static unsigned long long rnd_state;

static unsigned int rnd(unsigned int n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rnd_state >> 33) % n;
}

/*
 * Histories
 */
enum { SUB = 1, ZOMB = 2, GROUP = 4, SETNS = 8, OUT = 16, JOBS = 32, SIBLING = 64, HOST = 128, SIGNAL = 256 };

static const struct mode {
	const char *name;
	int depth; /* of namespaces below the first one */
	int flags;
} modes[] = {
	{ "flat", 0, SUB | ZOMB | GROUP | OUT | SIBLING },
	{ "plain", 2, 0 },
	{ "sub", 2, SUB },
	{ "zombies", 2, SUB | ZOMB },
	{ "groups", 2, SUB | ZOMB | GROUP },
	{ "setns", 3, SUB | ZOMB | GROUP | SETNS },
	{ "outside", 3, SUB | ZOMB | GROUP | SETNS | OUT },
	{ "jobs", 3, SUB | ZOMB | GROUP | SETNS | OUT | JOBS },
	{ "all", 4, SUB | ZOMB | GROUP | SETNS | OUT | JOBS | SIBLING | SIGNAL },
	/* The root of the tree is not the init of its namespace */
	{ "host", 3, SUB | ZOMB | GROUP | SETNS | OUT | JOBS | SIBLING | SIGNAL | HOST },
	{ "signals", 0, SUB | ZOMB | SIBLING | SIGNAL },
};

#define NR_MODES (int)(sizeof(modes) / sizeof(modes[0]))

static int pick(struct kernel *k, int state)
{
	int p, tries = 64;

	while (tries--) {
		p = rnd(k->nr);
		if (p && k->p[p].state == state)
			return p;
	}
	return state == ALIVE ? 1 : 0;
}

static int count(struct kernel *k, int state)
{
	int i, nr = 0;

	for (i = 1; i < k->nr; i++)
		nr += k->p[i].state == state;
	return nr;
}

/* Somebody outside does setns() and forks; that one does setsid(), forks, and exits */
static void put_in(struct kernel *k, int ns)
{
	int daemon, p;

	k_setns(k, 0, ns);
	daemon = k_fork(k, 0, false, false, NULL);
	k_setns(k, 0, 0);
	if (daemon < 0)
		return;
	k_setsid(k, daemon);
	p = k_fork(k, daemon, false, false, NULL);
	if (p >= 0 && rnd(2))
		k_setsid(k, p);
	if (p >= 0 && rnd(2))
		k_fork(k, daemon, false, false, NULL);
	k_exit(k, daemon);
	if (k->p[daemon].state == ZOMBIE)
		k_release(k, daemon);
}

/* Those inside go with an init, and are waited for outside, as a rule */
static void die(struct kernel *k, const struct mode *m, int p)
{
	bool init = k->ns[k->p[p].ns].init == p;
	int i;

	k_exit(k, p);
	for (i = 1; i < k->nr; i++)
		if ((i == p || (init && k_holds(k, k->p[p].ns, k->p[i].ns))) && k->p[i].state == ZOMBIE &&
		    rnd(20) < (m->flags & ZOMB ? 16 : 19) && !k_has_children(k, i))
			k_release(k, i);
}

static void random_history(struct kernel *k, const struct mode *m)
{
	int ops = MAX_OPS / 4 + rnd(MAX_OPS * 3 / 4), p, q;
	bool deep = m->depth;
	struct {
		int what;
		int weight;
	} mix[] = {
		{ 'f', 5 + rnd(10) },
		{ 'n', (1 + rnd(3)) * deep },
		{ 'x', 2 + rnd(6) },
		{ 's', 1 + rnd(3) },
		{ 'u', rnd(2) * deep },
		{ 'r', (1 + rnd(5)) * !!(m->flags & SUB) },
		{ 'w', !!(m->flags & ZOMB) },
		{ 'g', (1 + rnd(5)) * !!(m->flags & GROUP) },
		{ 'e', (1 + rnd(6)) * !!(m->flags & SETNS) },
		{ 'o', rnd(3) * !!(m->flags & OUT) },
		{ 'j', rnd(4) * !!(m->flags & JOBS) },
		{ 'p', rnd(4) * !!(m->flags & SIBLING) },
	};
	int sum = 0, i, what;

	for (i = 0; i < sizeof(mix) / sizeof(mix[0]); i++)
		sum += mix[i].weight;

	k_boot(k);
	while (ops--) {
		bool full = count(k, ALIVE) + count(k, ZOMBIE) >= MAX_TASKS || k->nr > MAX_PROCS - 200;
		int w = rnd(sum);

		for (i = 0; w >= mix[i].weight; i++)
			w -= mix[i].weight;
		what = mix[i].what;

		p = pick(k, ALIVE);
		deep = k->ns[k->p[p].ns].level - 1 < m->depth && k->nr_ns < MAX_NS - 40;

		switch (what) {
		case 'f':
			if (full)
				break;
			q = k_fork(k, p, false, false, NULL);
			if (q > 0 && m->flags & SIGNAL && !rnd(3))
				k->p[q].exit_signal = rnd(2) ? SIGUSR1 : 0;
			break;
		case 'n':
			if (!full && deep)
				k_fork(k, p, true, false, NULL);
			break;
		case 'p':
			if (!full && p != 1)
				k_fork(k, p, deep && !rnd(5), true, NULL);
			break;
		case 'u':
			if (deep)
				k_unshare(k, p);
			break;
		case 'e':
			q = pick(k, ALIVE);
			k_setns(k, p, k->p[rnd(10) < 3 ? p : q].ns);
			break;
		case 'o':
			if (!full)
				put_in(k, k->p[p].ns);
			break;
		case 'x':
			if (p == 1 || count(k, ALIVE) <= 3 || (k->ns[k->p[p].ns].init == p && rnd(5)))
				break;
			die(k, m, p);
			break;
		case 'w':
			p = pick(k, ZOMBIE);
			if (p && !k_has_children(k, p))
				k_release(k, p);
			break;
		case 's':
			k_setsid(k, p);
			break;
		case 'r':
			k_set_subreaper(k, p, rnd(10) < 6);
			break;
		case 'j':
			for (q = 0, i = 1; i < k->nr; i++)
				if (k->p[i].state == ALIVE && k->p[i].parent == p && (!q || !rnd(3)))
					q = i;
			if (!q)
				break;
			i = rnd(2) ? q : k->p[pick(k, ALIVE)].pgid;
			k_setpgid(k, p, q, k_pid_nr(k, i, k->p[p].ns));
			break;
		case 'g':
			i = rnd(2) ? p : k->p[pick(k, ALIVE)].pgid;
			k_setpgid(k, p, p, k_pid_nr(k, i, k->p[p].ns));
			break;
		}
	}
}

/*
 * What a dump sees
 */
struct view {
	struct caba_forest f;
	struct caba_node nodes[CABA_MAX_NODES(MAX_TASKS + 8)];
	struct caba_ns ns[MAX_NS];
	pid_t nums[MAX_TASKS + 8][3][MAX_LEVELS];
	bool in_tree[MAX_PROCS];
	int root;
};

static struct caba_nums fill_nums(struct kernel *k, int ns, int p, pid_t *out)
{
	struct caba_nums nums = { .at = out };
	int level, nr;

	/* Its own namespaces from the first one on, as long as there is a number */
	for (level = 1; level <= k->ns[ns].level; level++) {
		int n = ns;

		while (k->ns[n].level > level)
			n = k->ns[n].parent;
		nr = k_pid_nr(k, p, n);
		if (!nr)
			break;
		out[nums.nr++] = nr;
	}
	return nums;
}

static int tree_of(struct kernel *k, int root, bool *in)
{
	bool more = true;
	int i, nr = 1;

	memset(in, 0, MAX_PROCS * sizeof(*in));
	in[root] = true;
	while (more) {
		more = false;
		for (i = 1; i < k->nr; i++)
			if (k->p[i].state != GONE && !in[i] && in[k->p[i].parent]) {
				in[i] = more = true;
				nr++;
			}
	}
	return nr;
}

/* A tree that can stand alone: who leads sessions or groups outside of it is above its root */
static bool stands_alone(struct kernel *k, int root, const bool *in)
{
	int i, ns;

	for (i = 1; i < k->nr; i++) {
		struct k_proc *p = &k->p[i], *r = &k->p[root];

		if (!in[i])
			continue;
		if (!in[p->sid] && k->p[p->sid].state != GONE && p->sid != r->sid)
			return false;
		if (!in[p->pgid] && k->p[p->pgid].state != GONE && p->pgid != r->pgid)
			return false;
		/* Also those above one that is dead */
		for (ns = p->for_children; ns > 1; ns = k->ns[ns].parent)
			if (k->ns[ns].init && k->p[k->ns[ns].init].state != GONE && !in[k->ns[ns].init])
				return false;
	}
	return true;
}

static bool choose_root(struct kernel *k, struct view *v, const struct mode *m)
{
	int i, nr, most = 0;
	bool in[MAX_PROCS];

	v->root = 1;
	if (m->flags & HOST) {
		for (i = 2; i < k->nr; i++) {
			if (k->p[i].state != ALIVE || k->p[i].ns != 1)
				continue;
			nr = tree_of(k, i, in);
			if (nr > most && stands_alone(k, i, in)) {
				most = nr;
				v->root = i;
			}
		}
		if (!most)
			return false;
	}
	tree_of(k, v->root, v->in_tree);
	return true;
}

/* Everybody's namespaces have their init in the tree */
static bool inits_in_tree(struct kernel *k, struct view *v)
{
	int i;

	for (i = 1; i < k->nr; i++)
		if (v->in_tree[i] && k->p[i].ns != 1 && !v->in_tree[k->ns[k->p[i].ns].init])
			return false;
	return true;
}

static void fill_view(struct kernel *k, struct view *v, bool by_parents)
{
	struct caba_node *of[MAX_PROCS] = {}, *n;
	struct caba_ns *ns_of[MAX_NS] = {};
	int i, j, ns;

	memset(&v->f, 0, sizeof(v->f));
	v->f.nodes = v->nodes;
	v->f.from_outside = v->root == 1;

	for (i = 1; i < k->nr_ns; i++) {
		bool used = i == 1;

		for (j = 1; j < k->nr; j++)
			used |= v->in_tree[j] && k_holds(k, i, k->p[j].ns);
		if (!used)
			continue;
		ns_of[i] = &v->ns[v->f.nr_ns++];
		*ns_of[i] = (struct caba_ns){ .parent = i == 1 ? NULL : ns_of[k->ns[i].parent], .data = &k->ns[i] };
	}
	v->f.ns = v->f.nr_ns > 1 ? v->ns : NULL;

	/* The root comes first */
	for (j = 0; j < k->nr; j++) {
		pid_t(*nums)[MAX_LEVELS] = v->nums[v->f.nr_tasks];

		i = j ?: v->root;
		if (!v->in_tree[i] || of[i])
			continue;
		of[i] = n = &v->nodes[v->f.nr_tasks++];
		ns = k->p[i].ns;
		*n = (struct caba_node){
			.pid = k_top(k, i),
			.sid = k_top(k, k->p[i].sid),
			.pgid = k_top(k, k->p[i].pgid),
			.zombie = k->p[i].state == ZOMBIE,
			.exit_signal = i == v->root ? SIGCHLD : k->p[i].exit_signal,
			.data = &k->p[i],
		};
		if (!v->f.ns)
			continue;
		n->ns = ns_of[ns];
		n->pids = fill_nums(k, ns, i, nums[0]);
		n->sids = fill_nums(k, ns, k->p[i].sid, nums[1]);
		n->pgids = fill_nums(k, ns, k->p[i].pgid, nums[2]);
	}

	for (i = 1; i < k->nr; i++) {
		int caba = k->p[i].caba;

		if (!of[i] || i == v->root)
			continue;
		of[i]->parent = of[k->p[i].parent];
		while (caba && !of[caba])
			caba = k->p[caba].caba;
		if (by_parents)
			of[i]->caba = of[i]->parent;
		else if (caba)
			of[i]->caba = of[caba];
		else
			of[i]->caba = v->f.from_outside ? NULL : v->nodes;
	}
}

/*
 * Restore
 */
enum rule {
	NONE,
	HELPER_NS,	/* an anonymous helper is where its heir is */
	SESSION_NS,	/* a dead session leader is where it was */
	MOVES,		/* into hidden groups */
	DEAD_GROUPS,	/* dead leaders make them */
	CLONE_PARENT_,	/* of who was put in */
	FIRST_IN,	/* before its setsid() somebody is put into other namespaces by a helper */
	WAITING,	/* for each other */
	BORN_SESSION,	/* some are forked before setsid() */
	DEEPEST_FIRST,	/* helpers leave */
	HEIRS,		/* are called up */
	FROM_OUTSIDE,	/* births from there */
	KEEPERS,	/* of groups */
	SIGNALS,	/* of helpers that have siblings */
	NR_RULES,
};

static const char *rule_names[] = {
	[HELPER_NS] = "helpers in the namespace of the heir",
	[SESSION_NS] = "dead session leaders in their namespace",
	[MOVES] = "moves into hidden groups",
	[DEAD_GROUPS] = "dead leaders of groups",
	[CLONE_PARENT_] = "CLONE_PARENT",
	[FIRST_IN] = "helpers that put others in",
	[WAITING] = "waiting",
	[BORN_SESSION] = "births before setsid",
	[DEEPEST_FIRST] = "the deepest leave first",
	[HEIRS] = "heirs are sub-reapers",
	[FROM_OUTSIDE] = "births from outside",
	[KEEPERS] = "groups are kept",
	[SIGNALS] = "exit signals of helpers",
};

struct restore {
	struct kernel *k;
	struct view *v;
	enum rule left_out;
	bool quiet;
	int proc[CABA_MAX_NODES(MAX_TASKS + 8)]; /* of each node */
	unsigned int done[CABA_MAX_NODES(MAX_TASKS + 8)];
	int ns[MAX_NS];				 /* the model's of each of the plan */
	int used[MAX_NS];			 /* the highest number that is not free there */
	int last[MAX_NS];			 /* the same, of the model's */
	bool set[CABA_MAX_NODES(MAX_TASKS + 8)]; /* its group is there */
	int helpers[MAX_TASKS + 8];		 /* of those that are not in the plan, as CRIU has them */
	int nr_helpers;
};

#define FAIL(fmt, ...)                                            \
	do {                                                      \
		if (!r->quiet)                                    \
			printf("caba: " fmt "\n", ##__VA_ARGS__); \
		return -1;                                        \
	} while (0)

static int index_of(struct restore *r, const struct caba_node *n)
{
	return n - r->v->nodes;
}

static int proc_of(struct restore *r, const struct caba_node *n)
{
	return r->proc[index_of(r, n)];
}

static int ns_index(struct restore *r, const struct caba_ns *ns)
{
	return ns ? ns - r->v->ns : 0;
}

/* The numbers of a new process in that namespace, free ones where none are asked for */
static void choose_nums(struct restore *r, int ns, const struct caba_nums *want, pid_t pid, int *nums)
{
	int level;

	for (level = r->k->ns[ns].level; level; ns = r->k->ns[ns].parent, level--) {
		if (want && want->nr)
			nums[level - 1] = want->at[level - 1];
		else if (pid)
			nums[level - 1] = pid;
		else
			nums[level - 1] = ++r->last[ns];
	}
}

/* Free numbers come after all that are used, in each namespace */
static void use_nums(struct restore *r, struct caba_ns *ns, pid_t top, const struct caba_nums *nums)
{
	int i;

	if (r->used[0] < top)
		r->used[0] = top;
	while (ns && ns->level + 1 > nums->nr)
		ns = ns->parent;
	for (i = nums->nr; i-- > 1; ns = ns->parent)
		if (r->used[ns_index(r, ns)] < nums->at[i])
			r->used[ns_index(r, ns)] = nums->at[i];
}

static int do_fork(struct restore *r, int actor, struct caba_node *n)
{
	bool init = n->ns && n->ns->init == n, sibling = n->sibling && r->left_out != CLONE_PARENT_;
	int nums[MAX_LEVELS], p, ns = r->ns[ns_index(r, n->ns)], i = index_of(r, n);
	struct kernel *k = r->k;

	if (n->kind == CABA_ANON && r->left_out == FIRST_IN && n->heir == n->creator) {
		r->proc[i] = actor;
		return 0;
	}
	if (n->kind == CABA_GROUP && r->left_out == KEEPERS)
		return 0;
	if (n->kind == CABA_ANON && r->left_out == HELPER_NS && actor)
		ns = k->p[actor].ns;
	if (n->kind == CABA_SESSION && r->left_out == SESSION_NS && actor)
		ns = k->p[actor].ns;

	if (init) {
		choose_nums(r, k->p[actor].ns, &n->pids, n->pid, nums);
		nums[k->ns[k->p[actor].ns].level] = 1;
		p = k_fork(k, actor, true, sibling, nums);
		if (p > 0 && !k_holds(k, r->ns[ns_index(r, n->ns->parent)], k->p[p].ns))
			FAIL("init %d is in the wrong namespace", n->pid);
	} else {
		if (!ns || k_setns(k, actor, ns))
			FAIL("%d can't get into the namespace of %d", k_top(k, actor), n->pid);
		choose_nums(r, ns, &n->pids, n->pid, nums);
		p = k_fork(k, actor, false, sibling, nums);
		k_setns(k, actor, k->p[actor].ns);
	}
	if (p < 0)
		FAIL("%d can't fork %d", k_top(k, actor), n->pid);
	if (!sibling && (n->kind == CABA_TASK || r->left_out != SIGNALS))
		k->p[p].exit_signal = n->exit_signal;

	r->proc[i] = p;
	if (init) {
		r->ns[ns_index(r, n->ns)] = k->p[p].ns;
		r->last[k->p[p].ns] = r->used[ns_index(r, n->ns)];
	}
	if (n->ns && n->pids.nr)
		assert(r->left_out || k->ns[k->p[p].ns].level == n->pids.nr);
	return 0;
}

static int group_nr(struct restore *r, struct caba_node *group, pid_t pgid, int ns)
{
	if (group)
		return k_pid_nr(r->k, proc_of(r, group), ns);
	return ns == 1 ? pgid : 0;
}

static int do_event(struct restore *r, struct caba_event *e)
{
	int actor = proc_of(r, e->actor);
	struct kernel *k = r->k;

	switch (e->act) {
	case CABA_FORK:
		return do_fork(r, proc_of(r, e->node->creator), e->node);
	case CABA_SETSID:
		if (actor == 1) /* as it boots */
			return 0;
		if (k_setsid(k, actor))
			FAIL("%d can't do setsid", e->actor->pid);
		return 0;
	case CABA_MAKE_GROUP:
		if (r->left_out == DEAD_GROUPS && e->actor->kind == CABA_DEAD_GROUP)
			return 0;
		if (k_setpgid(k, actor, actor, k_pid_nr(k, actor, k->p[actor].ns)))
			FAIL("%d can't make its group", e->actor->pid);
		r->set[index_of(r, e->actor)] = true;
		return 0;
	case CABA_MOVE:
		if (r->left_out == MOVES)
			return 0;
		if (k_setpgid(k, actor, proc_of(r, e->node), group_nr(r, e->group, e->pgid, k->p[actor].ns)))
			FAIL("%d can't move %d into group %d", k_top(k, actor), k_top(k, proc_of(r, e->node)), e->pgid);
		return 0;
	}
	return -1;
}

static bool ready(struct restore *r, struct caba_node *n)
{
	unsigned int done = r->done[index_of(r, n)];
	struct caba_event *e = &n->events[done];
	int i;

	if ((n->kind != CABA_OUTSIDE && !proc_of(r, n)) || done == n->nr_events)
		return false;
	if (r->left_out == WAITING)
		return true;
	for (i = 0; i < CABA_MAX_WAITS; i++)
		if (e->waits[i].node && r->done[index_of(r, e->waits[i].node)] < e->waits[i].done)
			return false;
	return true;
}

static bool is_setsid(struct caba_event *e)
{
	return e->act == CABA_SETSID;
}

/* All at once, so anybody who does not wait may be the next one */
static int do_events(struct restore *r)
{
	struct caba_forest *f = &r->v->f;
	unsigned int i, left = f->nr_events, start;

	/* Sessions first, if that is the rule to leave out */
	if (r->left_out == BORN_SESSION)
		for (i = 0; i < f->nr; i++) {
			struct caba_node *n = &f->nodes[i];
			unsigned int j;

			for (j = 1; j < n->nr_events; j++)
				if (is_setsid(&n->events[j])) {
					struct caba_event e = n->events[j];

					memmove(&n->events[1], &n->events[0], j * sizeof(e));
					n->events[0] = e;
				}
		}

	while (left) {
		start = rnd(f->nr);
		for (i = 0; i < f->nr; i++) {
			struct caba_node *n = &f->nodes[(start + i) % f->nr];

			if (!ready(r, n))
				continue;
			if (do_event(r, &n->events[r->done[index_of(r, n)]]))
				return -1;
			r->done[index_of(r, n)]++;
			left--;
			break;
		}
		if (i == f->nr)
			FAIL("%u events wait for each other", left);
	}
	return 0;
}

/* As restore_pgid() does, and what waits there has to get on at some time */
static int join(struct restore *r, struct caba_node *n, struct caba_node *keeper)
{
	int p = proc_of(r, n), nr, own = k_pid_nr(r->k, p, r->k->p[p].ns);
	struct caba_node *group = n->group;

	if (n->in_group || n->pid == n->sid)
		return 1;
	if (keeper) {
		if (!r->set[index_of(r, n)] && k_setpgid(r->k, p, p, own))
			return -1;
		r->set[index_of(r, n)] = true;
		if (!r->set[index_of(r, keeper)])
			return 0;
	}

	nr = group_nr(r, group, n->pgid, r->k->p[p].ns);
	if (k_top(r->k, r->k->p[p].pgid) != n->pgid) {
		/* A session comes with its group */
		if (group && group != n && n->pgid != n->sid && !r->set[index_of(r, group)])
			return 0;
		if (k_setpgid(r->k, p, p, nr))
			return -1;
	}
	if (group == n || n->kind == CABA_GROUP)
		r->set[index_of(r, n)] = true;
	return 1;
}

static int join_groups(struct restore *r)
{
	static struct caba_node *keepers[CABA_MAX_NODES(MAX_TASKS + 8)];
	static bool joined[CABA_MAX_NODES(MAX_TASKS + 8)];
	struct caba_forest *f = &r->v->f;
	int i, left = 0, ret, start;
	bool progress = true;
	struct caba_node *n;

	memset(keepers, 0, sizeof(keepers));
	memset(joined, 0, sizeof(joined));
	for (i = 0; i < f->nr; i++) {
		n = &f->nodes[i];
		joined[i] = (n->kind != CABA_TASK && n->kind != CABA_GROUP) || !proc_of(r, n);
		left += !joined[i];
		if (n->kind == CABA_GROUP && proc_of(r, n))
			keepers[index_of(r, n->creator)] = n;
	}

	/* The leaders that are gone, where CRIU makes a helper itself */
	for (i = 0; i < f->nr_tasks; i++) {
		int j, p, nr = f->nodes[i].pgid;

		n = &f->nodes[i];
		if (n->group || nr == f->nodes->pgid)
			continue;
		for (j = 1; j < r->k->nr; j++)
			if (r->k->p[j].state != GONE && k_top(r->k, j) == nr)
				break;
		if (j < r->k->nr)
			continue;
		p = k_fork(r->k, proc_of(r, n), false, false, &nr);
		if (p < 0 || k_setpgid(r->k, p, p, nr))
			FAIL("no leader for group %d", nr);
		r->helpers[r->nr_helpers++] = p;
	}

	while (left && progress) {
		progress = false;
		start = rnd(f->nr);
		for (i = 0; i < f->nr; i++) {
			n = &f->nodes[(start + i) % f->nr];
			if (joined[index_of(r, n)])
				continue;
			ret = join(r, n, keepers[index_of(r, n)]);
			if (ret < 0)
				FAIL("%d can't get into group %d", n->pid, n->pgid);
			if (ret) {
				joined[index_of(r, n)] = progress = true;
				left--;
			}
		}
	}
	if (left)
		FAIL("%d wait for ever to get into their groups", left);
	return 0;
}

static int depth(struct caba_node *n)
{
	int d = 0;

	for (; n->creator; n = n->creator)
		d++;
	return d;
}

static int leave(struct restore *r, struct caba_node *n)
{
	int p = proc_of(r, n), heir = 0;
	struct kernel *k = r->k;

	if (n->heir && !(n->heir->ns ? n->heir->ns->init == n->heir : n->heir->pid == 1))
		heir = proc_of(r, n->heir);
	if (k->p[p].parent != proc_of(r, n->born_parent))
		FAIL("helper of %d is not a child of who it was", n->creator->pid);
	if (k->p[p].state != ALIVE)
		FAIL("a helper of %d is gone too early", n->creator->pid);
	if (heir && r->left_out != HEIRS)
		k_set_subreaper(k, heir, true);
	k_exit(k, p);
	if (k->p[p].state != ZOMBIE)
		FAIL("a helper of %d is gone by itself", n->creator->pid);
	k_release(k, p);
	if (heir && r->left_out != HEIRS)
		k_set_subreaper(k, heir, false);
	return 0;
}

static int leave_all(struct restore *r)
{
	struct caba_forest *f = &r->v->f;
	int d, i, at;

	for (d = f->nr; d >= 0; d--) {
		at = r->left_out == DEEPEST_FIRST ? f->nr - d : d;
		for (i = f->nr_tasks; i < f->nr; i++) {
			struct caba_node *n = &f->nodes[i];

			if (n->kind == CABA_OUTSIDE || depth(n) != at || !proc_of(r, n) ||
			    proc_of(r, n) == proc_of(r, n->creator))
				continue;
			if (leave(r, n))
				return -1;
		}
	}

	for (i = 0; i < r->nr_helpers; i++) {
		k_exit(r->k, r->helpers[i]);
		k_release(r->k, r->helpers[i]);
	}
	return 0;
}

/* A short-lived child in another namespace, or as the init of a new one */
static int short_lived(struct restore *r, int creator, int ns, bool init)
{
	int nums[MAX_LEVELS], p;
	struct kernel *k = r->k;

	if (init) {
		choose_nums(r, k->p[creator].ns, NULL, 0, nums);
		nums[k->ns[k->p[creator].ns].level] = 1;
		p = k_fork(k, creator, true, false, nums);
		if (p > 0)
			r->last[k->p[p].ns] = 1;
		return p;
	}
	choose_nums(r, ns, NULL, 0, nums);
	k_setns(k, creator, ns);
	p = k_fork(k, creator, false, false, nums);
	k_setns(k, creator, k->p[creator].ns);
	return p;
}

/*
 * Where the next children go: into a namespace of the tree, into a new one, or
 * nowhere, as its init is dead. That one is made once more, and dies again.
 */
static int for_children(struct restore *r, struct kernel *old)
{
	struct {
		int creator, p;
	} helpers[2 * MAX_TASKS];
	int made[MAX_NS] = {}, inits[MAX_NS] = {}, map[MAX_NS] = {}, nr = 0, i, j;
	struct kernel *k = r->k;

	for (i = 0; i < r->v->f.nr_ns; i++)
		map[(struct k_ns *)r->v->ns[i].data - old->ns] = r->ns[i];

	for (i = 0; i < r->v->f.nr_tasks; i++) {
		struct k_proc *p = r->v->nodes[i].data;
		int ns = p->for_children, chain[MAX_LEVELS], len = 0, c = r->proc[i];

		if (ns <= 0 || ns == p->ns || map[ns])
			continue;
		if (!old->ns[ns].init) {
			if (k_unshare(k, c))
				FAIL("%d can't do unshare", k_top(k, c));
			continue;
		}
		for (j = ns; !map[j]; j = old->ns[j].parent)
			chain[len++] = j;
		/* By a helper in the deepest one that lives */
		if (!made[chain[len - 1]] && map[j] != k->p[c].ns) {
			helpers[nr].creator = c;
			c = helpers[nr++].p = short_lived(r, c, map[j], false);
			if (c < 0)
				FAIL("no helper above a dead namespace");
		}
		while (len--) {
			if (!made[chain[len]]) {
				helpers[nr].creator = c;
				inits[chain[len]] = helpers[nr++].p = short_lived(r, c, 0, true);
				if (inits[chain[len]] < 0)
					FAIL("a dead namespace can't be made");
				made[chain[len]] = k->p[inits[chain[len]]].ns;
			}
			c = inits[chain[len]];
		}
	}
	for (i = 0; i < r->v->f.nr_tasks; i++) {
		struct k_proc *p = r->v->nodes[i].data;
		int ns = p->for_children;

		if (ns > 0 && ns != p->ns && old->ns[ns].init && k_setns(k, r->proc[i], map[ns] ?: made[ns]))
			FAIL("%d can't get at a namespace for its children", r->v->nodes[i].pid);
	}
	while (nr--) {
		k_exit(k, helpers[nr].p);
		if (k->p[helpers[nr].p].state == ZOMBIE)
			k_release(k, helpers[nr].p);
	}
	return 0;
}

static int finish(struct restore *r, struct kernel *old)
{
	struct kernel *k = r->k;
	int i, level;

	if (for_children(r, old))
		return -1;

	for (i = 0; i < r->v->f.nr_tasks; i++)
		if (((struct k_proc *)r->v->nodes[i].data)->subreaper)
			k_set_subreaper(k, r->proc[i], true);

	/* An init can only die when all in its namespace have gone */
	for (level = MAX_LEVELS; level--;)
		for (i = 0; i < r->v->f.nr_tasks; i++) {
			struct caba_node *n = &r->v->nodes[i];
			int p = r->proc[i];

			if (!n->zombie || k->ns[k->p[p].ns].level != level)
				continue;
			if (k_has_children(k, p) || k->p[p].state != ALIVE)
				FAIL("zombie %d still has children", n->pid);
			k_exit(k, p);
			if (k->p[p].state != ZOMBIE)
				FAIL("%d can't become a zombie", n->pid);
		}
	return 0;
}

/* A shell and criu, whose session and group the root may have */
static int fork_root(struct restore *r)
{
	struct caba_node *root = r->v->nodes;
	struct kernel *k = r->k;
	int p = 1, nr;

	if (root->pid == 1)
		return 1;

	if (root->sid != root->pid && root->sid != 1) {
		nr = root->sid;
		p = k_fork(k, p, false, false, &nr);
		if (p < 0 || k_setsid(k, p))
			return -1;
	}
	if (root->pgid != root->pid && root->pgid != 1 && root->pgid != root->sid && !root->group) {
		nr = root->pgid;
		p = k_fork(k, p, false, false, &nr);
		if (p < 0 || k_setpgid(k, p, p, nr))
			return -1;
	} else {
		nr = ++r->last[1];
		p = k_fork(k, p, false, false, &nr);
	}
	nr = root->pid;
	return k_fork(k, p, false, false, &nr);
}

/* Carries the plan out */
static int restore(struct restore *r, struct kernel *k, struct kernel *old, struct view *v, enum rule left_out)
{
	int i;

	memset(r, 0, sizeof(*r));
	r->k = k;
	r->v = v;
	r->left_out = left_out;
	r->quiet = left_out;

	k_boot(k);
	r->ns[0] = 1;
	for (i = 0; i < v->f.nr_tasks; i++) {
		struct caba_node *n = &v->nodes[i];

		use_nums(r, n->ns, n->pid, &n->pids);
		use_nums(r, n->ns, n->sid, &n->sids);
		use_nums(r, n->ns, n->pgid, &n->pgids);
	}
	r->last[1] = r->used[0];
	r->proc[0] = fork_root(r);
	if (r->proc[0] < 0)
		FAIL("no root");

	for (i = v->f.nr_tasks; i < v->f.nr; i++)
		if (v->nodes[i].kind == CABA_OUTSIDE && left_out == FROM_OUTSIDE)
			r->proc[i] = 1;

	if (do_events(r) || join_groups(r) || leave_all(r))
		return -1;
	return finish(r, old);
}

/*
 * Comparison
 */
static bool same_ns(struct kernel *a, struct kernel *b, int x, int y, int *map, int *back)
{
	while (x > 0 && y > 0) {
		if ((map[x] && map[x] != y) || (back[y] && back[y] != x) || a->ns[x].level != b->ns[y].level ||
		    a->ns[x].closed != b->ns[y].closed)
			return false;
		map[x] = y;
		back[y] = x;
		x = a->ns[x].parent;
		y = b->ns[y].parent;
	}
	return x == y;
}

static bool same_nums(struct kernel *a, struct kernel *b, int x, int y, int ns_x, int ns_y)
{
	for (; ns_x && ns_y; ns_x = a->ns[ns_x].parent, ns_y = b->ns[ns_y].parent)
		if (k_pid_nr(a, x, ns_x) != k_pid_nr(b, y, ns_y))
			return false;
	return ns_x == ns_y;
}

static int compare(struct restore *r, struct kernel *a)
{
	struct kernel *b = r->k;
	int map[MAX_NS] = {}, back[MAX_NS] = {}, i, caba, above = 0;

	for (i = 0; i < r->v->f.nr_tasks; i++) {
		struct caba_node *n = &r->v->nodes[i];
		struct k_proc *x = n->data, *y = &b->p[r->proc[i]];

		/* Also that two are in the same namespace if and only if they were */
		if (!same_ns(a, b, x->ns, y->ns, map, back) || !same_nums(a, b, x - a->p, r->proc[i], x->ns, y->ns))
			FAIL("%d has other numbers", n->pid);
		if (x->state != y->state || x->subreaper != y->subreaper)
			FAIL("%d is in state %d, %d instead of %d, %d", n->pid, y->state, y->subreaper, x->state,
			     x->subreaper);
		if (!same_nums(a, b, x->sid, y->sid, x->ns, y->ns))
			FAIL("%d is in session %d, not %d", n->pid, k_top(b, y->sid), n->sid);
		if (!same_nums(a, b, x->pgid, y->pgid, x->ns, y->ns))
			FAIL("%d is in group %d, not %d", n->pid, k_top(b, y->pgid), n->pgid);
		if (!same_ns(a, b, x->for_children, y->for_children, map, back))
			FAIL("the children of %d would get into another namespace", n->pid);
		if (!i)
			continue;
		if (k_top(b, y->parent) != n->parent->pid)
			FAIL("%d is a child of %d, not %d", n->pid, k_top(b, y->parent), n->parent->pid);
		if (y->exit_signal != x->exit_signal)
			FAIL("%d has exit signal %d, not %d", n->pid, y->exit_signal, x->exit_signal);
		caba = n->caba ? n->caba->pid : 0;
		if (k_top(b, y->caba) != caba)
			FAIL("%d has CABA %d, not %d", n->pid, k_top(b, y->caba), caba);
	}

	/* Nobody else is left but who is above */
	for (i = b->p[r->proc[0]].parent; i; i = b->p[i].parent)
		above++;
	if (count(b, ALIVE) + count(b, ZOMBIE) + count(b, DYING) != r->v->f.nr_tasks + above)
		FAIL("a helper is left");
	return 0;
}

static int come_back(struct kernel *old, struct view *v, enum rule left_out)
{
	static struct restore r;
	static struct kernel k;

	return restore(&r, &k, old, v, left_out) || compare(&r, old);
}

/*
 * Damage
 */
static void damage_nums(struct caba_nums *nums, pid_t top)
{
	if (!nums->at)
		return;
	switch (rnd(3)) {
	case 0:
		nums->nr = rnd(MAX_LEVELS);
		break;
	case 1:
		if (nums->nr)
			((pid_t *)nums->at)[rnd(nums->nr)] = (int)rnd(MAX_TASKS) - 1;
		break;
	case 2:
		if (nums->nr)
			((pid_t *)nums->at)[nums->nr - 1] = top;
		break;
	}
}

static void damage(struct view *v)
{
	struct caba_node *n = &v->nodes[rnd(v->f.nr_tasks)], *m = &v->nodes[rnd(v->f.nr_tasks)];
	struct caba_ns *ns = &v->ns[rnd(v->f.nr_ns)];

	switch (rnd(15)) {
	case 0:
		n->pid = rnd(2) ? m->pid : m->sid;
		break;
	case 1:
		n->sid = rnd(2) ? m->pid : m->sid;
		n->sids = rnd(2) ? m->pids : m->sids;
		break;
	case 2:
		n->pgid = rnd(2) ? m->pid : m->pgid;
		n->pgids = rnd(2) ? m->pids : m->pgids;
		break;
	case 3:
		n->parent = m;
		break;
	case 4:
		n->caba = m;
		break;
	case 5:
		n->caba = NULL;
		break;
	case 6:
		n->zombie = !n->zombie;
		break;
	case 7:
		n->ns = v->f.ns ? ns : NULL;
		break;
	case 8:
		if (v->f.ns)
			ns->parent = &v->ns[rnd(v->f.nr_ns)];
		break;
	case 9:
		damage_nums(&n->pids, m->pid);
		break;
	case 10:
		damage_nums(&n->sids, m->sid);
		break;
	case 11:
		damage_nums(&n->pgids, m->pgid);
		break;
	case 12:
		n->pgid = rnd(MAX_TASKS);
		break;
	case 13:
		n->sid = rnd(MAX_TASKS);
		break;
	case 14:
		n->exit_signal = rnd(2) ? SIGCHLD : SIGUSR1;
		break;
	}
}

static void test_damaged(void)
{
	struct caba_node n[CABA_MAX_NODES(3)] = {};
	struct caba_forest f = { .nodes = n, .nr_tasks = 3 };

#define SANE()                                                                       \
	n[0] = (struct caba_node){ .pid = 1, .sid = 1 };                             \
	n[1] = (struct caba_node){ .pid = 2, .sid = 1, .parent = n, .caba = n };     \
	n[2] = (struct caba_node){ .pid = 3, .sid = 1, .parent = n, .caba = n + 1 }; \
	n[0].exit_signal = n[1].exit_signal = n[2].exit_signal = SIGCHLD

	SANE();
	assert(!caba_plan(&f));
	assert(f.nr == 4 && n[3].kind == CABA_ANON && n[3].creator == n + 1 && n[3].heir == n);
	assert(n[2].creator == n + 3);

	/* a helper would not leave it its exit signal; a sibling has the one of its creator */
	SANE();
	n[2].exit_signal = SIGUSR1;
	assert(caba_plan(&f));
	n[1].exit_signal = SIGUSR1;
	assert(!caba_plan(&f));
	assert(f.nr == 3 && n[2].creator == n + 1 && n[2].sibling && n[2].born_parent == n);
	n[2].parent = n + 1;
	n[1].exit_signal = SIGCHLD;
	assert(!caba_plan(&f));
	assert(f.nr == 3 && !n[2].sibling);

	/* the same, where its creator only stands for a session's leader */
	SANE();
	n[2].caba = n;
	n[2].sid = 4;
	n[2].exit_signal = 0;
	assert(!caba_plan(&f));
	assert(f.nr == 4 && n[3].kind == CABA_SESSION && n[2].creator == n + 3 && n[2].sibling);
	assert(n[3].creator == n && !n[3].exit_signal);

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


/*
 * Time
 */
static void shape(struct caba_forest *f, int which, struct caba_ns *ns, pid_t (*nums)[4])
{
	struct caba_node *nodes = f->nodes, *n;
	int i, nr = f->nr_tasks;

	f->ns = NULL;
	f->nr_ns = 0;
	for (i = 0; i < nr; i++) {
		n = &nodes[i];
		memset(n, 0, sizeof(*n));
		n->pid = i + 1;
		n->sid = n->pgid = 1;
		n->exit_signal = SIGCHLD;
		if (!i)
			continue;
		n->parent = nodes;
		n->caba = n - 1;
		switch (which) {
		case 0: /* a star */
			n->caba = nodes;
			break;
		case 1: /* a line of births, all orphans */
			break;
		case 2: /* no orphans */
			n->parent = n - 1;
			break;
		case 3: /* parents all over the place */
			n->parent = &nodes[i / 2];
			break;
		case 4: /* all are leaders */
			n->sid = n->pgid = n->pid;
			break;
		case 5: /* leaders whose children have got their session before that */
			n->sid = n->pgid = i % 2 ? n->pid : 1;
			break;
		case 6: /* many sessions of dead leaders, in each other */
			n->sid = n->pgid = nr + 1 + (i < nr / 2 ? i : nr - i) / 8;
			if (i > nr / 2)
				n->caba = &nodes[nr - i];
			break;
		case 7: /* many namespaces, groups hidden, by birth */
		case 8: /* and by moves */
			f->ns = ns;
			f->nr_ns = 4;
			n->parent = n - 1;
			n->pgid = 2;
			break;
		}
	}
	for (i = 0; i < nr && f->ns; i++) {
		int level = i * 4 / nr, j;

		n = &nodes[i];
		if (which == 8) {
			level = i && i % 2 == 0;
			f->nr_ns = 2;
			n->caba = n->parent = i ? nodes : NULL;
			if (i)
				n->pgid = i % 2 ? n->pid : i;
		}
		n->ns = &ns[level];
		for (j = 0; j <= level; j++)
			nums[i][j] = n->pid - (which == 8 ? 2 * j : j * nr / 4);
		n->pids = (struct caba_nums){ level + 1, nums[i] };
		ns[level].parent = level ? &ns[level - 1] : NULL;
	}
}

static double plan_time(struct caba_forest *f, int which, struct caba_ns *ns, pid_t (*nums)[4])
{
	double least = 1000;
	int i;

	for (i = 0; i < 2; i++) {
		clock_t start;
		double t;

		shape(f, which, ns, nums);
		start = clock();
		if (caba_plan(f)) {
			printf("caba: shape %d can't be planned\n", which);
			exit(1);
		}
		t = (double)(clock() - start) / CLOCKS_PER_SEC;
		least = t < least ? t : least;
		caba_free_plan(f);
	}
	return least;
}

/* A tree of twice the size takes about twice the time, whatever it looks like */
static void test_time(void)
{
	struct caba_forest f = { .nr_tasks = 64000 };
	pid_t(*nums)[4] = malloc(f.nr_tasks * sizeof(*nums));
	double star, t, worst = 0;
	struct caba_ns ns[4];
	int which;

	f.nodes = malloc(CABA_MAX_NODES(f.nr_tasks) * sizeof(*f.nodes));
	assert(f.nodes && nums);
	star = plan_time(&f, 0, ns, nums);
	for (which = 1; which <= 8; which++) {
		t = plan_time(&f, which, ns, nums);
		if (t > worst)
			worst = t;
		if (getenv("CABA_VERBOSE"))
			printf("caba: shape %d takes %.3f s\n", which, t);
		/* It was 500 times */
		if (t > 30 * star) {
			printf("caba: shape %d takes %f s, a star %f s\n", which, t, star);
			exit(1);
		}
	}
	free(f.nodes);
	free(nums);
	printf("caba: a star of %u takes %.3f s to plan, other shapes up to %.3f s\n", f.nr_tasks, star, worst);
}

void test_caba(void)
{
	static struct kernel k;
	static struct view v;
	int nr = NR_SEEDS, m, seed, i, rule, refused_by_parents = 0, left_groups = 0, planned = 0;
	int dying = 0, inits = 0, siblings = 0, none = 0, damaged = 0, refused = 0, failed[NR_RULES] = {};
	int kinds[CABA_OUTSIDE + 1] = {}, moves = 0, hidden = 0, nested = 0, processes = 0;
	char *env = getenv("CABA_SEEDS");

	if (env)
		nr = atoi(env);

	log_set_loglevel(LOG_MSG);
	test_damaged();

	for (m = 0; m < NR_MODES; m++) {
		for (seed = 1; seed <= nr; seed++) {
			rnd_state = (seed * 16 + m) * 2654435761ULL;
			random_history(&k, &modes[m]);

			/* What dump refuses, and does not get so far */
			if (count(&k, DYING)) {
				dying++;
				continue;
			}
			if (!choose_root(&k, &v, &modes[m])) {
				none++;
				continue;
			}

			fill_view(&k, &v, true);
			if (caba_plan(&v.f))
				refused_by_parents++;
			caba_free_plan(&v.f);

			fill_view(&k, &v, false);
			i = caba_plan(&v.f);
			if (i && !inits_in_tree(&k, &v)) {
				inits++;
				continue;
			}
			/* A sibling that would have to be born into a group that its creator sees */
			if (i && v.f.ns && modes[m].flags & SIGNAL) {
				caba_free_plan(&v.f);
				siblings++;
				continue;
			}
			if (i || come_back(&k, &v, NONE)) {
				printf("caba: seed %d of mode %s does not come back\n", seed, modes[m].name);
				log_set_loglevel(LOG_ERROR);
				caba_plan(&v.f);
				exit(1);
			}
			planned++;
			processes += v.f.nr_tasks;
			nested += v.f.nr_ns - 1;
			for (i = 0; i < v.f.nr; i++) {
				kinds[v.nodes[i].kind]++;
				hidden += v.nodes[i].kind == CABA_TASK && v.nodes[i].in_group;
			}
			for (i = 0; i < v.f.nr_events; i++)
				moves += v.f.events[i].act == CABA_MOVE;
			for (i = v.f.nr_tasks; i < v.f.nr; i++)
				if (v.nodes[i].kind == CABA_GROUP) {
					left_groups++;
					break;
				}

			for (rule = 1; rule < NR_RULES && seed <= NR_LEFT_OUT; rule++) {
				fill_view(&k, &v, false);
				caba_free_plan(&v.f);
				assert(!caba_plan(&v.f));
				failed[rule] += come_back(&k, &v, rule);
			}
			caba_free_plan(&v.f);

			for (i = 0; i < NR_DAMAGED; i++) {
				int hits = 1 + rnd(3);

				fill_view(&k, &v, false);
				while (hits--)
					damage(&v);
				damaged++;
				if (caba_plan(&v.f))
					refused++;
				caba_free_plan(&v.f);
			}
		}
	}

	printf("caba: %d histories come back, %d of them can not be planned from their parents alone\n", planned,
	       refused_by_parents);
	printf("caba: rightly refused: %d with an init that is dying, %d with one outside of the tree; %d without a tree\n",
	       dying, inits, none);
	printf("caba: refused: %d with exit signals in nested namespaces\n", siblings);
	assert(siblings <= planned / 100);
	printf("caba: %d processes, %d namespaces, %d hidden groups, %d moves; helpers: %d sessions, %d anonymous, %d kept groups, %d dead groups\n",
	       processes, nested, hidden, moves, kinds[CABA_SESSION], kinds[CABA_ANON], kinds[CABA_GROUP],
	       kinds[CABA_DEAD_GROUP]);
	printf("caba: in %d of them leaders have left their groups\n", left_groups);
	printf("caba: %d damaged trees, %d of them refused\n", damaged, refused);
	for (rule = 1; rule < NR_RULES && getenv("CABA_VERBOSE"); rule++)
		printf("caba: without \"%s\" %d fail\n", rule_names[rule], failed[rule]);

	/* Births have to be what makes the difference, and each of the rules */
	if (nr >= 100) {
		assert(refused_by_parents > planned / 20);
		assert(left_groups > planned / 40);
		for (rule = 1; rule < NR_RULES; rule++)
			if (!failed[rule]) {
				printf("caba: nothing fails without \"%s\"\n", rule_names[rule]);
				exit(1);
			}
		printf("caba: with any of %d rules left out some do not come back\n", NR_RULES - 1);
	}
	test_time();
}
