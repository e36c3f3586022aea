/*
 * Controlling terminals in a tree with nested pid namespaces: of a leader in
 * one of them, with a foreground group there, whose master somebody has who is
 * above, or the leader itself; and of a session from above, with a foreground
 * group in the nested one, where all that is open of it is.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "lock.h"

const char *test_doc = "Controlling terminals across pid namespaces";
const char *test_author = "The CABA series";

enum { MASTER_ABOVE, OWN_MASTER, SESSION_ABOVE, NR };

struct shared {
	futex_t ready, look, looked;
	/* What the leader gets: session, foreground group; and the group of its terminal in /proc */
	struct {
		int sid, pgrp, stat;
	} seen[2][NR];
	int failed;
};

static struct shared *shared;

static int clone_into(unsigned long flags)
{
	return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static int new_pty(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		pr_perror("ptmx");
		exit(1);
	}
	return master;
}

static void rest(void)
{
	futex_inc_and_wake(&shared->ready);
	while (1)
		pause();
}

static int take_tty(int master)
{
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);

	signal(SIGTTOU, SIG_IGN);
	/* With what is left of it at the end */
	signal(SIGHUP, SIG_IGN);
	if (setsid() < 0 || slave < 0 || ioctl(slave, TIOCSCTTY, 0))
		shared->failed = __LINE__;
	return slave;
}

static void look(int who, int when)
{
	int fd = open("/dev/tty", O_RDWR);

	if (fd < 0 || ioctl(fd, TIOCGSID, &shared->seen[when][who].sid))
		shared->seen[when][who].sid = -1;
	if (fd < 0 || ioctl(fd, TIOCGPGRP, &shared->seen[when][who].pgrp))
		shared->seen[when][who].pgrp = -1;
	close(fd);
}

static void look_twice(int who)
{
	look(who, 0);
	futex_inc_and_wake(&shared->ready);
	futex_wait_while(&shared->look, 0);
	look(who, 1);
	futex_inc_and_wake(&shared->looked);
	while (1)
		pause();
}

/* In a session of its own, with a job in the foreground */
static void lead(int who, int master)
{
	int slave = take_tty(master), job;

	if (who == MASTER_ABOVE)
		close(master);
	/* Somebody who has another number than in the namespaces above, and beside */
	job = clone_into(0);
	if (!job)
		rest();
	if (setpgid(job, job) || tcsetpgrp(slave, job))
		shared->failed = __LINE__;
	look_twice(who);
}

static void lead_above(void)
{
	int master = new_pty(), slave, job;

	slave = take_tty(master);
	/* The init of the nested namespace */
	job = clone_into(CLONE_NEWPID);
	if (!job) {
		setpgid(0, 0);
		rest();
	}
	futex_wait_while_lt(&shared->ready, 3);
	if (tcsetpgrp(slave, job))
		shared->failed = __LINE__;
	close(slave);
	close(master);
	look_twice(SESSION_ABOVE);
}

static int foreground(int pid)
{
	char path[64], line[1024] = {}, *s;
	int tpgid = -2;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fgets(line, sizeof(line), f) && (s = strrchr(line, ')')))
		sscanf(s + 1, " %*c %*d %*d %*d %*d %d", &tpgid);
	if (f)
		fclose(f);
	return tpgid;
}

int main(int argc, char **argv)
{
	int pid[NR], master, i;

	test_init(argc, argv);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	futex_init(&shared->ready);
	futex_init(&shared->look);
	futex_init(&shared->looked);

	master = new_pty();
	pid[MASTER_ABOVE] = clone_into(CLONE_NEWPID);
	if (!pid[MASTER_ABOVE])
		lead(MASTER_ABOVE, master);
	futex_wait_while_lt(&shared->ready, 2);
	pid[SESSION_ABOVE] = clone_into(0);
	if (!pid[SESSION_ABOVE]) {
		close(master);
		lead_above();
	}
	futex_wait_while_lt(&shared->ready, 4);
	pid[OWN_MASTER] = clone_into(CLONE_NEWPID);
	if (!pid[OWN_MASTER]) {
		close(master);
		lead(OWN_MASTER, new_pty());
	}
	futex_wait_while_lt(&shared->ready, 6);
	for (i = 0; i < NR; i++) {
		shared->seen[0][i].stat = foreground(pid[i]);
		test_msg("%d: session %d, foreground %d, %d from above\n", i, shared->seen[0][i].sid,
			 shared->seen[0][i].pgrp, shared->seen[0][i].stat);
	}
	if (shared->failed) {
		pr_err("line %d\n", shared->failed);
		return 1;
	}

	test_daemon();
	test_waitsig();

	for (i = 0; i < NR; i++)
		shared->seen[1][i].stat = foreground(pid[i]);
	futex_set_and_wake(&shared->look, 1);
	futex_wait_while_lt(&shared->looked, NR);
	for (i = 0; i < NR; i++)
		if (memcmp(&shared->seen[0][i], &shared->seen[1][i], sizeof(shared->seen[0][i])))
			fail("%d: session %d, foreground %d (%d) instead of %d, %d (%d)", i, shared->seen[1][i].sid,
			     shared->seen[1][i].pgrp, shared->seen[1][i].stat, shared->seen[0][i].sid,
			     shared->seen[0][i].pgrp, shared->seen[0][i].stat);
	if (!memcmp(shared->seen[0], shared->seen[1], sizeof(shared->seen[0])))
		pass();
	for (i = 0; i < NR; i++)
		kill(pid[i], SIGKILL);
	return 0;
}
