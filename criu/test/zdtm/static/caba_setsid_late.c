const char *test_doc = "Leaders have forked before setsid, and so did those below";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, FORK, 2 }, { 2, FORK, 3 }, { 2, SETSID }, { 2, FORK, 4 }, \
	{ 4, FORK, 5 }, { 4, SETSID }, { 4, FORK, 6 }, { 6, FORK, 7 }, { 6, SETSID }, { 2, EXIT, 1 }

#include "caba_steps.h"
