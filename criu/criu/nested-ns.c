/*
 * Uts and ipc namespaces below those of the root task.
 *
 * On restore all of them are made, and filled, before anybody is forked, by a
 * process that is gone then, and kept in the fdstore. A task enters its own ones
 * when it has forked its children: so nobody inherits them, whoever was born
 * below whom.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/nsfs.h>

#include "types.h"
#include "caba-ns.h"
#include "common/err.h"
#include "fdstore.h"
#include "ipc_ns.h"
#include "kerndat.h"
#include "linux/mount.h"
#include "mount.h"
#include "namespaces.h"
#include "nested-ns.h"
#include "pstree.h"
#include "rst_info.h"
#include "util.h"
#include "uts_ns.h"

#define NESTED_NS (CLONE_NEWUTS | CLONE_NEWIPC)

bool is_nested_ns(const struct ns_id *ns)
{
	return ns->type == NS_OTHER && ns->nd->cflag & NESTED_NS;
}

bool have_nested_namespaces(void)
{
	struct ns_id *ns;

	for (ns = ns_ids; ns; ns = ns->next)
		if (is_nested_ns(ns))
			return true;
	return false;
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

	if (!(nd->cflag & NESTED_NS) || caba_ns_kid(root_item->pid->real, &user_ns_desc, &owner))
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
	if (ns->type != NS_CRIU || !(ns->nd->cflag & root_ns_mask & NESTED_NS) || pid == getpid())
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

/* A mqueue file system belongs to the ipc namespace of who has mounted it first */
static int check_mqueue(const struct ns_id *ns)
{
	struct mount_info *mi;
	int fsfd, fd, ret;
	struct stat st;

	fsfd = cr_fsopen("mqueue", FSOPEN_CLOEXEC);
	if (fsfd < 0) {
		if (errno == ENODEV)
			return 0;
		pr_perror("Can't look at the message queues of the ipc namespace %u", ns->kid);
		return -1;
	}
	fd = cr_fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? -1 : cr_fsmount(fsfd, 0, 0);
	if (fd < 0 || fstat(fd, &st)) {
		pr_perror("Can't mount the message queues of the ipc namespace %u", ns->kid);
		close_safe(&fd);
		close(fsfd);
		return -1;
	}
	close(fsfd);

	ret = has_entries(fd);
	close(fd);
	if (ret) {
		if (ret > 0)
			pr_err("The nested ipc namespace %u of %d has POSIX message queues\n", ns->kid, ns->ns_pid);
		return -1;
	}
	for (mi = mntinfo; mi; mi = mi->next)
		if (mi->s_dev == MKKDEV(major(st.st_dev), minor(st.st_dev))) {
			pr_err("The mount at %s is that of the nested ipc namespace %u of %d\n", mi->ns_mountpoint,
			       ns->kid, ns->ns_pid);
			return -1;
		}
	return 0;
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

/*
 * Restore
 */

static struct ns_id *nested_ns_of(bool has, unsigned int id, struct ns_desc *nd)
{
	struct ns_id *ns = has ? lookup_ns_by_id(id, nd) : NULL;

	return ns && is_nested_ns(ns) ? ns : NULL;
}

int nested_ns_collect(struct pstree_item *item)
{
	TaskKobjIdsEntry *ids = item->ids;

	if (ids->has_uts_ns_id && rst_add_ns_id(ids->uts_ns_id, item, &uts_ns_desc))
		return -1;
	return ids->has_ipc_ns_id ? rst_add_ns_id(ids->ipc_ns_id, item, &ipc_ns_desc) : 0;
}

/* Nobody but the root task is forked into a new one */
unsigned long nested_ns_mask(const struct pstree_item *item)
{
	return item->parent ? NESTED_NS : 0;
}

static int make_nested_ns(struct ns_id *ns)
{
	int fd, ret;

	pr_info("Making the nested %s namespace %u\n", ns->nd->str, ns->id);
	if (unshare(ns->nd->cflag)) {
		pr_perror("Can't make the %s namespace %u", ns->nd->str, ns->id);
		return -1;
	}
	if (ns->nd == &uts_ns_desc)
		ret = prepare_utsns(ns->id);
	else
		ret = prepare_ipc_ns(ns->id);
	if (ret)
		return -1;

	fd = open_proc(PROC_SELF, "ns/%s", ns->nd->str);
	if (fd < 0)
		return -1;
	ns->nested.nsfd_id = fdstore_add(fd);
	close(fd);
	return ns->nested.nsfd_id < 0 ? -1 : 0;
}

static int make_nested_namespaces(void *unused)
{
	struct ns_id *ns;

	for (ns = ns_ids; ns; ns = ns->next)
		if (is_nested_ns(ns) && make_nested_ns(ns))
			return 1;
	return 0;
}

int prepare_nested_namespaces(void)
{
	return have_nested_namespaces() ? call_in_child_process(make_nested_namespaces, NULL) : 0;
}

static int enter_nested_ns(const struct ns_id *ns)
{
	int fd, ret;

	if (!ns)
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
	TaskKobjIdsEntry *ids = item->ids;

	if (!ids)
		return 0;
	if (enter_nested_ns(nested_ns_of(ids->has_uts_ns_id, ids->uts_ns_id, &uts_ns_desc)))
		return -1;
	return enter_nested_ns(nested_ns_of(ids->has_ipc_ns_id, ids->ipc_ns_id, &ipc_ns_desc));
}
