/*
 * Situations that a dump has to give back, or to refuse with everybody alive
 * and unchanged: those in which others than the dumped ones have a part, or
 * signals and terminals, which caba_tree does not look at.
 *
 * Others are like what people have told of: what they run, or what that leaves.
 *
 * caba_case NAME FILE [LENGTH] makes one, writes "root PID" and "starter PID" to FILE when
 * it is complete, and rests. caba_case --look PID prints a line for PID and all
 * below it, as seen from its pid namespace:
 *
 *   pid ppid pgid sid caba state end-or-stop-signal exit-signal foreground-group namespaces kept-one
 *
 * Pid, pgid and sid have their numbers in namespaces below, too. A namespace is the
 * first process that has it, "." if it is ours.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Everybody who is to be there says so once */
static int report[2];

static void here(void)
{
	if (write(report[1], "x", 1) != 1)
		die("report");
	close(report[0]);
	close(report[1]);
}

static void rest(void)
{
	here();
	while (1)
		pause();
}

static int clone_with(unsigned long flags)
{
	int pid = syscall(SYS_clone, flags, 0, 0, 0, 0);

	if (pid < 0)
		die("clone");
	return pid;
}

static int child(void)
{
	return clone_with(SIGCHLD);
}

static void wait_for(int pid)
{
	if (waitpid(pid, NULL, __WALL) != pid)
		die("waitpid");
}

static void lead(void)
{
	if (setsid() < 0)
		die("setsid");
}

/* The creator may be over before its child runs, which can not ask who it was then */
static void adopted(int creator)
{
	while (getppid() == creator)
		usleep(1000);
}

/* The child of a child that is over */
static int orphan(void)
{
	int mid = child();

	if (!mid) {
		mid = getpid();
		if (child())
			_exit(0);
		adopted(mid);
		return 1;
	}
	wait_for(mid);
	return 0;
}

static int terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master))
		die("ptmx");
	return master;
}

static void take_terminal(int master)
{
	int fd = open(ptsname(master), O_RDWR);

	if (fd < 0 || ioctl(fd, TIOCSCTTY, 0))
		die("terminal");
	dup2(fd, 0);
	close(fd);
	close(master);
	signal(SIGTTOU, SIG_IGN);
}

/* Whoever has taken note of the stop does not see its signal any more: leave that */
static int stopped_by(int pid)
{
	siginfo_t si;

	return waitid(P_PID, pid, &si, WSTOPPED | WNOWAIT) ? 0 : si.si_status;
}

/*
 * Cases. Those that are run by the starter return the root. The others are run
 * by the root, the init of a pid namespace.
 */

/* The workers are in the session of a shell that is not dumped */
static int session_outside(void)
{
	int root;

	lead();
	root = child();
	if (!root) {
		if (!child())
			rest();
		lead();
		rest();
	}
	return root;
}

/* One was adopted by who is not dumped, and still is in the session of the root */
static int member_outside(void)
{
	int root;

	root = child();
	if (!root) {
		lead();
		if (orphan())
			rest();
		rest();
	}
	return root;
}

static void enter(int init)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", init);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWPID))
		die(path);
	close(fd);
}

/* As the starter knows it */
static void tell_own_number(int fd)
{
	char self[16] = "";

	if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || write(fd, self, sizeof(self)) < 0)
		die("/proc/self");
}

static int read_number(int fd)
{
	char self[16];

	if (read(fd, self, sizeof(self)) != sizeof(self))
		die("init");
	return atoi(self);
}

static void close_both(int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

/* The init of a nested pid namespace, for who enters it from outside */
static void init_that_tells(int told[2])
{
	if (clone_with(CLONE_NEWPID | SIGCHLD))
		return;
	tell_own_number(told[1]);
	close_both(told);
	rest();
}

static int init_to_enter(void)
{
	int root;

	root = clone_with(CLONE_NEWPID | SIGCHLD);
	if (!root) {
		lead();
		if (!child())
			rest();
		rest();
	}
	enter(root);
	return root;
}

/* Somebody has been put into the pid namespace of the root, and nobody waits for it */
static int put_in(void)
{
	int root = init_to_enter();

	if (!child()) {
		lead();
		rest();
	}
	return root;
}

/*
 * Somebody has been put into a nested pid namespace, and the root is no init.
 * Its parent reaps it: before that the nested init would keep its own number.
 */
static int put_in_below(void)
{
	int told[2], root;

	if (pipe(told))
		die("pipe");
	root = child();
	if (!root) {
		lead();
		init_that_tells(told);
		close_both(told);
		rest();
	}
	enter(read_number(told[0]));
	close_both(told);
	signal(SIGCHLD, SIG_IGN);
	if (!child()) {
		lead();
		rest();
	}
	return root;
}

/*
 * It is over, and who was born by it is in its session, and still has its
 * /proc/<pid> open. For the session it has to be there again, come from outside,
 * and be gone before the root is what it was; for the file it has to stay longer.
 * To be run in a mount namespace of its own: CRIU knows a proc by its folder in /.
 */
static int put_in_open(void)
{
	int root = init_to_enter(), mid = child();

	if (!mid) {
		lead();
		mid = getpid();
		if (mount("proc", "/mnt", "proc", 0, NULL) || open("/mnt/self/status", O_RDONLY) < 0)
			die("/mnt");
		if (child())
			_exit(0);
		adopted(mid);
		rest();
	}
	wait_for(mid);
	return root;
}

/*
 * The same, but it is over, and the root has adopted its children: they were
 * born outside. Some have a session of their own, one with a child in it, and
 * some are zombies: the root does not wait for them.
 */
static int put_in_orphans(void)
{
	int root = init_to_enter(), mid = child(), i;

	if (!mid) {
		lead();
		mid = getpid();
		for (i = 0; i < 4; i++) {
			if (child())
				continue;
			if (i % 2)
				lead();
			if (i == 1 && !child())
				rest();
			adopted(mid);
			if (i < 2)
				rest();
			here();
			_exit(7);
		}
		_exit(0);
	}
	wait_for(mid);
	return root;
}

/*
 * One that was put in has made a nested pid namespace, and another one was put
 * into that, from outside, too. Both are over.
 */
static int put_in_nested(void)
{
	int root = init_to_enter(), told[2], mid;

	if (pipe(told))
		die("pipe");
	mid = child();
	if (!mid) {
		lead();
		init_that_tells(told);
		_exit(0);
	}
	wait_for(mid);

	enter(read_number(told[0]));
	close_both(told);
	mid = child();
	if (!mid) {
		lead();
		mid = getpid();
		if (!child()) {
			adopted(mid);
			rest();
		}
		if (!child()) {
			lead();
			if (!child())
				rest();
			adopted(mid);
			rest();
		}
		_exit(0);
	}
	wait_for(mid);
	return root;
}

static void exit_signals(void)
{
	int mid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!clone_with(0))
		rest();
	if (!clone_with(SIGUSR1)) {
		if (!child())
			rest();
		rest();
	}
	if (!child()) {
		mid = getpid();
		if (!clone_with(SIGUSR1)) {
			adopted(mid);
			rest();
		}
		here();
		_exit(0);
	}
	/* A zombie that only __WALL sees */
	if (!clone_with(0)) {
		here();
		_exit(3);
	}
}

/*
 * They get the exit signal of their creator, of which one leads a session and
 * is over. Who stands for it on restore must not hurt its parent by that.
 */
static void exit_signal_sibling(void)
{
	int leader;

	if (!child()) {
		signal(SIGUSR1, SIG_IGN);
		if (!clone_with(SIGUSR1)) {
			if (!clone_with(CLONE_PARENT))
				rest();
			rest();
		}
		leader = clone_with(SIGUSR1);
		if (!leader) {
			lead();
			if (!clone_with(CLONE_PARENT))
				rest();
			_exit(0);
		}
		wait_for(leader);
		rest();
	}
}

static void foreground_gone(void)
{
	int master = terminal(), j;

	if (!child()) {
		lead();
		take_terminal(master);
		j = child();
		if (!j) {
			setpgid(0, 0);
			while (1)
				pause();
		}
		setpgid(j, j);
		if (tcsetpgrp(0, j))
			die("tcsetpgrp");
		kill(j, SIGKILL);
		wait_for(j);
		if (tcgetpgrp(0) != j)
			die("tcgetpgrp");
		rest();
	}
}

/* Jobs in the background that use the terminal */
static void terminal_stops(void)
{
	int master = terminal(), ttin, ttou;
	char c;

	if (!child()) {
		lead();
		take_terminal(master);
		ttin = child();
		if (!ttin) {
			setpgid(0, 0);
			c = read(0, &c, 1);
			_exit(1);
		}
		ttou = child();
		if (!ttou) {
			setpgid(0, 0);
			signal(SIGTTOU, SIG_DFL);
			tcsetpgrp(0, getpid());
			_exit(1);
		}
		if (stopped_by(ttin) != SIGTTIN || stopped_by(ttou) != SIGTTOU)
			die("stop");
		rest();
	}
}

/* By parents a member of the session comes before the leader */
static void terminal_leader_last(void)
{
	int master = terminal(), mid;

	mid = child();
	if (!mid) {
		mid = getpid();
		if (!child()) {
			lead();
			take_terminal(master);
			if (orphan())
				rest();
			adopted(mid);
			rest();
		}
		sleep(2);
		_exit(0);
	}
	wait_for(mid);
}

/* What is to be started by a double fork, each in a session of its own, and some are shells */
static void start_apart(bool shell)
{
	int mid = child();

	if (mid) {
		wait_for(mid);
		return;
	}
	mid = getpid();
	lead();
	if (child())
		_exit(0);
	adopted(mid);
	if (shell && !child()) {
		lead();
		start_apart(false);
		rest();
	}
	rest();
}

static void window_manager(void)
{
	int i;

	if (!child()) {
		for (i = 0; i < 16; i++)
			start_apart(!(i % 4));
		rest();
	}
}

/* What batch jobs leave behind: a daemon, a lost child, a lost member of a group, a helper with a child */
static void leave_strays(void)
{
	int i, mid;

	for (i = 0; i < 4; i++) {
		mid = child();
		if (mid) {
			wait_for(mid);
			continue;
		}
		mid = getpid();
		if (i == 0)
			lead();
		if (i == 2)
			setpgid(0, 0);
		if (child())
			_exit(0);
		adopted(mid);
		if (i == 3) {
			lead();
			if (!child())
				rest();
		}
		rest();
	}
}

/* Two of them; the manager of the first one adopts them, the shell of the second is over */
static void batch_jobs(void)
{
	int shell, job;

	if (child())
		return;
	lead();
	for (job = 0; job < 2; job++) {
		if (child())
			continue;
		prctl(PR_SET_CHILD_SUBREAPER, !job);
		shell = child();
		if (!shell) {
			lead();
			leave_strays();
			if (!job)
				rest();
			_exit(0);
		}
		if (job)
			wait_for(shell);
		rest();
	}
	rest();
}

/*
 * A line of births of which two thirds are gone: of nine the first one leads a
 * session, the sixth another one when it has forked the seventh, and every
 * tenth is a sub-reaper. Those left over have parents far above.
 */
static int chain_length = 67;

static void end(int pid)
{
	kill(pid, SIGKILL);
	while (!kill(pid, 0))
		usleep(1000);
}

static void chain(void)
{
	size_t size = (chain_length + 1) * sizeof(int);
	volatile int *pids;
	int i;

	pids = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pids == MAP_FAILED)
		die("mmap");
	/* Nobody is left as a zombie */
	signal(SIGCHLD, SIG_IGN);
	if (!child()) {
		for (i = 1;; i++) {
			if (i % 10 == 0)
				prctl(PR_SET_CHILD_SUBREAPER, 1);
			if (i % 9 == 1)
				lead();
			if (i == chain_length || child())
				break;
		}
		if (i % 9 == 6)
			lead();
		here();
		pids[i] = getpid();
		munmap((void *)pids, size);
		while (1)
			pause();
	}

	/* When all are there: the odd ones from below, the others from above */
	if (!child()) {
		for (i = 1; i <= chain_length; i++)
			while (!pids[i])
				usleep(1000);
		for (i = chain_length; i > 0; i--)
			if (i % 3 && i % 2)
				end(pids[i]);
		for (i = 1; i <= chain_length; i++)
			if (i % 3 && !(i % 2))
				end(pids[i]);
		here();
		_exit(0);
	}
	munmap((void *)pids, size);
}

/* A container that is over, and nobody has waited for it */
static void dead_container(void)
{
	if (!clone_with(CLONE_NEWPID | SIGCHLD)) {
		here();
		_exit(7);
	}
}

static void leave_zombie(int pid)
{
	siginfo_t si;

	if (waitid(P_PID, pid, &si, WEXITED | WNOWAIT))
		die("waitid");
}

/* At the address of a page that is not there, or behind the end of its file */
static void fault(int prot)
{
	struct rlimit none = {};
	char *page = mmap(NULL, 1, prot, MAP_SHARED, memfd_create("", 0), 0);

	if (page == MAP_FAILED || setrlimit(RLIMIT_CORE, &none))
		die("fault");
	*(volatile char *)page = 0;
}

/* Containers that have ended in all the ways that there are, and who is no init */
static void ended(void)
{
	static const int status[] = { SIGKILL, SIGSEGV, SIGBUS, 200 << 8 };
	unsigned int i, j;
	int pid;

	for (i = 0; i < 4; i++)
		for (j = 0; j < 2; j++) {
			pid = clone_with(SIGCHLD | (j ? CLONE_NEWPID : 0));
			if (!pid) {
				if (status[i] == SIGSEGV)
					fault(PROT_NONE);
				if (status[i] == SIGBUS)
					fault(PROT_WRITE);
				if (status[i] != SIGKILL)
					_exit(200);
				while (1)
					pause();
			}
			if (status[i] == SIGKILL)
				kill(pid, SIGKILL);
			leave_zombie(pid);
		}
	here();
}

/* CRIU can't let an init die of everything that it may have died of */
static void trapped(void)
{
	int pid = clone_with(CLONE_NEWPID | SIGCHLD);

	if (!pid)
		__builtin_trap();
	leave_zombie(pid);
	here();
}

/* The file of a namespace as fd 9, which is looked at */
static void keep_ns(const char *pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || dup2(fd, 9) < 0)
		die(path);
	if (fd != 9)
		close(fd);
}

/* Of the pid namespace of each, also where there is a zombie, which has none */
static void ns_files(void)
{
	int pid = child();

	if (!pid)
		_exit(0);
	leave_zombie(pid);
	if (!clone_with(CLONE_NEWPID | SIGCHLD)) {
		if (!child()) {
			keep_ns("self", "user");
			rest();
		}
		keep_ns("self", "pid");
		rest();
	}
}

/* A container is over, but somebody still holds its namespace */
static void ns_file_dead(void)
{
	int told[2], pid;
	char path[32];

	if (pipe(told))
		die("pipe");
	pid = clone_with(CLONE_NEWPID | SIGCHLD);
	if (!pid) {
		tell_own_number(told[1]);
		pause();
	}
	snprintf(path, sizeof(path), "%d", read_number(told[0]));
	keep_ns(path, "pid");
	kill(pid, SIGKILL);
	leave_zombie(pid);
	here();
}

/* One that is not: its init leads a session, and has adopted somebody */
static void container(void)
{
	if (child())
		return;
	if (unshare(CLONE_NEWPID))
		die("unshare");
	if (!child()) {
		lead();
		if (!child())
			rest();
		if (orphan())
			rest();
		rest();
	}
	rest();
}

/* An init that is in the session of who has started it */
static int init_without_session(void)
{
	int root;

	lead();
	root = clone_with(CLONE_NEWPID | SIGCHLD);
	if (!root) {
		if (!child())
			rest();
		if (!child()) {
			lead();
			if (orphan())
				rest();
			rest();
		}
		rest();
	}
	return root;
}

/* No signal handler, so it does not expect EINTR */
static void polls(void)
{
	int p[2];

	if (pipe(p))
		die("pipe");
	if (!child()) {
		here();
		poll(&(struct pollfd){ .fd = p[0], .events = POLLIN }, 1, -1);
		_exit(1);
	}
}

/* The init of a nested pid namespace, whose proc is at /mnt */
static int nested(unsigned long flags, void (*more)(void))
{
	int pid = clone_with(CLONE_NEWPID | flags | SIGCHLD);

	if (!pid) {
		if (mount("proc", "/mnt", "proc", 0, NULL))
			die("/mnt");
		if (more)
			more();
		rest();
	}
	return pid;
}

static void on_proc(void)
{
	if (mount("proc", "/proc", "proc", 0, NULL))
		die("/proc");
}

/* As "unshare -pf --mount-proc" does. CRIU does not dump mount namespaces below its own one. */
static void proc_mntns_outside(void)
{
	nested(CLONE_NEWNS, on_proc);
}

static void make_shared(void)
{
	if (mount(NULL, "/mnt", NULL, MS_SHARED, NULL))
		die("shared");
}

static void proc_shared(void)
{
	nested(0, make_shared);
}

static void over(void)
{
	here();
	_exit(0);
}

static void proc_init_dead(void)
{
	nested(0, over);
}

/* Not even a zombie; the other one is on top of its proc */
static void proc_init_gone(void)
{
	wait_for(nested(0, over));
	nested(0, NULL);
}

static void mount_on_pid(void)
{
	if (mount("none", "/mnt/1/fd", "tmpfs", 0, NULL))
		die("/mnt/1/fd");
}

static void proc_on_pid(void)
{
	nested(0, mount_on_pid);
}

static void bind_pid(void)
{
	if (mount("/mnt/1", "/mnt/bus", NULL, MS_BIND, NULL))
		die("/mnt/bus");
}

static void proc_of_pid(void)
{
	nested(0, bind_pid);
}

static void open_dead(void)
{
	int pid = child();

	if (!pid)
		while (1)
			pause();
	if (open("/mnt/2/status", O_RDONLY) < 0)
		die("/mnt/2/status");
	kill(pid, SIGKILL);
	wait_for(pid);
}

static void proc_open_dead(void)
{
	nested(0, open_dead);
}

static void open_fdinfo(void)
{
	if (open("/mnt/1/fdinfo/0", O_RDONLY) < 0)
		die("/mnt/1/fdinfo/0");
}

static void proc_open_fdinfo(void)
{
	nested(0, open_fdinfo);
}

static void open_status(void)
{
	if (open("/mnt/1/status", O_RDONLY) < 0)
		die("/mnt/1/status");
}

/* To be run in the mount namespace of criu */
static void proc_outside(void)
{
	nested(0, open_status);
}

static void map_file(void)
{
	int fd = -1;

	if (!mount("none", "/mnt/bus", "tmpfs", 0, NULL))
		fd = open("/mnt/bus/file", O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096) || mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		die("/mnt/bus/file");
	close(fd);
}

static void proc_mapped(void)
{
	nested(0, map_file);
}

/* A nested ipc namespace, and what can not be restored in it */
static void nested_ipc(void (*more)(void))
{
	if (child())
		return;
	if (unshare(CLONE_NEWIPC))
		die("ipc namespace");
	more();
	rest();
}

static void nothing(void)
{
}

static void segment(void)
{
	if (shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) < 0)
		die("segment");
}

static void ipc_segment(void)
{
	nested_ipc(segment);
}

/* It stays attached by who leaves the namespace */
static void ipc_attached(void)
{
	if (shmat(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600), NULL, 0) == (void *)-1)
		die("attach");
	nested_ipc(nothing);
}

static void queue(void)
{
	int fd = syscall(SYS_mq_open, "queue", O_RDWR | O_CREAT, 0600, NULL);

	if (fd < 0)
		die("queue");
	close(fd);
}

static void ipc_queue(void)
{
	nested_ipc(queue);
}

static void uts_userns(void)
{
	if (child())
		return;
	if (unshare(CLONE_NEWUSER | CLONE_NEWUTS))
		die("user namespace");
	rest();
}

/* The root of the tree, but not its child, is in a namespace of its own */
static void uts_of_criu(void)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || unshare(CLONE_NEWUTS))
		die("uts namespace");
	if (!child()) {
		if (setns(fd, CLONE_NEWUTS))
			die("setns");
		close(fd);
		rest();
	}
	close(fd);
}

static void enter_cgroup(const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/mnt/%s", name);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "/mnt/%s/cgroup.procs", name);
	f = fopen(path, "w");
	if (!f || fputs("0", f) < 0 || fclose(f))
		die(path);
}

static void own_cgroups(void)
{
	if (unshare(CLONE_NEWCGROUP))
		die("cgroup namespace");
}

/* The child's namespace begins at the root of all */
static void cgroup_above(void)
{
	if (mount("cgroup2", "/mnt", "cgroup2", 0, NULL))
		die("/mnt");
	if (!child()) {
		own_cgroups();
		rest();
	}
	enter_cgroup("caba_top");
	own_cgroups();
}

/* The child is no longer below where its namespace begins */
static void cgroup_outside(void)
{
	if (mount("cgroup2", "/mnt", "cgroup2", 0, NULL))
		die("/mnt");
	if (!child()) {
		enter_cgroup("caba_left");
		own_cgroups();
		enter_cgroup("");
		rest();
	}
}

/* Somebody outside is to be told of what a nested one has */
static int nested_owner_outside(void)
{
	int p[2], root;

	if (pipe(p) || fcntl(p[0], F_SETOWN, getpid()))
		die("owner");
	root = clone_with(CLONE_NEWPID | SIGCHLD);
	if (!root) {
		lead();
		if (!clone_with(CLONE_NEWPID | SIGCHLD))
			rest();
		close(p[0]);
		rest();
	}
	close(p[0]);
	return root;
}

/* A dead process that one has a pidfd of is forked anew by who has it, which can't fork */
static void nested_pidfd(void)
{
	int init;

	if (child())
		return;
	if (unshare(CLONE_NEWPID))
		die("unshare");
	init = child();
	if (!init)
		while (1)
			pause();
	if (syscall(SYS_pidfd_open, init, 0) < 0)
		die("pidfd_open");
	kill(init, SIGKILL);
	wait_for(init);
	rest();
}

static void nested_foreground_gone(void)
{
	if (clone_with(CLONE_NEWPID | SIGCHLD))
		return;
	foreground_gone();
	while (1)
		pause();
}

static void mount_autofs(void)
{
	char options[64];
	int p[2];

	lead();
	if (pipe(p))
		die("pipe");
	snprintf(options, sizeof(options), "fd=%d,pgrp=%d,minproto=5,maxproto=5,indirect", p[1], getpgrp());
	if (umount("/mnt") || mount("case", "/mnt", "autofs", 0, options))
		die("autofs");
}

static void nested_autofs(void)
{
	nested(0, mount_autofs);
}

static const struct {
	const char *name;
	int nr; /* of those that say that they are there */
	int (*outside)(void);
	void (*inside)(void);
} cases[] = {
	{ "session-outside", 2, session_outside },
	{ "member-outside", 2, member_outside },
	{ "put-in", 3, put_in },
	{ "put-in-below", 3, put_in_below },
	{ "put-in-orphans", 7, put_in_orphans },
	{ "put-in-nested", 6, put_in_nested },
	{ "put-in-open", 3, put_in_open },
	{ "exit-signals", 6, .inside = exit_signals },
	{ "exit-signal-sibling", 4, .inside = exit_signal_sibling },
	{ "foreground-gone", 1, .inside = foreground_gone },
	{ "terminal-stops", 1, .inside = terminal_stops },
	{ "terminal-leader-last", 2, .inside = terminal_leader_last },
	{ "polls", 1, .inside = polls },
	{ "proc-shared", 1, .inside = proc_shared },
	{ "proc-init-dead", 1, .inside = proc_init_dead },
	{ "proc-init-gone", 2, .inside = proc_init_gone },
	{ "proc-on-pid", 1, .inside = proc_on_pid },
	{ "proc-of-pid", 1, .inside = proc_of_pid },
	{ "proc-open-dead", 1, .inside = proc_open_dead },
	{ "proc-open-fdinfo", 1, .inside = proc_open_fdinfo },
	{ "proc-outside", 1, .inside = proc_outside },
	{ "proc-mntns-outside", 1, .inside = proc_mntns_outside },
	{ "proc-mapped", 1, .inside = proc_mapped },
	{ "ipc-segment", 1, .inside = ipc_segment },
	{ "ipc-attached", 1, .inside = ipc_attached },
	{ "ipc-queue", 1, .inside = ipc_queue },
	{ "cgroup-above", 1, .inside = cgroup_above },
	{ "cgroup-outside", 1, .inside = cgroup_outside },
	{ "uts-userns", 1, .inside = uts_userns },
	{ "uts-of-criu", 1, .inside = uts_of_criu },
	{ "nested-owner-outside", 2, nested_owner_outside },
	{ "nested-pidfd", 1, .inside = nested_pidfd },
	{ "nested-foreground-gone", 1, .inside = nested_foreground_gone },
	{ "nested-autofs", 1, .inside = nested_autofs },
	{ "window-manager", 25, .inside = window_manager },
	{ "batch-jobs", 14, .inside = batch_jobs },
	{ "chain", 0, .inside = chain },
	{ "dead-container", 1, .inside = dead_container },
	{ "ended", 1, .inside = ended },
	{ "trapped", 1, .inside = trapped },
	{ "ns-files", 2, .inside = ns_files },
	{ "ns-file-dead", 1, .inside = ns_file_dead },
	{ "container", 4, .inside = container },
	{ "init-without-session", 4, init_without_session },
};

static void start(unsigned int i, const char *file)
{
	char tmp[256], c;
	int root, nr, fd;
	FILE *f;

	/* Nothing of who has called us is to be in the tree */
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0), dup2(fd, 1);
	syscall(SYS_close_range, 3, ~0U, 0);
	/* Nobody gets out of what is looked at */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe(report))
		die("pipe");

	if (cases[i].outside) {
		root = cases[i].outside();
	} else {
		root = clone_with(CLONE_NEWPID | SIGCHLD);
		if (!root) {
			lead();
			cases[i].inside();
			close(report[0]);
			close(report[1]);
			while (1)
				pause();
		}
	}

	for (nr = 0; nr < (cases[i].nr ?: chain_length + 1); nr++)
		if (read(report[0], &c, 1) != 1)
			die("report");
	close(report[0]);
	close(report[1]);
	/* Some are over when they have said it, or go to sleep */
	usleep(500000);

	snprintf(tmp, sizeof(tmp), "%s.new", file);
	f = fopen(tmp, "w");
	if (!f)
		die(tmp);
	fprintf(f, "root %d\nstarter %d\n", root, getpid());
	if (fclose(f) || rename(tmp, file))
		die(file);
	while (1)
		pause();
}

/*
 * Looking
 */
/* Not the time one: CRIU makes one of its own, as clocks have to go on */
static const char *const ns_name[] = { "cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts" };
#define NR_NS (sizeof(ns_name) / sizeof(ns_name[0]))

struct look {
	int real, ppid, caba, tpgid;
	int nr[3]; /* pid, pgid, sid at the level of who is looked at */
	char below[3][64];
	ino_t ns[NR_NS];
	ino_t kept; /* by keep_ns(), or else of another file */
	int stop, exit;
	char state;
};

static int nth(const char *s, int n)
{
	while (s && n--)
		s = strchr(s + 1, '\t');
	return s ? atoi(s) : 0;
}

/* What is below that, with slashes */
static void below(char *to, size_t size, const char *s, int n)
{
	char *c;

	while (s && n-- >= 0)
		s = strchr(s + 1, '\t');
	snprintf(to, size, "%s", s ?: "");
	to[strcspn(to, "\n")] = '\0';
	for (c = to; *c; c++)
		if (*c == '\t')
			*c = '/';
}

static int levels(const char *s)
{
	int n = 0;

	while ((s = strchr(s + 1, '\t')))
		n++;
	return n;
}

/* @level -1: find it */
static int read_look(int real, struct look *l, int *level)
{
	static const char *key[] = { "NSpid:", "NSpgid:", "NSsid:" };
	char path[64], line[4096], *s;
	struct stat st;
	int code = 0;
	unsigned int i;
	FILE *f;

	memset(l, 0, sizeof(*l));
	l->real = real;
	for (i = 0; i < NR_NS; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", real, ns_name[i]);
		l->ns[i] = stat(path, &st) ? 0 : st.st_ino;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/9", real);
	l->kept = stat(path, &st) ? 0 : st.st_ino;
	snprintf(path, sizeof(path), "/proc/%d/status", real);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "State:\t%c", &l->state);
		sscanf(line, "PPid:\t%d", &l->ppid);
		sscanf(line, "NScaba:\t%d", &l->caba);
		for (i = 0; i < 3; i++) {
			if (strncmp(line, key[i], strlen(key[i])))
				continue;
			s = strchr(line, '\t');
			if (*level < 0)
				*level = levels(s);
			l->nr[i] = nth(s, *level);
			below(l->below[i], sizeof(l->below[i]), s, *level);
		}
	}
	fclose(f);

	snprintf(path, sizeof(path), "/proc/%d/stat", real);
	f = fopen(path, "r");
	if (!f)
		return -1;
	s = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	/* From the state on, which is the third */
	for (i = 3, s = s ? strtok(s + 1, " ") : NULL; s; i++, s = strtok(NULL, " ")) {
		if (i == 8)
			l->tpgid = atoi(s);
		else if (i == 38)
			l->exit = atoi(s);
		else if (i == 52)
			code = atoi(s);
	}
	if (l->state == 'T')
		l->stop = code >> 8 ? code >> 8 & 0xff : code;
	else if (l->state == 'Z')
		l->stop = code & ~0x80; /* a restore makes no core dump */
	else if (strchr("RDI", l->state))
		l->state = 'S';
	return 0;
}

static int cmp_look(const void *a, const void *b)
{
	const struct look *x = a, *y = b;

	return x->nr[0] - y->nr[0];
}

static void print_kept(ino_t kept, struct look *tree, int nr, struct look *us)
{
	unsigned int n;
	int k;

	for (n = 0; kept && n < NR_NS; n++) {
		for (k = 0; k < nr && tree[k].ns[n] != kept; k++)
			;
		if (kept == us->ns[n])
			printf(" %s", ns_name[n]);
		else if (k < nr)
			printf(" %s of %d", ns_name[n], tree[k].nr[0]);
	}
	puts("");
}

static int look(int root)
{
	static struct look all[1000], tree[1000], us;
	int nr_all = 0, nr = 1, level = -1, i, j, k;
	struct dirent *de;
	unsigned int n;
	DIR *dir;

	if (read_look(getpid(), &us, &(int){ 0 }) || read_look(root, &tree[0], &level))
		return 1;
	dir = opendir("/proc");
	while (dir && (de = readdir(dir)) && nr_all < 1000)
		if (atoi(de->d_name) && !read_look(atoi(de->d_name), &all[nr_all], &level))
			nr_all++;
	for (i = 0; i < nr; i++)
		for (j = 0; j < nr_all; j++)
			if (all[j].ppid == tree[i].real)
				tree[nr++] = all[j];

	qsort(tree, nr, sizeof(tree[0]), cmp_look);
	for (i = 0; i < nr; i++) {
		struct look *l = &tree[i];
		int ppid = 0, caba = 0;
		char fg[16] = "none";

		/* CRIU gives a controlling terminal to leaders only */
		if (l->nr[0] != l->nr[2])
			l->tpgid = 0;
		if (l->tpgid > 0)
			strcpy(fg, "gone");
		for (k = 0; k < nr; k++) {
			if (tree[k].real == l->ppid)
				ppid = tree[k].nr[0];
			if (tree[k].real == l->caba)
				caba = tree[k].nr[0];
			if (tree[k].real == l->tpgid)
				snprintf(fg, sizeof(fg), "%d", tree[k].nr[0]);
		}
		/* Who restores it is the parent of the root, and maybe told otherwise */
		printf("%d%s %d %d%s %d%s %d %c %d %d %s ", l->nr[0], l->below[0], ppid, l->nr[1], l->below[1], l->nr[2],
		       l->below[2], caba, l->state, l->stop, l->real == root ? SIGCHLD : l->exit, fg);
		for (n = 0; n < NR_NS; n++) {
			for (k = 0; tree[k].ns[n] != l->ns[n]; k++)
				;
			if (!l->ns[n] || l->ns[n] == us.ns[n])
				printf("%c", l->ns[n] ? '.' : '-');
			else
				printf("%d", tree[k].nr[0]);
			printf(",");
		}
		print_kept(l->kept, tree, nr, &us);
	}
	return 0;
}

int main(int argc, char *argv[])
{
	unsigned int i;

	if (argc == 3 && !strcmp(argv[1], "--look"))
		return look(atoi(argv[2]));
	if (argc == 4)
		chain_length = atoi(argv[3]);
	for (i = 0; argc >= 3 && i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!strcmp(argv[1], cases[i].name))
			start(i, argv[2]);

	printf("Usage: caba_case NAME FILE [LENGTH of the chain]\n       caba_case --look PID\nNames:");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		printf(" %s", cases[i].name);
	printf("\n");
	return 2;
}
