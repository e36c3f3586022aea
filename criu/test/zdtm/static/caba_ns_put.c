const char *test_doc = "Processes that were put into pid namespaces from above, and their orphans";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, NEWPID, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 1, FORK, 4 }, \
	{ 4, PUT_IN, INTO(2, 5) }, { 5, FORK, 6 }, { 6, FORK, 7 }, { 6, EXIT, 1 }, { 5, SETSID }, { 5, FORK, 8 }, \
	{ 8, FORK, 9 }, { 5, EXIT, 0 }, { 2, NEWPID, 10 }, { 4, PUT_IN, INTO(10, 11) }, { 11, FORK, 12 }, \
	{ 4, SETSID }, { 4, PUT_IN, INTO(10, 13) }, { 13, FORK, 14 }, { 13, EXIT, 1 }, { 4, EXIT, 1 }

#include "caba_steps.h"
