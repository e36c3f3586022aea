/*
 * What the kernel's own checkpoint of 2009 to 2011 (linux-cr) kept and no test
 * in zdtm asks for.
 *
 * linux_cr CASE FILE sets CASE up, writes its pid to FILE and waits for SIGUSR1.
 * What it finds then is in FILE.result: "kept", or what is not.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *file;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_file(const char *suffix, const char *fmt, ...)
{
	char path[256], tmp[264];
	va_list args;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", file, suffix);
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "w");
	if (!f)
		die(tmp);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	if (fclose(f) || rename(tmp, path))
		die(path);
}

static sigset_t restored;

static void wait_for_restore(void)
{
	int sig;

	write_file("", "%d\n", getpid());
	sigwait(&restored, &sig);
}

/* A segment that is marked for destruction lives on while it is attached */
static const char *shm_deleted(void)
{
	int id = shmget(IPC_PRIVATE, 4096, 0600), child, status;
	volatile int *mem = shmat(id, NULL, 0);

	if (mem == (void *)-1 || shmctl(id, IPC_RMID, NULL))
		die("shm");
	child = fork();
	if (!child) {
		while (mem[0] != 7)
			usleep(1000);
		mem[1] = 8;
		_exit(0);
	}
	wait_for_restore();
	mem[0] = 7;
	alarm(10);
	if (waitpid(child, &status, 0) != child || mem[1] != 8)
		return "not shared any more";
	if (shmdt((void *)mem))
		return "not attached";
	return shmat(id, NULL, 0) == (void *)-1 ? NULL : "not deleted any more";
}

/* What a process has taken is given back when it dies */
static const char *sem_undo(void)
{
	struct sembuf take = { .sem_op = -1, .sem_flg = SEM_UNDO };
	int id = semget(IPC_PRIVATE, 1, 0600), child, ready[2];

	if (id < 0 || semctl(id, 0, SETVAL, 1) || pipe(ready))
		die("sem");
	child = fork();
	if (!child) {
		if (semop(id, &take, 1) || write(ready[1], "x", 1) != 1)
			die("semop");
		while (1)
			pause();
	}
	if (read(ready[0], &(char){ 0 }, 1) != 1)
		die("child");
	wait_for_restore();
	if (semctl(id, 0, GETVAL))
		return "taken no more";
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return semctl(id, 0, GETVAL) == 1 ? NULL : "not given back";
}

/* Was dumped meanwhile */
static const char *sleep_rest(void)
{
	struct timespec from, to;
	unsigned int rest;
	static char why[64];

	write_file("", "%d\n", getpid());
	clock_gettime(CLOCK_MONOTONIC, &from);
	rest = sleep(10);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (rest) {
		snprintf(why, sizeof(why), "interrupted, %u s are left", rest);
		return why;
	}
	return to.tv_sec - from.tv_sec >= 9 ? NULL : "too early";
}

/* Another process, but whose signal handlers are ours, too */
static volatile int handled;

static void handler(int sig)
{
	handled = sig;
}

static int sharer(void *arg)
{
	while (!handled)
		usleep(1000);
	signal(SIGUSR2, handler);
	return 0;
}

static const char *sighand_shared(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	int child = clone(sharer, stack + sizeof(stack), CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL);
	struct sigaction sa;

	if (child < 0)
		die("clone");
	wait_for_restore();
	handled = 1;
	waitpid(child, NULL, 0);
	sigaction(SIGUSR2, NULL, &sa);
	return sa.sa_handler == handler ? NULL : "two tables of handlers";
}

/* Who has opened this file may see addresses, or not, whoever reads it */
static const char *file_cred(void)
{
	char address[16];
	int fd;

	if (seteuid(1000))
		die("seteuid");
	fd = open("/proc/kallsyms", O_RDONLY);
	if (fd < 0 || seteuid(0))
		die("kallsyms");
	wait_for_restore();
	if (pread(fd, address, sizeof(address), 0) != sizeof(address))
		return "not read";
	return memcmp(address, "0000000000000000", sizeof(address)) ? "opened by root now" : NULL;
}

/* Nothing runs before it is let */
static const char *frozen(void)
{
	wait_for_restore();
	return NULL;
}

static const struct {
	const char *name;
	const char *(*run)(void);
	int flags;
} cases[] = {
	{ "shm-deleted", shm_deleted, CLONE_NEWIPC },
	{ "sem-undo", sem_undo, CLONE_NEWIPC },
	{ "sleep-rest", sleep_rest },
	{ "sighand-shared", sighand_shared },
	{ "file-cred", file_cred },
	{ "frozen", frozen },
};

int main(int argc, char **argv)
{
	unsigned int i;
	const char *bad;
	int fd, pid;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (argc == 3 && !strcmp(argv[1], cases[i].name))
			break;
	if (i == sizeof(cases) / sizeof(*cases)) {
		fprintf(stderr, "Usage: linux_cr CASE FILE\n");
		for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
			fprintf(stderr, "\t%s\n", cases[i].name);
		return 2;
	}
	file = argv[2];
	if (unshare(cases[i].flags))
		die("unshare");
	pid = fork();
	if (pid)
		return pid < 0;
	setsid();
	sigemptyset(&restored);
	sigaddset(&restored, SIGUSR1);
	sigprocmask(SIG_BLOCK, &restored, NULL);
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0), dup2(fd, 1), dup2(fd, 2);
	syscall(SYS_close_range, 3, ~0U, 0);
	bad = cases[i].run();
	write_file(".result", "%s\n", bad ?: "kept");
	return 0;
}
