/*
 * A tree of processes, each in namespaces of its own making: what the tests of
 * namespaces below those of the root task have in common. These say before what
 * there is, ones[] with .parent for each, and NR, and have
 *
 *   make(n)	makes what n is to have, in n, before it forks its children
 *   check(n)	says if n has it still, in n; called after the restore, too
 *   root()	of process 0, the test itself, when all have made theirs
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make(int n);
static int check(int n);
static int root(void);

/* As the test sees them */
static pid_t *pids;
static int ready[2], go[2];

static void *share(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static int prepare_tree(void)
{
	pids = share(NR * sizeof(*pids));
	if (!pids || pipe(ready) || pipe(go)) {
		pr_perror("Can't begin");
		return -1;
	}
	pids[0] = getpid();
	return 0;
}

/* Of process 0, until all others are there */
static int wait_for_all(void)
{
	char c;
	int i;

	for (i = 1; i < NR; i++)
		if (read(ready[0], &c, 1) != 1)
			return -1;
	return 0;
}

/* They look, and end */
static void let_go(void)
{
	close(go[1]);
}

static int live(int n)
{
	int i, status, ret;
	char c;

	if (make(n))
		return 1;
	for (i = n + 1; i < NR; i++) {
		if (ones[i].parent != n)
			continue;
		pids[i] = test_fork();
		if (pids[i] < 0) {
			pr_perror("Can't fork");
			return 1;
		}
		if (!pids[i]) {
			pids[i] = getpid();
			close(go[1]);
			_exit(live(i));
		}
	}
	if (n) {
		if (write(ready[1], "", 1) != 1 || read(go[0], &c, 1) < 0)
			return 1;
		ret = check(n);
	} else {
		ret = root();
	}
	for (i = n + 1; i < NR; i++)
		if (ones[i].parent == n && (waitpid(pids[i], &status, 0) < 0 || status))
			ret = 1;
	return ret;
}

static ino_t inode_of(int n, const char *ns)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pids[n], ns);
	return stat(path, &st) ? 0 : st.st_ino;
}

/* The inodes are others now, but who had the same has it still */
static int same(const char *ns, const ino_t *before)
{
	int i, j;

	for (i = 0; i < NR; i++)
		for (j = 0; j < i; j++)
			if ((inode_of(i, ns) == inode_of(j, ns)) != (before[i] == before[j])) {
				fail("The %s namespaces of %d and %d", ns, i, j);
				return 0;
			}
	return 1;
}
