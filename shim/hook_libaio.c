/*
 * libaio on a disk. io_submit is libaio's one way to begin a request. What the kernel can do alone
 * is left to it, on the image's descriptor: a request with O_DIRECT whose sectors
 * are all in the image. (Without O_DIRECT the kernel's aio is done within io_submit as well.) Anything
 * else is done here, and the kernel is given a request in its place that it completes at once with the
 * same result: a write of so many bytes to /dev/null. So the event comes by the
 * kernel's own ring, where QEMU looks for it from user space, and by the eventfd, if any.
 *
 * The event tells the address of the program's iocb; so that one itself is changed for the time
 * of the system call. Another thread may meanwhile take the event and use the iocb
 * for something new: it is changed back only where it is still as changed.
 *
 * A request that fails makes io_submit fail, as a bad descriptor does; the kernel
 * has no request that would complete with any error one likes.
 */
#define iocb kernel_iocb       /* libaio has a struct iocb of the same layout */
#include <linux/aio_abi.h>
#undef iocb
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "hidden.h"
#include "hooks.h"
#include "leave.h"
#include "real.h"

#define BATCH 32

struct change {
    struct kernel_iocb *cb;
    struct ofd *ofd;            /* NULL: not a disk, nothing is changed */
    struct kernel_iocb before, after;
};

/* What says that it is for the helper is one word, so that it can be compared and changed at once. A
 * 32-bit program may align it to 4 bytes only, which the processor does not mind. */
typedef uint64_t __attribute__((may_alias, aligned(8))) word;
#define WHAT(cb) ((word *)(void *)&(cb)->aio_lio_opcode)

_Static_assert(offsetof(struct kernel_iocb, aio_lio_opcode) == 16
               && offsetof(struct kernel_iocb, aio_buf) == 24, "opcode and descriptor are one word");

static int helper(void)
{
    static int fd = -1;
    int none = -1, made = __atomic_load_n(&fd, __ATOMIC_ACQUIRE);

    if (made >= 0)
        return made;
    made = hidden_move(REAL(open64)("/dev/null", O_WRONLY | O_CLOEXEC));
    if (made < 0)
        return -errno;
    if (__atomic_compare_exchange_n(&fd, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    hidden_close(made);
    return none;
}

static bool is_read(const struct kernel_iocb *cb)
{
    return cb->aio_lio_opcode == IOCB_CMD_PREAD || cb->aio_lio_opcode == IOCB_CMD_PREADV;
}

static bool is_vector(const struct kernel_iocb *cb)
{
    return cb->aio_lio_opcode == IOCB_CMD_PREADV || cb->aio_lio_opcode == IOCB_CMD_PWRITEV;
}

/* Can the kernel do it alone, and be right? */
static bool is_for_kernel(struct ofd *ofd, const struct kernel_iocb *cb)
{
    const struct iovec *iov = (const struct iovec *)(uintptr_t)cb->aio_buf;
    uint64_t len = cb->aio_nbytes;
    struct acow_disk *disk;

    if (!(ofd->flags & O_DIRECT) || cb->aio_rw_flags & ~RWF_HIPRI || cb->aio_offset < 0)
        return false;
    if (!is_read(cb) && (!ofd_writable(ofd)
                         || (ofd->state->flags & (O_APPEND | O_DSYNC | OFD_LARGE)) != OFD_LARGE))
        return false;
    if (is_vector(cb)) {
        len = 0;
        for (uint64_t i = 0; i < cb->aio_nbytes; i++)
            len += iov[i].iov_len;
    }
    return ofd_disk(ofd, &disk) == 0
           && acow_in_image(disk, (uint64_t)cb->aio_offset, len, !is_read(cb));
}

static ssize_t move_bytes(struct ofd *ofd, const struct kernel_iocb *cb)
{
    struct iovec one = { (void *)(uintptr_t)cb->aio_buf, cb->aio_nbytes };
    const struct iovec *iov = is_vector(cb) ? one.iov_base : &one;
    int iovcnt = is_vector(cb) ? (int)cb->aio_nbytes : 1;

    if (cb->aio_rw_flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
        return -EOPNOTSUPP;
    if (is_vector(cb) && cb->aio_nbytes > IOV_MAX)
        return -EINVAL;
    if (is_read(cb))
        return ofd_preadv(ofd, iov, iovcnt, cb->aio_offset);
    return ofd_pwritev(ofd, iov, iovcnt, cb->aio_offset, (int)cb->aio_rw_flags);
}

static ssize_t flush(struct ofd *ofd, const struct kernel_iocb *cb)
{
    if (cb->aio_buf || cb->aio_offset || cb->aio_nbytes || cb->aio_rw_flags)
        return -EINVAL;
    return ofd_flush(ofd);
}

static const char *name_of(int opcode)
{
    switch (opcode) {
    case IOCB_CMD_PREAD: return "io_submit/pread";
    case IOCB_CMD_PWRITE: return "io_submit/pwrite";
    case IOCB_CMD_PREADV: return "io_submit/preadv";
    case IOCB_CMD_PWRITEV: return "io_submit/pwritev";
    case IOCB_CMD_FSYNC: return "io_submit/fsync";
    case IOCB_CMD_FDSYNC: return "io_submit/fdsync";
    default: return "io_submit";
    }
}

/* Does the request if it is for us, and says in `change` what the kernel is to get instead. */
static ssize_t perform(struct change *change)
{
    const struct kernel_iocb *cb = &change->before;
    struct ofd *ofd = change->ofd;
    struct acow_disk *disk;
    ssize_t n = ofd_disk(ofd, &disk);

    if (n < 0)
        return n;
    switch (cb->aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITEV:
        if (is_for_kernel(ofd, cb)) {
            change->after.aio_fildes = (uint32_t)ofd->image_fd;
            return 0;
        }
        n = move_bytes(ofd, cb);
        break;
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
        n = flush(ofd, cb);
        break;
    default:
        /* To wait for a file, or what no file can do. */
        change->after.aio_fildes = (uint32_t)ofd->image_fd;
        return 0;
    }
    if (n >= 0) {
        int fd = helper();

        if (fd < 0)
            return fd;
        change->after.aio_lio_opcode = IOCB_CMD_PWRITE;
        change->after.aio_fildes = (uint32_t)fd;
        change->after.aio_nbytes = (uint64_t)n;
        change->after.aio_rw_flags = 0;
    }
    return n;
}

static int prepare(struct change *change, struct iocb *cb)
{
    ssize_t r;

    change->cb = (struct kernel_iocb *)cb;
    change->ofd = fdtable_get((int)change->cb->aio_fildes);
    if (!change->ofd)
        return 0;
    change->before = change->after = *change->cb;
    r = perform(change);
    if (__builtin_expect(change->ofd->traced, 0))
        trace_call(change->ofd, (int)change->before.aio_fildes, r,
                   name_of(change->before.aio_lio_opcode), "%llu, %lld",
                   (unsigned long long)change->before.aio_nbytes,
                   (long long)change->before.aio_offset);
    if (r < 0) {
        fdtable_put(change->ofd);
        return (int)r;
    }
    *change->cb = change->after;
    return 0;
}

static void change_back(struct change *change)
{
    word what;

    if (!change->ofd)
        return;
    what = *WHAT(&change->after);
    if (__atomic_load_n(WHAT(change->cb), __ATOMIC_ACQUIRE) == what) {
        change->cb->aio_nbytes = change->before.aio_nbytes;
        change->cb->aio_rw_flags = change->before.aio_rw_flags;
        __atomic_compare_exchange_n(WHAT(change->cb), &what, *WHAT(&change->before), false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    fdtable_put(change->ofd);
}

static int submit_natively(void *context, long count, struct iocb **list)
{
    int saved = errno;
    long r = REAL(syscall)(SYS_io_submit, context, count, list);

    if (r < 0) {
        r = -errno;
        errno = saved;
    }
    return (int)r;
}

static int submit_batch(void *context, int count, struct iocb **list)
{
    struct change changes[BATCH];
    int n = 0, r = 0;

    while (n < count && (r = prepare(&changes[n], list[n])) == 0)
        n++;
    if (n > 0)
        r = submit_natively(context, n, list);
    for (int i = 0; i < n; i++)
        change_back(&changes[i]);
    return r;
}

static bool has_disk(long count, struct iocb **list)
{
    for (long i = 0; i < count; i++)
        if (fdtable_is_disk((int)((const struct kernel_iocb *)list[i])->aio_fildes))
            return true;
    return false;
}

/* libaio's own: it returns a negative errno. Its library may be loaded later than this one. */
int hook_io_submit(void *context, long count, struct iocb **list)
{
    long done = 0;
    int r;

    if (!has_disk(count, list))
        return submit_natively(context, count, list);
    /* Nothing may be done for a context that is none. */
    r = submit_natively(context, 0, NULL);
    while (r >= 0 && done < count) {
        int want = count - done < BATCH ? (int)(count - done) : BATCH;

        r = submit_batch(context, want, list + done);
        if (r > 0)
            done += r;
        if (r < want)
            break;
    }
    return done > 0 ? (int)done : r;
}

#define HOOK_libaio EXPORT
#include "alias.h"
