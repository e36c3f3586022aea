/*
 * In which order the processes of a planned tree are forked, become leaders,
 * and are moved into groups: see caba-plan.c, which has found out who forks
 * whom.
 *
 * All that happens is an event, and each comes after what it needs. So there
 * is one order for the whole tree. A process goes through its own events in
 * that order and waits for those of others. Then the first one of all that are
 * not done yet has nothing to wait for, and nothing can hang.
 */
#include <stdlib.h>

#include "log.h"
#include "xmalloc.h"
#include "caba-plan.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* What of a node is an event, -1 if there is none */
struct steps {
	int fork;
	int setsid;
	int group;
	struct caba_line *lines; /* in the order in which it is in them */
	unsigned int nr_lines;
};

struct edge {
	int before;
	int after;
};

struct order {
	struct caba_forest *f;
	struct steps *steps;
	struct caba_event *events;
	int nr_events;
	struct edge *edges;
	int nr_edges;
	int *order;
};

static bool is_leader(const struct caba_node *n)
{
	return n->pid && n->pid == n->sid;
}

static bool is_init(const struct caba_node *n)
{
	return n->ns && n->ns->init == n;
}

static struct steps *steps_of(struct order *o, const struct caba_node *n)
{
	return &o->steps[n - o->f->nodes];
}

static int add_event(struct order *o, enum caba_act act, struct caba_node *actor, struct caba_node *node)
{
	o->events[o->nr_events] = (struct caba_event){ .act = act, .actor = actor, .node = node };
	return o->nr_events++;
}

static void add_edge(struct order *o, int before, int after)
{
	if (before >= 0 && after >= 0)
		o->edges[o->nr_edges++] = (struct edge){ before, after };
}

/* Who can only be moved is born into one group, moved to others, and at last to its own */
static int line_class(const struct caba_line *l)
{
	if (!l->moved)
		return 0;
	return l->pgid != l->node->pgid ? 1 : 2;
}

static int cmp_line(const void *a, const void *b)
{
	const struct caba_line *x = a, *y = b;

	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	if (line_class(x) != line_class(y))
		return line_class(x) - line_class(y);
	return (x->pgid > y->pgid) - (x->pgid < y->pgid);
}

static int sort_lines(struct order *o, struct caba_line *lines, unsigned int nr)
{
	struct caba_line *l;
	struct steps *s;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		struct caba_node *parent = lines[i].node->born_parent;
		struct caba_ns *ns = lines[i].group ? lines[i].group->ns : o->f->ns;

		lines[i].moved = !lines[i].node->apart && parent->kind != CABA_OUTSIDE && caba_holds(parent->ns, ns);
	}

	qsort(lines, nr, sizeof(*lines), cmp_line);
	for (i = 0; i < nr; i++) {
		l = &lines[i];
		s = steps_of(o, l->node);
		if (!s->nr_lines)
			s->lines = l;
		else if (!l->moved) {
			pr_err("%d can't be born into both groups %d and %d\n", l->node->pid, s->lines->pgid, l->pgid);
			return -1;
		}
		s->nr_lines++;
		l->event = -1;
		if (l->moved) {
			l->event = add_event(o, CABA_MOVE, l->node->born_parent, l->node);
			o->events[l->event].pgid = l->pgid;
			o->events[l->event].group = l->group;
		}
	}
	return 0;
}

static struct caba_line *find_line(struct steps *s, pid_t pgid)
{
	unsigned int lo = 0, hi = s->nr_lines;

	if (!hi)
		return NULL;
	if (s->lines[0].pgid == pgid)
		return &s->lines[0];
	if (s->lines[hi - 1].pgid == pgid)
		return &s->lines[hi - 1];
	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		/* The first and the last one are out of order */
		if (!mid || (mid < s->nr_lines - 1 && s->lines[mid].pgid < pgid))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->nr_lines && s->lines[lo].pgid == pgid ? &s->lines[lo] : NULL;
}

/* When there is that group to be moved into */
static int group_made(struct order *o, struct caba_node *leader)
{
	if (!leader)
		return -1;
	return is_leader(leader) ? steps_of(o, leader)->setsid : steps_of(o, leader)->group;
}

static void make_group(struct order *o, struct caba_node *n)
{
	struct steps *s = steps_of(o, n);

	if (is_leader(n) || s->group >= 0)
		return;
	s->group = add_event(o, CABA_MAKE_GROUP, n, n);
	o->events[s->group].pgid = n->pid;
	o->events[s->group].group = n;
}

static int collect_events(struct order *o, struct caba_line *lines, unsigned int nr_lines)
{
	struct caba_node *n;
	unsigned int i;

	for (i = 0; i < o->f->nr; i++) {
		n = &o->f->nodes[i];
		o->steps[i].fork = o->steps[i].setsid = o->steps[i].group = -1;
		if (n->creator)
			o->steps[i].fork = add_event(o, CABA_FORK, n->creator, n);
	}

	for (i = 0; i < o->f->nr; i++) {
		n = &o->f->nodes[i];
		if (is_leader(n))
			o->steps[i].setsid = add_event(o, CABA_SETSID, n, n);
	}

	/* Others make and join their groups when all have been forked */
	for (i = 0; i < o->f->nr; i++) {
		n = &o->f->nodes[i];
		if (n->kind == CABA_DEAD_GROUP)
			make_group(o, n);
		if (n->kind == CABA_GROUP && n->creator->in_group)
			make_group(o, n->creator);
	}
	for (i = 0; i < nr_lines; i++)
		if (lines[i].group)
			make_group(o, lines[i].group);

	return sort_lines(o, lines, nr_lines);
}

static int order_birth(struct order *o, struct caba_node *n)
{
	struct caba_node *c = n->creator;
	struct steps *s = steps_of(o, n), *above = steps_of(o, c);
	struct caba_line *l, *in;

	add_edge(o, above->fork, s->fork);

	/* In the right session; nobody needs the one that the root was born into */
	if (is_leader(c) && (n->need != -1 || c == o->f->nodes)) {
		if (n->need == c->sid || c == o->f->nodes)
			add_edge(o, above->setsid, s->fork);
		else
			add_edge(o, s->fork, above->setsid);
	}

	/* The first one in a namespace is its init */
	if (n->ns && !is_init(n) && (c->kind == CABA_OUTSIDE || c->ns != n->ns) && n->ns->init)
		add_edge(o, steps_of(o, n->ns->init)->fork, s->fork);

	if (n->kind == CABA_GROUP)
		add_edge(o, above->group, s->fork);

	if (!s->nr_lines || s->lines->moved)
		return 0;

	/* While the creator is in the group itself, which all leaders are in their own */
	l = find_line(above, s->lines->pgid);
	if (!l) {
		if (is_leader(c) && n->need == c->sid && s->lines->pgid == c->pid)
			return 0;
		pr_err("%d can't be born into group %d\n", n->pid, s->lines->pgid);
		return -1;
	}
	add_edge(o, l->event, s->fork);
	in = l + 1;
	if (in < above->lines + above->nr_lines)
		add_edge(o, s->fork, in->event);
	add_edge(o, s->fork, line_class(l) < 2 ? above->group : -1);
	return 0;
}

static int order_line(struct order *o, struct caba_node *n)
{
	struct steps *s = steps_of(o, n);
	struct caba_node *mover = n->born_parent;
	unsigned int i;

	if (s->nr_lines && n->in_group &&
	    (s->lines[s->nr_lines - 1].pgid != n->pgid || (s->group >= 0 && !s->lines[s->nr_lines - 1].moved))) {
		pr_err("%d can't get back into group %d, which is hidden from it\n", n->pid, n->pgid);
		return -1;
	}

	for (i = 0; i < s->nr_lines; i++) {
		struct caba_line *l = &s->lines[i];
		bool last = line_class(l) == 2;

		if (i)
			add_edge(o, s->lines[i - 1].event, l->event);
		add_edge(o, s->fork, l->event);
		add_edge(o, group_made(o, l->group), l->event);
		add_edge(o, l->event, s->setsid);
		if (l->moved && is_leader(mover) && n->need != mover->sid && mover != o->f->nodes)
			add_edge(o, l->event, steps_of(o, mover)->setsid);
		/* Its own group is made before it goes where it is to stay */
		if (last)
			add_edge(o, s->group, l->event);
		else
			add_edge(o, l->event, s->group);
	}
	return 0;
}

static int order_node(struct order *o, struct caba_node *n)
{
	struct steps *s = steps_of(o, n), *leader;

	add_edge(o, s->fork, s->setsid);
	add_edge(o, s->fork, s->group);

	/* Somebody stays in the group when its leader leaves */
	if (n->kind == CABA_GROUP && n->creator->in_group) {
		leader = steps_of(o, n->creator);
		if (leader->nr_lines)
			add_edge(o, s->fork, leader->lines[leader->nr_lines - 1].event);
	}

	if (n->creator && order_birth(o, n))
		return -1;
	return order_line(o, n);
}

static int sort_events(struct order *o)
{
	static const char *const acts[] = {
		[CABA_FORK] = "fork",
		[CABA_SETSID] = "lead",
		[CABA_MAKE_GROUP] = "lead",
		[CABA_MOVE] = "move",
	};
	int *first, *next, *left, i, done = 0, nr = 0, ret = -1;

	first = xzalloc((o->nr_events + 1) * sizeof(*first));
	left = xzalloc((o->nr_events + 1) * sizeof(*left));
	next = xmalloc((o->nr_edges + 1) * sizeof(*next));
	if (!first || !left || !next)
		goto out;

	for (i = 0; i < o->nr_edges; i++) {
		first[o->edges[i].before]++;
		left[o->edges[i].after]++;
	}
	for (i = 1; i <= o->nr_events; i++)
		first[i] += first[i - 1];
	for (i = o->nr_edges; i-- > 0;)
		next[--first[o->edges[i].before]] = o->edges[i].after;

	for (i = 0; i < o->nr_events; i++)
		if (!left[i])
			o->order[nr++] = i;
	while (done < nr) {
		int e = o->order[done++];

		for (i = first[e]; i < first[e + 1]; i++)
			if (!--left[next[i]])
				o->order[nr++] = next[i];
	}

	if (nr < o->nr_events) {
		for (i = 0; !left[i]; i++)
			;
		pr_err("%d has to wait for itself to %s %d\n", o->events[i].actor->pid,
		       acts[o->events[i].act],
		       o->events[i].act == CABA_MOVE ? o->events[i].pgid : o->events[i].node->pid);
		goto out;
	}
	ret = 0;
out:
	xfree(first);
	xfree(left);
	xfree(next);
	return ret;
}

static int add_wait(struct caba_event *e, struct caba_node *node, unsigned int done)
{
	struct caba_wait *w;

	for (w = e->waits; w < e->waits + CABA_MAX_WAITS; w++) {
		if (w->node && w->node != node)
			continue;
		w->node = node;
		if (w->done < done)
			w->done = done;
		return 0;
	}
	pr_err("%d has too much to wait for\n", e->actor->pid);
	return -1;
}

/* Each process gets its own events, and what it has to wait for. The root has those of who is outside, too. */
static int hand_out(struct order *o)
{
	struct caba_forest *f = o->f;
	struct caba_event *e, *all;
	struct caba_node *n;
	unsigned int i, nr = 0;
	int *place, k;
	int ret = -1;

	all = xmalloc((o->nr_events + 1) * sizeof(*all));
	place = xmalloc((o->nr_events + 1) * sizeof(*place));
	if (!all || !place)
		goto out;

	for (k = 0; k < o->nr_events; k++) {
		if (o->events[k].actor->kind == CABA_OUTSIDE)
			o->events[k].actor = f->nodes;
		o->events[k].actor->nr_events++;
	}
	for (i = 0; i < f->nr; i++) {
		n = &f->nodes[i];
		n->events = &all[nr];
		nr += n->nr_events;
		n->nr_events = 0;
	}
	for (k = 0; k < o->nr_events; k++) {
		n = o->events[o->order[k]].actor;
		place[o->order[k]] = n->events - all + n->nr_events;
		n->events[n->nr_events++] = o->events[o->order[k]];
	}

	for (k = 0; k < o->nr_edges; k++) {
		struct caba_event *before = &all[place[o->edges[k].before]];

		e = &all[place[o->edges[k].after]];
		/* Who acts has been born */
		if (before->actor == e->actor || (before->act == CABA_FORK && before->node == e->actor))
			continue;
		before->awaited = true;
		if (add_wait(e, before->actor, before - before->actor->events + 1))
			goto out;
	}

	f->events = all;
	f->nr_events = o->nr_events;
	all = NULL;
	ret = 0;
out:
	xfree(all);
	xfree(place);
	return ret;
}

/* Helpers that can be born into any session are in the one that their creator has by then */
static int name_sessions(struct order *o)
{
	struct caba_node *nodes = o->f->nodes;
	pid_t *sid;
	int i;

	sid = xzalloc(o->f->nr * sizeof(*sid));
	if (!sid)
		return -1;

	sid[0] = nodes->sid;
	for (i = 0; i < o->nr_events; i++) {
		struct caba_event *e = &o->events[o->order[i]];

		if (e->act == CABA_SETSID)
			sid[e->actor - nodes] = e->actor->sid;
		if (e->act != CABA_FORK)
			continue;
		sid[e->node - nodes] = sid[e->actor - nodes];
		if (e->node->kind == CABA_ANON && e->node->need == -1)
			e->node->sid = sid[e->actor - nodes];
	}

	xfree(sid);
	return 0;
}

int caba_order(struct caba_forest *f, struct caba_line *lines, unsigned int nr_lines)
{
	unsigned int i, max = 3 * f->nr + nr_lines;
	struct order o = { .f = f };
	int ret = -1;

	o.steps = xzalloc(f->nr * sizeof(*o.steps));
	o.events = xmalloc(max * sizeof(*o.events));
	o.order = xmalloc(max * sizeof(*o.order));
	o.edges = xmalloc((10 * f->nr + 8 * nr_lines) * sizeof(*o.edges));
	if (!o.steps || !o.events || !o.order || !o.edges)
		goto out;

	if (collect_events(&o, lines, nr_lines))
		goto out;
	for (i = 0; i < f->nr; i++)
		if (order_node(&o, &f->nodes[i]))
			goto out;

	if (sort_events(&o) || name_sessions(&o) || hand_out(&o))
		goto out;
	ret = 0;
out:
	xfree(o.steps);
	xfree(o.events);
	xfree(o.order);
	xfree(o.edges);
	return ret;
}
