const char *test_doc = "Zombies in sessions of others, and leaders that are zombies";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 2, FORK, 4 }, { 3, FORK, 5 }, \
	{ 4, EXIT, 0 }, { 2, EXIT, 0 }, { 1, FORK, 6 }, { 6, SETSID }, { 6, FORK, 7 }, { 6, EXIT, 0 }, \
	{ 1, SUBREAPER, 1 }, { 3, FORK, 8 }, { 8, FORK, 9 }, { 8, FORK, 10 }, { 9, EXIT, 0 }, { 8, EXIT, 1 }

#include "caba_steps.h"
