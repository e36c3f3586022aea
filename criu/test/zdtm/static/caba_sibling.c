const char *test_doc = "CLONE_PARENT: sessions and births come from the creator, which is not the parent";

#define STEPS \
	{ 0, FORK, 1 }, { 1, FORK, 2 }, { 2, SETSID }, { 2, SIBLING, 3 }, { 3, FORK, 4 }, { 3, SETSID }, \
	{ 2, FORK, 5 }, { 5, SIBLING, 6 }, { 1, EXIT, 1 }

#include "caba_steps.h"
