/*
 * Keeping descriptors out of the program's sight. The place is below 1024, where
 * select() and a kernel's small descriptor table end: a number near a large
 * RLIMIT_NOFILE would make the kernel allocate a table up to it, and copy that at every fork.
 */
#include "hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "real.h"

#define ROOM 192

static int highest = -1;        /* no number above it was ever hidden */

static int lowest(void)
{
    struct rlimit limit;
    int top = 1024;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1024)
        top = (int)limit.rlim_cur;
    return top > 2 * ROOM ? top - ROOM : top / 2;
}

int hidden_move(int fd)
{
    int saved = errno;
    int moved;

    if (fd < 0)
        return fd;
    moved = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, lowest());
    if (moved >= 0) {
        REAL(close)(fd);
        fd = moved;
    }
    hidden_mark(fd);
    errno = saved;
    return fd;
}

void hidden_mark(int fd)
{
    int was = __atomic_load_n(&highest, __ATOMIC_RELAXED);

    if (fd >= FD_LIMIT)
        return;
    __atomic_store_n(&hot.hidden[fd], 1, __ATOMIC_RELAXED);
    while (fd > was
           && !__atomic_compare_exchange_n(&highest, &was, fd, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED))
        ;
}

int hidden_close(int fd)
{
    if (fd < FD_LIMIT)
        __atomic_store_n(&hot.hidden[fd], 0, __ATOMIC_RELAXED);
    return REAL(close)(fd);
}

int hidden_next(int fd)
{
    int end = __atomic_load_n(&highest, __ATOMIC_ACQUIRE) + 1;

    if (fd < 0)
        fd = 0;
    while (fd < end && !hidden_is(fd))
        fd++;
    return fd < end ? fd : FD_LIMIT;
}
