/* Lock bytes; see lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int lock_call(const struct acow_sys *sys, int fd, int cmd, struct flock *fl, int type,
                     struct lock_range range)
{
    int r;

    *fl = (struct flock){
        .l_type = (short)type, .l_whence = SEEK_SET, .l_start = (int64_t)range.off,
        .l_len = (int64_t)range.len,
    };
    do
        r = sys->lock(fd, cmd, fl);
    while (r == -EINTR);
    return r == -EACCES ? -EAGAIN : r;
}

static struct lock_range range_of(enum lock_byte byte)
{
    return (struct lock_range){ LOCK_BASE + byte, 1 };
}

int lock_set_range(const struct acow_sys *sys, int fd, int type, struct lock_range range)
{
    struct flock fl;

    return lock_call(sys, fd, F_OFD_SETLK, &fl, type, range);
}

int lock_set(const struct acow_sys *sys, int fd, int type, enum lock_byte byte)
{
    return lock_set_range(sys, fd, type, range_of(byte));
}

int lock_held_range(const struct acow_sys *sys, int fd, int type, struct lock_range range)
{
    struct flock fl;
    int r = lock_call(sys, fd, F_OFD_GETLK, &fl, type, range);

    return r < 0 ? r : fl.l_type != F_UNLCK;
}

int lock_held(const struct acow_sys *sys, int fd, int type, enum lock_byte byte)
{
    return lock_held_range(sys, fd, type, range_of(byte));
}

int lock_holders(const struct acow_sys *sys, int fd, enum lock_byte byte, struct holder *out,
                 int max)
{
    return holder_find(sys, fd, LOCK_BASE + byte, 1, out, max);
}

/* This process asks because another is in its way: it is named only if there is no other. */
static int leave_out_self(struct holder *holders, int count)
{
    for (int i = 0; i < count && count > 1; i++)
        if (holders[i].pid == getpid())
            holders[i] = holders[--count];
    return count;
}

const char *lock_who(const struct acow_sys *sys, int fd, enum lock_byte byte,
                     char text[HOLDER_TEXT])
{
    struct holder holders[16];
    int count = lock_holders(sys, fd, byte, holders, 16);

    return holder_text(holders, leave_out_self(holders, count), text);
}
