/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cabatree - show who was started by whom
 *
 * cabatree.c	options
 * tree.c	reads /proc and links what was read to trees
 * exact.c	who is meant by a number
 * draw.c	all that is shown of them
 * watch.c	--watch: what changed, without reading all again
 * signal.c	--signal: nobody but those who were born below
 */
#ifndef CABATREE_H
#define CABATREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum { BY_PPID, BY_CABA, TREES };

/* All of these are in the man page. */
enum {
	EXIT_NO_PROCESS	= 1,
	EXIT_USAGE	= 2,
	EXIT_NO_NSCABA	= 3,
	EXIT_ERROR	= 4,
	EXIT_UNFINISHED	= 5,
};

enum mark { UNMARKED, CAME, WENT, MOVED };

struct proc {
	pid_t pid;
	pid_t sid;			/* -1: this kernel does not say */
	uid_t uid;			/* -1: as above */
	char state;			/* as in status */
	enum mark mark;
	bool kthread;
	bool has_caba;
	bool zombie;			/* the last thread is over */
	bool gone;
	bool drawn;
	bool again;			/* to be read again */
	bool shown[TREES];
	long long start;		/* Unix time; 0: was not asked for */
	char *name;			/* as in status: \n and \\ for what they are */
	char *nspid;			/* pids in the namespaces below ours */
	size_t walk;
	int fd;				/* a pidfd of --watch; its folder, of --who */
	unsigned int until;		/* the tick at which the mark goes */
	pid_t up[TREES];		/* as read; 0 is the root */
	struct proc *parent[TREES];
	struct proc *child[TREES];	/* first one that is shown */
	struct proc *next[TREES];
};

extern struct proc root;
extern struct proc *procs;		/* sorted by pid */
extern size_t nr_procs;
extern struct proc *ghosts;		/* of --watch: who went, sorted by pid */
extern size_t nr_ghosts;
extern int proc_fd;
extern bool want_start;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* The string from asprintf(), which needs it in a variable of its own. */
#define format(...)						\
({								\
	char *str;						\
								\
	check(asprintf(&str, __VA_ARGS__) < 0 ? NULL : str);	\
})

void *check(void *p);
void *grow(void *array, size_t nr, size_t *max, size_t size);

char *slurp(int dir, const char *path, size_t *len);
void open_proc(const char *path);
pid_t own_pid(void);
bool read_proc(int dir, pid_t pid, struct proc *p);
void forget(struct proc *p);
void keep_proc(const struct proc *p);
bool add_proc(pid_t pid);
void list_pids(void (*found)(pid_t pid));
void sort_procs(void);
struct proc *find(pid_t pid, size_t nr);
void settle(void);
void read_all(void);
void link_tree(int t, bool kthreads);
struct proc *after(const struct proc *p, const struct proc *top, int t);
struct proc *first(struct proc *top, int t);
bool is_stray(const struct proc *p, const struct proc *top);

/* What PIDFD_GET_INFO has; inode numbers are in pidfs, and are never used again. */
struct births {
	ino_t ino;			/* its own */
	ino_t caba_ino;			/* 0: not visible */
	pid_t caba;
};

void raise_limit(void);
int send_signal(int fd, int sig);
bool is_there(int fd);
int open_pid(pid_t pid);
bool ask_births(int dir, pid_t pid, struct births *births);
bool read_line(pid_t pid, int t);

void no_nscaba(void);

/* A line that grows, and ends where the terminal does. */
struct text {
	char *s;
	size_t len, max;
	int width, limit;		/* columns */
};

extern bool utf8, colours, show_user, show_start;

void add_text(struct text *text, const char *s);
void add_colour(struct text *text, const char *code);
void clear_text(struct text *text);
void draw_one(struct text *text, const struct proc *p, const struct proc *top, int t);
void show_one(struct proc *top, int t);
void show_both(struct proc *top);
void show_who(struct proc *who, int t);
void show_pids(struct proc *top, int t, bool strays);
void show_json(struct proc *top, int t);
void write_dot(struct proc *top, bool use[TREES]);

struct signal_options {
	int sig;
	int rounds;
	bool self;
	bool strays;
	bool freeze;
	bool print;			/* the number of each that gets it */
};

int signal_below(pid_t pid, const struct signal_options *options);

void watch(pid_t below, int t, bool kthreads, double seconds);

#endif
