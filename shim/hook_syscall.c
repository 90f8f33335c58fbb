/*
 * System calls by number, through libc's syscall(): node and libaio reach files so.
 * A call that has a hook under its name goes there; the others go on as they
 * are, and find a placeholder good for nothing if they are about a disk.
 */
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hooks.h"
#include "path.h"
#include "real.h"
#include "report.h"

/* The value of a function that returns its error, or minus what it has done. */
static long by_value(int err)
{
    if (err <= 0)
        return -err;
    errno = err;
    return -1;
}

/* Without restrictions on how the path is resolved it is an openat; with them, not served. */
static long open_how(long number, const long a[6])
{
    const struct open_how *how = (const struct open_how *)a[2];
    char real_path[PATH_LEN];

    if (how && (size_t)a[3] >= sizeof(*how)
        && path_is_disk((int)a[0], (const char *)a[1], true, real_path)) {
        if (how->resolve == 0)
            return hook_openat((int)a[0], (const char *)a[1], (int)how->flags, (mode_t)how->mode);
        return by_value(-report_unserved("openat2 with a restricted path", real_path));
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define FD ((int)a[0])
#define PATH ((const char *)a[0])
#define AT_PATH ((const char *)a[1])
#define BUF ((void *)a[1])
#define IOV ((const struct iovec *)a[1]), (int)a[2]

long hook_syscall(long number, ...)
{
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    switch (number) {
#include "syscall_rows.h"
    case SYS_open: return hook_open(PATH, (int)a[1], (mode_t)a[2]);
    case SYS_openat: return hook_openat(FD, AT_PATH, (int)a[2], (mode_t)a[3]);
    case SYS_openat2: return open_how(number, a);
    case SYS_creat: return hook_creat(PATH, (mode_t)a[1]);
    case SYS_fcntl: return hook_fcntl(FD, (int)a[1], a[2]);
    case SYS_pread64: return hook_pread(FD, BUF, (size_t)a[2], a[3]);
    case SYS_pwrite64: return hook_pwrite(FD, BUF, (size_t)a[2], a[3]);
    case SYS_preadv: return hook_preadv(FD, IOV, a[3]);
    case SYS_pwritev: return hook_pwritev(FD, IOV, a[3]);
    case SYS_preadv2: return hook_preadv2(FD, IOV, a[3], (int)a[5]);
    case SYS_pwritev2: return hook_pwritev2(FD, IOV, a[3], (int)a[5]);
    case SYS_lseek: return hook_lseek(FD, a[1], (int)a[2]);
    case SYS_fallocate: return hook_fallocate(FD, (int)a[1], a[2], a[3]);
    case SYS_sync_file_range: return hook_sync_file_range(FD, a[1], a[2], (unsigned)a[3]);
    case SYS_fadvise64: return by_value(hook_posix_fadvise(FD, a[1], a[2], (int)a[3]));
    case SYS_readahead: return hook_readahead(FD, a[1], (size_t)a[2]);
    case SYS_stat: return hook_stat(PATH, (struct stat *)a[1]);
    case SYS_lstat: return hook_lstat(PATH, (struct stat *)a[1]);
    case SYS_fstat: return hook_fstat(FD, (struct stat *)a[1]);
    case SYS_newfstatat: return hook_fstatat(FD, AT_PATH, (struct stat *)a[2], (int)a[3]);
    case SYS_fstatfs: return hook_fstatfs(FD, (struct statfs *)a[1]);
    case SYS_fchown: return hook_fchown(FD, (uid_t)a[1], (gid_t)a[2]);
    case SYS_copy_file_range:
        return hook_copy_file_range(FD, (int64_t *)a[1], (int)a[2], (int64_t *)a[3], (size_t)a[4],
                                    (unsigned)a[5]);
    case SYS_sendfile: return hook_sendfile(FD, (int)a[1], (int64_t *)a[2], (size_t)a[3]);
    case SYS_splice:
        return hook_splice(FD, (int64_t *)a[1], (int)a[2], (int64_t *)a[3], (size_t)a[4],
                           (unsigned)a[5]);
    case SYS_mmap:
        return (long)hook_mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
    default: return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

#define HOOK_syscall EXPORT
#include "alias.h"
