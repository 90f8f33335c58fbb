/*
 * Calls that make, copy and end descriptors. The native call is made on the
 * placeholder, whose number, close-on-exec flag and sharing are then the kernel's business;
 * the table follows.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <unistd.h>

#include "addcow.h"
#include "hidden.h"
#include "hooks.h"
#include "leave.h"
#include "memory.h"
#include "process.h"
#include "real.h"
#include "record.h"
#include "report.h"
#include "ring.h"
#include "stream.h"

/* A number that is ours looks unused to the program. */
static int bad_fd(void)
{
    errno = EBADF;
    return -1;
}

/*
 * Not where the engine's own call has come back by way of a library that is preloaded behind this one:
 * libeatmydata asks fcntl before it says that a file is synced.
 */
static bool is_hidden(int fd)
{
    return hidden_is(fd) && process_busy == 0;
}

/* The slot's end, after the descriptor's. */
static int release(struct ofd *ofd)
{
    int saved = errno;
    int r;

    record_drop(ofd);
    process_enter();
    r = ofd_unref(ofd);
    process_leave();
    errno = saved;
    return r;
}

static int close_slot(int fd)
{
    struct ofd *ofd = fdtable_take(fd);
    int r;

    stream_follow(fd);
    /* Another thread was faster. */
    if (!ofd)
        return bad_fd();
    if (trace_on)
        trace_call(ofd, fd, 0, "close", "%s", "");
    if (REAL(close)(fd) < 0) {
        release(ofd);
        return -1;
    }
    r = release(ofd);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    return 0;
}

static int close_disk(int fd)
{
    int r;

    stream_before(fd, false);
    process_change();
    r = close_slot(fd);
    process_changed();
    return r;
}

int hook_close(int fd)
{
    if (__builtin_expect(fdtable_is_disk(fd), 0)) {
        if (!process_is_vfork_child())
            return close_disk(fd);
        fdtable_shadow(fd);
    }
    if (__builtin_expect(is_hidden(fd), 0))
        return bad_fd();
    ring_closed((unsigned)fd, (unsigned)fd);
    return REAL(close)(fd);
}

/* A new number for what `ofd` (held, or NULL for no disk) is; gives `ofd` over to the slot. */
static int made(int fd, struct ofd *ofd)
{
    if (fd < 0 || process_is_vfork_child()) {
        if (fd >= 0)
            fdtable_shadow(fd);
        if (ofd)
            fdtable_put(ofd);
        return fd;
    }
    if (ofd)
        fdtable_set(fd, ofd);
    else
        fdtable_is_other(fd);
    stream_follow(fd);
    return fd;
}

int hook_dup(int fd)
{
    int r;

    if (is_hidden(fd))
        return bad_fd();
    process_change();
    r = made(REAL(dup)(fd), fdtable_get(fd));
    process_changed();
    return r;
}

/* Makes the slot of `to` follow a native dup2 or dup3. */
static int replaced(int result, int to, struct ofd *ofd)
{
    struct ofd *old;

    if (result < 0 || process_is_vfork_child())
        return made(result, ofd);
    /* In one step: another thread that reads meanwhile finds the one or the other. */
    old = ofd ? fdtable_swap(to, ofd) : fdtable_take(to);
    stream_follow(to);
    if (old)
        release(old);
    return to;
}

/* Standard streams write out what they have before their number changes its meaning. */
static void before(int from, int to)
{
    if ((unsigned)to <= 2 && !process_is_vfork_child())
        stream_before(to, fdtable_is_disk(from));
}

int hook_dup2(int from, int to)
{
    int r;

    if (is_hidden(from) || is_hidden(to))
        return bad_fd();
    if (from == to)
        return REAL(dup2)(from, to);
    before(from, to);
    process_change();
    r = replaced(REAL(dup2)(from, to), to, fdtable_get(from));
    process_changed();
    return r;
}

int hook_dup3(int from, int to, int flags)
{
    int r;

    if (is_hidden(from) || is_hidden(to))
        return bad_fd();
    before(from, to);
    process_change();
    r = replaced(REAL(dup3)(from, to, flags), to, fdtable_get(from));
    process_changed();
    return r;
}

/* ---- fcntl ------------------------------------------------------------- */

static int set_flags(struct ofd *ofd, int fd, int flags)
{
    const int settable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return r;
    /* O_DIRECT is for the data to keep to; the rest for the placeholder to share. */
    r = NATIVE(REAL(fcntl64)(ofd->image_fd, F_SETFL, flags & (O_DIRECT | O_NOATIME)));
    if (r == 0)
        r = NATIVE(REAL(fcntl64)(fd, F_SETFL, flags & (O_APPEND | O_NONBLOCK)));
    if (r == 0) {
        ofd->flags = (ofd->flags & ~O_DIRECT) | (flags & O_DIRECT);
        ofd->state->flags = (ofd->state->flags & ~(uint32_t)settable) | (uint32_t)(flags & settable);
    }
    return r;
}

static int on_image(struct ofd *ofd, int cmd, void *arg)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    return r < 0 ? r : NATIVE(REAL(fcntl64)(ofd->image_fd, cmd, arg));
}

static int fcntl_disk(struct ofd *ofd, int fd, int cmd, void *arg)
{
    int r;

    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        process_change();
        r = NATIVE(REAL(fcntl64)(fd, cmd, arg));
        if (r >= 0) {
            ofd_ref(ofd);
            made(r, ofd);
        }
        process_changed();
        return r;
    case F_GETFL:
        return (int)ofd->state->flags;
    case F_SETFL:
        return set_flags(ofd, fd, (int)(intptr_t)arg);
    case F_SETLK:
    case F_SETLKW:
    case F_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
    case F_OFD_GETLK:
        return record_lock(ofd, cmd, arg);
    case F_GETFD:
    case F_SETFD:
    case F_GETOWN:
    case F_SETOWN:
    case F_GETOWN_EX:
    case F_SETOWN_EX:
    case F_GETSIG:
    case F_SETSIG:
        return NATIVE(REAL(fcntl64)(fd, cmd, arg));
    case F_SETLEASE:
    case F_GETLEASE:
    case F_GET_SEALS:
    case F_ADD_SEALS:
    case F_NOTIFY:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT:
        return on_image(ofd, cmd, arg);
    default:
        return report_unserved("fcntl with this command", ofd->state->path);
    }
}

int hook_fcntl(int fd, int cmd, ...)
{
    struct ofd *ofd;
    va_list args;
    void *arg;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);
    if (__builtin_expect(is_hidden(fd), 0))
        return bad_fd();
    ofd = fdtable_get(fd);
    if (ofd)
        return LEAVE(ofd, fd, fcntl_disk(ofd, fd, cmd, arg), "fcntl", "%d, %p", cmd, arg);
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
        return made(REAL(fcntl64)(fd, cmd, arg), NULL);
    return REAL(fcntl64)(fd, cmd, arg);
}

/* ---- ranges ------------------------------------------------------------ */

/* Calls close_range natively around the hidden ones. */
static int close_around_hidden(unsigned from, unsigned to, int flags)
{
    while (from <= to) {
        unsigned stop = from < FD_LIMIT ? (unsigned)hidden_next((int)from) : FD_LIMIT;
        unsigned last = stop > to || stop == FD_LIMIT ? to : stop - 1;

        if (stop > from && REAL(close_range)(from, last, flags) < 0)
            return -1;
        if (last == to)
            break;
        from = stop + 1;
    }
    return 0;
}

int hook_close_range(unsigned from, unsigned to, int flags)
{
    if (from > to || flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
        return REAL(close_range)(from, to, flags);
    if (!(flags & CLOSE_RANGE_CLOEXEC) && from < FD_LIMIT) {
        bool borrowed = process_is_vfork_child();

        for (int fd = fdtable_next((int)from); fd < FD_LIMIT && (unsigned)fd <= to;
             fd = fdtable_next(fd + 1))
            borrowed ? fdtable_shadow(fd) : (void)close_disk(fd);
        ring_closed(from, to);
    }
    return close_around_hidden(from, to, flags);
}

void hook_closefrom(int from)
{
    hook_close_range(from < 0 ? 0 : (unsigned)from, ~0u, 0);
}

/* ---- ioctl ------------------------------------------------------------- */

static int left_to_read(struct ofd *ofd, int *left)
{
    struct acow_disk *disk;
    int64_t size;
    int r = memory_check(left, sizeof(*left), true);

    if (r == 0)
        r = ofd_disk(ofd, &disk);
    size = r < 0 ? r : acow_size(disk);
    if (size < 0)
        return (int)size;
    *left = (int)(size - (int64_t)ofd->state->offset);
    return 0;
}

/* The kernel sets it on the placeholder. */
static int set_nonblocking(struct ofd *ofd, int fd, void *arg)
{
    int r = NATIVE(REAL(ioctl)(fd, FIONBIO, arg));

    if (r == 0)
        ofd->state->flags = (ofd->state->flags & ~(uint32_t)O_NONBLOCK)
                            | ((uint32_t)REAL(fcntl64)(fd, F_GETFL) & O_NONBLOCK);
    return r;
}

static int ioctl_disk(struct ofd *ofd, int fd, unsigned long request, void *arg)
{
    struct acow_disk *disk;
    int r;

    switch (request) {
    case FIONREAD:
        return left_to_read(ofd, arg);
    case FIONBIO:
        return set_nonblocking(ofd, fd, arg);
    case FS_IOC_GETFLAGS:
    case FS_IOC_SETFLAGS:
    case FS_IOC_GETVERSION:
    case FS_IOC_FSGETXATTR:
        r = ofd_disk(ofd, &disk);
        return r < 0 ? r : NATIVE(REAL(ioctl)(ofd->image_fd, request, arg));
    default:
        return NATIVE(REAL(ioctl)(fd, request, arg));
    }
}

/*
 * The placeholder answers as a regular file does to what is for terminals and
 * block devices (ENOTTY), and fails what would move data (FICLONE), or tell where it is: FIEMAP of the image
 * would show holes where the backing file has data.
 */
int hook_ioctl(int fd, unsigned long request, ...)
{
    struct ofd *ofd = fdtable_get(fd);
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (!ofd)
        return REAL(ioctl)(fd, request, arg);
    return LEAVE(ofd, fd, ioctl_disk(ofd, fd, request, arg), "ioctl", "%#lx", request);
}

#define HOOK_fd EXPORT
#include "alias.h"
