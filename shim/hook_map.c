/* Mappings: see map.h. */
#include <sys/mman.h>

#include "hooks.h"
#include "leave.h"
#include "map.h"
#include "real.h"
#include "ring.h"

/* What a function that returns an address says. */
static void *address(int64_t r)
{
    if (r >= 0)
        return (void *)(intptr_t)r;
    errno = (int)-r;
    return MAP_FAILED;
}

void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t off)
{
    struct ofd *ofd = flags & MAP_ANONYMOUS ? NULL : fdtable_get(fd);
    int64_t r;

    if (!ofd && flags & MAP_FIXED && map_any())
        return address(map_over(addr, len, prot, flags, fd, off));
    if (!ofd) {
        void *got = REAL(mmap64)(addr, len, prot, flags, fd, off);

        if (__builtin_expect(__atomic_load_n(&ring_unmapped, __ATOMIC_RELAXED) > 0, 0)
            && got != MAP_FAILED && !(flags & MAP_ANONYMOUS))
            ring_mapped(fd, got, off);
        return got;
    }
    if (ofd_readable(ofd))
        r = map_new(ofd, addr, len, prot, flags, off);
    else    /* As on a file that is not open for reading: the placeholder is neither. */
        r = REAL(mmap64)(addr, len, prot, flags, fd, off) == MAP_FAILED ? -errno : -EACCES;
    return (void *)(intptr_t)LEAVE(ofd, fd, r, "mmap", "%zu, %#x, %#x, %lld", len, prot, flags,
                                   (long long)off);
}

int hook_munmap(void *addr, size_t len)
{
    int r;

    if (!map_any())
        return REAL(munmap)(addr, len);
    r = map_unmap(addr, len);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

void *hook_mremap(void *addr, size_t len, size_t new_len, int flags, ...)
{
    void *new_addr = NULL;
    va_list args;

    if (flags & ~MREMAP_MAYMOVE) {
        va_start(args, flags);
        new_addr = va_arg(args, void *);
        va_end(args);
    }
    if (!map_any())
        return REAL(mremap)(addr, len, new_len, flags, new_addr);
    return address(map_remap(addr, len, new_len, flags, new_addr));
}

int hook_msync(void *addr, size_t len, int flags)
{
    int r;

    if (!map_any())
        return REAL(msync)(addr, len, flags);
    r = map_sync(addr, len, flags);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

/* It shows other pages of the same file, which are not copied up; and is long out of use. */
int hook_remap_file_pages(void *addr, size_t len, int prot, size_t page, int flags)
{
    if (!map_any() || !map_has_disk(addr, len))
        return REAL(remap_file_pages)(addr, len, prot, page, flags);
    errno = EINVAL;
    return -1;
}

#define HOOK_map EXPORT
#include "alias.h"
