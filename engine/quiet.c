/* Calls without SIGXFSZ; see quiet.h. */
#include "quiet.h"

#include <signal.h>
#include <stdbool.h>
#include <time.h>

struct hush {
    sigset_t xfsz, old;
    bool pending;               /* one that is the program's own */
};

static void hush_begin(struct hush *hush)
{
    sigset_t pending;

    sigemptyset(&hush->xfsz);
    sigaddset(&hush->xfsz, SIGXFSZ);
    hush->pending = sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1;
    pthread_sigmask(SIG_BLOCK, &hush->xfsz, &hush->old);
}

static void hush_end(const struct hush *hush, int64_t result)
{
    static const struct timespec now = { 0 };

    if (result < 0 && !hush->pending)
        sigtimedwait(&hush->xfsz, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &hush->old, NULL);
}

int quiet_ftruncate(const struct acow_sys *sys, int fd, int64_t len)
{
    struct hush hush;
    int r;

    hush_begin(&hush);
    r = sys->ftruncate(fd, len);
    hush_end(&hush, r);
    return r;
}

int quiet_fallocate(const struct acow_sys *sys, int fd, int mode, int64_t off, int64_t len)
{
    struct hush hush;
    int r;

    hush_begin(&hush);
    r = sys->fallocate(fd, mode, off, len);
    hush_end(&hush, r);
    return r;
}

ssize_t quiet_pwrite(const struct acow_sys *sys, int fd, const void *buf, size_t len, int64_t off)
{
    struct hush hush;
    ssize_t r;

    hush_begin(&hush);
    r = sys->pwrite(fd, buf, len, off);
    hush_end(&hush, r);
    return r;
}
