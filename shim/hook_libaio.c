/*
 * libaio on a disk is not served: the kernel would fail reads and
 * writes, but sync the placeholder and call that done.
 */
#define iocb kernel_iocb       /* libaio has a struct iocb of the same layout */
#include <linux/aio_abi.h>
#undef iocb
#include <sys/syscall.h>

#include "hooks.h"
#include "leave.h"
#include "real.h"
#include "report.h"

/* libaio's own: it returns a negative errno. Its library may be loaded later than this one. */
int hook_io_submit(void *context, long count, struct iocb **list)
{
    int saved = errno;
    long r;

    for (long i = 0; i < count; i++) {
        int fd = (int)((const struct kernel_iocb *)list[i])->aio_fildes;
        struct ofd *ofd = fdtable_get(fd);

        if (ofd) {
            r = report_unserved("io_submit", ofd->state->path);
            fdtable_put(ofd);
            return i > 0 ? (int)i : (int)r;
        }
    }
    r = REAL(syscall)(SYS_io_submit, context, count, list);
    if (r < 0) {
        r = -errno;
        errno = saved;
    }
    return (int)r;
}

#define HOOK_libaio EXPORT
#include "alias.h"
