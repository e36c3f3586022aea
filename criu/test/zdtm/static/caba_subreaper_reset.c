const char *test_doc = "A sub-reaper adopts orphans, and then is none any more";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, FORK, 3 }, { 3, SETSID }, { 3, FORK, 4 }, { 3, FORK, 5 }, \
	{ 4, FORK, 6 }, { 1, SUBREAPER, 1 }, { 4, EXIT, 1 }, { 1, SUBREAPER, 0 }, { 3, EXIT, 1 }, { 2, EXIT, 1 }

#include "caba_steps.h"
