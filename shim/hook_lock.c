/* Whole-file locks: on the image, where all that have the disk open meet. */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "hooks.h"
#include "leave.h"
#include "real.h"

int hook_flock(int fd, int operation)
{
    struct ofd *ofd = fdtable_get(fd);
    struct acow_disk *disk;
    int r;

    if (!ofd)
        return REAL(flock)(fd, operation);
    r = ofd_disk(ofd, &disk);
    if (r == 0)
        r = NATIVE(REAL(flock)(ofd->image_fd, operation));
    return LEAVE(ofd, fd, r, "flock", "%d", operation);
}

/* As libc makes it of fcntl: a record lock from the file offset on. */
int hook_lockf(int fd, int cmd, int64_t len)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_len = len };

    if (!fdtable_is_disk(fd))
        return REAL(lockf64)(fd, cmd, len);
    switch (cmd) {
    case F_TEST:
        fl.l_type = F_RDLCK;
        if (hook_fcntl(fd, F_GETLK, &fl) < 0)
            return -1;
        if (fl.l_type == F_UNLCK)
            return 0;
        errno = EACCES;
        return -1;
    case F_ULOCK:
        fl.l_type = F_UNLCK;
        return hook_fcntl(fd, F_SETLK, &fl);
    case F_LOCK:
        return hook_fcntl(fd, F_SETLKW, &fl);
    case F_TLOCK:
        return hook_fcntl(fd, F_SETLK, &fl);
    default:
        errno = EINVAL;
        return -1;
    }
}

#define HOOK_lock EXPORT
#include "alias.h"
