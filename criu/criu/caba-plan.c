/*
 * Which process forks which one, in which session, and which helpers exit in
 * between, so that a tree gets its parents, sessions and births back.
 *
 * Only the nodes given are looked at here, neither images nor the kernel, so
 * that the plan can be tested against random histories: see unittest/caba.c.
 */
#include <stdlib.h>

#include "log.h"
#include "xmalloc.h"
#include "caba-plan.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

struct session {
	pid_t sid;
	struct caba_node *leader; /* alive, a zombie, a helper, or above the root */
	struct caba_node *lca;	  /* of all members */
	bool above_root;	  /* the root has inherited it */
};

struct plan {
	struct caba_forest *f;
	struct caba_node **by_pid;
	struct caba_node **by_pgid;
	struct session *sessions; /* sorted by sid */
	unsigned int nr_sessions;
};

static bool is_leader(const struct caba_node *n)
{
	return n->pid == n->sid;
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

	*h = (struct caba_node){ .kind = kind, .creator = creator, .born_sid = -1 };
	return h;
}

/* The births have to be a tree, and a reaper is always a born ancestor */
static int check_births(struct plan *p)
{
	struct caba_node *root = p->f->nodes, *n, *m;
	unsigned int i;

	root->depth = 1;

	for (i = 1; i < p->f->nr_tasks; i++) {
		int len = 0;

		n = &p->f->nodes[i];
		if (!n->caba || !n->parent) {
			pr_err("%d has no %s\n", n->pid, n->caba ? "parent" : "born ancestor");
			return -1;
		}

		if (n->caba->zombie) {
			pr_err("%d is said to descend from %d, which is a zombie\n", n->pid, n->caba->pid);
			return -1;
		}

		for (m = n; !m->depth; m = m->caba)
			if (len++ > p->f->nr_tasks) {
				pr_err("The born ancestors of %d go round in a circle\n", n->pid);
				return -1;
			}

		len += m->depth;
		for (m = n; !m->depth; m = m->caba)
			m->depth = len--;
	}

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		for (m = n->caba; m && m != n->parent; m = m->caba)
			;
		if (!m) {
			pr_err("%d can't get %d as its parent, which is none of its born ancestors\n", n->pid,
			       n->parent->pid);
			return -1;
		}
	}

	return 0;
}

static struct caba_node *common_ancestor(struct caba_node *a, struct caba_node *b)
{
	while (a != b) {
		if (a->depth >= b->depth)
			a = a->caba;
		else
			b = b->caba;
	}
	return a;
}

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
		n = &p->f->nodes[i];
		s = session_by_sid(p, n->sid);
		if (n != s->leader)
			s->lca = s->lca ? common_ancestor(s->lca, n) : n;
	}

	return 0;
}

/*
 * The members of a session whose leader is dead are put under somebody who
 * does setsid() for them: the leader itself when it is a zombie, or a helper
 * with its pid. It stands below their closest common ancestor. A leader that
 * lives is above its members.
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
		if (top->sid == s->sid)
			top = top->caba;
		if (!top) {
			pr_err("No place for a leader of session %d above %d\n", s->sid, s->lca->pid);
			return -1;
		}

		s->leader = add_helper(p, CABA_SESSION, top);
		s->leader->pid = s->leader->sid = s->sid;
	}

	for (i = 1; i < p->f->nr_tasks; i++) {
		n = &p->f->nodes[i];
		s = session_by_sid(p, n->sid);
		if (s->above_root || n == s->leader || (s->leader->kind == CABA_TASK && !s->leader->zombie))
			continue;

		/* Who of the line from the top down to @n stands below the leader? */
		top = s->leader->kind == CABA_SESSION ? s->leader->creator : s->leader->caba;
		for (m = n; m && m->caba != top && m->walked != s->sid; m = m->caba)
			m->walked = s->sid;
		if (!m) {
			pr_err("%d can't get into session %d: none of its born ancestors led it\n", n->pid, s->sid);
			return -1;
		}
		if (m->caba != top || m == s->leader || m->creator == s->leader)
			continue;
		if (m->creator != m->caba) {
			pr_err("%d can't be born into both sessions %d and %d\n", m->pid, m->creator->pid, s->sid);
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

		for (m = n->creator; m; m = m->creator) {
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

		if (!m && !session_by_sid(p, n->sid)->above_root) {
			pr_err("%d can't get into session %d: none of its born ancestors led it\n", n->pid, n->sid);
			return -1;
		}
	}

	return 0;
}

/* A process that does not stay with its creator is left to its parent by a helper */
static void place_helpers(struct plan *p)
{
	struct caba_node *n, *h;
	unsigned int i;

	for (i = 1; i < p->f->nr_tasks; i++) {
		struct caba_node *from;
		pid_t sid;

		n = &p->f->nodes[i];
		from = n->creator;
		if (from == n->parent)
			continue;

		if (from->kind == CABA_SESSION) {
			/* It exits anyway, so it can do that for the first ones */
			if (!from->heir)
				from->heir = n->parent;
			if (from->heir == n->parent)
				continue;
		}

		/* The session in which the child has to be forked */
		sid = is_leader(n) ? n->born_sid : n->sid;
		if (sid == -1)
			sid = from->sid;

		for (h = from->helpers; h; h = h->next)
			if (h->heir == n->parent && h->sid == sid)
				break;
		if (!h) {
			h = add_helper(p, CABA_ANON, from);
			h->heir = n->parent;
			h->sid = sid;
			h->next = from->helpers;
			from->helpers = h;
		}
		n->creator = h;
	}
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

		for (m = n->creator; m->kind != CABA_TASK; m = m->creator)
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

/*
 * A group can be joined while anybody is in it. Its leader may have left it
 * for another one: then it makes the group all the same, and a helper stays
 * there until all have joined. Without that two leaders that are in each
 * other's groups would have nobody to join.
 */
static int keep_groups(struct plan *p)
{
	struct caba_node *n, *first = NULL, *leader;
	unsigned int i;

	for (i = 0; i < p->f->nr_tasks; i++) {
		p->by_pgid[i] = n = &p->f->nodes[i];
		if (is_leader(n) && n->pgid && n->pgid != n->pid) {
			pr_err("%d leads its session, and can't be in group %d\n", n->pid, n->pgid);
			return -1;
		}
	}
	qsort(p->by_pgid, p->f->nr_tasks, sizeof(p->by_pgid[0]), cmp_pgid);

	for (i = 0; i < p->f->nr_tasks; i++) {
		n = p->by_pgid[i];
		if (!n->pgid)
			continue;

		if (first && first->pgid == n->pgid) {
			if (first->sid == n->sid)
				continue;
			pr_err("%d of session %d can't be in group %d with %d of session %d\n", n->pid, n->sid,
			       n->pgid, first->pid, first->sid);
			return -1;
		}

		first = n;
		leader = node_by_pid(p, n->pgid);
		if (!leader || leader->pgid == n->pgid)
			continue;
		if (leader->sid != n->sid) {
			pr_err("%d of session %d can't be in the group of %d of session %d\n", n->pid, n->sid,
			       leader->pid, leader->sid);
			return -1;
		}

		n = add_helper(p, CABA_GROUP, leader);
		n->sid = leader->sid;
		n->pgid = leader->pid;
	}

	return 0;
}

int caba_plan(struct caba_forest *f)
{
	struct plan p = { .f = f };
	unsigned int i;
	int ret = -1;

	f->nr = f->nr_tasks;
	for (i = 0; i < f->nr_tasks; i++) {
		struct caba_node *n = &f->nodes[i];

		n->creator = n->caba;
		n->heir = n->helpers = n->next = NULL;
		n->sibling = n->share_files = n->in_group = false;
		n->group = NULL;
		n->events = NULL;
		n->nr_events = 0;
		n->born_sid = -1;
		n->walked = -1;
		n->depth = 0;
	}

	p.by_pid = xmalloc(f->nr_tasks * sizeof(*p.by_pid));
	p.by_pgid = xmalloc(f->nr_tasks * sizeof(*p.by_pgid));
	p.sessions = xmalloc(f->nr_tasks * sizeof(*p.sessions));
	if (!p.by_pid || !p.by_pgid || !p.sessions)
		goto out;

	if (check_births(&p) || collect_sessions(&p) || place_members(&p) || find_born_sids(&p))
		goto out;

	place_helpers(&p);
	if (share_files(&p) || keep_groups(&p))
		goto out;

	ret = 0;
out:
	xfree(p.by_pid);
	xfree(p.by_pgid);
	xfree(p.sessions);
	return ret;
}

void caba_free_plan(struct caba_forest *f)
{
	xfree(f->events);
	f->events = NULL;
	f->nr_events = 0;
}

pid_t caba_pid_in(const struct caba_node *n, const struct caba_ns *ns)
{
	unsigned int level = ns ? ns->level : 0;
	const struct caba_ns *own = n->ns;

	while (own && own->level > level)
		own = own->parent;
	if (ns && own && own != ns)
		return 0;
	if (!n->pids.nr)
		return level ? 0 : n->pid;
	return level < n->pids.nr ? n->pids.at[level] : 0;
}
