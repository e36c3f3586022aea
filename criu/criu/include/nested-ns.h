#ifndef __CR_NESTED_NS_H__
#define __CR_NESTED_NS_H__

#include <stdbool.h>
#include <sys/types.h>

struct mount_info;
struct ns_desc;
struct ns_id;
struct parasite_dump_cgroup_args;
struct MntEntry;
struct pstree_item;

/* Either */
extern bool is_nested_ns(const struct ns_id *ns);
extern bool have_nested_ns(const struct ns_desc *nd); /* NULL: of any kind */

/* Dump */
extern bool nested_ns_can_dump(pid_t pid, struct ns_desc *nd);
extern bool nested_ns_is_criu(const struct ns_id *ns, pid_t pid);
extern int nested_ns_check_map(pid_t pid);
extern int nested_ns_check_ipc(const struct ns_id *ns);
extern bool nested_ns_has_cgroup(const struct pstree_item *item);
extern int nested_ns_read_cgroup(pid_t pid, pid_t tid, struct parasite_dump_cgroup_args *args);
extern int nested_ns_cgroup_root(struct mount_info *pm);
extern int nested_ns_put_mount(struct mount_info *pm, struct MntEntry *me);

/* Restore */
extern int nested_ns_get_mount(struct mount_info *pm, const struct MntEntry *me);
extern int nested_ns_mount_mqueue(struct mount_info *mi, const char *src, const char *fstype, unsigned long flags);
extern int nested_ns_cg_set(pid_t pid, unsigned int *set);
extern unsigned long nested_ns_mask(const struct pstree_item *item);
extern int nested_ns_collect(struct pstree_item *item);
extern int prepare_nested_namespaces(void);
extern int restore_task_nested_ns(const struct pstree_item *item);

#endif /* __CR_NESTED_NS_H__ */
