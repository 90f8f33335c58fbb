/*
 * The functions behind the hooks: what the next library, in the end libc, has
 * under each name in hooks.def. REAL(pread64)(…) calls one.
 *
 * Hooks may run before this library's constructor, from another one's; the first
 * one to find an empty table fills it.
 */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include <sys/syscall.h>

#include "hot.h"

void real_init(void);

/* One of a library that may be loaded later than this one, and not for all to see; or NULL. */
void *real_find_late(const char *library, const char *symbol);

#define REAL(symbol) \
    (__builtin_expect(hot.real.symbol != NULL, 1) ? hot.real.symbol \
                                                  : (real_init(), hot.real.symbol))

/*
 * pread64 and its like by number, because libc's functions are cancellation points, and who is cancelled
 * in the engine leaves locks. But a sanitizer's runtime sees what memory a function takes, and not a number.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REAL_TRANSFER(name, fd, at, count, off) REAL(name)(fd, at, count, off)
#else
#define REAL_TRANSFER(name, fd, at, count, off) \
    REAL(syscall)(SYS_##name, (long)(fd), at, (long)(count), (long)(off), REAL_HIGH(off))
#endif

/*
 * Where a 32-bit program differs by number: a 64-bit offset is two arguments, and the calls that fill the
 * struct stat that bodies have are others.
 */
#ifdef __LP64__
#define REAL_HIGH(off) 0l
#define REAL_SYS_fstat SYS_fstat
#define REAL_SYS_fstatat SYS_newfstatat
#else
#define REAL_HIGH(off) ((long)((int64_t)(off) >> 32))
#define REAL_SYS_fstat SYS_fstat64
#define REAL_SYS_fstatat SYS_fstatat64
#endif

#endif
