/*
 * The foreground group of a terminal, when nobody is in it any more.
 *
 * The kernel goes on to tell its number, and whoever is in another group is
 * in the background. To set it there has to be somebody in that group, so a
 * helper makes the group, and exits later on.
 */
#include <errno.h>
#include <signal.h>

#include "types.h"
#include "caba.h"
#include "log.h"
#include "pid.h"
#include "pstree.h"
#include "restorer.h"
#include "rst_info.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

/* Who could have got the number of a group that is not in the tree */
static bool is_taken(pid_t pgrp)
{
	if (vpid(root_item) == INIT_PID)
		return false;
	return !kill(pgrp, 0) || errno != ESRCH || !kill(-pgrp, 0) || errno != ESRCH;
}

/* Returns the group to set, 0 to leave it with that of the leader */
pid_t caba_foreground(struct pstree_item *leader, pid_t pgrp)
{
	struct pstree_item *item, *helper = NULL;

	if (!pgrp)
		return 0;

	for_each_pstree_item(item)
		if (item->pgid == pgrp)
			return pgrp;

	if (!is_taken(pgrp))
		helper = lookup_create_item(pgrp);
	/* Somebody has the number for a pid, and has left the group */
	if (!helper || helper->pid->state != TASK_UNDEF)
		goto leave;

	helper->sid = leader->sid;
	helper->pgid = pgrp;
	helper->parent = leader;
	helper->ids = leader->ids;
	if (init_pstree_helper(helper))
		goto leave;
	list_add_tail(&helper->sibling, &leader->children);
	/* CR_STATE_FORKING has been started, and who takes part in it has been counted */
	futex_inc(&task_entries->nr_in_progress);
	pr_info("Helper %d is the foreground group of session %d\n", pgrp, leader->sid);
	return pgrp;
leave:
	pr_warn("Nobody is in group %d, the foreground one of session %d is that of its leader now\n", pgrp,
		leader->sid);
	return 0;
}
