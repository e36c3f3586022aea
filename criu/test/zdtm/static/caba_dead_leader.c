const char *test_doc = "Members of sessions whose leaders are gone";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 2, FORK, 4 }, { 2, FORK, 5 }, \
	{ 3, FORK, 6 }, { 3, SETSID }, { 3, FORK, 7 }, { 3, FORK, 8 }, { 7, FORK, 9 }, { 7, SETSID }, \
	{ 3, EXIT, 1 }, { 2, EXIT, 1 }

#include "caba_steps.h"
