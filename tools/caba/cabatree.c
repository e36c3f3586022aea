// SPDX-License-Identifier: GPL-2.0
/*
 * cabatree - show who was started by whom: the command line
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cabatree.h"

#define SEE_HELP	"; see cabatree --help"

/* How often --signal looks for new ones */
#define SIGNAL_ROUNDS	20

void no_nscaba(void)
{
	errx(EXIT_NO_NSCABA,
	     "this kernel has no NScaba in /proc/PID/status: it takes one with CONFIG_CABA=y (-p works without)");
}

/* A thread id means its process. */
static struct proc *find_arg(pid_t pid)
{
	struct proc *p, thread;

	p = find(pid, nr_procs);
	if (!p && read_proc(proc_fd, pid, &thread)) {
		p = find(thread.pid, nr_procs);
		forget(&thread);
	}
	if (!p)
		errx(EXIT_NO_PROCESS, "no such process: %d", pid);
	return p;
}

static int number_arg(const char *what, const char *s)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end || errno || n <= 0 ||
	    n > INT_MAX)
		errx(EXIT_USAGE, "not a %s: '%s'" SEE_HELP, what, s);
	return n;
}

static pid_t pid_arg(const char *s)
{
	return number_arg("process id", s);
}

/* 15, TERM, SIGTERM, RTMIN+3 */
static int signal_arg(const char *s)
{
	const char *name = s;
	char *end;
	long n;
	int i;

	n = strtol(s, &end, 10);
	if (isdigit((unsigned char)*s) && !*end && n <= SIGRTMAX)
		return n;
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (i = 1; i < SIGRTMIN; i++) {
		const char *known = sigabbrev_np(i);

		if (known && !strcasecmp(name, known))
			return i;
	}
	if (!strncasecmp(name, "RTMIN", 5)) {
		if (!name[5])
			return SIGRTMIN;
		n = strtol(name + 6, &end, 10);
		if (name[5] == '+' && isdigit((unsigned char)name[6]) && !*end &&
		    n <= SIGRTMAX - SIGRTMIN)
			return SIGRTMIN + n;
	}
	errx(EXIT_USAGE, "not a signal: '%s'" SEE_HELP, s);
}

static bool stops_or_continues(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU ||
	       sig == SIGCONT;
}

static double seconds_arg(const char *s)
{
	double seconds;
	char *end;

	seconds = strtod(s, &end);
	if (end == s || *end || !(seconds >= 0.1 && seconds <= 86400))
		errx(EXIT_USAGE, "not a number of seconds from 0.1 on: '%s'" SEE_HELP, s);
	return seconds;
}

static int finish(void)
{
	if (ferror(stdout) || fclose(stdout))
		err(EXIT_ERROR, "cannot write");
	return 0;
}

static void show_help(void)
{
	puts("Usage: cabatree [-p | -b] [-k] [-u] [-t] [--dot | --json | --watch[=S]] [PID]\n"
	     "       cabatree [-p] --who PID\n"
	     "       cabatree [-p] --pids PID\n"
	     "       cabatree --strays PID\n"
	     "       cabatree --signal SIG [--strays] [--self] [--freeze] [--pids] PID\n"
	     "\n"
	     "Show the tree of processes by NScaba, their closest alive born ancestor: each\n"
	     "under the one that started it, or the next one up that still lives. With PID,\n"
	     "only what is below that process.\n"
	     "\n"
	     "  -p, --ppid             by PPid instead: each under its parent now\n"
	     "  -b, --both             both, side by side; * marks those whose place differs\n"
	     "  -w, --who PID          who started PID? The line of births up to the root:\n"
	     "                         pid, name, user, start, command line\n"
	     "  -d, --dot              write a graph for Graphviz; with -b, where PPid differs\n"
	     "                         it is dashed\n"
	     "      --json             write an object for each process\n"
	     "      --watch[=SECONDS]  draw again each second, with marks: + came, - went,\n"
	     "                         > has another place now; q ends it\n"
	     "  -k, --kernel-threads   show kernel threads too\n"
	     "  -u, --user             show whose each is\n"
	     "  -t, --time             show since when each runs\n"
	     "      --pids             only numbers: those that were born below PID and live\n"
	     "      --strays           only numbers: of those, who is not below PID by PPid\n"
	     "      --signal SIG       send SIG to those that were born below PID, again until\n"
	     "                         no new one turns up; with --strays, only to these\n"
	     "      --self             ... and at last to PID\n"
	     "      --freeze           ... and stop all of them first, so that none escapes\n"
	     "      --rounds N         ... but look no more than N times (20)\n"
	     "      --proc DIR         a proc file system mounted elsewhere than on /proc\n"
	     "  -h, --help             this help\n"
	     "\n"
	     "sid is the session, nspid the pid inside the process's own pid namespaces.\n"
	     "\n"
	     "Exit status: 0 all is well, 1 no such process, 2 usage, 3 this kernel has no\n"
	     "NScaba, 4 any other error, 5 --signal may have missed some.");
}

int main(int argc, char *argv[])
{
	enum {
		OPT_PROC = 256, OPT_PIDS, OPT_STRAYS, OPT_SIGNAL, OPT_SELF,
		OPT_FREEZE, OPT_ROUNDS, OPT_JSON, OPT_WATCH,
	};
	static const struct option options[] = {
		{ "ppid",		no_argument,		NULL, 'p' },
		{ "both",		no_argument,		NULL, 'b' },
		{ "who",		required_argument,	NULL, 'w' },
		{ "dot",		no_argument,		NULL, 'd' },
		{ "json",		no_argument,		NULL, OPT_JSON },
		{ "watch",		optional_argument,	NULL, OPT_WATCH },
		{ "kernel-threads",	no_argument,		NULL, 'k' },
		{ "user",		no_argument,		NULL, 'u' },
		{ "time",		no_argument,		NULL, 't' },
		{ "pids",		no_argument,		NULL, OPT_PIDS },
		{ "strays",		no_argument,		NULL, OPT_STRAYS },
		{ "signal",		required_argument,	NULL, OPT_SIGNAL },
		{ "self",		no_argument,		NULL, OPT_SELF },
		{ "freeze",		no_argument,		NULL, OPT_FREEZE },
		{ "rounds",		required_argument,	NULL, OPT_ROUNDS },
		{ "proc",		required_argument,	NULL, OPT_PROC },
		{ "help",		no_argument,		NULL, 'h' },
		{}
	};
	bool ppid = false, both = false, dot = false, json = false;
	bool kthreads = false, pids = false, kill = false, rounds = false;
	struct signal_options signal = { .rounds = SIGNAL_ROUNDS };
	bool use[TREES], has_caba = false;
	const char *path = "/proc", *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	pid_t who = 0, below = 0;
	struct proc *top = &root;
	double seconds = 0;
	size_t i;
	int opt;

	setlocale(LC_CTYPE, "");
	utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	colours = isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
		  !(term && !strcmp(term, "dumb"));

	while ((opt = getopt_long(argc, argv, "pbw:dkuth", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			ppid = true;
			break;
		case 'b':
			both = true;
			break;
		case 'w':
			who = pid_arg(optarg);
			break;
		case 'd':
			dot = true;
			break;
		case OPT_JSON:
			json = true;
			break;
		case OPT_WATCH:
			seconds = optarg ? seconds_arg(optarg) : 1;
			break;
		case 'k':
			kthreads = true;
			break;
		case 'u':
			show_user = true;
			break;
		case 't':
			show_start = true;
			break;
		case OPT_PIDS:
			pids = true;
			break;
		case OPT_STRAYS:
			signal.strays = true;
			break;
		case OPT_SIGNAL:
			signal.sig = signal_arg(optarg);
			kill = true;
			break;
		case OPT_SELF:
			signal.self = true;
			break;
		case OPT_FREEZE:
			signal.freeze = true;
			break;
		case OPT_ROUNDS:
			signal.rounds = number_arg("number of rounds", optarg);
			rounds = true;
			break;
		case OPT_PROC:
			path = optarg;
			break;
		case 'h':
			show_help();
			return finish();
		default:
			/* getopt has said what is wrong */
			errx(EXIT_USAGE, "see cabatree --help");
		}
	}
	if (optind < argc)
		below = pid_arg(argv[optind++]);
	if (optind < argc)
		errx(EXIT_USAGE, "one PID at a time, not '%s' as well" SEE_HELP,
		     argv[optind]);
	if (ppid && both)
		errx(EXIT_USAGE, "-p and -b exclude each other" SEE_HELP);
	if (who && (both || dot || below))
		errx(EXIT_USAGE, "--who takes one PID, and neither -b nor --dot" SEE_HELP);
	if (!!who + dot + json + !!seconds + (pids || signal.strays || kill) > 1)
		errx(EXIT_USAGE,
		     "only one of --who, --dot, --json, --watch or --pids and the like" SEE_HELP);
	if ((json || seconds) && both)
		errx(EXIT_USAGE, "--json and --watch take one tree, not -b" SEE_HELP);
	if ((pids || signal.strays || kill) && (!below || both))
		errx(EXIT_USAGE,
		     "--pids, --strays and --signal take one PID, and not -b" SEE_HELP);
	if ((signal.strays || kill) && ppid)
		errx(EXIT_USAGE, "--strays and --signal go by births, not by -p" SEE_HELP);
	if ((signal.self || signal.freeze || rounds) && !kill)
		errx(EXIT_USAGE, "--self, --freeze and --rounds are for --signal" SEE_HELP);
	if (signal.freeze && stops_or_continues(signal.sig))
		errx(EXIT_USAGE, "--freeze takes no signal that stops or continues" SEE_HELP);
	if (seconds && !isatty(STDOUT_FILENO))
		errx(EXIT_USAGE, "--watch needs a terminal" SEE_HELP);

	want_start = who || json || show_start;
	open_proc(path);
	if (kill) {
		signal.print = pids;
		opt = signal_below(below, &signal);
		finish();
		return opt;
	}
	if (!who || !read_line(who, !ppid))
		read_all();
	for (i = 0; i < nr_procs; i++)
		has_caba |= procs[i].has_caba;
	if (!has_caba && !ppid)
		no_nscaba();

	if (who || below)
		top = find_arg(who ? who : below);
	kthreads |= top->kthread;
	if (seconds) {
		watch(top->pid, !ppid, kthreads, seconds);
		return finish();
	}
	use[BY_PPID] = ppid || both || signal.strays;
	use[BY_CABA] = !ppid;
	for (i = 0; i < TREES; i++) {
		if (use[i])
			link_tree(i, kthreads);
	}

	if (who)
		show_who(top, !ppid);
	else if (pids || signal.strays)
		show_pids(top, !ppid, signal.strays);
	else if (json)
		show_json(top, !ppid);
	else if (dot)
		write_dot(top, use);
	else if (both)
		show_both(top);
	else
		show_one(top, !ppid);

	return finish();
}
