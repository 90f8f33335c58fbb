/*
 * Reading. A range that is all image or all backing is one system call. A mixed
 * range is two where its gaps are small: one call over the image's runs and one
 * over the backing's, each scattering its own runs straight into the caller's
 * buffers and the bytes between them into a sink. That costs the kernel's
 * copying of the gaps and saves a call for each run, an allocation, and a second
 * copy. A gap larger than the sink is worth a call of its own.
 */
#include <errno.h>
#include <string.h>

#include "disk.h"
#include "format.h"
#include "iov.h"
#include "plan.h"

#define PIECES 128

/* Bytes that nobody wants; written by the kernel, read by no one. */
static char sink[64 << 10];

/* Reads the vector full, which is changed on the way; -EIO at an early end. */
static int read_full(struct acow_disk *disk, int fd, struct iovec *iov, int iovcnt, uint64_t off,
                     size_t len)
{
    while (len > 0) {
        ssize_t n = iovcnt == 1
            ? disk->sys->pread(fd, iov->iov_base, iov->iov_len, (int64_t)off)
            : disk->sys->preadv(fd, iov, iovcnt, (int64_t)off);

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        off += (uint64_t)n;
        len -= (size_t)n;
        if (len > 0)
            iov_advance(&iov, &iovcnt, (size_t)n);
    }
    return 0;
}

int read_backing(struct acow_disk *disk, struct iovec *iov, int iovcnt, uint64_t off, size_t len)
{
    disk_count(disk, &disk->counters.reads_backing, 1);
    if (!disk->backing)
        return read_full(disk, disk->backing_fd, iov, iovcnt, off, len);
    while (len > 0) {
        ssize_t n = acow_preadv(disk->backing, ACOW_OWN_FD, iov, iovcnt, off);

        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        off += (uint64_t)n;
        len -= (size_t)n;
        if (len > 0)
            iov_advance(&iov, &iovcnt, (size_t)n);
    }
    return 0;
}

int read_old(struct acow_disk *disk, void *buf, uint64_t off, size_t len)
{
    size_t there = 0;

    if (off < disk->backing_size)
        there = disk->backing_size - off < len ? disk->backing_size - off : len;
    memset((char *)buf + there, 0, len - there);
    if (there == 0)
        return 0;
    return read_backing(disk, &(struct iovec){ buf, there }, 1, off, there);
}

static int read_from(struct acow_disk *disk, enum plan_source source, struct iovec *iov, int iovcnt,
                     uint64_t off, size_t len)
{
    if (len == 0)
        return 0;
    if (source == PLAN_BACKING)
        return read_backing(disk, iov, iovcnt, off, len);
    disk_count(disk, &disk->counters.reads_image, 1);
    return read_full(disk, disk->image_fd, iov, iovcnt, off, len);
}

/* All runs of one source, in as few calls as the gaps between them and PIECES allow. */
static int read_source(struct acow_disk *disk, const struct plan *plan, enum plan_source source,
                       struct iov_cursor cursor)
{
    struct iovec pieces[PIECES];
    int n = 0, r;
    uint64_t at = plan->off;    /* of the run */
    uint64_t from = 0;          /* of the call being put together */
    size_t span = 0;

    for (int i = 0; i < plan->nruns; at += plan->runs[i].len, i++) {
        size_t left = plan->runs[i].len;

        if (plan->runs[i].source != source) {
            iov_skip(&cursor, left);
            continue;
        }
        if (span > 0) {
            size_t gap = at - (from + span);

            if (gap <= sizeof(sink) && n + 2 <= PIECES) {
                if (gap > 0)
                    pieces[n++] = (struct iovec){ sink, gap };
                span += gap;
            } else {
                r = read_from(disk, source, pieces, n, from, span);
                if (r < 0)
                    return r;
                span = 0;
                n = 0;
            }
        }
        if (span == 0)
            from = at;
        while (left > 0) {
            size_t taken = iov_take(&cursor, left, pieces, &n, PIECES);

            span += taken;
            left -= taken;
            if (left > 0) {
                r = read_from(disk, source, pieces, n, from, span);
                if (r < 0)
                    return r;
                from += span;
                span = 0;
                n = 0;
            }
        }
    }
    return read_from(disk, source, pieces, n, from, span);
}

static int zero_runs(const struct plan *plan, struct iov_cursor cursor)
{
    int r = 0;

    for (int i = 0; r == 0 && i < plan->nruns; i++) {
        if (plan->runs[i].source == PLAN_ZERO)
            r = iov_zero(&cursor, plan->runs[i].len);
        else
            iov_skip(&cursor, plan->runs[i].len);
    }
    return r;
}

/* The range is within the disk; returns len, or less if only a part could be read. */
static ssize_t __attribute__((noinline))
read_mixed(struct acow_disk *disk, const struct att *att, const struct iovec *iov, int iovcnt,
           uint64_t off, size_t len)
{
    struct iov_cursor cursor = { iov, iovcnt, 0 };
    size_t done = 0;

    while (done < len) {
        struct plan plan;
        int r;

        plan_make(&plan, &att->bits, disk->backing_size, off + done, len - done);
        r = zero_runs(&plan, cursor);
        if (r == 0)
            r = read_source(disk, &plan, PLAN_BACKING, cursor);
        if (r == 0)
            r = read_source(disk, &plan, PLAN_IMAGE, cursor);
        /* The image ended early because the disk has been cut shorter: then it ends there. */
        if (r == -EIO && off + len > disk_size(att)) {
            len = disk_size(att) > off ? (size_t)(disk_size(att) - off) : 0;
            continue;
        }
        if (r < 0)
            return done ? (ssize_t)done : r;
        iov_skip(&cursor, plan.len);
        done += plan.len;
    }
    return (ssize_t)done;
}

/* Clips a request to the disk, and tells where it is. */
static enum bits_mix locate(const struct att *att, uint64_t size, uint64_t off, size_t *len)
{
    if (*len == 0 || off >= size) {
        *len = 0;
        return BITS_MIXED;
    }
    if (*len > size - off)
        *len = size - off;
    return bits_mix(&att->bits, off / ACOW_SECTOR,
                    (off + *len - 1) / ACOW_SECTOR - off / ACOW_SECTOR + 1);
}

static inline int read_fd(struct acow_disk *disk, int image_fd, size_t len, uint64_t off,
                          enum bits_mix mix)
{
    if (mix == BITS_ALL) {
        disk_count(disk, &disk->counters.reads_image, 1);
        return image_fd >= 0 ? image_fd : disk->image_fd;
    }
    if (mix == BITS_MIXED || disk->backing || off + len > disk->backing_size)
        return -1;
    disk_count(disk, &disk->counters.reads_backing, 1);
    return disk->backing_fd;
}

static int __attribute__((noinline))
read_fd_long(struct acow_disk *disk, int image_fd, size_t len, uint64_t off)
{
    const struct att *att = __atomic_load_n(&disk->att, __ATOMIC_ACQUIRE);

    return read_fd(disk, image_fd, len, off,
                   bits_mix_long(&att->bits, off / ACOW_SECTOR,
                                 (off + len - 1) / ACOW_SECTOR - off / ACOW_SECTOR + 1));
}

/* The hottest function there is: what would need a stack is called at its end. */
__attribute__((hot)) int acow_read_fd(struct acow_disk *disk, int image_fd, size_t len, uint64_t off)
{
    const struct att *att = __atomic_load_n(&disk->att, __ATOMIC_ACQUIRE);
    uint64_t size = disk_size(att), first = off / ACOW_SECTOR, count;

    if (__builtin_expect(disk_is_stale(att) || len - 1 >= size || off > size - len, 0))
        return -1;
    count = (off + len - 1) / ACOW_SECTOR - first + 1;
    if (first % 64 + count > 64)
        return read_fd_long(disk, image_fd, len, off);
    return read_fd(disk, image_fd, len, off, bits_mix(&att->bits, first, count));
}

ssize_t acow_pread(struct acow_disk *disk, int image_fd, void *buf, size_t len, uint64_t off)
{
    int fd = acow_read_fd(disk, image_fd, len, off);

    if (fd >= 0) {
        ssize_t n = disk->sys->pread(fd, buf, len, (int64_t)off);

        if (n < 0 || (size_t)n == len)
            return n;
    }
    return acow_preadv(disk, image_fd, &(struct iovec){ buf, len }, 1, off);
}

ssize_t acow_preadv(struct acow_disk *disk, int image_fd, const struct iovec *iov, int iovcnt,
                    uint64_t off)
{
    ssize_t total = iov_total(iov, iovcnt);
    struct att *att;
    uint64_t size;
    size_t len;
    int r;

    if (total < 0)
        return total;
    if (off > INT64_MAX)
        return -EINVAL;
    r = disk_enter(disk, &att, &size);
    if (r < 0)
        return r;
    len = (size_t)total;
    if (locate(att, size, off, &len) == BITS_ALL) {
        disk_count(disk, &disk->counters.reads_image, 1);
        return disk->sys->preadv(image_fd >= 0 ? image_fd : disk->image_fd, iov, iovcnt,
                                 (int64_t)off);
    }
    return read_mixed(disk, att, iov, iovcnt, off, len);
}
