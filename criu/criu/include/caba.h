#ifndef __CR_CABA_H__
#define __CR_CABA_H__

#include <stdbool.h>
#include <sys/types.h>

#include "common/lock.h"

struct caba_forest;
struct caba_node;
struct mount_info;
struct pstree_item;
struct TaskCoreEntry;

/*
 * Births on restore, see criu/caba.c. Lives in rst_info.
 */
struct rst_caba {
	bool known; /* was in the image: */
	pid_t pid;
	bool zombie;
	bool killed;

	struct pstree_item *parent; /* once all who leave have left */
	struct pstree_item *heir;   /* who gets the children when this one leaves */
	bool leaves;		    /* a helper that exits before CR_STATE_RESTORE */
	bool sibling;		    /* of its creator */
	bool outside;		    /* a helper that is forked outside */
	struct pstree_item *keeper; /* stays in the group of this one, which leaves it */
	bool keeps_group;
	struct caba_node *node;	    /* of the plan */
	futex_t done;		    /* how many of its events */
	futex_t ended;		    /* who was forked outside */
	struct pstree_item *deputy; /* forks for this one, which has to stay */
	struct pstree_item *acts_for;

	/* Orders from the root task, while the helpers leave */
	bool on_call;
	futex_t order;
	struct pstree_item *subject;
	struct mount_info *proc; /* that an init has to make */
	int proc_fd;		 /* in the fdstore */
};

#define CABA_LEVELS 33 /* MAX_PID_NS_LEVEL, and the first one */

struct births {
	pid_t ppid; /* as seen by criu */
	pid_t caba; /* as seen by criu, 0 when outside of its sight */
	pid_t pid;  /* these are the ones of the root's pid namespace */
	pid_t pgid;
	pid_t sid;

	/* The same and those below, 0 where not visible */
	unsigned int levels;
	pid_t pids[CABA_LEVELS];
	pid_t pgids[CABA_LEVELS];
	pid_t sids[CABA_LEVELS];
	char state;
	char comm[16];
};

extern int caba_read_births(int fd, struct births *b);
extern int caba_births_of(pid_t pid, struct births *b);
extern int caba_find_root_level(void);
extern bool kernel_has_caba(void);

/* Dump */
extern bool caba_dumped;
extern int caba_collect(void);
extern int caba_collect_exit_signals(struct caba_node *nodes, unsigned int nr);
extern int caba_check_outside(struct caba_forest *f);
extern int caba_check_dead_proc(pid_t pid);
extern pid_t caba_wait_killed(int *status);
extern int setup_alarm_handler(void); /* cr-dump.c */

/* Restore */
extern bool caba_planned;
extern int caba_prepare_pstree(void);
extern int caba_keep_helper(struct pstree_item *helper);
extern int caba_check_state(struct pstree_item *item, const struct TaskCoreEntry *tc);
extern bool caba_nested(void);
extern int caba_act(int (*fork_item)(struct pstree_item *), void (*restore_sid)(void));
extern int caba_join_group(void);
extern pid_t caba_own_sid(struct pstree_item *item);
extern unsigned long caba_clone_flags(struct pstree_item *item);
extern bool caba_leaves(struct pstree_item *item);
extern int caba_make_group(void);
extern int caba_prepare_leaving(void);
extern int caba_finish_forking(void);
extern int caba_reparent(void);

/* Births from outside */
extern bool caba_can_be_outside(void);
extern int caba_prepare_outside(void);
extern bool caba_outside(void);
extern bool caba_is_outsider(pid_t pid);
extern pid_t caba_clone_root(int (*fn)(void *), void *arg, unsigned long flags);
extern int caba_fork_outside(struct pstree_item *item, pid_t init, int (*fork_item)(struct pstree_item *));
extern int caba_fork_all_outside(int (*fork_item)(struct pstree_item *));
extern void caba_part_from_outside(void);
extern void caba_outside_is_over(void);

extern int caba_verify(void);
extern int caba_verify_exit_signal(struct pstree_item *item);
extern pid_t caba_foreground(struct pstree_item *leader, pid_t pgrp);

#endif /* __CR_CABA_H__ */
