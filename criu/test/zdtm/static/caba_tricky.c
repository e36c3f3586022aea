const char *test_doc = "A session from before its leader's place in the tree is left";

#define STEPS \
	{ 0, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 3, FORK, 4 }, { 4, FORK, 5 }, { 4, SETSID }, \
	{ 4, FORK, 6 }, { 6, FORK, 7 }, { 2, SUBREAPER, 1 }, { 6, EXIT, 1 }, { 2, SUBREAPER, 0 }, { 3, EXIT, 1 }

#include "caba_steps.h"
