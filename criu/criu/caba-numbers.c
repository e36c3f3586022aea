/*
 * Numbers of processes that are kept in files: owners (F_SETOWN), pidfds, and
 * the session and foreground group of terminals.
 *
 * Where there are nested pid namespaces, who has such a file need not see whom
 * it is about, or by another number. In the images it is the number at the
 * root's level. On dump CRIU asks itself, as it sees all. On restore it sets the
 * owners, at the end; and the root task, which sees all of the tree, makes the
 * pidfds before anybody opens files.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "types.h"
#include "caba.h"
#include "caba-ns.h"
#include "fdstore.h"
#include "files.h"
#include "namespaces.h"
#include "proc_parse.h"
#include "pstree.h"
#include "rst-malloc.h"
#include "util.h"

#include "images/fown.pb-c.h"
#include "images/pidfd.pb-c.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

/* More than anybody has */
#define MAX_OWNERS 65536

/*
 * Dump. Numbers as seen by CRIU become those at the root's level.
 */
static pid_t top_pid(pid_t real)
{
	struct births b;

	return pstree_item_by_real(real) && caba_births_of(real, &b) == 1 ? b.pid : 0;
}

static pid_t top_tid(pid_t real)
{
	struct pstree_item *item;
	struct births b;
	int i;

	for_each_pstree_item(item)
		for (i = 0; i < item->nr_threads; i++)
			if (item->threads[i].real == real)
				return caba_births_of(real, &b) == 1 ? b.pid : 0;
	return 0;
}

/* Any member of the group or session tells */
static bool births_of_member(pid_t (*id_of)(pid_t), pid_t real, struct births *b)
{
	struct pstree_item *item;

	for_each_pstree_item(item)
		if (id_of(item->pid->real) == real)
			return caba_births_of(item->pid->real, b) == 1;
	return false;
}

static pid_t top_pgid(pid_t real)
{
	struct births b;

	return births_of_member(getpgid, real, &b) ? b.pgid : 0;
}

static pid_t top_sid(pid_t real)
{
	struct births b;

	return births_of_member(getsid, real, &b) ? b.sid : 0;
}

int caba_dump_owner(int lfd, struct fd_parms *p)
{
	static unsigned int nr_owners;
	struct f_owner_ex owner;
	const char *what;
	uint32_t uids[2];
	pid_t top;

	if (!caba_has_pidns() || p->flags & O_PATH)
		return 0;

	if (fcntl(lfd, F_GETOWN_EX, &owner)) {
		pr_perror("Can't get the owner of fd %d of %d", p->fd, p->pid);
		return -1;
	}
	p->fown.pid = 0;
	if (!owner.pid)
		return 0;
	if (fcntl(lfd, F_GETOWNER_UIDS, uids)) {
		pr_perror("Can't get the owner's uids of fd %d of %d", p->fd, p->pid);
		return -1;
	}

	if (owner.type == F_OWNER_PID) {
		what = "process";
		top = top_pid(owner.pid);
	} else if (owner.type == F_OWNER_TID) {
		what = "thread";
		top = top_tid(owner.pid);
	} else {
		what = "group";
		top = top_pgid(owner.pid);
	}
	if (!top) {
		pr_err("Fd %d of %d signals %s %d, which is not in this tree\n", p->fd, p->pid, what, owner.pid);
		return -1;
	}
	if (++nr_owners > MAX_OWNERS) {
		pr_err("More than %d files have owners\n", MAX_OWNERS);
		return -1;
	}

	p->fown.pid = top;
	p->fown.pid_type = owner.type;
	p->fown.uid = userns_uid(uids[0]);
	p->fown.euid = userns_uid(uids[1]);
	return 0;
}

/* The last number of @real, or what it is called at the root's level */
pid_t caba_top_pid(pid_t real, pid_t last)
{
	struct pstree_item *item = pstree_item_by_real(real);

	return item && item->inner ? item->inner->pid[0] : last;
}

int caba_check_autofs(pid_t real)
{
	struct pstree_item *item = pstree_item_by_real(real);

	if (!item || !item->inner)
		return 0;
	pr_err("%d is the master of an autofs, and in a nested pid namespace\n", real);
	return -1;
}

static bool leader_is_inner(pid_t sid)
{
	struct pstree_item *item;

	for_each_pstree_item(item)
		if (item->inner && item->inner->pid[0] == sid)
			return true;
	return false;
}

static bool has_ctty(const struct proc_pid_stat *stat, const struct fd_parms *p, bool ctty)
{
	return stat->tty_nr && (ctty || (unsigned int)stat->tty_nr == (unsigned int)p->stat.st_rdev);
}

/* @sid and @pgrp are what who has it sees, if it is its controlling terminal or a master */
int caba_dump_tty(int lfd, const struct fd_parms *p, bool master, bool ctty, pid_t *sid, pid_t *pgrp)
{
	struct pstree_item *item = pstree_item_by_real(p->pid);
	struct proc_pid_stat stat;
	pid_t session = 0, group = 0, top;
	struct births b;

	if (!caba_has_pidns() || !item)
		return 0;

	if (master) {
		/* Anybody is told, also if it is nobody's yet */
		if (ioctl(lfd, TIOCGSID, &session) || ioctl(lfd, TIOCGPGRP, &group))
			return 0;
		*sid = session ? top_sid(session) : 0;
		if (session && !*sid) {
			pr_err("Fd %d of %d is the terminal of session %d, which is not in this tree\n", p->fd, p->pid,
			       session);
			return -1;
		}
	} else {
		if (parse_pid_stat(p->pid, &stat))
			return -1;
		if (!has_ctty(&stat, p, ctty))
			return 0;
		if (caba_births_of(p->pid, &b) != 1)
			return -1;
		*sid = b.sid;
		group = stat.tty_pgrp > 0 ? stat.tty_pgrp : 0;
	}

	top = group ? top_pgid(group) : 0;
	/* In the root's namespace it is known all the same */
	if (group && !top && (item->inner || leader_is_inner(*sid))) {
		pr_err("Nobody is in group %d, the foreground one of the terminal of fd %d of %d in a nested pid namespace\n",
		       group, p->fd, p->pid);
		return -1;
	}
	if (!group || top)
		*pgrp = top;
	return 0;
}

/*
 * Restore
 */
struct owned {
	int file; /* in the fdstore */
	int type;
	pid_t pid;
	uid_t uid, euid;
};

struct owners {
	atomic_t nr;
	struct owned at[];
};

static struct owners *owned;

struct made_pidfd {
	PidfdEntry *e;
	int file;
	struct made_pidfd *next;
};

static struct made_pidfd *made_pidfds;

/* Before the first fork */
int caba_prepare_numbers(void)
{
	if (!caba_nested())
		return 0;
	owned = mmap(NULL, sizeof(*owned) + MAX_OWNERS * sizeof(owned->at[0]), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (owned == MAP_FAILED) {
		pr_perror("Can't map the list of file owners");
		return -1;
	}
	return 0;
}

int caba_set_owner_later(int fd, const FownEntry *fown)
{
	unsigned int i = atomic_inc_return(&owned->nr) - 1;
	struct owned *o = &owned->at[i];

	if (i >= MAX_OWNERS) {
		pr_err("More than %d files have owners\n", MAX_OWNERS);
		return -1;
	}
	*o = (struct owned){ .type = fown->pid_type, .pid = fown->pid, .uid = fown->uid, .euid = fown->euid };
	o->file = fdstore_add(fd);
	return o->file < 0 ? -1 : 0;
}

static pid_t real_tid(const struct pstree_item *item, pid_t top)
{
	struct dirent *de;
	struct births b;
	pid_t tid = 0;
	DIR *dir;

	dir = opendir_proc(item->pid->real, "task");
	while (dir && (de = readdir(dir)))
		if (!dir_dots(de) && caba_births_of(atoi(de->d_name), &b) == 1 && b.pid == top) {
			tid = atoi(de->d_name);
			break;
		}
	if (dir)
		closedir(dir);
	return tid;
}

static pid_t real_owner(const struct owned *o)
{
	struct pstree_item *item;
	int i;

	for_each_pstree_item(item) {
		if (item->pid->state == TASK_HELPER)
			continue;
		if (o->type == F_OWNER_PID && vpid(item) == o->pid)
			return item->pid->real;
		if (o->type == F_OWNER_PGRP && item->pgid == o->pid)
			return getpgid(item->pid->real);
		for (i = 0; o->type == F_OWNER_TID && i < item->nr_threads; i++)
			if (item->threads[i].ns[0].virt == o->pid)
				return real_tid(item, o->pid);
	}
	return 0;
}

/* Uids of the root's user namespace as CRIU has them */
static uid_t own_uid(uid_t uid)
{
	unsigned int first, lower, count;
	uid_t res = uid;
	FILE *f;

	if (!(root_ns_mask & CLONE_NEWUSER))
		return uid;
	f = fopen_proc(root_item->pid->real, "uid_map");
	while (f && fscanf(f, "%u %u %u", &first, &lower, &count) == 3)
		if (uid >= first && uid - first < count)
			res = lower + uid - first;
	if (f)
		fclose(f);
	return res;
}

static int set_owner(const struct owned *o)
{
	struct f_owner_ex owner = { .type = o->type, .pid = real_owner(o) };
	uid_t uids[3];
	int fd, ret;

	fd = fdstore_get(o->file);
	if (fd < 0)
		return -1;
	ret = getresuid(&uids[0], &uids[1], &uids[2]) || setresuid(own_uid(o->uid), own_uid(o->euid), uids[2]) ||
	      !owner.pid || fcntl(fd, F_SETOWN_EX, &owner) || setresuid(uids[0], uids[1], uids[2]);
	if (ret)
		pr_perror("Can't make %d(%d) the owner of a file", o->pid, owner.pid);
	close(fd);
	return ret ? -1 : 0;
}

/* By CRIU, when all threads are there, and nobody goes on yet */
int caba_set_owners(void)
{
	unsigned int i, nr = owned ? atomic_read(&owned->nr) : 0;

	for (i = 0; i < nr; i++)
		if (set_owner(&owned->at[i]))
			return -1;
	if (nr && prctl(PR_SET_DUMPABLE, 1, 0))
		pr_perror("Unable to set PR_SET_DUMPABLE");
	return 0;
}

int caba_expect_pidfd(PidfdEntry *e)
{
	struct made_pidfd *m;

	if (!caba_nested() || e->nspid == -1)
		return 0;
	m = shmalloc(sizeof(*m));
	if (!m)
		return -1;
	*m = (struct made_pidfd){ .e = e, .file = -1, .next = made_pidfds };
	made_pidfds = m;
	return 0;
}

/* By the root task */
int caba_make_pidfds(void)
{
	struct made_pidfd *m;
	int fd;

	for (m = made_pidfds; m; m = m->next) {
		fd = syscall(__NR_pidfd_open, m->e->nspid, m->e->flags);
		if (fd < 0) {
			pr_perror("Can't open a pidfd of %d", m->e->nspid);
			return -1;
		}
		m->file = fdstore_add(fd);
		close(fd);
		if (m->file < 0)
			return -1;
	}
	return 0;
}

int caba_open_pidfd(const PidfdEntry *e)
{
	struct made_pidfd *m;

	if (!caba_nested())
		return syscall(__NR_pidfd_open, e->nspid, e->flags);
	for (m = made_pidfds; m && m->e != e; m = m->next)
		;
	return m ? fdstore_get(m->file) : -1;
}

/* For the leader of its session, which sees all groups in there */
pid_t caba_group_nr(pid_t pgid)
{
	struct caba_pidns *ns = caba_pidns_of(current);
	struct pstree_item *item;

	if (!ns)
		return pgid;
	for_each_pstree_item(item)
		if (item->pgid == pgid && item->inner && item->inner->pgid.nr > ns->level)
			return item->inner->pgid.at[ns->level];
	return 0;
}
