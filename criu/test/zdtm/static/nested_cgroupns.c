#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "zdtmtst.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

const char *test_doc = "Cgroup namespaces below that of the root task";
const char *test_author = "The CABA series";

char *dirname;
TEST_OPTION(dirname, string, "cgroup-v2 directory name", 1);

/* Of the root task, in its own one or in that of criu */
#ifndef ROOT_FLAGS
#define ROOT_FLAGS 0
#endif
#define TOP "/zdtm_nested"

/* Whom it was forked by, where it makes a namespace (if it does), where it is, what it sees */
struct one {
	int parent;
	const char *ns, *cgroup, *seen;
} ones[] = {
	{ -1, TOP, TOP "/root", ROOT_FLAGS ? "/root" : TOP "/root" },
	{ 0, TOP "/a", TOP "/a/x", "/x" },
	{ 1, NULL, TOP "/a/x", "/x" },
	{ 2, TOP "/a/x/deep", TOP "/a/x/deep", "/" },
	{ 0, NULL, TOP "/b", ROOT_FLAGS ? "/b" : TOP "/b" },
	{ 4, TOP, TOP "/b", "/b" },
	{ 1, NULL, TOP "/a", "/" },
};
#define NR ((int)ARRAY_SIZE(ones))

/* Those above stand before those below; the hook knows them, too */
static const char *cgroups[] = { "", "/root", "/a", "/a/x", "/a/x/deep", "/b" };

#include "nested_tree.h"

static ino_t *before;

static int enter(const char *cgroup)
{
	char path[PATH_MAX];

	/* As the mount shows it, whatever the namespace */
	ssprintf(path, "%s%s/cgroup.procs", dirname, cgroup);
	return write_value(path, "0");
}

static int make(int n)
{
	const struct one *o = &ones[n];

	if (o->ns && (enter(o->ns) || ((o->parent >= 0 || ROOT_FLAGS) && unshare(CLONE_NEWCGROUP)))) {
		pr_perror("Can't make a namespace at %s", o->ns);
		return -1;
	}
	before[n] = inode_of(n, "cgroup");
	return enter(o->cgroup) || check(n);
}

static int check(int n)
{
	char line[PATH_MAX];
	FILE *f;
	int ret = 1;

	f = fopen("/proc/self/cgroup", "r");
	if (!f) {
		pr_perror("Can't open /proc/self/cgroup");
		return 1;
	}
	while (ret && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "0::", 3))
			continue;
		ret = strcmp(line + 3, ones[n].seen);
		if (ret)
			fail("%d sees %s, not %s", n, line + 3, ones[n].seen);
		break;
	}
	fclose(f);
	return ret;
}

static int root(void)
{
	int ret;

	if (wait_for_all())
		return 1;

	test_daemon();
	test_waitsig();

	ret = !same("cgroup", before) || check(0);
	let_go();
	return ret;
}

int main(int argc, char **argv)
{
	char path[PATH_MAX];
	int i, ret = 1;

	test_init(argc, argv);
	before = share(NR * sizeof(*before));
	if (!before || prepare_tree())
		return 1;
	if (mkdir(dirname, 0700) || mount("cgroup2", dirname, "cgroup2", 0, NULL)) {
		pr_perror("Can't mount cgroup2");
		return 1;
	}
	for (i = 0; i < (int)ARRAY_SIZE(cgroups); i++) {
		ssprintf(path, "%s" TOP "%s", dirname, cgroups[i]);
		if (mkdir(path, 0755)) {
			pr_perror("Can't make %s", path);
			goto out;
		}
	}
	if (!live(0)) {
		pass();
		ret = 0;
	}
out:
	umount2(dirname, MNT_DETACH);
	rmdir(dirname);
	return ret;
}
