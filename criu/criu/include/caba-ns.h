#ifndef __CR_CABA_NS_H__
#define __CR_CABA_NS_H__

#include <stdbool.h>
#include <sys/types.h>

#include "caba.h"
#include "caba-plan.h"

/*
 * Pid namespaces below the root's one, see caba-ns.c.
 *
 * A process has one number in each namespace from the root's down to its own.
 * The first one is its name everywhere: vpid(). The others only matter where
 * a number goes into a system call made in a deeper namespace, or comes from
 * one.
 */
struct pstree_item;
struct mount_info;
struct ns_desc;
struct stat;
struct PstreeEntry;
struct MntEntry;
struct FownEntry;
struct PidfdEntry;
struct fd_parms;

/* What is in /proc/sys for those in there, 0 where that is as in a new one */
struct caba_ns_settings {
	int last_pid;
	int memfd_noexec;
	int pid_max;
};

struct caba_pidns {
	unsigned int id;	   /* in the images */
	unsigned int kid;	   /* on dump: inode */
	unsigned int level;	   /* 1 for those just below the root's one */
	struct caba_pidns *parent; /* NULL for the root's one */
	struct pstree_item *init;
	struct caba_ns *plan;

	/* The numbers that are taken, sorted */
	pid_t *used;
	unsigned int nr_used;
	unsigned int next_used;
	pid_t last_free;

	struct caba_ns_settings settings; /* on restore */

	struct caba_pidns *next;
};

/* What only those have that are in a nested namespace: numbers from the root's level down */
struct caba_inner {
	struct caba_pidns *ns;
	pid_t *pid;
	struct caba_nums sid; /* as far as visible */
	struct caba_nums pgid;
	pid_t **tids; /* of each thread */
};

/* Either */
extern struct caba_pidns *caba_pidns_of(const struct pstree_item *item);
extern bool caba_ns_holds(const struct caba_pidns *outer, const struct caba_pidns *inner);
extern pid_t caba_nr_in(const struct pstree_item *item, const struct caba_pidns *ns);
extern pid_t caba_own_pid(const struct pstree_item *item);
extern pid_t caba_self(void);
extern bool caba_is_init(const struct pstree_item *item);
extern int caba_plan_ns(struct caba_forest *f);
extern void caba_fill_nodes(struct caba_node *nodes, unsigned int nr);

/* Dump */
extern bool caba_can_nest(void);
extern int caba_collect_ns(struct pstree_item *item, const struct births *b);
extern int caba_check_ns(void);
extern int caba_use_top(const struct pstree_item *item, uint32_t *pid, uint32_t *sid, uint32_t *pgid);
extern int caba_use_top_predump(const struct pstree_item *item, uint32_t *pid);
extern void caba_use_top_tid(const struct pstree_item *item, int thread);
extern int caba_put_inner(const struct pstree_item *item, struct PstreeEntry *e);
extern void caba_put_children_ns(const struct pstree_item *item, struct PstreeEntry *e);
extern bool caba_has_pidns(void);
extern struct caba_pidns *caba_pidns_by_kid(unsigned int kid);
extern int caba_put_proc(struct mount_info *pm, struct MntEntry *me);
extern int caba_ns_kid(pid_t pid, struct ns_desc *nd, unsigned int *kid);
extern int caba_check_file(struct mount_info *mi, const char *path, const struct stat *st);
extern int caba_check_mapping(int mnt_id);
extern int caba_dump_ns(void);
extern int caba_dump_owner(int lfd, struct fd_parms *p);
extern pid_t caba_top_pid(pid_t real, pid_t last);
extern int caba_dump_tty(int lfd, const struct fd_parms *p, bool master, bool ctty, pid_t *sid, pid_t *pgrp);
extern int caba_check_autofs(pid_t real);
extern int caba_check_dead_pidfd(const struct fd_parms *p);
extern int caba_check_ns_file(const struct fd_parms *p);

/* Restore */
extern int caba_get_inner(struct pstree_item *item, const struct PstreeEntry *e);
extern int caba_get_children_ns(struct pstree_item *item, const struct PstreeEntry *e);
extern pid_t caba_children_init(const struct pstree_item *item, int thread);
extern int caba_new_children_ns(const struct pstree_item *item);
extern bool caba_children_die(const struct pstree_item *item);
extern int caba_enter_dying_ns(void);
extern int caba_check_inner(void);
extern unsigned int caba_pid_ns_id(const struct pstree_item *item);
extern unsigned long caba_ns_mask(const struct pstree_item *item);
extern int caba_new_inner(struct pstree_item *item, struct caba_pidns *ns, const struct caba_nums *nums);
extern unsigned int caba_set_tid(const struct pstree_item *item, int thread, pid_t *tids);
extern pid_t caba_own_tid(const struct pstree_item *item, pid_t top);
extern int caba_expect_end(struct pstree_item *item, int exit_code);
extern int caba_kill_self(int sig);
extern int caba_kill_inits(void);
extern int caba_enter_ns(struct pstree_item *child);
extern int caba_leave_ns(struct pstree_item *child);
extern struct caba_pidns *caba_pidns_by_id(unsigned int id);
extern int caba_get_proc(struct mount_info *pm, const struct MntEntry *me);
extern bool caba_makes_proc(const struct pstree_item *item);
extern int caba_keep_mntns(void);
extern int caba_stash_mount(struct mount_info *mi);
extern int caba_new_proc(struct mount_info *mi, int *id);
extern int caba_place_procs(int (*order)(struct pstree_item *init, struct mount_info *mi));
extern int caba_prepare_numbers(void);
extern int caba_set_owner_later(int fd, const struct FownEntry *fown);
extern int caba_set_owners(void);
extern int caba_expect_pidfd(struct PidfdEntry *e);
extern int caba_make_pidfds(void);
extern int caba_open_pidfd(const struct PidfdEntry *e);
extern pid_t caba_group_nr(pid_t pgid);
extern int caba_set_ns(void);
extern int caba_verify_ns(const struct pstree_item *item, const struct births *b);

#endif /* __CR_CABA_NS_H__ */
