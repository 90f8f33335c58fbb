/* The table of system calls over plain libc, for programs that have no hooks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "addcow.h"

_Static_assert(sizeof(off_t) == 8, "compile with _FILE_OFFSET_BITS=64");

#define RESULT(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })

static int sys_open(const char *path, int flags, unsigned mode)
{
    return RESULT(open(path, flags, mode));
}

static int sys_close(int fd) { return RESULT(close(fd)); }

static ssize_t sys_pread(int fd, void *buf, size_t len, int64_t off)
{
    return RESULT(pread(fd, buf, len, off));
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    return RESULT(pwrite(fd, buf, len, off));
}

static int sys_fdatasync(int fd) { return RESULT(fdatasync(fd)); }
static int sys_ftruncate(int fd, int64_t len) { return RESULT(ftruncate(fd, len)); }
static int64_t sys_lseek(int fd, int64_t off, int whence) { return RESULT(lseek(fd, off, whence)); }
static int sys_fstat(int fd, struct stat *st) { return RESULT(fstat(fd, st)); }
static int sys_stat(const char *path, struct stat *st) { return RESULT(stat(path, st)); }
static int sys_fchmod(int fd, unsigned mode) { return RESULT(fchmod(fd, mode)); }
static int sys_fchown(int fd, unsigned uid, unsigned gid) { return RESULT(fchown(fd, uid, gid)); }
static int sys_lock(int fd, int cmd, struct flock *fl) { return RESULT(fcntl(fd, cmd, fl)); }
static int sys_memfd(const char *name) { return RESULT(memfd_create(name, MFD_CLOEXEC)); }
static int sys_unlink(const char *path) { return RESULT(unlink(path)); }
static int sys_link(const char *from, const char *to) { return RESULT(link(from, to)); }
static int sys_rename(const char *from, const char *to) { return RESULT(rename(from, to)); }
static int sys_munmap(void *addr, size_t len) { return RESULT(munmap(addr, len)); }

static int sys_birth(int fd, int64_t *out)
{
    struct statx stx;
    int r = RESULT(statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx));

    *out = r == 0 && stx.stx_mask & STATX_BTIME
        ? stx.stx_btime.tv_sec * 1000000000ll + stx.stx_btime.tv_nsec : 0;
    return r;
}

static ssize_t sys_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return RESULT(preadv(fd, iov, iovcnt, off));
}

static ssize_t sys_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return RESULT(pwritev(fd, iov, iovcnt, off));
}

static int sys_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    return RESULT(fallocate(fd, mode, off, len));
}

static int sys_realpath(const char *path, char *out)
{
    return realpath(path, out) ? 0 : -errno;
}

static int sys_list(const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int r = 0;

    if (!dir)
        return -errno;
    while (r == 0 && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = each(arg, entry->d_name);
    closedir(dir);
    return r;
}

static int sys_mmap(size_t len, int prot, int flags, int fd, int64_t off, void **out)
{
    void *map = mmap(NULL, len, prot, flags, fd, off);

    if (map == MAP_FAILED)
        return -errno;
    *out = map;
    return 0;
}

static void sys_log(const char *line)
{
    fprintf(stderr, "addcow: %s\n", line);
}

const struct acow_sys acow_sys_libc = {
    .open = sys_open, .close = sys_close, .pread = sys_pread, .preadv = sys_preadv,
    .pwrite = sys_pwrite, .pwritev = sys_pwritev, .fdatasync = sys_fdatasync,
    .ftruncate = sys_ftruncate, .fallocate = sys_fallocate, .lseek = sys_lseek, .fstat = sys_fstat,
    .stat = sys_stat, .birth = sys_birth, .fchmod = sys_fchmod, .fchown = sys_fchown, .lock = sys_lock,
    .memfd = sys_memfd, .unlink = sys_unlink, .link = sys_link, .rename = sys_rename,
    .realpath = sys_realpath, .list = sys_list,
    .mmap = sys_mmap, .munmap = sys_munmap, .log = sys_log,
};
