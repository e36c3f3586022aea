/*
 * Which process forks which one, in which session, group and pid namespace,
 * and which helpers exit in between, so that a tree gets its parents, sessions,
 * groups and births back. In which order is worked out in caba-order.c.
 *
 * Only the nodes given are looked at here, neither images nor the kernel, so
 * that the plan can be tested against random histories: see unittest/caba.c.
 */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "xmalloc.h"
#include "caba-plan.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* The kernel's own limit */
#define MAX_LEVEL 32

struct session {
	pid_t sid;
	struct caba_node *leader; /* alive, a zombie, a helper, or above the root */
	struct caba_node *lca;	  /* of all members */
	struct caba_node *member; /* any one, if the leader is gone */
	struct caba_ns *ns;	  /* of the leader */
	bool above_root;	  /* the root has inherited it */
	bool scattered;		  /* members have no common ancestor */
};

struct plan {
	struct caba_forest *f;
	struct caba_node *outside; /* NULL if nobody comes from there */
	struct caba_node **by_pid;
	struct caba_node **by_pgid;
	struct caba_node **path;
	struct session *sessions; /* sorted by sid */
	unsigned int nr_sessions;
	struct caba_line *lines;
	unsigned int nr_lines;
	struct caba_node **shared; /* hash of the anonymous helpers */
	unsigned int shared_mask;
};

static bool is_leader(const struct caba_node *n)
{
	return n->pid == n->sid;
}

static bool is_init(const struct caba_node *n)
{
	return n->ns && n->ns->init == n;
}

static int cmp_pid(const void *a, const void *b)
{
	const struct caba_node *const *x = a, *const *y = b;

	return (*x)->pid < (*y)->pid ? -1 : (*x)->pid > (*y)->pid;
}

static int cmp_pgid(const void *a, const void *b)
{
	const struct caba_node *const *x = a, *const *y = b;

	return (*x)->pgid < (*y)->pgid ? -1 : (*x)->pgid > (*y)->pgid;
}

static int cmp_sid(const void *a, const void *b)
{
	const struct session *x = a, *y = b;

	return x->sid < y->sid ? -1 : x->sid > y->sid;
}

static struct caba_node *node_by_pid(struct plan *p, pid_t pid)
{
	struct caba_node key = { .pid = pid }, *k = &key, **res;

	res = bsearch(&k, p->by_pid, p->f->nr_tasks, sizeof(*res), cmp_pid);
	return res ? *res : NULL;
}

static struct session *session_by_sid(struct plan *p, pid_t sid)
{
	struct session key = { .sid = sid };

	return bsearch(&key, p->sessions, p->nr_sessions, sizeof(key), cmp_sid);
}

static struct caba_node *add_helper(struct plan *p, enum caba_kind kind, struct caba_node *creator)
{
	struct caba_node *h = &p->f->nodes[p->f->nr++];

	*h = (struct caba_node){
		.kind = kind,
		.creator = creator,
		.exit_signal = SIGCHLD,
		.born_sid = -1,
		.need = -1,
		.walked = -1,
	};
	return h;
}

/*
 * Namespaces and numbers
 */
bool caba_holds(const struct caba_ns *ns, const struct caba_ns *below)
{
	while (below && ns && below->level > ns->level)
		below = below->parent;
	return ns == below;
}

/* Can @n have children there? */
static bool can_enter(const struct caba_node *n, const struct caba_ns *ns)
{
	return n->kind == CABA_OUTSIDE || caba_holds(n->ns, ns);
}

static unsigned int nr_levels(const struct caba_nums *nums)
{
	return nums->nr ?: 1;
}

/* Whose number at that level is the last one in @nums of a process in @ns */
static struct caba_ns *ns_of_last(struct caba_ns *ns, const struct caba_nums *nums)
{
	while (ns && ns->level + 1 > nr_levels(nums))
		ns = ns->parent;
	return ns;
}

/* A number of a process, session or group in one namespace */
struct number {
	struct caba_ns *ns;
	pid_t nr;
	pid_t top; /* the one in the root's namespace */
};

static int cmp_ns(const struct number *x, const struct number *y)
{
	return x->ns < y->ns ? -1 : x->ns > y->ns;
}

static int cmp_number(const void *a, const void *b)
{
	const struct number *x = a, *y = b;

	return cmp_ns(x, y) ?: (x->nr > y->nr) - (x->nr < y->nr);
}

static int cmp_top(const void *a, const void *b)
{
	const struct number *x = a, *y = b;

	return cmp_ns(x, y) ?: (x->top > y->top) - (x->top < y->top);
}

static int add_numbers(struct caba_node *n, const char *what, pid_t top, const struct caba_nums *nums,
		       struct number *out, unsigned int *nr)
{
	struct caba_ns *ns = n->ns;
	unsigned int i;

	if (!nums->nr)
		return 0;

	if (nums->nr > ns->level + 1 || nums->at[0] != top) {
		pr_err("%d has %u numbers as its %s %d, at level %u\n", n->pid, nums->nr, what, top, ns->level);
		return -1;
	}

	ns = ns_of_last(ns, nums);
	for (i = nums->nr; i-- > 0; ns = ns->parent) {
		if (nums->at[i] <= 0) {
			pr_err("%d has %d as a number of its %s %d\n", n->pid, nums->at[i], what, top);
			return -1;
		}
		out[(*nr)++] = (struct number){ .ns = ns, .nr = nums->at[i], .top = top };
	}
	return 0;
}

/* In each namespace one number belongs to one process, dead or alive, and the other way round */
static int check_numbers(struct plan *p)
{
	struct caba_forest *f = p->f;
	unsigned int i, max = 0, nr = 0;
	struct number *nums;
	int ret = -1;

	for (i = 0; i < f->nr_tasks; i++)
		max += f->nodes[i].pids.nr + f->nodes[i].sids.nr + f->nodes[i].pgids.nr;

	nums = xmalloc((max + 1) * sizeof(*nums));
	if (!nums)
		return -1;

	for (i = 0; i < f->nr_tasks; i++) {
		struct caba_node *n = &f->nodes[i];

		if (add_numbers(n, "pid", n->pid, &n->pids, nums, &nr) ||
		    add_numbers(n, "session", n->sid, &n->sids, nums, &nr) ||
		    add_numbers(n, "group", n->pgid, &n->pgids, nums, &nr))
			goto out;
	}

	qsort(nums, nr, sizeof(*nums), cmp_number);
	for (i = 1; i < nr; i++)
		if (!cmp_number(&nums[i - 1], &nums[i]) && nums[i - 1].top != nums[i].top) {
			pr_err("Both %d and %d have number %d in the pid namespace at level %u\n", nums[i - 1].top,
			       nums[i].top, nums[i].nr, nums[i].ns->level);
			goto out;
		}

	qsort(nums, nr, sizeof(*nums), cmp_top);
	for (i = 1; i < nr; i++)
		if (!cmp_top(&nums[i - 1], &nums[i]) && nums[i - 1].nr != nums[i].nr) {
			pr_err("%d has both numbers %d and %d in the pid namespace at level %u\n", nums[i].top,
			       nums[i - 1].nr, nums[i].nr, nums[i].ns->level);
			goto out;
		}

	ret = 0;
out:
	xfree(nums);
	return ret;
}

static int check_namespaces(struct plan *p)
{
	struct caba_forest *f = p->f;
	struct caba_node *n;
	struct caba_ns *ns;
	unsigned int i;

	for (i = 0; i < f->nr_ns; i++) {
		ns = &f->ns[i];
		ns->level = 0;
		ns->init = NULL;
		if (!ns->parent != !i || (i && ns->parent >= ns)) {
			pr_err("Pid namespace %u is not below one before it\n", i);
			return -1;
		}
		if (i)
			ns->level = ns->parent->level + 1;
		if (ns->level > MAX_LEVEL) {
			pr_err("Pid namespaces are nested too deep\n");
			return -1;
		}
	}

	for (i = 0; i < f->nr_tasks; i++) {
		n = &f->nodes[i];
		if (!n->ns)
			n->ns = f->ns;
		if (nr_levels(&n->pids) != n->ns->level + 1) {
			pr_err("%d has %u numbers at level %u\n", n->pid, nr_levels(&n->pids), n->ns->level);
			return -1;
		}
		if ((n->pids.nr ? n->pids.at[n->ns->level] : n->pid) != 1)
			continue;
		if (n->ns->init || (n->ns == f->ns) != !i) {
			pr_err("%d can't be the init of its pid namespace\n", n->pid);
			return -1;
		}
		n->ns->init = n;
	}

	for (i = 0; i < f->nr_tasks; i++) {
		n = &f->nodes[i];
		if (!n->ns->init && n->ns != f->ns) {
			pr_err("The init of the pid namespace of %d is not in the tree\n", n->pid);
			return -1;
		}
		if (n->ns->init && n->ns->init != n && n->ns->init->zombie) {
			pr_err("%d is in the pid namespace of %d, which is dead\n", n->pid, n->ns->init->pid);
			return -1;
		}
	}

	if (f->nodes->ns != f->ns) {
		pr_err("The root is not in its pid namespace\n");
		return -1;
	}
	for (i = 1; i < f->nr_ns; i++)
		if (!f->ns[i].init) {
			pr_err("There is nobody in pid namespace %u\n", i);
			return -1;
		}

	return check_numbers(p);
}

/*
 * Births
 */

/* Makes ancestors quick to find, whoever ->up leads to */
static int index_ancestors(struct plan *p, unsigned int nr)
{
	struct caba_node *n, *up;
	unsigned int i, len;

	for (i = 0; i < nr; i++)
		p->f->nodes[i].depth = 0;

	for (i = 0; i < nr; i++) {
		len = 0;
		for (n = &p->f->nodes[i]; n && !n->depth; n = n->up) {
			n->depth = -1;
			p->path[len++] = n;
		}
		if (n && n->depth == -1) {
			pr_err("The born ancestors of %d go round in a circle\n", p->f->nodes[i].pid);
			return -1;
		}
		while (len--) {
			n = p->path[len];
			up = n->up;
			n->depth = up ? up->depth + 1 : 1;
			if (!up)
				n->jump = n;
			else if (up->depth - up->jump->depth == up->jump->depth - up->jump->jump->depth)
				n->jump = up->jump->jump;
			else
				n->jump = up;
		}
	}
	return 0;
}

static struct caba_node *ancestor_at(struct caba_node *n, int depth)
{
	while (n && n->depth > depth)
		n = n->jump->depth >= depth ? n->jump : n->up;
	return n;
}

static bool is_above(struct caba_node *a, struct caba_node *n)
{
	return a != n && ancestor_at(n, a->depth) == a;
}

static struct caba_node *common_ancestor(struct caba_node *a, struct caba_node *b)
{
	if (a->depth > b->depth)
		a = ancestor_at(a, b->depth);
	else
		b = ancestor_at(b, a->depth);
	while (a && a != b) {
		bool far = a->jump != b->jump;

		a = far && a->depth > 1 ? a->jump : a->up;
		b = far && b->depth > 1 ? b->jump : b->up;
	}
	return a;
}

/*
 * The births have to be a tree, and a reaper is always a born ancestor or the
 * init of a pid namespace
 */
static int check_births(struct plan *p)
{
	struct caba_node *root = p->f->nodes, *n;
	unsigned int i;

	for (i = 0; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		if (n->pid <= 0 || n->sid <= 0 || n->pgid < 0) {
			pr_err("%d is in session %d and group %d\n", n->pid, n->sid, n->pgid);
			return -1;
		}
		if (!i)
			continue;
		if (!n->parent || (!n->caba && !p->f->from_outside)) {
			pr_err("%d has no %s\n", n->pid, n->parent ? "born ancestor" : "parent");
			return -1;
		}

		if (n->caba && n->caba->zombie) {
			pr_err("%d is said to descend from %d, which is a zombie\n", n->pid, n->caba->pid);
			return -1;
		}
		if (n->parent->zombie) {
			pr_err("%d is said to be a child of %d, which is a zombie\n", n->pid, n->parent->pid);
			return -1;
		}

		if (!n->caba && !p->outside)
			p->outside = add_helper(p, CABA_OUTSIDE, NULL);
		n->up = n->creator = n->caba ?: p->outside;
	}
	root->up = root->creator = NULL;

	if (index_ancestors(p, p->f->nr))
		return -1;

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		if (!is_above(n->parent, n) && ((p->f->ns ? !is_init(n->parent) : n->parent->pid != 1) || n->parent == n)) {
			pr_err("%d can't get %d as its parent, which is none of its born ancestors\n", n->pid,
			       n->parent->pid);
			return -1;
		}
		if (!can_enter(n->up, n->ns) || (is_init(n) && n->up->ns == n->ns)) {
			pr_err("%d can't be born by %d, which is not above its pid namespace\n", n->pid, n->up->pid);
			return -1;
		}
		if (!caba_holds(n->parent->ns, n->ns) || (is_init(n) && n->parent->ns == n->ns)) {
			pr_err("%d can't be a child of %d, which is not above its pid namespace\n", n->pid,
			       n->parent->pid);
			return -1;
		}
	}

	return 0;
}

/*
 * Sessions
 */
static int collect_sessions(struct plan *p)
{
	struct caba_node *root = p->f->nodes, *n;
	struct session *s, *last = NULL;
	unsigned int i;

	for (i = 0; i < p->f->nr_tasks; i++) {
		p->sessions[i].sid = p->f->nodes[i].sid;
		p->by_pid[i] = &p->f->nodes[i];
	}

	qsort(p->by_pid, p->f->nr_tasks, sizeof(p->by_pid[0]), cmp_pid);
	for (i = 1; i < p->f->nr_tasks; i++)
		if (p->by_pid[i - 1]->pid == p->by_pid[i]->pid) {
			pr_err("There are two processes with pid %d\n", p->by_pid[i]->pid);
			return -1;
		}

	qsort(p->sessions, p->f->nr_tasks, sizeof(p->sessions[0]), cmp_sid);
	for (i = 0; i < p->f->nr_tasks; i++) {
		pid_t sid = p->sessions[i].sid;

		if (last && last->sid == sid)
			continue;

		last = &p->sessions[p->nr_sessions++];
		*last = (struct session){ .sid = sid, .leader = node_by_pid(p, sid) };
		if (last->leader && !is_leader(last->leader)) {
			pr_err("Session %d is not the one of the process %d\n", sid, sid);
			return -1;
		}
		last->above_root = !last->leader && root->sid == sid;
	}

	for (i = 0; i < p->f->nr_tasks; i++) {
		struct caba_ns *ns;

		n = &p->f->nodes[i];
		s = session_by_sid(p, n->sid);

		/* All members see it, and so the last number is the one in the leader's own namespace */
		if (s->leader)
			ns = s->leader->ns;
		else
			ns = s->member ? s->ns : ns_of_last(n->ns, &n->sids);
		if (ns_of_last(n->ns, &n->sids) != ns) {
			pr_err("%d sees session %d down to level %u, which is not where it is led\n", n->pid, n->sid,
			       nr_levels(&n->sids) - 1);
			return -1;
		}
		s->ns = ns;

		if (n == s->leader)
			continue;
		s->member = n;
		if (!s->lca && !s->scattered)
			s->lca = n;
		else if (s->lca)
			s->lca = common_ancestor(s->lca, n);
		s->scattered = !s->lca;
	}

	return 0;
}

/*
 * The members of a session whose leader is dead are put under somebody who
 * does setsid() for them: the leader itself when it is a zombie, or a helper
 * with its pid. It stands below their closest common ancestor from where the
 * leader's pid namespace can be entered. A leader that lives is above its
 * members.
 */
static int place_members(struct plan *p)
{
	struct caba_node *top, *n, *m;
	struct session *s;
	unsigned int i;

	for (i = 0; i < p->nr_sessions; i++) {
		s = &p->sessions[i];
		if (s->above_root || s->leader)
			continue;

		top = s->lca;
		if (top && top->sid == s->sid)
			top = top->up;
		while (top && !can_enter(top, s->ns))
			top = can_enter(top->jump, s->ns) ? top->up : top->jump;
		if (!top) {
			pr_err("No place for a leader of session %d above %d\n", s->sid, s->member->pid);
			return -1;
		}

		s->leader = add_helper(p, CABA_SESSION, top);
		s->leader->pid = s->leader->sid = s->leader->pgid = s->sid;
		s->leader->ns = s->ns;
		s->leader->pids = s->member->sids;
		if (s->leader->pids.nr > 1 && s->leader->pids.at[s->leader->pids.nr - 1] == 1) {
			pr_err("Session %d was led by an init that is gone\n", s->sid);
			return -1;
		}
	}

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		s = session_by_sid(p, n->sid);
		if (s->above_root || n == s->leader || (s->leader->kind == CABA_TASK && !s->leader->zombie))
			continue;

		/* Who of the line from the top down to @n stands below the leader? */
		top = s->leader->kind == CABA_SESSION ? s->leader->creator : s->leader->up;
		m = top ? ancestor_at(n, top->depth + 1) : NULL;
		if (!m || m->up != top) {
			pr_err("%d can't get into session %d: none of its born ancestors led it\n", n->pid, s->sid);
			return -1;
		}
		if (m == s->leader || m->creator == s->leader)
			continue;
		if (m->creator != m->up) {
			pr_err("%d can't be born into both sessions %d and %d\n", m->pid, m->creator->pid, s->sid);
			return -1;
		}
		if (!caba_holds(s->ns, m->ns)) {
			pr_err("%d can't be born into session %d, which is not led above its pid namespace\n", m->pid,
			       s->sid);
			return -1;
		}
		m->creator = s->leader;
	}

	return 0;
}

/*
 * A session is inherited, so everyone between a member and the leader was in
 * it when the next one was forked. Who leads another one now did setsid()
 * later on.
 */
static int find_born_sids(struct plan *p)
{
	struct caba_node *n, *m;
	unsigned int i;

	for (i = 0; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		if (is_leader(n))
			continue;

		for (m = n->creator; m && m->kind != CABA_OUTSIDE; m = m->creator) {
			if (m->sid == n->sid || m->born_sid == n->sid)
				break;

			if (m->kind == CABA_SESSION || !is_leader(m)) {
				pr_err("%d can't get into session %d: it descends from %d of session %d\n", n->pid,
				       n->sid, m->pid, m->sid);
				return -1;
			}

			if (m->born_sid != -1) {
				pr_err("%d can't get into session %d: %d, which it descends from, was born in session %d\n",
				       n->pid, n->sid, m->pid, m->born_sid);
				return -1;
			}

			m->born_sid = n->sid;
		}

		if ((!m || m->kind == CABA_OUTSIDE) && !(session_by_sid(p, n->sid)->above_root && !m)) {
			pr_err("%d can't get into session %d: none of its born ancestors led it\n", n->pid, n->sid);
			return -1;
		}
	}

	for (i = 0; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		n->need = is_leader(n) ? n->born_sid : n->sid;
	}

	return 0;
}

/*
 * Parents
 *
 * The pid namespace of the parent is the one of who has forked the process:
 * no reaper changes that. Where the creator is below that, it was put into its
 * namespace itself, and its child was made with CLONE_PARENT. Then both have
 * the same parent for good.
 */
static int find_siblings(struct plan *p)
{
	struct caba_node *n, *m, *c;
	unsigned int i;

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		for (m = n; !can_enter(m->creator, n->parent->ns); m = c) {
			c = m->creator;
			if (is_init(c)) {
				pr_err("%d can't be a sibling of %d, which is an init\n", n->pid, c->pid);
				return -1;
			}
			if (c->parent && c->parent != n->parent) {
				pr_err("%d can't get %d as its parent: %d, which it descends from, has %d\n", n->pid,
				       n->parent->pid, c->pid, c->parent->pid);
				return -1;
			}
			m->sibling = true;
			if (c->parent)
				break;
			/* A dead leader's is known from here */
			c->parent = n->parent;
		}
	}

	return 0;
}

/*
 * Exit signals
 *
 * They are given at birth, and whoever is adopted has SIGCHLD from then on. So
 * who has another one has never had another parent. If that has not forked it,
 * it is a sibling of its creator, and has the signal of that.
 */
static int find_signals(struct plan *p)
{
	struct caba_node *n, *m, *c;
	unsigned int i;

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		if (n->exit_signal == SIGCHLD)
			continue;
		for (m = n; m->creator != n->parent; m = c) {
			c = m->creator;
			if (is_init(c) || (!c->parent && c->kind != CABA_SESSION) ||
			    (c->parent && (c->parent != n->parent || c->exit_signal != n->exit_signal))) {
				pr_err("%d can't get %d as its exit signal: it is no sibling of %d, which it descends from\n",
				       n->pid, n->exit_signal, c->pid);
				return -1;
			}
			m->sibling = true;
			if (c->parent)
				break;
			c->parent = n->parent;
			c->exit_signal = n->exit_signal;
		}
	}

	return 0;
}

/* Whose siblings are in a session that their parent is not in: it can't move them into groups */
static void find_apart(struct plan *p)
{
	struct caba_node *m, *c;
	unsigned int i, len;

	for (i = 1; i < p->f->nr; i++) {
		len = 0;
		for (m = &p->f->nodes[i]; m->sibling && m->walked; m = m->creator)
			p->path[len++] = m;
		while (len--) {
			m = p->path[len];
			c = m->creator;
			m->apart = c->apart || (is_leader(c) && m->need == c->sid);
			m->walked = 0;
		}
	}
	for (i = 1; i < p->f->nr; i++)
		p->f->nodes[i].walked = -1;
}

/*
 * Groups that are hidden
 *
 * Who does not see a group, as it is led in a pid namespace above its own, can
 * not join it. It has been put there by its parent, or it was born into it.
 */
static bool moved_by_parent(struct caba_node *n, struct caba_ns *group_ns)
{
	if (n->apart || n->creator->kind == CABA_OUTSIDE)
		return false;
	return caba_holds(n->sibling ? n->parent->ns : n->creator->ns, group_ns);
}

static void add_line(struct plan *p, struct caba_node *n, pid_t pgid, struct caba_node *group)
{
	struct caba_line *l = &p->lines[p->nr_lines++];

	*l = (struct caba_line){ .node = n, .pgid = pgid, .group = group, .next = n->line };
	n->line = l;
}

static struct caba_ns *group_ns(struct plan *p, struct caba_node *group)
{
	return group ? group->ns : p->f->ns;
}

static int born_into(struct plan *p, struct caba_node *member)
{
	struct caba_ns *ns = group_ns(p, member->group);
	pid_t pgid = member->pgid;
	struct caba_node *n, *c;

	for (n = member; n->walked != pgid; n = c) {
		bool moved = n->creator && moved_by_parent(n, ns);

		if (!moved && n->inherits) {
			pr_err("%d can't be born into group %d, which is hidden from it, and into another one\n", n->pid,
			       pgid);
			return -1;
		}
		n->walked = pgid;
		n->inherits |= !moved;
		add_line(p, n, pgid, member->group);
		if (moved)
			break;

		c = n->creator;
		if (c && is_leader(c) && n->need == c->sid && pgid == c->pid)
			break;
		if (!c || c->kind != CABA_TASK || caba_holds(c->ns, ns) || (is_leader(c) && n->need == c->sid)) {
			pr_err("%d can't get into group %d, which is hidden from it: %d can't be in it\n", n->pid, pgid,
			       c ? c->pid : 0);
			return -1;
		}
	}

	return 0;
}

/* Members see a group as far as they share namespaces with its leader */
static bool sees_group(struct caba_node *n, struct caba_node *group)
{
	struct caba_ns *ns = n->ns;

	while (!caba_holds(ns, group->ns))
		ns = ns->parent;
	return nr_levels(&n->pgids) == ns->level + 1;
}

/* The dead leader of a group that not all can make */
static int add_dead_leader(struct plan *p, struct caba_node **members, unsigned int nr, struct caba_node **group)
{
	struct caba_node *n = NULL, *h, *leader;
	unsigned int i, most = 0;
	bool nested = false;
	struct session *s;

	for (i = 0; i < nr; i++) {
		nested |= members[i]->ns != p->f->ns;
		/* The deepest one that is known */
		if (nr_levels(&members[i]->pgids) > most) {
			n = members[i];
			most = nr_levels(&n->pgids);
		}
	}
	*group = NULL;
	if (!nested)
		return 0;

	if (n->pgids.nr > 1 && n->pgids.at[n->pgids.nr - 1] == 1) {
		pr_err("Group %d was led by an init that is gone\n", n->pgid);
		return -1;
	}
	s = session_by_sid(p, n->sid);
	leader = s->above_root ? p->f->nodes : s->leader;
	if (!can_enter(leader, ns_of_last(n->ns, &n->pgids))) {
		pr_err("Group %d is not below the pid namespace of its session %d\n", n->pgid, n->sid);
		return -1;
	}
	h = *group = add_helper(p, CABA_DEAD_GROUP, leader);
	h->pid = h->pgid = n->pgid;
	h->sid = h->need = n->sid;
	h->ns = ns_of_last(n->ns, &n->pgids);
	h->pids = n->pgids;
	return 0;
}

static int find_groups(struct plan *p)
{
	struct caba_node *root = p->f->nodes, *n, *leader;
	unsigned int i, j, end;
	struct session *s;
	bool above;

	for (i = 0; i < p->f->nr_tasks; i++) {
		p->by_pgid[i] = n = &p->f->nodes[i];
		if (is_leader(n) && n->pgid && n->pgid != n->pid) {
			pr_err("%d leads its session, and can't be in group %d\n", n->pid, n->pgid);
			return -1;
		}
	}
	qsort(p->by_pgid, p->f->nr_tasks, sizeof(p->by_pgid[0]), cmp_pgid);

	for (i = 0; i < p->f->nr_tasks; i = end) {
		n = p->by_pgid[i];
		for (end = i + 1; end < p->f->nr_tasks && p->by_pgid[end]->pgid == n->pgid; end++)
			if (n->pgid && p->by_pgid[end]->sid != n->sid) {
				pr_err("%d of session %d can't be in group %d with %d of session %d\n",
				       p->by_pgid[end]->pid, p->by_pgid[end]->sid, n->pgid, n->pid, n->sid);
				return -1;
			}
		if (!n->pgid)
			continue;

		s = session_by_sid(p, n->sid);
		leader = s->sid == n->pgid ? s->leader : node_by_pid(p, n->pgid);
		if (leader && leader->sid != n->sid) {
			pr_err("%d of session %d can't be in the group of %d of session %d\n", n->pid, n->sid,
			       leader->pid, leader->sid);
			return -1;
		}
		if (!leader && s->sid != n->pgid && session_by_sid(p, n->pgid)) {
			pr_err("%d of session %d can't be in the group of session %d\n", n->pid, n->sid, n->pgid);
			return -1;
		}
		if (!p->f->ns) {
			for (j = i; j < end; j++)
				p->by_pgid[j]->group = leader;
			continue;
		}

		/* Not dead, but above the root */
		above = n->pgid == root->pgid || (s->above_root && n->pgid == s->sid);
		if (!leader && !above && add_dead_leader(p, &p->by_pgid[i], end - i, &leader))
			return -1;
		for (j = i; j < end; j++) {
			n = p->by_pgid[j];
			n->group = leader;
			if (leader ? !sees_group(n, leader) : n->pgids.nr > 1) {
				pr_err("%d sees its group %d down to level %u, which is not where it is led\n", n->pid,
				       n->pgid, nr_levels(&n->pgids) - 1);
				return -1;
			}
			if (caba_holds(n->ns, group_ns(p, leader)))
				continue;
			n->in_group = true;
			if (born_into(p, n))
				return -1;
		}
	}

	return 0;
}

/*
 * A group can be joined while anybody is in it. Its leader may have left it
 * for another one: then it makes the group all the same, and a helper stays
 * there until all have joined. Without that two leaders that are in each
 * other's groups would have nobody to join.
 */
static void keep_groups(struct plan *p)
{
	struct caba_node *leader, *h;
	unsigned int i;

	for (i = 0; i < p->f->nr_tasks; i++) {
		leader = p->by_pgid[i]->group;
		if (!leader || leader->kind != CABA_TASK || leader->pgid == leader->pid ||
		    (i && p->by_pgid[i - 1]->group == leader))
			continue;

		h = add_helper(p, CABA_GROUP, leader);
		h->sid = h->need = leader->sid;
		h->pgid = leader->pid;
		h->group = leader;
		h->ns = leader->ns;
	}
}

/*
 * Helpers in between
 */
static bool same_helper(struct caba_node *a, struct caba_node *b)
{
	return a->creator == b->creator && a->heir == b->heir && a->ns == b->ns && a->sid == b->sid &&
	       a->sibling == b->sibling && a->pgid == b->pgid && a->exit_signal == b->exit_signal;
}

static unsigned int hash_helper(struct caba_node *h)
{
	uint64_t x = (uintptr_t)h->creator;

	x = (x ^ (uintptr_t)h->heir) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 29) ^ (uintptr_t)h->ns) * 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 29) ^ (uint32_t)h->sid ^ ((uint64_t)h->pgid << 32)) * 0x9e3779b97f4a7c15ULL;
	return x >> 32;
}

/* One helper does it for all that have everything in common, its group too where that is hidden */
static int put_above(struct plan *p, struct caba_node *n, struct caba_ns *ns, struct caba_node *heir, bool sibling)
{
	struct caba_node h = {
		.kind = CABA_ANON,
		.creator = n->creator,
		.heir = heir,
		.parent = sibling ? n->parent : NULL,
		.exit_signal = heir && !sibling ? SIGCHLD : n->exit_signal,
		.ns = ns,
		.sid = n->need,
		.born_sid = -1,
		.need = n->need,
		.walked = -1,
		.sibling = sibling,
		.apart = sibling && n->apart,
	};
	struct caba_line *l, *born = NULL;
	struct caba_node *found;
	unsigned int i;

	/* A leader can be born anywhere; flat trees have always had it in the creator's session */
	if (h.need == -1 && !p->f->ns)
		h.sid = h.need = n->creator->sid;

	for (l = n->line; l; l = l->next) {
		struct caba_ns *g = group_ns(p, l->group);

		/* As its child it is moved by the helper, else by whom it always was */
		if (heir && !sibling ? caba_holds(ns, g) : moved_by_parent(n, g))
			continue;
		if (born) {
			pr_err("%d can't be born into both groups %d and %d\n", n->pid, born->pgid, l->pgid);
			return -1;
		}
		born = l;
		h.pgid = l->pgid;
	}

	for (i = hash_helper(&h) & p->shared_mask; (found = p->shared[i]); i = (i + 1) & p->shared_mask)
		if (same_helper(found, &h))
			break;
	if (!found) {
		found = p->shared[i] = add_helper(p, CABA_ANON, n->creator);
		*found = h;
		if (born) {
			found->group = born->group;
			found->inherits = !moved_by_parent(found, group_ns(p, born->group));
			found->in_group = true;
			add_line(p, found, born->pgid, born->group);
		}
	}
	n->creator = found;
	return 0;
}

/* A process that does not stay with its creator is left to its parent by a helper */
static int place_helpers(struct plan *p)
{
	unsigned int i, nr = p->f->nr;

	for (i = 1; i < nr; i++) {
		struct caba_node *n = &p->f->nodes[i], *from = n->creator;

		if (!n->parent || n->sibling || from == n->parent)
			continue;

		if (from->kind == CABA_SESSION && from->ns == n->parent->ns) {
			/* It exits anyway, so it can do that for the first ones */
			if (!from->heir)
				from->heir = n->parent;
			if (from->heir == n->parent)
				continue;
		}

		if (put_above(p, n, n->parent->ns, n->parent, false))
			return -1;
	}

	return 0;
}

/* Inits, and what has to be put into another pid namespace */
static int fix_births(struct plan *p)
{
	struct caba_node *n, *c;
	unsigned int i;

	/* Who is added here is looked at, too */
	for (i = 1; i < p->f->nr; i++) {
		n = &p->f->nodes[i];
		c = n->creator;
		if (!c)
			continue;

		/* An init can only be forked from the namespace above */
		if (is_init(n) && c->ns != n->ns->parent) {
			if (put_above(p, n, n->ns->parent, NULL, n->sibling))
				return -1;
			n->sibling = true;
			continue;
		}

		/*
		 * That namespace may only come to be after the creator's setsid().
		 * A helper would not leave it another exit signal than SIGCHLD.
		 */
		if (c->kind == CABA_TASK && is_leader(c) && n->need != -1 && n->need != c->sid && c->ns != n->ns &&
		    (n->sibling || n->exit_signal == SIGCHLD) &&
		    put_above(p, n, c->ns, n->sibling ? NULL : c, n->sibling))
			return -1;
	}

	return 0;
}

static int check_born_parents(struct plan *p)
{
	struct caba_node *n, *m;
	unsigned int i, len;

	for (i = 1; i < p->f->nr; i++) {
		len = 0;
		for (m = &p->f->nodes[i]; m->sibling && !m->born_parent; m = m->creator)
			p->path[len++] = m;
		if (!m->sibling)
			m->born_parent = m->creator;
		for (n = m->born_parent; len--;) {
			m = p->path[len];
			m->born_parent = n;
			if (m->exit_signal == m->creator->exit_signal)
				continue;
			if (m->kind == CABA_TASK) {
				pr_err("%d can't get %d as its exit signal: it is a sibling of %d, which has %d\n", m->pid,
				       m->exit_signal, m->creator->pid, m->creator->exit_signal);
				return -1;
			}
			m->exit_signal = m->creator->exit_signal;
		}
	}

	if (!p->f->ns)
		return 0;

	/* An heir that is no init is looked for on that way up, and in that namespace only */
	for (i = 0; i < p->f->nr; i++)
		p->f->nodes[i].up = p->f->nodes[i].born_parent;
	if (index_ancestors(p, p->f->nr))
		return -1;
	for (i = p->f->nr_tasks; i < p->f->nr; i++) {
		n = &p->f->nodes[i];
		if (!n->heir || is_init(n->heir))
			continue;
		if (n->heir->ns != n->ns || !is_above(n->heir, n)) {
			pr_err("%d can't get the children of who descends from %d\n", n->heir->pid, n->creator->pid);
			return -1;
		}
	}

	return 0;
}

/* File tables can only be shared at birth. Helpers pass them on. */
static int share_files(struct plan *p)
{
	struct caba_node *n, *m;
	unsigned int i;

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		if (!n->files_id)
			continue;

		for (m = n->creator; m->kind != CABA_TASK && m->creator; m = m->creator)
			;
		if (m->files_id != n->files_id) {
			if (n->parent->files_id == n->files_id) {
				pr_err("%d shares files with %d, but not with %d that it descends from\n", n->pid,
				       n->parent->pid, m->pid);
				return -1;
			}
			continue;
		}
		for (m = n; m == n || m->kind != CABA_TASK; m = m->creator)
			m->share_files = true;
	}

	return 0;
}

int caba_plan(struct caba_forest *f)
{
	struct plan p = { .f = f, .shared_mask = 15 };
	unsigned int i, max = CABA_MAX_NODES(f->nr_tasks);
	int ret = -1;

	f->nr = f->nr_tasks;
	f->events = NULL;
	f->nr_events = 0;
	for (i = 0; i < f->nr_tasks; i++) {
		struct caba_node *n = &f->nodes[i];

		n->creator = n->born_parent = n->heir = n->group = NULL;
		n->sibling = n->share_files = n->in_group = n->apart = n->inherits = false;
		n->events = NULL;
		n->nr_events = 0;
		n->born_sid = n->need = n->walked = -1;
		n->line = NULL;
		if (!f->ns)
			n->ns = NULL;
	}

	while (p.shared_mask < f->nr_tasks * 8)
		p.shared_mask = p.shared_mask * 2 + 1;

	p.by_pid = xmalloc(f->nr_tasks * sizeof(*p.by_pid));
	p.by_pgid = xmalloc(f->nr_tasks * sizeof(*p.by_pgid));
	p.path = xmalloc(max * sizeof(*p.path));
	p.sessions = xmalloc(f->nr_tasks * sizeof(*p.sessions));
	p.lines = xmalloc(2 * max * sizeof(*p.lines));
	p.shared = xzalloc((p.shared_mask + 1) * sizeof(*p.shared));
	if (!p.by_pid || !p.by_pgid || !p.path || !p.sessions || !p.lines || !p.shared)
		goto out;

	if (f->ns && check_namespaces(&p))
		goto out;
	if (check_births(&p) || collect_sessions(&p) || place_members(&p) || find_born_sids(&p))
		goto out;
	if (find_siblings(&p) || find_signals(&p))
		goto out;
	find_apart(&p);
	if (find_groups(&p) || place_helpers(&p) || fix_births(&p))
		goto out;
	if (share_files(&p))
		goto out;
	keep_groups(&p);

	ret = check_born_parents(&p) ?: caba_order(f, p.lines, p.nr_lines);
out:
	xfree(p.by_pid);
	xfree(p.by_pgid);
	xfree(p.path);
	xfree(p.sessions);
	xfree(p.lines);
	xfree(p.shared);
	return ret;
}

void caba_free_plan(struct caba_forest *f)
{
	xfree(f->events);
	f->events = NULL;
	f->nr_events = 0;
}
