/*
 * Making a disk. The metadata file is written under another name, synced, and
 * linked into place, so that it is there whole or not at all, and so that a file
 * of that name is never overwritten by accident. What was made on the way is
 * removed when a later step fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "disk.h"
#include "format.h"
#include "lock.h"
#include "msg.h"
#include "name.h"

struct creation {
    const struct acow_sys *sys;
    const struct acow_create *what;
    struct acow_msg *msg;
    char *real, *image, *backing, *temp;
    uint64_t size, backing_size;
    bool image_made, temp_made;
};

static int check_names(struct creation *c)
{
    const struct acow_create *what = c->what;

    if (!what->backing_name || !what->backing_name[0] || !what->image_name || !what->image_name[0])
        return msg_set(c->msg, -EINVAL, "%s: both backing_file and image_file must be given",
                       what->path);
    if (strlen(what->backing_name) > ACOW_NAME_MAX || strlen(what->image_name) > ACOW_NAME_MAX)
        return msg_set(c->msg, -ENAMETOOLONG, "%s: the names of backing file and image file are at "
                       "most 1023 bytes long", what->path);
    if (!what->backing_fmt)
        return 0;
    if (strcmp(what->backing_fmt, "raw") != 0 && strcmp(what->backing_fmt, "add-cow") != 0)
        return msg_set(c->msg, -EINVAL, "%s: backing format '%s' is not known (raw or add-cow)",
                       what->path, what->backing_fmt);
    if ((strcmp(what->backing_fmt, "add-cow") == 0) != acow_name_is_disk(what->backing_name))
        return msg_set(c->msg, -EINVAL, "%s: backing format '%s' does not fit the name %s: a backing "
                       "file is an add-cow disk if its name ends in " ACOW_SUFFIX ", and raw otherwise",
                       what->path, what->backing_fmt, what->backing_name);
    return 0;
}

static int same_file(struct creation *c, const char *a, const char *b)
{
    return msg_set(c->msg, -EINVAL, "%s: cannot create: %s and %s are one; metadata, image and "
                   "backing must be three different files", c->what->path, a, b);
}

/* Under their real names: `./x` is `x`, also if neither exists yet. */
static int check_distinct(struct creation *c)
{
    char *image = NULL, *backing = NULL;
    const char *bad = c->image;
    int r = name_real(c->sys, bad, &image);

    if (r == 0)
        r = name_real(c->sys, bad = c->backing, &backing);
    if (r < 0)
        msg_set(c->msg, r, "%s: cannot find its directory: %s", bad, msg_why(r));
    else if (strcmp(c->real, image) == 0)
        r = same_file(c, c->real, c->image);
    else if (strcmp(c->real, backing) == 0)
        r = same_file(c, c->real, c->backing);
    else if (strcmp(image, backing) == 0)
        r = same_file(c, c->image, c->backing);
    free(image);
    free(backing);
    return r;
}

static int resolve(struct creation *c)
{
    int r = name_real(c->sys, c->what->path, &c->real);

    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot create: %s", c->what->path, msg_why(r));
    c->image = name_resolve(c->real, c->what->image_name);
    c->backing = name_resolve(c->real, c->what->backing_name);
    if (!c->image || !c->backing || asprintf(&c->temp, "%s.%d.tmp", c->real, (int)getpid()) < 0) {
        c->temp = NULL;
        return msg_set(c->msg, -ENOMEM, "%s: out of memory", c->what->path);
    }
    return check_distinct(c);
}

/* Notes the files that are there already, so that two of them cannot be one under two names. */
static int note_file(struct creation *c, struct chain *chain, const char *path, enum chain_role role)
{
    struct stat st;
    int r = c->sys->stat(path, &st);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot look at it: %s", path, msg_why(r));
    return chain_add(chain, &st, role, path, c->msg);
}

static int check_backing(struct creation *c)
{
    struct chain chain = { 0 };
    struct acow_disk *disk;
    struct stat st;
    int64_t size;
    int fd, r;

    r = note_file(c, &chain, c->real, CHAIN_META);
    if (r == 0)
        r = note_file(c, &chain, c->image, CHAIN_IMAGE);
    if (r < 0)
        return r;
    if (acow_name_is_disk(c->backing)) {
        if (chain.depth == 0)
            chain.depth = 1;
        r = disk_open_chain(c->sys, c->backing, ACOW_INSPECT, NULL, &chain, &disk, c->msg);
        if (r < 0)
            return r;
        size = acow_size(disk);
        acow_close(disk, NULL);
    } else {
        fd = disk_open_plain(c->sys, c->backing, O_RDONLY, true, "backing file", &st, c->msg);
        if (fd < 0)
            return fd;
        r = chain_add(&chain, &st, CHAIN_BACKING, c->backing, c->msg);
        size = r < 0 ? r : c->sys->lseek(fd, 0, SEEK_END);
        c->sys->close(fd);
    }
    if (r < 0)
        return r;
    if (size < 0)
        return msg_set(c->msg, (int)size, "%s: cannot tell its size: %s", c->backing,
                       msg_why((int)size));
    c->backing_size = (uint64_t)size;
    return 0;
}

static int remove_run(struct creation *c, const char *run)
{
    int r = c->sys->unlink(run);

    if (r == 0 || r == -ENOENT)
        return 0;
    return msg_set(c->msg, r, "%s: left by another disk of this name, and cannot be removed: %s", run,
                   msg_why(r));
}

/*
 * A disk that is to be replaced must not be in use. What a killed program left of the
 * run-time state of a disk of this name goes with it: inode numbers are used again, so
 * the new disk's might be taken for the old one's.
 */
static int retire_old(struct creation *c)
{
    char *run = name_run(c->real);
    int fd, r = 0, held = 0;

    if (!run)
        return msg_set(c->msg, -ENOMEM, "%s: out of memory", c->what->path);
    fd = c->sys->open(c->real, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd >= 0) {
        held = lock_held(c->sys, fd, F_WRLCK, DISK_READER);
        if (held == 0)
            held = lock_held(c->sys, fd, F_WRLCK, DISK_BACKING);
        c->sys->close(fd);
    }
    if (held > 0)
        r = msg_set(c->msg, -EBUSY, "%s: cannot be replaced: a program has it open", c->what->path);
    else if (held < 0 || (fd < 0 && fd != -ENOENT))
        r = msg_set(c->msg, fd < 0 ? fd : held, "%s: cannot tell if it is in use: %s",
                    c->what->path, msg_why(fd < 0 ? fd : held));
    else
        r = remove_run(c, run);
    free(run);
    return r;
}

static int check_size(struct creation *c, const char *path, uint64_t size)
{
    if (size > ACOW_SIZE_MAX)
        return msg_set(c->msg, -EFBIG, "%s: a disk is at most 1 PiB large", path);
    c->size = size;
    return 0;
}

static int use_image(struct creation *c)
{
    struct stat st;
    int fd = disk_open_plain(c->sys, c->image, O_RDWR, false, "image file", &st, c->msg);

    if (fd < 0)
        return fd;
    c->sys->close(fd);
    if (c->what->size >= 0 && st.st_size != c->what->size)
        return msg_set(c->msg, -EINVAL, "%s: exists and has %lld bytes, not %lld: an image file that "
                       "exists keeps its size (give no size, or another image file)", c->image,
                       (long long)st.st_size, (long long)c->what->size);
    return check_size(c, c->image, (uint64_t)st.st_size);
}

static int make_image(struct creation *c)
{
    int fd, r;

    r = check_size(c, c->image, c->what->size >= 0 ? (uint64_t)c->what->size : c->backing_size);
    if (r < 0)
        return r;
    fd = c->sys->open(c->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return msg_set(c->msg, fd, "%s: cannot create the image file: %s", c->image, msg_why(fd));
    c->image_made = true;
    r = c->sys->ftruncate(fd, (int64_t)c->size);
    if (r == 0)
        r = c->sys->fdatasync(fd);
    c->sys->close(fd);
    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot make the image file %llu bytes large: %s", c->image,
                       (unsigned long long)c->size, msg_why(r));
    return 0;
}

static int check_image(struct creation *c)
{
    struct stat st;
    int r = c->sys->stat(c->image, &st);

    if (r == -ENOENT)
        return make_image(c);
    return r == 0 ? use_image(c)
                  : msg_set(c->msg, r, "%s: cannot look at it: %s", c->image, msg_why(r));
}

static int write_all(const struct acow_sys *sys, int fd, const void *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = sys->pwrite(fd, (const char *)buf + done, len - done, (int64_t)done);

        if (n <= 0)
            return n < 0 ? (int)n : -ENOSPC;
        done += (size_t)n;
    }
    return 0;
}

static int write_meta(struct creation *c)
{
    struct format_header header = { 0 };
    uint8_t buf[FORMAT_HEADER];
    int fd, r;

    strcpy(header.backing, c->what->backing_name);
    strcpy(header.image, c->what->image_name);
    format_encode(&header, buf);
    c->sys->unlink(c->temp);
    fd = c->sys->open(c->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return msg_set(c->msg, fd, "%s: cannot create: %s", c->what->path, msg_why(fd));
    c->temp_made = true;
    r = write_all(c->sys, fd, buf, sizeof(buf));
    if (r == 0)
        r = c->sys->ftruncate(fd, (int64_t)(FORMAT_HEADER + format_bitmap_bytes(c->size)));
    if (r == 0)
        r = c->sys->fdatasync(fd);
    c->sys->close(fd);
    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot write the header: %s", c->what->path, msg_why(r));
    return 0;
}

/* A new name is durable when its directory is synced. */
static int sync_directory(struct creation *c, const char *path)
{
    char *dir = strdup(path);
    char *slash;
    int fd, r;

    if (!dir)
        return -ENOMEM;
    slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = '\0';
    fd = c->sys->open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    free(dir);
    if (fd < 0)
        return fd;
    r = c->sys->fdatasync(fd);
    c->sys->close(fd);
    return r == -EINVAL ? 0 : r;
}

static int put_in_place(struct creation *c)
{
    int r = sync_directory(c, c->image);

    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot create: %s", c->image, msg_why(r));
    r = c->what->force ? c->sys->rename(c->temp, c->real) : c->sys->link(c->temp, c->real);
    if (r == -EEXIST)
        return msg_set(c->msg, r, "%s: exists already (--force replaces it)", c->what->path);
    if (r == 0 && c->what->force)   /* the old one is gone: nothing is taken back from here on */
        c->temp_made = c->image_made = false;
    if (r == 0) {
        r = sync_directory(c, c->real);
        if (r < 0 && c->what->force)
            return msg_set(c->msg, r, "%s: replaced, but a power cut may bring the old one back: %s",
                           c->what->path, msg_why(r));
        if (r < 0)
            c->sys->unlink(c->real);
    }
    if (r < 0)
        return msg_set(c->msg, r, "%s: cannot create: %s", c->what->path, msg_why(r));
    return 0;
}

int acow_create(const struct acow_sys *sys, const struct acow_create *what, uint64_t *size_out,
                struct acow_msg *msg)
{
    struct creation c = { .sys = sys, .what = what, .msg = msg };
    struct stat st;
    int r;

    r = check_names(&c);
    if (r == 0)
        r = resolve(&c);
    if (r == 0 && !what->force && sys->stat(c.real, &st) == 0)
        r = msg_set(msg, -EEXIST, "%s: exists already (--force replaces it)", what->path);
    if (r == 0)
        r = check_backing(&c);
    if (r == 0)
        r = check_image(&c);
    if (r == 0)
        r = write_meta(&c);
    if (r == 0)
        r = retire_old(&c);
    if (r == 0)
        r = put_in_place(&c);
    if (c.temp_made)
        sys->unlink(c.temp);
    if (r < 0 && c.image_made)
        sys->unlink(c.image);
    if (r == 0 && size_out)
        *size_out = c.size;
    free(c.real);
    free(c.image);
    free(c.backing);
    free(c.temp);
    return r;
}
