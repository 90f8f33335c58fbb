/* Durability, and advice about caching, which goes to the image. */
#include <fcntl.h>
#include <unistd.h>

#include "hooks.h"
#include "leave.h"
#include "process.h"
#include "real.h"

int hook_fsync(int fd)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(fsync)(fd);
    return LEAVE(ofd, fd, ofd_flush(ofd), "fsync", "%s", "");
}

int hook_fdatasync(int fd)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(fdatasync)(fd);
    return LEAVE(ofd, fd, ofd_flush(ofd), "fdatasync", "%s", "");
}

/* libc's sync has no result to tell of a failure, but what can be made durable is. */
void hook_sync(void)
{
    process_enter();
    disks_flush();
    process_leave();
    REAL(sync)();
}

/* The filesystem that is synced is the image's; the disk's bits must be in it first. */
static int syncfs_disk(struct ofd *ofd)
{
    int r = ofd_flush(ofd);

    return r < 0 ? r : NATIVE(REAL(syncfs)(ofd->image_fd));
}

int hook_syncfs(int fd)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(syncfs)(fd);
    return LEAVE(ofd, fd, syncfs_disk(ofd), "syncfs", "%s", "");
}

/* Starts or awaits the writing of pages, and promises no durability: the image's pages. */
int hook_sync_file_range(int fd, int64_t off, int64_t len, unsigned flags)
{
    struct ofd *ofd = fdtable_get(fd);
    struct acow_disk *disk;
    int r;

    if (!ofd)
        return REAL(sync_file_range)(fd, off, len, flags);
    r = ofd_disk(ofd, &disk);
    if (r == 0)
        r = NATIVE(REAL(sync_file_range)(ofd->image_fd, off, len, flags));
    return LEAVE(ofd, fd, r, "sync_file_range", "%lld, %lld, %#x", (long long)off, (long long)len,
                 flags);
}

int hook_posix_fadvise(int fd, int64_t off, int64_t len, int advice)
{
    struct ofd *ofd = fdtable_get(fd);
    struct acow_disk *disk;
    int saved = errno, r;

    if (!ofd)
        return REAL(posix_fadvise64)(fd, off, len, advice);
    r = ofd_disk(ofd, &disk);
    if (r == 0)
        r = -REAL(posix_fadvise64)(ofd->image_fd, off, len, advice);
    r = LEAVE(ofd, fd, r, "posix_fadvise", "%lld, %lld, %d", (long long)off, (long long)len, advice);
    if (r < 0)
        r = errno;
    errno = saved;
    return r;
}

ssize_t hook_readahead(int fd, int64_t off, size_t len)
{
    struct ofd *ofd = fdtable_get(fd);
    struct acow_disk *disk;
    ssize_t r;

    if (!ofd)
        return REAL(readahead)(fd, off, len);
    r = ofd_readable(ofd) ? ofd_disk(ofd, &disk) : -EBADF;
    if (r == 0)
        r = NATIVE(REAL(readahead)(ofd->image_fd, off, len));
    return LEAVE(ofd, fd, r, "readahead", "%lld, %zu", (long long)off, len);
}

#define HOOK_sync EXPORT
#include "alias.h"
