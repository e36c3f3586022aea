/*
 * Pid namespaces below the root's one.
 *
 * Which ones there are, who is in which and with what numbers, is read from
 * /proc on dump and stored in pstree.img and pidns-*.img. On restore all the
 * numbers of a process are given to clone3() at once; who is put into a
 * namespace from above is forked by somebody who does setns() for that.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/nsfs.h>

#include "types.h"
#include "caba.h"
#include "caba-ns.h"
#include "caba-plan.h"
#include "clone-noasan.h"
#include "files.h"
#include "image.h"
#include "kerndat.h"
#include "namespaces.h"
#include "proc_parse.h"
#include "protobuf.h"
#include "pstree.h"
#include "rst_info.h"
#include "sysctl.h"
#include "util.h"

#include "images/pidns.pb-c.h"
#include "images/pstree.pb-c.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

static struct caba_pidns *pidnses;

struct caba_pidns *caba_pidns_of(const struct pstree_item *item)
{
	return item->inner ? item->inner->ns : NULL;
}

static unsigned int level_of(const struct caba_pidns *ns)
{
	return ns ? ns->level : 0;
}

/* NULL is the root's one */
bool caba_ns_holds(const struct caba_pidns *outer, const struct caba_pidns *inner)
{
	while (inner && inner != outer)
		inner = inner->parent;
	return inner == outer;
}

/* 0 where it has none */
pid_t caba_nr_in(const struct pstree_item *item, const struct caba_pidns *ns)
{
	if (!ns)
		return vpid(item);
	return caba_ns_holds(ns, caba_pidns_of(item)) ? item->inner->pid[ns->level] : 0;
}

/* What it gets from getpid() */
pid_t caba_own_pid(const struct pstree_item *item)
{
	return caba_nr_in(item, caba_pidns_of(item));
}

/* Who calls, where getpid() is not enough of a name */
pid_t caba_self(void)
{
	return current && current->inner ? vpid(current) : getpid();
}

bool caba_is_init(const struct pstree_item *item)
{
	return item->inner && caba_own_pid(item) == INIT_PID;
}

/*
 * An init dies of nothing that comes from its own namespace but a fault of its
 * own, and of SIGKILL from above.
 */
static int check_init_end(pid_t pid, int exit_code)
{
	int sig = exit_code & 0x7f;

	if (!sig || sig == SIGKILL || sig == SIGSEGV || sig == SIGBUS)
		return 0;
	pr_err("%d was the init of a pid namespace, and ended by signal %d, which can't be done again\n", pid, sig);
	return -1;
}

/*
 * setns() and unshare() change the pid namespace of a thread's children, not
 * its own one. Few do that.
 */
struct children_ns {
	const struct pstree_item *item;
	uint32_t *ids; /* of each thread, 0 when it is empty yet; inodes before they are known */
	struct children_ns *next;
};

/* Its init is dead, and has been waited for */
#define CHILDREN_NS_GONE ((uint32_t)-1)

static struct children_ns *children_nses;

static struct children_ns *children_ns_of(const struct pstree_item *item)
{
	struct children_ns *c;

	for (c = children_nses; c && c->item != item; c = c->next)
		;
	return c;
}

static struct children_ns *add_children_ns(const struct pstree_item *item)
{
	struct children_ns *c = xzalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->item = item;
	c->ids = xzalloc(item->nr_threads * sizeof(*c->ids));
	if (!c->ids) {
		xfree(c);
		return NULL;
	}
	c->next = children_nses;
	children_nses = c;
	return c;
}

/* Gives the plan all namespaces, parents first */
int caba_plan_ns(struct caba_forest *f)
{
	unsigned int nr = 1, level, left = 0;
	struct caba_pidns *ns;

	for (ns = pidnses; ns; ns = ns->next)
		left++;
	if (!left)
		return 0;

	f->ns = xzalloc((left + 1) * sizeof(*f->ns));
	if (!f->ns)
		return -1;
	for (level = 1; nr <= left; level++)
		for (ns = pidnses; ns; ns = ns->next) {
			if (ns->level != level)
				continue;
			ns->plan = &f->ns[nr++];
			ns->plan->parent = ns->parent ? ns->parent->plan : f->ns;
			ns->plan->data = ns;
		}
	f->nr_ns = nr;
	return 0;
}

/* What the plan has to know of each item in a nested namespace */
void caba_fill_nodes(struct caba_node *nodes, unsigned int nr)
{
	struct caba_node *n;

	for (n = nodes; n < nodes + nr; n++) {
		struct caba_inner *in = ((struct pstree_item *)n->data)->inner;

		if (!in)
			continue;
		n->ns = in->ns->plan;
		n->pids = (struct caba_nums){ .nr = in->ns->level + 1, .at = in->pid };
		n->sids = in->sid;
		n->pgids = in->pgid;
	}
}

static int cmp_nr(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void use(struct caba_pidns *ns, const pid_t *at, unsigned int nr)
{
	if (at && nr > ns->level && at[ns->level])
		ns->used[ns->nr_used++] = at[ns->level];
}

static int find_used(struct caba_pidns *ns)
{
	struct pstree_item *item;
	unsigned int nr = 0;
	int i;

	for_each_pstree_item(item)
		nr += 3 + item->nr_threads;
	ns->used = xmalloc(nr * sizeof(*ns->used));
	if (!ns->used)
		return -1;
	for_each_pstree_item(item) {
		struct caba_inner *in = item->inner;

		if (!in || !caba_ns_holds(ns, in->ns))
			continue;
		use(ns, in->pid, in->ns->level + 1);
		use(ns, in->sid.at, in->sid.nr);
		use(ns, in->pgid.at, in->pgid.nr);
		for (i = 1; in->tids && i < item->nr_threads; i++)
			use(ns, in->tids[i], in->ns->level + 1);
	}
	qsort(ns->used, ns->nr_used, sizeof(*ns->used), cmp_nr);
	/* As get_free_pid() does */
	ns->last_free = 300;
	return 0;
}

static pid_t free_nr(struct caba_pidns *ns)
{
	if (!ns->used && find_used(ns))
		return -1;

	for (ns->last_free++; ns->next_used < ns->nr_used; ns->next_used++) {
		if (ns->used[ns->next_used] > ns->last_free)
			break;
		if (ns->used[ns->next_used] == ns->last_free)
			ns->last_free++;
	}
	return ns->last_free;
}

/*
 * Settings of a pid namespace are there for those who are in it. CRIU sends
 * somebody for them, with numbers that are free: others would move ns_last_pid.
 */
struct visit {
	struct caba_pidns *ns;
	int (*fn)(void *);
	struct caba_ns_settings *seen; /* on dump, shared */
	int pid_max;		       /* the file outside */
};

static int send_visitor(void *arg)
{
	struct visit *v = arg;
	pid_t pid, tids[CABA_LEVELS];
	struct caba_pidns *ns;
	int fd, status;

	fd = open_proc(v->ns->init->pid->real, "ns/pid");
	if (fd < 0 || setns(fd, CLONE_NEWPID)) {
		pr_perror("Can't enter pid namespace %u", v->ns->id);
		return 1;
	}
	do {
		for (ns = v->ns; ns; ns = ns->parent) {
			pid = free_nr(ns);
			if (pid < 0)
				return 1;
			tids[v->ns->level - ns->level] = pid;
		}
		/* No signal for its end: there may be a handler that waits for all */
		pid = clone3_with_pid_noasan(v->fn, v, 0, 0, tids, v->ns->level);
	} while (pid < 0 && errno == EEXIST);
	if (pid < 0 || waitpid(pid, &status, __WALL) != pid) {
		pr_perror("Can't fork in pid namespace %u", v->ns->id);
		return 1;
	}
	return !!status;
}

static int visit_ns(struct caba_pidns *ns, int (*fn)(void *), struct caba_ns_settings *seen)
{
	struct visit v = { .ns = ns, .fn = fn, .seen = seen };
	int ret;

	v.pid_max = open_proc(PROC_GEN, PID_MAX_PATH);
	if (v.pid_max < 0)
		return -1;
	ret = call_in_child_process(send_visitor, &v);
	close(v.pid_max);
	return ret;
}

/* Before 6.14 all see the same one, in the same file */
static bool has_pid_max(const struct visit *v)
{
	struct stat outside, inside;
	int fd, ret;

	fd = open_proc(PROC_GEN, PID_MAX_PATH);
	if (fd < 0)
		return false;
	ret = fstat(v->pid_max, &outside) || fstat(fd, &inside);
	close(fd);
	return !ret && outside.st_ino != inside.st_ino;
}

/*
 * Dump
 */
bool caba_can_nest(void)
{
	return kdat.has_caba && kdat.has_clone3_set_tid;
}

static int ns_file_kid(int fd, unsigned int *kid)
{
	struct stat st;

	if (fstat(fd, &st)) {
		pr_perror("Can't stat a namespace");
		return -1;
	}
	*kid = st.st_ino;
	return 0;
}

/* Of its parent, or of the user namespace that it belongs to */
static int related_ns_kid(int fd, unsigned long request, unsigned int *kid)
{
	int other, ret;

	other = ioctl(fd, request);
	if (other < 0)
		return -1;
	ret = ns_file_kid(other, kid);
	close(other);
	return ret;
}

int caba_ns_kid(pid_t pid, struct ns_desc *nd, unsigned int *kid)
{
	int fd, ret;

	fd = open_proc(pid, "ns/%s", nd->str);
	if (fd < 0)
		return -1;
	ret = ns_file_kid(fd, kid);
	close(fd);
	return ret;
}

struct caba_pidns *caba_pidns_by_kid(unsigned int kid)
{
	struct caba_pidns *ns;

	for (ns = pidnses; ns && ns->kid != kid; ns = ns->next)
		;
	return ns;
}

/* Also those that nobody but a dead init has are put down */
static int find_ns(int fd, pid_t pid, unsigned int top, unsigned int owner, struct caba_pidns **res)
{
	struct caba_pidns *ns, *parent = NULL;
	unsigned int kid, user;
	int other, ret;

	if (ns_file_kid(fd, &kid))
		return -1;
	*res = NULL;
	if (kid == top)
		return 0;

	*res = caba_pidns_by_kid(kid);
	if (*res)
		return 0;

	if (related_ns_kid(fd, NS_GET_USERNS, &user)) {
		pr_perror("Can't get the user namespace of the pid namespace %u of %d", kid, pid);
		return -1;
	}
	if (user != owner) {
		pr_err("The pid namespace %u of %d belongs to a nested user namespace\n", kid, pid);
		return -1;
	}

	other = ioctl(fd, NS_GET_PARENT);
	if (other < 0) {
		pr_perror("The pid namespace %u of %d is not below that of the root task", kid, pid);
		return -1;
	}
	ret = find_ns(other, pid, top, owner, &parent);
	close(other);
	if (ret)
		return -1;

	ns = xzalloc(sizeof(*ns));
	if (!ns)
		return -1;
	ns->kid = kid;
	ns->id = generate_ns_id(pid, kid, &pid_ns_desc, NULL);
	if (!ns->id)
		return -1;
	ns->parent = parent;
	ns->level = level_of(parent) + 1;
	ns->next = pidnses;
	pidnses = ns;
	*res = ns;
	return 0;
}

static pid_t *copy_nums(const pid_t *at, unsigned int nr)
{
	pid_t *res = xmalloc(nr * sizeof(*res));

	if (res)
		memcpy(res, at, nr * sizeof(*res));
	return res;
}

/* Without @pid the numbers are for the caller to fill in */
static struct caba_inner *add_inner(struct pstree_item *item, struct caba_pidns *ns, const pid_t *pid)
{
	struct caba_inner *in = xzalloc(sizeof(*in));

	if (!in)
		return NULL;
	in->ns = ns;
	in->pid = pid ? copy_nums(pid, ns->level + 1) : xzalloc((ns->level + 1) * sizeof(*in->pid));
	if (!in->pid) {
		xfree(in);
		return NULL;
	}
	item->inner = in;
	return in;
}

static struct caba_nums visible(const pid_t *at, unsigned int nr)
{
	while (nr && !at[nr - 1])
		nr--;
	return (struct caba_nums){ .nr = nr, .at = nr ? copy_nums(at, nr) : NULL };
}

static int collect_tids(struct pstree_item *item)
{
	struct caba_inner *in = item->inner;
	struct births b;
	int i;

	in->tids = xzalloc(item->nr_threads * sizeof(*in->tids));
	if (!in->tids)
		return -1;
	for (i = 0; i < item->nr_threads; i++) {
		if (caba_births_of(item->threads[i].real, &b) != 1 || b.levels != in->ns->level + 1) {
			pr_err("Can't read the numbers of thread %d\n", item->threads[i].real);
			return -1;
		}
		in->tids[i] = copy_nums(b.pids, b.levels);
		if (!in->tids[i])
			return -1;
		item->threads[i].ns[0].virt = b.pids[0];
	}
	return 0;
}

static int collect_children_ns(const struct pstree_item *item, unsigned int own)
{
	struct children_ns *c = NULL;
	int i, j, dir;

	dir = open_pid_proc(item->pid->real);
	if (dir < 0)
		return -1;
	for (i = 0; i < item->nr_threads; i++) {
		char path[64];
		struct stat st;

		snprintf(path, sizeof(path), "task/%d/ns/pid_for_children", item->threads[i].real);
		if (fstatat(dir, path, &st, 0)) {
			if (errno != ENOENT) {
				pr_perror("Can't stat %s of %d", path, item->pid->real);
				return -1;
			}
			st.st_ino = 0;
		}
		if (st.st_ino == own && !c)
			continue;
		if (!c) {
			c = add_children_ns(item);
			if (!c)
				return -1;
			for (j = 0; j < i; j++)
				c->ids[j] = own;
		}
		c->ids[i] = st.st_ino;
	}
	return 0;
}

/* Does a kernel show a namespace that had no init yet? Such a one looks like one whose init is gone. */
static bool shows_empty_ns(void)
{
	struct stat st;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWPID) || !stat("/proc/self/ns/pid_for_children", &st) || errno != ENOENT);
	return pid < 0 || waitpid(pid, &status, 0) != pid || status;
}

static bool is_populated(unsigned int kid)
{
	struct dirent *de;
	struct stat st;
	char path[64];
	DIR *dir;

	dir = opendir("/proc");
	if (!dir)
		return true;
	while ((de = readdir(dir))) {
		if (atoi(de->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", atoi(de->d_name));
		/* Some end meanwhile */
		if (stat(path, &st) ? errno != ENOENT && errno != ESRCH : st.st_ino == kid)
			break;
	}
	closedir(dir);
	return de;
}

/* Can @item make it anew, and let the init die? */
static bool is_gone(const struct pstree_item *item, unsigned int kid, unsigned int top)
{
	unsigned int above, user, owner;
	struct children_ns *c;
	int fd, ret;

	for (c = children_nses; c; c = c->next)
		if (c->item != item && c->ids[0] == kid)
			return false;

	if (caba_ns_kid(root_item->pid->real, &user_ns_desc, &owner))
		return false;
	fd = open_proc(item->pid->real, "ns/pid_for_children");
	if (fd < 0)
		return false;
	ret = related_ns_kid(fd, NS_GET_PARENT, &above) || related_ns_kid(fd, NS_GET_USERNS, &user);
	close(fd);
	return !ret && user == owner && above == (item->inner ? item->inner->ns->kid : top) && !is_populated(kid) &&
	       !shows_empty_ns();
}

/*
 * Only namespaces whose init lives can be entered. A lonely thread can make an
 * empty one, or one that is dead, or enter one that is going to be.
 */
static int check_children_ns(void)
{
	struct children_ns *c;
	struct caba_pidns *ns;
	unsigned int top;
	int i;

	if (children_nses && caba_ns_kid(root_item->pid->real, &pid_ns_desc, &top))
		return -1;

	for (c = children_nses; c; c = c->next)
		for (i = 0; i < c->item->nr_threads; i++) {
			bool lonely = c->item->nr_threads == 1 && c->item != root_item;
			pid_t tid = c->item->threads[i].real;
			unsigned int kid = c->ids[i];

			if (!kid && c->item->nr_threads > 1) {
				pr_err("Thread %d of %d has made a pid namespace that is empty yet\n", tid,
				       c->item->pid->real);
				return -1;
			}
			if (!kid)
				continue;
			if (kid == top) {
				c->ids[i] = root_item->ids->pid_ns_id;
				continue;
			}
			ns = caba_pidns_by_kid(kid);
			if (lonely && !ns && is_gone(c->item, kid, top)) {
				c->ids[i] = CHILDREN_NS_GONE;
				continue;
			}
			if (!ns || !ns->init || (ns->init->pid->state == TASK_DEAD && !lonely)) {
				pr_err("The children of %d get the pid namespace %u, which %s\n", tid, kid,
				       ns && ns->init ? "is dead" : "nobody in this tree is in");
				return -1;
			}
			c->ids[i] = ns->id;
		}
	return 0;
}

/* Such a pidfd is made by a fork, by anybody who has it open: nobody can do that who gets a dead namespace */
int caba_check_dead_pidfd(const struct fd_parms *p)
{
	struct caba_pidns *ns;
	struct children_ns *c;

	for (c = children_nses; c; c = c->next) {
		ns = caba_pidns_by_id(c->ids[0]);
		if (ns ? ns->init->pid->state != TASK_DEAD : c->ids[0] != CHILDREN_NS_GONE)
			continue;
		pr_err("Fd %d of %d is of a dead process, and the pid namespace of the children of %d is dead: not both can come back\n",
		       p->fd, p->pid, c->item->pid->real);
		return -1;
	}
	return 0;
}

/* Nobody is in there that it could be taken from */
int caba_check_ns_file(const struct fd_parms *p)
{
	struct caba_pidns *ns = caba_pidns_by_kid(p->link->ns_kid);

	if (!ns || (ns->init && ns->init->pid->state != TASK_DEAD))
		return 0;
	pr_err("Fd %d of %d is of the pid namespace %u, whose init is dead\n", p->fd, p->pid, ns->kid);
	return -1;
}

int caba_collect_ns(struct pstree_item *item, const struct births *b)
{
	static unsigned int top, owner;
	struct caba_inner *in;
	struct caba_pidns *ns;
	int fd, ret;

	if (item == root_item && (caba_ns_kid(item->pid->real, &pid_ns_desc, &top) ||
				  caba_ns_kid(item->pid->real, &user_ns_desc, &owner)))
		return -1;

	fd = open_proc(item->pid->real, "ns/pid");
	if (fd < 0)
		return -1;
	ret = find_ns(fd, item->pid->real, top, owner, &ns);
	close(fd);
	if (ret)
		return -1;
	if (item->pid->state != TASK_DEAD && collect_children_ns(item, ns ? ns->kid : top))
		return -1;
	if (b->levels != level_of(ns) + 1) {
		pr_err("%d has %u numbers in a pid namespace at level %u\n", item->pid->real, b->levels, level_of(ns));
		return -1;
	}
	if (!ns)
		return 0;

	in = add_inner(item, ns, b->pids);
	if (!in)
		return -1;
	in->sid = visible(b->sids, b->levels);
	in->pgid = visible(b->pgids, b->levels);
	if (b->pids[ns->level] == INIT_PID)
		ns->init = item;

	return item->pid->state == TASK_DEAD ? 0 : collect_tids(item);
}

/* What could not be restored, now that all are known */
int caba_check_ns(void)
{
	struct pstree_item *item;
	struct proc_pid_stat st;

	for_each_pstree_item(item) {
		struct caba_inner *in = item->inner;

		if (!in)
			continue;
		if (!in->ns->init) {
			pr_err("%d is in the pid namespace %u, whose init is not in this tree\n", item->pid->real,
			       in->ns->kid);
			return -1;
		}
		if (in->ns->init != item)
			continue;
		if (item->pid->state == TASK_DEAD) {
			if (parse_pid_stat(item->pid->real, &st) || check_init_end(item->pid->real, st.exit_code))
				return -1;
			continue;
		}
		/*
		 * When this init is killed the kernel waits for all numbers of
		 * its namespace but one. It has two.
		 */
		if (in->pgid.nr == in->ns->level + 1 && in->pgid.at[in->ns->level] != INIT_PID) {
			pr_err("%d, the init of pid namespace %u, is in the process group of %d of the same namespace, "
			       "and could never exit\n",
			       item->pid->real, in->ns->kid, in->pgid.at[in->ns->level]);
			return -1;
		}
	}
	if (check_children_ns())
		return -1;
	return 0;
}

void caba_put_children_ns(const struct pstree_item *item, PstreeEntry *e)
{
	struct children_ns *c = children_ns_of(item);

	e->n_children_ns = c ? item->nr_threads : 0;
	e->children_ns = c ? c->ids : NULL;
}

bool caba_has_pidns(void)
{
	return pidnses;
}

static int check_nums(const struct pstree_item *item, const char *what, pid_t seen, const struct caba_nums *nums)
{
	unsigned int level = item->inner->ns->level;
	pid_t own = nums->nr > level ? nums->at[level] : 0;

	if (seen == own)
		return 0;
	pr_err("%s of %d is %d for itself, but %d in /proc\n", what, item->pid->real, seen, own);
	return -1;
}

/* The parasite tells what the task itself sees: from here on we use the numbers at the root's level */
int caba_use_top(const struct pstree_item *item, uint32_t *pid, uint32_t *sid, uint32_t *pgid)
{
	struct caba_inner *in = item->inner;
	struct caba_nums nums;

	if (!in)
		return 0;
	nums = (struct caba_nums){ .nr = in->ns->level + 1, .at = in->pid };
	if (check_nums(item, "Pid", *pid, &nums) || check_nums(item, "Session", *sid, &in->sid) ||
	    check_nums(item, "Process group", *pgid, &in->pgid))
		return -1;
	*pid = in->pid[0];
	*sid = in->sid.nr ? in->sid.at[0] : 0;
	*pgid = in->pgid.nr ? in->pgid.at[0] : 0;
	return 0;
}

/* Nothing has been collected then */
int caba_use_top_predump(const struct pstree_item *item, uint32_t *pid)
{
	struct births b = {};

	if (caba_find_root_level() || caba_births_of(item->pid->real, &b) < 0)
		return -1;
	if (b.levels > 1)
		*pid = b.pids[0];
	return 0;
}

void caba_use_top_tid(const struct pstree_item *item, int thread)
{
	if (item->inner)
		item->threads[thread].ns[0].virt = item->inner->tids[thread][0];
}

/* Fields of pstree.img that only those have that are in a nested namespace */
int caba_put_inner(const struct pstree_item *item, PstreeEntry *e)
{
	struct caba_inner *in = item->inner;
	NsNumbers *nums;
	int i;

	e->n_ns_pid = e->n_ns_sid = e->n_ns_pgid = e->n_ns_threads = 0;
	e->has_pid_ns_id = !!in;
	if (!in)
		return 0;

	e->pid_ns_id = in->ns->id;
	e->n_ns_pid = in->ns->level;
	e->ns_pid = (uint32_t *)in->pid + 1;
	if (in->sid.nr > 1) {
		e->n_ns_sid = in->sid.nr - 1;
		e->ns_sid = (uint32_t *)in->sid.at + 1;
	}
	if (in->pgid.nr > 1) {
		e->n_ns_pgid = in->pgid.nr - 1;
		e->ns_pgid = (uint32_t *)in->pgid.at + 1;
	}
	if (item->pid->state == TASK_DEAD)
		return 0;

	e->ns_threads = xmalloc(item->nr_threads * (sizeof(*e->ns_threads) + sizeof(*nums)));
	if (!e->ns_threads)
		return -1;
	nums = (NsNumbers *)(e->ns_threads + item->nr_threads);
	for (i = 0; i < item->nr_threads; i++) {
		ns_numbers__init(&nums[i]);
		nums[i].n_nr = in->ns->level;
		nums[i].nr = (uint32_t *)in->tids[i] + 1;
		e->ns_threads[i] = &nums[i];
	}
	e->n_ns_threads = item->nr_threads;
	return 0;
}

/* That of a new one, from 6.14 on */
#define PID_MAX_LIMIT (sizeof(long) > 4 ? 4 << 20 : 32 << 10)

static int read_settings(void *arg)
{
	struct visit *v = arg;
	struct caba_ns_settings *s = v->seen;
	struct sysctl_req req[] = {
		{ "kernel/ns_last_pid", &s->last_pid, CTL_32 },
		{ "vm/memfd_noexec", &s->memfd_noexec, CTL_32, CTL_FLAGS_OPTIONAL },
		{ "kernel/pid_max", &s->pid_max, CTL_32 },
	};

	if (sysctl_op(req, ARRAY_SIZE(req), CTL_READ, 0))
		return 1;
	if (s->pid_max == PID_MAX_LIMIT || !has_pid_max(v))
		s->pid_max = 0;
	return 0;
}

static int dump_ns(struct caba_pidns *ns, struct caba_ns_settings *s)
{
	PidnsEntry e = PIDNS_ENTRY__INIT;
	struct cr_img *img;
	int ret;

	e.has_parent_id = true;
	e.parent_id = ns->parent ? ns->parent->id : root_item->ids->pid_ns_id;

	/* Nobody can be forked any more where the init is dead */
	*s = (struct caba_ns_settings){};
	if (ns->init->pid->state != TASK_DEAD && visit_ns(ns, read_settings, s)) {
		pr_err("Can't read the settings of pid namespace %u\n", ns->kid);
		return -1;
	}
	e.has_last_pid = s->last_pid > 0;
	e.last_pid = s->last_pid;
	e.has_memfd_noexec = s->memfd_noexec > 0;
	e.memfd_noexec = s->memfd_noexec;
	e.has_pid_max = s->pid_max > 0;
	e.pid_max = s->pid_max;

	img = open_image(CR_FD_PIDNS, O_DUMP, ns->id);
	if (!img)
		return -1;
	ret = pb_write_one(img, &e, PB_PIDNS);
	close_image(img);
	return ret;
}

int caba_dump_ns(void)
{
	struct caba_ns_settings *s;
	struct caba_pidns *ns;
	int ret = 0;

	if (!pidnses)
		return 0;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED) {
		pr_perror("Can't map the settings of pid namespaces");
		return -1;
	}
	for (ns = pidnses; ns && !ret; ns = ns->next)
		ret = dump_ns(ns, s);
	munmap(s, sizeof(*s));
	return ret;
}

/*
 * Restore
 */
struct caba_pidns *caba_pidns_by_id(unsigned int id)
{
	struct caba_pidns *ns;

	for (ns = pidnses; ns && ns->id != id; ns = ns->next)
		;
	return ns;
}

static struct caba_pidns *read_ns(unsigned int id, int level)
{
	struct caba_pidns *ns = caba_pidns_by_id(id), *parent = NULL;
	struct cr_img *img;
	PidnsEntry *e;
	int ret;

	if (ns)
		return ns;

	img = open_image(CR_FD_PIDNS, O_RSTR, id);
	if (!img)
		return NULL;
	ret = pb_read_one_eof(img, &e, PB_PIDNS);
	close_image(img);
	if (ret <= 0 || !e->has_parent_id || level == CABA_LEVELS) {
		pr_err("No parent of pid namespace %u in the image\n", id);
		if (ret > 0)
			pidns_entry__free_unpacked(e, NULL);
		return NULL;
	}
	/* The first entry is the root's, and is read before all others */
	if (e->parent_id != root_item->ids->pid_ns_id)
		parent = read_ns(e->parent_id, level + 1);
	ns = xzalloc(sizeof(*ns));
	if (ns && (parent || e->parent_id == root_item->ids->pid_ns_id)) {
		ns->id = id;
		ns->parent = parent;
		ns->level = level_of(parent) + 1;
		/* 0 where there is none in the image */
		ns->settings.last_pid = e->last_pid;
		ns->settings.memfd_noexec = e->memfd_noexec;
		ns->settings.pid_max = e->pid_max;
		ns->next = pidnses;
		pidnses = ns;
	} else {
		xfree(ns);
		ns = NULL;
	}
	pidns_entry__free_unpacked(e, NULL);
	return ns;
}

static pid_t *all_nums(pid_t top, const uint32_t *below, unsigned int nr)
{
	pid_t *res = xmalloc((nr + 1) * sizeof(*res));
	unsigned int i;

	if (!res)
		return NULL;
	res[0] = top;
	for (i = 0; i < nr; i++)
		res[i + 1] = below[i];
	return res;
}

/* Called after the ids have been read, parents first */
int caba_get_inner(struct pstree_item *item, const PstreeEntry *e)
{
	struct caba_inner *in;
	struct caba_pidns *ns;
	int i;

	if (!e->has_pid_ns_id) {
		if (!e->n_ns_pid)
			return 0;
		pr_err("%d has numbers in no pid namespace\n", vpid(item));
		return -1;
	}
	if (item == root_item || !root_item || !root_item->ids) {
		pr_err("%d is in a nested pid namespace, which nothing is above\n", vpid(item));
		return -1;
	}
	ns = read_ns(e->pid_ns_id, 1);
	if (!ns)
		return -1;
	if (e->n_ns_pid != ns->level || e->n_ns_sid > ns->level || e->n_ns_pgid > ns->level ||
	    (e->n_ns_threads && e->n_ns_threads != e->n_threads)) {
		pr_err("The numbers of %d are not those of pid namespace %u\n", vpid(item), ns->id);
		return -1;
	}
	if (item->ids && item->ids->pid_ns_id != ns->id) {
		pr_err("%d is said to be in pid namespace %u and in %u\n", vpid(item), item->ids->pid_ns_id, ns->id);
		return -1;
	}

	in = add_inner(item, ns, NULL);
	if (!in)
		return -1;
	in->pid[0] = e->pid;
	for (i = 1; i <= ns->level; i++)
		in->pid[i] = e->ns_pid[i - 1];
	in->sid = (struct caba_nums){ .nr = e->n_ns_sid + 1, .at = all_nums(e->sid, e->ns_sid, e->n_ns_sid) };
	in->pgid = (struct caba_nums){ .nr = e->n_ns_pgid + 1, .at = all_nums(e->pgid, e->ns_pgid, e->n_ns_pgid) };
	in->tids = xzalloc(e->n_threads * sizeof(*in->tids));
	if (!in->sid.at || !in->pgid.at || !in->tids)
		return -1;
	in->tids[0] = in->pid;
	for (i = 1; i < e->n_ns_threads; i++) {
		if (e->ns_threads[i]->n_nr != ns->level) {
			pr_err("The numbers of thread %u are not those of pid namespace %u\n", e->threads[i], ns->id);
			return -1;
		}
		in->tids[i] = all_nums(e->threads[i], e->ns_threads[i]->nr, ns->level);
		if (!in->tids[i])
			return -1;
	}

	if (in->pid[ns->level] == INIT_PID) {
		if (ns->init) {
			pr_err("%d and %d both are the init of pid namespace %u\n", vpid(ns->init), vpid(item), ns->id);
			return -1;
		}
		ns->init = item;
	}
	return 0;
}

int caba_get_children_ns(struct pstree_item *item, const PstreeEntry *e)
{
	struct children_ns *c;
	int i;

	if (!e->n_children_ns)
		return 0;
	if (e->n_children_ns != item->nr_threads) {
		pr_err("%d has %d threads, but %zu pid namespaces for their children\n", vpid(item), item->nr_threads,
		       e->n_children_ns);
		return -1;
	}
	if (e->children_ns[0] == CHILDREN_NS_GONE && (item->nr_threads > 1 || !kdat.has_caba)) {
		pr_err("The dead pid namespace of the children of %d needs a kernel with NScaba, and no other threads\n",
		       vpid(item));
		return -1;
	}
	c = add_children_ns(item);
	if (!c)
		return -1;
	for (i = 0; i < item->nr_threads; i++)
		c->ids[i] = e->children_ns[i];
	return 0;
}

static int children_into(pid_t pid)
{
	int fd, ret;

	fd = syscall(__NR_pidfd_open, pid, 0);
	if (fd < 0) {
		pr_perror("Can't open a pidfd of %d (number for %d)", pid, vpid(current));
		return -1;
	}
	ret = setns(fd, CLONE_NEWPID);
	if (ret)
		pr_perror("%d can't enter the pid namespace of %d (its number)", vpid(current), pid);
	close(fd);
	return ret;
}

/* Who gets a dead one, or one that will be dead, has to enter it before, when all have been forked */
bool caba_children_die(const struct pstree_item *item)
{
	struct children_ns *c = children_ns_of(item);
	struct caba_pidns *ns;

	if (!c || item->nr_threads != 1 || item == root_item)
		return false;
	ns = caba_pidns_by_id(c->ids[0]);
	return ns ? rsti(ns->init)->caba.zombie : c->ids[0] == CHILDREN_NS_GONE;
}

/* By such a one: nobody but it does anything. What is forked after that fails. */
int caba_enter_dying_ns(void)
{
	struct caba_pidns *ns = caba_pidns_by_id(children_ns_of(current)->ids[0]);
	sigset_t old;
	int status;
	pid_t pid;

	if (ns)
		return children_into(caba_nr_in(ns->init, caba_pidns_of(current)));

	/* The handler takes no child that it does not know */
	if (block_sigmask(&old, SIGCHLD))
		return -1;
	pid = unshare(CLONE_NEWPID) ? -1 : fork();
	if (!pid)
		_exit(0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		pr_perror("Can't make a dead pid namespace for the children of %d", vpid(current));
		return -1;
	}
	return restore_sigmask(&old);
}

/* The init, in the numbers of @item, of the namespace that the children of a thread get */
pid_t caba_children_init(const struct pstree_item *item, int thread)
{
	struct children_ns *c = children_ns_of(item);
	struct caba_pidns *ns;

	if (!c || !c->ids[thread] || c->ids[thread] == caba_pid_ns_id(item) || caba_children_die(item))
		return 0;
	ns = caba_pidns_by_id(c->ids[thread]);
	return ns ? caba_nr_in(ns->init, caba_pidns_of(item)) : -1;
}

/* One that is empty yet: nobody may be forked after that */
int caba_new_children_ns(const struct pstree_item *item)
{
	struct children_ns *c = children_ns_of(item);

	if (!c || c->ids[0])
		return 0;
	if (unshare(CLONE_NEWPID)) {
		pr_perror("Can't make an empty pid namespace for the children of %d", vpid(item));
		return -1;
	}
	return 0;
}

/* All have been read */
int caba_check_inner(void)
{
	struct pstree_item *item;
	struct caba_pidns *ns;

	for_each_pstree_item(item)
		if (!item->inner && item->ids && item->ids->has_pid_ns_id && root_item->ids &&
		    item->ids->pid_ns_id != root_item->ids->pid_ns_id) {
			/* Refused later, as ever */
			pr_warn("%d has no numbers in its pid namespace %u\n", vpid(item), item->ids->pid_ns_id);
		}
	if (!pidnses)
		return 0;
	for (ns = pidnses; ns; ns = ns->next)
		if (!ns->init) {
			pr_err("Pid namespace %u has no init in the image\n", ns->id);
			return -1;
		}
	if (!caba_can_nest()) {
		pr_err("Nested pid namespaces need a kernel with NScaba, and with set_tid of clone3()\n");
		return -1;
	}
	return 0;
}

unsigned int caba_pid_ns_id(const struct pstree_item *item)
{
	return item && item->inner ? item->inner->ns->id : root_item->ids->pid_ns_id;
}

/* Namespaces that CRIU's own code is not to complain about */
unsigned long caba_ns_mask(const struct pstree_item *item)
{
	return caba_nested() && item->ids->pid_ns_id == caba_pid_ns_id(item) ? CLONE_NEWPID : 0;
}

/* The numbers of a helper: the plan's ones, or any */
int caba_new_inner(struct pstree_item *item, struct caba_pidns *ns, const struct caba_nums *nums)
{
	bool given = nums && nums->nr;
	struct caba_inner *in;
	struct caba_pidns *p;

	if (!ns)
		return 0;
	if (given && nums->nr != ns->level + 1) {
		pr_err("Helper %d has %u numbers in pid namespace %u\n", vpid(item), nums->nr, ns->id);
		return -1;
	}
	in = add_inner(item, ns, given ? nums->at : NULL);
	if (!in || given)
		return in ? 0 : -1;
	in->pid[0] = vpid(item);
	for (p = ns; p; p = p->parent) {
		in->pid[p->level] = free_nr(p);
		if (in->pid[p->level] < 0)
			return -1;
	}
	return 0;
}

/* What clone3() wants: the innermost first */
unsigned int caba_set_tid(const struct pstree_item *item, int thread, pid_t *tids)
{
	struct caba_inner *in = item->inner;
	const pid_t *at;
	unsigned int i;

	if (!in) {
		tids[0] = thread ? item->threads[thread].ns[0].virt : vpid(item);
		return 1;
	}
	at = thread ? in->tids[thread] : in->pid;
	for (i = 0; i <= in->ns->level; i++)
		tids[i] = at[in->ns->level - i];
	return in->ns->level + 1;
}

/* Number of a thread, given by that at the root's level, for itself */
pid_t caba_own_tid(const struct pstree_item *item, pid_t top)
{
	int i;

	if (!item->inner)
		return top;
	for (i = 0; i < item->nr_threads; i++)
		if (item->threads[i].ns[0].virt == top)
			return item->inner->tids[i][item->inner->ns->level];
	return 0;
}

/* Those are forked by somebody above, who has to be back afterwards: threads, and other inits */
static bool put_in(struct pstree_item *child)
{
	return current && caba_pidns_of(child) != caba_pidns_of(current) && !caba_is_init(child) &&
	       !rsti(child)->caba.outside;
}

int caba_expect_end(struct pstree_item *item, int exit_code)
{
	if (!caba_is_init(item))
		return 0;
	rsti(item)->caba.killed = (exit_code & 0x7f) == SIGKILL;
	return check_init_end(vpid(item), exit_code);
}

/* As kill() of itself, for a zombie */
int caba_kill_self(int sig)
{
	char *page;
	int fd;

	if (!caba_is_init(current))
		return kill(getpid(), sig);

	/* By caba_kill_inits() */
	while (sig == SIGKILL)
		pause();

	/* Nothing is behind it */
	fd = syscall(SYS_memfd_create, "", 0);
	if (fd < 0)
		return -1;
	page = mmap(NULL, PAGE_SIZE, sig == SIGSEGV ? PROT_NONE : PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -1;
	*(volatile char *)page = 0;
	return -1;
}

/* CRIU does that, which is above all of them, when they have nothing to do any more */
int caba_kill_inits(void)
{
	struct pstree_item *item;

	for_each_pstree_item(item) {
		if (!rsti(item)->caba.killed)
			continue;
		/* -1 would be all */
		if (item->pid->real <= 0 || kill(item->pid->real, SIGKILL)) {
			pr_perror("Can't kill %d(%d)", vpid(item), item->pid->real);
			return -1;
		}
	}
	return 0;
}

int caba_enter_ns(struct pstree_item *child)
{
	if (!put_in(child))
		return 0;
	return children_into(caba_nr_in(caba_pidns_of(child)->init, caba_pidns_of(current)));
}

int caba_leave_ns(struct pstree_item *child)
{
	return put_in(child) ? children_into(getpid()) : 0;
}

static bool same_nums(const pid_t *at, const pid_t *want, unsigned int nr, unsigned int levels)
{
	unsigned int i;

	/* The first one has been looked at, and may be another one in the image: --shell-job */
	for (i = 1; i < levels; i++)
		if (at[i] != (i < nr ? want[i] : 0))
			return false;
	return true;
}

int caba_verify_ns(const struct pstree_item *item, const struct births *b)
{
	struct caba_pidns *ns = caba_pidns_of(item), *other;
	struct caba_inner *in = item->inner;
	unsigned int kid;
	int fd, ret;

	if (b->levels != level_of(ns) + 1) {
		pr_err("%d has %u numbers instead of %u\n", vpid(item), b->levels, level_of(ns) + 1);
		return -1;
	}
	if (!ns)
		return 0;
	if (!same_nums(b->pids, in->pid, b->levels, b->levels) || !same_nums(b->sids, in->sid.at, in->sid.nr, b->levels) ||
	    !same_nums(b->pgids, in->pgid.at, in->pgid.nr, b->levels)) {
		pr_err("%d has other numbers in its nested pid namespaces than in the image\n", vpid(item));
		return -1;
	}

	fd = open_proc(item->pid->real, "ns/pid");
	if (fd < 0)
		return -1;
	ret = ns_file_kid(fd, &kid);
	close(fd);
	if (ret)
		return -1;
	for (other = pidnses; other; other = other->next)
		if (other == ns ? ns->kid && ns->kid != kid : other->kid == kid) {
			pr_err("%d is in another pid namespace than in the image\n", vpid(item));
			return -1;
		}
	ns->kid = kid;
	return 0;
}

static int set_setting(char *name, int value)
{
	int now = -1;
	struct sysctl_req req = { name, &now, CTL_32, CTL_FLAGS_OPTIONAL };

	if (sysctl_op(&req, 1, CTL_READ, 0))
		return -1;
	if (now == value)
		return 0;
	now = value;
	req.flags = 0;
	return sysctl_op(&req, 1, CTL_WRITE, 0);
}

static int set_settings(void *arg)
{
	struct visit *v = arg;
	struct caba_ns_settings *s = &v->ns->settings;
	int pid_max, last = s->last_pid;
	struct sysctl_req req = { "kernel/pid_max", &pid_max, CTL_32 };

	if (sysctl_op(&req, 1, CTL_READ, 0))
		return 1;
	/* Above it the next one is the first that is free, all the same */
	if (last > pid_max)
		last = pid_max;
	if (last && set_setting("kernel/ns_last_pid", last)) {
		pr_err("Can't set ns_last_pid of pid namespace %u to %d\n", v->ns->id, last);
		return 1;
	}
	if (s->memfd_noexec && set_setting("vm/memfd_noexec", s->memfd_noexec)) {
		pr_err("Can't set memfd_noexec of pid namespace %u to %d\n", v->ns->id, s->memfd_noexec);
		return 1;
	}
	if (s->pid_max && (!has_pid_max(v) || set_setting("kernel/pid_max", s->pid_max))) {
		pr_err("Can't set pid_max of pid namespace %u to %d\n", v->ns->id, s->pid_max);
		return 1;
	}
	return 0;
}

/* By CRIU, when all threads are there and all memfds are made, and nobody goes on yet */
int caba_set_ns(void)
{
	struct caba_pidns *ns;

	for (ns = pidnses; ns; ns = ns->next)
		if ((ns->settings.last_pid || ns->settings.memfd_noexec || ns->settings.pid_max) &&
		    visit_ns(ns, set_settings, NULL))
			return -1;
	return 0;
}
