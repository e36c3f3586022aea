/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_CABA_H
#define _LINUX_CABA_H

#include <linux/bug.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/types.h>

struct pid;

/*
 * Closest Alive Born Ancestor: see kernel/caba.c.
 *
 * One call for each event in the life of a task. All but caba_init() and
 * caba_tgid() are called with tasklist_lock held for writing.
 */
#ifdef CONFIG_CABA
void caba_hand_over(struct task_struct *from, struct task_struct *to);
void caba_fork(struct task_struct *p);
void caba_exec(struct task_struct *leader, struct task_struct *tsk);

/* ->caba for those who hold tasklist_lock. */
static inline struct task_struct *caba_locked(struct task_struct *p)
{
	return rcu_dereference_protected(p->caba,
					 lockdep_is_held(&tasklist_lock));
}

/**
 * caba_init - a task has been duplicated
 * @p: the new task: a process, a thread or an idle task
 *
 * The copy must not look as if it stood in the tree. Threads and idle tasks
 * stay like this for life, processes until caba_fork().
 *
 * Context: @p is not visible to anyone yet.
 */
static inline void caba_init(struct task_struct *p)
{
	RCU_INIT_POINTER(p->caba, NULL);
	INIT_HLIST_NODE(&p->cabd);
	INIT_HLIST_HEAD(&p->cabds);
}

/**
 * caba_exit - a thread exits
 * @tsk: the thread
 * @group_dead: no thread of its process is left alive
 *
 * The death of a thread changes nothing. When the last one dies the CABDs go
 * to the process's own CABA. That one is alive: had it died before, it would
 * have handed this process up.
 *
 * Called first of all in exit_notify(), so whoever learns of the death by
 * wait(), SIGCHLD or a pidfd sees the new tree. A pid namespace's init hands
 * over before it drops the lock to wait for its children, unless other
 * threads of it are still dying: then the last one does.
 *
 * Who oopses inside do_exit() before this call stays hashed for ever, and the
 * CABA of its CABDs.
 *
 * Context: tasklist_lock held for writing.
 */
static inline void caba_exit(struct task_struct *tsk, bool group_dead)
{
	struct task_struct *leader = tsk->group_leader;

	lockdep_assert_held_write(&tasklist_lock);
	if (group_dead && !hlist_empty(&leader->cabds))
		caba_hand_over(leader, caba_locked(leader));
}

/**
 * caba_release - a process is unhashed
 * @p: leader of the thread group, being reaped
 *
 * It has no CABDs, for it died before. Should it, they are handed up now: a
 * bug elsewhere may leave a wrong tree, but no pointer to a freed task.
 *
 * Context: tasklist_lock held for writing.
 */
static inline void caba_release(struct task_struct *p)
{
	lockdep_assert_held_write(&tasklist_lock);
	if (WARN_ON_ONCE(!hlist_empty(&p->cabds)))
		caba_hand_over(p, caba_locked(p));
	hlist_del_init(&p->cabd);
}

struct pid *caba_tgid(struct task_struct *p);
#else
static inline void caba_init(struct task_struct *p)
{
}

static inline void caba_fork(struct task_struct *p)
{
}

static inline void caba_exec(struct task_struct *leader,
			     struct task_struct *tsk)
{
}

static inline void caba_exit(struct task_struct *tsk, bool group_dead)
{
}

static inline void caba_release(struct task_struct *p)
{
}

static inline struct pid *caba_tgid(struct task_struct *p)
{
	return NULL;
}
#endif /* CONFIG_CABA */

#endif /* _LINUX_CABA_H */
