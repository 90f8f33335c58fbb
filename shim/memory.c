/*
 * Asking the kernel what a page is good for: it is asked to have the pages there, as they would be after
 * a read or a write, which it refuses where that would be a signal.
 */
#include "memory.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

int memory_check(const void *at, size_t len, bool write)
{
    uintptr_t from = (uintptr_t)at & ~(uintptr_t)4095;
    int saved = errno, r = 0;

    if (len == 0)
        return 0;
    if (memory_is_bad(at))
        return -EFAULT;
    if (madvise((void *)from, (uintptr_t)at + len - from,
                write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) < 0
        && (errno == ENOMEM || errno == EFAULT))
        r = -EFAULT;
    errno = saved;
    return r;
}
