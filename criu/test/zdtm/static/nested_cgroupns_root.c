/* The root task has a cgroup namespace of its own */
#define ROOT_FLAGS CLONE_NEWCGROUP
#include "nested_cgroupns.c"
