#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zdtmtst.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

const char *test_doc = "Watches of files of a cgroup that nobody is in";
const char *test_author = "The CABA series";

char *dirname;
TEST_OPTION(dirname, string, "cgroup-v2 directory name", 1);

/* Below the root of the cgroup namespace; the hook knows them, too */
static const char *cgroups[] = { "", "/init", "/slice", "/slice/empty" };
static const char *watched[] = { "cgroup.events", "memory.events" };

static int set(const char *cgroup, const char *file, const char *value)
{
	char path[PATH_MAX];

	ssprintf(path, "%s/%s/%s", dirname, cgroup, file);
	return write_value(path, value);
}

static int watch(int fd, int i)
{
	char path[PATH_MAX];

	ssprintf(path, "%s/zdtm_watched/slice/empty/%s", dirname, watched[i]);
	return inotify_add_watch(fd, path, IN_MODIFY);
}

int main(int argc, char **argv)
{
	char path[PATH_MAX], pid[32];
	int fd, i, wd[ARRAY_SIZE(watched)], ret = 1;
	struct inotify_event event = {};
	struct pollfd pfd = { .events = POLLIN };

	test_init(argc, argv);

	if (mkdir(dirname, 0700) || mount("cgroup2", dirname, "cgroup2", 0, NULL)) {
		pr_perror("Can't mount cgroup2");
		return 1;
	}
	for (i = 0; i < ARRAY_SIZE(cgroups); i++) {
		ssprintf(path, "%s/zdtm_watched%s", dirname, cgroups[i]);
		if (mkdir(path, 0755)) {
			pr_perror("Can't make %s", path);
			goto out;
		}
	}

	ssprintf(pid, "%d", getpid());
	if (set("zdtm_watched", "cgroup.procs", pid))
		goto out;
	if (unshare(CLONE_NEWCGROUP)) {
		pr_perror("unshare");
		goto out;
	}
	if (set("zdtm_watched/init", "cgroup.procs", pid) || set("", "cgroup.subtree_control", "+memory") ||
	    set("zdtm_watched", "cgroup.subtree_control", "+memory") ||
	    set("zdtm_watched/slice", "cgroup.subtree_control", "+memory"))
		goto out;

	fd = inotify_init1(IN_NONBLOCK);
	if (fd < 0) {
		pr_perror("inotify_init1");
		goto out;
	}
	for (i = 0; i < ARRAY_SIZE(watched); i++) {
		wd[i] = watch(fd, i);
		if (wd[i] < 0) {
			pr_perror("inotify_add_watch");
			goto out;
		}
	}

	test_daemon();
	test_waitsig();

	/* The kernel finds a watch by its inode */
	for (i = 0; i < ARRAY_SIZE(watched); i++) {
		if (watch(fd, i) != wd[i]) {
			fail("%s is not watched", watched[i]);
			goto out;
		}
	}
	if (set("zdtm_watched/slice/empty", "cgroup.procs", pid))
		goto out;
	/* The kernel tells it by a work item */
	pfd.fd = fd;
	if (poll(&pfd, 1, 20000) != 1 || read(fd, &event, sizeof(event)) != sizeof(event) || event.wd != wd[0]) {
		fail("Nothing was told of the cgroup");
		goto out;
	}

	pass();
	ret = 0;
out:
	umount2(dirname, MNT_DETACH);
	rmdir(dirname);
	return ret;
}
