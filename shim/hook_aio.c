/*
 * POSIX AIO: requests on a disk are done by threads of ours (aio.c). A list that has
 * one of them is ours as a whole, whatever else is in it, so that one place knows when all is done.
 */
#include <aio.h>
#include <fcntl.h>

#include "aio.h"
#include "hooks.h"
#include "leave.h"
#include "real.h"

/* errno's way of telling: -1 and errno. */
static int result_of(int r)
{
    if (r >= 0)
        return r;
    errno = -r;
    return -1;
}

int hook_aio_read(struct aiocb *cb)
{
    struct ofd *ofd = fdtable_get(cb->aio_fildes);

    if (!ofd)
        return REAL(aio_read64)(cb);
    return result_of(aio_begin(ofd, cb, LIO_READ, NULL));
}

int hook_aio_write(struct aiocb *cb)
{
    struct ofd *ofd = fdtable_get(cb->aio_fildes);

    if (!ofd)
        return REAL(aio_write64)(cb);
    return result_of(aio_begin(ofd, cb, LIO_WRITE, NULL));
}

int hook_aio_fsync(int op, struct aiocb *cb)
{
    struct ofd *ofd = op == O_SYNC || op == O_DSYNC ? fdtable_get(cb->aio_fildes) : NULL;

    if (!ofd)
        return REAL(aio_fsync64)(op, cb);
    return result_of(aio_begin(ofd, cb, op, NULL));
}

int hook_aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout)
{
    if (aio_any()) {
        int saved = errno, r = aio_wait(list, count, timeout);

        errno = saved;
        if (r != -ESRCH)
            return result_of(r);
    }
    return REAL(aio_suspend64)(list, count, timeout);
}

int hook_aio_cancel(int fd, struct aiocb *cb)
{
    if (aio_any() && (!cb || cb->aio_fildes == fd)) {
        int r = aio_call_off(fd, cb);

        if (r != AIO_ALLDONE)
            return r;
    }
    return REAL(aio_cancel64)(fd, cb);
}

static bool has_disk(struct aiocb *const list[], int count)
{
    for (int i = 0; i < count; i++)
        if (list[i] && fdtable_is_disk(list[i]->aio_fildes))
            return true;
    return false;
}

int hook_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *sig)
{
    struct aio_group *group;
    int failed = 0, r;

    if ((mode != LIO_WAIT && mode != LIO_NOWAIT) || !has_disk(list, count))
        return REAL(lio_listio64)(mode, list, count, sig);
    group = aio_group_new(mode == LIO_NOWAIT ? sig : NULL);
    if (!group)
        return result_of(-EAGAIN);
    for (int i = 0; i < count; i++) {
        /* libc leaves its own number for the 64-bit form there, 128 higher. */
        int op = list[i] ? list[i]->aio_lio_opcode & 127 : LIO_NOP;

        if (op == LIO_NOP)
            continue;
        r = aio_begin(fdtable_get(list[i]->aio_fildes), list[i],
                      op == LIO_READ || op == LIO_WRITE ? op : LIO_NOP, group);
        if (r < 0)
            failed = r;
    }
    r = aio_group_end(group, mode == LIO_WAIT);
    return result_of(r < 0 && r != -EIO ? r : failed < 0 ? failed : r);
}

#define HOOK_aio EXPORT
#include "alias.h"
