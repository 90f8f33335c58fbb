/*
 * Truncation, growth, preallocation and zeroing.
 *
 * The image file's size is the disk's. A grown part must read as zeros even
 * where the backing file has data, so its bits are set, and made durable, before
 * the image is extended; the image there is zeros because the filesystem makes it
 * so. Where somebody has mapped it (copyup.c) the bits are set too, since what is stored there
 * comes without a call. The sector that the old end cuts is copied up first. Bits beyond the end mean
 * nothing, so shrinking leaves them.
 *
 * Zeroing makes the image zeros first and sets the bits then (I8): what an
 * image holds at an unallocated sector may be left over from before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "disk.h"
#include "format.h"

/* The size lock of the region that this process now takes part in. */
static int lock_region(struct acow_disk *disk, struct att **att)
{
    uint64_t size;
    struct stat st;
    int r;

    r = disk_enter(disk, att, &size);
    if (r < 0)
        return r;
    r = region_lock(disk, &(*att)->region->size_lock);
    if (r < 0)
        return r;
    if (r == 1) {
        /* Who died may have made room and not said so, or have changed the image's size. */
        __atomic_fetch_add(&(*att)->region->gen, 1, __ATOMIC_ACQ_REL);
        r = disk->sys->fstat(disk->image_fd, &st);
        if (r == 0)
            __atomic_store_n(&(*att)->region->size, (uint64_t)st.st_size, __ATOMIC_RELEASE);
    }
    if (r == 0)
        r = disk_enter(disk, att, &size);
    if (r < 0)
        region_unlock(&(*att)->region->size_lock);
    return r;
}

int size_lock(struct acow_disk *disk, struct att **att)
{
    int r;

    pthread_rwlock_rdlock(&disk->relying);
    r = lock_region(disk, att);
    if (r < 0)
        pthread_rwlock_unlock(&disk->relying);
    return r;
}

void size_unlock(struct acow_disk *disk, struct att *att)
{
    region_unlock(&att->region->size_lock);
    pthread_rwlock_unlock(&disk->relying);
}

void size_raise(struct att *att, uint64_t size)
{
    if (size > disk_size(att))
        __atomic_store_n(&att->region->size, size, __ATOMIC_RELEASE);
}

void size_follow_image(struct acow_disk *disk, struct att *att)
{
    struct stat st;

    if (disk->sys->fstat(disk->image_fd, &st) == 0)
        size_raise(att, (uint64_t)st.st_size);
}

/* Copies up the sector that `off` cuts, if one is cut. */
static int copyup_cut(struct acow_disk *disk, struct att *att, uint64_t off)
{
    uint64_t sector = off / ACOW_SECTOR;
    uint64_t stripes;
    int r;

    if (off % ACOW_SECTOR == 0)
        return 0;
    r = region_reserve(disk, att, sector, 1);
    if (r < 0)
        return r;
    stripes = region_stripes(off, 1);
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        return r;
    r = write_copyup_locked(disk, att, sector);
    region_unlock_stripes(att->region, stripes);
    return r;
}

/* Sets the bits of whole sectors whose image is known to be zeros. */
static int set_zeros(struct acow_disk *disk, struct att *att, uint64_t first, uint64_t end)
{
    uint64_t stripes;
    int r;

    if (first >= end)
        return 0;
    r = region_reserve(disk, att, first, end - first);
    if (r < 0)
        return r;
    stripes = region_stripes(first * ACOW_SECTOR, (end - first) * ACOW_SECTOR);
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        return r;
    r = flush_set_bits(disk, att, first, end - first);
    region_unlock_stripes(att->region, stripes);
    return r;
}

int size_prepare(struct acow_disk *disk, struct att **att, uint64_t size)
{
    uint64_t mapped = __atomic_load_n(&(*att)->region->mapped, __ATOMIC_RELAXED);
    uint64_t end = mapped > disk->backing_size ? mapped : disk->backing_size;
    uint64_t old;
    int r;

    if (end > size)
        end = size;

    r = region_room(disk, (*att)->region, size);
    if (r == 0)
        r = disk_enter(disk, att, &old);
    if (r < 0 || end <= old)
        return r;
    r = copyup_cut(disk, *att, old);
    if (r == 0)
        r = set_zeros(disk, *att, format_sectors(old), format_sectors(end));
    /* Where nothing is below, a lost bit is a zero all the same. */
    if (r < 0 || old >= disk->backing_size || disk->flags & ACOW_UNSAFE)
        return r;
    return flush_disk(disk, *att);
}

int size_catch_up(struct acow_disk *disk, struct att **att)
{
    uint64_t size;
    int r = disk_image_size(disk, &size);

    if (r < 0 || size <= disk_size(*att))
        return r;
    r = size_prepare(disk, att, size);
    if (r == 0)
        size_raise(*att, size);
    return r;
}

static int shrink(struct acow_disk *disk, struct att *att, uint64_t size)
{
    uint64_t left = disk_size(att);
    int r = region_lock_stripes(disk, att->region, ~0ull);

    if (r < 0)
        return r;
    /* Readers end at the new size from here on; no writer with a lock is under way. */
    __atomic_store_n(&att->region->size, size, __ATOMIC_RELEASE);
    r = disk->sys->ftruncate(disk->image_fd, (int64_t)size);
    if (r < 0) {
        /* It may have been cut all the same, and the disk with it. */
        disk_image_size(disk, &left);
        __atomic_store_n(&att->region->size, left, __ATOMIC_RELEASE);
    }
    region_unlock_stripes(att->region, ~0ull);
    return r;
}

int acow_truncate(struct acow_disk *disk, uint64_t size)
{
    struct att *att;
    int r;

    if (!disk->writable || size > INT64_MAX)
        return -EINVAL;
    if (size > ACOW_SIZE_MAX)
        return -EFBIG;
    r = size_lock(disk, &att);
    if (r < 0)
        return r;
    if (size < disk_size(att)) {
        r = shrink(disk, att, size);
    } else {
        r = size > disk_size(att) ? size_prepare(disk, &att, size) : 0;
        if (r == 0)
            r = disk->sys->ftruncate(disk->image_fd, (int64_t)size);
        if (r == 0)
            size_raise(att, size);
    }
    size_unlock(disk, att);
    return (int)flush_through(disk, r);
}

/* Storage for a range, for its data and its bits. What it holds does not change. */
static int preallocate(struct acow_disk *disk, int mode, uint64_t off, uint64_t len)
{
    struct att *att;
    uint64_t end;
    int r = size_lock(disk, &att);

    if (r < 0)
        return r;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && off + len > disk_size(att))
        r = size_prepare(disk, &att, off + len);
    end = (mode & FALLOC_FL_KEEP_SIZE) && off + len > disk_size(att) ? disk_size(att) : off + len;
    if (r == 0 && end > off)
        r = region_reserve(disk, att, off / ACOW_SECTOR, format_sectors(end) - off / ACOW_SECTOR);
    if (r == 0)
        r = disk->sys->fallocate(disk->image_fd, mode, (int64_t)off, (int64_t)len);
    if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE))
        size_raise(att, end);
    if (r < 0)
        size_follow_image(disk, att);
    size_unlock(disk, att);
    return r;
}

/*
 * The size lock is held, so the disk's end stays where it is; the stripes are
 * held from the zeroing to the bits, so that no allocating write falls between.
 */
static int zero_locked(struct acow_disk *disk, struct att *att, int mode, uint64_t off, uint64_t len,
                       uint64_t end)
{
    uint64_t first = off / ACOW_SECTOR, last = end > off ? (end - 1) / ACOW_SECTOR : first;
    uint64_t stripes;
    int r = 0;

    if (end > off)
        r = region_reserve(disk, att, first, last - first + 1);
    if (r < 0)
        return r;
    stripes = region_stripes(off, end > off ? end - off : 1);
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        return r;
    if (end > off && off % ACOW_SECTOR)
        r = write_copyup_locked(disk, att, first);
    if (r == 0 && end > off && end % ACOW_SECTOR && end < disk_size(att))
        r = write_copyup_locked(disk, att, last);
    if (r == 0)
        r = disk->sys->fallocate(disk->image_fd, mode, (int64_t)off, (int64_t)len);
    if (r == 0 && end > off)
        r = flush_set_bits(disk, att, first, last - first + 1);
    region_unlock_stripes(att->region, stripes);
    return r;
}

static int zero_range(struct acow_disk *disk, int mode, uint64_t off, uint64_t len)
{
    struct att *att;
    uint64_t size, end = off + len;
    int r = size_lock(disk, &att);

    if (r < 0)
        return r;
    size = disk_size(att);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > size)
        r = size_prepare(disk, &att, end);
    if (r == 0)
        r = zero_locked(disk, att, mode, off, len, end < size ? end : size);
    if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE))
        size_raise(att, end);
    if (r < 0)
        size_follow_image(disk, att);
    size_unlock(disk, att);
    return r;
}

int acow_fallocate(struct acow_disk *disk, int mode, uint64_t off, uint64_t len)
{
    if (!disk->writable)
        return -EBADF;
    if (len == 0 || off > INT64_MAX || len > INT64_MAX)
        return -EINVAL;
    if (off + len > ACOW_SIZE_MAX)
        return -EFBIG;
    switch (mode) {
    case 0:
    case FALLOC_FL_KEEP_SIZE:
        return (int)flush_through(disk, preallocate(disk, mode, off, len));
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    case FALLOC_FL_ZERO_RANGE:
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
        return (int)flush_through(disk, zero_range(disk, mode, off, len));
    default:
        return -EOPNOTSUPP;
    }
}
