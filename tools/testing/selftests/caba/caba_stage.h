/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the scenarios are told in: a stage for each, and the words.
 *
 * Orphans go to the test, the only sub-reaper unless a scenario has more: so
 * where NScaba names S, PPid does not.
 */
#ifndef _SELFTESTS_CABA_STAGE_H
#define _SELFTESTS_CABA_STAGE_H

#include <sched.h>
#include <unistd.h>
#include <sys/mount.h>

#include "../kselftest_harness.h"
#include "caba_actors.h"

/* An emulated machine with a debug kernel is slow. TEST_F() takes what it finds. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	STEP_SECONDS

#define BIRTH(parent, child)	ASSERT_EQ(0, bring(parent, OP_BIRTH, child, 0))
#define BIRTH_FLAGS(parent, child, flags) \
	ASSERT_EQ(0, bring(parent, OP_BIRTH, child, flags))
#define THREAD(who, thread)	ASSERT_EQ(0, bring(who, OP_THREAD, thread, 0))
#define VFORK_EXEC(parent, child) \
	ASSERT_EQ(0, bring(parent, OP_VFORK_EXEC, child, 0))
#define DO(who, op, arg)	ASSERT_EQ(0, ask(who, op, arg, 0))
#define BEGIN(who, op)		ASSERT_EQ(0, tell(who, op, 0, 0))
#define REAP(parent, child)	ASSERT_EQ(0, reap(parent, child))
#define DIE(who)		ASSERT_EQ(0, die(who))
#define KILL(who)		ASSERT_EQ(0, kill_actor(who))
#define END_THREAD(who)		ASSERT_EQ(0, end_thread(who))

#define EXPECT_CABA_AT(viewer, who, ancestor) \
	EXPECT_STREQ("", wrong(viewer, who, ancestor))
#define EXPECT_CABA(who, ancestor)	EXPECT_CABA_AT(S, who, ancestor)
#define EXPECT_NO_CABA_AT(viewer, who)	EXPECT_STREQ("0", nscaba(viewer, who))
#define EXPECT_PPID(who, parent)	EXPECT_EQ(actors[parent].pid, ppid(who))
#define EXPECT_ZOMBIE(who)	EXPECT_EQ('Z', state(who))

#define NOT_ROOT	"needs to be root, to make pid and mount namespaces"
#define NO_PTRACE	"ptrace is not permitted here"

FIXTURE(caba) {
	bool root;	/* may make namespaces, and sees them from outside */
};

static bool private_tmp(void)
{
	return !unshare(CLONE_NEWNS) &&
	       !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("caba", "/tmp", "tmpfs", 0, NULL);
}

FIXTURE_SETUP(caba)
{
	self->root = !geteuid() && private_tmp();
	ASSERT_EQ(0, raise_stage());
}

FIXTURE_TEARDOWN(caba)
{
	strike_stage();
}

static int skip_all(void)
{
	struct __test_metadata *test;
	unsigned int nr = 0;

	for (test = _caba_fixture_object.tests; test; test = test->next)
		nr++;
	ksft_print_header();
	ksft_set_plan(nr);
	for (test = _caba_fixture_object.tests; test; test = test->next)
		ksft_test_result_skip("caba.%s: %s\n", test->name,
				      CABA_NO_KERNEL);
	ksft_print_cnts();
	return KSFT_SKIP;
}

int main(int argc, char **argv)
{
	act_if_told();
	if (!caba_supported())
		return skip_all();
	return test_harness_run(argc, argv);
}

#endif /* _SELFTESTS_CABA_STAGE_H */
