const char *test_doc = "Process groups and sessions that are not visible from nested pid namespaces";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, FORK, 2 }, { 2, SETPGID, 2 }, { 2, NEWPID, 3 }, { 3, FORK, 4 }, \
	{ 4, FORK, 5 }, { 4, SETPGID, 4 }, { 4, FORK, 6 }, { 2, EXIT, 1 }, { 1, FORK, 7 }, { 7, SETPGID, 7 }, \
	{ 7, PUT_IN, INTO(3, 8) }, { 8, FORK, 9 }, { 7, SETPGID, 1 }, { 7, FORK, 10 }, { 10, SETPGID, 10 }, \
	{ 10, PUT_IN, INTO(3, 11) }, { 10, EXIT, 1 }

#include "caba_steps.h"
