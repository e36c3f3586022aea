#ifndef __CR_CABA_PLAN_H__
#define __CR_CABA_PLAN_H__

#include <stdbool.h>
#include <sys/types.h>

/*
 * The plan of a process tree's births: see Documentation/caba.txt.
 *
 * A node is a process of the tree, or a helper which exits before the tree
 * is complete. The caller fills in the first part of the nodes of all the
 * processes, the root being the first one; caba_plan() works out the rest.
 */
enum caba_kind {
	CABA_TASK,	 /* a process from the image */
	CABA_SESSION,	 /* stands for a session leader that has gone */
	CABA_ANON,	 /* only there to leave its children to their parent */
	CABA_GROUP,	 /* stays in the group that its creator made and left */
	CABA_DEAD_GROUP, /* stands for a group leader that has gone, with members in nested pid namespaces */
	CABA_OUTSIDE,	 /* no process: who puts others into the tree's namespaces from outside */
};

/*
 * A pid namespace. The one of the root comes first, and parents before who
 * is below. Who has 1 as its last number is the init.
 */
struct caba_ns {
	struct caba_ns *parent; /* NULL for the one of the root */
	void *data;		/* of the caller */

	/* Planned */
	unsigned int level;	/* 0 for the one of the root */
	struct caba_node *init; /* NULL in the one of the root if that is not the init */
};

/*
 * A pid, sid or pgid in each namespace, from the root's down to that of the
 * process that has it or, if that is gone, as far as is known. Both 0 where
 * there is only the one in the root's namespace.
 */
struct caba_nums {
	unsigned int nr;
	const pid_t *at;
};

struct caba_node {
	/* Known before */
	enum caba_kind kind;
	pid_t pid;  /* 0 for CABA_ANON and CABA_GROUP; these three in the root's namespace */
	pid_t sid;  /* the one at the end of the restore */
	pid_t pgid; /* the same, 0 when it is not known here */
	bool zombie;
	int exit_signal;	  /* at birth, SIGCHLD for who has been adopted */
	unsigned int files_id;	  /* file table, 0 when there is none */
	struct caba_node *parent; /* real parent, NULL for the root */
	struct caba_node *caba;	  /* closest alive born ancestor, NULL for the root and from outside */
	struct caba_ns *ns;	  /* NULL for the one of the root */
	struct caba_nums pids;	  /* of a helper: none means any free ones, at each level of its ns */
	struct caba_nums sids;	  /* without those that are 0, as the leader is above */
	struct caba_nums pgids;	  /* the same */
	void *data;		  /* of the caller */

	/* Planned */
	struct caba_node *creator; /* who forks it */
	struct caba_node *born_parent; /* whose child it is then, another one if it is a sibling of its creator */
	struct caba_node *heir;	   /* who gets the children of a helper that exits */
	struct caba_node *group;   /* who leads or makes pgid, if that is in the plan */
	pid_t born_sid;		   /* of a leader: session it is born into, -1 for any */
	bool sibling;		   /* of its creator: forked with CLONE_PARENT */
	bool share_files;	   /* has the file table of its creator */
	bool in_group;		   /* its group is hidden from it, and its events bring it there */
	struct caba_event *events; /* what it has to do, one after the other */
	unsigned int nr_events;

	/* Scratch */
	struct caba_node *up, *jump; /* towards the root, by one and by many */
	int depth;
	pid_t need;  /* session it is forked in, -1 for any */
	pid_t walked; /* group whose walk has passed here */
	bool apart;  /* its parent is not in that session */
	bool inherits; /* a group that is hidden from it, and that its parent can't put it into */
	struct caba_line *line;
};

/*
 * What a process does while the tree is made. There is one order for all of
 * it, in which nothing comes before what it needs.
 */
enum caba_act {
	CABA_FORK,	 /* who is born: node, by setns() where it has another ns and is not its init */
	CABA_SETSID,	 /* by itself */
	CABA_MAKE_GROUP, /* by itself: setpgid(0, 0) */
	CABA_MOVE,	 /* node, which is a child of the actor: setpgid(node, group) */
};

#define CABA_MAX_WAITS 3

struct caba_event {
	enum caba_act act;
	struct caba_node *actor;
	struct caba_node *node;
	pid_t pgid;		 /* in the root's namespace */
	struct caba_node *group; /* who leads it, NULL if it is above the root */

	/* Others who have to be that far before: @done of their events */
	struct caba_wait {
		struct caba_node *node;
		unsigned int done;
	} waits[CABA_MAX_WAITS];
	bool awaited; /* somebody waits for this one */
};

struct caba_forest {
	struct caba_node *nodes;
	unsigned int nr_tasks; /* given */
	unsigned int nr;       /* with the helpers */
	struct caba_ns *ns;    /* given; NULL if there is only the one of the root */
	unsigned int nr_ns;    /* given */
	bool from_outside;     /* given: who has no CABA can be put in from outside */
	struct caba_event *events; /* those of all, each process's together */
	unsigned int nr_events;
};

/*
 * Room needed in the array of nodes: for each task a session and a helper
 * above that, a group that is kept or that is gone, and three helpers of its
 * own at most. And who is outside.
 */
#define CABA_MAX_NODES(nr_tasks) (8 * (nr_tasks) + 1)

extern int caba_plan(struct caba_forest *f);
extern void caba_free_plan(struct caba_forest *f);

/*
 * Between the planner's two parts: a group that a process has to be in for a
 * time, though it does not see it
 */
struct caba_line {
	struct caba_node *node;
	pid_t pgid;
	struct caba_node *group; /* who leads it, NULL if it is above the root */
	struct caba_line *next;	 /* of the same node */
	bool moved;		 /* by its parent, else it is born into it */
	int event;
};

extern bool caba_holds(const struct caba_ns *ns, const struct caba_ns *below);
extern int caba_order(struct caba_forest *f, struct caba_line *lines, unsigned int nr_lines);

#endif /* __CR_CABA_PLAN_H__ */
