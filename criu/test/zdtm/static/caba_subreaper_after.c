const char *test_doc = "A process that has children becomes a sub-reaper";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 3, FORK, 4 }, { 4, FORK, 5 }, \
	{ 1, SUBREAPER, 1 }, { 3, EXIT, 1 }, { 2, EXIT, 1 }

#include "caba_steps.h"
