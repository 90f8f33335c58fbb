/*
 * What takes or gives times, in programs with a 64-bit time_t. Setting those of a disk goes by the bodies with
 * 32-bit times, and what these cannot hold is EOVERFLOW.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "../fdtable.h"
#include "../memory.h"
#include "../path.h"
#include "../real.h"

static bool is_disk(int dir, const char *path, int flags)
{
    char real_path[PATH_LEN];

    if (!path || (!memory_is_bad(path) && path[0] == '\0' && flags & AT_EMPTY_PATH))
        return fdtable_is_disk(dir);
    return path_is_disk(dir, path, !(flags & AT_SYMLINK_NOFOLLOW), real_path);
}

static int failed(int err)
{
    errno = err;
    return -1;
}

static bool narrow_times(const struct time64 times[2], struct timespec out[2])
{
    for (int i = 0; i < 2; i++) {
        out[i] = (struct timespec){ .tv_sec = (time_t)times[i].sec, .tv_nsec = times[i].nsec };
        if (out[i].tv_sec != times[i].sec)
            return false;
    }
    return true;
}

/* NULL, for now, stays NULL. */
static const struct time64 *finer(const struct timeval64 times[2], struct time64 fine[2])
{
    for (int i = 0; times && i < 2; i++)
        fine[i] = (struct time64){ .sec = times[i].sec, .nsec = (int32_t)times[i].usec * 1000 };
    return times ? fine : NULL;
}

static int on_disk(int dir, const char *path, const struct time64 times[2], int flags)
{
    struct timespec narrow[2];

    if (times && memory_check(times, 2 * sizeof(*times), false) < 0)
        return failed(EFAULT);
    if (times && !narrow_times(times, narrow))
        return failed(EOVERFLOW);
    return hook_utimensat(dir, path, times ? narrow : NULL, flags);
}

int hook_time64_futimens(int fd, const struct time64 times[2])
{
    return fdtable_is_disk(fd) ? on_disk(fd, NULL, times, 0) : REAL(__futimens64)(fd, times);
}

int hook_time64_utimensat(int dir, const char *path, const struct time64 times[2], int flags)
{
    return is_disk(dir, path, flags) ? on_disk(dir, path, times, flags)
                                     : REAL(__utimensat64)(dir, path, times, flags);
}

int hook_time64_utimes(const char *path, const struct timeval64 times[2])
{
    struct time64 fine[2];

    return path && is_disk(AT_FDCWD, path, 0) ? on_disk(AT_FDCWD, path, finer(times, fine), 0)
                                              : REAL(__utimes64)(path, times);
}

int hook_time64_lutimes(const char *path, const struct timeval64 times[2])
{
    struct time64 fine[2];

    return path && is_disk(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)
        ? on_disk(AT_FDCWD, path, finer(times, fine), AT_SYMLINK_NOFOLLOW)
        : REAL(__lutimes64)(path, times);
}

int hook_time64_futimes(int fd, const struct timeval64 times[2])
{
    struct time64 fine[2];

    return fdtable_is_disk(fd) ? on_disk(fd, NULL, finer(times, fine), 0)
                               : REAL(__futimes64)(fd, times);
}

int hook_time64_futimesat(int dir, const char *path, const struct timeval64 times[2])
{
    struct time64 fine[2];

    return is_disk(dir, path, 0) ? on_disk(dir, path, finer(times, fine), 0)
                                 : REAL(__futimesat64)(dir, path, times);
}

int hook_time64_utime(const char *path, const int64_t times[2])
{
    struct time64 fine[2];

    if (!path || !is_disk(AT_FDCWD, path, 0))
        return REAL(__utime64)(path, times);
    for (int i = 0; times && i < 2; i++)
        fine[i] = (struct time64){ .sec = times[i] };
    return on_disk(AT_FDCWD, path, times ? fine : NULL, 0);
}

/* It is how long to wait, and nobody waits for more than 68 years. */
int hook_time64_aio_suspend(const struct aiocb *const list[], int count, const struct time64 *timeout)
{
    struct timespec narrow;

    if (timeout)
        narrow = (struct timespec){ timeout->sec > INT32_MAX ? INT32_MAX : (time_t)timeout->sec,
                                    timeout->nsec };
    return hook_aio_suspend(list, count, timeout ? &narrow : NULL);
}

/* A message may say when it came. */
ssize_t hook_time64_recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t n = REAL(__recvmsg64)(fd, msg, flags);

    if (n >= 0 && msg->msg_controllen)
        hook_socket_received(msg);
    return n;
}

int hook_time64_recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct time64 *timeout)
{
    int n = REAL(__recvmmsg64)(fd, msgs, count, flags, timeout);

    for (int i = 0; i < n; i++)
        if (msgs[i].msg_hdr.msg_controllen)
            hook_socket_received(&msgs[i].msg_hdr);
    return n;
}

#define HOOK_time64 EXPORT
#include "../alias.h"
