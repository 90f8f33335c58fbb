/* Mapping a disk is not served: it fails, and says so. */
#include <sys/mman.h>

#include "hooks.h"
#include "leave.h"
#include "real.h"
#include "report.h"

void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t off)
{
    struct ofd *ofd = flags & MAP_ANONYMOUS ? NULL : fdtable_get(fd);

    if (!ofd)
        return REAL(mmap64)(addr, len, prot, flags, fd, off);
    LEAVE(ofd, fd, report_unserved("mmap", ofd->state->path), "mmap", "%zu, %#x, %#x, %lld", len,
          prot, flags, (long long)off);
    return MAP_FAILED;
}

#define HOOK_map EXPORT
#include "alias.h"
