/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes that do one step at a time, on the word of a test.
 *
 * Each of them, an actor, waits at its own socket for the test to say what to
 * do next, be it fork, exec or exit. So no step begins before the last one is
 * done, and none needs a sleep. The first actor is S, the stage, on which the
 * others are born. An actor whose socket reports the end of the test exits:
 * whatever happens, none is left behind.
 */
#ifndef _SELFTESTS_CABA_ACTORS_H
#define _SELFTESTS_CABA_ACTORS_H

#include <stdbool.h>
#include <sys/types.h>

#include "caba_helpers.h"

/* How long one step may take on a slow machine, the thousand forks above all. */
#define STEP_SECONDS	120

#define NR_MANY		1000

/* The actors. TESTER is the test itself: it is nobody's to command. */
enum { TESTER, S, A, B, C, D, E, F, I, J, P, R, T, U, NR_ACTORS };

enum op {
	OP_BIRTH,	/* arg: the new actor, flags: for clone() */
	OP_THREAD,	/* arg: the new actor */
	OP_VFORK_EXEC,	/* arg: the new actor */
	OP_EXEC,
	OP_EXIT,
	OP_EXIT_THREAD,
	OP_REAP,	/* arg: pid */
	OP_IGNORE_CHILDREN,
	OP_SETSID,
	OP_SETPGID,
	OP_SUBREAPER,	/* arg: on or off */
	OP_DROP_ROOT,
	OP_UNSHARE,	/* flags */
	OP_SETNS,	/* arg: pid as S sees it, flags: JOIN_... */
	OP_MOUNT_PROC,	/* arg: PROC_... */
	OP_READ,	/* arg: pid in the procfs of the viewer, flags */
	OP_TRACEME,
	OP_ATTACH,	/* arg: pid */
	OP_SEIZE,	/* arg: pid, flags: options */
	OP_RESUME,	/* arg: how many stops of tracees to wait for */
	OP_AWAIT_EXIT,	/* arg: tid of a tracee that is to stop at its exit */
	OP_CONTINUE,	/* arg: tid */
	OP_MANY,	/* arg: how many children */
	OP_SLOW_EXIT,	/* arg: how many files this thread has to close then */
	OP_IO_WORKER,
	OP_VHOST_WORKER,
};

/* Which namespace of a process OP_SETNS is to join: that of its children? */
enum { JOIN_OWN, JOIN_CHILDREN };

/* How OP_MOUNT_PROC is to mount */
enum {
	PROC_PLAIN, PROC_HIDEPID_1, PROC_HIDEPID_2, PROC_HIDEPID_4, PROC_SUBSET,
};

/* For clone3() alone: what clone() has no bit for */
#ifndef CLONE_AUTOREAP
#define CLONE_AUTOREAP	0x400000000ULL
#endif

struct actor {
	int fd;		/* the test's end of its socket */
	int pidfd;
	pid_t pid;
	pid_t tid;	/* of one that is no leader: in its own namespace */
};

extern struct actor actors[NR_ACTORS];

/* What OP_MANY has made. */
extern pid_t *many;

/* Begin and end. What can fail returns 0 or -errno, here and below. */
int raise_stage(void);
void strike_stage(void);
void act_if_told(void);

/* Steps */
int tell(int who, enum op op, long arg, unsigned long long flags);
int hear(int who);
int ask(int who, enum op op, long arg, unsigned long long flags);
int bring(int who, enum op op, int new, unsigned long long flags);
int await_death(int who);
int await_end(int who, bool zombie_will_do);
int await_state(int who, char letter);
int await_threads(int who, int most);
int die(int who);
int kill_actor(int who);
int reap(int parent, int child);
int end_thread(int who);

/*
 * Reading. A viewer is an actor that did mount a procfs in its own pid
 * namespace, or S for the /proc that everybody sees.
 */
char state(int who);
pid_t pid_at(int viewer, int who);
int number_at(int viewer, int who, const char *key);
int ppid(int who);
const char *nspid(int viewer, int who);
const char *nscaba(int viewer, int who);
const char *wrong(int viewer, int who, int ancestor);

/* The same by another reader than the test; "(...)" for an error. */
const char *read_by(int reader, int viewer, int who, const char *key);

#endif /* _SELFTESTS_CABA_ACTORS_H */
