/*
 * Pointers of the program's that lead nowhere. The kernel answers them with EFAULT; what the shim
 * looks at itself must be looked at with care. What can be told without a system call is
 * told everywhere; whether it is mapped only where a system call more does not matter.
 */
#ifndef SHIM_MEMORY_H
#define SHIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for NULL and its neighbourhood, and for what is the kernel's: half of all, or for a 32-bit program the end. */
static inline bool memory_is_bad(const void *at)
{
#ifdef __LP64__
    return (uintptr_t)at < 4096 || (intptr_t)at < 0;
#else
    return (uintptr_t)at < 4096 || (uintptr_t)at >= (uintptr_t)-8192;
#endif
}

/* 0, or -EFAULT: not to be read, or with `write` not to be written. A kernel that cannot tell says 0. */
int memory_check(const void *at, size_t len, bool write);

#endif
