/*
 * fopen, fdopen, freopen, fclose. freopen keeps the descriptor's number and the FILE, which a program may
 * have noted anywhere: one of ours goes on as one, also over a plain file, and one of libc's becomes ours.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hooks.h"
#include "leave.h"
#include "path.h"
#include "process.h"
#include "real.h"
#include "record.h"
#include "stream.h"

FILE *hook_fopen(const char *path, const char *mode)
{
    char real_path[PATH_LEN];
    int flags = stream_flags(mode);
    FILE *file;
    int fd;

    if (flags < 0 || !path_is_disk(AT_FDCWD, path, true, real_path)) {
        file = REAL(fopen64)(path, mode);
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

/* What has just been opened gets the stream's number, if the stream has one. */
static int move_to(int fd, int at, int flags)
{
    if (at < 0 || fd == at)
        return fd;
    if (hook_dup3(fd, at, flags & O_CLOEXEC) < 0)
        at = -1;
    hook_close(fd);
    return at;
}

/* A stream of libc's that has not been opened well is closed. */
static FILE *spoil(FILE *file, bool ours)
{
    int saved = errno;

    if (ours)
        hook_close(fileno(file));
    else
        REAL(freopen64)("", "r", file);
    errno = saved;
    return NULL;
}

/*
 * A stream of libc's: it is opened anew on something harmless, so that there is nothing left of
 * what it was, and then becomes ours. The static ones that stdin, stdout and stderr begin as have no room
 * for that: the name then stands for another one.
 */
static FILE *take_over(FILE *file, int fd, int flags, const char *mode)
{
    FILE **name = standard(file), *made;
    char plain[3] = { mode[0], strchr(mode, '+') ? '+' : '\0', '\0' };
    int at;

    if (!name)
        REAL(freopen64)("/dev/null", plain, file);
    at = move_to(fd, fileno(file), flags);
    if (at < 0)
        return spoil(file, false);
    if (!name && stream_convert(file, at, mode) == 0)
        return file;
    /* The number's new meaning may have given the name a stream of ours. */
    made = name && stream_is_ours(*name) ? *name : NULL;
    if (made)
        stream_renew(made, at, mode);
    else
        made = stream_make(at, mode);
    if (made && name)
        *name = made;
    return made;
}

static FILE *real_freopen(const char *path, const char *mode, FILE *file)
{
    FILE *made = REAL(freopen64)(path, mode, file);

    if (made)
        fdtable_is_other(fileno(made));
    return made;
}

FILE *hook_freopen(const char *path, const char *mode, FILE *file)
{
    char real_path[PATH_LEN], again[32];
    bool ours = stream_is_ours(file);
    FILE **name = standard(file);
    int flags = stream_flags(mode), at = fileno(file), fd;

    if (!ours && !(path ? path_is_disk(AT_FDCWD, path, true, real_path) : fdtable_is_disk(at)))
        return real_freopen(path, mode, file);
    if (!path) {
        snprintf(again, sizeof(again), "/proc/self/fd/%d", at);
        path = again;
    }
    fflush(file);
    if (flags < 0)
        errno = EINVAL;
    fd = flags < 0 ? -1 : hook_open(path, flags, 0666);
    if (fd < 0)
        return spoil(file, ours);
    if (file->_flags2 & STREAM_CLOEXEC)
        flags |= O_CLOEXEC;
    if (!ours)
        return take_over(file, fd, flags, mode);
    at = move_to(fd, at, flags);
    if (at < 0)
        return spoil(file, true);
    stream_renew(file, at, mode);
    if (name)
        *name = file;
    return file;
}

/* libc closes the number of a stream of its own, which may have become a disk's in the meantime. */
int hook_fclose(FILE *file)
{
    int fd = fileno(file), r, saved;
    struct ofd *ofd;

    if (fd < 0 || !fdtable_is_disk(fd) || process_is_vfork_child() || stream_is_ours(file))
        return REAL(fclose)(file);
    ofd = fdtable_take(fd);
    r = REAL(fclose)(file);
    saved = errno;
    if (ofd) {
        record_drop(ofd);
        ofd_unref(ofd);
    }
    stream_follow(fd);
    errno = saved;
    return r;
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
