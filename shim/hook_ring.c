/*
 * The system calls of io_uring as such, by liburing's functions of their names and by number. The
 * queue is found by what the program has mapped. Functions return a negative errno, as liburing's
 * do.
 *
 * A ring that is not known, as it came from elsewhere or was made by an inline system call, may
 * have requests on disks in its queue, and is refused while any disk is open. So are, then, rings
 * whose queue a thread of the kernel empties (IORING_SETUP_SQPOLL): nobody could come before
 * that.
 */
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fdtable.h"
#include "hooks.h"
#include "leave.h"
#include "real.h"
#include "report.h"
#include "ring.h"

/* As <linux/io_uring.h> of later versions have them. */
#define REGISTER_USE_REGISTERED_RING (1u << 31)
#define REGISTER_RESIZE_RINGS 33u

static bool any_disk(void)
{
    return fdtable_next(0) < FD_LIMIT;
}

/* errno is kept. */
static int native(long number, long a, long b, long c, long d, long e, long f)
{
    int saved = errno;
    long r = REAL(syscall)(number, a, b, c, d, e, f);

    if (r < 0) {
        r = -errno;
        errno = saved;
    }
    return (int)r;
}

int hook_ring_setup(unsigned entries, struct io_uring_params *p)
{
    int fd;

    if (p && p->flags & IORING_SETUP_SQPOLL && any_disk()) {
        report_unserved("io_uring_setup with IORING_SETUP_SQPOLL", "a disk");
        return -EPERM;
    }
    fd = native(SYS_io_uring_setup, entries, (long)p, 0, 0, 0, 0);
    if (fd >= 0 && !(p->flags & IORING_SETUP_SQPOLL))
        ring_made(fd, p);
    return fd;
}

static int enter(unsigned fd, unsigned count, unsigned wait, unsigned flags, void *arg, size_t size)
{
    return native(SYS_io_uring_enter, fd, count, wait, flags, (long)arg, (long)size);
}

/* The ring is locked, and is unlocked. */
static int submit(struct ring *ring, unsigned fd, unsigned count, unsigned wait, unsigned flags,
                  void *arg, size_t size)
{
    const struct ring_queue *queue = &ring->queue;
    unsigned from = __atomic_load_n(queue->head, __ATOMIC_ACQUIRE);
    unsigned there = __atomic_load_n(queue->tail, __ATOMIC_ACQUIRE) - from;
    int r = ring_before(ring, queue, from, from + (count < there ? count : there)), waited;

    if (r < 0 || ring->nchanges == 0) {
        ring_unlock(ring);
        return r < 0 ? r : enter(fd, count, wait, flags, arg, size);
    }
    /* The entries must be what they were before anybody may use them again. */
    r = enter(fd, count, 0, 0, NULL, 0);
    ring_after(ring, queue);
    ring_unlock(ring);
    if (r < 0 || (unsigned)r != count || !(flags & IORING_ENTER_GETEVENTS))
        return r;
    waited = enter(fd, 0, wait, flags, arg, size);
    return r > 0 ? r : waited;
}

int hook_ring_enter2(unsigned fd, unsigned count, unsigned wait, unsigned flags, void *arg,
                     size_t size)
{
    struct ring *ring = NULL;

    if (count == 0)
        return enter(fd, count, wait, flags, arg, size);
    if (!(flags & IORING_ENTER_REGISTERED_RING))
        ring = ring_by_fd((int)fd);
    if (ring && ring->queue.sqes && ring->queue.head)
        return submit(ring, fd, count, wait, flags, arg, size);
    if (ring)
        ring_unlock(ring);
    if (any_disk() && !fdtable_is_disk((int)fd))
        return report_unserved("io_uring_enter on a ring that is not known here", "a disk");
    return enter(fd, count, wait, flags, arg, size);
}

int hook_ring_enter(unsigned fd, unsigned count, unsigned wait, unsigned flags, void *mask)
{
    return hook_ring_enter2(fd, count, wait, flags, mask, _NSIG / 8);
}

/* ---- fixed files ------------------------------------------------------------------- */

/* What a register call puts where; false: it is not about files. */
static bool files_of(unsigned op, const void *arg, unsigned *count, unsigned *from, const int **fds)
{
    const struct io_uring_rsrc_register *files = arg;
    const struct io_uring_files_update *update = arg;
    const struct io_uring_rsrc_update2 *update2 = arg;

    *from = 0;
    switch (op) {
    case IORING_REGISTER_FILES:
        *fds = arg;
        return true;
    case IORING_REGISTER_FILES2:
        *fds = ring_pointer(files->data);
        *count = *fds ? files->nr : 0;
        return true;
    case IORING_REGISTER_FILES_UPDATE:
        *fds = ring_pointer(update->fds);
        *from = update->offset;
        return true;
    case IORING_REGISTER_FILES_UPDATE2:
        *fds = ring_pointer(update2->data);
        *from = update2->offset;
        *count = update2->nr;
        return true;
    default:
        return false;
    }
}

static bool has_disk(const int *fds, unsigned count)
{
    for (unsigned i = 0; fds && i < count; i++)
        if (fdtable_is_disk(fds[i]))
            return true;
    return false;
}

int hook_ring_register(unsigned fd, unsigned op, const void *arg, unsigned count)
{
    struct ring *ring = op & REGISTER_USE_REGISTERED_RING ? NULL : ring_by_fd((int)fd);
    unsigned from = 0, nfds = count;
    const int *fds = NULL;
    bool about_files = arg && files_of(op & ~REGISTER_USE_REGISTERED_RING, arg, &nfds, &from, &fds);
    int r;

    if (!ring && about_files && has_disk(fds, nfds))
        return report_unserved("io_uring_register on a ring that is not known here", "a disk");
    r = native(SYS_io_uring_register, fd, op, (long)arg, count, 0, 0);
    if (!ring)
        return r;
    if (r >= 0 && op == IORING_UNREGISTER_FILES)
        ring_clear_slots(ring);
    else if (r >= 0 && about_files)
        ring_set_slots(ring, from, fds, r > 0 ? (unsigned)r : op == IORING_REGISTER_FILES
                                                || op == IORING_REGISTER_FILES2 ? nfds : 0);
    /* Its queue is somewhere else now, and has another form. */
    if (r >= 0 && op == REGISTER_RESIZE_RINGS) {
        ring->queue.sqes = NULL;
        ring->params.sq_entries = 0;
    }
    ring_unlock(ring);
    return r;
}

#define HOOK_ring EXPORT
#include "alias.h"
