// SPDX-License-Identifier: GPL-2.0
/*
 * cabatree - show who was started by whom
 *
 * Reads /proc/PID/status of all processes and draws them by NScaba (closest
 * alive born ancestor), by PPid, or by both side by side.
 *
 * Each status file is a snapshot of its own, so what is read fits together
 * only as far as no process came or went meanwhile. settle() reads again what
 * does not fit; what still does not then hangs under the root.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <wchar.h>

enum { BY_PPID, BY_CABA, TREES };

enum {
	EXIT_NO_PROCESS	= 1,
	EXIT_USAGE	= 2,
	EXIT_NO_NSCABA	= 3,
	EXIT_ERROR	= 4,
};

/* PF_KTHREAD among the flags in /proc/PID/stat */
#define STAT_KTHREAD	0x00200000

/* How often to read again what does not fit together */
#define ROUNDS		5

struct proc {
	pid_t pid;
	pid_t sid;			/* -1: this kernel does not say */
	uid_t uid;			/* -1: as above */
	char *name;
	int width;			/* of the name, in columns */
	char *nspid;			/* pids in the namespaces below ours */
	bool kthread;
	bool has_caba;
	bool gone;
	bool drawn;
	size_t walk;
	pid_t up[TREES];		/* as read; 0 is the root */
	struct proc *parent[TREES];
	struct proc *child[TREES];	/* first one that is shown */
	struct proc *next[TREES];
	bool shown[TREES];
};

struct line {
	char *text;
	int width;
	bool differs;
};

static int proc_fd;
static struct proc *procs;		/* sorted by pid */
static size_t nr_procs, max_procs;
static struct proc root;
static bool utf8;

static void *check(void *p)
{
	if (!p)
		errx(EXIT_ERROR, "out of memory");
	return p;
}

/* Room for one more behind the @nr that are there. */
static void *grow(void *array, size_t nr, size_t *max, size_t size)
{
	if (nr < *max)
		return array;
	*max = *max ? *max * 2 : 256;
	return check(reallocarray(array, *max, size));
}

/* The string from asprintf(), which needs it in a variable of its own. */
#define format(...)						\
({								\
	char *str;						\
								\
	check(asprintf(&str, __VA_ARGS__) < 0 ? NULL : str);	\
})

/* All of a process's file, with a 0 behind; NULL when the process is gone. */
static char *slurp(pid_t pid, const char *file, size_t *len)
{
	size_t size = 4096, used = 0;
	char path[64], *buf;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%d/%s", pid, file);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;

	buf = check(malloc(size));
	while ((n = read(fd, buf + used, size - used - 1)) > 0) {
		used += n;
		if (used == size - 1) {
			size *= 2;
			buf = check(realloc(buf, size));
		}
	}
	close(fd);
	if (n < 0) {
		free(buf);
		return NULL;
	}
	buf[used] = 0;
	*len = used;
	return buf;
}

/*
 * Names and command lines are anyone's to choose. What is not a character
 * with a column of its own is shown as \ooo, the way the kernel does it.
 * @escaped: backslashes are escaped already, as in the kernel's "Name:".
 */
static char *printable(const char *s, size_t len, bool escaped, int *width)
{
	char *out = check(malloc(len * 4 + 1)), *o = out;
	size_t i, n;
	wchar_t wc;

	*width = 0;
	for (; len; s += n, len -= n) {
		mbstate_t state = {};

		n = mbrtowc(&wc, s, len, &state);
		if (!n || n > len) {
			n = 1;
			wc = 0;
		}
		if (wc == '\\' && !escaped) {
			o = stpcpy(o, "\\\\");
			*width += 2;
		} else if (wc && wcwidth(wc) > 0) {
			o = mempcpy(o, s, n);
			*width += wcwidth(wc);
		} else {
			for (i = 0; i < n; i++)
				o += sprintf(o, "\\%03o", (unsigned char)s[i]);
			*width += n * 4;
		}
	}
	*o = 0;
	return out;
}

static const char *field(const char *status, const char *key)
{
	const char *s = strstr(status, key);

	return s ? s + strlen(key) : NULL;
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

/* For kernels that have no "Kthread:" in status, before 6.8. */
static bool stat_says_kthread(pid_t pid)
{
	unsigned int flags = 0;
	char *stat, *s;
	size_t len;

	stat = slurp(pid, "stat", &len);
	s = stat ? strrchr(stat, ')') : NULL;
	if (!s || sscanf(s, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		flags = 0;
	free(stat);
	return flags & STAT_KTHREAD;
}

/* False when there is no such process, or not any more. */
static bool read_proc(pid_t pid, struct proc *p)
{
	const char *s;
	char *status;
	size_t len;

	status = slurp(pid, "status", &len);
	if (!status)
		return false;
	/* The Tgid is 0 when it was released while this was written. */
	s = field(status, "\nTgid:");
	if (strncmp(status, "Name:\t", 6) || number(s) <= 0) {
		free(status);
		return false;
	}

	memset(p, 0, sizeof(*p));
	p->pid = number(s);
	p->up[BY_PPID] = number(field(status, "\nPPid:"));
	s = field(status, "\nNScaba:");
	p->has_caba = s;
	p->up[BY_CABA] = number(s);
	s = field(status, "\nNSsid:");
	p->sid = s ? number(s) : -1;
	p->nspid = levels_below(field(status, "\nNSpid:"));
	s = field(status, "\nUid:");
	if (!s || sscanf(s, "%*u %u", &p->uid) != 1)
		p->uid = -1;
	s = field(status, "\nKthread:");
	p->kthread = s ? number(s) : stat_says_kthread(pid);
	s = status + 6;
	p->name = printable(s, strcspn(s, "\n"), true, &p->width);
	free(status);
	return true;
}

static void forget(struct proc *p)
{
	free(p->name);
	free(p->nspid);
}

static void add_proc(pid_t pid)
{
	struct proc p;

	if (!read_proc(pid, &p))
		return;
	procs = grow(procs, nr_procs, &max_procs, sizeof(*procs));
	procs[nr_procs++] = p;
}

static int cmp_pid(const void *a, const void *b)
{
	const struct proc *p = a, *q = b;

	return p->pid < q->pid ? -1 : p->pid > q->pid;
}

/* Sorts, and drops what is gone or was read twice. */
static void sort_procs(void)
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
static struct proc *find(pid_t pid, size_t nr)
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

static void settle(void)
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
			if (!read_proc(procs[i].pid, &now)) {
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

static void read_all(const char *path)
{
	struct dirent *d;
	DIR *dir;
	char *end;
	long pid;

	dir = opendir(path);
	if (!dir)
		err(EXIT_ERROR, "%s", path);
	proc_fd = dirfd(dir);
	while ((d = readdir(dir))) {
		pid = strtol(d->d_name, &end, 10);
		if (pid > 0 && pid <= INT_MAX && !*end)
			add_proc(pid);
	}
	if (!nr_procs)
		errx(EXIT_ERROR, "%s: no processes to be seen there", path);
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

static void link_tree(int t, bool kthreads)
{
	struct proc *p;
	size_t i;

	for (i = 0; i < nr_procs; i++) {
		p = find(procs[i].up[t], nr_procs);
		procs[i].parent[t] = p ? p : &root;
	}
	cut_circles(t);
	/* A kernel thread that started a program is shown with it. */
	for (i = 0; i < nr_procs; i++) {
		if (procs[i].kthread && !kthreads)
			continue;
		for (p = &procs[i]; p != &root && !p->shown[t]; p = p->parent[t])
			p->shown[t] = true;
	}
	for (i = nr_procs; i-- > 0;) {
		p = &procs[i];
		if (!p->shown[t])
			continue;
		p->next[t] = p->parent[t]->child[t];
		p->parent[t]->child[t] = p;
	}
}

/* The next one of those below @top, children after their parent. */
static struct proc *after(const struct proc *p, const struct proc *top, int t)
{
	if (p->child[t])
		return p->child[t];
	while (p != top && !p->next[t])
		p = p->parent[t];
	return p == top ? NULL : p->next[t];
}

/* What draw(), write_dot() begin with: the root itself is not shown. */
static struct proc *first(struct proc *top, int t)
{
	return top == &root ? root.child[t] : top;
}

static const char *branch(bool self, bool last)
{
	if (utf8)
		return self ? (last ? "└─ " : "├─ ") : (last ? "   " : "│  ");
	return self ? (last ? "`- " : "|- ") : (last ? "   " : "|  ");
}

static char *label(const struct proc *p, const char *name, const char *gap)
{
	char *s, *sid = format("%ssid=%d", gap, p->sid);

	s = format("%s(%d)%s%s%s%s", name, p->pid, p->sid < 0 ? "" : sid,
		   p->nspid ? gap : "", p->nspid ? "nspid=" : "",
		   p->nspid ? p->nspid : "");
	free(sid);
	return s;
}

static struct line draw_one(const struct proc *p, const struct proc *top, int t)
{
	const size_t longest = strlen("├─ ");
	const struct proc *q;
	char *prefix, *text, *s;
	struct line line;
	size_t depth = 0;

	for (q = p; q != top && q->parent[t] != &root; q = q->parent[t])
		depth++;
	line.width = depth * 3;
	prefix = check(malloc(depth * longest + 1));
	s = prefix + depth * longest;
	*s = 0;
	for (q = p; depth; q = q->parent[t], depth--) {
		const char *b = branch(q == p, !q->next[t]);

		s -= strlen(b);
		memcpy(s, b, strlen(b));
	}

	text = label(p, p->name, " ");
	line.width += strlen(text) - strlen(p->name) + p->width;
	line.text = format("%s%s", s, text);
	line.differs = p->up[BY_PPID] != p->up[BY_CABA];
	free(text);
	free(prefix);
	return line;
}

static struct line *draw(struct proc *top, int t, size_t *nr)
{
	struct line *lines = NULL;
	struct proc *p;
	size_t max = 0;

	*nr = 0;
	for (p = first(top, t); p; p = after(p, top, t)) {
		lines = grow(lines, *nr, &max, sizeof(*lines));
		lines[(*nr)++] = draw_one(p, top, t);
	}
	return lines;
}

static void show_one(struct proc *top, int t)
{
	struct line *lines;
	size_t i, nr;

	lines = draw(top, t, &nr);
	for (i = 0; i < nr; i++)
		puts(lines[i].text);
}

static void show_both(struct proc *top)
{
	static const char * const mark[] = { "  ", "* " };
	static const char left_head[] = "by PPid: who is parent now";
	static const char right_head[] = "by NScaba: who started it and still lives";
	struct line *left, *right;
	size_t i, nr_left, nr_right;
	bool differs = false;
	int width = strlen(left_head);

	left = draw(top, BY_PPID, &nr_left);
	right = draw(top, BY_CABA, &nr_right);
	for (i = 0; i < nr_left; i++) {
		if (left[i].width > width)
			width = left[i].width;
	}

	printf("  %-*s    %s\n", width, left_head, right_head);
	for (i = 0; i < nr_left || i < nr_right; i++) {
		int used = -2;

		if (i < nr_left) {
			printf("%s%s", mark[left[i].differs], left[i].text);
			used = left[i].width;
			differs |= left[i].differs;
		}
		if (i < nr_right) {
			printf("%*s%s%s", width + 2 - used, "",
			       mark[right[i].differs], right[i].text);
			differs |= right[i].differs;
		}
		putchar('\n');
	}
	if (differs)
		puts("* PPid and NScaba differ");
}

static char *user_name(uid_t uid)
{
	struct passwd *pw;
	int width;

	if (uid == (uid_t)-1)
		return format("?");
	pw = getpwuid(uid);
	if (!pw)
		return format("%u", uid);
	return printable(pw->pw_name, strlen(pw->pw_name), false, &width);
}

/* As ps shows it: the name in brackets for who has none. */
static char *command_line(const struct proc *p)
{
	size_t len = 0, i;
	char *args, *s;
	int width;

	args = slurp(p->pid, "cmdline", &len);
	while (len && !args[len - 1])
		len--;
	for (i = 0; i < len; i++) {
		if (!args[i])
			args[i] = ' ';
	}
	s = len ? printable(args, len, false, &width) : format("[%s]", p->name);
	free(args);
	return s;
}

static void show_who(struct proc *who, int t)
{
	int pid_width = 0, name_width = 0, user_width = 0, n;
	const char *why = NULL;
	char *user, *args;
	struct proc *p;

	for (p = who; p != &root; p = p->parent[t]) {
		n = snprintf(NULL, 0, "%d", p->pid);
		pid_width = n > pid_width ? n : pid_width;
		n = snprintf(NULL, 0, "%d", p->up[t]);
		pid_width = n > pid_width ? n : pid_width;
		name_width = p->width > name_width ? p->width : name_width;
		user = user_name(p->uid);
		n = strlen(user);
		user_width = n > user_width ? n : user_width;
		free(user);
	}
	for (p = who; ; p = p->parent[t]) {
		user = user_name(p->uid);
		args = command_line(p);
		printf("%*d  %s%*s  %-*s  %s\n", pid_width, p->pid, p->name,
		       name_width - p->width, "", user_width, user, args);
		free(user);
		free(args);
		if (p->parent[t] == &root)
			break;
	}

	if (p->up[t] && find(p->up[t], nr_procs))
		why = "processes came and went meanwhile: try again";
	else if (p->up[t])
		why = "not visible from here";
	else if (p->pid != 1 && !p->kthread)
		why = "outside this pid namespace";
	if (why)
		printf("%*d  ?  (%s)\n", pid_width, p->up[t], why);
}

static void write_dot_label(const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			fputs("&amp;", stdout);
		else if (*s == '\n')
			fputs("\\n", stdout);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else
			putchar(*s);
	}
}

static void write_dot(struct proc *top, bool use[TREES])
{
	struct proc *p;
	char *text;
	int t;

	puts("digraph cabatree {\n\tnode [shape=box];");
	for (t = TREES; t-- > 0;) {
		if (!use[t])
			continue;
		for (p = first(top, t); p; p = after(p, top, t)) {
			if (!p->drawn) {
				text = label(p, p->name, "\n");
				printf("\t%d [label=\"", p->pid);
				write_dot_label(text);
				puts("\"];");
				free(text);
				p->drawn = true;
			}
			if (p == top || p->parent[t] == &root)
				continue;
			if (t == BY_CABA || !use[BY_CABA])
				printf("\t%d -> %d;\n", p->parent[t]->pid, p->pid);
			else if (p->up[BY_PPID] != p->up[BY_CABA])
				printf("\t%d -> %d [style=dashed, label=\"PPid\"];\n",
				       p->parent[t]->pid, p->pid);
		}
	}
	puts("}");
}

/* A thread id means its process. */
static struct proc *find_arg(pid_t pid)
{
	struct proc *p, thread;

	p = find(pid, nr_procs);
	if (!p && read_proc(pid, &thread)) {
		p = find(thread.pid, nr_procs);
		forget(&thread);
	}
	if (!p)
		errx(EXIT_NO_PROCESS, "no such process: %d", pid);
	return p;
}

#define SEE_HELP	"; see cabatree --help"

static pid_t pid_arg(const char *s)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || errno || pid <= 0 ||
	    pid > INT_MAX)
		errx(EXIT_USAGE, "not a process id: '%s'" SEE_HELP, s);
	return pid;
}

static int finish(void)
{
	if (ferror(stdout) || fclose(stdout))
		err(EXIT_ERROR, "cannot write");
	return 0;
}

static void show_help(void)
{
	puts("Usage: cabatree [-p | -b] [-k] [--dot] [PID]\n"
	     "       cabatree [-p] --who PID\n"
	     "\n"
	     "Show the tree of processes by NScaba, their closest alive born ancestor: each\n"
	     "under the one that started it, or the next one up that still lives. With PID,\n"
	     "only what is below that process.\n"
	     "\n"
	     "  -p, --ppid             by PPid instead: each under its parent now\n"
	     "  -b, --both             both, side by side; * marks those whose place differs\n"
	     "  -w, --who PID          who started PID? The line of births up to the root:\n"
	     "                         pid, name, user, command line\n"
	     "  -d, --dot              write a graph for Graphviz; with -b, where PPid differs\n"
	     "                         it is dashed\n"
	     "  -k, --kernel-threads   show kernel threads too\n"
	     "      --proc DIR         a proc file system mounted elsewhere than on /proc\n"
	     "  -h, --help             this help\n"
	     "\n"
	     "sid is the session, nspid the pid inside the process's own pid namespaces.\n"
	     "\n"
	     "Exit status: 0 all is well, 1 no such process, 2 usage, 3 this kernel has no\n"
	     "NScaba, 4 any other error.");
}

int main(int argc, char *argv[])
{
	enum { OPT_PROC = 256 };
	static const struct option options[] = {
		{ "ppid",		no_argument,		NULL, 'p' },
		{ "both",		no_argument,		NULL, 'b' },
		{ "who",		required_argument,	NULL, 'w' },
		{ "dot",		no_argument,		NULL, 'd' },
		{ "kernel-threads",	no_argument,		NULL, 'k' },
		{ "proc",		required_argument,	NULL, OPT_PROC },
		{ "help",		no_argument,		NULL, 'h' },
		{}
	};
	bool ppid = false, both = false, dot = false, kthreads = false;
	bool use[TREES], has_caba = false;
	const char *path = "/proc";
	pid_t who = 0, below = 0;
	struct proc *top = &root;
	size_t i;
	int opt;

	setlocale(LC_CTYPE, "");
	utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");

	while ((opt = getopt_long(argc, argv, "pbw:dkh", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			ppid = true;
			break;
		case 'b':
			both = true;
			break;
		case 'w':
			who = pid_arg(optarg);
			break;
		case 'd':
			dot = true;
			break;
		case 'k':
			kthreads = true;
			break;
		case OPT_PROC:
			path = optarg;
			break;
		case 'h':
			show_help();
			return finish();
		default:
			/* getopt has said what is wrong */
			errx(EXIT_USAGE, "see cabatree --help");
		}
	}
	if (optind < argc)
		below = pid_arg(argv[optind++]);
	if (optind < argc)
		errx(EXIT_USAGE, "one PID at a time, not '%s' as well" SEE_HELP,
		     argv[optind]);
	if (ppid && both)
		errx(EXIT_USAGE, "-p and -b exclude each other" SEE_HELP);
	if (who && (both || dot || below))
		errx(EXIT_USAGE, "--who takes one PID, and neither -b nor --dot" SEE_HELP);

	read_all(path);
	for (i = 0; i < nr_procs; i++)
		has_caba |= procs[i].has_caba;
	if (!has_caba && !ppid)
		errx(EXIT_NO_NSCABA,
		     "this kernel has no NScaba in /proc/PID/status: it takes one with CONFIG_CABA=y (-p works without)");

	if (who || below)
		top = find_arg(who ? who : below);
	kthreads |= top->kthread;
	use[BY_PPID] = ppid || both;
	use[BY_CABA] = !ppid;
	for (i = 0; i < TREES; i++) {
		if (use[i])
			link_tree(i, kthreads);
	}

	if (who)
		show_who(top, !ppid);
	else if (dot)
		write_dot(top, use);
	else if (both)
		show_both(top);
	else
		show_one(top, !ppid);

	return finish();
}
