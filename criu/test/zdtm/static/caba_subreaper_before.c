const char *test_doc = "A sub-reaper from before it had children adopts orphans";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SUBREAPER, 1 }, { 1, SETSID }, { 1, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, \
	{ 3, FORK, 4 }, { 4, FORK, 5 }, { 2, EXIT, 1 }, { 4, EXIT, 1 }

#include "caba_steps.h"
