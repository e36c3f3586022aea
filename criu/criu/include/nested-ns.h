#ifndef __CR_NESTED_NS_H__
#define __CR_NESTED_NS_H__

#include <stdbool.h>
#include <sys/types.h>

struct ns_desc;
struct ns_id;
struct pstree_item;

/* Either */
extern bool is_nested_ns(const struct ns_id *ns);
extern bool have_nested_namespaces(void);

/* Dump */
extern bool nested_ns_can_dump(pid_t pid, struct ns_desc *nd);
extern bool nested_ns_is_criu(const struct ns_id *ns, pid_t pid);
extern int nested_ns_check_map(pid_t pid);
extern int nested_ns_check_ipc(const struct ns_id *ns);

/* Restore */
extern unsigned long nested_ns_mask(const struct pstree_item *item);
extern int nested_ns_collect(struct pstree_item *item);
extern int prepare_nested_namespaces(void);
extern int restore_task_nested_ns(const struct pstree_item *item);

#endif /* __CR_NESTED_NS_H__ */
