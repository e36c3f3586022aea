#ifndef __CR_CABA_MODEL_H__
#define __CR_CABA_MODEL_H__

#include <stdbool.h>

/*
 * A model of the kernel's processes and pid namespaces, as far as births,
 * parents, sessions and groups go. Calls return -1 where the kernel refuses.
 */
#define MAX_PROCS  1024
#define MAX_NS	   128
#define MAX_LEVELS 6 /* with the one outside of all */

enum { GONE, ALIVE, ZOMBIE, DYING /* an init that waits for its namespace to get empty */ };

/* Number 0 is outside: where the first one has been made, and who has done that */
struct k_ns {
	int parent;
	int level;
	int init; /* 0 while there is none */
	int last;
	bool closed;
};

/* The number of a process names its struct pid, too, which may live longer */
struct k_proc {
	int state;
	int parent;
	int caba;
	int ns;
	int for_children; /* pid namespace of the next ones */
	int exit_signal;
	int sid;
	int pgid;
	int nums[MAX_LEVELS];
	int refs;
	bool subreaper;
	bool has_subreaper; /* maybe somewhere above */
};

struct kernel {
	struct k_ns ns[MAX_NS];
	int nr_ns;
	struct k_proc p[MAX_PROCS];
	int nr;
};

extern void k_boot(struct kernel *k);
extern int k_fork(struct kernel *k, int creator, bool newpid, bool sibling, const int *nums);
extern int k_unshare(struct kernel *k, int p);
extern int k_setns(struct kernel *k, int p, int ns);
extern int k_setsid(struct kernel *k, int p);
extern int k_setpgid(struct kernel *k, int caller, int p, int nr);
extern void k_set_subreaper(struct kernel *k, int p, bool on);
extern void k_exit(struct kernel *k, int p);
extern void k_release(struct kernel *k, int p);

extern bool k_holds(const struct kernel *k, int ns, int below);
extern int k_pid_nr(const struct kernel *k, int p, int ns);
extern bool k_has_children(const struct kernel *k, int p);

/* The number in the first namespace */
static inline int k_top(const struct kernel *k, int p)
{
	return k->p[p].nums[1];
}

#endif /* __CR_CABA_MODEL_H__ */
