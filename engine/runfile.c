/*
 * What a run-time file is: making one, and finding out whether one that is there
 * can be believed. Its magic is written last, so a file whose making was cut off
 * is none; and it says which boot it is of, whose files it belongs to, and
 * what its locks look like in memory.
 */
#include "runfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk.h"
#include "format.h"
#include "holder.h"
#include "msg.h"

#define REGION_MAGIC 0x61636f7772756e31ull     /* "acowrun1" */
/* What two programs must agree on to share locks: version, pointer size, mutex size. */
#define REGION_ABI (1u << 24 | (uint32_t)sizeof(void *) << 16 | (uint32_t)sizeof(pthread_mutex_t))

bool runfile_is_region(const struct region *region)
{
    return region->magic == REGION_MAGIC;
}

/* Not to know it is an error: a wrong guess would drop writes, or keep lost ones. */
static int read_boot_id(struct acow_disk *disk, char out[40], struct acow_msg *msg)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    int fd = disk->sys->open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t n = fd;

    memset(out, 0, 40);
    if (fd >= 0) {
        n = disk->sys->pread(fd, out, 36, 0);
        disk->sys->close(fd);
    }
    if (n >= 0 && n != 36)
        n = -EIO;
    if (n < 0)
        return msg_set(msg, (int)n, "%s: cannot open: %s cannot be read: %s", disk->meta_path, path,
                       msg_why((int)n));
    return 0;
}

int runfile_check_trust(struct acow_disk *disk, const struct stat *st, struct acow_msg *msg)
{
    struct stat meta;
    int r = disk->sys->fstat(disk->meta_fd, &meta);

    if (r < 0)
        return r;
    if (!S_ISREG(st->st_mode) || st->st_nlink > 1
        || (st->st_uid != meta.st_uid && st->st_uid != geteuid() && st->st_uid != 0))
        return msg_set(msg, -EPERM, "%s: cannot be trusted: it must be a regular file with one name "
                       "that belongs to the owner of %s", disk->run_path, disk->meta_path);
    return 0;
}

static int files_of(struct acow_disk *disk, struct region_files *out)
{
    int r;

    memset(out, 0, sizeof(*out));
    out->meta_dev = disk->meta_dev;
    out->meta_ino = disk->meta_ino;
    out->image_dev = disk->image_dev;
    out->image_ino = disk->image_ino;
    r = disk->sys->birth(disk->meta_fd, &out->meta_birth);
    return r < 0 ? r : disk->sys->birth(disk->image_fd, &out->image_birth);
}

bool runfile_is_whole(const struct region *region, const struct stat *st)
{
    return region->pages <= bits_pages(format_sectors(ACOW_SIZE_MAX))
           && (uint64_t)st->st_size >= REGION_HEAD + bits_area(region->pages);
}

int runfile_judge(struct acow_disk *disk, const struct region *region, const struct stat *st,
                 struct acow_msg *msg)
{
    struct region_files files;
    char boot_id[40];
    int r;

    if (region->magic != REGION_MAGIC)
        return 0;
    r = read_boot_id(disk, boot_id, msg);
    if (r < 0)
        return r;
    if (memcmp(region->boot_id, boot_id, sizeof(boot_id)) != 0)
        return 0;
    if (region->abi != REGION_ABI)
        return msg_set(msg, -EBUSY, "%s: made by an addcow of another version or architecture; "
                       "close the programs that use the disk", disk->run_path);
    r = files_of(disk, &files);
    if (r < 0)
        return r;
    if (memcmp(&files, &region->files, sizeof(files)) != 0)
        return msg_set(msg, -ESTALE, "%s: belongs to other files than %s and its image (copied or "
                       "replaced?); if no program uses the disk, remove it", disk->run_path,
                       disk->meta_path);
    if (!runfile_is_whole(region, st))
        return msg_set(msg, -EIO, "%s: is damaged (cut short)", disk->run_path);
    return 1;
}

static int init_mutexes(struct region *region)
{
    pthread_mutexattr_t attr;
    int r = pthread_mutexattr_init(&attr);

    if (r)
        return -r;
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&region->size_lock, &attr);
    pthread_mutex_init(&region->flush_lock, &attr);
    pthread_mutex_init(&region->reserve_lock, &attr);
    for (int i = 0; i < REGION_STRIPES; i++)
        pthread_mutex_init(&region->stripes[i].lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return 0;
}

int runfile_make(struct acow_disk *disk, struct region **out, uint64_t size,
                       struct acow_msg *msg)
{
    const struct acow_sys *sys = disk->sys;
    struct region *region;
    void *map;
    int r;

    r = sys->ftruncate(disk->run_fd, REGION_HEAD);
    if (r == 0)
        r = region_fill(disk, disk->run_fd, 0, REGION_HEAD);
    if (r == 0)
        r = sys->mmap(REGION_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, disk->run_fd, 0, &map);
    if (r < 0)
        return r;
    region = map;
    region->abi = REGION_ABI;
    region->backing_dev = disk->backing_dev;
    region->backing_ino = disk->backing_ino;
    region->gen = 1;
    region->size = size;
    r = files_of(disk, &region->files);
    if (r == 0)
        r = read_boot_id(disk, region->boot_id, msg);
    if (r == 0)
        r = init_mutexes(region);
    if (r == 0)
        r = region_room(disk, region, size);
    if (r < 0) {
        sys->munmap(map, REGION_HEAD);
        return r;
    }
    __atomic_store_n(&region->magic, REGION_MAGIC, __ATOMIC_RELEASE);
    *out = region;
    return 0;
}

int runfile_take_over(struct acow_disk *disk, struct region *region, uint64_t size)
{
    int r;

    memset(region->holders, 0, sizeof(region->holders));
    r = init_mutexes(region);
    region->backing_dev = disk->backing_dev;
    region->backing_ino = disk->backing_ino;
    region->size = size;
    region->meta_len = 0;
    if (r == 0)
        r = region_room(disk, region, size);
    region->gen = region->gen % (REGION_DEAD / 2) + 1;
    return r;
}

int runfile_join_live(struct acow_disk *disk, struct region *region, struct acow_msg *msg)
{
    int r;

    if (region->backing_dev != disk->backing_dev || region->backing_ino != disk->backing_ino)
        return msg_set(msg, -ESTALE, "%s: has been replaced while it is in use as the backing file of "
                       "%s; close the programs that use that disk", disk->backing_path
                       ? disk->backing_path : "the backing file", disk->meta_path);
    r = region_lock(disk, &region->size_lock);
    if (r < 0)
        return r;
    if (r > 0) {
        /* Who died may have made room and not said so. */
        __atomic_fetch_add(&region->gen, 1, __ATOMIC_ACQ_REL);
        r = disk_image_size(disk, &region->size);
    }
    if (r == 0)
        r = region_room(disk, region, region->size);
    region_unlock(&region->size_lock);
    return r;
}

void runfile_sign_in(struct acow_disk *disk, struct region *region)
{
    struct holder me;

    if (holder_process(disk->sys, getpid(), &me) < 0)
        me.start = 0;
    for (int i = 0; i < REGION_HOLDERS; i++) {
        if (region->holders[i].pid == 0) {
            region->holders[i] = (struct region_holder){ getpid(), disk->writable, me.start };
            return;
        }
    }
}

void runfile_sign_out(struct acow_disk *disk, struct region *region)
{
    for (int i = 0; i < REGION_HOLDERS; i++) {
        struct region_holder *holder = &region->holders[i];

        if (holder->pid == getpid() && holder->writable == disk->writable) {
            holder->pid = 0;
            return;
        }
    }
}

int runfile_map_head(struct acow_disk *disk, int prot, struct region **out)
{
    void *map;
    int r = disk->sys->mmap(REGION_HEAD, prot, MAP_SHARED, disk->run_fd, 0, &map);

    if (r == 0)
        *out = map;
    return r;
}
