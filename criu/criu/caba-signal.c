/*
 * The signal that tells a parent of the end of its child.
 *
 * It is given at birth, like a session. Whoever is adopted, or does exec(), has
 * SIGCHLD from then on.
 */
#include <signal.h>

#include "types.h"
#include "caba.h"
#include "caba-plan.h"
#include "proc_parse.h"
#include "pstree.h"

#undef LOG_PREFIX
#define LOG_PREFIX "caba: "

static int read_exit_signal(struct pstree_item *item, int *sig)
{
	struct proc_pid_stat st;

	if (parse_pid_stat(item->pid->real, &st))
		return -1;
	*sig = st.exit_signal;
	return 0;
}

/* The first one is the root, which gets another parent anyway */
int caba_collect_exit_signals(struct caba_node *nodes, unsigned int nr)
{
	struct pstree_item *item;
	unsigned int i;

	for (i = 1; i < nr; i++) {
		item = nodes[i].data;
		if (read_exit_signal(item, &item->exit_signal))
			return -1;
		nodes[i].exit_signal = item->exit_signal;
		if (nodes[i].zombie && item->exit_signal && item->exit_signal != SIGCHLD) {
			pr_err("%d is a zombie with %d as its exit signal, which its parent would get once more\n",
			       nodes[i].pid, item->exit_signal);
			return -1;
		}
	}
	return 0;
}

int caba_verify_exit_signal(struct pstree_item *item)
{
	int sig;

	if (read_exit_signal(item, &sig))
		return -1;
	if (sig == item->exit_signal)
		return 0;
	pr_err("%d has exit signal %d instead of %d\n", vpid(item), sig, item->exit_signal);
	return -1;
}
