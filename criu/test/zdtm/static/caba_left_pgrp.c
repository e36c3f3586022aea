const char *test_doc = "Groups whose leaders have left them for another one";

/* 2 and 3 end up in each other's groups, 6 leaves its own one to 7 */
#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, FORK, 2 }, { 1, FORK, 3 }, { 2, SETPGID, 2 }, { 2, FORK, 4 }, \
	{ 3, SETPGID, 3 }, { 3, FORK, 5 }, { 2, SETPGID, 3 }, { 3, SETPGID, 2 }, { 4, EXIT, 1 }, \
	{ 5, EXIT, 0 }, { 1, FORK, 6 }, { 6, SETPGID, 6 }, { 6, FORK, 7 }, { 6, SETPGID, 1 }, { 6, EXIT, 0 }

#include "caba_steps.h"
