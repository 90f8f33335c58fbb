/*
 * Writing by somebody else's call: bytes that are in a pipe, and that nobody may have taken out of it
 * before they are written. The range is made one that is read from the image, which changes nothing
 * that anybody reads; then the call may put as much there as it will, or nothing.
 *
 * So it is within the disk, where the range is copied up. Beyond the end there is nothing to copy: bits
 * mean nothing there, and the image will be zeros where nothing is put, so they are set at once. The
 * size lock is held until it is known how far the image has grown.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#include "disk.h"
#include "format.h"

/* Its sectors become the image's when the disk grows over them. The size lock is held. */
static int prepare_growth(struct acow_disk *disk, struct att **att, uint64_t off, size_t len)
{
    uint64_t first = off / ACOW_SECTOR, count = format_sectors(off + len) - first;
    uint64_t stripes = region_stripes(off, len);
    int r = size_prepare(disk, att, off + len);

    if (r == 0)
        r = region_reserve(disk, *att, first, count);
    if (r == 0)
        r = region_lock_stripes(disk, (*att)->region, stripes);
    if (r < 0)
        return r;
    if (first * ACOW_SECTOR < disk_size(*att))
        r = write_copyup_locked(disk, *att, first);
    if (r == 0)
        r = flush_set_bits(disk, *att, first, count);
    region_unlock_stripes((*att)->region, stripes);
    return r;
}

/* 1: it is no longer beyond the end. *moved gets what there is to return. */
static int move_growing(struct acow_disk *disk, int fd, size_t len, uint64_t off, acow_move *move,
                        void *arg, ssize_t *moved)
{
    struct att *att;
    int r = size_lock(disk, &att);

    if (r < 0)
        return r;
    if (off < disk_size(att)) {
        size_unlock(disk, att);
        return 1;
    }
    r = prepare_growth(disk, &att, off, len);
    if (r == 0) {
        disk_count(disk, &disk->counters.writes, 1);
        *moved = move(arg, fd, len, off);
        if (*moved > 0)
            size_raise(att, off + (uint64_t)*moved);
        else
            size_follow_image(disk, att);
    }
    size_unlock(disk, att);
    return r;
}

static ssize_t move_within(struct acow_disk *disk, int fd, size_t len, uint64_t off, acow_move *move,
                           void *arg)
{
    struct att *att = __atomic_load_n(&disk->att, __ATOMIC_ACQUIRE);
    int r = acow_in_image(disk, off, len, 0) ? 0 : acow_copy_up(disk, off, len);
    ssize_t n;

    if (r < 0)
        return r;
    disk_count(disk, &disk->counters.writes, 1);
    n = move(arg, fd, len, off);
    if (n > 0)
        r = write_follow(disk, att, off + (uint64_t)n);
    return r < 0 ? r : n;
}

ssize_t acow_move_in(struct acow_disk *disk, int image_fd, size_t len, uint64_t off, acow_move *move,
                     void *arg)
{
    int fd = image_fd >= 0 ? image_fd : disk->image_fd, r;
    struct att *att;
    uint64_t size;
    ssize_t n = 0;

    if (!disk->writable)
        return -EBADF;
    if (off > INT64_MAX || len > SSIZE_MAX)
        return -EINVAL;
    if (off + len > ACOW_SIZE_MAX)
        return -EFBIG;
    if (len == 0)
        return 0;
    do {
        r = disk_enter(disk, &att, &size);
        if (r == 0 && off < size) {
            n = move_within(disk, fd, len < size - off ? len : size - off, off, move, arg);
            break;
        }
        if (r == 0)
            r = move_growing(disk, fd, len, off, move, arg, &n);
    } while (r == 1);
    return flush_through(disk, r < 0 ? r : n);
}
