#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zdtmtst.h"

const char *test_doc = "Watches of a symlink and of what it points to";
const char *test_author = "The CABA series";

char *dirname;
TEST_OPTION(dirname, string, "directory name", 1);

/* The watch that has told something, 0 if none has */
static int told(int fd)
{
	char buf[sizeof(struct inotify_event) + NAME_MAX + 1] __attribute__((aligned(8)));
	struct inotify_event *event = (void *)buf;

	if (read(fd, buf, sizeof(buf)) >= (ssize_t)sizeof(*event))
		return event->wd;
	return errno == EAGAIN ? 0 : -1;
}

int main(int argc, char **argv)
{
	char file[PATH_MAX], link[PATH_MAX];
	int fd, of_link, of_file;

	test_init(argc, argv);

	ssprintf(file, "%s/file", dirname);
	ssprintf(link, "%s/link", dirname);
	if (mkdir(dirname, 0755) || mknod(file, S_IFREG | 0644, 0) || symlink("file", link)) {
		pr_perror("Can't make %s", link);
		return 1;
	}

	fd = inotify_init1(IN_NONBLOCK);
	if (fd < 0) {
		pr_perror("inotify_init1");
		return 1;
	}
	of_link = inotify_add_watch(fd, link, IN_ATTRIB | IN_DONT_FOLLOW);
	of_file = inotify_add_watch(fd, link, IN_ATTRIB);
	if (of_link < 0 || of_file < 0 || of_link == of_file) {
		pr_perror("inotify_add_watch: %d %d", of_link, of_file);
		return 1;
	}

	test_daemon();
	test_waitsig();

	if (utimensat(AT_FDCWD, link, NULL, AT_SYMLINK_NOFOLLOW) || told(fd) != of_link || told(fd)) {
		fail("The symlink is not watched");
		return 1;
	}
	if (utimensat(AT_FDCWD, file, NULL, 0) || told(fd) != of_file || told(fd)) {
		fail("The file is not watched");
		return 1;
	}

	pass();
	return 0;
}
