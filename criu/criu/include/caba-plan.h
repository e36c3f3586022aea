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
	CABA_TASK,    /* a process from the image */
	CABA_SESSION, /* stands for a session leader that has gone */
	CABA_ANON,    /* only there to leave its children to their parent */
	CABA_GROUP,   /* stays in the group that its creator made and left */
};

struct caba_node {
	/* Known before */
	enum caba_kind kind;
	pid_t pid;  /* 0 for CABA_ANON and CABA_GROUP */
	pid_t sid;  /* the one at the end of the restore */
	pid_t pgid; /* the same, 0 when it is not known here */
	bool zombie;
	unsigned int files_id;	  /* file table, 0 when there is none */
	struct caba_node *parent; /* real parent, NULL for the root */
	struct caba_node *caba;	  /* closest alive born ancestor, NULL for the root */
	void *data;		  /* of the caller */

	/* Planned */
	struct caba_node *creator; /* who forks it */
	struct caba_node *heir;	   /* who gets the children of a helper that exits */
	pid_t born_sid;		   /* of a leader: session it is born into, -1 for any */
	bool sibling;		   /* of its creator: forked with CLONE_PARENT */
	bool share_files;	   /* has the file table of its creator */

	/* Scratch */
	struct caba_node *helpers; /* CABA_ANON ones forked by this node */
	struct caba_node *next;	   /* in the list above */
	pid_t walked;		   /* session whose walk has passed here */
	int depth;
};

struct caba_forest {
	struct caba_node *nodes;
	unsigned int nr_tasks; /* given */
	unsigned int nr;       /* with the helpers */
};

/* Room needed in the array of nodes: a session, an own helper and a group for each */
#define CABA_MAX_NODES(nr_tasks) (4 * (nr_tasks))

extern int caba_plan(struct caba_forest *f);

#endif /* __CR_CABA_PLAN_H__ */
