const char *test_doc = "Every other process of a line is gone";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, SETSID }, { 2, FORK, 3 }, { 3, FORK, 4 }, { 4, FORK, 5 }, \
	{ 5, FORK, 6 }, { 6, FORK, 7 }, { 3, EXIT, 1 }, { 5, EXIT, 1 }, { 1, EXIT, 1 }

#include "caba_steps.h"
