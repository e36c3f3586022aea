/*
 * Mounts of /proc that show a pid namespace below the root's one.
 *
 * Mounts are restored before anybody is forked, by the root task. Only who is
 * in a pid namespace can make a proc of it, and the nested ones come to be
 * while their inits are forked. So these mounts come last:
 *
 * - On dump such a mount, and each bind mount of a part of it (a sandbox makes
 *   /proc/sys read-only like that), gets the id of the pid namespace in its
 *   image. What could not be put back is refused: a proc of a dead or unknown
 *   namespace, what takes part in propagation, what is mounted on the folder of a
 *   process, and open files that will not be found by their path.
 *
 * - On restore mount-v2 makes them like all others, with the root's proc as a
 *   stand-in: so it knows what is a directory, and has something to bind. When
 *   it puts together the trees (still in a mount namespace that nobody uses) it
 *   leaves them out, and all that is mounted below: the latter is kept as a
 *   detached clone in the fdstore, together with the place where it all belongs.
 *
 * - When all have been forked, and helpers have left, the root task asks the
 *   init of the namespace for a proc (fsopen(), fsmount()), which comes through
 *   the fdstore. In a user namespace that takes another proc which is fully
 *   visible, so the init makes it in the mount namespace in which the root task
 *   has made the stand-in: what is mounted in its own one does not matter. The
 *   first one that shows all of it is put in its place; the bind mounts of the
 *   same superblock are cloned from that while nothing is mounted on it yet. Then
 *   the rest follows, parents first, over all mount namespaces until nothing is
 *   left. Files are opened after that.
 *
 * It takes mount-v2, and nothing that the kernel does not have since 5.12.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "types.h"
#include "caba.h"
#include "caba-ns.h"
#include "cr_options.h"
#include "fdstore.h"
#include "filesystems.h"
#include "linux/mount.h"
#include "mount.h"
#include "mount-v2.h"
#include "namespaces.h"
#include "pstree.h"
#include "util.h"

#include "images/mnt.pb-c.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

static bool all_of_it(const struct mount_info *mi)
{
	return !strcmp(mi->root, "/");
}

/*
 * Dump
 */
struct proc_owner {
	unsigned int s_dev;
	struct caba_pidns *ns; /* NULL if not nested */
	bool foreign;	       /* not the root's one either, nor ours */
	struct proc_owner *next;
};

static int look_inside(struct mount_info *pm, struct proc_owner *o)
{
	unsigned int top, own;
	struct stat st;
	int fd, ret;

	/* What is mounted on it is never on /1 */
	fd = mnt_is_overmounted(pm) ? open_mountpoint(pm) : __open_mountpoint(pm);
	if (fd < 0) {
		pr_err("Can't see whose the proc at %s is\n", pm->ns_mountpoint);
		return -1;
	}
	ret = fstatat(fd, "1/ns/pid", &st, 0);
	close(fd);
	if (ret) {
		pr_perror("The proc at %s is that of a pid namespace without init", pm->ns_mountpoint);
		return -1;
	}
	if (caba_ns_kid(root_item->pid->real, &pid_ns_desc, &top) || caba_ns_kid(PROC_SELF, &pid_ns_desc, &own))
		return -1;
	o->ns = caba_pidns_by_kid(st.st_ino);
	/* That of criu becomes that of the root, as ever */
	o->foreign = !o->ns && st.st_ino != top && st.st_ino != own;
	return 0;
}

/* NULL for what is no proc, or comes from elsewhere */
static int owner_of(struct mount_info *pm, struct proc_owner **res)
{
	static struct proc_owner *owners;
	struct mount_info *whole = pm;
	struct proc_owner *o;

	*res = NULL;
	if (pm->fstype->code != FSTYPE__PROC || pm->external || pm->need_plugin || mnt_is_external_bind(pm))
		return 0;
	for (o = owners; o; o = o->next)
		if (o->s_dev == pm->s_dev) {
			*res = o;
			return 0;
		}

	if (!all_of_it(pm))
		for (whole = mntinfo; whole; whole = whole->next)
			if (whole->s_dev == pm->s_dev && all_of_it(whole))
				break;
	if (!whole) {
		pr_err("There is a part of a proc at %s, but nowhere all of it\n", pm->ns_mountpoint);
		return -1;
	}

	o = xzalloc(sizeof(*o));
	if (!o)
		return -1;
	o->s_dev = pm->s_dev;
	if (look_inside(whole, o)) {
		xfree(o);
		return -1;
	}
	o->next = owners;
	owners = o;
	*res = o;
	return 0;
}

/* The nested namespace whose proc this is, or is on */
static int nested_ns(struct mount_info *pm, struct caba_pidns **ns)
{
	struct proc_owner *o;

	*ns = NULL;
	for (; pm && !*ns; pm = pm->parent) {
		if (owner_of(pm, &o))
			return -1;
		if (o)
			*ns = o->ns;
	}
	return 0;
}

/* What the root's proc does not have, or what is not there before threads and files are */
static bool only_there(const char *path)
{
	while (*path == '/')
		path++;
	return isdigit(*path) || strstartswith(path, "sys/net/");
}

static bool on_its_own(struct mount_info *pm)
{
	char path[PATH_MAX];
	struct proc_owner *o;

	if (owner_of(pm->parent, &o) || !o || !o->ns)
		return false;
	snprintf(path, sizeof(path), "%s/%s", pm->parent->root,
		 pm->ns_mountpoint + strlen(pm->parent->ns_mountpoint));
	return only_there(path);
}

int caba_put_proc(struct mount_info *pm, MntEntry *me)
{
	const char *how = NULL;
	struct caba_pidns *ns;
	struct proc_owner *o;

	if (!caba_has_pidns())
		return 0;
	if (owner_of(pm, &o) || nested_ns(pm, &ns))
		return -1;
	if (o && o->foreign) {
		pr_err("The proc at %s is that of a pid namespace that is not in this tree\n", pm->ns_mountpoint);
		return -1;
	}
	me->has_pidns_id = o && o->ns;
	me->pidns_id = me->has_pidns_id ? ns->id : 0;
	if (!ns)
		return 0;

	/* This is put in its place later than others */
	if (ns->init->pid->state == TASK_DEAD)
		how = "of no use, its init is dead";
	else if (!pm->parent)
		how = "the root of a mount namespace";
	else if (pm->parent->shared_id)
		how = "below a shared one";
	else if (pm->shared_id)
		how = "shared";
	else if (pm->master_id)
		how = "a slave";
	else if (pm->flags & MS_UNBINDABLE)
		how = "unbindable";
	else if (pm->deleted)
		how = "deleted";
	else if (o && only_there(pm->root))
		how = "only a part that others do not have";
	else if (on_its_own(pm))
		how = "on a part that others do not have";
	else if (opts.mntns_compat_mode)
		how = "not for --mntns-compat-mode";
	if (!how)
		return 0;
	pr_err("The mount at %s of %d is %s, and is or is on the proc of the nested pid namespace %u: it can't be restored\n",
	       pm->ns_mountpoint, pm->nsid->ns_pid, how, ns->kid);
	return -1;
}

/* Threads are made, and files of others opened, when this one has been opened */
static bool too_early(const char *path)
{
	char *end;
	long pid;

	while (*path == '/')
		path++;
	pid = strtol(path, &end, 10);
	if (end == path)
		return false;
	if (strstartswith(end, "/task/")) {
		path = end + strlen("/task/");
		if (strtol(path, &end, 10) != pid)
			return *path;
	}
	return strstartswith(end, "/fd/") || strstartswith(end, "/fdinfo/") || strstartswith(end, "/map_files/");
}

int caba_check_file(struct mount_info *mi, const char *path, const struct stat *st)
{
	const char *how = NULL;
	struct caba_pidns *ns;
	struct stat found;
	int root;

	if (!caba_has_pidns())
		return 0;
	if (nested_ns(mi, &ns))
		return -1;
	if (!ns)
		return 0;

	root = mntns_get_root_fd(mi->nsid);
	if (root < 0)
		return -1;
	if (!(root_ns_mask & CLONE_NEWNS))
		how = "that is not dumped";
	else if (!st->st_nlink || fstatat(root, path, &found, AT_SYMLINK_NOFOLLOW))
		how = "where it is not to be found any more";
	else if (mi->fstype->code == FSTYPE__PROC && too_early(path + strlen(mi->ns_mountpoint)))
		how = "and can't be opened before that process is complete";
	if (!how)
		return 0;
	pr_err("%s is open, on a mount %s, which is or is on the proc of the nested pid namespace %u\n", path, how, ns->kid);
	return -1;
}

/* Memory is mapped while processes are forked */
int caba_check_mapping(int mnt_id)
{
	struct mount_info *mi = caba_has_pidns() ? lookup_mnt_id(mnt_id) : NULL;
	struct caba_pidns *ns;

	if (!mi)
		return 0;
	if (nested_ns(mi, &ns))
		return -1;
	if (!ns)
		return 0;
	pr_err("A file is mapped from the mount at %s, which is or is on the proc of the nested pid namespace %u\n",
	       mi->ns_mountpoint, ns->kid);
	return -1;
}

/*
 * Restore
 */
int caba_get_proc(struct mount_info *pm, const MntEntry *me)
{
	if (!me->has_pidns_id)
		return 0;
	pm->pidns_id = me->pidns_id;
	if (!caba_pidns_by_id(pm->pidns_id)) {
		pr_err("The proc at %s is that of pid namespace %u, which is not in the image\n", me->mountpoint,
		       me->pidns_id);
		return -1;
	}
	if (opts.mntns_compat_mode) {
		pr_err("The proc at %s, of a nested pid namespace, needs mount-v2\n", me->mountpoint);
		return -1;
	}
	return 0;
}

static bool comes_later(const struct mount_info *mi)
{
	return mi->pidns_id || (mi->parent && mi->parent->later);
}

/* The init of which pid namespace is needed? */
bool caba_makes_proc(const struct pstree_item *item)
{
	struct mount_info *mi;

	if (!caba_is_init(item))
		return false;
	for (mi = mntinfo; mi; mi = mi->next)
		if (mi->pidns_id == caba_pidns_of(item)->id)
			return true;
	return false;
}

static int keep(int fd, int *id, const struct mount_info *mi)
{
	if (fd < 0) {
		pr_perror("Can't open what belongs to %s", mi->ns_mountpoint);
		return -1;
	}
	*id = fdstore_add(fd);
	close(fd);
	return *id < 0 ? -1 : 0;
}

/* Called by the root task in the mount namespace in which it makes all mounts */
static int mntns_id = -1;

int caba_keep_mntns(void)
{
	struct mount_info *mi;

	for (mi = mntinfo; mi && !mi->pidns_id; mi = mi->next)
		;
	return mi ? keep(open_proc(PROC_SELF, "ns/mnt"), &mntns_id, mi) : 0;
}

#define CLONE_ONE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW)

/* In its mount namespace, parents first. Returns 1 for who is not moved into the tree now. */
int caba_stash_mount(struct mount_info *mi)
{
	mi->later = comes_later(mi);
	if (!mi->later)
		return 0;

	if (!mi->parent->later && keep(open(mi->mountpoint, O_PATH | O_CLOEXEC), &mi->mp_fd_id, mi))
		return -1;
	if (!mi->pidns_id &&
	    keep(sys_open_tree(AT_FDCWD, mi->plain_mountpoint, CLONE_ONE), &mi->mnt_fd_id, mi))
		return -1;
	pr_info("Mount %d at %s comes when all have been forked\n", mi->mnt_id, mi->ns_mountpoint);
	return 1;
}

/* As the kernel has them since 5.12 */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif

struct attr {
	uint64_t set, clear, propagation, userns_fd;
};

#define ATTR_RDONLY	 0x01
#define ATTR_NOSUID	 0x02
#define ATTR_NODEV	 0x04
#define ATTR_NOEXEC	 0x08
#define ATTR_NOATIME	 0x10
#define ATTR_STRICTATIME 0x20
#define ATTR_NODIRATIME	 0x80
#define ATTR_ALL	 0xff

static unsigned int attr_of(const struct mount_info *mi)
{
	static const struct {
		unsigned int ms;
		unsigned int attr;
	} flags[] = {
		{ MS_RDONLY, ATTR_RDONLY },
		{ MS_NOSUID, ATTR_NOSUID },
		{ MS_NODEV, ATTR_NODEV },
		{ MS_NOEXEC, ATTR_NOEXEC },
		{ MS_NOATIME, ATTR_NOATIME },
		{ MS_NODIRATIME, ATTR_NODIRATIME },
	};
	unsigned int i, attr = mi->flags & (MS_NOATIME | MS_RELATIME) ? 0 : ATTR_STRICTATIME;

	for (i = 0; i < ARRAY_SIZE(flags); i++)
		if (mi->flags & flags[i].ms)
			attr |= flags[i].attr;
	return attr;
}

static int set_flags(int fd, const struct mount_info *mi)
{
	struct attr attr = { .set = attr_of(mi), .clear = ATTR_ALL };

	if (syscall(__NR_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr))) {
		pr_perror("Can't set the flags of %s", mi->ns_mountpoint);
		return -1;
	}
	return 0;
}

static int set_options(int fsfd, struct mount_info *mi)
{
	char *options, *opt, *value, *save = NULL;
	int ret = 0;

	if (*mi->source && cr_fsconfig(fsfd, FSCONFIG_SET_STRING, "source", mi->source, 0))
		return -1;
	if (mi->sb_flags & MS_RDONLY && cr_fsconfig(fsfd, FSCONFIG_SET_FLAG, "ro", NULL, 0))
		return -1;
	options = xstrdup(mi->options);
	if (!options)
		return -1;
	for (opt = strtok_r(options, ",", &save); opt && !ret; opt = strtok_r(NULL, ",", &save)) {
		value = strchr(opt, '=');
		if (value)
			*value++ = 0;
		ret = cr_fsconfig(fsfd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, opt, value, 0);
	}
	xfree(options);
	return ret;
}

/* By the init: a detached mount into the fdstore */
int caba_new_proc(struct mount_info *mi, int *id)
{
	int orig, nsfd, fsfd, fd = -1;

	nsfd = fdstore_get(mntns_id);
	if (nsfd < 0 || switch_ns_by_fd(nsfd, &mnt_ns_desc, &orig)) {
		close_safe(&nsfd);
		return -1;
	}
	close(nsfd);
	fsfd = cr_fsopen("proc", FSOPEN_CLOEXEC);
	if (fsfd >= 0 && !set_options(fsfd, mi) && !cr_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fd = cr_fsmount(fsfd, 0, attr_of(mi));
	if (fd < 0)
		pr_perror("Can't make the proc of pid namespace %u for %s", mi->pidns_id, mi->ns_mountpoint);
	close_safe(&fsfd);
	if (restore_ns(orig, &mnt_ns_desc)) {
		close_safe(&fd);
		return -1;
	}
	return fd < 0 ? -1 : keep(fd, id, mi);
}

/* All that show the same superblock, or a part of it, are cloned from the first one */
static int clone_from(struct mount_info *first, int fd)
{
	struct mount_info *mi;

	for (mi = mntinfo; mi; mi = mi->next) {
		const char *part = mi->root + 1;

		if (mi == first || mi->pidns_id != first->pidns_id || mi->s_dev != first->s_dev)
			continue;
		if (keep(sys_open_tree(fd, part, CLONE_ONE | (*part ? 0 : AT_EMPTY_PATH)), &mi->mnt_fd_id, mi))
			return -1;
	}
	return 0;
}

static int place_of(const struct mount_info *mi)
{
	char *path = mi->ns_mountpoint + strlen(mi->parent->ns_mountpoint);
	int parent, fd;

	if (mi->mp_fd_id >= 0)
		return fdstore_get(mi->mp_fd_id);

	while (*path == '/')
		path++;
	parent = fdstore_get(mi->parent->mnt_fd_id);
	if (parent < 0 || !*path)
		return parent;
	fd = openat(parent, path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		pr_perror("There is no %s", mi->ns_mountpoint);
	close(parent);
	return fd;
}

static int (*order_proc)(struct pstree_item *init, struct mount_info *mi);
static int nr_left, nr_placed;

static int place(struct mount_info *mi)
{
	bool first = mi->mnt_fd_id < 0;
	int fd, mp, ret = -1;

	if (!mi->later || mi->placed)
		return 0;
	if ((mi->parent->later && !mi->parent->placed) || (first && !all_of_it(mi))) {
		nr_left++;
		return 0;
	}

	if (first) {
		mi->mnt_fd_id = order_proc(caba_pidns_by_id(mi->pidns_id)->init, mi);
		if (mi->mnt_fd_id < 0)
			return -1;
	}
	fd = fdstore_get(mi->mnt_fd_id);
	mp = place_of(mi);
	if (fd < 0 || mp < 0)
		goto out;
	if (sys_move_mount(fd, "", mp, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)) {
		pr_perror("Can't put mount %d to %s", mi->mnt_id, mi->ns_mountpoint);
		goto out;
	}
	if (first && clone_from(mi, fd))
		goto out;
	if (mi->pidns_id && !first && set_flags(fd, mi))
		goto out;
	pr_info("Mount %d is at %s%s\n", mi->mnt_id, mi->ns_mountpoint, first ? ", a new proc" : "");
	mi->placed = true;
	nr_placed++;
	ret = 0;
out:
	close_safe(&fd);
	close_safe(&mp);
	return ret;
}

/* The root task, when all have been forked. @order returns the id in the fdstore of what an init has made. */
int caba_place_procs(int (*order)(struct pstree_item *init, struct mount_info *mi))
{
	int orig = -1, ret = -1, fd;
	struct mount_info *mi;
	struct ns_id *nsid;

	for (mi = mntinfo; mi && !mi->later; mi = mi->next)
		;
	if (!mi)
		return 0;

	order_proc = order;
	do {
		nr_left = nr_placed = 0;
		for (nsid = ns_ids; nsid; nsid = nsid->next) {
			if (nsid->nd != &mnt_ns_desc)
				continue;
			fd = fdstore_get(nsid->mnt.nsfd_id);
			if (fd < 0)
				goto out;
			ret = switch_ns_by_fd(fd, &mnt_ns_desc, orig < 0 ? &orig : NULL);
			close(fd);
			if (!ret)
				ret = mnt_tree_for_each(nsid->mnt.mntinfo_tree, place);
			if (ret)
				goto out;
		}
	} while (nr_left && nr_placed);
	if (nr_left) {
		pr_err("%d mounts on the proc of nested pid namespaces have no place\n", nr_left);
		ret = -1;
	}
out:
	if (orig >= 0 && restore_ns(orig, &mnt_ns_desc))
		ret = -1;
	return ret;
}
