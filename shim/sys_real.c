/*
 * The engine's table of system calls, over the functions behind the hooks, so that the engine
 * never comes back into a hook, and so that other preloaded libraries still see its calls.
 * Every descriptor it opens is hidden. A failure is in the value: errno stays
 * what it was, because the call may be one the engine gets around, and a hook
 * must not touch errno when it succeeds.
 */
#include "sys_real.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hidden.h"
#include "keep.h"
#include "real.h"
#include "report.h"

#define RESULT(call) ({ \
    int saved_ = errno; \
    __typeof__(call) result_ = (call); \
    if (__builtin_expect(result_ < 0, 0)) { \
        result_ = -errno; \
        errno = saved_; \
    } \
    result_; })

/* For what moves data: a failure there is the caller's failure, which sets errno anyway. */
#define MOVED(call) ({ ssize_t moved_ = (call); moved_ < 0 ? -errno : moved_; })

/* The program may have used up all its descriptors, where a flat file needs no more. */
#define HIDDEN(call) ({ \
    int made_ = RESULT(call); \
    if (__builtin_expect(made_ == -EMFILE, 0) && hidden_raise()) { \
        made_ = RESULT(call); \
        hidden_lower(); \
    } \
    hidden_move(made_); })

static int sys_open(const char *path, int flags, unsigned mode)
{
    if (__builtin_expect(keep_active, 0) && keep_path(path))
        return RESULT(hidden_open(path, flags, mode));
    return HIDDEN(REAL(open64)(path, flags, mode));
}

static int sys_memfd(const char *name)
{
    return HIDDEN(memfd_create(name, MFD_CLOEXEC));
}

static int sys_close(int fd)
{
    if (__builtin_expect(keep_active, 0) && keep_fd(fd)) {
        hidden_park(fd);
        return 0;
    }
    return RESULT(hidden_close(fd));
}

static ssize_t sys_pread(int fd, void *buf, size_t len, int64_t off)
{
    return MOVED(REAL_TRANSFER(pread64, fd, buf, len, off));
}

static ssize_t sys_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return MOVED(REAL_TRANSFER(preadv, fd, iov, iovcnt, off));
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    return MOVED(REAL_TRANSFER(pwrite64, fd, buf, len, off));
}

static ssize_t sys_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return MOVED(REAL_TRANSFER(pwritev, fd, iov, iovcnt, off));
}

static int sys_fdatasync(int fd)
{
    return RESULT(REAL(fdatasync)(fd));
}

static int sys_ftruncate(int fd, int64_t len)
{
    return RESULT(REAL(ftruncate64)(fd, len));
}

static int sys_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    return RESULT(REAL(fallocate64)(fd, mode, off, len));
}

static int64_t sys_lseek(int fd, int64_t off, int whence)
{
    return RESULT(REAL(lseek64)(fd, off, whence));
}

/* By number, because a library behind this one may have a function that comes back here. */
static int sys_fstat(int fd, struct stat *st)
{
    return RESULT((int)REAL(syscall)(REAL_SYS_fstat, (long)fd, st));
}

static int sys_stat(const char *path, struct stat *st)
{
    return RESULT((int)REAL(syscall)(REAL_SYS_fstatat, (long)AT_FDCWD, path, st, 0l));
}

static int sys_birth(int fd, int64_t *out)
{
    struct statx stx;
    int r = RESULT(REAL(statx)(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx));

    *out = r == 0 && stx.stx_mask & STATX_BTIME
        ? stx.stx_btime.tv_sec * 1000000000ll + stx.stx_btime.tv_nsec : 0;
    return r;
}

static int sys_fchmod(int fd, unsigned mode)
{
    return RESULT(REAL(fchmod)(fd, mode));
}

static int sys_fchown(int fd, unsigned uid, unsigned gid)
{
    return RESULT(REAL(fchown)(fd, uid, gid));
}

static int sys_lock(int fd, int cmd, struct flock *fl)
{
    return RESULT(REAL(fcntl64)(fd, cmd, fl));
}

static int sys_unlink(const char *path)
{
    return RESULT(unlink(path));
}

static int sys_link(const char *from, const char *to)
{
    return RESULT(link(from, to));
}

static int sys_rename(const char *from, const char *to)
{
    return RESULT(rename(from, to));
}

static int sys_realpath(const char *path, char *out)
{
    /* Unlike a system call it leaves errno changed when it succeeds. */
    int saved = errno, r;

    r = realpath(path, out) ? 0 : -errno;
    errno = saved;
    return r;
}

/* The directory's descriptor is the program's lowest free one for the moment. */
static int sys_list(const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    int saved = errno, r = 0;
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir) {
        while (r == 0 && (entry = readdir(dir)))
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                r = each(arg, entry->d_name);
        closedir(dir);
    } else {
        r = -errno;
    }
    errno = saved;
    return r;
}

static int sys_mmap(size_t len, int prot, int flags, int fd, int64_t off, void **out)
{
    return RESULT((*out = REAL(mmap64)(NULL, len, prot, flags, fd, off)) == MAP_FAILED ? -1 : 0);
}

static int sys_munmap(void *addr, size_t len)
{
    return RESULT(REAL(munmap)(addr, len));
}

const struct acow_sys sys_real = {
    .open = sys_open, .close = sys_close, .pread = sys_pread, .preadv = sys_preadv,
    .pwrite = sys_pwrite, .pwritev = sys_pwritev, .fdatasync = sys_fdatasync,
    .ftruncate = sys_ftruncate, .fallocate = sys_fallocate, .lseek = sys_lseek, .fstat = sys_fstat,
    .stat = sys_stat, .birth = sys_birth, .fchmod = sys_fchmod, .fchown = sys_fchown, .lock = sys_lock,
    .memfd = sys_memfd, .unlink = sys_unlink, .link = sys_link, .rename = sys_rename,
    .realpath = sys_realpath, .list = sys_list, .mmap = sys_mmap, .munmap = sys_munmap, .log = report_line,
};
