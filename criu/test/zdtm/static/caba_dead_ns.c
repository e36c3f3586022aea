const char *test_doc = "Zombies that were the init of a pid namespace, in sessions of others and in their own";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, NEWPID, 2 }, { 2, EXIT, 0 }, { 1, NEWPID, 3 }, { 3, SETSID }, \
	{ 3, EXIT, 0 }, { 1, NEWPID, 4 }, { 4, NEWPID, 5 }, { 5, EXIT, 1 }, { 4, EXIT, 0 }

#include "caba_steps.h"
