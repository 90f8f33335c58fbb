/*
 * Opening and closing a disk and its chain. Opening only looks until everything
 * has been found good; the first thing it makes is the run-time file, last of all.
 *
 * A raw backing file is never probed: its content comes from a guest. Whether a
 * backing file is a disk of its own is told by its name alone, which comes from
 * the administrator of the host.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "claim.h"
#include "format.h"
#include "msg.h"
#include "name.h"

/* What `stale` looks at: its generation is never that of an att. */
static struct region no_region = { .gen = 1 };

static int check_kind(const char *path, bool device_too, const char *what, const struct stat *st,
                      struct acow_msg *msg)
{
    if (S_ISDIR(st->st_mode))
        return msg_set(msg, -EISDIR, "%s: cannot use as %s: it is a directory", path, what);
    if (!S_ISREG(st->st_mode) && !(device_too && S_ISBLK(st->st_mode)))
        return msg_set(msg, -EINVAL, "%s: cannot use as %s: it is not a regular file%s", path, what,
                       device_too ? " or block device" : "");
    return 0;
}

/* Looked at before it is opened, since opening a device or a fifo can do things; and after. */
int disk_open_plain(const struct acow_sys *sys, const char *path, int flags, bool device_too,
                      const char *what, struct stat *st, struct acow_msg *msg)
{
    int fd, r = sys->stat(path, st);

    if (r < 0)
        return msg_set(msg, r, "%s: cannot open %s: %s", path, what, msg_why(r));
    r = check_kind(path, device_too, what, st, msg);
    if (r < 0)
        return r;
    fd = sys->open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    r = fd < 0 ? fd : sys->fstat(fd, st);
    if (r < 0)
        msg_set(msg, r, "%s: cannot open %s: %s", path, what, msg_why(r));
    else
        r = check_kind(path, device_too, what, st, msg);
    if (r < 0 && fd >= 0)
        sys->close(fd);
    return r < 0 ? r : fd;
}

ssize_t disk_read_header(const struct acow_sys *sys, int fd, uint8_t buf[FORMAT_HEADER])
{
    size_t len = 0;

    while (len < FORMAT_HEADER) {
        ssize_t n = sys->pread(fd, buf + len, FORMAT_HEADER - len, (int64_t)len);

        if (n < 0)
            return n;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_header(struct acow_disk *disk, struct format_header *header, struct acow_msg *msg)
{
    uint8_t buf[FORMAT_HEADER];
    const char *why;
    ssize_t n = disk_read_header(disk->sys, disk->meta_fd, buf);
    int r;

    if (n < 0)
        return msg_set(msg, (int)n, "%s: cannot read the header: %s", disk->meta_path,
                       msg_why((int)n));
    r = format_decode(buf, (size_t)n, header, &why);
    if (r < 0)
        return msg_set(msg, r, "%s: %s", disk->meta_path, why);
    return 0;
}

int disk_open_meta(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg)
{
    struct format_header header;
    struct stat st;
    int r;

    r = disk_open_plain(disk->sys, disk->meta_path, disk->writable ? O_RDWR : O_RDONLY, false,
                   "metadata file", &st, msg);
    if (r < 0)
        return r;
    disk->meta_fd = r;
    disk->meta_dev = st.st_dev;
    disk->meta_ino = st.st_ino;
    r = chain_add(chain, &st, CHAIN_META, disk->meta_path, msg);
    if (r == 0)
        r = read_header(disk, &header, msg);
    if (r < 0)
        return r;
    r = name_real(disk->sys, disk->meta_path, &disk->real_path);
    if (r < 0)
        return msg_set(msg, r, "%s: cannot find its directory: %s", disk->meta_path, msg_why(r));
    disk->run_path = name_run(disk->real_path);
    disk->image_name = strdup(header.image);
    disk->backing_name = strdup(header.backing);
    disk->image_path = name_resolve(disk->real_path, header.image);
    if (header.backing[0])
        disk->backing_path = name_resolve(disk->real_path, header.backing);
    if (!disk->run_path || !disk->image_name || !disk->backing_name || !disk->image_path
        || (header.backing[0] && !disk->backing_path))
        return msg_set(msg, -ENOMEM, "%s: out of memory", disk->meta_path);
    return 0;
}

int disk_open_image(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg)
{
    struct stat st;
    int r;

    if (!disk->image_name[0])
        return msg_set(msg, -ENOENT, "%s: its header names no image file", disk->meta_path);
    r = disk_open_plain(disk->sys, disk->image_path, disk->writable ? O_RDWR : O_RDONLY, false,
                   "image file", &st, msg);
    if (r < 0)
        return r;
    disk->image_fd = r;
    disk->image_dev = st.st_dev;
    disk->image_ino = st.st_ino;
    if ((uint64_t)st.st_size > ACOW_SIZE_MAX)
        return msg_set(msg, -EFBIG, "%s: the image file is larger than 1 PiB, the largest disk served",
                       disk->image_path);
    r = chain_add(chain, &st, CHAIN_IMAGE, disk->image_path, msg);
    return r < 0 || disk->flags & ACOW_INSPECT ? r : claim_image(disk, msg);
}

/* The size of what was opened as the backing file, or what went wrong with that. */
static int set_backing_size(struct acow_disk *disk, int64_t size, struct acow_msg *msg)
{
    if (size < 0)
        return msg_set(msg, (int)size, "%s: cannot tell its size: %s", disk->backing_path,
                       msg_why((int)size));
    disk->backing_size = (uint64_t)size;
    return 0;
}

int disk_open_raw_backing(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg)
{
    struct stat st;
    int r = disk_open_plain(disk->sys, disk->backing_path, O_RDONLY, true, "backing file", &st,
                            msg);

    if (r < 0)
        return r;
    disk->backing_fd = r;
    disk->backing_dev = st.st_dev;
    disk->backing_ino = st.st_ino;
    r = chain_add(chain, &st, CHAIN_BACKING, disk->backing_path, msg);
    if (r == 0 && !(disk->flags & ACOW_INSPECT))
        r = claim_raw_backing(disk, msg);
    if (r < 0)
        return r;
    return set_backing_size(disk, disk->sys->lseek(disk->backing_fd, 0, SEEK_END), msg);
}

static int open_backing(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg)
{
    int r;

    if (!disk->backing_path)
        return 0;
    if (!acow_name_is_disk(disk->backing_path))
        return disk_open_raw_backing(disk, chain, msg);
    r = disk_open_chain(disk->sys, disk->backing_path,
                        (disk->flags & ACOW_INSPECT) | DISK_BACKING_USE, NULL, chain,
                        &disk->backing, msg);
    if (r < 0)
        return r;
    disk->backing_dev = disk->backing->meta_dev;
    disk->backing_ino = disk->backing->meta_ino;
    return set_backing_size(disk, acow_size(disk->backing), msg);
}

/* What is wrong with a run-time file otherwise, who takes part in it finds out. */
static int check_run(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg)
{
    struct stat st;

    if (disk->sys->stat(disk->run_path, &st) < 0)
        return 0;
    return chain_add(chain, &st, CHAIN_RUN, disk->run_path, msg);
}

/* The mate may be taking part anew meanwhile. */
static void part_from_mate(struct acow_disk *disk)
{
    struct acow_disk *mate = disk->mate;

    if (!mate)
        return;
    pthread_mutex_lock(&mate->local);
    mate->mate = NULL;
    pthread_mutex_unlock(&mate->local);
}

void disk_free(struct acow_disk *disk)
{
    const int fds[] = { disk->meta_fd, disk->image_fd, disk->backing_fd, disk->run_fd };

    region_unmap(disk);
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            disk->sys->close(fds[i]);
    if (disk->backing)
        acow_close(disk->backing, NULL);
    free(disk->meta_path);
    free(disk->real_path);
    free(disk->run_path);
    free(disk->image_path);
    free(disk->backing_path);
    free(disk->image_name);
    free(disk->backing_name);
    pthread_mutex_destroy(&disk->local);
    pthread_rwlock_destroy(&disk->relying);
    free(disk);
}

/* Who ends the taking part comes before new writes, or might wait for ever. */
void disk_init_locks(struct acow_disk *disk)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&disk->relying, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&disk->local, NULL);
}

static bool are_mates(const struct acow_disk *disk, const struct acow_disk *other)
{
    return other && !other->mate && other->writable != disk->writable
           && !((disk->flags | other->flags) & (ACOW_INSPECT | DISK_BACKING_USE))
           && other->meta_dev == disk->meta_dev && other->meta_ino == disk->meta_ino;
}

struct acow_disk *disk_new(const struct acow_sys *sys, const char *path, int flags)
{
    struct acow_disk *disk = aligned_alloc(_Alignof(struct acow_disk), sizeof(*disk));

    if (!disk)
        return NULL;
    memset(disk, 0, sizeof(*disk));
    disk->sys = sys;
    disk->flags = flags;
    disk->writable = flags & ACOW_RDWR;
    disk->through = flags & ACOW_WRITETHROUGH;
    disk->meta_fd = disk->image_fd = disk->backing_fd = disk->run_fd = -1;
    disk->stale.region = &no_region;
    disk->att = &disk->stale;
    disk_init_locks(disk);
    disk->meta_path = strdup(path);
    if (disk->meta_path)
        return disk;
    disk_free(disk);
    return NULL;
}

int disk_open_chain(const struct acow_sys *sys, const char *path, int flags,
                    struct acow_disk *beside, struct chain *chain, struct acow_disk **out,
                    struct acow_msg *msg)
{
    struct acow_disk *disk = disk_new(sys, path, flags);
    int r;

    if (!disk)
        return msg_set(msg, -ENOMEM, "%s: out of memory", path);
    r = disk_open_meta(disk, chain, msg);
    if (r == 0)
        r = disk_open_image(disk, chain, msg);
    if (r == 0)
        r = open_backing(disk, chain, msg);
    if (r == 0)
        r = check_run(disk, chain, msg);
    if (r == 0 && are_mates(disk, beside)) {
        disk->mate = beside;
        r = region_attach_beside(disk, msg);
    } else if (r == 0) {
        r = region_attach(disk, msg);
    }
    if (r < 0) {
        part_from_mate(disk);
        if (disk->image_fd >= 0)
            claim_image_end(disk);
        disk_free(disk);
        return r;
    }
    *out = disk;
    return 0;
}

int acow_open_beside(const struct acow_sys *sys, const char *path, int flags,
                     struct acow_disk *beside, struct acow_disk **out, struct acow_msg *msg)
{
    const int all = ACOW_RDWR | ACOW_INSPECT | ACOW_WRITETHROUGH | ACOW_UNSAFE;
    struct acow_msg unwanted;
    struct chain chain = { 0 };

    if (flags & ~all || ((flags & ACOW_INSPECT) && flags != ACOW_INSPECT)
        || ((flags & ACOW_WRITETHROUGH) && (flags & ACOW_UNSAFE)))
        return msg_set(msg, -EINVAL, "%s: bad flags", path);
    return disk_open_chain(sys, path, flags, beside, &chain, out, msg ? msg : &unwanted);
}

int acow_open(const struct acow_sys *sys, const char *path, int flags, struct acow_disk **out,
              struct acow_msg *msg)
{
    return acow_open_beside(sys, path, flags, NULL, out, msg);
}

int acow_close(struct acow_disk *disk, struct acow_msg *msg)
{
    int r;

    part_from_mate(disk);
    r = region_detach(disk);
    if (r < 0)
        msg_set(msg, r, "%s: cannot flush: %s", disk->meta_path, msg_why(r));
    disk_free(disk);
    return r;
}

int acow_park(struct acow_disk *disk)
{
    int r = 0;

    pthread_rwlock_wrlock(&disk->relying);
    pthread_mutex_lock(&disk->local);
    /* A region in memory could not be found again, and a fork's child may share it. */
    if (disk->role == ROLE_ALONE)
        r = region_fold_in(disk);
    else if (disk->role != ROLE_FOLLOWER)
        r = region_detach(disk);
    pthread_mutex_unlock(&disk->local);
    pthread_rwlock_unlock(&disk->relying);
    return r;
}

int disk_reopen(const struct acow_sys *sys, int fd, int flags)
{
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return sys->open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
}

static bool outgrown(const struct acow_disk *disk, const struct att *att)
{
    return att->gen + disk->watching != __atomic_load_n(&att->region->gen, __ATOMIC_ACQUIRE);
}

int disk_refresh(struct acow_disk *disk, struct att **att, uint64_t *size)
{
    struct acow_msg msg = { "" };
    int r = 0;

    pthread_mutex_lock(&disk->local);
    do {
        struct att *now = disk->att;

        if (now == &disk->stale || __atomic_load_n(&now->region->gen, __ATOMIC_ACQUIRE) == REGION_DEAD
            || (disk->watching && region_appeared(disk)))
            r = region_attach(disk, &msg);
        else if (outgrown(disk, now))
            r = region_map(disk, now->region, now);
        *att = disk->att;
        *size = disk_size(*att);
        /* It may have grown again between the mapping and the size. */
    } while (r == 0 && outgrown(disk, *att));
    pthread_mutex_unlock(&disk->local);
    if (r < 0 && !msg.text[0])
        msg_set(&msg, r, "%s: cannot go on with it: %s", disk->run_path, msg_why(r));
    if (r < 0)
        msg_log(disk->sys, "%s", msg.text);
    return r;
}

int64_t acow_size(struct acow_disk *disk)
{
    struct att *att;
    uint64_t size;
    int r = disk_enter(disk, &att, &size);

    return r < 0 ? r : (int64_t)size;
}

static int open_image_again(struct acow_disk *disk, const char *path, int flags)
{
    struct stat st;
    int fd, r;

    fd = disk->sys->open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = disk->sys->fstat(fd, &st);
    if (r == 0 && (st.st_dev != disk->image_dev || st.st_ino != disk->image_ino))
        r = -ESTALE;
    if (r < 0) {
        disk->sys->close(fd);
        return r;
    }
    return fd;
}

/* Its name may be gone, or another file's by now: then by way of the descriptor. */
int acow_open_image(struct acow_disk *disk, int open_flags)
{
    int fd = open_image_again(disk, disk->image_path, open_flags);

    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ESTALE)
        fd = disk_reopen(disk->sys, disk->image_fd, open_flags);
    return fd;
}

int disk_image_size(struct acow_disk *disk, uint64_t *size)
{
    struct stat st;
    int r = disk->sys->fstat(disk->image_fd, &st);

    if (r == 0)
        *size = (uint64_t)st.st_size;
    return r;
}

int disk_tell_size(struct acow_disk *disk, uint64_t *size, struct acow_msg *msg)
{
    int r = disk_image_size(disk, size);

    return r < 0 ? msg_set(msg, r, "%s: cannot tell its size: %s", disk->image_path, msg_why(r)) : 0;
}

void acow_facts(struct acow_disk *disk, struct acow_facts *facts)
{
    *facts = (struct acow_facts){
        .meta_path = disk->meta_path,
        .image_path = disk->image_path,
        .backing_path = disk->backing_path,
        .image_name = disk->image_name,
        .backing_name = disk->backing_name,
        .meta_fd = disk->meta_fd,
        .image_fd = disk->image_fd,
        .writable = disk->writable,
        .backing_size = disk->backing_size,
        .backing = disk->backing,
    };
}

void acow_count(struct acow_disk *disk, int on)
{
    disk->counting = on;
}

void acow_counters(struct acow_disk *disk, struct acow_counters *counters)
{
    *counters = disk->counters;
}

