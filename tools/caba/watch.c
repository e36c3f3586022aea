// SPDX-License-Identifier: GPL-2.0
/*
 * --watch: draw again each second, with marks at what came, went and moved.
 *
 * The place of a process changes when the one above it dies and not otherwise.
 * So there is a pidfd for each, and epoll tells who died: these and those right
 * below them are read again. The kernel counts births ("processes" in
 * /proc/stat): when there were some, /proc is listed, and who is new is read.
 * Names, sessions and users change without a trace: those on the screen are
 * read again each time. When nothing happens, that is all.
 *
 * Where there cannot be so many open files, or /proc is not that of our pid
 * namespace, all are read again each time, and a process is who has its number.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "cabatree.h"

/* Seconds for which a mark is to be seen */
#define MARKED		3

/* How often to look for one that should be there */
#define ROUNDS		5

static int tree;
static int epoll_fd = -1;		/* -1: all are read again each time */
static unsigned int tick, mark_ticks;
static size_t max_ghosts, nr_known;
static bool changed, marks;
static unsigned long long births;

static pid_t *on_screen;
static size_t nr_on_screen, max_on_screen;
static size_t scroll, nr_lines;
static int rows, columns;

static struct termios before;
static bool has_keys;
static bool entered;
static int ended;

/* Whatever its number means by now */
static bool remains(const struct proc *p)
{
	return p->fd < 0 || is_there(p->fd);
}

static void mark(struct proc *p, enum mark mark)
{
	changed = true;
	if (!tick)
		return;
	p->mark = mark;
	p->until = tick + mark_ticks;
	marks = true;
}

static void unfollow(void)
{
	size_t i;

	for (i = 0; i < nr_procs; i++) {
		if (procs[i].fd >= 0)
			close(procs[i].fd);
		procs[i].fd = -1;
	}
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
}

static void meet(pid_t pid)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = pid };
	struct proc *p;
	int fd = -1;

	if (find(pid, nr_known))
		return;
	/* Before it is read, so that it is known afterwards who was. */
	if (epoll_fd >= 0) {
		fd = syscall(SYS_pidfd_open, pid, 0);
		if (fd < 0 && (errno == ESRCH || errno == EINVAL))
			return;
		if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
			if (fd >= 0)
				close(fd);
			unfollow();
			fd = -1;
		}
	}
	if (!add_proc(pid)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	p = &procs[nr_procs - 1];
	p->fd = fd;
	if (!remains(p)) {
		close(fd);
		forget(p);
		nr_procs--;
		return;
	}
	mark(p, CAME);
}

/* Those whose pidfd says so, and who stands below them. */
static void who_died(void)
{
	struct epoll_event events[64];
	struct proc *p, *q;
	int n, i;

	do {
		n = epoll_wait(epoll_fd, events, 64, 0);
		for (i = 0; i < n; i++) {
			p = find(events[i].data.u32, nr_procs);
			if (!p)
				continue;
			p->again = true;
			for (q = p->child[tree]; q; q = q->next[tree])
				q->again = true;
		}
	} while (n == 64);
}

static bool had_births(void)
{
	unsigned long long now = 0;
	char *s = slurp(proc_fd, "stat", NULL);

	s = s ? strstr(s, "\nprocesses ") : NULL;
	if (s)
		now = strtoull(s + strlen("\nprocesses "), NULL, 10);
	if (s && now == births)
		return false;
	births = now;
	return true;
}

static void read_again(struct proc *p)
{
	struct proc now;

	p->again = false;
	if (!read_proc(proc_fd, p->pid, &now)) {
		p->gone = true;
		return;
	}
	if (now.pid != p->pid || !remains(p)) {
		forget(&now);
		p->gone = true;
		return;
	}
	if (now.up[tree] != p->up[tree])
		mark(p, MOVED);
	changed |= strcmp(now.name, p->name) || now.sid != p->sid || now.uid != p->uid ||
		   now.zombie != p->zombie || now.up[BY_PPID] != p->up[BY_PPID];
	/* Not its place among the others: they are linked when that changed. */
	forget(p);
	p->name = now.name;
	p->nspid = now.nspid;
	p->sid = now.sid;
	p->uid = now.uid;
	p->state = now.state;
	p->zombie = now.zombie;
	p->start = now.start;
	memcpy(p->up, now.up, sizeof(p->up));
}

static int cmp_pid(const void *a, const void *b)
{
	const struct proc *p = a, *q = b;

	return p->pid < q->pid ? -1 : p->pid > q->pid;
}

/* What went stays a while where it was. */
static void bury(void)
{
	size_t i, nr = 0;

	for (i = 0; i < nr_procs; i++) {
		if (!procs[i].gone) {
			procs[nr++] = procs[i];
			continue;
		}
		if (procs[i].fd >= 0)
			close(procs[i].fd);
		procs[i].fd = -1;
		mark(&procs[i], WENT);
		if (!tick) {
			forget(&procs[i]);
			continue;
		}
		ghosts = grow(ghosts, nr_ghosts, &max_ghosts, sizeof(*ghosts));
		ghosts[nr_ghosts++] = procs[i];
	}
	if (nr == nr_procs)
		return;
	nr_procs = nr;
	qsort(ghosts, nr_ghosts, sizeof(*ghosts), cmp_pid);
}

static void old_marks(void)
{
	size_t i, nr = 0;

	if (!marks)
		return;
	marks = false;
	for (i = 0; i < nr_procs; i++) {
		if (procs[i].mark && procs[i].until <= tick) {
			procs[i].mark = UNMARKED;
			changed = true;
		}
		marks |= procs[i].mark;
	}
	for (i = 0; i < nr_ghosts; i++) {
		if (ghosts[i].until > tick)
			ghosts[nr++] = ghosts[i];
		else
			forget(&ghosts[i]);
	}
	changed |= nr != nr_ghosts;
	nr_ghosts = nr;
	marks |= nr;
}

/* Those that came or moved and whose place is not known yet. */
static void find_places(void)
{
	bool missing = true;
	size_t i, j, nr;
	int round;

	for (round = 0; missing && round < ROUNDS; round++) {
		missing = false;
		sort_procs();
		nr = nr_procs;
		nr_known = nr;
		for (i = 0; i < nr; i++) {
			if (find(procs[i].up[tree], nr))
				continue;
			missing = true;
			read_again(&procs[i]);
			for (j = nr; j < nr_procs && procs[j].pid != procs[i].up[tree]; j++)
				;
			if (!procs[i].gone && j == nr_procs)
				meet(procs[i].up[tree]);
		}
		/* Before sort_procs(), which drops them. */
		bury();
	}
	sort_procs();
	nr_known = nr_procs;
}

static void look(void)
{
	struct proc *p;
	bool listed;
	size_t i;

	changed = !tick;
	old_marks();
	if (epoll_fd >= 0)
		who_died();
	for (i = 0; i < nr_on_screen; i++) {
		p = find(on_screen[i], nr_procs);
		if (p)
			p->again = true;
	}
	listed = had_births() || epoll_fd < 0;
	for (i = 0; i < nr_procs; i++) {
		if (procs[i].again || procs[i].zombie || epoll_fd < 0)
			read_again(&procs[i]);
	}
	bury();
	nr_known = nr_procs;
	if (listed)
		list_pids(meet);
	if (changed)
		find_places();
	tick++;
}

static void put_line(struct text *screen, const struct text *line)
{
	screen->limit = INT_MAX;
	add_text(screen, line->s ? line->s : "");
	add_text(screen, "\033[K\r\n");
}

static void draw(pid_t below, struct proc *top)
{
	static const char * const mark_of[] = { "  ", "+ ", "- ", "> " };
	static struct text screen, line;
	size_t nr = 0, page = rows > 3 ? rows - 2 : 1, count[4] = {};
	time_t now = time(NULL);
	struct winsize size;
	char s[128], clock[16];
	struct proc *p;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col) {
		rows = size.ws_row;
		columns = size.ws_col;
		page = rows > 3 ? rows - 2 : 1;
	}
	nr_lines = 0;
	for (p = first(top, tree); p; p = after(p, top, tree)) {
		count[p->mark]++;
		nr_lines++;
	}
	if (scroll + page > nr_lines)
		scroll = nr_lines > page ? nr_lines - page : 0;

	clear_text(&screen);
	add_text(&screen, "\033[H");
	line.limit = columns;
	clear_text(&line);
	strftime(clock, sizeof(clock), "%T", localtime(&now));
	snprintf(s, sizeof(s), "%s  %zu processes  + %zu came  - %zu went  > %zu moved  ", clock,
		 nr_lines - count[WENT], count[CAME], count[WENT], count[MOVED]);
	add_text(&line, s);
	if (below)
		snprintf(s, sizeof(s), "below %d  ", below);
	else
		*s = 0;
	add_text(&line, s);
	if (nr_lines > page)
		snprintf(s, sizeof(s), "lines %zu-%zu of %zu  ",
			 scroll + 1, scroll + page, nr_lines);
	else
		*s = 0;
	add_text(&line, s);
	put_line(&screen, &line);

	nr_on_screen = 0;
	for (p = first(top, tree); p && nr < scroll + page; p = after(p, top, tree)) {
		if (nr++ < scroll)
			continue;
		on_screen = grow(on_screen, nr_on_screen, &max_on_screen, sizeof(*on_screen));
		on_screen[nr_on_screen++] = p->pid;
		line.limit = columns;
		clear_text(&line);
		add_text(&line, mark_of[p->mark]);
		draw_one(&line, p, top, tree);
		put_line(&screen, &line);
	}
	add_text(&screen, "\033[J");
	if (write(STDOUT_FILENO, screen.s, screen.len) < 0)
		ended = SIGHUP;
}

static void leave(void)
{
	static const char s[] = "\033[?25h\033[?1049l";

	if (!entered)
		return;
	entered = false;
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	if (write(STDOUT_FILENO, s, sizeof(s) - 1) < 0)
		warn("cannot write");
}

static void enter(void)
{
	static const char s[] = "\033[?1049h\033[?25l";
	struct termios keys;

	if (write(STDOUT_FILENO, s, sizeof(s) - 1) < 0)
		err(EXIT_ERROR, "cannot write");
	entered = true;
	has_keys = !tcgetattr(STDIN_FILENO, &before);
	atexit(leave);
	if (!has_keys)
		return;
	keys = before;
	keys.c_lflag &= ~(ICANON | ECHO);
	keys.c_cc[VMIN] = 0;
	keys.c_cc[VTIME] = 0;
	keys.c_cc[VSUSP] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
}

static void on_key(void)
{
	static const struct {
		const char *key;
		int lines, pages;
	} keys[] = {
		{ "j", 1, 0 }, { "\033[B", 1, 0 }, { "\033OB", 1, 0 },
		{ "k", -1, 0 }, { "\033[A", -1, 0 }, { "\033OA", -1, 0 },
		{ " ", 0, 1 }, { "\033[6~", 0, 1 },
		{ "b", 0, -1 }, { "\033[5~", 0, -1 },
		{ "g", INT_MIN, 0 }, { "\033[H", INT_MIN, 0 },
		{ "G", INT_MAX, 0 }, { "\033[F", INT_MAX, 0 },
	};
	char s[16] = "";
	long long to;
	size_t i;

	if (read(STDIN_FILENO, s, sizeof(s) - 1) <= 0) {
		has_keys = false;
		return;
	}
	if (*s == 'q')
		ended = SIGINT;
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(s, keys[i].key))
			continue;
		to = (long long)scroll + keys[i].lines + keys[i].pages * (rows - 2);
		/* draw() knows where the end is. */
		scroll = to < 0 ? 0 : to;
	}
}

static void on_signal(int sig)
{
	if (sig != SIGWINCH)
		ended = sig;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* True when a key or a signal came, false when it is time. */
static bool wait_until(double end, const sigset_t *mask)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	double left = end - seconds_now();
	struct timespec t = { left, (left - (time_t)left) * 1e9 };

	if (left <= 0)
		return false;
	switch (ppoll(&keys, has_keys, &t, mask)) {
	case 0:
		return false;
	case 1:
		on_key();
	}
	return true;
}

void watch(pid_t below, int t, bool kthreads, double seconds)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
	struct sigaction action = { .sa_handler = on_signal };
	struct proc *top;
	sigset_t block, mask;
	double end;
	size_t i;

	tree = t;
	rows = 24;
	columns = 80;
	mark_ticks = MARKED / seconds < 1 ? 1 : MARKED / seconds;
	raise_limit();
	sigemptyset(&block);
	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		sigaddset(&block, signals[i]);
		sigaction(signals[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, &mask);

	/* All anew, each with a pidfd. */
	while (nr_procs)
		forget(&procs[--nr_procs]);
	if (own_pid() == getpid())
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	enter();
	/* Signals come in ppoll() only. */
	for (end = seconds_now(); !ended; end += seconds) {
		look();
		top = find(below, nr_procs);
		if (!top) {
			leave();
			errx(EXIT_NO_PROCESS, "%d is gone", below);
		}
		if (changed)
			link_tree(tree, kthreads);
		do {
			draw(below, top);
		} while (!ended && wait_until(end + seconds, &mask));
	}
	leave();
}
