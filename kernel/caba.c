// SPDX-License-Identifier: GPL-2.0
/*
 * Closest Alive Born Ancestor (CABA)
 *
 * Reparenting forgets where a process was born. This tree remembers: the CABA
 * of a process is the nearest process up its line of births that still lives.
 *
 * The tree is one of processes. Its fields in task_struct are used on thread
 * group leaders only: ->caba points to the leader of the CABA, ->cabds heads
 * the list of the processes whose CABA this is, in no order, ->cabd is the node
 * on that list. init_task is the root, its ->caba is NULL.
 *
 * Everything is written under tasklist_lock held for writing. ->caba may be
 * read under RCU, the lists only under tasklist_lock. What makes that safe:
 *
 *  - A process is linked where it becomes visible, after the last point at
 *    which fork can fail, and unlinked where it is unhashed.
 *  - A process that dies hands its CABDs up before anyone is told of its
 *    death, and nobody can be born below it any more: its threads are all
 *    past the point where they could fork.
 *  - So on every list stand hashed processes only, and the ->caba of a hashed
 *    process points to a hashed one. Whoever finds a leader by its TGID under
 *    RCU may follow ->caba: its target is unhashed later, hence freed only
 *    after the reader is done.
 *
 * Who is unhashed keeps a ->caba that nobody maintains, as it does with
 * ->real_parent.
 *
 * ->caba is written without a barrier, as ->real_parent is. It only ever comes
 * to point to a task that was published under the same lock, and what readers
 * take from there, the TGID, was set before that and is only cleared since.
 */

#include <linux/bug.h>
#include <linux/caba.h>
#include <linux/list.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

/**
 * caba_hand_over - give all CABDs of a process to another one
 * @from: leader of the thread group that has them
 * @to: leader of the one that gets them
 *
 * Context: tasklist_lock held for writing.
 */
void caba_hand_over(struct task_struct *from, struct task_struct *to)
{
	struct hlist_node *node, *last = NULL;
	struct task_struct *p;

	if (WARN_ON_ONCE(from == to))
		return;
	hlist_for_each(node, &from->cabds) {
		p = hlist_entry(node, struct task_struct, cabd);
		RCU_INIT_POINTER(p->caba, to);
		last = node;
	}
	if (!last)
		return;
	/* As hlist_splice_init() does, which 6.1 has not. */
	last->next = to->cabds.first;
	if (last->next)
		last->next->pprev = &last->next;
	hlist_move_list(&from->cabds, &to->cabds);
}

/**
 * caba_fork - a process is born
 * @p: leader of the new thread group
 *
 * Its CABA is the process of current, which creates it, also with CLONE_PARENT:
 * as its session, which comes from current, too. So the leader of a session, if
 * it lives, is on the line of births of each member. The creator is alive, so
 * its process has not handed its CABDs up yet.
 *
 * Context: tasklist_lock held for writing, before @p's TGID is attached.
 */
void caba_fork(struct task_struct *p)
{
	struct task_struct *caba = current->group_leader;

	lockdep_assert_held_write(&tasklist_lock);
	RCU_INIT_POINTER(p->caba, caba);
	hlist_add_head(&p->cabd, &caba->cabds);
}

/**
 * caba_exec - a thread that is not the leader takes over its process
 * @leader: the leader until now; a zombie, the last other thread
 * @tsk: the thread that execs and becomes the leader
 *
 * A reader may have found @leader and not yet read its ->caba, so that one is
 * left as it is.
 *
 * Context: tasklist_lock held for writing, before the TGID is transferred:
 * whoever finds @tsk by it finds its ->caba too.
 */
void caba_exec(struct task_struct *leader, struct task_struct *tsk)
{
	struct task_struct *caba = caba_locked(leader);

	lockdep_assert_held_write(&tasklist_lock);
	RCU_INIT_POINTER(tsk->caba, caba);
	hlist_del_init(&leader->cabd);
	hlist_add_head(&tsk->cabd, &caba->cabds);
	caba_hand_over(leader, tsk);
}

/* Looked up by the TGID: ->group_leader may be unhashed while it is read. */
static struct task_struct *leader_of(struct task_struct *p)
{
	return pid_task(READ_ONCE(p->signal->pids[PIDTYPE_TGID]), PIDTYPE_TGID);
}

/**
 * caba_tgid - which process is the CABA of a task's process
 * @p: any task: a leader, a thread, a zombie, a thread that is released already
 *
 * While a thread execs, the TGID leads to the old leader or to the new one,
 * both with the right ->caba.
 *
 * Context: rcu_read_lock() held, the result is valid until it is dropped. May
 * take tasklist_lock for reading.
 * Return: the TGID's struct pid; init_task's, whose number is 0, for those
 * that init_task created; NULL if @p's process has been released, and for
 * init_task and the idle tasks, which nobody finds by a TGID.
 */
struct pid *caba_tgid(struct task_struct *p)
{
	struct task_struct *leader, *caba;
	struct pid *pid;
	int i;

	for (i = 0; i < 4; i++) {
		leader = leader_of(p);
		if (!leader)
			return NULL;
		caba = rcu_dereference(leader->caba);
		pid = READ_ONCE(caba->signal->pids[PIDTYPE_TGID]);
		if (pid)
			return pid;
		/* Released just now: then @leader has another CABA already. */
	}

	/* That often? Now nobody is released. */
	read_lock(&tasklist_lock);
	leader = leader_of(p);
	pid = leader ? caba_locked(leader)->signal->pids[PIDTYPE_TGID] : NULL;
	WARN_ON_ONCE(leader && !pid);
	read_unlock(&tasklist_lock);

	return pid;
}
