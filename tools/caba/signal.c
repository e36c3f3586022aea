// SPDX-License-Identifier: GPL-2.0
/*
 * --signal: to all that were born below a process, and to nobody else.
 *
 * What was read of all processes only says where to look. Each is opened as
 * its folder in proc, which is a pidfd for pidfd_send_signal(), too, and then
 * read through it: what is read and what gets the signal is one process,
 * whoever has its number by then.
 *
 * From the top down, a process is born below if its CABA is one that was found
 * before. PIDFD_GET_INFO tells that by an inode number. NScaba names a number,
 * and who was found under it was open before NScaba was read: if it is still
 * there afterwards, the number meant it all the time. And who was born below
 * once is so for ever, so those that were found can die, and be replaced by
 * those above them, without making anything wrong.
 *
 * Those found stay open: who has the same number later is somebody else, and
 * who was found before does not get the signal twice.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "cabatree.h"

/* In ms: between two looks at what is to stop, and for a cgroup to freeze */
#define PAUSE		10
#define FREEZE_TIME	2000

/* Looks without a new one after which sleep without end is taken for vfork() */
#define PATIENCE	5

struct victim {
	pid_t pid;
	int fd;
	ino_t ino;			/* in pidfs; 0: the kernel does not tell by it */
	bool stray;
	bool done;			/* has the signal, or is not to get it */
	bool stopped;			/* by us */
	char state;
};

static const struct signal_options *options;
static void *by_pid;			/* of tsearch() */
static struct victim **victims;
static size_t nr_victims, max_victims;
static size_t nr_seen;			/* that were new, or gone before they were open */
static struct victim *top;		/* below it they were born */
static pid_t self;
static char *frozen;			/* the cgroup, as in /proc/PID/cgroup */
static bool failed;
static bool full;			/* no more can be open */

static int cmp_victim(const void *a, const void *b)
{
	const struct victim *v = a, *w = b;

	return v->pid < w->pid ? -1 : v->pid > w->pid;
}

static struct victim *find_victim(pid_t pid)
{
	struct victim key = { .pid = pid };
	struct victim **found = tfind(&key, &by_pid, cmp_victim);

	return found ? *found : NULL;
}

static struct victim *add_victim(pid_t pid, int fd)
{
	struct victim *v = find_victim(pid);

	if (v) {
		/* Its number is used again, so it is gone. */
		close(v->fd);
	} else {
		v = check(malloc(sizeof(*v)));
		v->pid = pid;
		check(tsearch(v, &by_pid, cmp_victim));
		victims = grow(victims, nr_victims, &max_victims, sizeof(*victims));
		victims[nr_victims++] = v;
	}
	*v = (struct victim){ .pid = pid, .fd = fd };
	return v;
}

/* The one that was found before and has been @pid since then. */
static struct victim *known(pid_t pid)
{
	struct victim *v = pid ? find_victim(pid) : NULL;

	return v && is_there(v->fd) ? v : NULL;
}

/* @fd: the folder of @p */
static bool is_below(int fd, const struct proc *p, struct births *births)
{
	struct victim *v;

	if (!ask_births(fd, p->pid, births))
		return known(p->up[BY_CABA]);
	v = births->caba_ino ? find_victim(births->caba) : NULL;
	return v && v->ino == births->caba_ino;
}

/* Opens @pid if it was born below and is new. */
static struct victim *meet(pid_t pid)
{
	struct victim *v, *parent;
	bool below, stray;
	struct proc p;
	struct births births;
	int fd;

	if (pid == self || pid == top->pid || known(pid))
		return NULL;
	fd = open_pid(pid);
	full |= fd < 0 && (errno == EMFILE || errno == ENFILE);
	/* Gone, not by us: what it has forked may not have been seen. */
	if (fd < 0 || !read_proc(fd, 0, &p)) {
		nr_seen += !find_victim(pid);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	forget(&p);
	below = !p.zombie && !p.kthread && is_below(fd, &p, &births);
	/* The parent is the CABA or above it: it was found before, too. */
	parent = known(p.up[BY_PPID]);
	stray = !parent || parent->stray;
	if (!below) {
		close(fd);
		return NULL;
	}
	v = add_victim(pid, fd);
	nr_seen++;
	v->ino = births.ino;
	v->stray = stray;
	v->done = options->strays && !stray;
	v->state = p.state;
	return v;
}

static void hit(struct victim *v)
{
	if (v->done)
		return;
	v->done = true;
	if (!send_signal(v->fd, options->sig)) {
		if (options->print)
			printf("%d\n", v->pid);
	} else if (errno != ESRCH) {
		warn("%d", v->pid);
		failed = true;
	}
}

/* "/a/b": the path of its cgroup (v2); NULL when there is none */
static char *cgroup_of(const struct victim *v)
{
	char *s = slurp(v->fd, "cgroup", NULL);

	for (; s && *s; s += strcspn(s, "\n"), s += !!*s) {
		if (!strncmp(s, "0::", 3))
			return check(strndup(s + 3, strcspn(s + 3, "\n")));
	}
	return NULL;
}

static bool in_frozen(const struct victim *v)
{
	char *path = frozen ? cgroup_of(v) : NULL;
	size_t len = frozen ? strlen(frozen) : 0;
	bool in = path && !strncmp(path, frozen, len) && (!path[len] || path[len] == '/');

	free(path);
	return in;
}

/*
 * True when all in there, and in those below, were born below @from or are it.
 * Unless @is_frozen, some may have come and gone since they were read.
 */
static bool is_own(int dir, const struct proc *from, bool is_frozen)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *members = fd < 0 ? NULL : check(fdopen(fd, "r"));
	bool own = members;
	struct dirent *d;
	DIR *list;
	pid_t pid;

	while (own && fscanf(members, "%d", &pid) == 1) {
		const struct proc *p = find(pid, nr_procs);

		while (p && p != &root && p != from)
			p = p->parent[BY_CABA];
		own = (p == from || (!p && !is_frozen)) && pid != self;
	}
	if (members)
		fclose(members);
	list = dir < 0 ? NULL : check(fdopendir(dir));
	while (own && list && (d = readdir(list))) {
		if (d->d_type == DT_DIR && *d->d_name != '.')
			own = is_own(openat(dir, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				     from, is_frozen);
	}
	if (list)
		closedir(list);
	return own;
}

/* At all of them; NULL when @top is dead. */
static struct proc *look(void)
{
	struct proc *p;

	read_all();
	p = find(top->pid, nr_procs);
	if (!p || p->zombie || !is_there(top->fd))
		return NULL;
	link_tree(BY_CABA, true);
	return p;
}

static int open_cgroup(const char *path, const char *file, int flags)
{
	static const char * const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;
	char *whole;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(mounts); i++) {
		if (statfs(mounts[i], &fs) || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		whole = format("%s%s/%s", mounts[i], path, file);
		fd = open(whole, flags | O_CLOEXEC);
		free(whole);
		return fd;
	}
	return -1;
}

static bool write_cgroup(const char *path, const char *file, const char *value)
{
	int fd = open_cgroup(path, file, O_WRONLY);
	bool done = fd >= 0 && write(fd, value, strlen(value)) > 0;

	if (fd >= 0)
		close(fd);
	return done;
}

static void thaw_cgroup(void)
{
	if (!write_cgroup(frozen, "cgroup.freeze", "0")) {
		warn("cannot thaw the cgroup %s", frozen);
		failed = true;
	}
	free(frozen);
	frozen = NULL;
}

static bool freezes(void)
{
	int fd = open_cgroup(frozen, "cgroup.events", O_RDONLY), n;
	bool done = false;
	char events[256];

	for (n = 0; !done && n < FREEZE_TIME / PAUSE; n++) {
		memset(events, 0, sizeof(events));
		done = pread(fd, events, sizeof(events) - 1, 0) > 0 && strstr(events, "frozen 1");
		if (!done)
			poll(NULL, 0, PAUSE);
	}
	close(fd);
	return done;
}

static bool all_own(const char *path, bool is_frozen)
{
	struct proc *p = look();

	return p && is_own(open_cgroup(path, "", O_RDONLY | O_DIRECTORY), p, is_frozen);
}

/*
 * Who forks faster than one can read is stopped at once where all of them, and
 * nobody else, are in one cgroup. Looked at again when it is frozen: somebody
 * may have moved in.
 */
static void freeze_cgroup(void)
{
	char *path = cgroup_of(top);

	if (!path || !strcmp(path, "/") || !all_own(path, false) ||
	    !write_cgroup(path, "cgroup.freeze", "1")) {
		free(path);
		return;
	}
	frozen = path;
	if (!freezes() || !all_own(path, true))
		thaw_cgroup();
}

static void halt(struct victim *v)
{
	/* Who was stopped before stays so. */
	if (v->state == 'T' || in_frozen(v))
		return;
	v->stopped = !send_signal(v->fd, SIGSTOP);
	if (!v->stopped && errno != ESRCH)
		warn("cannot stop %d", v->pid);
}

/* All of its threads: one that is in fork() still may be done with it later. */
static bool has_stopped(const struct victim *v, bool patient)
{
	bool stopped = true;
	struct dirent *d;
	char *path, *s;
	DIR *list;
	int fd;

	if (!v->stopped)
		return true;
	fd = openat(v->fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return true;
	list = check(fdopendir(fd));
	while (stopped && (d = readdir(list))) {
		if (*d->d_name == '.')
			continue;
		path = format("%s/stat", d->d_name);
		s = slurp(fd, path, NULL);
		free(path);
		s = s ? strrchr(s, ')') : NULL;
		/* In vfork() one sleeps until the child, which is stopped, goes on. */
		if (s && s[1])
			stopped = strchr(patient ? "TtZX" : "TtZXD", s[2]);
	}
	closedir(list);
	return stopped;
}

static bool all_stopped(bool patient)
{
	size_t i;

	for (i = 0; i < nr_victims; i++) {
		if (!has_stopped(victims[i], patient))
			return false;
	}
	return true;
}

/* False when some may have been missed. */
static bool find_all(void)
{
	struct proc *from, *p;
	int round, quiet = 0;
	struct victim *v;
	bool stopped;
	size_t before;

	for (round = 1; ; round++) {
		/* What forks until here is seen in this round. */
		stopped = !options->freeze || all_stopped(quiet < PATIENCE);
		from = look();
		if (!from) {
			warnx("%d is dead: what was born meanwhile cannot be found any more",
			      top->pid);
			return false;
		}
		before = nr_seen;
		for (p = after(from, from, BY_CABA); p; p = after(p, from, BY_CABA)) {
			v = p->zombie || p->kthread ? NULL : meet(p->pid);
			if (!v)
				continue;
			if (options->freeze)
				halt(v);
			else
				hit(v);
		}
		if (full) {
			warnx("no more than %zu processes can be open (ulimit -n)", nr_victims);
			return false;
		}
		if (nr_seen == before && stopped)
			return true;
		if (round == options->rounds) {
			warnx("%s after %d rounds%s",
			      nr_seen == before ? "not all have stopped" : "new ones still turn up",
			      round, options->freeze ? "" : "; --freeze stops them first");
			return false;
		}
		quiet = nr_seen == before ? quiet + 1 : 0;
		if (quiet)
			poll(NULL, 0, PAUSE);
	}
}

/* Also when we end before our time: nobody is to be left behind stopped. */
static void go_on(void)
{
	size_t i;

	for (i = 0; i < nr_victims; i++) {
		if (victims[i]->stopped)
			send_signal(victims[i]->fd, SIGCONT);
		victims[i]->stopped = false;
	}
	if (frozen)
		thaw_cgroup();
}

int signal_below(pid_t pid, const struct signal_options *opts)
{
	sigset_t all, before;
	struct births births;
	struct proc p;
	bool found;
	size_t i;
	int fd;

	options = opts;
	self = own_pid();
	raise_limit();
	fd = open_pid(pid);
	if (fd < 0 || !read_proc(fd, 0, &p))
		errx(EXIT_NO_PROCESS, "no such process: %d", pid);
	forget(&p);
	if (!p.has_caba)
		no_nscaba();
	if (p.pid != pid) {
		/* That of a thread, which means its process */
		close(fd);
		return signal_below(p.pid, opts);
	}
	top = add_victim(pid, fd);
	top->state = p.state;
	ask_births(fd, pid, &births);
	top->ino = births.ino;
	if (!is_there(top->fd))
		err(errno == ESRCH ? EXIT_NO_PROCESS : EXIT_ERROR, "%d", pid);

	if (options->freeze) {
		atexit(go_on);
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, &before);
		freeze_cgroup();
		halt(top);
	}
	found = find_all();
	for (i = 0; i < nr_victims; i++) {
		if (victims[i] != top)
			hit(victims[i]);
	}
	if (options->self)
		hit(top);
	if (options->freeze) {
		go_on();
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	return failed ? EXIT_ERROR : found ? 0 : EXIT_UNFINISHED;
}
