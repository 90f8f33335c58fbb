/*
 * Keeping descriptors out of the program's sight. The place is below 1024, where
 * select() and a kernel's small descriptor table end: a number near a large
 * RLIMIT_NOFILE would make the kernel allocate a table up to it, and copy that at every fork.
 *
 * A program that has set itself a limit below that has all numbers under it for itself: ours lie above. The
 * limit counts when a number is made and not after, so it is raised for just that moment.
 */
#include "hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "real.h"

#define TOP 1024
#define ROOM 192

static int highest = -1;        /* no number above it was ever hidden */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* over a limit that is raised */
static struct rlimit lowered;   /* what it is raised from */

bool hidden_raise(void)
{
    struct rlimit raised;

    pthread_mutex_lock(&lock);
    if (getrlimit(RLIMIT_NOFILE, &lowered) == 0) {
        rlim_t most = lowered.rlim_max;

        /* With the right to do so even past the hard limit. */
        if (most < TOP || most <= lowered.rlim_cur)
            most = (lowered.rlim_cur > TOP ? lowered.rlim_cur : TOP) + TOP;
        raised.rlim_cur = most < FD_LIMIT ? most : FD_LIMIT;
        raised.rlim_max = most > lowered.rlim_max ? most : lowered.rlim_max;
        if (raised.rlim_cur > lowered.rlim_cur
            && (setrlimit(RLIMIT_NOFILE, &raised) == 0
                || (raised.rlim_cur = raised.rlim_max = lowered.rlim_max,
                    lowered.rlim_max > lowered.rlim_cur && setrlimit(RLIMIT_NOFILE, &raised) == 0)))
            return true;
    }
    pthread_mutex_unlock(&lock);
    return false;
}

void hidden_lower(void)
{
    int saved = errno;

    setrlimit(RLIMIT_NOFILE, &lowered);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

void hidden_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

static int dup_above(int fd, int limit)
{
    int moved;

    if (!hidden_raise())
        return -1;
    moved = REAL(fcntl64)(fd, F_DUPFD_CLOEXEC, limit > TOP - ROOM ? limit : TOP - ROOM);
    hidden_lower();
    return moved;
}

/* A copy where the program's numbers are not, or -1. */
static int dup_hidden(int fd)
{
    struct rlimit limit;
    int moved = -1, top = FD_LIMIT;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FD_LIMIT)
        top = (int)limit.rlim_cur;
    if (top >= TOP)
        moved = REAL(fcntl64)(fd, F_DUPFD_CLOEXEC, TOP - ROOM);
    if (moved < 0)
        moved = dup_above(fd, top);
    if (moved < 0 && top < TOP)
        moved = REAL(fcntl64)(fd, F_DUPFD_CLOEXEC, top > 2 * ROOM ? top - ROOM : top / 2);
    return moved;
}

int hidden_move(int fd)
{
    int saved = errno;
    int moved;

    if (fd < 0)
        return fd;
    moved = dup_hidden(fd);
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
    __atomic_store_n(&hot.hidden[fd], HIDDEN_USED, __ATOMIC_RELAXED);
    while (fd > was
           && !__atomic_compare_exchange_n(&highest, &was, fd, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED))
        ;
}

void hidden_park(int fd)
{
    hidden_mark(fd);
    if (fd < FD_LIMIT)
        __atomic_store_n(&hot.hidden[fd], HIDDEN_PARKED, __ATOMIC_RELAXED);
}

/* A number is always the lowest that is free: so all below are taken for a moment. */
int hidden_open(const char *path, int flags, unsigned mode)
{
    int fillers[TOP], count = 0, saved = errno, fd, made;
    int floor = TOP - ROOM;
    struct rlimit limit;
    bool raised = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < TOP && hidden_raise();

    if (raised)
        floor = (int)limit.rlim_cur > floor ? (int)limit.rlim_cur : floor;
    else if (limit.rlim_cur < TOP)
        floor = (int)limit.rlim_cur > 2 * ROOM ? (int)limit.rlim_cur - ROOM : (int)limit.rlim_cur / 2;
    fd = eventfd(0, EFD_CLOEXEC);
    while (fd >= 0 && fd < floor) {
        fillers[count++] = fd;
        fd = REAL(fcntl64)(fd, F_DUPFD_CLOEXEC, fd + 1);
    }
    if (fd >= 0)
        REAL(close)(fd);
    errno = saved;
    made = REAL(open64)(path, flags, mode);
    saved = errno;
    while (count > 0)
        REAL(close)(fillers[--count]);
    if (raised)
        hidden_lower();
    if (made >= 0)
        hidden_mark(made);
    errno = saved;
    return made;
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
