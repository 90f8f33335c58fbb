/*
 * Input and output on an open file description: the file offset, O_APPEND,
 * O_SYNC, access modes, as the kernel has them on a regular file, and below that the engine.
 *
 * Reads and writes that use the file offset hold the description's lock over the
 * whole call, as the kernel does; but only if another thread or process can have
 * the description at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "ofd.h"
#include "process.h"
#include "real.h"

/* The kernel's limit on one transfer. */
#define TRANSFER_MAX 0x7ffff000u

/*
 * Waits a second at most, and looks again: a process that has been woken for the lock, and is
 * killed before it runs, takes the wake-up with it, and the others would sleep on.
 */
static int lock_robust(shared_mutex *lock)
{
    int r = mutex_trylock(lock);

    while (r == EBUSY || r == ETIMEDOUT) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        r = mutex_timedlock(lock, &until);
    }
    return r;
}

/* The states whose locks this thread has: a signal handler may find the one that it wants among them. */
static __thread const struct ofd_state *holding[4];
static __thread int nholding;

static bool lock_offset(struct ofd *ofd)
{
    if (__libc_single_threaded && !__atomic_load_n(&ofd->state->shared, __ATOMIC_RELAXED))
        return false;
    for (int i = 0; i < nholding; i++)
        if (holding[i] == ofd->state)
            return false;
    if (nholding < (int)(sizeof(holding) / sizeof(holding[0])))
        holding[nholding] = ofd->state;
    nholding++;
    if (lock_robust(&ofd->state->lock) == EOWNERDEAD)
        mutex_consistent(&ofd->state->lock);
    return true;
}

static void unlock_offset(struct ofd *ofd, bool locked)
{
    if (!locked)
        return;
    mutex_unlock(&ofd->state->lock);
    nholding--;
}

/*
 * The offset moves on before the bytes do. A signal handler of this thread that uses it meanwhile finds
 * the place behind them, as it would on a flat file, where it comes before a call or after.
 */
static uint64_t move_offset(struct ofd *ofd, uint64_t len)
{
    return __atomic_fetch_add(&ofd->state->offset, len, __ATOMIC_RELAXED);
}

/* Back by what there was not; unless somebody has gone on from there. */
static void settle_offset(struct ofd *ofd, uint64_t moved_to, uint64_t end)
{
    if (moved_to != end)
        __atomic_compare_exchange_n(&ofd->state->offset, &moved_to, end, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
}

/* How long a vector is; 0 where the call itself will say what is wrong with it. */
static uint64_t length_of(const struct iovec *iov, int iovcnt)
{
    uint64_t len = 0;

    if (iovcnt <= 0 || iovcnt > IOV_MAX || memory_is_bad(iov))
        return 0;
    for (int i = 0; i < iovcnt; i++)
        if (__builtin_add_overflow(len, iov[i].iov_len, &len) || len > INT64_MAX)
            return 0;
    return len < TRANSFER_MAX ? len : TRANSFER_MAX;
}

/* After the library's exit handler nobody comes to park the disk: each call does. */
static void leave(struct acow_disk *disk)
{
    if (__builtin_expect(process_is_ending(), 0)) {
        process_enter();
        acow_park(disk);
        process_leave();
    }
}

static void ask_alignment(struct ofd *ofd)
{
    /* As <linux/stat.h> of Linux 6.1 has it; libc's may be older. */
    enum { DIOALIGN = 0x2000, MEM_AT = 152, OFF_AT = 156 };
    struct statx stx = { 0 };
    uint32_t mem = 512, off = 512;

    if (REAL(statx)(ofd->image_fd, "", AT_EMPTY_PATH, DIOALIGN, &stx) == 0 && stx.stx_mask & DIOALIGN) {
        memcpy(&mem, (char *)&stx + MEM_AT, sizeof(mem));
        memcpy(&off, (char *)&stx + OFF_AT, sizeof(off));
    }
    ofd->direct_mem = mem ? mem : 1;
    __atomic_store_n(&ofd->direct_off, off ? off : 1, __ATOMIC_RELEASE);
}

/*
 * A request that O_DIRECT refuses on the image is refused wherever its bytes are:
 * programs find out the alignment by trying. At the end of the disk there is nothing
 * to refuse.
 */
static int check_direct_now(struct ofd *ofd, const struct iovec *iov, int iovcnt, uint64_t off)
{
    uint64_t sum = off, places = 0;

    if (off >= (uint64_t)acow_size(ofd->engine))
        return 0;
    if (!__atomic_load_n(&ofd->direct_off, __ATOMIC_ACQUIRE))
        ask_alignment(ofd);
    for (int i = 0; i < iovcnt; i++) {
        sum |= iov[i].iov_len;
        places |= (uintptr_t)iov[i].iov_base;
    }
    return sum % ofd->direct_off || places % ofd->direct_mem ? -EINVAL : 0;
}

static inline int check_direct(struct ofd *ofd, const struct iovec *iov, int iovcnt, uint64_t off)
{
    return __builtin_expect(ofd->flags & O_DIRECT, 0) ? check_direct_now(ofd, iov, iovcnt, off) : 0;
}

__attribute__((hot)) int ofd_read_fd(struct ofd *ofd, size_t len, int64_t off)
{
    struct acow_disk *disk = __atomic_load_n(&ofd->engine, __ATOMIC_ACQUIRE);

    if (__builtin_expect(!disk || !ofd_readable(ofd) || off < 0 || len > TRANSFER_MAX
                         || ofd->flags & O_DIRECT || process_is_ending(), 0))
        return -1;
    return acow_read_fd(disk, ofd->image_fd, len, (uint64_t)off);
}

ssize_t ofd_preadv(struct ofd *ofd, const struct iovec *iov, int iovcnt, int64_t off)
{
    struct acow_disk *disk;
    ssize_t n = ofd_disk(ofd, &disk);

    if (n < 0)
        return n;
    if (!ofd_readable(ofd))
        return -EBADF;
    if (off < 0)
        return -EINVAL;
    if (iovcnt > 0 && memory_is_bad(iov))
        return -EFAULT;
    n = check_direct(ofd, iov, iovcnt, (uint64_t)off);
    if (n < 0)
        return n;
    /* It holds no lock, but may be within malloc, which does. */
    process_enter();
    n = iovcnt == 1 && iov->iov_len <= TRANSFER_MAX
        ? acow_pread(disk, ofd->image_fd, iov->iov_base, iov->iov_len, (uint64_t)off)
        : acow_preadv(disk, ofd->image_fd, iov, iovcnt, (uint64_t)off);
    process_leave();
    leave(disk);
    return n;
}

/* Never past the end: who is killed in a read leaves the offset where it then is, for others to write at. */
static uint64_t length_there(struct ofd *ofd, uint64_t len)
{
    struct acow_disk *disk = __atomic_load_n(&ofd->engine, __ATOMIC_ACQUIRE);
    int64_t left = (disk ? acow_size(disk) : 0) - (int64_t)ofd->state->offset;

    return left <= 0 ? 0 : (uint64_t)left < len ? (uint64_t)left : len;
}

ssize_t ofd_readv(struct ofd *ofd, const struct iovec *iov, int iovcnt)
{
    bool locked = lock_offset(ofd);
    uint64_t len = length_there(ofd, length_of(iov, iovcnt)), off = move_offset(ofd, len);
    ssize_t n = ofd_preadv(ofd, iov, iovcnt, (int64_t)off);

    settle_offset(ofd, off + len, off + (n > 0 ? (uint64_t)n : 0));
    unlock_offset(ofd, locked);
    return n;
}

/* What a write of `n` bytes returns that must be durable. */
static ssize_t flushed(struct acow_disk *disk, ssize_t n)
{
    int r = n > 0 ? acow_flush(disk) : 0;

    return r < 0 ? r : n;
}

/* *end gets the offset behind what was written. */
static ssize_t write_at(struct ofd *ofd, const struct iovec *iov, int iovcnt, uint64_t off,
                        int rwf, uint64_t *end)
{
    struct acow_disk *disk;
    ssize_t n = ofd_disk(ofd, &disk);

    if (n < 0)
        return n;
    if (!ofd_writable(ofd))
        return -EBADF;
    if (iovcnt > 0 && memory_is_bad(iov))
        return -EFAULT;
    n = check_direct(ofd, iov, iovcnt, off);
    if (n < 0)
        return n;
    process_enter();
    if (ofd->state->flags & O_APPEND || rwf & RWF_APPEND) {
        n = acow_append(disk, ofd->image_fd, iov, iovcnt, end);
    } else {
        n = iovcnt == 1 ? acow_pwrite(disk, ofd->image_fd, iov->iov_base, iov->iov_len, off)
                        : acow_pwritev(disk, ofd->image_fd, iov, iovcnt, off);
        *end = off + (n > 0 ? (uint64_t)n : 0);
    }
    if (rwf & (RWF_DSYNC | RWF_SYNC) || ofd->state->flags & O_DSYNC)
        n = flushed(disk, n);
    process_leave();
    leave(disk);
    return n;
}

/* Through a description that is not for large files: as much as there is room for below 2 GiB. */
static ssize_t write_small(struct ofd *ofd, const struct iovec *iov, int iovcnt, uint64_t off, int rwf,
                           uint64_t *end)
{
    int64_t size = acow_size(ofd->engine);
    uint64_t len = length_of(iov, iovcnt), left;
    struct iovec *cut;
    ssize_t n;

    if (size < 0)
        return size;
    if (ofd->state->flags & O_APPEND || rwf & RWF_APPEND)
        off = (uint64_t)size;
    if (off >= OFD_SMALL_MAX)
        return -EFBIG;
    left = OFD_SMALL_MAX - off;
    if (len <= left)
        return write_at(ofd, iov, iovcnt, off, rwf, end);
    cut = malloc((size_t)iovcnt * sizeof(*cut));
    if (!cut)
        return -ENOMEM;
    for (int i = 0; i < iovcnt; i++) {
        cut[i] = iov[i];
        if (cut[i].iov_len > left)
            cut[i].iov_len = (size_t)left;
        left -= cut[i].iov_len;
    }
    n = write_at(ofd, cut, iovcnt, off, rwf, end);
    free(cut);
    return n;
}

static ssize_t write_any(struct ofd *ofd, const struct iovec *iov, int iovcnt, uint64_t off, int rwf,
                         uint64_t *end)
{
    struct acow_disk *disk;

    if (__builtin_expect(ofd->flags & OFD_LARGE, 1) || ofd_disk(ofd, &disk) < 0 || !ofd_writable(ofd))
        return write_at(ofd, iov, iovcnt, off, rwf, end);
    return write_small(ofd, iov, iovcnt, off, rwf, end);
}

ssize_t ofd_pwritev(struct ofd *ofd, const struct iovec *iov, int iovcnt, int64_t off, int rwf)
{
    uint64_t end;

    if (off < 0)
        return -EINVAL;
    return write_any(ofd, iov, iovcnt, (uint64_t)off, rwf, &end);
}

ssize_t ofd_writev(struct ofd *ofd, const struct iovec *iov, int iovcnt, int rwf)
{
    bool locked = lock_offset(ofd);
    uint64_t len = length_of(iov, iovcnt), off = move_offset(ofd, len), end = off;
    ssize_t n = write_any(ofd, iov, iovcnt, off, rwf, &end);

    settle_offset(ofd, off + len, n > 0 ? end : off);
    unlock_offset(ofd, locked);
    return n;
}

ssize_t ofd_move_in(struct ofd *ofd, int64_t off, size_t len, acow_move *move, void *arg)
{
    struct acow_disk *disk;
    ssize_t n = ofd_disk(ofd, &disk);

    if (n < 0)
        return n;
    process_enter();
    n = acow_move_in(disk, ofd->image_fd, len, (uint64_t)off, move, arg);
    if (ofd->state->flags & O_DSYNC)
        n = flushed(disk, n);
    process_leave();
    leave(disk);
    return n;
}

/* A flat file's holes are whole blocks, and callers count on more than sectors. */
#define SEEK_BLOCK 4096u

static uint64_t block_down(uint64_t off)
{
    return off / SEEK_BLOCK * SEEK_BLOCK;
}

/* True if [off, end) of the disk, as far as there is such, has no data. */
static bool hole_reaches(struct acow_disk *disk, uint64_t off, uint64_t end)
{
    struct acow_extent extent;

    while (off < end && acow_next_extent(disk, off, end - off, &extent) == 0) {
        if (extent.kind == ACOW_DATA)
            return false;
        off = extent.off + extent.len;
    }
    return true;
}

/*
 * Where the next data or hole begins; the end of the disk is a hole. A block with
 * any data in it is data.
 */
static int64_t seek_extent(struct acow_disk *disk, uint64_t from, int whence)
{
    struct acow_extent extent;
    uint64_t off = from;
    int r;

    while ((r = acow_next_extent(disk, off, UINT64_MAX, &extent)) == 0) {
        uint64_t end = extent.off + extent.len;

        if (whence == SEEK_DATA && extent.kind == ACOW_DATA)
            return (int64_t)(block_down(off) > from ? block_down(off) : from);
        if (whence == SEEK_HOLE && extent.kind == ACOW_HOLE) {
            uint64_t begin = off == from ? from : block_down(off + SEEK_BLOCK - 1);

            /* Neighbouring extents may be holes too; the block is one if all of them are. */
            if (hole_reaches(disk, begin, block_down(begin) + SEEK_BLOCK))
                return (int64_t)begin;
        }
        off = end;
    }
    if (r == -ENXIO && whence == SEEK_HOLE && off > from)
        return acow_size(disk);
    return r;
}

static int64_t seek_target(struct ofd *ofd, struct acow_disk *disk, int64_t off, int whence)
{
    int64_t base;

    switch (whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = (int64_t)ofd->state->offset;
        break;
    case SEEK_END:
        base = acow_size(disk);
        if (base < 0)
            return base;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        return off < 0 ? -ENXIO : seek_extent(disk, (uint64_t)off, whence);
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, off, &off))
        return -EOVERFLOW;
    return off < 0 ? -EINVAL : off;
}

int64_t ofd_lseek(struct ofd *ofd, int64_t off, int whence)
{
    struct acow_disk *disk;
    bool locked;
    int64_t target = ofd_disk(ofd, &disk);

    if (target < 0)
        return target;
    locked = lock_offset(ofd);
    target = seek_target(ofd, disk, off, whence);
    if (target >= 0)
        ofd->state->offset = (uint64_t)target;
    unlock_offset(ofd, locked);
    leave(disk);
    return target;
}

int ofd_truncate(struct ofd *ofd, int64_t size)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    if (!ofd_writable(ofd) || size < 0 || (!(ofd->flags & OFD_LARGE) && size > OFD_SMALL_MAX))
        return -EINVAL;
    process_enter();
    r = acow_truncate(disk, (uint64_t)size);
    process_leave();
    leave(disk);
    return r;
}

int ofd_fallocate(struct ofd *ofd, int mode, int64_t off, int64_t len)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    if (!ofd_writable(ofd))
        return -EBADF;
    if (off < 0 || len <= 0)
        return -EINVAL;
    process_enter();
    r = acow_fallocate(disk, mode, (uint64_t)off, (uint64_t)len);
    process_leave();
    leave(disk);
    return r;
}

int ofd_flush(struct ofd *ofd)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    process_enter();
    r = acow_flush(disk);
    process_leave();
    leave(disk);
    return r;
}
