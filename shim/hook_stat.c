/*
 * stat and its forms. A disk's stat(path) and fstat(fd) agree on device, inode and
 * size: both are the metadata file's identity with the image's size.
 *
 * The real call comes first in every form by path, so that its errors are the
 * kernel's; only a regular file of a disk's name is looked into.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "addcow.h"
#include "hooks.h"
#include "leave.h"
#include "memory.h"
#include "path.h"
#include "real.h"
#include "sys_real.h"

static int stat_ofd(struct ofd *ofd, struct stat *st)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    return r < 0 ? r : acow_fstat(disk, st);
}

/* After the real call said `result` of `path`: the disk's values, if it is a sound one. */
static int stat_path(int result, int dir, const char *path, bool follow, struct stat *st)
{
    char real_path[PATH_LEN];
    struct stat disk;

    if (result == 0 && S_ISREG(st->st_mode) && path_is_disk(dir, path, follow, real_path)
        && acow_stat(&sys_real, real_path, &disk) == 0) {
        /* Somebody behind us may have a say in whose it is. */
        disk.st_mode = st->st_mode;
        disk.st_uid = st->st_uid;
        disk.st_gid = st->st_gid;
        *st = disk;
    }
    return result;
}

int hook_stat(const char *path, struct stat *st)
{
    return stat_path(REAL(stat64)(path, st), AT_FDCWD, path, true, st);
}

int hook_lstat(const char *path, struct stat *st)
{
    return stat_path(REAL(lstat64)(path, st), AT_FDCWD, path, false, st);
}

int hook_fstat(int fd, struct stat *st)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(fstat64)(fd, st);
    return LEAVE(ofd, fd, stat_ofd(ofd, st), "fstat", "%s", "");
}

static bool is_empty(const char *path)
{
    return !memory_is_bad(path) && path[0] == '\0';
}

int hook_fstatat(int dir, const char *path, struct stat *st, int flags)
{
    if (is_empty(path) && flags & AT_EMPTY_PATH && fdtable_is_disk(dir))
        return hook_fstat(dir, st);
    return stat_path(REAL(fstatat64)(dir, path, st, flags), dir, path,
                     !(flags & AT_SYMLINK_NOFOLLOW), st);
}

int hook_xstat(int version, const char *path, struct stat *st)
{
    return stat_path(REAL(__xstat64)(version, path, st), AT_FDCWD, path, true, st);
}

int hook_lxstat(int version, const char *path, struct stat *st)
{
    return stat_path(REAL(__lxstat64)(version, path, st), AT_FDCWD, path, false, st);
}

int hook_fxstat(int version, int fd, struct stat *st)
{
    return fdtable_is_disk(fd) ? hook_fstat(fd, st) : REAL(__fxstat64)(version, fd, st);
}

int hook_fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
    if (is_empty(path) && flags & AT_EMPTY_PATH && fdtable_is_disk(dir))
        return hook_fstat(dir, st);
    return stat_path(REAL(__fxstatat64)(version, dir, path, st, flags), dir, path,
                     !(flags & AT_SYMLINK_NOFOLLOW), st);
}

static struct statx_timestamp timestamp(const struct timespec *time)
{
    return (struct statx_timestamp){ .tv_sec = time->tv_sec, .tv_nsec = (uint32_t)time->tv_nsec };
}

/* What a disk changes in a statx of its metadata file. */
static void put_statx(struct statx *stx, const struct stat *st)
{
    stx->stx_size = (uint64_t)st->st_size;
    stx->stx_blocks = (uint64_t)st->st_blocks;
    stx->stx_blksize = (uint32_t)st->st_blksize;
    stx->stx_atime = timestamp(&st->st_atim);
    stx->stx_mtime = timestamp(&st->st_mtim);
    stx->stx_ctime = timestamp(&st->st_ctim);
}

static int statx_ofd(struct ofd *ofd, int flags, unsigned mask, struct statx *stx)
{
    struct acow_disk *disk;
    struct acow_facts facts;
    struct stat st;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    acow_facts(disk, &facts);
    r = acow_fstat(disk, &st);
    if (r == 0)
        r = NATIVE(REAL(statx)(facts.meta_fd, "", flags | AT_EMPTY_PATH, mask, stx));
    if (r == 0)
        put_statx(stx, &st);
    return r;
}

int hook_statx(int dir, const char *path, int flags, unsigned mask, struct statx *stx)
{
    char real_path[PATH_LEN];
    struct ofd *ofd;
    struct stat st;
    int r;

    if (is_empty(path) && flags & AT_EMPTY_PATH && (ofd = fdtable_get(dir)) != NULL)
        return LEAVE(ofd, dir, statx_ofd(ofd, flags, mask, stx), "statx", "%#x", mask);
    r = REAL(statx)(dir, path, flags, mask, stx);
    if (r == 0 && S_ISREG(stx->stx_mode)
        && path_is_disk(dir, path, !(flags & AT_SYMLINK_NOFOLLOW), real_path)
        && acow_stat(&sys_real, real_path, &st) == 0)
        put_statx(stx, &st);
    return r;
}

#define HOOK_stat EXPORT
#include "alias.h"
