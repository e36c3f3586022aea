// SPDX-License-Identifier: GPL-2.0
/*
 * Reads /proc/PID/status of all processes, and links them by NScaba (closest
 * alive born ancestor) and by PPid.
 *
 * Each status file is a snapshot of its own, so what is read fits together
 * only as far as no process came or went meanwhile. settle() reads again what
 * does not fit; what still does not then hangs under the root.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cabatree.h"

/* PF_KTHREAD among the flags in /proc/PID/stat */
#define STAT_KTHREAD	0x00200000

/* How often to read again what does not fit together */
#define ROUNDS		5

int proc_fd;
struct proc *procs;
size_t nr_procs;
struct proc *ghosts;
size_t nr_ghosts;
struct proc root;
bool want_start;

static DIR *proc_dir;
static const char *proc_path;
static size_t max_procs;

void *check(void *p)
{
	if (!p)
		errx(EXIT_ERROR, "out of memory");
	return p;
}

/* Room for one more behind the @nr that are there. */
void *grow(void *array, size_t nr, size_t *max, size_t size)
{
	if (nr < *max)
		return array;
	*max = *max ? *max * 2 : 256;
	return check(reallocarray(array, *max, size));
}

/*
 * All of a file of proc, with a 0 behind; NULL when its process is gone. The
 * buffer is the same each time. A read that does not fill it was the last one:
 * these files come in one piece.
 */
char *slurp(int dir, const char *path, size_t *len)
{
	static size_t size = 8192;
	static char *buf;
	size_t used = 0;
	ssize_t n;
	int fd;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;

	if (!buf)
		buf = check(malloc(size));
	while ((n = read(fd, buf + used, size - used - 1)) > 0) {
		used += n;
		if (used < size - 1)
			break;
		size *= 2;
		buf = check(realloc(buf, size));
	}
	close(fd);
	if (n < 0)
		return NULL;
	buf[used] = 0;
	if (len)
		*len = used;
	return buf;
}

/* @pid: below @dir; 0 is @dir itself */
static char *slurp_of(int dir, pid_t pid, const char *file)
{
	char path[64];

	if (!pid)
		return slurp(dir, file, NULL);
	snprintf(path, sizeof(path), "%d/%s", pid, file);
	return slurp(dir, path, NULL);
}

/* Fields come in a known order: each is looked for behind the one before. */
static const char *field(const char **status, const char *key)
{
	const char *s = strstr(*status, key);

	if (!s)
		return NULL;
	*status = s;
	return s + strlen(key);
}

static pid_t number(const char *s)
{
	return s ? strtol(s, NULL, 10) : 0;
}

/* "\t45\t7\t2" becomes "7,2"; NULL when there is but one level. */
static char *levels_below(const char *s)
{
	char *list, *c;

	if (!s)
		return NULL;
	s += strspn(s, "\t ");
	s += strspn(s, "0123456789");
	if (*s++ != '\t')
		return NULL;
	list = check(strndup(s, strcspn(s, "\n")));
	for (c = list; *c; c++) {
		if (*c == '\t')
			*c = ',';
	}
	return list;
}

static long long boot_time(void)
{
	static long long btime = -1;
	char *s;

	if (btime >= 0)
		return btime;
	s = slurp(proc_fd, "stat", NULL);
	s = s ? strstr(s, "\nbtime ") : NULL;
	btime = s ? atoll(s + strlen("\nbtime ")) : 0;
	return btime;
}

/* What only /proc/PID/stat has: the start; before 6.8, who is a kernel thread. */
static void read_stat(int dir, pid_t pid, struct proc *p)
{
	long long btime = boot_time();
	unsigned long long start;
	unsigned int flags;
	char *s;
	int n;

	s = slurp_of(dir, pid, "stat");
	s = s ? strrchr(s, ')') : NULL;
	/* The 9th and the 22nd field */
	if (!s || sscanf(s, ") %*c %*s %*s %*s %*s %*s %u %n", &flags, &n) != 1)
		return;
	s += n;
	for (n = 10; n < 22; n++) {
		s += strcspn(s, " ");
		s += strspn(s, " ");
	}
	start = strtoull(s, NULL, 10);
	p->kthread = flags & STAT_KTHREAD;
	p->start = btime + start / sysconf(_SC_CLK_TCK);
}

/*
 * Below @dir, or with @pid 0 the one that @dir is of. False when there is no
 * such process, or not any more.
 */
bool read_proc(int dir, pid_t pid, struct proc *p)
{
	const char *status, *s, *threads = NULL;
	char *end;

	status = slurp_of(dir, pid, "status");
	if (!status || strncmp(status, "Name:\t", 6))
		return false;
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->sid = -1;
	p->uid = -1;
	p->name = (char *)status + 6;

	s = field(&status, "\nState:\t");
	p->state = s ? *s : 0;
	/* The Tgid is 0 when it was released while this was written. */
	p->pid = number(field(&status, "\nTgid:"));
	if (p->pid <= 0)
		return false;
	p->up[BY_PPID] = number(field(&status, "\nPPid:"));
	s = field(&status, "\nUid:");
	if (s) {
		strtoul(s, &end, 10);
		p->uid = strtoul(end, NULL, 10);
	}
	p->nspid = levels_below(field(&status, "\nNSpid:"));
	s = field(&status, "\nNSsid:");
	if (s)
		p->sid = number(s);
	s = field(&status, "\nNScaba:");
	p->has_caba = s;
	p->up[BY_CABA] = number(s);
	s = field(&status, "\nKthread:");
	p->kthread = number(s);
	/* A leader that is over is a zombie, its process need not be one. */
	if (p->state == 'Z' || p->state == 'X')
		threads = field(&status, "\nThreads:");
	p->zombie = threads && number(threads) <= 1;
	p->name = check(strndup(p->name, strcspn(p->name, "\n")));
	if (!s || want_start)
		read_stat(dir, pid, p);
	return true;
}

void forget(struct proc *p)
{
	free(p->name);
	free(p->nspid);
}

void keep_proc(const struct proc *p)
{
	procs = grow(procs, nr_procs, &max_procs, sizeof(*procs));
	procs[nr_procs++] = *p;
}

bool add_proc(pid_t pid)
{
	struct proc p;

	if (!read_proc(proc_fd, pid, &p))
		return false;
	keep_proc(&p);
	return true;
}

static int cmp_pid(const void *a, const void *b)
{
	const struct proc *p = a, *q = b;

	return p->pid < q->pid ? -1 : p->pid > q->pid;
}

/* Sorts, and drops what is gone or was read twice. */
void sort_procs(void)
{
	size_t i, nr = 0;

	if (nr_procs)
		qsort(procs, nr_procs, sizeof(*procs), cmp_pid);
	for (i = 0; i < nr_procs; i++) {
		if (procs[i].gone || (nr && procs[nr - 1].pid == procs[i].pid))
			forget(&procs[i]);
		else
			procs[nr++] = procs[i];
	}
	nr_procs = nr;
}

/* Among the first @nr, which are sorted. */
struct proc *find(pid_t pid, size_t nr)
{
	struct proc key = { .pid = pid };

	if (!pid)
		return &root;
	return nr ? bsearch(&key, procs, nr, sizeof(*procs), cmp_pid) : NULL;
}

static bool fits(const struct proc *p, size_t nr, int round)
{
	/* May be right, or a process that was released while read. */
	if (!round && p->up[BY_PPID] && !p->up[BY_CABA] && p->has_caba)
		return false;
	return find(p->up[BY_PPID], nr) && find(p->up[BY_CABA], nr);
}

void settle(void)
{
	bool changed = true;
	size_t i, nr;
	int round, t;

	for (round = 0; changed && round < ROUNDS; round++) {
		changed = false;
		nr = nr_procs;
		for (i = 0; i < nr; i++) {
			struct proc now;

			if (fits(&procs[i], nr, round))
				continue;
			changed = true;
			/* find() needs the order: who is gone leaves later */
			if (!read_proc(proc_fd, procs[i].pid, &now)) {
				procs[i].gone = true;
				continue;
			}
			forget(&procs[i]);
			now.gone = now.pid != procs[i].pid;
			now.pid = procs[i].pid;
			procs[i] = now;
			for (t = 0; t < TREES; t++) {
				if (!now.gone && !find(now.up[t], nr))
					add_proc(now.up[t]);
			}
		}
		sort_procs();
	}
}

void open_proc(const char *path)
{
	proc_dir = opendir(path);
	if (!proc_dir)
		err(EXIT_ERROR, "%s", path);
	proc_fd = dirfd(proc_dir);
	proc_path = path;
}

/* In the pid namespace of this proc; 0 outside. */
pid_t own_pid(void)
{
	char s[16] = "";

	return readlinkat(proc_fd, "self", s, sizeof(s) - 1) < 0 ? 0 : number(s);
}

void list_pids(void (*found)(pid_t pid))
{
	struct dirent *d;
	char *end;
	long pid;

	rewinddir(proc_dir);
	while ((d = readdir(proc_dir))) {
		pid = strtol(d->d_name, &end, 10);
		if (pid > 0 && pid <= INT_MAX && !*end)
			found(pid);
	}
}

static void found_one(pid_t pid)
{
	add_proc(pid);
}

/* All anew: what was read before is forgotten. */
void read_all(void)
{
	while (nr_procs)
		forget(&procs[--nr_procs]);
	list_pids(found_one);
	if (!nr_procs)
		errx(EXIT_ERROR, "%s: no processes to be seen there", proc_path);
	sort_procs();
	settle();
}

/*
 * A pid that was used again between two reads can close a circle: cut it
 * where it is found, so that every process is below the root.
 */
static void cut_circles(int t)
{
	struct proc *p;
	size_t i;

	for (i = 0; i < nr_procs; i++)
		procs[i].walk = 0;
	for (i = 0; i < nr_procs; i++) {
		for (p = &procs[i]; p != &root && !p->walk; p = p->parent[t])
			p->walk = i + 1;
		if (p != &root && p->walk == i + 1)
			p->parent[t] = &root;
	}
}

static struct proc *find_ghost(pid_t pid)
{
	struct proc key = { .pid = pid };

	return nr_ghosts ? bsearch(&key, ghosts, nr_ghosts, sizeof(*ghosts), cmp_pid) : NULL;
}

/* Where it was, also if that one went with it. */
static void place_ghost(struct proc *ghost, int t)
{
	size_t steps = nr_ghosts;
	struct proc *p = ghost;

	while (p && !find(p->up[t], nr_procs) && steps--)
		p = find_ghost(p->up[t]);
	ghost->child[t] = NULL;
	ghost->parent[t] = find(ghost->up[t], nr_procs);
	if (!ghost->parent[t] && p && find(p->up[t], nr_procs))
		ghost->parent[t] = find_ghost(ghost->up[t]);
	if (!ghost->parent[t])
		ghost->parent[t] = &root;
	ghost->shown[t] = true;
}

static void hang(struct proc *p, int t)
{
	if (!p->shown[t])
		return;
	p->next[t] = p->parent[t]->child[t];
	p->parent[t]->child[t] = p;
}

void link_tree(int t, bool kthreads)
{
	size_t i, g = nr_ghosts;
	struct proc *p;

	root.child[t] = NULL;
	for (i = 0; i < nr_procs; i++) {
		p = find(procs[i].up[t], nr_procs);
		procs[i].parent[t] = p ? p : &root;
		procs[i].child[t] = NULL;
		procs[i].shown[t] = false;
	}
	cut_circles(t);
	for (i = 0; i < nr_ghosts; i++)
		place_ghost(&ghosts[i], t);
	/* A kernel thread that started a program is shown with it. */
	for (i = 0; i < nr_procs; i++) {
		if (procs[i].kthread && !kthreads)
			continue;
		for (p = &procs[i]; p != &root && !p->shown[t]; p = p->parent[t])
			p->shown[t] = true;
	}
	/* From the last to the first, as each goes before those that hang. */
	for (i = nr_procs; i-- > 0;) {
		for (; g && ghosts[g - 1].pid > procs[i].pid; g--)
			hang(&ghosts[g - 1], t);
		hang(&procs[i], t);
	}
	while (g--)
		hang(&ghosts[g], t);
}

/* The next one of those below @top, children after their parent. */
struct proc *after(const struct proc *p, const struct proc *top, int t)
{
	if (p->child[t])
		return p->child[t];
	while (p != top && !p->next[t])
		p = p->parent[t];
	return p == top ? NULL : p->next[t];
}

/* What draw(), write_dot() begin with: the root itself is not shown. */
struct proc *first(struct proc *top, int t)
{
	return top == &root ? root.child[t] : top;
}

/* For one that was born below @top. */
bool is_stray(const struct proc *p, const struct proc *top)
{
	for (; p != &root; p = p->parent[BY_PPID]) {
		if (p == top)
			return false;
	}
	return true;
}
