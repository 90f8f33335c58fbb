/*
 * The pages beyond the end stay mappings of the image, which ends where the disk does: so
 * the kernel makes them SIGBUS, and when the disk has grown, zeros, or what was written there.
 *
 * A process may have some 65,000 mappings. The more of them a disk takes, the longer a run must be
 * to get one of its own, and the shorter ones are copied: into a file in memory, so that pages which
 * madvise(MADV_DONTNEED) drops come again, as a file's do.
 */
#include "map_fill.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "leave.h"
#include "real.h"
#include "sys_real.h"

#define KEPT_FLAGS (MAP_NORESERVE | MAP_LOCKED)
#define RUNS_OF_A_LENGTH 512

enum { NOWHERE = -1, IN_IMAGE = -2 };

struct fill {
    struct acow_disk *disk;
    char *at;
    uint64_t off, end;          /* of the disk */
    int prot, flags;
    unsigned runs;
    int copies;                 /* the file of the copies, hidden, or -1 */
    uint64_t copied;            /* its length */
};

static char *place(const struct fill *fill, uint64_t off)
{
    return fill->at + (off - fill->off);
}

/* Where the bytes from `off` on stop being in one file, and in which they are. */
static int64_t run_end(const struct fill *fill, uint64_t off, int *fd)
{
    uint64_t at = off;

    while (at < fill->end) {
        struct acow_extent extent;
        int r = acow_next_extent(fill->disk, at, fill->end - at, &extent), where;

        if (r < 0)
            return r;
        where = extent.allocated && extent.depth == 0 ? IN_IMAGE : extent.fd;
        if (at > off && where != *fd)
            break;
        *fd = where;
        at += extent.len;
    }
    /* Behind the end of the disk the kernel shows zeros, if nothing else is in the file. */
    return (int64_t)(at == fill->end && *fd < 0 ? map_page_up(at) : at);
}

static int map_run(struct fill *fill, uint64_t off, uint64_t len, int fd)
{
    int flags = MAP_FIXED | (fill->flags & KEPT_FLAGS);
    int sharing = (fill->flags & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
    void *got;

    if (fd == IN_IMAGE)
        return 0;
    fill->runs++;
    if (fd == NOWHERE)
        got = REAL(mmap64)(place(fill, off), len, fill->prot, flags | MAP_PRIVATE | MAP_ANONYMOUS,
                           -1, 0);
    else
        got = REAL(mmap64)(place(fill, off), len, fill->prot, flags | sharing, fd, (int64_t)off);
    return got == MAP_FAILED ? -errno : 0;
}

/* Room for so many bytes more. False: the program may not have files of that size. */
static bool room_for_copies(struct fill *fill, uint64_t len)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && fill->copied + len > limit.rlim_cur)
        return false;
    if (fill->copies < 0)
        fill->copies = sys_real.memfd("addcow-map");
    return fill->copies >= 0 && sys_real.ftruncate(fill->copies, (int64_t)(fill->copied + len)) == 0;
}

static int copy_run(struct fill *fill, uint64_t off, uint64_t end)
{
    const int prot = PROT_READ | PROT_WRITE;
    int flags = MAP_FIXED | (fill->flags & KEPT_FLAGS);
    uint64_t len = map_page_up(end) - off;
    uint64_t at = off;
    bool in_file;
    void *got;

    if (off >= end)
        return 0;
    fill->runs++;
    in_file = room_for_copies(fill, len);
    if (in_file)
        got = REAL(mmap64)(place(fill, off), len, prot, flags | MAP_SHARED, fill->copies,
                           (int64_t)fill->copied);
    else
        got = REAL(mmap64)(place(fill, off), len, prot, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == MAP_FAILED)
        return -errno;
    while (at < end) {
        ssize_t n = acow_pread(fill->disk, ACOW_OWN_FD, place(fill, at), end - at, at);

        if (n < 0 && n != -EINTR)
            return (int)n;
        if (n == 0)
            break;
        at += n > 0 ? (uint64_t)n : 0;
    }
    if (in_file)
        got = REAL(mmap64)(place(fill, off), len, fill->prot, flags | MAP_PRIVATE, fill->copies,
                           (int64_t)fill->copied);
    else if (fill->prot != prot && mprotect(place(fill, off), len, fill->prot) < 0)
        got = MAP_FAILED;
    if (got == MAP_FAILED)
        return -errno;
    if (in_file)
        fill->copied += len;
    return 0;
}

static int fill_runs(struct fill *fill)
{
    uint64_t at = fill->off, copied = at;       /* what lies between them is to be copied */
    int r = 0;

    while (r == 0 && at < fill->end) {
        uint64_t least = MAP_PAGE << (fill->runs / RUNS_OF_A_LENGTH), whole;
        int fd = NOWHERE;
        int64_t end = run_end(fill, at, &fd);

        /* The disk has been cut meanwhile. */
        if (end == -ENXIO)
            break;
        if (end < 0)
            return (int)end;
        whole = ((uint64_t)end - at) / MAP_PAGE * MAP_PAGE;
        if (whole < least) {
            at += whole ? whole : MAP_PAGE;
            continue;
        }
        r = copy_run(fill, copied, at);
        if (r == 0)
            r = map_run(fill, at, whole, fd);
        at += whole;
        copied = at;
    }
    return r < 0 ? r : copy_run(fill, copied, at < fill->end ? at : fill->end);
}

int map_fill(struct acow_disk *disk, char *place_at, size_t len, uint64_t off, int prot, int flags)
{
    struct fill fill = { disk, place_at, off, off + len, prot, flags, 0, -1, 0 };
    int64_t size = acow_size(disk);
    int r;

    if (size < 0)
        return (int)size;
    if (fill.end > (uint64_t)size)
        fill.end = (uint64_t)size;
    r = fill_runs(&fill);
    if (fill.copies >= 0)
        sys_real.close(fill.copies);
    return r;
}

/* *done counts what has been moved. */
static int move_some(char *from, char *to, size_t len, size_t *done)
{
    size_t half = len / MAP_PAGE / 2 * MAP_PAGE;
    int r = 0;

    if (REAL(mremap)(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) {
        *done += len;
        return 0;
    }
    /* It is more than one mapping, which the kernel does not move. */
    if (errno != EFAULT || half == 0)
        return -errno;
    r = move_some(from, to, half, done);
    return r < 0 ? r : move_some(from + half, to + half, len - half, done);
}

int map_move(char *from, char *to, size_t len)
{
    size_t done = 0, back = 0;
    int r = move_some(from, to, len, &done);

    if (r < 0 && done > 0)
        move_some(to, from, done, &back);
    return r;
}
