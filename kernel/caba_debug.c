// SPDX-License-Identifier: GPL-2.0
/*
 * Is the CABA tree sound? Reading caba/check in debugfs walks it whole:
 *
 *  - each process is on exactly one list, that of its CABA;
 *  - the line up from each process ends at init_task;
 *  - the CABA is in the process's pid namespace or in an ancestor of it;
 *  - nobody hangs below a process that is dead, unless it oopsed in do_exit();
 *  - threads carry no state of their own.
 *
 * The first line is "<number of processes> ok", or the first violation with
 * the pids, in the initial namespace, of those concerned.
 */

#include <linux/caba.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>

struct caba_check {
	const char *what;
	pid_t pid;
	pid_t other;
};

static int violation(struct caba_check *c, const char *what,
		     struct task_struct *p, struct task_struct *other)
{
	c->what = what;
	c->pid = p->pid;
	c->other = other ? other->pid : -1;
	return -1;
}

static bool in_tree(struct task_struct *p)
{
	return p == &init_task || (thread_group_leader(p) && pid_alive(p));
}

static int check_threads(struct caba_check *c, struct task_struct *g)
{
	struct task_struct *t;
	bool dead = true;

	for_each_thread(g, t) {
		/*
		 * EXIT_DEAD is who is about to be released, or who oopsed
		 * inside do_exit(): that one stays, and so does its process,
		 * which may never have come to hand its CABDs up.
		 */
		if (!t->exit_state || t->exit_state == EXIT_DEAD)
			dead = false;
		if (t == g)
			continue;
		if (!hlist_empty(&t->cabds))
			return violation(c, "a thread has CABDs", t, g);
		if (!hlist_unhashed(&t->cabd))
			return violation(c, "a thread is on a list", t, g);
		/* A leader replaced by exec keeps its pointer for readers. */
		if (t->exit_state != EXIT_DEAD && caba_locked(t))
			return violation(c, "a thread has a CABA", t, g);
	}
	if (dead && !hlist_empty(&g->cabds))
		return violation(c, "a dead process has CABDs", g,
				 hlist_entry(g->cabds.first, struct task_struct,
					     cabd));
	return 0;
}

static int check_process(struct caba_check *c, struct task_struct *g)
{
	struct task_struct *caba = caba_locked(g);

	if (!caba)
		return violation(c, "a process has no CABA", g, NULL);
	if (hlist_unhashed(&g->cabd))
		return violation(c, "a process is on no list", g, caba);
	if (!in_tree(caba))
		return violation(c, "a CABA is no process", g, caba);
	if (!task_pid_nr_ns(g, task_active_pid_ns(caba)))
		return violation(c, "a CABA is in a namespace below", g, caba);
	return check_threads(c, g);
}

/*
 * Down by the lists, up by ->caba, each edge once: whoever is met has a line
 * up that ends at init_task, and who hangs on a cycle is not met.
 */
static int check_edges(struct caba_check *c, unsigned int processes)
{
	struct task_struct *g = &init_task, *p;
	struct hlist_node *next = g->cabds.first;
	unsigned int met = 0;

	for (;;) {
		while (!next) {
			if (g == &init_task)
				goto out;
			next = g->cabd.next;
			g = caba_locked(g);
		}
		p = hlist_entry(next, struct task_struct, cabd);
		if (!in_tree(p))
			return violation(c, "a CABD is no process", p, g);
		if (caba_locked(p) != g)
			return violation(c, "a CABD has another CABA", p, g);
		if (++met > processes)
			return violation(c, "more CABDs than processes", p, g);
		g = p;
		next = g->cabds.first;
	}
out:
	if (met != processes)
		return violation(c, "fewer CABDs than processes", g, NULL);
	return 0;
}

static unsigned int check_tree(struct caba_check *c)
{
	unsigned int processes = 0;
	struct task_struct *g;

	read_lock(&tasklist_lock);
	if (caba_locked(&init_task) || !hlist_unhashed(&init_task.cabd)) {
		violation(c, "init_task has a CABA", &init_task, NULL);
		goto out;
	}
	for_each_process(g) {
		if (check_process(c, g))
			goto out;
		processes++;
	}
	check_edges(c, processes);
out:
	read_unlock(&tasklist_lock);
	return processes;
}

static int check_show(struct seq_file *m, void *unused)
{
	struct caba_check c = {};
	unsigned int processes = check_tree(&c);

	if (!c.what)
		seq_printf(m, "%u ok\n", processes);
	else if (c.other < 0)
		seq_printf(m, "%s: %d\n", c.what, c.pid);
	else
		seq_printf(m, "%s: %d and %d\n", c.what, c.pid, c.other);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(check);

static int __init caba_debug_init(void)
{
	debugfs_create_file("check", 0400, debugfs_create_dir("caba", NULL),
			    NULL, &check_fops);
	return 0;
}
late_initcall(caba_debug_init);
