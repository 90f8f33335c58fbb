/*
 * Ownership, modes, extended attributes and the filesystem's own facts by
 * descriptor: they are the metadata file's, as they are by path. Times are set on the
 * image too, since the later of both is shown.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#include "addcow.h"
#include "hooks.h"
#include "leave.h"
#include "memory.h"
#include "path.h"
#include "real.h"
#include "sys_real.h"

static int meta_of(struct ofd *ofd)
{
    struct acow_facts facts;
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    acow_facts(disk, &facts);
    return facts.meta_fd;
}

/* The body of a hook that makes `call` on `meta`, the metadata file's descriptor. */
#define ON_META(fd, name, type, real_call, meta_call) \
    struct ofd *ofd = fdtable_get(fd); \
    type result; \
    int meta; \
    if (!ofd) \
        return real_call; \
    meta = meta_of(ofd); \
    result = meta < 0 ? meta : NATIVE(meta_call); \
    return LEAVE(ofd, fd, result, name, "%s", "")

int hook_fstatfs(int fd, struct statfs *st)
{
    ON_META(fd, "fstatfs", int, REAL(fstatfs64)(fd, st), REAL(fstatfs64)(ofd->image_fd, st));
}

int hook_fstatvfs(int fd, struct statvfs *st)
{
    ON_META(fd, "fstatvfs", int, REAL(fstatvfs64)(fd, st), REAL(fstatvfs64)(ofd->image_fd, st));
}

int hook_fchmod(int fd, mode_t mode)
{
    ON_META(fd, "fchmod", int, REAL(fchmod)(fd, mode), REAL(fchmod)(meta, mode));
}

int hook_fchown(int fd, uid_t uid, gid_t gid)
{
    ON_META(fd, "fchown", int, REAL(fchown)(fd, uid, gid), REAL(fchown)(meta, uid, gid));
}

int hook_futimens(int fd, const struct timespec times[2])
{
    ON_META(fd, "futimens", int, REAL(futimens)(fd, times),
            REAL(futimens)(ofd->image_fd, times) < 0 ? -1 : REAL(futimens)(meta, times));
}

int hook_futimes(int fd, const struct timeval times[2])
{
    ON_META(fd, "futimes", int, REAL(futimes)(fd, times),
            REAL(futimes)(ofd->image_fd, times) < 0 ? -1 : REAL(futimes)(meta, times));
}

/* The descriptor itself, by an empty path. */
static bool is_itself(int dir, const char *path, int flags)
{
    return !memory_is_bad(path) && path[0] == '\0' && flags & AT_EMPTY_PATH && fdtable_is_disk(dir);
}

/* By path, after the metadata file's own were set: the image's. */
static int times_of_image(int result, int dir, const char *path, const struct timespec times[2],
                          int flags)
{
    char real_path[PATH_LEN], *image;
    int saved = errno;

    if (result < 0 || !path_is_disk(dir, path, !(flags & AT_SYMLINK_NOFOLLOW), real_path)
        || acow_image_path(&sys_real, real_path, &image) < 0)
        return result;
    result = REAL(utimensat)(AT_FDCWD, image, times, 0);
    free(image);
    if (result == 0)
        errno = saved;
    return result;
}

int hook_utimensat(int dir, const char *path, const struct timespec times[2], int flags)
{
    if (is_itself(dir, path, flags) || (!path && fdtable_is_disk(dir)))
        return hook_futimens(dir, times);
    if (!path)
        return REAL(utimensat)(dir, path, times, flags);
    return times_of_image(REAL(utimensat)(dir, path, times, flags), dir, path, times, flags);
}

/* NULL, for now, stays NULL. */
static const struct timespec *finer(const struct timeval times[2], struct timespec fine[2])
{
    for (int i = 0; times && i < 2; i++)
        fine[i] = (struct timespec){ times[i].tv_sec, times[i].tv_usec * 1000 };
    return times ? fine : NULL;
}

int hook_utimes(const char *path, const struct timeval times[2])
{
    struct timespec fine[2];

    return times_of_image(REAL(utimes)(path, times), AT_FDCWD, path, finer(times, fine), 0);
}

int hook_lutimes(const char *path, const struct timeval times[2])
{
    struct timespec fine[2];

    return times_of_image(REAL(lutimes)(path, times), AT_FDCWD, path, finer(times, fine),
                          AT_SYMLINK_NOFOLLOW);
}

int hook_futimesat(int dir, const char *path, const struct timeval times[2])
{
    struct timespec fine[2];

    if (!path)
        return fdtable_is_disk(dir) ? hook_futimes(dir, times) : REAL(futimesat)(dir, path, times);
    return times_of_image(REAL(futimesat)(dir, path, times), dir, path, finer(times, fine), 0);
}

int hook_utime(const char *path, const struct utimbuf *times)
{
    struct timespec fine[2];

    if (times) {
        fine[0] = (struct timespec){ times->actime, 0 };
        fine[1] = (struct timespec){ times->modtime, 0 };
    }
    return times_of_image(REAL(utime)(path, times), AT_FDCWD, path, times ? fine : NULL, 0);
}

int hook_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags)
{
    if (is_itself(dir, path, flags))
        return hook_fchown(dir, uid, gid);
    return REAL(fchownat)(dir, path, uid, gid, flags);
}

static int access_disk(int fd, int mode, int flags)
{
    ON_META(fd, "faccessat", int, REAL(faccessat)(fd, "", mode, flags),
            REAL(faccessat)(meta, "", mode, flags));
}

int hook_faccessat(int dir, const char *path, int mode, int flags)
{
    if (is_itself(dir, path, flags))
        return access_disk(dir, mode, flags);
    return REAL(faccessat)(dir, path, mode, flags);
}

long hook_fpathconf(int fd, int name)
{
    struct ofd *ofd = fdtable_get(fd);
    struct acow_disk *disk;
    long value = -1;
    int r;

    if (!ofd)
        return REAL(fpathconf)(fd, name);
    /* -1 is an answer too, without an error. */
    r = ofd_disk(ofd, &disk);
    if (r == 0)
        value = REAL(fpathconf)(ofd->image_fd, name);
    else
        errno = -r;
    fdtable_put(ofd);
    return value;
}

ssize_t hook_fgetxattr(int fd, const char *name, void *value, size_t size)
{
    ON_META(fd, "fgetxattr", ssize_t, REAL(fgetxattr)(fd, name, value, size),
            REAL(fgetxattr)(meta, name, value, size));
}

ssize_t hook_flistxattr(int fd, char *list, size_t size)
{
    ON_META(fd, "flistxattr", ssize_t, REAL(flistxattr)(fd, list, size),
            REAL(flistxattr)(meta, list, size));
}

int hook_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    ON_META(fd, "fsetxattr", int, REAL(fsetxattr)(fd, name, value, size, flags),
            REAL(fsetxattr)(meta, name, value, size, flags));
}

int hook_fremovexattr(int fd, const char *name)
{
    ON_META(fd, "fremovexattr", int, REAL(fremovexattr)(fd, name), REAL(fremovexattr)(meta, name));
}

#define HOOK_attr EXPORT
#include "alias.h"
