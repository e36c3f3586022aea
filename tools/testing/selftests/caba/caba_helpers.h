/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading NScaba (Closest Alive Born Ancestor) out of a procfs mount.
 *
 * Nothing here allocates memory or takes a lock: all of it may be called
 * after a fork from a threaded process.
 */
#ifndef _SELFTESTS_CABA_HELPERS_H
#define _SELFTESTS_CABA_HELPERS_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/types.h>

/* A pid namespace is at most 32 levels below the initial one. */
#define CABA_MAX_LEVELS	33

/* Long enough for a status file, save for one with very many groups. */
#define CABA_STATUS_SIZE	8192

#define CABA_NO_KERNEL	"the kernel has no CABA (no NScaba in /proc/self/status)"

/**
 * caba_read_status() - read a whole status file
 * @path: e.g. "/proc/self/status"
 * @buf: gets the text, with a NUL at its end
 *
 * Return: its length, or -errno: -ENOENT or -ESRCH for a task that is gone.
 */
static inline int caba_read_status(const char *path,
				   char buf[CABA_STATUS_SIZE])
{
	ssize_t n = 0;
	int len = 0, fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	do {
		n = read(fd, buf + len, CABA_STATUS_SIZE - 1 - len);
		if (n > 0)
			len += n;
	} while (n > 0 || (n < 0 && errno == EINTR));

	if (n < 0)
		len = -errno;
	else if (len == CABA_STATUS_SIZE - 1)
		len = -EFBIG;
	else
		buf[len] = '\0';
	close(fd);
	return len;
}

/**
 * caba_find_line() - find a line of a status file
 * @text: what caba_read_status() brought
 * @key: the name with its colon, e.g. "NScaba:"
 *
 * Return: where the line starts, its key included, or NULL.
 */
static inline const char *caba_find_line(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (*text && strncmp(text, key, len)) {
		text = strchr(text, '\n');
		if (!text)
			return NULL;
		text++;
	}
	return *text ? text : NULL;
}

/**
 * caba_parse_line() - take the numbers out of a line of a status file
 * @line: what caba_find_line() found
 * @key: the name with its colon
 * @levels: gets the numbers, in the order of the line
 *
 * The line has to be the key, then a tab and a number once or more often,
 * then a newline: anything else is refused, an empty value too.
 *
 * Return: how many numbers there are, at least 1, or -EBADMSG.
 */
static inline int caba_parse_line(const char *line, const char *key,
				  pid_t levels[CABA_MAX_LEVELS])
{
	int n = 0;

	line += strlen(key);
	while (*line == '\t' && n < CABA_MAX_LEVELS) {
		long val;
		char *end;

		/* strtol() would let blanks and signs pass */
		if (line[1] < '0' || line[1] > '9')
			return -EBADMSG;
		val = strtol(line + 1, &end, 10);
		if (val > INT_MAX)
			return -EBADMSG;
		levels[n++] = val;
		line = end;
	}
	return *line == '\n' && n ? n : -EBADMSG;
}

/**
 * caba_read_file() - read the numbers of one line of one status file
 * @path: the status file
 * @key: the name with its colon, e.g. "NScaba:", "NSpid:", "PPid:"
 * @levels: gets the numbers
 *
 * Return: how many there are, at least 1; -ENODATA when there is no such line,
 * -EBADMSG when it is malformed, -ENOENT or -ESRCH when the task is gone.
 */
static inline int caba_read_file(const char *path, const char *key,
				 pid_t levels[CABA_MAX_LEVELS])
{
	char buf[CABA_STATUS_SIZE];
	const char *line;
	int ret;

	ret = caba_read_status(path, buf);
	if (ret < 0)
		return ret;
	line = caba_find_line(buf, key);
	return line ? caba_parse_line(line, key, levels) : -ENODATA;
}

/**
 * caba_read() - read the NScaba of a process
 * @procfs: where the procfs is mounted, e.g. "/proc"
 * @pid: the process, by its number in that mount's pid namespace
 * @levels: gets the numbers
 *
 * Return: as caba_read_file().
 */
static inline int caba_read(const char *procfs, pid_t pid,
			    pid_t levels[CABA_MAX_LEVELS])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d/status", procfs, (int)pid);
	return caba_read_file(path, "NScaba:", levels);
}

/**
 * caba_read_task() - read the NScaba of a thread
 * @procfs: where the procfs is mounted
 * @pid: the process, by its number in that mount's pid namespace
 * @tid: the thread, likewise
 * @levels: gets the numbers
 *
 * Return: as caba_read_file().
 */
static inline int caba_read_task(const char *procfs, pid_t pid, pid_t tid,
				 pid_t levels[CABA_MAX_LEVELS])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d/task/%d/status", procfs, (int)pid,
		 (int)tid);
	return caba_read_file(path, "NScaba:", levels);
}

/**
 * caba_supported() - is this a kernel with CABA?
 *
 * Return: true if /proc/self/status has an NScaba line, even a malformed one.
 */
static inline bool caba_supported(void)
{
	pid_t levels[CABA_MAX_LEVELS];
	int ret = caba_read_file("/proc/self/status", "NScaba:", levels);

	return ret > 0 || ret == -EBADMSG;
}

#endif /* _SELFTESTS_CABA_HELPERS_H */
