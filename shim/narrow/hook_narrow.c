/* The narrow forms of calls on descriptors: see narrow.h. */
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "../fdtable.h"
#include "../memory.h"
#include "../path.h"
#include "../real.h"

_Static_assert(sizeof(off_t) == 4, "to be compiled without _FILE_OFFSET_BITS");

__thread int narrow_opening;

static int failed(int err)
{
    errno = err;
    return -1;
}

/* ---- open ---------------------------------------------------------------- */

static bool needs_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

static int other(int fd)
{
    fdtable_is_other(fd);
    return fd;
}

/* The wide body adds no O_LARGEFILE while narrow_opening says so. */
static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    char real_path[PATH_LEN];
    int fd;

    if (!path_is_disk(dir, path, !(flags & O_NOFOLLOW), real_path))
        return other(REAL(narrow_openat)(dir, path, flags, mode));
    narrow_opening++;
    fd = hook_openat(dir, path, flags, mode);
    narrow_opening--;
    return fd;
}

int hook_narrow_open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    va_start(args, flags);
    if (needs_mode(flags))
        mode = va_arg(args, mode_t);
    va_end(args);
    return open_at(AT_FDCWD, path, flags, mode);
}

int hook_narrow_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    va_start(args, flags);
    if (needs_mode(flags))
        mode = va_arg(args, mode_t);
    va_end(args);
    return open_at(dir, path, flags, mode);
}

int hook_narrow_open_2(const char *path, int flags)
{
    return needs_mode(flags) ? REAL(narrow___open_2)(path, flags) : open_at(AT_FDCWD, path, flags, 0);
}

int hook_narrow_openat_2(int dir, const char *path, int flags)
{
    return needs_mode(flags) ? REAL(narrow___openat_2)(dir, path, flags) : open_at(dir, path, flags, 0);
}

int hook_narrow_creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* ---- locks ----------------------------------------------------------------- */

static int wide_command(int cmd)
{
    switch (cmd) {
    case F_GETLK: return F_GETLK64;
    case F_SETLK: return F_SETLK64;
    case F_SETLKW: return F_SETLKW64;
    default: return cmd;
    }
}

static int lock(int fd, int cmd, struct flock *fl)
{
    bool asks = cmd == F_GETLK || cmd == F_OFD_GETLK;
    struct flock64 wide;
    int r;

    if (memory_check(fl, sizeof(*fl), asks) < 0)
        return failed(EFAULT);
    wide = (struct flock64){ .l_type = fl->l_type, .l_whence = fl->l_whence, .l_start = fl->l_start,
                             .l_len = fl->l_len, .l_pid = fl->l_pid };
    r = hook_fcntl(fd, wide_command(cmd), &wide);
    if (r < 0 || !asks)
        return r;
    if (wide.l_start > INT32_MAX || wide.l_len > INT32_MAX)
        return failed(EOVERFLOW);
    *fl = (struct flock){ .l_type = wide.l_type, .l_whence = wide.l_whence,
                          .l_start = (off_t)wide.l_start, .l_len = (off_t)wide.l_len,
                          .l_pid = wide.l_pid };
    return r;
}

int hook_narrow_fcntl(int fd, int cmd, ...)
{
    va_list args;
    void *arg;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);
    switch (cmd) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        if (fdtable_is_disk(fd))
            return lock(fd, cmd, arg);
        return REAL(narrow_fcntl)(fd, cmd, arg);
    default:
        return hook_fcntl(fd, cmd, arg);
    }
}

int hook_narrow_lockf(int fd, int cmd, int32_t len)
{
    return hook_lockf(fd, cmd, len);
}

/* ---- reading, writing, sizes ------------------------------------------------ */

ssize_t hook_narrow_pread(int fd, void *buf, size_t len, int32_t off)
{
    return hook_pread(fd, buf, len, off);
}

ssize_t hook_narrow_pread_chk(int fd, void *buf, size_t len, int32_t off, size_t room)
{
    return hook_pread_chk(fd, buf, len, off, room);
}

ssize_t hook_narrow_preadv(int fd, const struct iovec *iov, int iovcnt, int32_t off)
{
    return hook_preadv(fd, iov, iovcnt, off);
}

ssize_t hook_narrow_preadv2(int fd, const struct iovec *iov, int iovcnt, int32_t off, int flags)
{
    return hook_preadv2(fd, iov, iovcnt, off, flags);
}

ssize_t hook_narrow_pwrite(int fd, const void *buf, size_t len, int32_t off)
{
    return hook_pwrite(fd, buf, len, off);
}

ssize_t hook_narrow_pwritev(int fd, const struct iovec *iov, int iovcnt, int32_t off)
{
    return hook_pwritev(fd, iov, iovcnt, off);
}

ssize_t hook_narrow_pwritev2(int fd, const struct iovec *iov, int iovcnt, int32_t off, int flags)
{
    return hook_pwritev2(fd, iov, iovcnt, off, flags);
}

/* The offset has been moved all the same, as libc leaves it. */
int32_t hook_narrow_lseek(int fd, int32_t off, int whence)
{
    int64_t at = hook_lseek(fd, off, whence);

    return at > INT32_MAX ? failed(EOVERFLOW) : (int32_t)at;
}

int hook_narrow_ftruncate(int fd, int32_t size)
{
    return hook_ftruncate(fd, size);
}

int hook_narrow_truncate(const char *path, int32_t size)
{
    return hook_truncate(path, size);
}

int hook_narrow_fallocate(int fd, int mode, int32_t off, int32_t len)
{
    return hook_fallocate(fd, mode, off, len);
}

int hook_narrow_posix_fallocate(int fd, int32_t off, int32_t len)
{
    return hook_posix_fallocate(fd, off, len);
}

/* The kernel takes the length, and libc mmap's offset, for one without a sign. */
int hook_narrow_posix_fadvise(int fd, int32_t off, int32_t len, int advice)
{
    return hook_posix_fadvise(fd, off, (uint32_t)len, advice);
}

/* The kernel moves no data beyond 2 GiB for it. */
ssize_t hook_narrow_sendfile(int out, int in, int32_t *off, size_t len)
{
    int64_t wide = 0;
    ssize_t n;

    if (!fdtable_is_disk(out) && !fdtable_is_disk(in))
        return REAL(narrow_sendfile)(out, in, off, len);
    if (off && memory_check(off, sizeof(*off), true) < 0)
        return failed(EFAULT);
    if (off)
        wide = *off;
    if (off && wide >= 0 && len > (size_t)(INT32_MAX - wide))
        len = (size_t)(INT32_MAX - wide);
    n = hook_sendfile(out, in, off ? &wide : NULL, len);
    if (off && n >= 0)
        *off = (int32_t)wide;
    return n;
}

void *hook_narrow_mmap(void *addr, size_t len, int prot, int flags, int fd, int32_t off)
{
    return hook_mmap(addr, len, prot, flags, fd, (uint32_t)off);
}

#define HOOK_narrow_open EXPORT
#define HOOK_narrow_fd EXPORT
#define HOOK_narrow_lock EXPORT
#define HOOK_narrow_rw EXPORT
#define HOOK_narrow_size EXPORT
#define HOOK_narrow_sync EXPORT
#define HOOK_narrow_copy EXPORT
#define HOOK_narrow_map EXPORT
#include "../alias.h"
