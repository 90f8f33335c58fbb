/*
 * Closing any descriptor of a file drops all record locks that the process has on it, and the shim has
 * descriptors of an image that the program knows nothing of. So while there are record locks on an image, none
 * of these is closed but with one of the program's own: those of an open that was refused, or of a description that
 * only a mapping still held, are parked until then. One is not even opened where it would have to be moved out of the
 * program's way, since that closes the number that it had first.
 *
 * An exec keeps record locks, if it closes no descriptor of the file. Where it would close none of the program's, all
 * of the shim's stay open too, and the shim of the next program parks those that it has no use for.
 *
 * The list is never shortened: it can be looked at without a lock.
 */
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hidden.h"
#include "process.h"
#include "real.h"

struct image {
    uint64_t dev, ino;
    bool locked;                /* atomic */
    bool lost;                  /* by the exec that is being prepared */
    struct image *next;
};

bool keep_active;
static struct image *images;

static struct image *find(uint64_t dev, uint64_t ino)
{
    struct image *image = __atomic_load_n(&images, __ATOMIC_ACQUIRE);

    while (image && (image->dev != dev || image->ino != ino))
        image = image->next;
    return image;
}

static bool is_locked(const struct image *image)
{
    return image && __atomic_load_n(&image->locked, __ATOMIC_RELAXED);
}

int keep_image(uint64_t dev, uint64_t ino)
{
    struct image *image = find(dev, ino);

    if (!image) {
        image = calloc(1, sizeof(*image));
        if (!image)
            return -ENOMEM;
        image->dev = dev;
        image->ino = ino;
        image->next = __atomic_load_n(&images, __ATOMIC_ACQUIRE);
        while (!__atomic_compare_exchange_n(&images, &image->next, image, false, __ATOMIC_RELEASE,
                                            __ATOMIC_ACQUIRE))
            ;
    }
    __atomic_store_n(&image->locked, true, __ATOMIC_RELAXED);
    __atomic_store_n(&keep_active, true, __ATOMIC_RELEASE);
    return 0;
}

bool keep_path(const char *path)
{
    int saved = errno;
    struct stat st;
    bool kept = REAL(stat64)(path, &st) == 0 && is_locked(find(st.st_dev, st.st_ino));

    errno = saved;
    return kept;
}

bool keep_fd(int fd)
{
    int saved = errno;
    struct stat st;
    bool kept = REAL(fstat64)(fd, &st) == 0 && is_locked(find(st.st_dev, st.st_ino));

    errno = saved;
    return kept;
}

static bool is_of(int fd, const struct image *image)
{
    struct stat st;

    return REAL(fstat64)(fd, &st) == 0 && st.st_dev == image->dev && st.st_ino == image->ino;
}

void keep_drop(uint64_t dev, uint64_t ino)
{
    struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    struct image *image = find(dev, ino);
    bool dropped = false;

    if (!image || !__atomic_exchange_n(&image->locked, false, __ATOMIC_RELAXED))
        return;
    for (int fd = hidden_next(0); fd < FD_LIMIT; fd = hidden_next(fd + 1)) {
        if (!is_of(fd, image))
            continue;
        if (!dropped)
            REAL(fcntl64)(fd, F_SETLK, &all);
        dropped = true;
        if (hidden_is_parked(fd))
            hidden_close(fd);
    }
}

/* ---- exec ----------------------------------------------------------------- */

void keep_lose(uint64_t dev, uint64_t ino)
{
    struct image *image = find(dev, ino);

    if (image)
        image->lost = true;
}

static void leave_open(const struct image *image, bool open)
{
    for (int fd = hidden_next(0); fd < FD_LIMIT; fd = hidden_next(fd + 1)) {
        if (!is_of(fd, image))
            continue;
        if (open && !keep_is_tag(REAL(lseek64)(fd, 0, SEEK_CUR)))
            REAL(lseek64)(fd, KEEP_TAG, SEEK_SET);
        REAL(fcntl64)(fd, F_SETFD, open ? 0 : FD_CLOEXEC);
    }
}

/* The child of a vfork has its parent's memory, but not its record locks. */
void keep_bequeath(void)
{
    bool vforked = keep_active && process_is_vfork_child();

    for (struct image *image = images; image; image = image->next) {
        if (is_locked(image) && !image->lost && !vforked)
            leave_open(image, true);
        image->lost = false;
    }
}

void keep_bequeath_end(void)
{
    for (struct image *image = images; image; image = image->next)
        if (is_locked(image))
            leave_open(image, false);
}

void keep_after_fork(void)
{
    for (struct image *image = images; image; image = image->next)
        image->locked = false;
    if (keep_active)
        for (int fd = hidden_next(0); fd < FD_LIMIT; fd = hidden_next(fd + 1))
            if (hidden_is_parked(fd))
                hidden_close(fd);
    keep_active = false;
}
