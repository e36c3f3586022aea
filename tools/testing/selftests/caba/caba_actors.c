// SPDX-License-Identifier: GPL-2.0
/*
 * The actors of caba_actors.h: their own side, and the test's.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "caba_actors.h"
#include "caba_sys.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open	434
#endif

/* An actor's end of its socket has the same number in every actor. */
#define ACTOR_FD(who)	(100 + (who))
#define END_FD		ACTOR_FD(NR_ACTORS)

/* exec is told by the environment which actor it is to go on as */
#define ACTOR_ENV	"CABA_TEST_ACTOR"

struct order {
	enum op op;
	long arg;
	unsigned long long flags;
};

struct answer {
	int err;
	pid_t pid, tid;
};

struct actor actors[NR_ACTORS];

/* Written by one actor, read by the test: by OP_MANY, by OP_READ. */
pid_t *many;
static struct numbers {
	int nr;		/* or -errno */
	pid_t levels[CABA_MAX_LEVELS];
} *numbers;

/* Where a viewer's procfs is mounted. */
static const char *procfs(int viewer)
{
	static char path[32];

	if (viewer == S)
		return "/proc";
	snprintf(path, sizeof(path), "/tmp/%d", viewer);
	return path;
}

/* What OP_READ is to read: of which viewer, which line */
static const char *const keys[] = { "NScaba:", "PPid:" };

#define READ(viewer, key)	((viewer) << 8 | (key))
#define READ_VIEWER(what)	((int)((what) >> 8))
#define READ_KEY(what)		keys[(what) & 0xff]

/*
 * The actors' side
 */

static void actor_act(int me);

static int actor_clone_start(void *arg)
{
	actor_act((intptr_t)arg);
	return 1;
}

static void *actor_pthread_start(void *arg)
{
	actor_act((intptr_t)arg);
	return NULL;
}

static int actor_exec(int who)
{
	char env[sizeof(ACTOR_ENV "=99")];
	char *const envp[] = { env, NULL };

	snprintf(env, sizeof(env), ACTOR_ENV "=%d", who);
	/* /proc/self has no exe any more when the leader is gone */
	execle("/proc/thread-self/exe", "caba_actor", NULL, envp);
	return -errno;
}

/* After what returns twice. */
static int actor_born(int who, pid_t pid)
{
	if (!pid)
		actor_act(who);
	return pid < 0 ? -errno : 0;
}

static int actor_birth(int who, unsigned long long flags)
{
	struct caba_clone how = { .flags = flags };	/* without a signal */
	const size_t size = 256 * 1024;
	void *stack;
	pid_t pid;

	if (!flags)
		return actor_born(who, fork());
	if (flags > UINT_MAX)
		return actor_born(who, syscall(__NR_clone3, &how, sizeof(how)));

	stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED)
		return -errno;
	/* from the middle: there a stack may grow either way */
	pid = clone(actor_clone_start, stack + size / 2, flags | SIGCHLD,
		    (void *)(intptr_t)who);
	return pid < 0 ? -errno : 0;
}

static int actor_thread(int who)
{
	pthread_t thread;

	return -pthread_create(&thread, NULL, actor_pthread_start,
			       (void *)(intptr_t)who);
}

static int actor_vfork_exec(int who)
{
	pid_t pid = vfork();

	if (!pid) {
		actor_exec(who);
		_exit(127);
	}
	return pid < 0 ? -errno : 0;
}

static int actor_setns(pid_t pid, int whose)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid,
		 whose == JOIN_CHILDREN ? "pid_for_children" : "pid");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = setns(fd, CLONE_NEWPID) ? -errno : 0;
	close(fd);
	return err;
}

static int actor_drop_root(void)
{
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) ||
	    setresuid(65534, 65534, 65534))
		return -errno;
	return 0;
}

static int actor_mount_proc(int me, int how)
{
	static const char *const options[] = {
		[PROC_HIDEPID_1] = "hidepid=1",
		[PROC_HIDEPID_2] = "hidepid=2",
		[PROC_HIDEPID_4] = "hidepid=4",
		[PROC_SUBSET]	 = "subset=pid",
	};
	char path[32];

	snprintf(path, sizeof(path), "/tmp/%d", me);
	if (mkdir(path, 0755) ||
	    mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  how == PROC_PLAIN ? NULL : options[how]))
		return -errno;
	return 0;
}

static int actor_read(pid_t pid, unsigned long long what)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%d/status", procfs(READ_VIEWER(what)),
		 pid);
	numbers->nr = caba_read_file(path, READ_KEY(what), numbers->levels);
	return 0;
}

static int actor_attach(pid_t pid)
{
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) ||
	    waitpid(pid, NULL, __WALL) != pid ||
	    ptrace(PTRACE_CONT, pid, NULL, NULL))
		return -errno;
	return 0;
}

static int actor_resume(int stops)
{
	while (stops--) {
		pid_t pid = waitpid(-1, NULL, __WALL);

		if (pid < 0 || ptrace(PTRACE_CONT, pid, NULL, NULL))
			return -errno;
	}
	return 0;
}

/* A tracee stops on its way out: its exit has begun, but it is not dead. */
static int actor_await_exit(pid_t tid)
{
	int status;

	if (waitpid(tid, &status, __WALL) != tid)
		return -errno;
	return status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8) ? 0 : -EPROTO;
}

static int actor_many(int nr)
{
	char c;
	int i;

	for (i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return -errno;
		if (!pid) {
			/* until the test is over */
			while (read(END_FD, &c, 1) > 0)
				;
			_exit(0);
		}
		many[i] = pid;
	}
	return 0;
}

/* This thread gets files of its own. */
static int actor_slow_exit(int nr)
{
	const struct rlimit limit = { nr, nr };

	if (unshare(CLONE_FILES) || setrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	while (dup(END_FD) >= 0)
		;
	return errno == EMFILE ? 0 : -errno;
}

/*
 * A thread that the kernel runs in this process: a read that is not to be
 * tried at once is given to one, which waits at a pipe.
 */
static int actor_io_worker(void)
{
	struct io_uring_params params = {};
	struct io_uring_sqe *sqes;
	unsigned int *tail, *array;
	static char byte;
	int ring, pipes[2];
	char *sq;

	ring = syscall(__NR_io_uring_setup, 1, &params);
	if (ring < 0 || pipe2(pipes, O_CLOEXEC))
		return -errno;
	sq = mmap(NULL, params.sq_off.array + sizeof(*array),
		  PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED,
		    ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	sqes[0] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ,
		.flags = IOSQE_ASYNC,
		.fd = pipes[0],
		.addr = (uintptr_t)&byte,
		.len = 1,
	};
	array = (unsigned int *)(sq + params.sq_off.array);
	tail = (unsigned int *)(sq + params.sq_off.tail);
	array[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(__NR_io_uring_enter, ring, 1, 0, 0, NULL, 0) == 1 ?
		0 : -errno;
}

/* Another one: vhost's. It goes when the device is closed. */
static int actor_vhost_worker(void)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fd = open("/dev/vhost-vsock", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return ioctl(fd, VHOST_SET_OWNER, NULL) ? -errno : 0;
}

static int actor_obey(int me, const struct order *order)
{
	switch (order->op) {
	case OP_EXEC:
		return actor_exec(me);
	case OP_EXIT:
		_exit(0);
	case OP_EXIT_THREAD:
		for (;;)
			syscall(SYS_exit, 0);
	case OP_REAP:
		return waitpid(order->arg, NULL, __WALL) < 0 ? -errno : 0;
	case OP_IGNORE_CHILDREN:
		return signal(SIGCHLD, SIG_IGN) == SIG_ERR ? -errno : 0;
	case OP_SETSID:
		return setsid() < 0 ? -errno : 0;
	case OP_SETPGID:
		return setpgid(0, 0) ? -errno : 0;
	case OP_SUBREAPER:
		return prctl(PR_SET_CHILD_SUBREAPER, order->arg) ? -errno : 0;
	case OP_UNSHARE:
		return unshare(order->flags) ? -errno : 0;
	case OP_SETNS:
		return actor_setns(order->arg, order->flags);
	case OP_DROP_ROOT:
		return actor_drop_root();
	case OP_MOUNT_PROC:
		return actor_mount_proc(me, order->arg);
	case OP_READ:
		return actor_read(order->arg, order->flags);
	case OP_TRACEME:
		return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? -errno : 0;
	case OP_ATTACH:
		return actor_attach(order->arg);
	case OP_SEIZE:
		return ptrace(PTRACE_SEIZE, (pid_t)order->arg, NULL,
			      (void *)(uintptr_t)order->flags) ? -errno : 0;
	case OP_RESUME:
		return actor_resume(order->arg);
	case OP_AWAIT_EXIT:
		return actor_await_exit(order->arg);
	case OP_CONTINUE:
		return ptrace(PTRACE_CONT, (pid_t)order->arg, NULL, NULL) ?
			-errno : 0;
	case OP_MANY:
		return actor_many(order->arg);
	case OP_SLOW_EXIT:
		return actor_slow_exit(order->arg);
	case OP_IO_WORKER:
		return actor_io_worker();
	case OP_VHOST_WORKER:
		return actor_vhost_worker();
	default:
		return -EINVAL;
	}
}

/* Never returns. */
static void actor_act(int me)
{
	struct answer answer = {
		.pid = getpid(),
		.tid = syscall(SYS_gettid),
	};
	struct order order;

	for (;;) {
		if (send(ACTOR_FD(me), &answer, sizeof(answer),
			 MSG_NOSIGNAL) != sizeof(answer))
			_exit(1);
again:
		if (recv(ACTOR_FD(me), &order, sizeof(order), 0) !=
		    sizeof(order))
			_exit(1);

		/* A new actor answers itself, in its creator's place. */
		switch (order.op) {
		case OP_BIRTH:
			answer.err = actor_birth(order.arg, order.flags);
			break;
		case OP_THREAD:
			answer.err = actor_thread(order.arg);
			break;
		case OP_VFORK_EXEC:
			answer.err = actor_vfork_exec(order.arg);
			break;
		default:
			answer.err = actor_obey(me, &order);
			continue;
		}
		if (!answer.err)
			goto again;
		/* the test listens there */
		send(ACTOR_FD(order.arg), &answer, sizeof(answer),
		     MSG_NOSIGNAL);
		goto again;
	}
}

/*
 * The test's side. What can fail returns 0 or -errno.
 */

/* An actor's word that it did as told, or that it is there. */
int hear(int who)
{
	union {
		struct cmsghdr hdr;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct answer answer;
	struct iovec iov = { &answer, sizeof(answer) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct actor *actor = &actors[who];
	struct cmsghdr *cmsg;
	struct ucred cred;
	ssize_t n;

	n = recvmsg(actor->fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (n != sizeof(answer))
		return -EPIPE;
	if (answer.err)
		return answer.err;

	/* the kernel translates this pid into our namespace */
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_CREDENTIALS)
		return -EBADMSG;
	memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));

	if (actor->pid != cred.pid) {
		actor->pid = cred.pid;
		actor->pidfd = syscall(SYS_pidfd_open, cred.pid, 0);
		if (actor->pidfd < 0)
			return -errno;
	}
	actor->tid = answer.tid == answer.pid ? cred.pid : answer.tid;
	return 0;
}

int tell(int who, enum op op, long arg, unsigned long long flags)
{
	struct order order = { op, arg, flags };

	if (send(actors[who].fd, &order, sizeof(order), MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int ask(int who, enum op op, long arg, unsigned long long flags)
{
	int err = tell(who, op, arg, flags);

	return err ?: hear(who);
}

int bring(int who, enum op op, int new, unsigned long long flags)
{
	int err = tell(who, op, new, flags);

	return err ?: hear(new);
}

/* Wait until a process is dead, all its threads: a zombie, or gone. */
int await_death(int who)
{
	struct pollfd pfd = { .fd = actors[who].pidfd, .events = POLLIN };
	siginfo_t info;

	switch (poll(&pfd, 1, STEP_SECONDS * 1000)) {
	case -1:
		return -errno;
	case 0:
		return -ETIMEDOUT;
	}
	/*
	 * Its exit may still be under way, with tasklist_lock held. Any wait
	 * takes that lock too, so after this one the exit is complete.
	 */
	waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
	return 0;
}

int die(int who)
{
	int err = tell(who, OP_EXIT, 0, 0);

	return err ?: await_death(who);
}

int kill_actor(int who)
{
	if (kill(actors[who].pid, SIGKILL))
		return -errno;
	return await_death(who);
}

int reap(int parent, int child)
{
	pid_t pid = actors[child].pid;

	if (parent != TESTER)
		return ask(parent, OP_REAP, pid, 0);
	return waitpid(pid, NULL, 0) < 0 ? -errno : 0;
}

/* The state letter of an actor's own thread, or 0 if it is gone. */
char state(int who)
{
	char path[64], buf[CABA_STATUS_SIZE];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status",
		 actors[who].pid, actors[who].tid);
	if (caba_read_status(path, buf) < 0)
		return 0;
	line = caba_find_line(buf, "State:");
	return line ? line[strlen("State:\t")] : 0;
}

/* Wait until a thread is reaped, or a zombie if that will do. */
int await_end(int who, bool zombie_will_do)
{
	int ms;

	for (ms = 0; ms < STEP_SECONDS * 1000; ms++) {
		char now = state(who);

		if (!now || (now == 'Z' && zombie_will_do))
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/* Wait until a thread is in a state. */
int await_state(int who, char letter)
{
	int ms;

	for (ms = 0; ms < STEP_SECONDS * 1000; ms++) {
		if (state(who) == letter)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/* How many threads a process has that are no zombies. */
static int nr_threads(pid_t pid)
{
	char path[64], buf[CABA_STATUS_SIZE];
	struct dirent *entry;
	const char *line;
	int nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid,
			 atoi(entry->d_name));
		if (caba_read_status(path, buf) < 0)
			continue;
		line = caba_find_line(buf, "State:");
		if (line && line[strlen("State:\t")] != 'Z')
			nr++;
	}
	closedir(dir);
	return nr;
}

/* Wait until a process has no more threads than that, zombies apart. */
int await_threads(int who, int most)
{
	int ms;

	for (ms = 0; ms < STEP_SECONDS * 1000; ms++) {
		if (nr_threads(actors[who].pid) <= most)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/* A leader stays as a zombie as long as there are other threads. */
int end_thread(int who)
{
	int err = tell(who, OP_EXIT_THREAD, 0, 0);

	return err ?: await_end(who, true);
}

/*
 * Reading
 */

static const char *join(char *buf, size_t size, const pid_t *levels, int nr)
{
	int i, len = 0;

	if (nr < 0) {
		snprintf(buf, size, "(%s)", strerror(-nr));
		return buf;
	}
	for (i = 0; i < nr; i++)
		len += snprintf(buf + len, size - len, "%s%d", i ? " " : "",
				(int)levels[i]);
	return buf;
}

/* The numbers of a process, from our pid namespace to its own. */
static int all_pids(int who, pid_t pids[CABA_MAX_LEVELS])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", actors[who].pid);
	return caba_read_file(path, "NSpid:", pids);
}

/* Its number in the viewer's procfs, or -errno. */
pid_t pid_at(int viewer, int who)
{
	pid_t pids[CABA_MAX_LEVELS];
	int depth = 0, nr;

	if (viewer != S) {
		depth = all_pids(viewer, pids);
		if (depth < 0)
			return depth;
		depth--;
	}
	nr = all_pids(who, pids);
	if (nr < 0)
		return nr;
	return depth < nr ? pids[depth] : -ESRCH;
}

static int field_at(int viewer, int who, const char *key,
		    pid_t levels[CABA_MAX_LEVELS])
{
	pid_t pid = pid_at(viewer, who);
	char path[64];

	if (pid < 0)
		return pid;
	snprintf(path, sizeof(path), "%s/%d/status", procfs(viewer), pid);
	return caba_read_file(path, key, levels);
}

/* One number of a status file, or -errno */
int number_at(int viewer, int who, const char *key)
{
	pid_t levels[CABA_MAX_LEVELS];
	int nr = field_at(viewer, who, key, levels);

	return nr < 0 ? nr : levels[0];
}

int ppid(int who)
{
	return number_at(S, who, "PPid:");
}

/* What NScaba is to say of the CABDs of this process. */
const char *nspid(int viewer, int who)
{
	static char text[512];
	pid_t levels[CABA_MAX_LEVELS];

	return join(text, sizeof(text), levels,
		    field_at(viewer, who, "NSpid:", levels));
}

/* What NScaba does say. All threads have to agree, or it is an error. */
const char *nscaba(int viewer, int who)
{
	pid_t own[CABA_MAX_LEVELS], other[CABA_MAX_LEVELS];
	static char text[512];
	char path[64], thread_text[400];
	struct dirent *entry;
	pid_t pid;
	int nr, nr_other, seen = 0;
	DIR *dir;

	nr = field_at(viewer, who, "NScaba:", own);
	if (nr < 0)
		return join(text, sizeof(text), NULL, nr);

	pid = pid_at(viewer, who);
	snprintf(path, sizeof(path), "%s/%d/task", procfs(viewer), pid);
	dir = opendir(path);
	if (!dir)
		return join(text, sizeof(text), NULL, -errno);
	while ((entry = readdir(dir))) {
		pid_t tid = atoi(entry->d_name);

		if (!tid)
			continue;
		nr_other = caba_read_task(procfs(viewer), pid, tid, other);
		seen++;
		if (nr_other == nr && !memcmp(own, other, nr * sizeof(*own)))
			continue;
		closedir(dir);
		join(thread_text, sizeof(thread_text), other, nr_other);
		snprintf(text, sizeof(text), "but %s in thread %d",
			 thread_text, tid);
		return text;
	}
	closedir(dir);
	return join(text, sizeof(text), own, seen ? nr : -ESRCH);
}

/* What is wrong in what a viewer reads of a process: "" if nothing is. */
const char *wrong(int viewer, int who, int ancestor)
{
	const char *is = nscaba(viewer, who), *should_be = nspid(viewer, ancestor);
	static char text[1100];

	if (!strcmp(is, should_be))
		return "";
	snprintf(text, sizeof(text), "NScaba is %s, not %s", is, should_be);
	return text;
}

const char *read_by(int reader, int viewer, int who, const char *key)
{
	static char text[512];
	pid_t pid = pid_at(viewer, who);
	int err = pid < 0 ? pid : 0;
	size_t i;

	for (i = 0; strcmp(keys[i], key); i++)
		;
	if (!err)
		err = ask(reader, OP_READ, pid, READ(viewer, i));
	return join(text, sizeof(text), numbers->levels, err ?: numbers->nr);
}

/*
 * Begin and end
 */

int raise_stage(void)
{
	struct timeval patience = { .tv_sec = STEP_SECONDS };
	int life[2], pair[2], i, on = 1;
	pid_t pid;

	many = mmap(NULL, NR_MANY * sizeof(*many), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	numbers = mmap(NULL, sizeof(*numbers), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (many == MAP_FAILED || numbers == MAP_FAILED)
		return -errno;

	for (i = S; i < NR_ACTORS; i++) {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			       pair) ||
		    dup2(pair[1], ACTOR_FD(i)) < 0 ||
		    setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on,
			       sizeof(on)) ||
		    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience,
			       sizeof(patience)))
			return -errno;
		close(pair[1]);
		actors[i].fd = pair[0];
	}
	if (pipe2(life, O_CLOEXEC) || dup2(life[0], END_FD) < 0)
		return -errno;
	close(life[0]);

	/* all orphans are to end up with us */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -errno;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		/* only the test may hold these, or it would never seem over */
		close(life[1]);
		for (i = S; i < NR_ACTORS; i++)
			close(actors[i].fd);
		actor_act(S);
	}

	close(END_FD);
	for (i = S; i < NR_ACTORS; i++)
		close(ACTOR_FD(i));
	actors[TESTER].pid = getpid();
	return hear(S);
}

/* Ends what is left of the actors. */
void strike_stage(void)
{
	int fd, i;

	for (i = S; i < NR_ACTORS; i++)
		if (actors[i].pid)
			syscall(SYS_pidfd_send_signal, actors[i].pidfd,
				SIGKILL, NULL, 0);
	/* those we do not know see that we are gone, and go */
	for (fd = 3; fd <= END_FD; fd++)
		close(fd);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
}

/* An actor that has called exec goes on here, and does not return. */
void act_if_told(void)
{
	const char *who = getenv(ACTOR_ENV);

	if (who)
		actor_act(atoi(who));
}
