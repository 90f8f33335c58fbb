/* The file offset and the size. */
#include <fcntl.h>
#include <unistd.h>

#include "addcow.h"
#include "hooks.h"
#include "leave.h"
#include "path.h"
#include "process.h"
#include "real.h"

static int64_t __attribute__((noinline)) lseek_disk(int fd, int64_t off, int whence)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(lseek64)(fd, off, whence);
    return LEAVE(ofd, fd, ofd_lseek(ofd, off, whence), "lseek", "%lld, %d", (long long)off, whence);
}

int64_t hook_lseek(int fd, int64_t off, int whence)
{
    PASS(lseek64, fd, off, whence);
    return lseek_disk(fd, off, whence);
}

int hook_ftruncate(int fd, int64_t size)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(ftruncate64)(fd, size);
    return LEAVE(ofd, fd, ofd_truncate(ofd, size), "ftruncate", "%lld", (long long)size);
}

int hook_truncate(const char *path, int64_t size)
{
    char real_path[PATH_LEN];
    struct disk *disk;
    int saved = errno, end, r;

    if (!path_is_disk(AT_FDCWD, path, true, real_path))
        return REAL(truncate64)(path, size);
    process_enter();
    r = size < 0 ? -EINVAL : disks_get(real_path, true, 0, 0, &disk);
    if (r == 0) {
        r = acow_truncate(disk->engine, (uint64_t)size);
        end = disks_put(disk);
        if (r == 0)
            r = end;
    }
    process_leave();
    errno = r < 0 ? -r : saved;
    return r < 0 ? -1 : 0;
}

int hook_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(fallocate64)(fd, mode, off, len);
    return LEAVE(ofd, fd, ofd_fallocate(ofd, mode, off, len), "fallocate", "%#x, %lld, %lld", mode,
                 (long long)off, (long long)len);
}

/* Its value is the error, and errno is not used. */
int hook_posix_fallocate(int fd, int64_t off, int64_t len)
{
    struct ofd *ofd = fdtable_get(fd);
    int saved = errno, r;

    if (!ofd)
        return REAL(posix_fallocate64)(fd, off, len);
    r = LEAVE(ofd, fd, ofd_fallocate(ofd, 0, off, len), "posix_fallocate", "%lld, %lld",
              (long long)off, (long long)len);
    if (r < 0)
        r = errno;
    errno = saved;
    return r;
}

#define HOOK_size EXPORT
#include "alias.h"
