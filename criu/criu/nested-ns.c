/*
 * Uts, ipc and cgroup namespaces below those of the root task.
 *
 * On restore all of them are made, and filled, before anybody is forked, each by
 * a process that is gone then, and kept in the fdstore. A task enters its own ones
 * when it has forked its children: so nobody inherits them, whoever was born
 * below whom.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/nsfs.h>

#include "types.h"
#include "caba-ns.h"
#include "common/err.h"
#include "common/list.h"
#include "cgroup.h"
#include "cr_options.h"
#include "fdstore.h"
#include "filesystems.h"
#include "ipc_ns.h"
#include "kerndat.h"
#include "linux/mount.h"
#include "mount.h"
#include "mount-v2.h"
#include "namespaces.h"
#include "nested-ns.h"
#include "parasite.h"
#include "proc_parse.h"
#include "protobuf.h"
#include "pstree.h"
#include "rst_info.h"
#include "util.h"
#include "uts_ns.h"

#include "images/core.pb-c.h"
#include "images/mnt.pb-c.h"

static bool can_nest(const struct ns_desc *nd)
{
	if (nd == &cgroup_ns_desc)
		return true;
	return nd == &uts_ns_desc || nd == &ipc_ns_desc;
}

bool is_nested_ns(const struct ns_id *ns)
{
	return ns->type == NS_OTHER && can_nest(ns->nd);
}

bool have_nested_ns(const struct ns_desc *nd)
{
	struct ns_id *ns;

	for (ns = ns_ids; ns; ns = ns->next)
		if (is_nested_ns(ns) && (!nd || ns->nd == nd))
			return true;
	return false;
}

static bool is_in(const TaskKobjIdsEntry *ids, const struct ns_id *ns)
{
	if (ns->nd == &cgroup_ns_desc)
		return ids->has_cgroup_ns_id && ids->cgroup_ns_id == ns->id;
	if (ns->nd == &ipc_ns_desc)
		return ids->has_ipc_ns_id && ids->ipc_ns_id == ns->id;
	return ids->has_uts_ns_id && ids->uts_ns_id == ns->id;
}

/*
 * Dump
 */

/* On restore all belong to the user namespace of the root task */
bool nested_ns_can_dump(pid_t pid, struct ns_desc *nd)
{
	unsigned int owner;
	struct stat st;
	int fd, user;

	if (!can_nest(nd) || caba_ns_kid(root_item->pid->real, &user_ns_desc, &owner))
		return false;

	fd = open_proc(pid, "ns/%s", nd->str);
	if (fd < 0)
		return false;
	user = ioctl(fd, NS_GET_USERNS);
	close(fd);
	if (user < 0 || fstat(user, &st)) {
		pr_perror("Can't get the user namespace of the %s namespace of %d", nd->str, pid);
		close_safe(&user);
		return false;
	}
	close(user);
	if (st.st_ino != owner) {
		pr_err("The %s namespace of %d belongs to another user namespace than the root task's one\n", nd->str, pid);
		return false;
	}
	return true;
}

/* It is not in the images, and nobody could enter it from those that are */
bool nested_ns_is_criu(const struct ns_id *ns, pid_t pid)
{
	if (ns->type != NS_CRIU || !can_nest(ns->nd) || !(ns->nd->cflag & root_ns_mask) || pid == getpid())
		return false;
	pr_err("%d is in the %s namespace of criu, and the root task has its own one\n", pid, ns->nd->str);
	return true;
}

/* The restorer attaches it, and then the task is in its namespace */
int nested_ns_check_map(pid_t pid)
{
	unsigned int kid, root;

	if (caba_ns_kid(pid, &ipc_ns_desc, &kid) || caba_ns_kid(root_item->pid->real, &ipc_ns_desc, &root))
		return -1;
	if (kid == root)
		return 0;
	pr_err("%d has SysV shared memory and is in a nested ipc namespace\n", pid);
	return -1;
}

static int has_entries(int mntfd)
{
	struct dirent *de;
	DIR *dir = NULL;
	int fd, ret = 0;

	fd = openat(mntfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		dir = fdopendir(fd);
	if (!dir) {
		pr_perror("Can't open the folder of message queues");
		close_safe(&fd);
		return -1;
	}
	errno = 0;
	while (!ret && (de = readdir(dir)))
		ret = de->d_name[0] != '.';
	if (!ret && errno) {
		pr_perror("Can't read the folder of message queues");
		ret = -1;
	}
	closedir(dir);
	return ret;
}

/* A mqueue file system belongs to the ipc namespace of who has mounted it first. -ENODEV if there are none. */
static int open_mqueue(unsigned int ns)
{
	int fsfd, fd = -1;

	fsfd = cr_fsopen("mqueue", FSOPEN_CLOEXEC);
	if (fsfd < 0 && errno == ENODEV)
		return -ENODEV;
	if (fsfd >= 0 && !cr_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fd = cr_fsmount(fsfd, 0, 0);
	if (fd < 0)
		pr_perror("Can't mount the message queues of the ipc namespace %u", ns);
	close_safe(&fsfd);
	return fd;
}

static int check_mqueue(const struct ns_id *ns)
{
	int fd, ret;

	fd = open_mqueue(ns->kid);
	if (fd < 0)
		return fd == -ENODEV ? 0 : -1;
	ret = has_entries(fd);
	close(fd);
	if (ret > 0)
		pr_err("The nested ipc namespace %u of %d has POSIX message queues\n", ns->kid, ns->ns_pid);
	return ret ? -1 : 0;
}

/* Are those at @pm of the namespace? */
static int is_mqueue_of(const struct mount_info *pm, const struct ns_id *ns)
{
	struct stat st;
	int fd, orig, ret = -1;

	if (switch_ns(ns->ns_pid, &ipc_ns_desc, &orig))
		return -1;
	fd = open_mqueue(ns->kid);
	if (fd >= 0) {
		if (fstat(fd, &st))
			pr_perror("Can't look at the message queues of the ipc namespace %u", ns->kid);
		else
			ret = pm->s_dev == MKKDEV(major(st.st_dev), minor(st.st_dev));
		close(fd);
	}
	return restore_ns(orig, &ipc_ns_desc) ? -1 : ret;
}

/* In it. The images of what is in shared memory go by the segment's id alone. */
int nested_ns_check_ipc(const struct ns_id *ns)
{
	struct shm_info info;

	if (shmctl(0, SHM_INFO, (struct shmid_ds *)&info) < 0) {
		pr_perror("Can't look at the shared memory of the ipc namespace %u", ns->kid);
		return -1;
	}
	if (info.used_ids) {
		pr_err("The nested ipc namespace %u of %d has SysV shared memory\n", ns->kid, ns->ns_pid);
		return -1;
	}
	return check_mqueue(ns);
}

bool nested_ns_has_cgroup(const struct pstree_item *item)
{
	struct ns_id *ns;

	for (ns = ns_ids; ns; ns = ns->next)
		if (is_nested_ns(ns) && ns->nd == &cgroup_ns_desc && is_in(item->ids, ns))
			return true;
	return false;
}

/* As its own cgroup namespace sees it, and by no number that depends on a proc */
int nested_ns_read_cgroup(pid_t pid, pid_t tid, struct parasite_dump_cgroup_args *args)
{
	int fd, orig;
	ssize_t len = -1;

	if (switch_ns(pid, &cgroup_ns_desc, &orig))
		return -1;
	fd = open_proc(pid, "task/%d/cgroup", tid);
	if (fd >= 0) {
		len = read(fd, args->contents, sizeof(args->contents));
		if (len < 0)
			pr_perror("Can't read the cgroups of %d", tid);
		close(fd);
	}
	if (restore_ns(orig, &cgroup_ns_desc) || len < 0)
		return -1;
	if (len == sizeof(args->contents)) {
		pr_err("The cgroups of %d take more than %zd bytes\n", tid, len);
		return -1;
	}
	args->contents[len] = 0;
	return 0;
}

/* Where the root task's cgroup namespace begins in the hierarchy that is mounted there */
static const struct cg_ctl *root_ctl_of(const struct mount_info *pm)
{
	static LIST_HEAD(ctls);
	struct cg_ctl *ctl;

	if (list_empty(&ctls)) {
		struct parasite_dump_cgroup_args args;
		pid_t pid = root_item->pid->real;
		unsigned int nr = 0;

		if (nested_ns_read_cgroup(pid, pid, &args) || parse_thread_cgroup(pid, pid, &args, &ctls, &nr))
			return NULL;
	}
	list_for_each_entry(ctl, &ctls, l)
		if (!strcmp(ctl->name, pm->fstype->code == FSTYPE__CGROUP2 ? "" : pm->options))
			return ctl;
	pr_err("Can't find out of which cgroups the mount at %s is\n", pm->ns_mountpoint);
	return NULL;
}

static bool begins_with(const char *path, const struct cg_ctl *ctl)
{
	return !strncmp(path, ctl->path, ctl->cgns_prefix) && (!path[ctl->cgns_prefix] || path[ctl->cgns_prefix] == '/');
}

/*
 * A mount that was made in a nested cgroup namespace is the same as a bind mount
 * of the cgroup in which that begins. So make it a part of what the root task sees.
 */
int nested_ns_cgroup_root(struct mount_info *pm)
{
	const struct cg_ctl *ctl;

	if (pm->nsid->type == NS_CRIU || !have_nested_ns(&cgroup_ns_desc))
		return 0;
	ctl = root_ctl_of(pm);
	if (!ctl)
		return -1;
	/* If not it has to be an external one, see below */
	if (begins_with(pm->private, ctl) && ((char *)pm->private)[ctl->cgns_prefix]) {
		xfree(pm->root);
		pm->root = xstrdup(pm->private + ctl->cgns_prefix);
		if (!pm->root)
			return -1;
		((char *)pm->private)[ctl->cgns_prefix] = 0;
	}
	return 0;
}

static int check_cgroup_mount(const struct mount_info *pm)
{
	const struct cg_ctl *ctl;

	if (!(root_ns_mask & CLONE_NEWCGROUP) || !have_nested_ns(&cgroup_ns_desc))
		return 0;
	ctl = root_ctl_of(pm);
	if (ctl && begins_with(pm->private, ctl))
		return 0;
	pr_err("The mount at %s is that of a cgroup outside of the root task's cgroup namespace\n", pm->ns_mountpoint);
	return -1;
}

static int put_mqueue(const struct mount_info *pm, MntEntry *me)
{
	struct ns_id *ns;
	int ret;

	for (ns = ns_ids; ns; ns = ns->next) {
		if (!is_nested_ns(ns) || ns->nd != &ipc_ns_desc)
			continue;
		ret = is_mqueue_of(pm, ns);
		if (ret < 0)
			return -1;
		if (ret) {
			me->has_ipc_ns_id = true;
			me->ipc_ns_id = ns->id;
			break;
		}
	}
	return 0;
}

int nested_ns_put_mount(struct mount_info *pm, MntEntry *me)
{
	if (pm->external || pm->need_plugin || mnt_is_external_bind(pm))
		return 0;
	if (pm->fstype->code == FSTYPE__CGROUP || pm->fstype->code == FSTYPE__CGROUP2)
		return check_cgroup_mount(pm);
	return pm->fstype->code == FSTYPE__MQUEUE ? put_mqueue(pm, me) : 0;
}

/*
 * Restore
 */

int nested_ns_get_mount(struct mount_info *pm, const MntEntry *me)
{
	struct ns_id *ns;

	if (!me->has_ipc_ns_id)
		return 0;
	pm->ipc_ns_id = me->ipc_ns_id;
	ns = lookup_ns_by_id(pm->ipc_ns_id, &ipc_ns_desc);
	if (ns && is_nested_ns(ns))
		return 0;
	pr_err("The message queues at %s are those of ipc namespace %u, which is not in the image\n", me->mountpoint,
	       me->ipc_ns_id);
	return -1;
}

int nested_ns_mount_mqueue(struct mount_info *mi, const char *src, const char *fstype, unsigned long flags)
{
	int fd, ret;

	if (!mi->ipc_ns_id)
		return do_simple_mount(mi, src, fstype, flags);

	fd = fdstore_get(lookup_ns_by_id(mi->ipc_ns_id, &ipc_ns_desc)->nested.mqueue_id);
	if (fd < 0)
		return -1;
	ret = sys_move_mount(fd, "", AT_FDCWD, service_mountpoint(mi), MOVE_MOUNT_F_EMPTY_PATH);
	close(fd);
	if (!ret && flags)
		ret = mount(NULL, service_mountpoint(mi), NULL, MS_REMOUNT | MS_BIND | flags, NULL);
	if (ret)
		pr_perror("Can't mount the message queues of ipc namespace %u", mi->ipc_ns_id);
	return ret;
}

static int keep_mqueue(struct ns_id *ns)
{
	struct mount_info *mi;
	int fd;

	for (mi = mntinfo; mi && mi->ipc_ns_id != ns->id; mi = mi->next)
		;
	if (!mi)
		return 0;
	fd = open_mqueue(ns->id);
	if (fd < 0)
		return -1;
	ns->nested.mqueue_id = fdstore_add(fd);
	close(fd);
	return ns->nested.mqueue_id < 0 ? -1 : 0;
}

int nested_ns_cg_set(pid_t pid, unsigned int *set)
{
	struct cr_img *img;
	CoreEntry *core;
	int ret;

	img = open_image(CR_FD_CORE, O_RSTR, pid);
	if (!img)
		return -1;
	ret = pb_read_one(img, &core, PB_CORE);
	close_image(img);
	if (ret < 0)
		return -1;
	if (core->thread_core && core->thread_core->has_cg_set)
		*set = core->thread_core->cg_set;
	else
		*set = core->tc && core->tc->has_cg_set ? core->tc->cg_set : 0;
	core_entry__free_unpacked(core, NULL);
	return 0;
}

int nested_ns_collect(struct pstree_item *item)
{
	TaskKobjIdsEntry *ids = item->ids;

	if (ids->has_uts_ns_id && rst_add_ns_id(ids->uts_ns_id, item, &uts_ns_desc))
		return -1;
	if (ids->has_cgroup_ns_id && rst_add_ns_id(ids->cgroup_ns_id, item, &cgroup_ns_desc))
		return -1;
	return ids->has_ipc_ns_id ? rst_add_ns_id(ids->ipc_ns_id, item, &ipc_ns_desc) : 0;
}

/* Nobody but the root task is forked into a new one */
unsigned long nested_ns_mask(const struct pstree_item *item)
{
	return item->parent ? CLONE_NEWUTS | CLONE_NEWIPC : 0;
}

/* As that of the root task is then */
static bool is_ignored(const struct ns_id *ns)
{
	return ns->nd == &cgroup_ns_desc && opts.manage_cgroups == CG_MODE_IGNORE;
}

static int make_nested_cgroup_ns(const struct ns_id *ns)
{
	unsigned int set;

	return nested_ns_cg_set(ns->ns_pid, &set) || make_nested_cgroup_namespace(set);
}

static int fill_nested_ns(struct ns_id *ns)
{
	if (ns->nd == &cgroup_ns_desc)
		return make_nested_cgroup_ns(ns);
	if (unshare(ns->nd->cflag)) {
		pr_perror("Can't make the %s namespace %u", ns->nd->str, ns->id);
		return -1;
	}
	if (ns->nd == &uts_ns_desc)
		return prepare_utsns(ns->id);
	return prepare_ipc_ns(ns->id) || keep_mqueue(ns);
}

static int make_nested_ns(void *arg)
{
	struct ns_id *ns = arg;
	int fd;

	pr_info("Making the nested %s namespace %u\n", ns->nd->str, ns->id);
	if (fill_nested_ns(ns))
		return 1;
	fd = open_proc(PROC_SELF, "ns/%s", ns->nd->str);
	if (fd < 0)
		return 1;
	ns->nested.nsfd_id = fdstore_add(fd);
	close(fd);
	return ns->nested.nsfd_id < 0;
}

int prepare_nested_namespaces(void)
{
	struct ns_id *ns;

	for (ns = ns_ids; ns; ns = ns->next) {
		if (!is_nested_ns(ns))
			continue;
		if (is_ignored(ns))
			continue;
		if (call_in_child_process(make_nested_ns, ns))
			return -1;
	}
	return 0;
}

static int enter_nested_ns(const struct ns_id *ns)
{
	int fd, ret;

	if (is_ignored(ns))
		return 0;
	fd = fdstore_get(ns->nested.nsfd_id);
	if (fd < 0)
		return -1;
	ret = setns(fd, ns->nd->cflag);
	if (ret)
		pr_perror("Can't enter the %s namespace %u", ns->nd->str, ns->id);
	close(fd);
	return ret;
}

int restore_task_nested_ns(const struct pstree_item *item)
{
	struct ns_id *ns;

	for (ns = ns_ids; item->ids && ns; ns = ns->next)
		if (is_nested_ns(ns) && is_in(item->ids, ns) && enter_nested_ns(ns))
			return -1;
	return 0;
}
