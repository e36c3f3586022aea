// SPDX-License-Identifier: GPL-2.0
/*
 * What 'make run' shows: a small system of real processes, drawn by cabatree
 * by PPid and by NScaba, and in words what was lost and what was kept.
 *
 *	init
 *	  supervisor			a service, sub-reaper
 *	    agent
 *	      launcher			starts app and is gone
 *	        app
 *	  runtime			a container: c-init is its pid 1
 *	    c-init
 *	      c-shell
 *	        c-starter		the double fork of a daemon
 *	          c-daemon
 *	  login				a session
 *	    shell
 *	      starter			again a double fork
 *	        daemon
 *	      enter			setns() into the container, as docker exec
 *	        visitor
 *
 * It lives in a pid namespace of its own, so that nothing else is in the
 * picture and that nothing is left behind: it dies with its init. This
 * program stands outside and looks in. All that it says is read from /proc,
 * and it fails if what it reads is not what the scene must give.
 *
 * Each process tells the one that started it when all below it is in place,
 * so pids are the same in each run.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MAX_PROCS	64
#define VALUE		64

struct proc {
	char name[VALUE];
	pid_t pid;
	pid_t ppid;
	char nstgid[VALUE];
	char nscaba[VALUE];
};

/* One proc file system: that of the scene, or that of the container in it. */
struct view {
	char path[VALUE];
	struct proc procs[MAX_PROCS];
	int nr;
};

/* Who must be there. NULL: not visible in that view, 0. */
struct expected {
	const char *name;
	const char *parent;
	const char *caba;
};

static const struct expected scene[] = {
	{ "init",	NULL,		NULL },
	{ "supervisor",	"init",		"init" },
	{ "agent",	"supervisor",	"supervisor" },
	{ "app",	"supervisor",	"agent" },
	{ "runtime",	"init",		"init" },
	{ "c-init",	"runtime",	"runtime" },
	{ "c-shell",	"c-init",	"c-init" },
	{ "c-daemon",	"c-init",	"c-shell" },
	{ "login",	"init",		"init" },
	{ "shell",	"login",	"login" },
	{ "daemon",	"init",		"shell" },
	{ "visitor",	"init",		"shell" },
};

static const struct expected container[] = {
	{ "c-init",	NULL,		NULL },
	{ "c-shell",	"c-init",	"c-init" },
	{ "c-daemon",	"c-init",	"c-shell" },
	{ "visitor",	NULL,		NULL },
};

static struct view outside = { .path = "/proc" }, inside;
static char *args;			/* where /proc/self/cmdline is */
static size_t args_len;
static int ready_fd = -1;
static pid_t scene_init;
static bool failed;

/* For those who start us: all that belongs below this process is there. */
static void ready(void)
{
	if (write(ready_fd, "", 1) != 1)
		err(1, "write");
	close(ready_fd);
	ready_fd = -1;
}

static void rest(void)
{
	ready();
	for (;;)
		pause();
}

/* As the first process of a pid namespace does. */
static void reap(void)
{
	ready();
	for (;;) {
		if (wait(NULL) < 0)
			pause();
	}
}

static pid_t start(const char *name, void (*run)(void), unsigned int flags)
{
	struct clone_args clone = { .flags = flags, .exit_signal = SIGCHLD };
	int fds[2];
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC))
		err(1, "pipe");
	pid = syscall(SYS_clone3, &clone, sizeof(clone));
	if (pid < 0)
		err(1, "clone3 for %s", name);
	if (!pid) {
		close(fds[0]);
		if (ready_fd >= 0)
			close(ready_fd);
		ready_fd = fds[1];
		prctl(PR_SET_NAME, name);
		memset(args, 0, args_len);
		snprintf(args, args_len, "/demo/%s", name);
		run();
		_exit(0);
	}
	close(fds[1]);
	/* Nobody else has the other end: if it dies, this ends. */
	if (read(fds[0], &c, 1) != 1)
		errx(1, "%s did not come up", name);
	close(fds[0]);
	return pid;
}

/* Start @name and wait until it is gone; what it started is orphaned then. */
static void start_and_wait(const char *name, void (*run)(void))
{
	int status;

	if (waitpid(start(name, run, 0), &status, 0) < 0 || status)
		errx(1, "%s failed", name);
}

static void need_nscaba(void)
{
	char line[4096];
	FILE *f;

	f = fopen("/proc/self/status", "re");
	if (!f)
		err(1, "/proc/self/status");
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "NScaba:", 7)) {
			fclose(f);
			return;
		}
	}
	errx(1, "this kernel has no NScaba: it takes one with CONFIG_CABA=y");
}

static void mount_proc(void)
{
	if (mount("proc", "/proc", "proc", 0, NULL))
		err(1, "mounting proc");
}

static void private_mounts(void)
{
	if (unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		err(1, "a mount namespace of its own (are you root?)");
}

static void field(const char *line, const char *key, char value[VALUE])
{
	if (!strncmp(line, key, strlen(key)))
		snprintf(value, VALUE, "%.*s", VALUE - 1, line + strlen(key));
}

static void read_view(struct view *v)
{
	char path[512], line[4096], pid[VALUE] = "", ppid[VALUE] = "";
	struct dirent *d;
	DIR *dir;
	FILE *f;

	v->nr = 0;
	dir = opendir(v->path);
	if (!dir)
		err(1, "%s", v->path);
	while ((d = readdir(dir))) {
		struct proc *p = &v->procs[v->nr];

		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		if (v->nr == MAX_PROCS)
			errx(1, "more than %d processes in the scene", v->nr);
		snprintf(path, sizeof(path), "%s/%s/status", v->path, d->d_name);
		f = fopen(path, "re");
		if (!f)
			err(1, "%s", path);
		memset(p, 0, sizeof(*p));
		while (fgets(line, sizeof(line), f)) {
			line[strcspn(line, "\n")] = 0;
			field(line, "Name:\t", p->name);
			field(line, "Pid:\t", pid);
			field(line, "PPid:\t", ppid);
			field(line, "NStgid:\t", p->nstgid);
			field(line, "NScaba:\t", p->nscaba);
		}
		fclose(f);
		p->pid = atoi(pid);
		p->ppid = atoi(ppid);
		v->nr++;
	}
	closedir(dir);
}

static struct proc *find(struct view *v, const char *name)
{
	struct proc *p;

	for (p = v->procs; p < v->procs + v->nr; p++) {
		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

static struct proc *find_pid(struct view *v, pid_t pid)
{
	struct proc *p;

	for (p = v->procs; p < v->procs + v->nr; p++) {
		if (p->pid == pid)
			return p;
	}
	return NULL;
}

static void verify(struct view *v, const struct expected *e, int nr)
{
	const struct expected *end = e + nr;

	if (v->nr != nr) {
		warnx("%s: %d processes, not %d", v->path, v->nr, nr);
		failed = true;
	}
	for (; e < end; e++) {
		struct proc *p = find(v, e->name);
		struct proc *parent = e->parent ? find(v, e->parent) : NULL;
		struct proc *caba = e->caba ? find(v, e->caba) : NULL;
		pid_t ppid = parent ? parent->pid : 0;
		const char *nscaba = caba ? caba->nstgid : "0";

		if (!p || (e->parent && !parent) || (e->caba && !caba)) {
			warnx("%s: %s or those above it are missing", v->path,
			      e->name);
			failed = true;
			continue;
		}
		if (p->ppid != ppid) {
			warnx("%s: PPid of %s(%d) is %d, must be %d (%s)",
			      v->path, p->name, p->pid, p->ppid, ppid,
			      parent ? parent->name : "not visible");
			failed = true;
		}
		if (strcmp(p->nscaba, nscaba)) {
			warnx("%s: NScaba of %s(%d) is '%s', must be '%s' (%s)",
			      v->path, p->name, p->pid, p->nscaba, nscaba,
			      caba ? caba->name : "not visible");
			failed = true;
		}
	}
}

/* The service */

static void launcher(void)
{
	start("app", rest, 0);
	ready();
}

static void agent(void)
{
	start_and_wait("launcher", launcher);
	rest();
}

static void supervisor(void)
{
	setsid();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		err(1, "PR_SET_CHILD_SUBREAPER");
	start("agent", agent, 0);
	rest();
}

/* The container */

static void c_starter(void)
{
	setsid();
	start("c-daemon", rest, 0);
	ready();
}

static void c_shell(void)
{
	start_and_wait("c-starter", c_starter);
	rest();
}

static void c_init(void)
{
	setsid();
	private_mounts();
	mount_proc();
	start("c-shell", c_shell, 0);
	reap();
}

static void runtime(void)
{
	setsid();
	start("c-init", c_init, CLONE_NEWPID);
	rest();
}

/* The session */

static void starter(void)
{
	setsid();
	start("daemon", rest, 0);
	ready();
}

static void into_container(void)
{
	struct proc *box;
	char path[VALUE];
	int fd;

	read_view(&outside);
	box = find(&outside, "c-init");
	if (!box)
		errx(1, "there is no container to enter");
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", box->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWPID))
		err(1, "entering %s", path);
	close(fd);
	start("visitor", rest, 0);
	ready();
}

static void shell(void)
{
	start_and_wait("starter", starter);
	start_and_wait("enter", into_container);
	rest();
}

static void login(void)
{
	setsid();
	start("shell", shell, 0);
	rest();
}

static void init(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	mount_proc();
	start("supervisor", supervisor, 0);
	start("runtime", runtime, 0);
	start("login", login, 0);
	reap();
}

static void clean_up(void)
{
	/* With the first process of a pid namespace all others go. */
	if (scene_init) {
		kill(scene_init, SIGKILL);
		waitpid(scene_init, NULL, 0);
	}
}

static void run_cabatree(const char *path, const char *option, const char *arg)
{
	int status;
	pid_t pid;

	printf("# cabatree %s%s%s\n", option, arg ? " " : "", arg ? arg : "");
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		execl(path, "cabatree", option, arg, NULL);
		warn("%s", path);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) < 0 || status) {
		warnx("%s %s failed", path, option);
		failed = true;
	}
	putchar('\n');
}

/* "daemon(12): PPid says init(1), NScaba says shell(10)", for outside. */
static void tell(const char *name, const char *words)
{
	struct proc *p = find(&outside, name), *parent, *caba;

	parent = p ? find_pid(&outside, p->ppid) : NULL;
	caba = p ? find_pid(&outside, atoi(p->nscaba)) : NULL;
	if (!parent || !caba) {
		warnx("nothing can be told of %s", name);
		failed = true;
		return;
	}
	printf("%s(%d): PPid says %s(%d); NScaba says %s(%d), %s\n", p->name,
	       p->pid, parent->name, parent->pid, caba->name, caba->pid, words);
}

static void tell_inside(const char *name, const char *words)
{
	struct proc *p = find(&inside, name);

	if (!p)
		return;
	printf("    In the container it is %s(%d), its PPid %d, its NScaba %s%s\n",
	       p->name, p->pid, p->ppid, p->nscaba, words);
}

static void show(const char *path)
{
	struct proc *daemon = find(&outside, "daemon");
	char pid[16];

	run_cabatree(path, "-b", NULL);
	puts("What PPid lost and CABA kept:\n");
	tell("daemon", "which started it.");
	tell("app", "which had it started");
	puts("    by a launcher that is gone. Its parent now is but a sub-reaper.");
	tell("c-daemon", "which started it.");
	tell_inside("c-daemon", ".");
	tell("visitor", "which put it");
	puts("    into the container from outside, as docker exec does.");
	tell_inside("visitor", ":\n    who put it there is not visible from within.");
	putchar('\n');

	if (!daemon)
		return;
	printf("Who started %s(%d)?\n\n", daemon->name, daemon->pid);
	snprintf(pid, sizeof(pid), "%d", daemon->pid);
	run_cabatree(path, "--who", pid);
}

int main(int argc, char *argv[])
{
	struct proc *box;

	if (argc != 2) {
		fprintf(stderr, "Usage: scene CABATREE\n");
		return 2;
	}
	if (access(argv[1], X_OK))
		err(1, "%s", argv[1]);
	/* The titles of the others are written over argv. */
	program_invocation_short_name = "scene";
	args = argv[0];
	args_len = argv[1] + strlen(argv[1]) + 1 - args;

	need_nscaba();

	/* Should anything hang, the end of this one ends all. */
	alarm(120);
	private_mounts();
	atexit(clean_up);
	scene_init = start("init", init, CLONE_NEWPID);

	read_view(&outside);
	verify(&outside, scene, ARRAY_SIZE(scene));
	box = find(&outside, "c-init");
	if (box) {
		snprintf(inside.path, sizeof(inside.path), "/proc/%d/root/proc",
			 box->pid);
		read_view(&inside);
		verify(&inside, container, ARRAY_SIZE(container));
	}
	show(argv[1]);
	if (failed)
		errx(1, "the scene is not what it should be");
	return 0;
}
