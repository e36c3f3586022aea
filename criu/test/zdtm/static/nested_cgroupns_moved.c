/* The root task has a cgroup namespace of its own, and is restored with --cgroup-root */
#define ROOT_FLAGS CLONE_NEWCGROUP
#include "nested_cgroupns.c"
