/*
 * Pointers that lead nowhere: each call says EFAULT, or what the kernel says of a plain file, and no
 * more happens. `fault_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ops.h"

/* The compiler must not see what they are. */
static char *volatile null, *volatile high = (char *)-4096, *volatile wild;

static void begin(void)
{
    /* A page that may not be touched, behind one that may. */
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    munmap(pages + 4096, 4096);
    memset(pages, 'p', 4096);
    wild = pages + 4096;
}

static void do_read(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    struct iovec iov[3];

    begin();
    said("read", read(fd, null, 10));
    said("read", read(fd, wild, 5000));
    said("read none", read(fd, wild, 0));
    said("pread", pread(fd, wild, 5000, 10));
    said("pread", pread(fd, null, 100000, 0));
    said("pread past the end", pread(fd, wild, 10, 1 << 30));
    iov[0] = (struct iovec){ buf, 100 };
    iov[1] = (struct iovec){ wild, 100 };
    iov[2] = (struct iovec){ buf + 100, 100 };
    said("readv", readv(fd, iov + 1, 2));
    said("preadv", preadv(fd, iov + 1, 1, 700));
    said("preadv2", preadv2(fd, iov + 1, 1, 700, 0));
    said("bad vector", readv(fd, (struct iovec *)high, 1));
    said("bad vector", preadv(fd, (struct iovec *)null, 2, 0));
    said("bad vector", preadv2(fd, (struct iovec *)high, 3, -1, 0));
    said("offset", lseek(fd, 0, SEEK_CUR));
    got("after", read(fd, buf, 300));
}

static void do_write(const char *path)
{
    int fd = must_open(path, O_RDWR);
    struct iovec iov[2] = { { wild, 100 }, { buf, 10 } };

    begin();
    iov[0].iov_base = wild;
    said("write", write(fd, null, 10));
    said("write", write(fd, wild, 5000));
    said("write none", write(fd, wild, 0));
    said("pwrite", pwrite(fd, wild, 700, 10));
    said("pwrite", pwrite(fd, wild, 4096, 8192));
    said("pwrite at the end", pwrite(fd, wild, 100, lseek(fd, 0, SEEK_END)));
    said("writev", writev(fd, iov, 2));
    said("pwritev", pwritev(fd, iov, 1, 5000));
    said("pwritev2", pwritev2(fd, iov, 1, 5000, RWF_APPEND));
    said("bad vector", writev(fd, (struct iovec *)high, 1));
    said("bad vector", pwritev(fd, (struct iovec *)null, 1, 0));
    said("size", lseek(fd, 0, SEEK_END));
    said("write", pwrite(fd, "good", 4, 6000));
}

static void do_calls(const char *path)
{
    int fd = must_open(path, O_RDWR);

    begin();
    said("fstat", fstat(fd, (struct stat *)wild));
    said("fstat", fstat(fd, (struct stat *)null));
    said("fstatat", fstatat(fd, "", (struct stat *)wild, AT_EMPTY_PATH));
    said("statx", statx(fd, "", AT_EMPTY_PATH, STATX_ALL, (struct statx *)wild));
    said("stat", stat(path, (struct stat *)wild));
    said("lstat", lstat(path, (struct stat *)null));
    said("statx", statx(AT_FDCWD, path, 0, STATX_ALL, (struct statx *)wild));
    said("fstatfs", fstatfs(fd, (struct statfs *)wild));
    said("futimens", futimens(fd, (struct timespec *)wild));
    said("utimensat", utimensat(AT_FDCWD, path, (struct timespec *)wild, 0));
    said("setlk", fcntl(fd, F_SETLK, wild));
    said("getlk", fcntl(fd, F_GETLK, null));
    said("ofd setlk", fcntl(fd, F_OFD_SETLK, wild));
    said("getown", fcntl(fd, F_GETOWN_EX, wild));
    said("hint", fcntl(fd, F_GET_RW_HINT, wild));
    said("FIONREAD", ioctl(fd, FIONREAD, wild));
    said("TCGETS", ioctl(fd, TCGETS, wild));
    said("fgetxattr", fgetxattr(fd, wild, buf, 10));
    said("fsetxattr", fsetxattr(fd, "user.x", wild, 10, 0));
    said("flistxattr", flistxattr(fd, wild, 0) >= 0);
    said("fgetxattr", fgetxattr(fd, "user.absent", wild, 10));
    said("mmap", mmap(wild, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
    said("msync", msync(wild, 4096, MS_SYNC));
    got("after", pread(fd, buf, 300, 0));
}

static void do_paths(const char *path)
{
    struct stat st;
    int fd = must_open(path, O_RDWR);

    begin();
    for (int i = 0; i < 2; i++) {
        const char *bad = i ? high : null;

        said("open", open(bad, O_RDONLY));
        said("open", open(bad, O_RDWR | O_CREAT, 0600));
        said("openat", openat(AT_FDCWD, bad, O_RDONLY));
        said("openat", openat(fd, bad, O_RDONLY));
        said("creat", creat(bad, 0600));
        said("truncate", truncate(bad, 10));
        said("stat", stat(bad, &st));
        said("lstat", lstat(bad, &st));
        said("fstatat", fstatat(AT_FDCWD, bad, &st, 0));
        said("fstatat", fstatat(fd, bad, &st, AT_EMPTY_PATH) < 0 ? -1 : 0);
        said("statx", statx(AT_FDCWD, bad, 0, STATX_ALL, (struct statx *)buf));
        said("utimensat", i ? utimensat(AT_FDCWD, bad, NULL, 0) : 0);
        said("fchownat", fchownat(AT_FDCWD, bad, -1, -1, 0));
        said("faccessat", faccessat(AT_FDCWD, bad, R_OK, 0));
        said("by number", syscall(SYS_open, bad, O_RDONLY, 0));
        said("by number", syscall(SYS_openat, AT_FDCWD, bad, O_RDONLY, 0));
        said("by number", syscall(SYS_execve, bad, NULL, NULL));
        said("by number", syscall(SYS_stat, bad, &st));
        said("rename", rename(bad, "x"));
        said("getxattr", getxattr(bad, "user.x", buf, 10));
    }
    memcpy(wild - 9, ".add-cow", 9);
    said("up to the end", open(wild - 9, O_RDONLY));
}

static void do_numbers(const char *path)
{
    int fd = must_open(path, O_RDWR), pair[2];

    begin();
    said("read", syscall(SYS_read, fd, wild, 10));
    said("pwrite64", syscall(SYS_pwrite64, fd, wild, 10, 0));
    said("readv", syscall(SYS_readv, fd, high, 1));
    said("fstat", syscall(SYS_fstat, fd, wild));
    said("fcntl", syscall(SYS_fcntl, fd, F_SETLK, wild));
    if (pipe(pair) < 0)
        exit(1);
    said("write", write(pair[1], wild, 10));
    said("read", pread(fd, wild, 10, 0));
}

static const struct mode modes[] = {
    { "read", do_read }, { "write", do_write }, { "calls", do_calls }, { "paths", do_paths },
    { "numbers", do_numbers },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
