/*
 * System calls by number in 32-bit programs, in the place of ../hook_syscall.c: they have other
 * numbers, and a 64-bit offset is two arguments. Calls with a struct stat that libc has no more
 * (stat, lstat and fstat, without 64) are not served on a descriptor of a disk.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../fdtable.h"
#include "../memory.h"
#include "../path.h"
#include "../real.h"
#include "../report.h"

/* The value of a function that returns its error, or minus what it has done. */
static long by_value(int err)
{
    if (err <= 0)
        return -err;
    errno = err;
    return -1;
}

/* The kernel adds no O_LARGEFILE to a 32-bit program's flags. */
static long open_file(int dir, const char *path, int flags, mode_t mode)
{
    return flags & O_LARGEFILE ? hook_openat(dir, path, flags, mode)
                               : hook_narrow_openat(dir, path, flags, mode);
}

static long open_how(const long a[6])
{
    const struct open_how *how = (const struct open_how *)a[2];
    char real_path[PATH_LEN];

    if (how && (size_t)a[3] >= sizeof(*how)
        && path_is_disk((int)a[0], (const char *)a[1], true, real_path)) {
        if (how->resolve == 0)
            return open_file((int)a[0], (const char *)a[1], (int)how->flags, (mode_t)how->mode);
        return by_value(-report_unserved("openat2 with a restricted path", real_path));
    }
    return REAL(syscall)(SYS_openat2, a[0], a[1], a[2], a[3]);
}

static int64_t whole(long low, long high)
{
    return (int64_t)((uint64_t)(unsigned long)high << 32 | (unsigned long)low);
}

static long seek(const long a[6])
{
    int64_t at = hook_lseek((int)a[0], whole(a[2], a[1]), (int)a[4]);

    if (at < 0)
        return -1;
    if (memory_check((void *)a[3], sizeof(at), true) < 0)
        return by_value(EFAULT);
    *(int64_t *)a[3] = at;
    return 0;
}

static long old_stat(long number, int fd, long st)
{
    struct ofd *ofd = fdtable_get(fd);
    int r;

    if (!ofd)
        return REAL(syscall)(number, (long)fd, st);
    r = report_unserved("fstat by its old number", ofd->state->path);
    fdtable_put(ofd);
    return by_value(-r);
}

#define FD ((int)a[0])
#define PATH ((const char *)a[0])
#define AT_PATH ((const char *)a[1])
#define BUF ((void *)a[1])
#define IOV ((const struct iovec *)a[1]), (int)a[2]
#define OFF(n) whole(a[n], a[(n) + 1])
#define LOFF(n) ((int64_t *)a[n])

long hook_syscall(long number, ...)
{
    va_list args;
    long a[6];

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    switch (number) {
#include "../syscall_rows.h"
    case SYS_open: return open_file(AT_FDCWD, PATH, (int)a[1], (mode_t)a[2]);
    case SYS_openat: return open_file(FD, AT_PATH, (int)a[2], (mode_t)a[3]);
    case SYS_openat2: return open_how(a);
    case SYS_creat: return hook_narrow_creat(PATH, (mode_t)a[1]);
    case SYS_fcntl: return hook_narrow_fcntl(FD, (int)a[1], a[2]);
    case SYS_fcntl64: return hook_fcntl(FD, (int)a[1], a[2]);
    case SYS_pread64: return hook_pread(FD, BUF, (size_t)a[2], OFF(3));
    case SYS_pwrite64: return hook_pwrite(FD, BUF, (size_t)a[2], OFF(3));
    case SYS_preadv: return hook_preadv(FD, IOV, OFF(3));
    case SYS_pwritev: return hook_pwritev(FD, IOV, OFF(3));
    case SYS_preadv2: return hook_preadv2(FD, IOV, OFF(3), (int)a[5]);
    case SYS_pwritev2: return hook_pwritev2(FD, IOV, OFF(3), (int)a[5]);
    case SYS_lseek: return hook_narrow_lseek(FD, a[1], (int)a[2]);
    case SYS__llseek: return seek(a);
    case SYS_ftruncate64: return hook_ftruncate(FD, OFF(1));
    case SYS_truncate64: return hook_truncate(PATH, OFF(1));
    case SYS_fallocate: return hook_fallocate(FD, (int)a[1], OFF(2), OFF(4));
    case SYS_sync_file_range: return hook_sync_file_range(FD, OFF(1), OFF(3), (unsigned)a[5]);
    case SYS_fadvise64: return by_value(hook_posix_fadvise(FD, OFF(1), (uint32_t)a[3], (int)a[4]));
    case SYS_fadvise64_64: return by_value(hook_posix_fadvise(FD, OFF(1), OFF(3), (int)a[5]));
    case SYS_readahead: return hook_readahead(FD, OFF(1), (size_t)a[3]);
    case SYS_fstat: return old_stat(number, FD, a[1]);
    case SYS_stat64: return hook_stat(PATH, (struct stat *)a[1]);
    case SYS_lstat64: return hook_lstat(PATH, (struct stat *)a[1]);
    case SYS_fstat64: return hook_fstat(FD, (struct stat *)a[1]);
    case SYS_fstatat64: return hook_fstatat(FD, AT_PATH, (struct stat *)a[2], (int)a[3]);
    case SYS_fchown32: return hook_fchown(FD, (uid_t)a[1], (gid_t)a[2]);
    case SYS_fstatfs: return hook_narrow_fstatfs(FD, (struct statfs *)a[1]);
    case SYS_fstatfs64:
        return (size_t)a[1] == sizeof(struct statfs64) ? hook_fstatfs(FD, (struct statfs *)a[2])
                                                       : by_value(EINVAL);
    case SYS_utimensat_time64:
        return hook_time64_utimensat(FD, AT_PATH, (const struct time64 *)a[2], (int)a[3]);
    case SYS_copy_file_range:
        return hook_copy_file_range(FD, LOFF(1), (int)a[2], LOFF(3), (size_t)a[4], (unsigned)a[5]);
    case SYS_sendfile: return hook_narrow_sendfile(FD, (int)a[1], (int32_t *)a[2], (size_t)a[3]);
    case SYS_sendfile64: return hook_sendfile(FD, (int)a[1], LOFF(2), (size_t)a[3]);
    case SYS_splice:
        return hook_splice(FD, LOFF(1), (int)a[2], LOFF(3), (size_t)a[4], (unsigned)a[5]);
    case SYS_mmap2:
        return (long)hook_mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4],
                               (int64_t)(unsigned long)a[5] * 4096);
    case SYS_recvmmsg_time64:
        return hook_time64_recvmmsg(FD, (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3],
                                    (struct time64 *)a[4]);
    default: return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

#define HOOK_syscall EXPORT
#include "../alias.h"
