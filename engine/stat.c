/*
 * A disk as stat(2) would show it: who and what it is (device, inode, mode,
 * owner, links) comes from the metadata file, how large it is and what it takes
 * up from the image, and its times are the later of the two, since writing changes
 * the image and chmod the metadata file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "disk.h"
#include "format.h"
#include "name.h"

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static void take_later(struct timespec *mine, const struct timespec *other)
{
    if (later(other, mine))
        *mine = *other;
}

static void combine(struct stat *meta, const struct stat *image)
{
    meta->st_size = image->st_size;
    meta->st_blocks = image->st_blocks;
    meta->st_blksize = image->st_blksize;
    take_later(&meta->st_atim, &image->st_atim);
    take_later(&meta->st_mtim, &image->st_mtim);
    take_later(&meta->st_ctim, &image->st_ctim);
}

int acow_fstat(struct acow_disk *disk, struct stat *st)
{
    struct stat image;
    int r = disk->sys->fstat(disk->meta_fd, st);

    if (r == 0)
        r = disk->sys->fstat(disk->image_fd, &image);
    if (r == 0)
        combine(st, &image);
    return r;
}

int acow_image_path(const struct acow_sys *sys, const char *path, char **out)
{
    struct format_header header;
    uint8_t buf[FORMAT_HEADER];
    char *real = NULL;
    const char *why;
    ssize_t n;
    int fd, r;

    fd = sys->open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    n = disk_read_header(sys, fd, buf);
    sys->close(fd);
    r = n < 0 ? (int)n : format_decode(buf, (size_t)n, &header, &why);
    if (r == 0)
        r = header.image[0] ? name_real(sys, path, &real) : -ENOENT;
    if (r == 0) {
        *out = name_resolve(real, header.image);
        r = *out ? 0 : -ENOMEM;
    }
    free(real);
    return r;
}

int acow_stat(const struct acow_sys *sys, const char *path, struct stat *st)
{
    char *image_path;
    struct stat image;
    int r = sys->stat(path, st);

    if (r < 0 || !S_ISREG(st->st_mode))
        return r < 0 ? r : -EINVAL;
    r = acow_image_path(sys, path, &image_path);
    if (r < 0)
        return r;
    r = sys->stat(image_path, &image);
    if (r == 0)
        combine(st, &image);
    free(image_path);
    return r;
}
