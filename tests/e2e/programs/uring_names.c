/* The same as uring_raw, by liburing's names of the system calls. */
#define BY_NAME
#include "uring_raw.c"
