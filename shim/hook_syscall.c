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
    case SYS_open: return hook_open(PATH, (int)a[1], (mode_t)a[2]);
    case SYS_openat: return hook_openat(FD, AT_PATH, (int)a[2], (mode_t)a[3]);
    case SYS_openat2: return open_how(number, a);
    case SYS_open_by_handle_at:
        return hook_open_by_handle_at(FD, (struct file_handle *)a[1], (int)a[2]);
    case SYS_creat: return hook_creat(PATH, (mode_t)a[1]);
    case SYS_close: return hook_close(FD);
    case SYS_close_range: return hook_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
    case SYS_dup: return hook_dup(FD);
    case SYS_dup2: return hook_dup2(FD, (int)a[1]);
    case SYS_dup3: return hook_dup3(FD, (int)a[1], (int)a[2]);
    case SYS_fcntl: return hook_fcntl(FD, (int)a[1], a[2]);
    case SYS_ioctl: return hook_ioctl(FD, (unsigned long)a[1], a[2]);
    case SYS_flock: return hook_flock(FD, (int)a[1]);
    case SYS_read: return hook_read(FD, BUF, (size_t)a[2]);
    case SYS_write: return hook_write(FD, BUF, (size_t)a[2]);
    case SYS_pread64: return hook_pread(FD, BUF, (size_t)a[2], a[3]);
    case SYS_pwrite64: return hook_pwrite(FD, BUF, (size_t)a[2], a[3]);
    case SYS_readv: return hook_readv(FD, IOV);
    case SYS_writev: return hook_writev(FD, IOV);
    case SYS_preadv: return hook_preadv(FD, IOV, a[3]);
    case SYS_pwritev: return hook_pwritev(FD, IOV, a[3]);
    case SYS_preadv2: return hook_preadv2(FD, IOV, a[3], (int)a[5]);
    case SYS_pwritev2: return hook_pwritev2(FD, IOV, a[3], (int)a[5]);
    case SYS_lseek: return hook_lseek(FD, a[1], (int)a[2]);
    case SYS_ftruncate: return hook_ftruncate(FD, a[1]);
    case SYS_truncate: return hook_truncate(PATH, a[1]);
    case SYS_fallocate: return hook_fallocate(FD, (int)a[1], a[2], a[3]);
    case SYS_fsync: return hook_fsync(FD);
    case SYS_fdatasync: return hook_fdatasync(FD);
    case SYS_syncfs: return hook_syncfs(FD);
    case SYS_sync_file_range: return hook_sync_file_range(FD, a[1], a[2], (unsigned)a[3]);
    case SYS_fadvise64: return by_value(hook_posix_fadvise(FD, a[1], a[2], (int)a[3]));
    case SYS_readahead: return hook_readahead(FD, a[1], (size_t)a[2]);
    case SYS_stat: return hook_stat(PATH, (struct stat *)a[1]);
    case SYS_lstat: return hook_lstat(PATH, (struct stat *)a[1]);
    case SYS_fstat: return hook_fstat(FD, (struct stat *)a[1]);
    case SYS_newfstatat: return hook_fstatat(FD, AT_PATH, (struct stat *)a[2], (int)a[3]);
    case SYS_statx:
        return hook_statx(FD, AT_PATH, (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
    case SYS_fstatfs: return hook_fstatfs(FD, (struct statfs *)a[1]);
    case SYS_fchmod: return hook_fchmod(FD, (mode_t)a[1]);
    case SYS_fchown: return hook_fchown(FD, (uid_t)a[1], (gid_t)a[2]);
    case SYS_utimensat:
        return hook_utimensat(FD, AT_PATH, (const struct timespec *)a[2], (int)a[3]);
    case SYS_fgetxattr: return hook_fgetxattr(FD, AT_PATH, (void *)a[2], (size_t)a[3]);
    case SYS_flistxattr: return hook_flistxattr(FD, BUF, (size_t)a[2]);
    case SYS_fsetxattr:
        return hook_fsetxattr(FD, AT_PATH, (const void *)a[2], (size_t)a[3], (int)a[4]);
    case SYS_fremovexattr: return hook_fremovexattr(FD, AT_PATH);
    case SYS_copy_file_range:
        return hook_copy_file_range(FD, (int64_t *)a[1], (int)a[2], (int64_t *)a[3], (size_t)a[4],
                                    (unsigned)a[5]);
    case SYS_sendfile: return hook_sendfile(FD, (int)a[1], (int64_t *)a[2], (size_t)a[3]);
    case SYS_splice:
        return hook_splice(FD, (int64_t *)a[1], (int)a[2], (int64_t *)a[3], (size_t)a[4],
                           (unsigned)a[5]);
    case SYS_tee: return hook_tee(FD, (int)a[1], (size_t)a[2], (unsigned)a[3]);
    case SYS_mmap:
        return (long)hook_mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]);
    case SYS_munmap: return hook_munmap((void *)a[0], (size_t)a[1]);
    case SYS_mremap:
        return (long)hook_mremap((void *)a[0], (size_t)a[1], (size_t)a[2], (int)a[3], (void *)a[4]);
    case SYS_msync: return hook_msync((void *)a[0], (size_t)a[1], (int)a[2]);
    case SYS_execve: return hook_execve(PATH, (char *const *)a[1], (char *const *)a[2]);
    case SYS_execveat:
        return hook_execveat(FD, AT_PATH, (char *const *)a[2], (char *const *)a[3], (int)a[4]);
    case SYS_io_submit: return by_value(-hook_io_submit((void *)a[0], a[1], (struct iocb **)a[2]));
    case SYS_io_uring_setup:
        return by_value(-hook_ring_setup((unsigned)a[0], (struct io_uring_params *)a[1]));
    case SYS_io_uring_enter:
        return by_value(-hook_ring_enter2((unsigned)a[0], (unsigned)a[1], (unsigned)a[2],
                                          (unsigned)a[3], (void *)a[4], (size_t)a[5]));
    case SYS_io_uring_register:
        return by_value(-hook_ring_register((unsigned)a[0], (unsigned)a[1], (const void *)a[2],
                                            (unsigned)a[3]));
    case SYS_sendmsg: return hook_sendmsg(FD, (const struct msghdr *)a[1], (int)a[2]);
    case SYS_recvmsg: return hook_recvmsg(FD, (struct msghdr *)a[1], (int)a[2]);
    case SYS_sendmmsg:
        return hook_sendmmsg(FD, (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3]);
    case SYS_recvmmsg:
        return hook_recvmmsg(FD, (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3],
                             (struct timespec *)a[4]);
    case SYS_pidfd_getfd: return hook_pidfd_getfd(FD, (int)a[1], (unsigned)a[2]);
    case SYS_utime: return hook_utime(PATH, (const struct utimbuf *)a[1]);
    case SYS_utimes: return hook_utimes(PATH, (const struct timeval *)a[1]);
    case SYS_futimesat: return hook_futimesat(FD, AT_PATH, (const struct timeval *)a[2]);
    case SYS_faccessat2: return hook_faccessat(FD, AT_PATH, (int)a[2], (int)a[3]);
    case SYS_remap_file_pages:
        return hook_remap_file_pages((void *)a[0], (size_t)a[1], (int)a[2], (size_t)a[3], (int)a[4]);
    case SYS_fchownat: return hook_fchownat(FD, AT_PATH, (uid_t)a[2], (gid_t)a[3], (int)a[4]);
    case SYS_sync: return hook_sync(), 0;
    case SYS_exit_group: hook_exit((int)a[0]);
    default: return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

#define HOOK_syscall EXPORT
#include "alias.h"
