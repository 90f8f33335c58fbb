/*
 * Record locks go to the image, where all that have the disk open meet. The engine's own are there
 * too, from ACOW_LOCK_FIRST on, and a lock of the whole file, which reaches to the last offset there
 * is, would meet them, even its own process's. So a program's range ends before them, and where
 * another's lock ends just there the answer says that it has no end. No disk has data that far
 * out. A lock that begins there is refused: to grant it without making it would be to give it to two.
 */
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "addcow.h"
#include "keep.h"
#include "leave.h"
#include "memory.h"
#include "process.h"
#include "real.h"
#include "report.h"

#define FIRST_OURS ((int64_t)ACOW_LOCK_FIRST)

/* Where the range begins, and its last byte, with the kernel's rules and errors. */
static int find_range(struct ofd *ofd, struct acow_disk *disk, const struct flock *fl,
                      int64_t *first, int64_t *last)
{
    int64_t base;

    switch (fl->l_whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = (int64_t)ofd->state->offset;
        break;
    case SEEK_END:
        base = acow_size(disk);
        if (base < 0)
            return (int)base;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, fl->l_start, first))
        return -EOVERFLOW;
    if (*first < 0)
        return -EINVAL;
    *last = INT64_MAX;
    if (fl->l_len > 0 && __builtin_add_overflow(*first, fl->l_len - 1, last))
        return -EOVERFLOW;
    if (fl->l_len < 0) {
        *last = *first - 1;
        *first += fl->l_len;
    }
    return *first < 0 ? -EINVAL : 0;
}

/* What this thread's vfork child locks is lost when it execs, as its parent's memory cannot tell. */
static int begin_keeping(struct ofd *ofd)
{
    static bool said;

    if (process_is_vfork_child() && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
        report("%s: a record lock of a child of vfork does not outlive its exec", ofd->state->path);
    return keep_image(ofd->state->image_dev, ofd->state->image_ino) < 0 ? -ENOLCK : 0;
}

int record_lock(struct ofd *ofd, int cmd, struct flock *fl)
{
    bool asks = cmd == F_GETLK || cmd == F_OFD_GETLK;
    struct acow_disk *disk;
    struct flock mine;
    int64_t first = 0, last = 0;
    int r = memory_check(fl, sizeof(*fl), asks);

    if (r == 0)
        r = ofd_disk(ofd, &disk);
    if (r == 0)
        r = find_range(ofd, disk, fl, &first, &last);
    if (r < 0)
        return r;
    if (first >= FIRST_OURS)
        return -EOVERFLOW;
    mine = *fl;
    mine.l_whence = SEEK_SET;
    mine.l_start = first;
    mine.l_len = (last < FIRST_OURS ? last + 1 : FIRST_OURS) - first;
    r = cmd == F_SETLK || cmd == F_SETLKW ? begin_keeping(ofd) : 0;
    if (r < 0)
        return r;
    r = NATIVE(REAL(fcntl64)(ofd->image_fd, cmd, &mine));
    if (r < 0 || !asks)
        return r;
    if (mine.l_type == F_UNLCK) {
        fl->l_type = F_UNLCK;
        return r;
    }
    if (mine.l_start + mine.l_len == FIRST_OURS)
        mine.l_len = 0;
    *fl = mine;
    return r;
}

void record_drop(struct ofd *ofd)
{
    if (__builtin_expect(keep_active, 0))
        keep_drop(ofd->state->image_dev, ofd->state->image_ino);
}
