/*
 * Asynchronous calls on a disk are not served. POSIX AIO: libc's helper threads
 * would read and write past every hook. libaio: the kernel would fail reads and
 * writes, but sync the placeholder and call that done.
 */
#define iocb kernel_iocb       /* libaio has a struct iocb of the same layout */
#include <linux/aio_abi.h>
#undef iocb
#include <aio.h>
#include <sys/syscall.h>

#include "hooks.h"
#include "leave.h"
#include "real.h"
#include "report.h"

static int refuse(struct ofd *ofd, int fd, const char *call)
{
    return LEAVE(ofd, fd, report_unserved(call, ofd->state->path), call, "%s", "");
}

int hook_aio_read(struct aiocb *cb)
{
    struct ofd *ofd = fdtable_get(cb->aio_fildes);

    return ofd ? refuse(ofd, cb->aio_fildes, "aio_read") : REAL(aio_read)(cb);
}

int hook_aio_write(struct aiocb *cb)
{
    struct ofd *ofd = fdtable_get(cb->aio_fildes);

    return ofd ? refuse(ofd, cb->aio_fildes, "aio_write") : REAL(aio_write)(cb);
}

int hook_aio_fsync(int op, struct aiocb *cb)
{
    struct ofd *ofd = fdtable_get(cb->aio_fildes);

    return ofd ? refuse(ofd, cb->aio_fildes, "aio_fsync") : REAL(aio_fsync)(op, cb);
}

int hook_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *sig)
{
    for (int i = 0; i < count; i++) {
        struct ofd *ofd = list[i] ? fdtable_get(list[i]->aio_fildes) : NULL;

        if (ofd)
            return refuse(ofd, list[i]->aio_fildes, "lio_listio");
    }
    return REAL(lio_listio)(mode, list, count, sig);
}

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

#define HOOK_aio EXPORT
#include "alias.h"
