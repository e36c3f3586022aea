#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "zdtmtst.h"

const char *test_doc = "Uts and ipc namespaces below those of the root task";
const char *test_author = "The CABA series";

#define KEY 4242

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

/* Whom it was forked by, what it leaves, and what it has then */
struct one {
	int parent;
	int flags;
	const char *name, *message;
} ones[] = {
	{ -1, 0, NULL, NULL },
	{ 0, CLONE_NEWUTS | CLONE_NEWIPC, "first", "one" },
	{ 1, 0, "first", "one" },
	{ 0, CLONE_NEWUTS, "third", NULL },
	{ 3, CLONE_NEWIPC, "third", "four" },
	{ 2, CLONE_NEWUTS, "fifth", "one" },
};
#define NR ((int)ARRAY_SIZE(ones))

#include "nested_tree.h"

struct shared {
	ino_t uts[NR], ipc[NR];
};

static struct shared *shared;
static char root_name[65];

struct message {
	long type;
	char text[16];
};

static int make(int n)
{
	const struct one *o = &ones[n];
	struct message m = { .type = 1 };
	int id;

	if (unshare(o->flags)) {
		pr_perror("Can't unshare %x", o->flags);
		return -1;
	}
	if (o->flags & CLONE_NEWUTS && (sethostname(o->name, strlen(o->name)) || setdomainname(o->name, strlen(o->name)))) {
		pr_perror("Can't set the name %s", o->name);
		return -1;
	}
	shared->uts[n] = inode_of(n, "uts");
	shared->ipc[n] = inode_of(n, "ipc");
	if (!(o->flags & CLONE_NEWIPC))
		return 0;

	id = msgget(KEY, IPC_CREAT | 0600);
	strcpy(m.text, o->message);
	if (id < 0 || msgsnd(id, &m, sizeof(m.text), 0)) {
		pr_perror("Can't send a message");
		return -1;
	}
	id = semget(KEY, 1, IPC_CREAT | 0600);
	if (id < 0 || semctl(id, 0, SETVAL, o->message[0])) {
		pr_perror("Can't make a semaphore");
		return -1;
	}
	return 0;
}

static int check(int n)
{
	const struct one *o = &ones[n];
	const char *name = o->name ?: root_name;
	struct utsname u;
	struct message m;
	int id, value;

	if (uname(&u) || strcmp(u.nodename, name) || (o->name && strcmp(u.domainname, name))) {
		fail("%d has the name %s.%s, not %s", n, u.nodename, u.domainname, name);
		return 1;
	}
	id = msgget(KEY, 0);
	if (!o->message) {
		if (id < 0)
			return 0;
		fail("%d sees a message queue", n);
		return 1;
	}
	/* It stays there for the others */
	if (id < 0 || msgrcv(id, &m, sizeof(m.text), 0, IPC_NOWAIT | MSG_COPY) < 0 || strcmp(m.text, o->message)) {
		fail("%d has no message %s", n, o->message);
		return 1;
	}
	id = semget(KEY, 1, 0);
	value = id < 0 ? -1 : semctl(id, 0, GETVAL);
	if (value != o->message[0]) {
		fail("%d has a semaphore of %d, not %d", n, value, o->message[0]);
		return 1;
	}
	return 0;
}

static int root(void)
{
	struct stat st;
	char path[64];
	int i, fd;

	if (wait_for_all())
		return 1;
	snprintf(path, sizeof(path), "/proc/%d/ns/uts", pids[1]);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		pr_perror("Can't open %s", path);
		return 1;
	}

	test_daemon();
	test_waitsig();

	i = !check(0) && same("uts", shared->uts) && same("ipc", shared->ipc);
	if (fstat(fd, &st) || st.st_ino != inode_of(1, "uts")) {
		fail("The open namespace is another one");
		i = 0;
	}
	let_go();
	return !i;
}

int main(int argc, char **argv)
{
	struct utsname u;

	test_init(argc, argv);
	shared = share(sizeof(*shared));
	if (!shared || uname(&u)) {
		pr_perror("Can't begin");
		return 1;
	}
	strcpy(root_name, u.nodename);
	if (prepare_tree() || live(0))
		return 1;
	pass();
	return 0;
}
