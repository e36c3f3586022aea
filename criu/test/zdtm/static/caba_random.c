const char *test_doc = "A random tree of processes";

#include "caba_steps.h"

static unsigned long long rnd_state;

static unsigned int rnd(unsigned int n)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rnd_state >> 33) % n;
}

static int pick(int nr)
{
	int i;

	do
		i = rnd(nr);
	while (!procs[i].pid || procs[i].zombie);
	return i;
}

int main(int argc, char *argv[])
{
	char *env = getenv("ZDTM_CABA_SEED");
	int i, nr = 1, ret = 1;
	unsigned int seed;

	test_init(argc, argv);
	if (prepare_procs())
		return 1;

	seed = env ? atoi(env) : time(NULL);
	test_msg("ZDTM_CABA_SEED=%u\n", seed);
	rnd_state = seed * 2654435761ULL;

	for (i = 0; i < 150; i++) {
		struct step s = { .who = pick(nr) };
		int op = rnd(20);

		if (op < 9) {
			if (nr == MAX_PROCS)
				continue;
			s.op = FORK;
			s.arg = nr++;
		} else if (op < 14) {
			if (!s.who)
				continue;
			s.op = EXIT;
			s.arg = rnd(4);
		} else if (op < 17) {
			if (!s.who)
				continue;
			s.op = SETSID;
		} else if (op < 19) {
			if (!s.who)
				continue;
			s.op = SUBREAPER;
			s.arg = rnd(2);
		} else {
			if (!s.who)
				continue;
			s.op = SETPGID;
			s.arg = rnd(2) ? s.who : pick(nr);
		}

		/* A leader can't do setsid or setpgid again */
		if (do_step(&s) && s.op != SETSID && s.op != SETPGID) {
			pr_err("Step %d: %d %d %d\n", i, s.who, s.op, s.arg);
			goto out;
		}
	}

	ret = compare_all();
	if (!ret)
		pass();
out:
	kill_all();
	return ret;
}
