/*
 * Mounts of /proc in nested pid namespaces, as "unshare -pf --mount-proc" and
 * sandboxes make them: with parts that are masked or read-only, in more than one
 * mount namespace, on two levels, the second without any other proc, and an open
 * file.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"
#include "lock.h"

const char *test_doc = "Mounts of /proc in nested pid namespaces";
const char *test_author = "The CABA series";

enum { INIT, OTHER_MNTNS, BELOW, NR };

static struct {
	futex_t ready;
	futex_t look;
	futex_t looked;
	int wrong[NR]; /* -1 before it has looked, and the line of what is not as it was */
} *shared;

static int clone_into(unsigned long flags)
{
	return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static int own_proc(const char *path, const char *options)
{
	return mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

/* In a user namespace another proc has to be there when one is mounted, but not for longer */
static int only_proc(void)
{
	if (own_proc("/dev", NULL))
		return -1;
	while (!umount2("/proc", MNT_DETACH))
		;
	return mount("/dev", "/proc", NULL, MS_MOVE, NULL);
}

static int read_only(const char *path)
{
	return mount(path, path, NULL, MS_BIND, NULL) ||
	       mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

#define SHOULD(c)                \
	do {                     \
		if (!(c))        \
			return __LINE__; \
	} while (0)

static int look(int who, int fd)
{
	char buf[64] = {}, line[256];
	bool hidden = false;
	int nr = 0;
	struct stat a, b;
	struct statfs fs;
	FILE *f;

	/* Of the own namespace */
	SHOULD(readlink("/proc/self", buf, sizeof(buf) - 1) > 0 && atoi(buf) == getpid());
	SHOULD(!stat("/proc/1/ns/pid", &a) && !stat("/proc/self/ns/pid", &b) && a.st_ino == b.st_ino);
	SHOULD(!statfs("/proc", &fs) && (fs.f_flags & ST_NOEXEC) && !(fs.f_flags & ST_RDONLY));
	f = fopen("/proc/self/mounts", "r");
	SHOULD(f);
	while (fgets(line, sizeof(line), f)) {
		nr += !!strstr(line, " proc r");
		hidden |= strstr(line, "driver /proc/driver proc ro,") && strstr(line, "hidepid=");
	}
	fclose(f);
	if (who == BELOW) {
		SHOULD(nr == 1);
		return 0;
	}

	/* What has been masked; a part that is bound elsewhere */
	SHOULD(!statfs("/proc/sys", &fs) && fs.f_type == 0x9fa0 && (fs.f_flags & ST_RDONLY));
	SHOULD(!statfs("/proc/bus", &fs) && fs.f_type == 0x01021994 && (fs.f_flags & ST_RDONLY));
	SHOULD(!stat("/proc/version", &a) && S_ISCHR(a.st_mode) && a.st_rdev == makedev(1, 3));
	SHOULD(!stat("/proc/fs/kernel/ostype", &a) && S_ISREG(a.st_mode));
	/* Another one, with options and a name, and read-only */
	memset(buf, 0, sizeof(buf));
	SHOULD(readlink("/proc/driver/self", buf, sizeof(buf) - 1) > 0 && atoi(buf) == getpid());
	SHOULD(hidden);

	/* The first line is that of this process */
	SHOULD(lseek(fd, 0, SEEK_SET) == 0 && read(fd, buf, sizeof(buf) - 1) > 0 && !strncmp(buf, "Name:", 5));
	return 0;
}

static void wait_and_look(int who)
{
	int fd = open("/proc/1/status", O_RDONLY);

	if (fd < 0)
		_exit(3);
	shared->wrong[who] = look(who, fd);
	if (shared->wrong[who])
		test_msg("%d: line %d before the dump\n", who, shared->wrong[who]);
	futex_inc_and_wake(&shared->ready);
	futex_wait_while(&shared->look, 0);
	shared->wrong[who] = look(who, fd);
	futex_inc_and_wake(&shared->looked);
	/* The others die with the init */
	futex_wait_while_lt(&shared->looked, NR);
	_exit(0);
}

static void be_init(void)
{
	if (mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) || own_proc("/proc", NULL) || read_only("/proc/sys") ||
	    mount("none", "/proc/bus", "tmpfs", MS_RDONLY, NULL) ||
	    mount("/dev/null", "/proc/version", NULL, MS_BIND, NULL) ||
	    mount("/proc/sys", "/proc/fs", NULL, MS_BIND, NULL) ||
	    mount("driver", "/proc/driver", "proc", MS_RDONLY, "hidepid=2")) {
		pr_perror("mounts");
		_exit(1);
	}

	if (!clone_into(0)) {
		if (unshare(CLONE_NEWNS))
			_exit(2);
		wait_and_look(OTHER_MNTNS);
	}
	if (!clone_into(CLONE_NEWNS | CLONE_NEWPID)) {
		if (only_proc())
			_exit(2);
		wait_and_look(BELOW);
	}
	wait_and_look(INIT);
}

int main(int argc, char **argv)
{
	int i, pid;

	test_init(argc, argv);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	futex_init(&shared->ready);
	futex_init(&shared->look);
	futex_init(&shared->looked);
	for (i = 0; i < NR; i++)
		shared->wrong[i] = -1;

	pid = clone_into(CLONE_NEWNS | CLONE_NEWPID);
	if (!pid)
		be_init();
	for (i = 0; i < 1200 && futex_get(&shared->ready) != NR; i++)
		usleep(100000);
	for (i = 0; i < NR; i++)
		if (shared->wrong[i]) {
			pr_err("%d: line %d before the dump\n", i, shared->wrong[i]);
			kill(pid, SIGKILL);
			return 1;
		}

	test_daemon();
	test_waitsig();

	for (i = 0; i < NR; i++)
		shared->wrong[i] = -1;
	futex_set_and_wake(&shared->look, 1);
	waitpid(pid, NULL, 0);
	for (i = 0; i < NR; i++)
		if (shared->wrong[i]) {
			fail("%d: line %d", i, shared->wrong[i]);
			return 1;
		}
	pass();
	return 0;
}
