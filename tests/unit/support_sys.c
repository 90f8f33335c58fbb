/*
 * The hooked table, and the recorder. Each entry describes its call, asks, calls
 * plain libc, and tells. A close or munmap that "fails" is still carried out, as
 * the kernel does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdarg.h>

#include "sys_hook.h"

#define FDS 4096

static const char *const op_names[] = {
    "open", "close", "pread", "preadv", "pwrite", "pwritev", "fdatasync", "ftruncate", "fallocate",
    "lseek", "fstat", "stat", "birth", "fchmod", "fchown", "lock", "memfd", "unlink", "link", "rename",
    "realpath", "list", "mmap", "munmap",
};

static const struct sys_hook *current;
static char fd_names[FDS][64];

void sys_hook(const struct sys_hook *hook)
{
    current = hook;
}

static void set_name(char *out, const char *path)
{
    const char *slash = strrchr(path, '/');

    snprintf(out, 64, "%s", slash && slash[1] ? slash + 1 : path);
}

static struct sys_call on_fd(enum sys_op op, int fd)
{
    struct sys_call call = { .op = op, .name = op_names[op], .fd = fd, .most = -1 };

    if (fd >= 0 && fd < FDS)
        strcpy(call.file, fd_names[fd]);
    return call;
}

static struct sys_call on_path(enum sys_op op, const char *path)
{
    struct sys_call call = on_fd(op, -1);

    set_name(call.file, path);
    return call;
}

static int ask(struct sys_call *call)
{
    return current && current->before ? current->before(call) : 0;
}

static int64_t tell(const struct sys_call *call, int64_t result)
{
    if (current && current->after)
        current->after(call, result);
    return result;
}

/* In statements, so that a table entry is: describe, ask or do, tell. */
#define MAKE(call, real) \
    ({ \
        int refused_ = ask(&(call)); \
        tell(&(call), refused_ < 0 ? refused_ : (real)); \
    })

static int hooked_open(const char *path, int flags, unsigned mode)
{
    struct sys_call call = on_path(SYS_OPEN, path);
    int fd;

    call.flags = flags;
    fd = (int)MAKE(call, acow_sys_libc.open(path, flags, mode));
    if (fd >= 0 && fd < FDS)
        set_name(fd_names[fd], path);
    return fd;
}

static int hooked_memfd(const char *name)
{
    struct sys_call call = on_path(SYS_MEMFD, name);
    int fd = (int)MAKE(call, acow_sys_libc.memfd(name));

    if (fd >= 0 && fd < FDS)
        set_name(fd_names[fd], name);
    return fd;
}

static int hooked_close(int fd)
{
    struct sys_call call = on_fd(SYS_CLOSE, fd);
    int refused = ask(&call);
    int r;

    check(fd >= 0 && fd < FDS && fd_names[fd][0],
          "descriptor %d is closed by who has not opened it", fd);
    fd_names[fd][0] = '\0';
    r = acow_sys_libc.close(fd);
    return (int)tell(&call, refused < 0 ? refused : r);
}

static int hooked_munmap(void *addr, size_t len)
{
    struct sys_call call = on_fd(SYS_MUNMAP, -1);
    int refused = ask(&call);
    int r = acow_sys_libc.munmap(addr, len);

    return (int)tell(&call, refused < 0 ? refused : r);
}

/* The front of a vector, `most` bytes of it. */
static int cut(const struct iovec *iov, int iovcnt, int64_t most, struct iovec out[IOV_MAX])
{
    int n = 0;

    for (; n < iovcnt && most > 0; n++) {
        out[n] = iov[n];
        if ((int64_t)out[n].iov_len > most)
            out[n].iov_len = (size_t)most;
        most -= (int64_t)out[n].iov_len;
    }
    return n;
}

static ssize_t transfer(enum sys_op op, int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    struct sys_call call = on_fd(op, fd);
    bool writing = op == SYS_PWRITE || op == SYS_PWRITEV;
    struct iovec some[IOV_MAX];
    int refused;

    call.iov = iov;
    call.iovcnt = iovcnt;
    call.off = off;
    for (int i = 0; i < iovcnt; i++)
        call.len += (int64_t)iov[i].iov_len;
    refused = ask(&call);
    if (refused < 0)
        return tell(&call, refused);
    if (call.most >= 0) {
        iovcnt = cut(iov, iovcnt, call.most, some);
        iov = some;
    }
    return tell(&call, writing ? acow_sys_libc.pwritev(fd, iov, iovcnt, off)
                               : acow_sys_libc.preadv(fd, iov, iovcnt, off));
}

static ssize_t hooked_pread(int fd, void *buf, size_t len, int64_t off)
{
    return transfer(SYS_PREAD, fd, &(struct iovec){ buf, len }, 1, off);
}

static ssize_t hooked_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return transfer(SYS_PREADV, fd, iov, iovcnt, off);
}

static ssize_t hooked_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    return transfer(SYS_PWRITE, fd, &(struct iovec){ (void *)buf, len }, 1, off);
}

static ssize_t hooked_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return transfer(SYS_PWRITEV, fd, iov, iovcnt, off);
}

static int hooked_fdatasync(int fd)
{
    struct sys_call call = on_fd(SYS_FDATASYNC, fd);

    return (int)MAKE(call, call.easy ? 0 : acow_sys_libc.fdatasync(fd));
}

static int hooked_ftruncate(int fd, int64_t len)
{
    struct sys_call call = on_fd(SYS_FTRUNCATE, fd);

    call.len = len;
    return (int)MAKE(call, acow_sys_libc.ftruncate(fd, len));
}

/* Where the filesystem cannot do it. */
static int zero_range(int fd, int mode, int64_t off, int64_t len)
{
    struct stat st;
    int r = acow_sys_libc.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);

    if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && acow_sys_libc.fstat(fd, &st) == 0
        && st.st_size < off + len)
        r = acow_sys_libc.ftruncate(fd, off + len);
    return r;
}

static int hooked_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    struct sys_call call = on_fd(SYS_FALLOCATE, fd);

    call.flags = mode;
    call.off = off;
    call.len = len;
    return (int)MAKE(call, call.easy && mode & FALLOC_FL_ZERO_RANGE
                               ? zero_range(fd, mode, off, len)
                               : acow_sys_libc.fallocate(fd, mode, off, len));
}

static int64_t hooked_lseek(int fd, int64_t off, int whence)
{
    struct sys_call call = on_fd(SYS_LSEEK, fd);

    return MAKE(call, acow_sys_libc.lseek(fd, off, whence));
}

static int hooked_fstat(int fd, struct stat *st)
{
    struct sys_call call = on_fd(SYS_FSTAT, fd);

    return (int)MAKE(call, acow_sys_libc.fstat(fd, st));
}

static int hooked_stat(const char *path, struct stat *st)
{
    struct sys_call call = on_path(SYS_STAT, path);

    return (int)MAKE(call, acow_sys_libc.stat(path, st));
}

static int hooked_birth(int fd, int64_t *out)
{
    struct sys_call call = on_fd(SYS_BIRTH, fd);

    return (int)MAKE(call, acow_sys_libc.birth(fd, out));
}

static int hooked_fchmod(int fd, unsigned mode)
{
    struct sys_call call = on_fd(SYS_FCHMOD, fd);

    return (int)MAKE(call, acow_sys_libc.fchmod(fd, mode));
}

static int hooked_fchown(int fd, unsigned uid, unsigned gid)
{
    struct sys_call call = on_fd(SYS_FCHOWN, fd);

    return (int)MAKE(call, acow_sys_libc.fchown(fd, uid, gid));
}

static int hooked_lock(int fd, int cmd, struct flock *fl)
{
    struct sys_call call = on_fd(SYS_LOCK, fd);

    call.flags = fl->l_type;
    call.cmd = cmd;
    return (int)MAKE(call, acow_sys_libc.lock(fd, cmd, fl));
}

static int hooked_unlink(const char *path)
{
    struct sys_call call = on_path(SYS_UNLINK, path);

    return (int)MAKE(call, acow_sys_libc.unlink(path));
}

static int hooked_link(const char *from, const char *to)
{
    struct sys_call call = on_path(SYS_LINK, to);

    return (int)MAKE(call, acow_sys_libc.link(from, to));
}

static int hooked_rename(const char *from, const char *to)
{
    struct sys_call call = on_path(SYS_RENAME, to);

    return (int)MAKE(call, acow_sys_libc.rename(from, to));
}

static int hooked_realpath(const char *path, char *out)
{
    struct sys_call call = on_path(SYS_REALPATH, path);

    return (int)MAKE(call, acow_sys_libc.realpath(path, out));
}

static int list_proc(int (*each)(void *arg, const char *name), void *arg)
{
    char self[24];

    snprintf(self, sizeof(self), "%d", (int)getpid());
    return each(arg, self);
}

static int hooked_list(const char *path, int (*each)(void *arg, const char *name), void *arg)
{
    struct sys_call call = on_path(SYS_LIST, path);
    bool alone = current && current->alone_in_proc && strcmp(path, "/proc") == 0;

    return (int)MAKE(call, alone ? list_proc(each, arg) : acow_sys_libc.list(path, each, arg));
}

static int hooked_mmap(size_t len, int prot, int flags, int fd, int64_t off, void **out)
{
    struct sys_call call = on_fd(SYS_MMAP, fd);

    return (int)MAKE(call, acow_sys_libc.mmap(len, prot, flags, fd, off, out));
}

const struct acow_sys sys_hooked = {
    .open = hooked_open, .close = hooked_close, .pread = hooked_pread, .preadv = hooked_preadv,
    .pwrite = hooked_pwrite, .pwritev = hooked_pwritev, .fdatasync = hooked_fdatasync,
    .ftruncate = hooked_ftruncate, .fallocate = hooked_fallocate, .lseek = hooked_lseek,
    .fstat = hooked_fstat, .stat = hooked_stat, .birth = hooked_birth,
    .fchmod = hooked_fchmod, .fchown = hooked_fchown,
    .lock = hooked_lock, .memfd = hooked_memfd, .unlink = hooked_unlink, .link = hooked_link,
    .rename = hooked_rename, .realpath = hooked_realpath, .list = hooked_list, .mmap = hooked_mmap,
    .munmap = hooked_munmap, .log = NULL,
};

/* ---- recording --------------------------------------------------------- */

static char calls_text[64 * KIB];
static size_t calls_len;

static void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (calls_len < sizeof(calls_text) - 256)
        calls_len += (size_t)vsnprintf(calls_text + calls_len, 256, format, args);
    va_end(args);
}

static int record(struct sys_call *call)
{
    say("%s%s %s", calls_len ? "; " : "", call->name, call->file);
    switch (call->op) {
    case SYS_OPEN:
        say((call->flags & O_ACCMODE) == O_RDONLY ? " r" : " rw");
        break;
    case SYS_FALLOCATE:
        say(" %d", call->flags);
        /* fall through */
    case SYS_PREAD:
    case SYS_PREADV:
    case SYS_PWRITE:
    case SYS_PWRITEV:
        say(" %lld+%lld", (long long)call->off, (long long)call->len);
        break;
    case SYS_FTRUNCATE:
        say(" %lld", (long long)call->len);
        break;
    default:
        break;
    }
    return 0;
}

void calls_begin(void)
{
    static const struct sys_hook hook = { .before = record };

    calls_len = 0;
    calls_text[0] = '\0';
    sys_hook(&hook);
}

const char *calls(void)
{
    return calls_text;
}
