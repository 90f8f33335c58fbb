/*
 * open and its forms. What is not a disk goes to the real function; and since
 * that has given out a number, a slot left over under it is emptied.
 */
#include <fcntl.h>
#include <stdarg.h>

#include "addcow.h"
#include "hooks.h"
#include "leave.h"
#include "path.h"
#include "process.h"
#include "real.h"
#include "stream.h"

/* The narrow forms that 32-bit programs have come by here, too. */
#ifdef __LP64__
#define LARGE OFD_LARGE
#else
#define LARGE (narrow_opening ? 0 : OFD_LARGE)
#endif

static bool needs_mode(int flags)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

static int open_disk(const char *real_path, int flags)
{
    struct ofd *ofd;
    int saved = errno;
    int fd, r;

    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        errno = EEXIST;
        return -1;
    }
    process_change();
    r = ofd_open(real_path, flags | LARGE, &ofd, &fd);
    if (trace_on && r == 0)
        trace_call(ofd, fd, fd, "open", "%#x", flags);
    if (r < 0) {
        process_changed();
        errno = -r;
        return -1;
    }
    /* The child of a vfork has descriptors of its own, but our table is its parent's. */
    if (process_is_vfork_child())
        ofd_unref(ofd);
    else
        fdtable_set(fd, ofd);
    process_changed();
    stream_follow(fd);
    errno = saved;
    return fd;
}

/* A descriptor of the file itself, good for no data, or a directory: not a disk's business. */
static bool is_disk(int dir, const char *path, int flags, char real[PATH_LEN])
{
    return !(flags & (O_PATH | O_DIRECTORY)) && path_is_disk(dir, path, !(flags & O_NOFOLLOW), real);
}

static int other(int fd)
{
    fdtable_is_other(fd);
    return fd;
}

static int open_at(int dir, const char *path, int flags, mode_t mode)
{
    char real_path[PATH_LEN];

    if (is_disk(dir, path, flags, real_path))
        return open_disk(real_path, flags);
    return other(REAL(openat64)(dir, path, flags, mode));
}

int hook_open(const char *path, int flags, ...)
{
    char real_path[PATH_LEN];
    va_list args;
    mode_t mode = 0;

    va_start(args, flags);
    if (needs_mode(flags))
        mode = va_arg(args, mode_t);
    va_end(args);
    if (is_disk(AT_FDCWD, path, flags, real_path))
        return open_disk(real_path, flags);
    return other(REAL(open64)(path, flags, mode));
}

int hook_openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    va_start(args, flags);
    if (needs_mode(flags))
        mode = va_arg(args, mode_t);
    va_end(args);
    return open_at(dir, path, flags, mode);
}

int hook_open_2(const char *path, int flags)
{
    if (needs_mode(flags))
        return REAL(__open64_2)(path, flags);
    return open_at(AT_FDCWD, path, flags, 0);
}

int hook_openat_2(int dir, const char *path, int flags)
{
    if (needs_mode(flags))
        return REAL(__openat64_2)(dir, path, flags);
    return open_at(dir, path, flags, 0);
}

int hook_creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* The handle says which file, and the descriptor then by which name. */
int hook_open_by_handle_at(int mount, struct file_handle *handle, int flags)
{
    int fd = other(REAL(open_by_handle_at)(mount, handle, flags));
    struct ofd *ofd = fd < 0 || process_is_vfork_child() ? NULL : ofd_adopt_file(fd, flags & O_CLOEXEC, false);

    if (ofd) {
        fdtable_set(fd, ofd);
        stream_follow(fd);
    }
    return fd;
}

#define HOOK_open EXPORT
#include "alias.h"
