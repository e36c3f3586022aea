/*
 * What a dump can know that a restore could not do.
 *
 * A dump kills the tree. So it has to look, before, at those who do not belong
 * to the tree: they may keep pids in use that the restore will need, or die
 * with the tree without being in any image. Then the dump is refused, with
 * names and the way out, and everybody goes on.
 *
 * Only the tree is frozen, so others may come or go after we have looked.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/nsfs.h>

#include "types.h"
#include "common/list.h"
#include "caba.h"
#include "caba-ns.h"
#include "caba-plan.h"
#include "cgroup.h"
#include "cr_options.h"
#include "crtools.h"
#include "kerndat.h"
#include "namespaces.h"
#include "plugin.h"
#include "pstree.h"
#include "seccomp.h"
#include "seize.h"
#include "stats.h"
#include "util.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* The root's pid namespace */
static struct stat root_ns;
static bool all_in_root_ns; /* who is seen by criu */
static bool root_is_init;

struct numbers {
	pid_t *nr; /* sorted by sort_numbers() */
	unsigned int n;
};

static int cmp_pid(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void sort_numbers(struct numbers *s)
{
	qsort(s->nr, s->n, sizeof(*s->nr), cmp_pid);
}

static bool has_number(struct numbers *s, pid_t nr)
{
	return nr && bsearch(&nr, s->nr, s->n, sizeof(nr), cmp_pid);
}

static bool is_root_ns(const struct stat *st)
{
	return st->st_dev == root_ns.st_dev && st->st_ino == root_ns.st_ino;
}

static bool is_nested_ns(const struct stat *st)
{
	return caba_pidns_by_kid(st->st_ino);
}

/* The innermost pid namespace of @pid that @is one of ours, 0 without */
static ino_t find_pid_ns(int proc, pid_t pid, bool (*is)(const struct stat *st))
{
	char path[32];
	struct stat st;
	ino_t found = 0;
	int fd, up;

	snprintf(path, sizeof(path), "%d/ns/pid", pid);
	fd = openat(proc, path, O_RDONLY);
	while (fd >= 0 && !fstat(fd, &st)) {
		if (is(&st)) {
			found = st.st_ino;
			break;
		}
		/* Not beyond criu's own one */
		up = ioctl(fd, NS_GET_PARENT);
		close(fd);
		fd = up;
	}
	close_safe(&fd);
	return found;
}

/* Is @pid in the root's pid namespace, or in one below? */
static bool in_root_ns(int proc, pid_t pid)
{
	return all_in_root_ns || find_pid_ns(proc, pid, is_root_ns);
}

static bool kills_others(void)
{
	return root_is_init || caba_has_pidns();
}

/* The init that @pid dies with when the tree is killed, NULL without */
static const struct pstree_item *dies_with(int proc, pid_t pid)
{
	ino_t kid;

	if (root_is_init)
		return in_root_ns(proc, pid) ? root_item : NULL;
	kid = caba_has_pidns() ? find_pid_ns(proc, pid, is_nested_ns) : 0;
	return kid ? caba_pidns_by_kid(kid)->init : NULL;
}

static int stat_pid_ns(pid_t pid, struct stat *st)
{
	int fd, ret;

	fd = open_proc(pid, "ns/pid");
	if (fd < 0)
		return -1;
	ret = fstat(fd, st);
	if (ret)
		pr_perror("Can't stat the pid namespace of %d", pid);
	close(fd);
	return ret;
}

/* How many are in the root's pid namespace, or below, that are not in the tree and that @counts? */
typedef bool (*outsider_t)(int proc, pid_t pid, struct births *b, void *arg);

static int nr_outsiders(struct numbers *tree, outsider_t counts, void *arg)
{
	struct dirent *de;
	struct births b;
	int nr = 0, fd;
	char path[32];
	DIR *dir;

	dir = opendir_proc(PROC_GEN, ".");
	if (!dir)
		return -1;

	while ((de = readdir(dir))) {
		pid_t pid = atoi(de->d_name);

		if (pid <= 0 || pid == getpid() || has_number(tree, pid))
			continue;

		/* It may go meanwhile, which is fine */
		snprintf(path, sizeof(path), "%d/status", pid);
		fd = openat(dirfd(dir), path, O_RDONLY);
		if (fd < 0 || caba_read_births(fd, &b) != 1)
			continue;
		if (b.ppid != getpid() && in_root_ns(dirfd(dir), pid) && counts(dirfd(dir), pid, &b, arg))
			nr++;
	}

	closedir(dir);
	return nr;
}

/* Who is killed together with the init of its pid namespace */
static bool is_foreign(int proc, pid_t pid, struct births *b, void *arg)
{
	const struct pstree_item *init = dies_with(proc, pid);

	if (!init)
		return false;
	if (opts.skip_foreign_tasks)
		pr_warn("%d(%d, %s) is left behind\n", b->pid, pid, b->comm);
	else
		pr_err("%d(%d, %s) is in the pid namespace of %d, but is not below it: its parent is %d\n", b->pid, pid,
		       b->comm, init->pid->real, b->ppid);
	return true;
}

struct needed {
	struct numbers tree;  /* by get_tree() */
	struct numbers tasks; /* the same in their pid namespace */
	struct numbers gone;  /* leaders of their groups and sessions that are not in the tree */
};

static bool is_busy(int proc, pid_t pid, struct births *b, void *arg)
{
	struct needed *need = arg;
	const char *what;
	pid_t nr;

	if (has_number(&need->gone, b->pid)) {
		pr_err("%d(%d, %s) leads a session or group of the tree, but is not in the tree\n", b->pid, pid,
		       b->comm);
		return true;
	}

	if (has_number(&need->tasks, b->sid) || has_number(&need->gone, b->sid)) {
		what = "session";
		nr = b->sid;
	} else if (has_number(&need->tasks, b->pgid) || has_number(&need->gone, b->pgid)) {
		what = "group";
		nr = b->pgid;
	} else {
		return false;
	}

	pr_err("%d(%d, %s) is in %s %d of the tree, but is not in the tree: %sits parent is %d\n", b->pid, pid,
	       b->comm, what, nr, has_number(&need->tree, b->caba) ? "it was born there, and " : "",
	       b->ppid);
	return true;
}

static int alloc_numbers(struct numbers *s, unsigned int max)
{
	s->n = 0;
	s->nr = xmalloc(max * sizeof(*s->nr));
	return s->nr ? 0 : -1;
}

/* The pids of the tree, as criu sees them */
static int get_tree(struct numbers *s)
{
	struct pstree_item *item;
	unsigned int nr = 0;

	for_each_pstree_item(item)
		nr++;
	if (alloc_numbers(s, nr))
		return -1;
	for_each_pstree_item(item)
		s->nr[s->n++] = item->pid->real;
	sort_numbers(s);
	return 0;
}

/*
 * The processes are killed, but a pid stays in use as long as anybody has it
 * for a session or group.
 */
static int check_busy(struct caba_forest *f, struct needed *need)
{
	struct caba_node *n, *root = f->nodes;
	unsigned int i;
	int nr;

	for (i = 0; i < f->nr_tasks; i++) {
		n = &f->nodes[i];
		/* What a shell job has from above is another one after the restore */
		if (n->sid != root->sid && !has_number(&need->tasks, n->sid))
			need->gone.nr[need->gone.n++] = n->sid;
		if (n->pgid != root->pgid && n->pgid != root->sid && !has_number(&need->tasks, n->pgid))
			need->gone.nr[need->gone.n++] = n->pgid;
	}
	sort_numbers(&need->gone);

	nr = nr_outsiders(&need->tree, is_busy, need);
	if (nr <= 0)
		return nr;
	pr_err("The pids of %d would not be free here for a restore. Dump the tree that has all of them, or "
	       "use --" OPT_ALLOW_BUSY_PIDS " to restore it elsewhere\n",
	       root_item->pid->real);
	return -1;
}

static int check_foreign(struct needed *need)
{
	int nr;

	nr = nr_outsiders(&need->tree, is_foreign, NULL);
	if (nr <= 0 || opts.skip_foreign_tasks)
		return nr < 0 ? -1 : 0;
	pr_err("They would be killed with the tree of %d, and be in no image. Use --" OPT_SKIP_FOREIGN_TASKS " to leave them behind\n",
	       root_item->pid->real);
	return -1;
}

int caba_check_outside(struct caba_forest *f)
{
	struct needed need = {};
	struct stat own;
	unsigned int i;
	int ret = -1;

	if (stat_pid_ns(root_item->pid->real, &root_ns) || stat_pid_ns(getpid(), &own))
		return -1;
	all_in_root_ns = own.st_dev == root_ns.st_dev && own.st_ino == root_ns.st_ino;
	root_is_init = f->nodes->pid == INIT_PID && !all_in_root_ns;

	if (get_tree(&need.tree) || alloc_numbers(&need.tasks, f->nr_tasks) ||
	    alloc_numbers(&need.gone, 2 * f->nr_tasks))
		goto out;

	for (i = 0; i < f->nr_tasks; i++)
		need.tasks.nr[need.tasks.n++] = f->nodes[i].pid;
	sort_numbers(&need.tasks);

	ret = kills_others() ? check_foreign(&need) : 0;
	if (!ret && !root_is_init && !opts.allow_busy_pids)
		ret = check_busy(f, &need);
out:
	xfree(need.tree.nr);
	xfree(need.tasks.nr);
	xfree(need.gone.nr);
	return ret;
}

/* A zombie of a pid namespace that is killed, and for somebody outside to reap */
static bool is_held(int proc, pid_t pid, struct births *b, void *arg)
{
	const struct pstree_item *init;

	if (b->state != 'Z' || has_number(arg, b->ppid))
		return false;
	init = dies_with(proc, pid);
	if (!init || dies_with(proc, b->ppid))
		return false;

	pr_warn("%d ends when %d has waited for %d(%d, %s)\n", init->pid->real, b->ppid, b->pid, pid, b->comm);
	return true;
}

static bool held_from_outside(void)
{
	struct numbers tree;
	bool held;

	held = !get_tree(&tree) && nr_outsiders(&tree, is_held, &tree) > 0;
	xfree(tree.nr);
	return held;
}

/*
 * As wait4(-1), for who has been killed. The init of a pid namespace ends last
 * of all in there. If that is held up by a parent outside, there is no reason
 * to wait for it: it is dead all the same. Returns 0 then.
 */
pid_t caba_wait_killed(int *status)
{
	struct timespec second = { .tv_sec = 1 };
	sigset_t chld, old;
	pid_t pid;

	if (!kills_others())
		return wait4(-1, status, __WALL, NULL);

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &chld, &old)) {
		pr_perror("Can't block SIGCHLD");
		return -1;
	}

	while (!(pid = wait4(-1, status, __WALL | WNOHANG, NULL)))
		if (sigtimedwait(&chld, NULL, &second) < 0 && errno == EAGAIN && held_from_outside())
			break;

	if (sigprocmask(SIG_SETMASK, &old, NULL))
		pr_perror("Can't unblock SIGCHLD");
	return pid;
}

/* Freezes the tree, and lets it go on: nobody is infected, and nothing is written */
int cr_dump_dry_run(pid_t pid)
{
	InventoryEntry he = INVENTORY_ENTRY__INIT;
	unsigned int alive = 0, zombies = 0;
	struct pstree_item *item;
	int ret = -1;

	if (!kdat.has_caba)
		pr_warn("Without births (NScaba in /proc/<pid>/status) there is little to be found out\n");

	root_item = alloc_pstree_item();
	if (!root_item)
		return -1;
	root_item->pid->real = pid;

	/* Which namespaces are criu's own? */
	if (init_stats(DUMP_STATS) || cr_plugin_init(CR_PLUGIN_STAGE__DUMP) || parse_cg_info() ||
	    prepare_inventory(&he) || setup_alarm_handler())
		goto out;

	if (collect_pstree() || collect_pstree_ids() || caba_collect())
		goto out;

	for_each_pstree_item(item)
		*(item->pid->state == TASK_DEAD ? &zombies : &alive) += 1;
	ret = 0;
out:
	/* As after a dump that has failed */
	cr_plugin_fini(CR_PLUGIN_STAGE__DUMP, -1);
	pstree_switch_state(root_item, TASK_ALIVE);
	free_pstree(root_item);
	seccomp_free_entries();
	if (ret)
		pr_msg("The tree of %d would not be dumped\n", pid);
	else
		pr_msg("The tree of %d, %u tasks and %u zombies, could be restored as far as births, sessions and pids go\n",
		       pid, alive, zombies);
	return ret;
}
