/* Lock bytes; see lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define LOCK_BASE (1ll << 61)

static int lock_call(const struct acow_sys *sys, int fd, int cmd, struct flock *fl, int type,
                     enum lock_byte byte)
{
    int r;

    *fl = (struct flock){
        .l_type = (short)type, .l_whence = SEEK_SET, .l_start = LOCK_BASE + byte, .l_len = 1,
    };
    do
        r = sys->lock(fd, cmd, fl);
    while (r == -EINTR);
    return r == -EACCES ? -EAGAIN : r;
}

int lock_set(const struct acow_sys *sys, int fd, int cmd, int type, enum lock_byte byte)
{
    struct flock fl;

    return lock_call(sys, fd, cmd, &fl, type, byte);
}

int lock_held(const struct acow_sys *sys, int fd, int type, enum lock_byte byte)
{
    struct flock fl;
    int r = lock_call(sys, fd, F_OFD_GETLK, &fl, type, byte);

    return r < 0 ? r : fl.l_type != F_UNLCK;
}

const char *lock_who(const struct acow_sys *sys, int fd, enum lock_byte byte,
                     char text[HOLDER_TEXT])
{
    struct holder holders[16];
    int count = holder_find(sys, fd, LOCK_BASE + byte, 1, holders, 16);

    return holder_text(holders, count, text);
}
