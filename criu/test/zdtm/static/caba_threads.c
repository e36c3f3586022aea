const char *test_doc = "Processes forked by threads that are not the leader";

#define STEPS \
	{ 0, FORK, 1 }, { 1, THREAD_FORK, 2 }, { 2, SETSID }, { 2, THREAD_FORK, 3 }, { 3, FORK, 4 }, \
	{ 2, THREAD_FORK, 5 }, { 4, THREAD_FORK, 6 }, { 1, SUBREAPER, 1 }, { 3, EXIT, 1 }, { 1, SUBREAPER, 0 }, \
	{ 5, SETSID }, { 5, THREAD_FORK, 7 }, { 5, EXIT, 1 }

#include "caba_steps.h"
