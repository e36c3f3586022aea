const char *test_doc = "Pid namespaces below each other and side by side";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, NEWPID, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 3, FORK, 4 }, \
	{ 2, NEWPID, 5 }, { 5, FORK, 6 }, { 6, SETSID }, { 6, FORK, 7 }, { 6, EXIT, 1 }, { 1, NEWPID, 8 }, \
	{ 8, FORK, 9 }, { 9, SETSID }, { 9, FORK, 10 }, { 9, EXIT, 0 }, { 3, EXIT, 0 }, { 5, FORK, 11 }, \
	{ 11, FORK, 12 }, { 12, FORK, 13 }, { 11, SUBREAPER, 1 }, { 12, EXIT, 1 }, \
	{ 2, NOEXEC, 1 }, { 5, NOEXEC, 2 }

#include "caba_steps.h"
