/*
 * Copying up ahead of need: for who is about to map the image file into memory, and then changes
 * it without a call. After that every sector of the range is read from the image, so what is
 * stored there is what everybody reads.
 *
 * Where there is nothing below, the image need only be zeros, as it mostly is already; what may
 * be left over there is made so (I8). Storage that was preallocated stays.
 *
 * Of what lies beyond the end there is nothing to copy, but it must be in the image too once the
 * disk has grown, whoever makes it grow: the region notes how far mappings reach, and
 * growth (size.c) sets bits as far as that.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "format.h"

/* So long is the size lock held at a time, and so large is the buffer. */
#define PIECE (1u << 20)

static int write_image(struct acow_disk *disk, const char *buf, uint64_t off, size_t len)
{
    while (len > 0) {
        ssize_t n = disk->sys->pwrite(disk->image_fd, buf, len, (int64_t)off);

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -ENOSPC;
        disk_count(disk, &disk->counters.writes, 1);
        buf += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_zeros(struct acow_disk *disk, char *buf, uint64_t off, uint64_t end)
{
    int r = disk->sys->fallocate(disk->image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 (int64_t)off, (int64_t)(end - off));

    if (r != -EOPNOTSUPP && r != -ENOSYS)
        return r;
    memset(buf, 0, end - off);
    return write_image(disk, buf, off, end - off);
}

/* Makes [off, end) of the image zeros, where it has data. */
static int zero_image(struct acow_disk *disk, char *buf, uint64_t off, uint64_t end)
{
    int r = 0;

    while (r == 0 && off < end) {
        int64_t data = disk->sys->lseek(disk->image_fd, (int64_t)off, SEEK_DATA), hole;
        uint64_t from = data < 0 ? off : (uint64_t)data, stop = end;

        if (data == -ENXIO || from >= end)
            break;
        hole = disk->sys->lseek(disk->image_fd, (int64_t)from, SEEK_HOLE);
        if (hole > (int64_t)from && (uint64_t)hole < end)
            stop = (uint64_t)hole;
        r = write_zeros(disk, buf, from, stop);
        off = stop;
    }
    return r;
}

/* Brings [off, end), which has no bits, into the image. */
static int bring_up(struct acow_disk *disk, char *buf, uint64_t off, uint64_t end)
{
    int r = 0;

    while (r == 0 && off < end) {
        struct acow_extent extent = { 0 };

        r = extent_below(disk, off, end - off, &extent);
        if (r < 0)
            return r;
        if (extent.kind == ACOW_HOLE) {
            r = zero_image(disk, buf, off, off + extent.len);
        } else {
            r = read_old(disk, buf, off, extent.len);
            if (r == 0)
                r = write_image(disk, buf, off, extent.len);
            disk_count(disk, &disk->counters.copyup_bytes, extent.len);
        }
        off += extent.len;
    }
    return r;
}

/* The stripes over the range are held, its pages reserved, and the end is at or behind it. */
static int copy_locked(struct acow_disk *disk, struct att *att, char *buf, uint64_t off,
                       uint64_t end)
{
    uint64_t sector = off / ACOW_SECTOR, last = format_sectors(end);
    int r = 0;

    while (r == 0 && sector < last) {
        bool set;
        uint64_t count = bits_run(&att->bits, sector, last - sector, &set);
        uint64_t stop = (sector + count) * ACOW_SECTOR;

        if (!set) {
            r = bring_up(disk, buf, sector * ACOW_SECTOR, stop < end ? stop : end);
            if (r == 0)
                r = flush_set_bits(disk, att, sector, count);
        }
        sector += count;
    }
    return r;
}

/* Both are on a sector's edge, or at the end. */
static int copy_piece(struct acow_disk *disk, struct att *att, char *buf, uint64_t off,
                      uint64_t end)
{
    uint64_t first = off / ACOW_SECTOR, count = format_sectors(end) - first;
    uint64_t stripes = region_stripes(off, end - off);
    int r;

    if (bits_all_set(&att->bits, first, count))
        return 0;
    r = region_reserve(disk, att, first, count);
    if (r < 0)
        return r;
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        return r;
    r = copy_locked(disk, att, buf, off, end);
    region_unlock_stripes(att->region, stripes);
    return r;
}

/* One piece from `off` on, under the size lock; *off moves on. 1: that was the last. */
static int copy_next(struct acow_disk *disk, char *buf, uint64_t *off, uint64_t end)
{
    uint64_t stop = *off + PIECE < end ? *off + PIECE : end;
    struct att *att;
    int r = size_lock(disk, &att);

    if (r < 0)
        return r;
    if (end > __atomic_load_n(&att->region->mapped, __ATOMIC_RELAXED))
        __atomic_store_n(&att->region->mapped, end, __ATOMIC_RELAXED);
    if (stop > disk_size(att))
        stop = end = disk_size(att);
    if (*off < stop)
        r = copy_piece(disk, att, buf, *off, stop);
    size_unlock(disk, att);
    *off = stop;
    return r < 0 ? r : stop == end;
}

int acow_copy_up(struct acow_disk *disk, uint64_t off, uint64_t len)
{
    uint64_t end = off + len;
    char *buf;
    int r;

    if (!disk->writable)
        return -EBADF;
    if (off > INT64_MAX || len > INT64_MAX)
        return -EINVAL;
    if (len == 0)
        return 0;
    buf = malloc(PIECE);
    if (!buf)
        return -ENOMEM;
    off -= off % ACOW_SECTOR;
    end = format_sectors(end) * ACOW_SECTOR;
    do
        r = copy_next(disk, buf, &off, end);
    while (r == 0);
    free(buf);
    return r < 0 ? r : 0;
}
