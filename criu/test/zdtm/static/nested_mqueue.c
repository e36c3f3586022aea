#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zdtmtst.h"

const char *test_doc = "Mounted message queues of a nested ipc namespace";
const char *test_author = "The CABA series";

char *dirname;
TEST_OPTION(dirname, string, "directory name", 1);

#define NESTED_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static char own[PATH_MAX], nested[PATH_MAX], again[PATH_MAX];

static int has(const char *dir)
{
	char path[PATH_MAX];

	ssprintf(path, "%s/zdtm_queue", dir);
	return !access(path, F_OK);
}

static int open_queue(void)
{
	return mq_open("/zdtm_queue", O_CREAT | O_RDWR, 0600, NULL) < 0;
}

static int child(int ready, int go)
{
	char c;

	if (unshare(CLONE_NEWIPC) || mount("mqueue", nested, "mqueue", NESTED_FLAGS, NULL) ||
	    mount(nested, again, NULL, MS_BIND, NULL)) {
		pr_perror("Can't mount the nested one");
		return 1;
	}
	if (write(ready, "", 1) != 1 || read(go, &c, 1) != 1)
		return 1;
	return open_queue();
}

int main(int argc, char **argv)
{
	int ready[2], go[2], status;
	struct stat st[2];
	pid_t pid;
	char c;

	test_init(argc, argv);
	ssprintf(own, "%s/own", dirname);
	ssprintf(nested, "%s/nested", dirname);
	ssprintf(again, "%s/again", dirname);
	if (mkdir(dirname, 0700) || mkdir(own, 0700) || mkdir(nested, 0700) || mkdir(again, 0700) ||
	    mount("mqueue", own, "mqueue", 0, NULL) || pipe(ready) || pipe(go)) {
		pr_perror("Can't begin");
		return 1;
	}
	pid = test_fork();
	if (pid < 0)
		return 1;
	if (!pid)
		_exit(child(ready[1], go[0]));
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		return 1;

	test_daemon();
	test_waitsig();

	if (write(go[1], "", 1) != 1 || waitpid(pid, &status, 0) < 0 || status) {
		fail("The child could not make a queue");
		return 1;
	}
	if (!has(nested) || !has(again) || has(own)) {
		fail("The queue of the child is%s in its mount,%s in the other one,%s in that of the root task",
		     has(nested) ? "" : " not", has(again) ? "" : " not", has(own) ? "" : " not");
		return 1;
	}
	if (stat(nested, &st[0]) || stat(again, &st[1]) || st[0].st_dev != st[1].st_dev) {
		fail("They are two now");
		return 1;
	}
	pass();
	return 0;
}
