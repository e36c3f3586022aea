/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_CABA_H
#define _LINUX_CABA_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/types.h>

struct pid;

/*
 * Closest Alive Born Ancestor: see kernel/caba.c.
 *
 * One call for each event in the life of a task. All but caba_init() and
 * caba_tgid() are called with tasklist_lock held for writing.
 */
#ifdef CONFIG_CABA
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
	INIT_LIST_HEAD(&p->cabds);
	INIT_LIST_HEAD(&p->cabd);
}

void caba_fork(struct task_struct *p, u64 clone_flags);
void caba_exec(struct task_struct *leader, struct task_struct *tsk);
void caba_exit(struct task_struct *tsk, bool group_dead);
void caba_release(struct task_struct *p);
struct pid *caba_tgid(struct task_struct *p);
#else
static inline void caba_init(struct task_struct *p)
{
}

static inline void caba_fork(struct task_struct *p, u64 clone_flags)
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
