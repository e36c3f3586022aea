/*
 * Births of processes.
 *
 * Sessions are inherited at birth, so who can have got one from whom is said
 * by the tree of births. The tree of parents does not say that any more once
 * orphans have been adopted. A kernel that has "NScaba" in /proc/<pid>/status
 * reports the Closest Alive Born Ancestor of each process.
 *
 * On dump it is stored in pstree.img. On restore every process is forked by
 * its CABA, or by helpers below it. When all have been forked the helpers
 * leave one by one, and so everyone gets the parent it had. Who forks whom is
 * worked out in caba-plan.c.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "types.h"
#include "bfd.h"
#include "caba.h"
#include "caba-ns.h"
#include "caba-plan.h"
#include "cr_options.h"
#include "files.h"
#include "image.h"
#include "kerndat.h"
#include "namespaces.h"
#include "pstree.h"
#include "restorer.h"
#include "rst_info.h"
#include "servicefd.h"
#include "util.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* Level of the root's pid namespace below criu's */
static unsigned int root_level;

static bool parse_first(const char *str, const char *key, pid_t *pid)
{
	size_t len = strlen(key);

	return !strncmp(str, key, len) && sscanf(str + len, "%d", pid) == 1;
}

/* The numbers from the root's level down */
static bool parse_levels(const char *str, const char *key, pid_t *at, unsigned int *levels)
{
	size_t len = strlen(key);
	unsigned int i;

	if (strncmp(str, key, len))
		return false;

	for (i = 0, str += len; *str == '\t' && i < root_level + CABA_LEVELS; i++) {
		if (i >= root_level && sscanf(str, "%d", &at[i - root_level]) != 1)
			return false;
		str = strchrnul(str + 1, '\t');
	}
	*levels = i - root_level;
	return i > root_level;
}

/* Takes the fd of a status file. Returns 1 if there is all we need, 0 if not. */
int caba_read_births(int fd, struct births *b)
{
	unsigned int sids, pgids;
	struct bfd f = { .fd = fd };
	char *str;
	int nr = 0;

	if (bfdopenr(&f))
		return -1;

	while (nr < 5) {
		str = breadline(&f);
		if (!str || IS_ERR(str))
			break;
		/* The first ones */
		if (sscanf(str, "Name:\t%15[^\n]", b->comm) == 1 || sscanf(str, "State:\t%c", &b->state) == 1)
			continue;
		nr += parse_first(str, "PPid:", &b->ppid) || parse_levels(str, "NSpid:", b->pids, &b->levels) ||
		      parse_levels(str, "NSpgid:", b->pgids, &pgids) || parse_levels(str, "NSsid:", b->sids, &sids) ||
		      parse_first(str, "NScaba:", &b->caba);
	}

	bclose(&f);
	if (nr != 5 || sids != b->levels || pgids != b->levels)
		return 0;
	b->pid = b->pids[0];
	b->pgid = b->pgids[0];
	b->sid = b->sids[0];
	return 1;
}

/* To be called before the births of a tree are looked at */
int caba_find_root_level(void)
{
	struct bfd f;
	char *str, *tab;
	int ret = -1;

	f.fd = open_proc(root_item->pid->real, "status");
	if (f.fd < 0)
		return -1;
	if (bfdopenr(&f))
		return -1;

	while (ret && (str = breadline(&f)) && !IS_ERR(str)) {
		if (strncmp(str, "NSpid:", 6))
			continue;
		root_level = 0;
		for (tab = strchr(str, '\t'); tab && (tab = strchr(tab + 1, '\t'));)
			root_level++;
		ret = 0;
	}

	bclose(&f);
	if (ret)
		pr_err("No NSpid of %d\n", root_item->pid->real);
	return ret;
}

int caba_births_of(pid_t pid, struct births *b)
{
	int fd;

	fd = open_proc(pid, "status");
	return fd < 0 ? -1 : caba_read_births(fd, b);
}

bool kernel_has_caba(void)
{
	struct births b;

	return caba_births_of(getpid(), &b) == 1;
}

static unsigned int nr_items(void)
{
	struct pstree_item *item;
	unsigned int nr = 0;

	for_each_pstree_item(item)
		nr++;
	return nr;
}

static struct pstree_item *item_of(const struct caba_node *n)
{
	return n->data;
}

/* Those of the helpers, few as a rule, are for the planner to fill in */
static struct caba_node *alloc_nodes(unsigned int nr)
{
	struct caba_node *nodes = xmalloc(CABA_MAX_NODES(nr) * sizeof(*nodes));
	unsigned int i;

	for (i = 0; nodes && i < nr; i++)
		nodes[i] = (struct caba_node){ .exit_signal = SIGCHLD };
	return nodes;
}

/* Whose CABA is not in the tree: has it been put in, or is it as good as born by the root? */
static bool comes_from_outside(struct caba_node *root)
{
	return root->pid == INIT_PID;
}

/*
 * Dump
 */
bool caba_dumped;

static int cmp_real(const void *a, const void *b)
{
	const struct caba_node *const *x = a, *const *y = b;
	pid_t p = ((struct pstree_item *)(*x)->data)->pid->real;
	pid_t q = ((struct pstree_item *)(*y)->data)->pid->real;

	return p < q ? -1 : p > q;
}

static struct caba_node *node_by_real(struct caba_node **by_real, unsigned int nr, pid_t real)
{
	unsigned int lo = 0, hi = nr;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		pid_t pid = ((struct pstree_item *)by_real[mid]->data)->pid->real;

		if (pid == real)
			return by_real[mid];
		if (pid < real)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/*
 * Helpers that come from outside have to leave before files are opened, so none
 * of them can be there for the /proc/<pid> of a dead process.
 */
static pid_t *outside_pids;
static unsigned int nr_outside_pids;

static int collect_outside_pids(const struct caba_forest *f)
{
	unsigned int i;

	for (i = f->nr_tasks; i < f->nr; i++) {
		if (!f->nodes[i].creator || f->nodes[i].creator->kind != CABA_OUTSIDE)
			continue;
		if (xrealloc_safe(&outside_pids, sizeof(*outside_pids) * (nr_outside_pids + 1)))
			return -1;
		outside_pids[nr_outside_pids++] = f->nodes[i].pid;
	}
	return 0;
}

int caba_check_dead_proc(pid_t pid)
{
	unsigned int i;

	for (i = 0; i < nr_outside_pids; i++) {
		/* Who takes any number may get this one */
		if (outside_pids[i] && outside_pids[i] != pid)
			continue;
		pr_err("/proc/%d of a dead process is open, and it, or another one, came from outside and left children: not both can come back\n",
		       pid);
		return -1;
	}
	return 0;
}

/*
 * Reads the births of all the processes, which have to be frozen: a CABA
 * changes when it dies. The restore is planned right here, since now there
 * still is a way back.
 */
int caba_collect(void)
{
	struct caba_node *nodes, **by_real, *n;
	struct caba_forest f = {};
	struct pstree_item *item;
	unsigned int nr, i = 0;
	pid_t *caba;
	int ret = -1;

	if (!kdat.has_caba)
		return 0;

	if (caba_find_root_level())
		return -1;

	nr = nr_items();
	nodes = alloc_nodes(nr);
	by_real = xmalloc(nr * sizeof(*by_real));
	caba = xmalloc(nr * sizeof(*caba));
	if (!nodes || !by_real || !caba)
		goto out;

	for_each_pstree_item(item) {
		struct births b;

		if (caba_births_of(item->pid->real, &b) != 1) {
			pr_err("Can't read the births of %d\n", item->pid->real);
			goto out;
		}

		n = by_real[i] = &nodes[i];
		caba[i++] = b.caba;
		if (caba_collect_ns(item, &b))
			goto out;
		n->data = item;
		n->pid = b.pid;
		n->sid = b.sid;
		n->pgid = b.pgid;
		n->zombie = item->pid->state == TASK_DEAD;
		n->files_id = item->ids ? item->ids->files_id : 0;

		/* More than one zombie can only be told apart here */
		if (n->zombie)
			item->pid->ns[0].virt = b.pid;
	}
	if (caba_check_ns() || caba_plan_ns(&f))
		goto out;
	caba_fill_nodes(nodes, nr);
	if (caba_collect_exit_signals(nodes, nr))
		goto out;
	f.from_outside = comes_from_outside(nodes);

	qsort(by_real, nr, sizeof(*by_real), cmp_real);

	for (i = 1; i < nr; i++) {
		n = &nodes[i];
		item = n->data;
		n->parent = node_by_real(by_real, nr, item->parent->pid->real);
		n->caba = node_by_real(by_real, nr, caba[i]);

		/*
		 * Out of the tree, and maybe back into it further up. If not,
		 * then it has come from elsewhere, as with setns().
		 */
		while (!n->caba && caba[i]) {
			struct births b;

			if (caba_births_of(caba[i], &b) != 1)
				break;
			caba[i] = b.caba;
			n->caba = node_by_real(by_real, nr, caba[i]);
		}

		item->caba = n->caba ? n->caba->data : NULL;
		if (!n->caba && !f.from_outside)
			n->caba = nodes;
		pr_debug("%d(%d) was born by %d\n", n->pid, item->pid->real, item->caba ? n->caba->pid : 0);
	}

	caba_dumped = true;

	for (n = nodes; n < nodes + nr; n++)
		if (!n->sid) {
			pr_err("A session leader of %d(%d) is outside of its pid namespace\n", item_of(n)->pid->real, n->pid);
			goto out;
		}

	f.nodes = nodes;
	f.nr_tasks = nr;
	if (caba_plan(&f)) {
		pr_err("This process tree could not be restored\n");
		goto out;
	}
	if (caba_check_outside(&f))
		goto out;
	if (collect_outside_pids(&f))
		goto out;
	for (i = 1; i < nr && f.ns && !f.from_outside; i++)
		if (!item_of(&nodes[i])->caba) {
			pr_err("%d was born outside of the tree, which has nested pid namespaces but no init, and would come back as born by %d\n",
			       nodes[i].pid, nodes->pid);
			goto out;
		}

	ret = 0;
out:
	caba_free_plan(&f);
	xfree(f.ns);
	xfree(nodes);
	xfree(by_real);
	xfree(caba);
	return ret;
}

/*
 * Restore
 */
bool caba_planned;

/* The plan of a tree with nested namespaces is carried out event by event */
static struct caba_forest forest;

bool caba_nested(void)
{
	return forest.ns;
}

/* What @creator's helper, or zombie, has to look like for who is forked by it */
static TaskKobjIdsEntry *get_helper_ids(struct pstree_item *creator, bool share_files, pid_t pid)
{
	TaskKobjIdsEntry *ids;

	ids = xmalloc(sizeof(*ids));
	if (!ids)
		return NULL;

	*ids = *creator->ids;
	ids->pid_ns_id = caba_pid_ns_id(pstree_item_by_virt(pid));
	/* Nobody else has that one, real ids are small */
	if (!share_files)
		ids->files_id = (1U << 31) | pid;
	return ids;
}

static struct pstree_item *new_helper(pid_t pid, struct pstree_item *creator, pid_t sid, pid_t pgid)
{
	struct pstree_item *helper;

	helper = lookup_create_item(pid);
	if (!helper)
		return NULL;
	if (helper->pid->state != TASK_UNDEF) {
		pr_err("No helper with pid %d possible, it is used\n", pid);
		return NULL;
	}

	helper->sid = sid;
	helper->pgid = pgid;
	helper->parent = creator;
	if (init_pstree_helper(helper))
		return NULL;
	list_add_tail(&helper->sibling, &creator->children);
	return helper;
}

static pid_t get_helper_pid(void)
{
	while (1) {
		pid_t pid = get_free_pid();

		/* In a pid namespace of their own, only pids of the tree are used */
		if (pid < 0 || vpid(root_item) == INIT_PID)
			return pid;
		if (kill(pid, 0) < 0 && errno == ESRCH && kill(-pid, 0) < 0 && errno == ESRCH)
			return pid;
		if (!lookup_create_item(pid))
			return -1;
	}
}

static int add_node_item(struct caba_node *n)
{
	struct pstree_item *item = n->data, *creator;
	pid_t pid = n->pid;

	if (n->kind == CABA_TASK && !n->creator)
		return 0;
	creator = n->creator->data;

	if (n->kind == CABA_TASK) {
		item->parent = creator;
		list_move_tail(&item->sibling, &creator->children);
	} else {
		if (!pid)
			pid = get_helper_pid();
		if (pid < 0)
			return -1;
		item = new_helper(pid, creator, n->sid, n->kind == CABA_SESSION ? n->sid : n->pgid);
		if (!item)
			return -1;
		if (caba_new_inner(item, n->ns ? n->ns->data : NULL, &n->pids))
			return -1;
		n->data = item;
		rsti(item)->caba.node = n;
		if (n->kind == CABA_GROUP) {
			rsti(creator)->caba.keeper = item;
			rsti(item)->caba.keeps_group = true;
			pr_info("Helper %d stays in the group of %d\n", pid, vpid(creator));
		} else {
			rsti(item)->caba.leaves = true;
			rsti(item)->caba.heir = n->heir ? n->heir->data : NULL;
			pr_info("Helper %d of %d leaves all to %d (session %d)\n", pid, vpid(creator),
				n->heir ? n->heir->pid : 0, n->sid);
		}
	}

	item->born_sid = n->born_sid;
	item->exit_signal = n->exit_signal;
	rsti(item)->caba.sibling = n->sibling;
	rsti(item)->caba.outside = n->creator->kind == CABA_OUTSIDE;
	return 0;
}

/* Creators come before who they fork */
static int add_node_items(struct caba_node *n)
{
	struct caba_node *first;

	do {
		for (first = n; first->creator && !first->creator->data; first = first->creator)
			;
		if (add_node_item(first))
			return -1;
	} while (first != n);
	return 0;
}

/* Ids are inherited along the births, where zombies and helpers have none */
static int add_node_ids(struct caba_node *n)
{
	struct caba_node *first;

	while (!item_of(n)->ids) {
		for (first = n; !item_of(first->creator)->ids; first = first->creator)
			;
		item_of(first)->ids = get_helper_ids(item_of(first->creator), first->share_files, vpid(item_of(first)));
		if (!item_of(first)->ids)
			return -1;
	}
	return 0;
}

static int read_births(struct caba_forest *f)
{
	struct pstree_item *item;
	struct caba_node *n;
	unsigned int i = 0;

	for_each_pstree_item(item) {
		n = &f->nodes[i++];
		n->data = item;
		n->pid = vpid(item);
		n->sid = item->sid;
		n->pgid = item->pgid;
		n->exit_signal = item->exit_signal;
		n->zombie = rsti(item)->caba.zombie;
		/* An older dump may have left some in this directory */
		if (n->zombie)
			item->ids = NULL;

		n->files_id = item->ids ? item->ids->files_id : 0;
		rsti(item)->caba.node = n;
		rsti(item)->caba.parent = item->parent;
	}
	caba_fill_nodes(f->nodes, f->nr_tasks);

	for (i = 0; i < f->nr_tasks; i++) {
		struct pid *pid;

		n = &f->nodes[i];
		item = n->data;
		if (!rsti(item)->caba.known) {
			pr_err("No birth of %d in the image, but of others\n", vpid(item));
			return -1;
		}
		if (item == root_item)
			continue;

		if (rsti(item)->caba.pid) {
			pid = pstree_pid_by_virt(rsti(item)->caba.pid);
			if (!pid || pid->state == TASK_UNDEF || pid->state == TASK_THREAD) {
				pr_err("%d was born by %d, which is not in the image\n", vpid(item),
				       rsti(item)->caba.pid);
				return -1;
			}
			item->caba = pid->item;
		} else if (comes_from_outside(f->nodes)) {
			f->from_outside = caba_can_be_outside();
			if (!f->from_outside)
				pr_warn("%d was born outside, and gets born by the root\n", vpid(item));
		}
		if (!item->caba && !f->from_outside)
			item->caba = root_item;
		n->parent = rsti(item->parent)->caba.node;
		n->caba = item->caba ? rsti(item->caba)->caba.node : NULL;
		if (item->caba && !n->caba) {
			pr_err("%d was born by %d, which is not in the tree\n", vpid(item), vpid(item->caba));
			return -1;
		}
	}

	return 0;
}

/* Who is outside gets the memory of the root */
static void place_outsider(struct caba_forest *f)
{
	unsigned int i;

	for (i = f->nr_tasks; i < f->nr; i++)
		if (f->nodes[i].kind == CABA_OUTSIDE)
			f->nodes[i].data = root_item;
}

/*
 * Turns the tree of parents from the image into the one in which processes
 * are forked. It is turned back in caba_reparent().
 */
int caba_prepare_pstree(void)
{
	struct caba_forest f = {};
	struct pstree_item *item;
	unsigned int i;
	int ret = -1;

	if (caba_check_inner())
		return -1;

	for_each_pstree_item(item)
		if (rsti(item)->caba.known)
			break;
	if (!item)
		return 0;
	if (!kdat.has_caba) {
		pr_warn("Births in the image are left alone, this kernel does not know them\n");
		return 0;
	}

	f.nr_tasks = nr_items();
	if (f.nr_tasks != task_entries->nr_tasks) {
		pr_err("Only %u of %d processes in the image are in the tree\n", f.nr_tasks, task_entries->nr_tasks);
		return -1;
	}

	f.nodes = alloc_nodes(f.nr_tasks);
	if (!f.nodes)
		return -1;

	if (caba_plan_ns(&f))
		goto out;
	if (read_births(&f))
		goto out;

	if (!root_item->ids) {
		pr_err("No IDS for root task.\n");
		goto out;
	}

	if (caba_plan(&f))
		goto out;

	place_outsider(&f);
	for (i = 0; i < f.nr; i++)
		if ((f.nodes[i].kind == CABA_TASK || !f.nodes[i].data) && add_node_items(&f.nodes[i]))
			goto out;
	for (i = f.nr_tasks; i < f.nr; i++)
		if (add_node_ids(&f.nodes[i]))
			goto out;

	if (caba_prepare_outside())
		goto out;
	caba_planned = true;
	/* Those who are forked go on with their copy */
	if (f.ns) {
		forest = f;
		if (caba_prepare_numbers())
			return -1;
		return 0;
	}
	ret = 0;
out:
	caba_free_plan(&f);
	xfree(f.ns);
	xfree(f.nodes);
	return ret;
}

/*
 * Somebody needs this helper's /proc/<pid> on CR_STATE_RESTORE, so it can't
 * leave before, and somebody else has to do that for its children.
 */
int caba_keep_helper(struct pstree_item *helper)
{
	struct pstree_item *item, *tmp, *deputy = NULL;
	bool share_files = false;
	LIST_HEAD(children);

	if (!caba_planned || !rsti(helper)->caba.leaves)
		return 0;

	if (rsti(helper)->caba.outside) {
		pr_err("Helper %d has to stay, but is a child of somebody outside\n", vpid(helper));
		return -1;
	}
	pr_info("Helper %d has to stay\n", vpid(helper));
	rsti(helper)->caba.leaves = false;

	list_for_each_entry_safe(item, tmp, &helper->children, sibling) {
		if (item->pid->state == TASK_HELPER)
			continue;
		list_move_tail(&item->sibling, &children);
		if (rsti(item)->clone_flags & CLONE_FILES)
			share_files = true;
	}
	if (list_empty(&children))
		return 0;

	deputy = new_helper(get_helper_pid(), helper, helper->sid, 0);
	if (!deputy)
		return -1;
	if (caba_new_inner(deputy, caba_pidns_of(helper), NULL))
		return -1;
	rsti(deputy)->caba.leaves = true;
	rsti(deputy)->caba.heir = rsti(helper)->caba.heir;
	rsti(deputy)->caba.node = rsti(helper)->caba.node;
	rsti(deputy)->caba.acts_for = helper;
	rsti(helper)->caba.deputy = deputy;
	deputy->ids = get_helper_ids(helper, share_files, vpid(deputy));
	if (!deputy->ids)
		return -1;
	if (share_files) {
		rsti(deputy)->clone_flags = CLONE_FILES;
		if (shared_fdt_prepare(deputy))
			return -1;
	}

	list_for_each_entry(item, &children, sibling)
		item->parent = deputy;
	list_splice(&children, &deputy->children);
	return 0;
}

/* The plan has believed pstree.img, but this one is read from core-*.img, when it is forked */
int caba_check_state(struct pstree_item *item, const TaskCoreEntry *tc)
{
	struct rst_caba *r = &rsti(item)->caba;

	if (!caba_planned)
		return 0;
	if (r->zombie != (tc->task_state == TASK_DEAD)) {
		pr_err("%d is %s zombie, unlike in pstree.img\n", vpid(item), r->zombie ? "no" : "a");
		return -1;
	}
	if (r->zombie && caba_expect_end(item, tc->exit_code))
		return -1;
	return 0;
}

unsigned long caba_clone_flags(struct pstree_item *item)
{
	unsigned long flags = 0;

	if (rsti(item)->caba.sibling)
		flags |= CLONE_PARENT;
	if (caba_is_init(item))
		flags |= CLONE_NEWPID;
	return flags;
}

/* Somebody is in the group of this process, which is in another one itself */
int caba_make_group(void)
{
	struct pstree_item *keeper = rsti(current)->caba.keeper;

	if (!keeper)
		return 0;

	pr_info("Making group %d, which %d stays in\n", vpid(current), vpid(keeper));
	if (setpgid(0, 0)) {
		pr_perror("Can't make group %d", vpid(current));
		return -1;
	}
	futex_set_and_wake(&rsti(current)->pgrp_set, 1);
	futex_wait_until(&rsti(keeper)->pgrp_set, 1);
	return 0;
}

bool caba_leaves(struct pstree_item *item)
{
	return rsti(item)->caba.leaves;
}

/*
 * Nested pid namespaces
 *
 * Births, new sessions and groups, and who is put into one by its parent:
 * everybody goes through its own events, and waits where those of others have
 * to come first. There is an order of all of them in which nobody waits.
 */
/* The number of a group or session, whose leader may be above the root, in the namespace of @item */
static pid_t own_nr(struct pstree_item *item, pid_t top)
{
	struct pid *pid = caba_pidns_of(item) ? pstree_pid_by_virt(top) : NULL;

	if (!caba_pidns_of(item))
		return top;
	return pid && pid->state != TASK_UNDEF && pid->item ? caba_nr_in(pid->item, caba_pidns_of(item)) : 0;
}

pid_t caba_own_sid(struct pstree_item *item)
{
	return own_nr(item, item->sid);
}

static pid_t group_nr(const struct caba_event *e)
{
	return e->group ? caba_nr_in(item_of(e->group), caba_pidns_of(current)) : e->pgid;
}

static int set_group(pid_t pid, pid_t pgid)
{
	if (setpgid(pid, pgid)) {
		pr_perror("%d can't put %d into group %d (its numbers)", vpid(current), pid, pgid);
		return -1;
	}
	return 0;
}

/* The lists of children do for all that the plan does not know: helpers that were added later */
static int fork_unplanned(int (*fork_item)(struct pstree_item *))
{
	struct pstree_item *child;

	list_for_each_entry(child, &current->children, sibling)
		if ((!rsti(child)->caba.node || rsti(child)->caba.acts_for) && fork_item(child) < 0)
			return -1;
	return 0;
}

static int fork_node(struct pstree_item *item, int (*fork_item)(struct pstree_item *))
{
	struct caba_pidns *ns = caba_pidns_of(item);

	if (!rsti(item)->caba.outside)
		return fork_item(item);
	return caba_fork_outside(item, ns ? vpid(ns->init) : getpid(), fork_item);
}

static bool by_deputy(const struct caba_event *e)
{
	return e->act == CABA_FORK || e->act == CABA_MOVE;
}

int caba_act(int (*fork_item)(struct pstree_item *), void (*restore_sid)(void))
{
	struct pstree_item *actor = rsti(current)->caba.acts_for ?: current;
	struct caba_node *me = rsti(current)->caba.node;
	unsigned int i, j;

	/* Its session was inherited, or will be its own one */
	if (current->parent && vpid(current) != current->sid)
		restore_sid();

	for (i = 0; me && i < me->nr_events; i++) {
		struct caba_event *e = &me->events[i];
		struct pstree_item *item = e->node ? item_of(e->node) : NULL;

		/* A helper that has to stay only does what is its own */
		if (rsti(current)->caba.deputy && by_deputy(e))
			break;
		if (actor != current && !by_deputy(e))
			continue;

		for (j = 0; j < ARRAY_SIZE(e->waits); j++)
			if (e->waits[j].node)
				futex_wait_while_lt(&rsti(item_of(e->waits[j].node))->caba.done, e->waits[j].done);

		switch (e->act) {
		case CABA_FORK:
			if (fork_node(item, fork_item) < 0)
				return -1;
			break;
		case CABA_SETSID:
			/* The root has done that */
			if (current->parent)
				restore_sid();
			break;
		case CABA_MAKE_GROUP:
			if (set_group(0, 0))
				return -1;
			futex_set_and_wake(&rsti(current)->pgrp_set, 1);
			break;
		case CABA_MOVE:
			if (set_group(caba_nr_in(item, caba_pidns_of(current)), group_nr(e)))
				return -1;
			break;
		}
		futex_inc_and_wake(&rsti(actor)->caba.done);
	}

	return fork_unplanned(fork_item);
}

/* In nested namespaces: into the group of the image, when all have been forked */
int caba_join_group(void)
{
	struct caba_node *me = rsti(current)->caba.node;
	struct pstree_item *keeper = rsti(current)->caba.keeper;
	struct pstree_item *leader = rsti(current)->pgrp_leader;
	pid_t pgid = own_nr(current, current->pgid);

	if (me && me->group)
		leader = item_of(me->group);
	pr_info("Restoring %d to %d pgid, %d for itself\n", vpid(current), current->pgid, pgid);

	if (me && me->in_group)
		return 0;
	if (keeper && caba_make_group())
		return -1;
	if (leader && leader != current && current->pgid != current->sid)
		futex_wait_until(&rsti(leader)->pgrp_set, 1);
	if (!pgid) {
		pr_err("%d does not see its group %d, and is not in it\n", vpid(current), current->pgid);
		return -1;
	}
	if (getpgrp() != pgid && set_group(0, pgid))
		return -1;
	if (leader == current || current->pgid == vpid(current) || rsti(current)->caba.keeps_group)
		futex_set_and_wake(&rsti(current)->pgrp_set, 1);
	return 0;
}

/*
 * Leaving
 *
 * When all have been forked, the root task calls up the helpers one by one,
 * the deepest first. So whoever is above the one that exits still is where it
 * was born, and the new parent of its children is among them.
 */
enum {
	ORDER_NONE,
	ORDER_SUBREAPER_ON,
	ORDER_SUBREAPER_OFF,
	ORDER_REAP,
	ORDER_LEAVE,
	ORDER_PROC,
	ORDER_DYING_NS,
	ORDER_DISMISS,
};

struct leaving {
	struct pstree_item *helper;
	struct pstree_item *parent;
	struct pstree_item *heir; /* who needs to be a sub-reaper for it */
	int depth;
};

static struct leaving *leaving;
static unsigned int nr_leaving;

static struct pstree_item *helper_parent(struct pstree_item *helper)
{
	while (rsti(helper)->caba.sibling)
		helper = helper->parent;
	return helper->parent;
}

static int cmp_leaving(const void *a, const void *b)
{
	const struct leaving *x = a, *y = b;

	if (x->depth != y->depth)
		return y->depth - x->depth;
	/* Saves some changes of sub-reapers */
	return x->heir < y->heir ? -1 : x->heir > y->heir;
}

/* Called by the root task before it forks, so all know who is on call */
int caba_prepare_leaving(void)
{
	struct pstree_item *item, *p;

	if (!caba_planned)
		return 0;

	leaving = xzalloc(task_entries->nr_helpers * sizeof(*leaving));
	if (!leaving)
		return -1;

	for_each_pstree_item(item) {
		struct leaving *l;

		if (caba_makes_proc(item))
			rsti(item)->caba.on_call = true;
		if (caba_children_die(item))
			rsti(item)->caba.on_call = true;
		if (!rsti(item)->caba.leaves)
			continue;

		l = &leaving[nr_leaving++];
		l->helper = item;
		l->parent = helper_parent(item);
		for (p = item; p; p = p->parent)
			l->depth++;

		/* Init does not need to be told */
		l->heir = rsti(item)->caba.heir;
		if (l->heir && vpid(l->heir) == INIT_PID)
			l->heir = NULL;
		if (l->heir && caba_is_init(l->heir))
			l->heir = NULL;
		if (l->heir)
			rsti(l->heir)->caba.on_call = true;
		rsti(l->parent)->caba.on_call = true;
		rsti(item)->caba.on_call = true;
	}

	qsort(leaving, nr_leaving, sizeof(*leaving), cmp_leaving);
	pr_info("%u helpers will leave before the others are restored\n", nr_leaving);
	return 0;
}

static int set_subreaper(bool on)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0)) {
		pr_perror("Can't %s sub-reaper %d", on ? "set" : "clear", vpid(current));
		return -1;
	}
	return 0;
}

static int reap(struct pstree_item *helper)
{
	int status, sig = SIGCHLD;
	pid_t pid = vpid(helper);
	sigset_t old;

	if (current->inner)
		pid = caba_nr_in(helper, caba_pidns_of(current));
	/* A helper with that of its siblings */
	if (helper->exit_signal)
		sig = helper->exit_signal;

	/* It is expected */
	if (block_sigmask(&old, sig))
		return -1;

	futex_set_and_wake(&rsti(helper)->caba.order, ORDER_LEAVE);
	if (waitpid(pid, &status, __WALL) != pid) {
		pr_perror("waitpid for helper %d failed", vpid(helper));
		return -1;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		pr_err("Helper %d ended with status %#x\n", vpid(helper), status);
		return -1;
	}

	/* SIGCHLD has a handler, which finds nobody any more */
	if (sig != SIGCHLD) {
		struct timespec now = {};
		sigset_t mask;

		sigemptyset(&mask);
		sigaddset(&mask, sig);
		sigtimedwait(&mask, NULL, &now);
	}

	return restore_sigmask(&old);
}

static void leave(void)
{
	int i;

	/* The others who share the file table need not wait for this one */
	sfds_protected = false;
	close_image_dir();
	close_proc();
	for (i = SERVICE_FD_MIN + 1; i < SERVICE_FD_MAX; i++)
		close_service_fd(i);
	if (rsti(current)->fdt)
		futex_inc_and_wake(&rsti(current)->fdt->fdt_lock);

	exit(0);
}

static int obey(int order, struct pstree_item *subject)
{
	switch (order) {
	case ORDER_SUBREAPER_ON:
	case ORDER_SUBREAPER_OFF:
		return set_subreaper(order == ORDER_SUBREAPER_ON);
	case ORDER_REAP:
		return reap(subject);
	case ORDER_PROC:
		return caba_new_proc(rsti(current)->caba.proc, &rsti(current)->caba.proc_fd);
	case ORDER_DYING_NS:
		return caba_enter_dying_ns();
	}

	pr_err("%d has got an unknown order %d\n", vpid(current), order);
	return -1;
}

/* All but the root task: CR_STATE_FORKING is over, returns as restore_finish_stage() */
int caba_finish_forking(void)
{
	struct rst_caba *me = &rsti(current)->caba;

	if (!me->on_call)
		return restore_finish_stage(task_entries, CR_STATE_FORKING);

	futex_dec_and_wake(&task_entries->nr_in_progress);

	while (1) {
		int order;

		futex_wait_while_eq(&me->order, ORDER_NONE);
		order = futex_get(&me->order);
		futex_set(&me->order, ORDER_NONE);

		if (order == ORDER_DISMISS)
			break;
		if (order == ORDER_LEAVE)
			leave();
		if (obey(order, me->subject))
			return -1;

		futex_dec_and_wake(&task_entries->nr_in_progress);
	}

	futex_wait_while(&task_entries->start, CR_STATE_FORKING);
	return (s32)futex_get(&task_entries->start);
}

static int give_order(struct pstree_item *item, int order, struct pstree_item *subject)
{
	futex_t *np = &task_entries->nr_in_progress;

	if (item == current)
		return obey(order, subject);

	/* The root task itself is the only one in progress, unless somebody has failed */
	if (!__sync_bool_compare_and_swap(&np->raw.counter, 1, 2))
		return -1;
	rsti(item)->caba.subject = subject;
	futex_set_and_wake(&rsti(item)->caba.order, order);

	futex_wait_while_gt(np, 1);
	return (s32)futex_get(np) == 1 ? 0 : -1;
}

static int order_proc(struct pstree_item *init, struct mount_info *mi)
{
	rsti(init)->caba.proc = mi;
	return give_order(init, ORDER_PROC, NULL) ? -1 : rsti(init)->caba.proc_fd;
}

static int order_dying_ns(void)
{
	struct pstree_item *item;

	for_each_pstree_item(item)
		if (caba_children_die(item) && give_order(item, ORDER_DYING_NS, NULL)) {
			pr_err("%d could not enter the dead pid namespace of its children\n", vpid(item));
			return -1;
		}
	return 0;
}

static int turn_back_tree(void)
{
	unsigned int nr = nr_items(), i = 0;
	struct pstree_item *item, **items;

	items = xmalloc(nr * sizeof(*items));
	if (!items)
		return -1;

	for_each_pstree_item(item)
		items[i++] = item;

	for (i = 0; i < nr; i++) {
		item = items[i];
		if (rsti(item)->caba.parent && rsti(item)->caba.parent != item->parent) {
			item->parent = rsti(item)->caba.parent;
			list_move_tail(&item->sibling, &item->parent->children);
		}
	}
	for (i = 0; i < nr_leaving; i++)
		list_del(&leaving[i].helper->sibling);

	xfree(items);
	return 0;
}

/* Root task: everybody else waits in caba_finish_forking() */
int caba_reparent(void)
{
	struct pstree_item *item, *subreaper = NULL;
	unsigned int i;

	if (!caba_planned)
		return 0;

	for (i = 0; i < nr_leaving; i++) {
		struct leaving *l = &leaving[i];

		if (subreaper != l->heir) {
			if (subreaper && give_order(subreaper, ORDER_SUBREAPER_OFF, NULL))
				goto err;
			subreaper = l->heir;
			if (subreaper && give_order(subreaper, ORDER_SUBREAPER_ON, NULL))
				goto err;
		}
		pr_debug("%d leaves\n", vpid(l->helper));
		if (rsti(l->helper)->caba.outside) {
			futex_set_and_wake(&rsti(l->helper)->caba.order, ORDER_LEAVE);
			futex_wait_while_eq(&rsti(l->helper)->caba.ended, 0);
			continue;
		}
		if (give_order(l->parent, ORDER_REAP, l->helper))
			goto err;
	}
	if (subreaper && give_order(subreaper, ORDER_SUBREAPER_OFF, NULL))
		goto err;

	caba_part_from_outside();
	if (caba_place_procs(order_proc))
		return -1;
	if (order_dying_ns())
		return -1;
	if (turn_back_tree())
		return -1;
	if (caba_make_pidfds())
		return -1;
	task_entries->nr_helpers -= nr_leaving;

	for_each_pstree_item(item)
		if (rsti(item)->caba.on_call && item != current)
			futex_set_and_wake(&rsti(item)->caba.order, ORDER_DISMISS);

	return 0;
err:
	pr_err("Helper %d could not leave\n", i < nr_leaving ? vpid(leaving[i].helper) : 0);
	return -1;
}

/* Everyone is where it belongs now, and zombies are zombies */
int caba_verify(void)
{
	struct pstree_item *item;

	if (!caba_planned)
		return 0;
	if (caba_find_root_level())
		return -1;

	for_each_pstree_item(item) {
		struct births b;

		if (item->pid->state == TASK_HELPER)
			continue;

		if (caba_births_of(item->pid->real, &b) != 1) {
			pr_err("Can't read the births of %d(%d)\n", vpid(item), item->pid->real);
			return -1;
		}
		if (b.pid != vpid(item) || b.sid != item->sid || b.pgid != item->pgid) {
			pr_err("%d has pid %d, session %d, group %d instead of %d, %d, %d\n", item->pid->real, b.pid,
			       b.sid, b.pgid, vpid(item), item->sid, item->pgid);
			return -1;
		}
		if (caba_verify_ns(item, &b))
			return -1;
		if (item == root_item)
			continue;
		if (caba_verify_exit_signal(item))
			return -1;
		/* Outside is CRIU, at the end */
		if (!item->caba && (b.caba == getpid() || caba_is_outsider(b.caba)))
			b.caba = 0;
		if (b.ppid != item->parent->pid->real || b.caba != (item->caba ? item->caba->pid->real : 0)) {
			pr_err("%d has parent %d and CABA %d instead of %d(%d) and %d(%d)\n", vpid(item), b.ppid,
			       b.caba, item->parent->pid->real, vpid(item->parent),
			       item->caba ? item->caba->pid->real : 0, item->caba ? vpid(item->caba) : 0);
			return -1;
		}
	}

	pr_info("All processes have their parents, sessions, groups and births\n");
	return 0;
}
