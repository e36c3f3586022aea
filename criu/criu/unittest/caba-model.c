/*
 * The rules are those of alloc_pid() and free_pid() in kernel/pid.c,
 * copy_process() in kernel/fork.c, find_new_reaper() in kernel/exit.c,
 * pidns_install() and zap_pid_ns_processes() in kernel/pid_namespace.c,
 * setpgid(), setsid() and PR_SET_CHILD_SUBREAPER in kernel/sys.c.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>

#include "caba-model.h"

void k_boot(struct kernel *k)
{
	memset(k, 0, sizeof(*k));
	k->nr = k->nr_ns = 1;
	k->p[0].state = ALIVE;
	k->p[0].refs = 1;
	k_fork(k, 0, true, false, NULL);
	k_setsid(k, 1);
}

bool k_holds(const struct kernel *k, int ns, int below)
{
	while (k->ns[below].level > k->ns[ns].level)
		below = k->ns[below].parent;
	return ns == below;
}

int k_pid_nr(const struct kernel *k, int p, int ns)
{
	return k_holds(k, ns, k->p[p].ns) ? k->p[p].nums[k->ns[ns].level] : 0;
}

static int find_pid(const struct kernel *k, int ns, int nr)
{
	int i;

	for (i = 1; nr && i < k->nr; i++)
		if (k->p[i].refs && k_pid_nr(k, i, ns) == nr)
			return i;
	return 0;
}

bool k_has_children(const struct kernel *k, int p)
{
	int i;

	for (i = 1; i < k->nr; i++)
		if (k->p[i].state != GONE && k->p[i].parent == p)
			return true;
	return false;
}

static int new_ns(struct kernel *k, int parent)
{
	assert(k->nr_ns < MAX_NS);
	k->ns[k->nr_ns] = (struct k_ns){ .parent = parent, .level = k->ns[parent].level + 1 };
	return k->nr_ns++;
}

int k_unshare(struct kernel *k, int p)
{
	if (k->p[p].for_children != k->p[p].ns)
		return -1;
	k->p[p].for_children = new_ns(k, k->p[p].ns);
	return 0;
}

int k_setns(struct kernel *k, int p, int ns)
{
	if (!k_holds(k, k->p[p].ns, ns))
		return -1;
	k->p[p].for_children = ns;
	return 0;
}

/* @nums are the numbers wanted, from the first namespace down */
int k_fork(struct kernel *k, int creator, bool newpid, bool sibling, const int *nums)
{
	struct k_proc *c = &k->p[creator], *p = &k->p[k->nr];
	int ns = c->for_children, i, level;

	assert(c->state == ALIVE && k->nr < MAX_PROCS);
	if (newpid) {
		if (ns != c->ns)
			return -1;
		ns = new_ns(k, ns);
	}
	if (sibling && k->ns[c->ns].init == creator)
		return -1;
	if (k->ns[ns].closed)
		return -1;

	memset(p, 0, sizeof(*p));
	for (i = ns, level = k->ns[ns].level; level; i = k->ns[i].parent, level--) {
		if (!nums) {
			p->nums[level] = k->ns[i].last + 1;
			continue;
		}
		p->nums[level] = nums[level - 1];
		if (find_pid(k, i, p->nums[level]) || (!k->ns[i].init && p->nums[level] != 1))
			return -1;
	}
	for (i = ns, level = k->ns[ns].level; level; i = k->ns[i].parent, level--)
		if (k->ns[i].last < p->nums[level])
			k->ns[i].last = p->nums[level];

	p->state = ALIVE;
	p->ns = p->for_children = ns;
	p->parent = sibling ? c->parent : creator;
	p->caba = creator;
	/* Unless the caller says another one */
	p->exit_signal = sibling ? c->exit_signal : SIGCHLD;
	p->sid = c->sid;
	p->pgid = c->pgid;
	p->refs = 1;
	k->p[p->sid].refs++;
	k->p[p->pgid].refs++;
	p->has_subreaper = k->p[p->parent].has_subreaper || k->p[p->parent].subreaper;
	if (!k->ns[ns].init)
		k->ns[ns].init = k->nr;
	return k->nr++;
}

/* The session that a group is in, -1 if there is nobody in it */
static int group_sid(struct kernel *k, int pgid)
{
	int i;

	for (i = 1; i < k->nr; i++)
		if (k->p[i].state != GONE && k->p[i].pgid == pgid)
			return k->p[i].sid;
	return -1;
}

static void change(struct kernel *k, int *id, int to)
{
	k->p[to].refs++;
	k->p[*id].refs--;
	*id = to;
}

int k_setsid(struct kernel *k, int p)
{
	if (k->p[p].sid == p || group_sid(k, p) >= 0)
		return -1;
	change(k, &k->p[p].sid, p);
	change(k, &k->p[p].pgid, p);
	return 0;
}

/* @nr is a number in the caller's namespace */
int k_setpgid(struct kernel *k, int caller, int p, int nr)
{
	int pgid = p;

	if (!k_holds(k, k->p[caller].ns, k->p[p].ns) || k->p[p].state != ALIVE)
		return -1;
	if (p != caller && (k->p[p].parent != caller || k->p[p].sid != k->p[caller].sid))
		return -1;
	if (k->p[p].sid == p)
		return -1;
	if (nr != k_pid_nr(k, p, k->p[caller].ns)) {
		pgid = find_pid(k, k->p[caller].ns, nr);
		if (!pgid || group_sid(k, pgid) != k->p[caller].sid)
			return -1;
	}
	change(k, &k->p[p].pgid, pgid);
	return 0;
}

static void tell_children(struct kernel *k, int p)
{
	int i;

	for (i = 1; i < k->nr; i++) {
		struct k_proc *q = &k->p[i];

		if (q->state == GONE || q->parent != p || q->has_subreaper || k->ns[q->ns].init == i)
			continue;
		q->has_subreaper = true;
		tell_children(k, i);
	}
}

void k_set_subreaper(struct kernel *k, int p, bool on)
{
	k->p[p].subreaper = on;
	if (on)
		tell_children(k, p);
}

static int find_reaper(struct kernel *k, int p)
{
	int level = k->ns[k->p[p].ns].level, r;

	if (k->p[p].has_subreaper)
		for (r = k->p[p].parent; k->ns[k->p[r].ns].level == level; r = k->p[r].parent)
			if (k->p[r].subreaper && k->p[r].state == ALIVE)
				return r;
	return k->ns[k->p[p].ns].init;
}

/* An init that is dying is through with it when its number is the last one in its namespace */
static void zapped(struct kernel *k, int init)
{
	struct k_proc *p = &k->p[init];
	int i;

	if (p->state != DYING)
		return;
	for (i = 1; i < k->nr; i++)
		if (i != init && k->p[i].refs && k_holds(k, p->ns, k->p[i].ns))
			return;

	p->state = ZOMBIE;
	p->for_children = -1;
	if (k->p[p->parent].state == DYING)
		k_release(k, init);
}

void k_exit(struct kernel *k, int pid)
{
	struct k_proc *p = &k->p[pid], *q;
	int i, reaper;

	assert(p->state == ALIVE);
	for (i = 1; i < k->nr; i++)
		if (k->p[i].state != GONE && k->p[i].caba == pid)
			k->p[i].caba = p->caba;

	if (k->ns[p->ns].init == pid) {
		p->state = DYING;
		k->ns[p->ns].closed = true;
		for (i = 1; i < k->nr; i++)
			if (i != pid && k->p[i].state == ALIVE && k_holds(k, p->ns, k->p[i].ns))
				k_exit(k, i);
		for (i = 1; i < k->nr; i++)
			if (k->p[i].state == ZOMBIE && k->p[i].parent == pid)
				k_release(k, i);
		zapped(k, pid);
		return;
	}

	reaper = find_reaper(k, pid);
	for (i = 1; i < k->nr; i++) {
		q = &k->p[i];
		if (q->state == GONE || q->parent != pid)
			continue;
		q->parent = reaper;
		q->exit_signal = SIGCHLD;
		if (q->state == ZOMBIE && k->p[reaper].state == DYING)
			k_release(k, i);
	}
	p->state = ZOMBIE;
	p->for_children = -1;
	if (k->p[p->parent].state == DYING)
		k_release(k, pid);
}

void k_release(struct kernel *k, int pid)
{
	struct k_proc *p = &k->p[pid];
	int ns;

	assert(p->state == ZOMBIE && !k_has_children(k, pid));
	p->state = GONE;
	p->refs--;
	k->p[p->sid].refs--;
	k->p[p->pgid].refs--;
	for (ns = p->ns; ns; ns = k->ns[ns].parent)
		if (k->ns[ns].init)
			zapped(k, k->ns[ns].init);
}
