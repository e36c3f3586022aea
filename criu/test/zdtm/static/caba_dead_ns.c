const char *test_doc = "Dead inits of pid namespaces, zombies and gone, also where the children of others would be";

#define STEPS \
	{ 0, FORK, 1 }, { 1, SETSID }, { 1, NEWPID, 2 }, { 2, EXIT, 0 }, { 1, NEWPID, 3 }, { 3, SETSID }, \
	{ 3, EXIT, 0 }, { 1, NEWPID, 4 }, { 4, NEWPID, 5 }, { 5, EXIT, 1 }, { 4, EXIT, 0 }, \
	{ 1, NEWPID, 6 }, { 1, FORK, 7 }, { 7, CHILDREN_IN, 6 }, { 6, EXIT, 0 }, \
	{ 1, NEWPID, 8 }, { 1, FORK, 9 }, { 9, CHILDREN_IN, 8 }, { 8, EXIT, 1 }

#include "caba_steps.h"
