/* read, write and their forms. */
#include "hooks.h"
#include "leave.h"
#include "real.h"

void __chk_fail(void) __attribute__((noreturn));

static ssize_t __attribute__((noinline)) read_disk(int fd, void *buf, size_t len)
{
    struct ofd *ofd = fdtable_get(fd);
    struct iovec iov = { buf, len };

    if (!ofd)
        return REAL(read)(fd, buf, len);
    return LEAVE(ofd, fd, ofd_readv(ofd, &iov, 1), "read", "%zu", len);
}

ssize_t hook_read(int fd, void *buf, size_t len)
{
    PASS(read, fd, buf, len);
    return read_disk(fd, buf, len);
}

ssize_t hook_read_chk(int fd, void *buf, size_t len, size_t room)
{
    if (len > room)
        __chk_fail();
    return hook_read(fd, buf, len);
}

static ssize_t __attribute__((noinline))
pread_slow(struct ofd *ofd, int fd, void *buf, size_t len, int64_t off)
{
    struct iovec iov = { buf, len };

    return LEAVE(ofd, fd, ofd_preadv(ofd, &iov, 1, off), "pread64", "%zu, %lld", len,
                 (long long)off);
}

/* The hottest hook: a read that is all in one file goes to it from here. */
static ssize_t __attribute__((noinline, hot)) pread_disk(int fd, void *buf, size_t len, int64_t off)
{
    struct ofd *ofd = fdtable_get(fd);
    int from;

    if (!ofd)
        return REAL(pread64)(fd, buf, len, off);
    from = __builtin_expect(ofd->traced, 0) ? -1 : ofd_read_fd(ofd, len, off);
    if (from >= 0) {
        ssize_t n = REAL_TRANSFER(pread64, from, buf, len, off);

        if (n == (ssize_t)len) {
            fdtable_put(ofd);
            return n;
        }
    }
    return pread_slow(ofd, fd, buf, len, off);
}

__attribute__((hot)) ssize_t hook_pread(int fd, void *buf, size_t len, int64_t off)
{
    PASS(pread64, fd, buf, len, off);
    return pread_disk(fd, buf, len, off);
}

ssize_t hook_pread_chk(int fd, void *buf, size_t len, int64_t off, size_t room)
{
    if (len > room)
        __chk_fail();
    return hook_pread(fd, buf, len, off);
}

ssize_t hook_readv(int fd, const struct iovec *iov, int iovcnt)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(readv)(fd, iov, iovcnt);
    return LEAVE(ofd, fd, ofd_readv(ofd, iov, iovcnt), "readv", "%d", iovcnt);
}

ssize_t hook_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(preadv64)(fd, iov, iovcnt, off);
    return LEAVE(ofd, fd, ofd_preadv(ofd, iov, iovcnt, off), "preadv", "%d, %lld", iovcnt,
                 (long long)off);
}

/*
 * RWF_NOWAIT, and what is not known yet, is refused as by a filesystem that lacks it.
 */
static int check_flags(int flags)
{
    return flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND) ? -EOPNOTSUPP : 0;
}

ssize_t hook_preadv2(int fd, const struct iovec *iov, int iovcnt, int64_t off, int flags)
{
    struct ofd *ofd = fdtable_get(fd);
    ssize_t n;

    if (!ofd)
        return REAL(preadv64v2)(fd, iov, iovcnt, off, flags);
    n = check_flags(flags);
    if (n == 0)
        n = off == -1 ? ofd_readv(ofd, iov, iovcnt) : ofd_preadv(ofd, iov, iovcnt, off);
    return LEAVE(ofd, fd, n, "preadv2", "%d, %lld, %#x", iovcnt, (long long)off, flags);
}

static ssize_t __attribute__((noinline)) write_disk(int fd, const void *buf, size_t len)
{
    struct ofd *ofd = fdtable_get(fd);
    struct iovec iov = { (void *)buf, len };

    if (!ofd)
        return REAL(write)(fd, buf, len);
    return LEAVE(ofd, fd, ofd_writev(ofd, &iov, 1, 0), "write", "%zu", len);
}

ssize_t hook_write(int fd, const void *buf, size_t len)
{
    PASS(write, fd, buf, len);
    return write_disk(fd, buf, len);
}

static ssize_t __attribute__((noinline)) pwrite_disk(int fd, const void *buf, size_t len, int64_t off)
{
    struct ofd *ofd = fdtable_get(fd);
    struct iovec iov = { (void *)buf, len };

    if (!ofd)
        return REAL(pwrite64)(fd, buf, len, off);
    return LEAVE(ofd, fd, ofd_pwritev(ofd, &iov, 1, off, 0), "pwrite64", "%zu, %lld", len,
                 (long long)off);
}

ssize_t hook_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    PASS(pwrite64, fd, buf, len, off);
    return pwrite_disk(fd, buf, len, off);
}

ssize_t hook_writev(int fd, const struct iovec *iov, int iovcnt)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(writev)(fd, iov, iovcnt);
    return LEAVE(ofd, fd, ofd_writev(ofd, iov, iovcnt, 0), "writev", "%d", iovcnt);
}

ssize_t hook_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return REAL(pwritev64)(fd, iov, iovcnt, off);
    return LEAVE(ofd, fd, ofd_pwritev(ofd, iov, iovcnt, off, 0), "pwritev", "%d, %lld", iovcnt,
                 (long long)off);
}

ssize_t hook_pwritev2(int fd, const struct iovec *iov, int iovcnt, int64_t off, int flags)
{
    struct ofd *ofd = fdtable_get(fd);
    ssize_t n;

    if (!ofd)
        return REAL(pwritev64v2)(fd, iov, iovcnt, off, flags);
    n = check_flags(flags);
    if (n == 0)
        n = off == -1 ? ofd_writev(ofd, iov, iovcnt, flags) : ofd_pwritev(ofd, iov, iovcnt, off, flags);
    return LEAVE(ofd, fd, n, "pwritev2", "%d, %lld, %#x", iovcnt, (long long)off, flags);
}

#define HOOK_rw EXPORT
#include "alias.h"
