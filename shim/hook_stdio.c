/*
 * fopen, fdopen, freopen. freopen keeps the descriptor's number, and where the
 * stream is stdin, stdout or stderr it keeps that name; the FILE itself
 * is a new one, because libc's cannot change over to or from one of ours.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hooks.h"
#include "leave.h"
#include "path.h"
#include "real.h"
#include "report.h"
#include "stream.h"

FILE *hook_fopen(const char *path, const char *mode)
{
    char real_path[PATH_LEN];
    int flags = stream_flags(mode);
    FILE *file;
    int fd;

    if (flags < 0 || !path_is_disk(AT_FDCWD, path, true, real_path)) {
        file = REAL(fopen)(path, mode);
        if (file)
            fdtable_is_other(fileno(file));
        return file;
    }
    fd = hook_open(path, flags, 0666);
    if (fd < 0)
        return NULL;
    file = stream_make(fd, mode);
    if (!file)
        hook_close(fd);
    return file;
}

/* A table of mounts in a disk; unlikely, but it is a path that libc opens. */
FILE *hook_setmntent(const char *path, const char *mode)
{
    char real_path[PATH_LEN];

    return path_is_disk(AT_FDCWD, path, true, real_path) ? hook_fopen(path, mode)
                                                         : REAL(setmntent)(path, mode);
}

FILE *hook_fdopen(int fd, const char *mode)
{
    struct ofd *ofd = fdtable_get(fd);
    int flags = stream_flags(mode), have;

    if (!ofd)
        return REAL(fdopen)(fd, mode);
    have = (int)ofd->state->flags & O_ACCMODE;
    if (flags < 0 || (have != O_RDWR && have != (flags & O_ACCMODE)))
        return LEAVE(ofd, fd, -EINVAL, "fdopen", "%s", mode), NULL;
    fdtable_put(ofd);
    if (flags & O_APPEND)
        hook_fcntl(fd, F_SETFL, hook_fcntl(fd, F_GETFL, 0) | O_APPEND);
    return stream_make(fd, mode);
}

/* The standard stream that this is, or NULL. */
static FILE **standard(FILE *file)
{
    return file == stdin ? &stdin : file == stdout ? &stdout : file == stderr ? &stderr : NULL;
}

static int reopen_fd(const char *path, int flags, int at)
{
    int fd = hook_open(path, flags, 0666);

    if (fd < 0 || at < 0 || fd == at)
        return fd;
    if (hook_dup3(fd, at, flags & O_CLOEXEC) < 0)
        at = -1;
    hook_close(fd);
    return at;
}

FILE *hook_freopen(const char *path, const char *mode, FILE *file)
{
    char real_path[PATH_LEN];
    bool ours = stream_is_ours(file);
    FILE **name, *made;
    int flags = stream_flags(mode), fd;

    if (!ours && !(path && path_is_disk(AT_FDCWD, path, true, real_path)))
        return REAL(freopen)(path, mode, file);
    if (!path) {
        report_unserved("freopen without a path", "a stream on a disk");
        errno = EBADF;
        return NULL;
    }
    fflush(file);
    fd = flags < 0 ? -1 : reopen_fd(path, flags, fileno(file));
    if (fd < 0)
        return NULL;
    made = fdtable_is_disk(fd) ? stream_make(fd, mode) : REAL(fdopen)(fd, mode);
    name = standard(file);
    if (made && name)
        *name = made;
    return made;
}

/* libc's own writes to the descriptor past every hook. */
int hook_vdprintf(int fd, const char *format, va_list args)
{
    char *text = NULL;
    int len, done = 0;

    if (!fdtable_is_disk(fd))
        return REAL(vdprintf)(fd, format, args);
    len = vasprintf(&text, format, args);
    while (done < len) {
        ssize_t n = hook_write(fd, text + done, (size_t)(len - done));

        if (n <= 0) {
            len = -1;
            break;
        }
        done += (int)n;
    }
    free(text);
    return len;
}

int hook_vdprintf_chk(int fd, int level, const char *format, va_list args)
{
    if (!fdtable_is_disk(fd))
        return REAL(__vdprintf_chk)(fd, level, format, args);
    return hook_vdprintf(fd, format, args);
}

int hook_dprintf(int fd, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = hook_vdprintf(fd, format, args);
    va_end(args);
    return len;
}

int hook_dprintf_chk(int fd, int level, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = hook_vdprintf_chk(fd, level, format, args);
    va_end(args);
    return len;
}

#define HOOK_stdio EXPORT
#include "alias.h"
