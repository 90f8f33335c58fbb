/*
 * Bits past the end of a disk. Shrinking leaves them, and they mean nothing; growing again
 * sees to it that they do no harm. They can be cleared, but only once the image's size is on
 * stable storage: if a power cut took back a shrink that was not, the bits would be within the
 * disk again, and the backing file's old content would show where they are missing.
 */
#include "beyond.h"

#include <errno.h>
#include <unistd.h>

#include "format.h"

static int write_all(struct acow_disk *disk, const uint8_t *buf, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = disk->sys->pwrite(disk->meta_fd, buf, len, (int64_t)off);

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        buf += n;
        len -= (size_t)n;
        off += (size_t)n;
    }
    return 0;
}

/* Takes the bits out of what was read; the first byte's that `keep` has stay. Returns how many. */
static uint64_t take_out(uint8_t *buf, size_t len, uint8_t keep)
{
    uint64_t count = 0;

    for (size_t i = 0; i < len; i++, keep = 0) {
        count += (unsigned)__builtin_popcount(buf[i] & (uint8_t)~keep);
        buf[i] &= keep;
    }
    return count;
}

/* A bitmap may be longer than need be by any amount of holes, which are not read. */
static int go_through(struct acow_disk *disk, uint64_t size, bool clear, uint64_t *count)
{
    uint64_t sectors = format_sectors(size), off = FORMAT_HEADER + sectors / 8;
    uint8_t keep = (uint8_t)((1u << sectors % 8) - 1);
    uint8_t buf[16384];

    *count = 0;
    for (;;) {
        int64_t data = disk->sys->lseek(disk->meta_fd, (int64_t)off, SEEK_DATA);
        uint64_t here;
        ssize_t n;

        if (data == -ENXIO)
            return 0;
        if (data > (int64_t)off) {
            off = (uint64_t)data;
            keep = 0;
        }
        n = disk->sys->pread(disk->meta_fd, buf, sizeof(buf), (int64_t)off);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return (int)n;
        here = take_out(buf, (size_t)n, keep);
        if (clear && here > 0) {
            int r = write_all(disk, buf, (size_t)n, off);

            if (r < 0)
                return r;
        }
        *count += here;
        off += (size_t)n;
        keep = 0;
    }
}

int beyond_count(struct acow_disk *disk, uint64_t size, uint64_t *count)
{
    return go_through(disk, size, false, count);
}

int beyond_clear(struct acow_disk *disk, uint64_t size, uint64_t *count)
{
    uint64_t cleared;
    int r = beyond_count(disk, size, count);

    if (r < 0 || *count == 0)
        return r;
    r = disk->sys->fdatasync(disk->image_fd);
    if (r == 0)
        r = go_through(disk, size, true, &cleared);
    return r < 0 ? r : disk->sys->fdatasync(disk->meta_fd);
}
