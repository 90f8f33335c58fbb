/*
 * The slots. With threads, a reference is counted first and the slot looked at
 * again: if it has changed, another thread closed the descriptor in between. The
 * ofd's memory stays an ofd for ever, so the counting itself is harmless.
 */
#include "fdtable.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "keep.h"
#include "process.h"
#include "real.h"

static int highest = -1;        /* no slot above it was ever used */

/* The child of a vfork has the memory of the thread that made it, and no other thread's. */
static __thread struct {
    pid_t child;                /* 0: none */
    int count;                  /* more than there is room for: all numbers */
    int fds[16];
} shadow;

#define SHADOWS (int)(sizeof(shadow.fds) / sizeof(shadow.fds[0]))

void fdtable_shadow(int fd)
{
    if (!fdtable_is_disk(fd))
        return;
    if (shadow.child != getpid())
        shadow.count = 0;
    shadow.child = getpid();
    if (shadow.count < SHADOWS)
        shadow.fds[shadow.count] = fd;
    if (shadow.count <= SHADOWS)
        shadow.count++;
    hot.shadowed = true;
}

static bool is_shadowed(int fd)
{
    if (shadow.child != getpid()) {
        /* The child is gone: its parent runs again. */
        shadow.child = 0;
        hot.shadowed = false;
        return false;
    }
    for (int i = 0; i < shadow.count && i < SHADOWS; i++)
        if (shadow.fds[i] == fd)
            return true;
    return shadow.count > SHADOWS;
}

struct ofd *fdtable_get_slow(int fd)
{
    if (__builtin_expect(shadow.child != 0, 0) && is_shadowed(fd))
        return NULL;
    for (;;) {
        struct ofd *ofd = __atomic_load_n(&hot.slots[fd], __ATOMIC_ACQUIRE);

        if (!ofd)
            return NULL;
        /* As the call is on a flat file; from here on the thread's end would leave the count too high. */
        pthread_testcancel();
        __atomic_fetch_add(&ofd->refs, 1, __ATOMIC_ACQ_REL);
        if (__atomic_load_n(&hot.slots[fd], __ATOMIC_ACQUIRE) == ofd)
            return ofd;
        ofd_unref(ofd);
    }
}

struct ofd *fdtable_swap(int fd, struct ofd *ofd)
{
    int was = __atomic_load_n(&highest, __ATOMIC_RELAXED);

    while (fd > was
           && !__atomic_compare_exchange_n(&highest, &was, fd, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED))
        ;
    return __atomic_exchange_n(&hot.slots[fd], ofd, __ATOMIC_ACQ_REL);
}

void fdtable_set(int fd, struct ofd *ofd)
{
    struct ofd *old = fdtable_swap(fd, ofd);

    if (old)
        ofd_unref(old);
}

/* The table is the parent's, for the child of a vfork. */
void fdtable_drop_stale(int fd)
{
    struct ofd *old;

    if (process_is_vfork_child()) {
        fdtable_shadow(fd);
        return;
    }
    old = fdtable_take(fd);
    if (old)
        ofd_unref(old);
}

struct ofd *fdtable_take(int fd)
{
    return __atomic_exchange_n(&hot.slots[fd], NULL, __ATOMIC_ACQ_REL);
}

int fdtable_next(int fd)
{
    int end = __atomic_load_n(&highest, __ATOMIC_ACQUIRE) + 1;

    if (fd < 0)
        fd = 0;
    while (fd < end && !fdtable_is_disk(fd))
        fd++;
    return fd < end ? fd : FD_LIMIT;
}

void fdtable_bequeath(bool spawn)
{
    for (int fd = fdtable_next(0); fd < FD_LIMIT; fd = fdtable_next(fd + 1)) {
        struct ofd *ofd = fdtable_get(fd);

        if (!ofd)
            continue;
        if (REAL(fcntl64)(fd, F_GETFD) == 0)
            ofd_bequeath(ofd);
        else if (!spawn)
            keep_lose(ofd->state->image_dev, ofd->state->image_ino);
        fdtable_put(ofd);
    }
    /* What is spawned has no record locks of its parent's. */
    if (!spawn)
        keep_bequeath();
}

void fdtable_bequeath_end(void)
{
    for (int fd = fdtable_next(0); fd < FD_LIMIT; fd = fdtable_next(fd + 1)) {
        struct ofd *ofd = fdtable_get(fd);

        if (!ofd)
            continue;
        ofd_bequeath_end(ofd);
        fdtable_put(ofd);
    }
    keep_bequeath_end();
}
