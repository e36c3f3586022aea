const char *test_doc = "Groups whose leaders are gone, or zombies";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, FORK, 2 }, { 2, SETPGID, 2 }, { 2, FORK, 3 }, { 2, FORK, 4 }, \
	{ 1, FORK, 5 }, { 5, SETPGID, 2 }, { 2, EXIT, 1 }, { 1, FORK, 6 }, { 6, SETPGID, 6 }, { 6, FORK, 7 }, \
	{ 6, EXIT, 0 }

#include "caba_steps.h"
