/* stat's forms with a narrow struct stat, and the filesystem's numbers: see narrow.h. */
#include <unistd.h>

#define STAT_BODY(name) hook_narrow_##name
#define STAT_REAL(name) REAL(narrow_##name)
#include "stat_body.h"

#include <sys/statfs.h>
#include <sys/statvfs.h>

_Static_assert(sizeof(off_t) == 4, "to be compiled without _FILE_OFFSET_BITS");

#define VERSION 3       /* of struct stat, in the forms of old programs; 1 is the kernel's */

static int failed(int err)
{
    errno = err;
    return -1;
}

int hook_narrow_xstat(int version, const char *path, struct stat *st)
{
    int r = REAL(narrow___xstat)(version, path, st);

    return version == VERSION ? by_path(r, AT_FDCWD, path, 0, st) : r;
}

int hook_narrow_lxstat(int version, const char *path, struct stat *st)
{
    int r = REAL(narrow___lxstat)(version, path, st);

    return version == VERSION ? by_path(r, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, st) : r;
}

int hook_narrow_fxstat(int version, int fd, struct stat *st)
{
    if (!fdtable_is_disk(fd))
        return REAL(narrow___fxstat)(version, fd, st);
    return version == VERSION ? hook_narrow_fstat(fd, st) : failed(EINVAL);
}

int hook_narrow_fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
    int r;

    if (is_itself(dir, path, flags))
        return version == VERSION ? hook_narrow_fstat(dir, st) : failed(EINVAL);
    r = REAL(narrow___fxstatat)(version, dir, path, st, flags);
    return version == VERSION ? by_path(r, dir, path, flags, st) : r;
}

static bool fits(uint64_t number)
{
    return number <= UINT32_MAX || number == UINT64_MAX;
}

int hook_narrow_fstatfs(int fd, struct statfs *st)
{
    struct statfs64 wide;

    if (!fdtable_is_disk(fd))
        return REAL(narrow_fstatfs)(fd, st);
    if (hook_fstatfs(fd, (struct statfs *)(void *)&wide) < 0)
        return -1;
    if (!fits(wide.f_blocks) || !fits(wide.f_bfree) || !fits(wide.f_bavail) || !fits(wide.f_files)
        || !fits(wide.f_ffree))
        return failed(EOVERFLOW);
    if (memory_check(st, sizeof(*st), true) < 0)
        return failed(EFAULT);
    *st = (struct statfs){ .f_type = wide.f_type, .f_bsize = wide.f_bsize, .f_blocks = wide.f_blocks,
                           .f_bfree = wide.f_bfree, .f_bavail = wide.f_bavail, .f_files = wide.f_files,
                           .f_ffree = wide.f_ffree, .f_fsid = wide.f_fsid,
                           .f_namelen = wide.f_namelen, .f_frsize = wide.f_frsize,
                           .f_flags = wide.f_flags };
    return 0;
}

int hook_narrow_fstatvfs(int fd, struct statvfs *st)
{
    struct statvfs64 wide;

    if (!fdtable_is_disk(fd))
        return REAL(narrow_fstatvfs)(fd, st);
    if (hook_fstatvfs(fd, (struct statvfs *)(void *)&wide) < 0)
        return -1;
    if (!fits(wide.f_blocks) || !fits(wide.f_bfree) || !fits(wide.f_bavail) || !fits(wide.f_files)
        || !fits(wide.f_ffree) || !fits(wide.f_favail))
        return failed(EOVERFLOW);
    *st = (struct statvfs){ .f_bsize = wide.f_bsize, .f_frsize = wide.f_frsize,
                            .f_blocks = wide.f_blocks, .f_bfree = wide.f_bfree,
                            .f_bavail = wide.f_bavail, .f_files = wide.f_files,
                            .f_ffree = wide.f_ffree, .f_favail = wide.f_favail,
                            .f_fsid = wide.f_fsid, .f_flag = wide.f_flag,
                            .f_namemax = wide.f_namemax };
    return 0;
}

#define HOOK_narrow_stat EXPORT
#define HOOK_narrow_attr EXPORT
#define HOOK_narrow_walk EXPORT
#include "../alias.h"
