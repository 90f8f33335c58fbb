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
#include "quiet.h"

#define REGION_MAGIC 0x61636f7772756e31ull     /* "acowrun1" */
/* What two programs must agree on to share locks: version, architecture, mutex size (mutex.h). */
#define REGION_ABI (2u << 24 | 8u << 16 | (uint32_t)sizeof(shared_mutex))

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

#define LOCKS (3 + REGION_STRIPES)

static shared_mutex *nth_lock(struct region *region, int n)
{
    switch (n) {
    case 0:
        return &region->size_lock;
    case 1:
        return &region->flush_lock;
    case 2:
        return &region->reserve_lock;
    default:
        return &region->stripes[n - 3].lock;
    }
}

static int init_locks(struct region *region)
{
    int r = 0;

    for (int n = 0; r == 0 && n < LOCKS; n++)
        r = -mutex_init(nth_lock(region, n));
    return r;
}

/* A lock of another kind would not be taken as ours are; for some kinds libc ends the process. */
static bool are_our_locks(struct region *region)
{
    int n = 0;

    while (n < LOCKS && mutex_is_sound(nth_lock(region, n)))
        n++;
    return n == LOCKS;
}

/*
 * What is wrong with the head, or NULL: whoever may write to the disk may have put anything
 * there. Where nobody is alive, the locks and the generation are made anew.
 */
static const char *find_flaw(struct region *region, uint64_t size, uint64_t pages, uint64_t there,
                             bool alive)
{
    if (pages > bits_pages(format_sectors(ACOW_SIZE_MAX)) || there < REGION_HEAD + bits_area(pages))
        return "cut short";
    if (size > ACOW_SIZE_MAX || bits_pages(format_sectors(size)) > pages)
        return "no room for a disk of its size";
    if (alive && __atomic_load_n(&region->gen, __ATOMIC_ACQUIRE) > REGION_DEAD / 2)
        return "no such generation";
    if (alive && !are_our_locks(region))
        return "its locks are none of ours";
    return NULL;
}

static int damaged(struct acow_disk *disk, const char *how, bool alive, struct acow_msg *msg)
{
    if (alive)
        return msg_set(msg, -EIO, "%s: is damaged while in use (%s)", disk->run_path, how);
    return msg_set(msg, -EIO, "%s: is damaged (%s); if no program uses the disk, remove it: that "
                   "gives up what was written and not flushed", disk->run_path, how);
}

bool runfile_is_whole(struct region *region, const struct stat *st)
{
    return !find_flaw(region, region->size, region->pages, (uint64_t)st->st_size, false);
}

int runfile_judge(struct acow_disk *disk, int fd, struct region *region, bool alive,
                  struct acow_msg *msg)
{
    struct region_files files;
    uint64_t size, pages;
    const char *flaw;
    char boot_id[40];
    struct stat st;
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
    /* In the order opposite to that of growth, which may be under way. */
    size = __atomic_load_n(&region->size, __ATOMIC_ACQUIRE);
    pages = __atomic_load_n(&region->pages, __ATOMIC_ACQUIRE);
    r = disk->sys->fstat(fd, &st);
    if (r < 0)
        return r;
    flaw = find_flaw(region, size, pages, (uint64_t)st.st_size, alive);
    return flaw ? damaged(disk, flaw, alive, msg) : 1;
}

int runfile_make(struct acow_disk *disk, struct region **out, uint64_t size,
                       struct acow_msg *msg)
{
    const struct acow_sys *sys = disk->sys;
    struct region *region;
    void *map;
    int r;

    r = quiet_ftruncate(sys, disk->run_fd, REGION_HEAD);
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
        r = init_locks(region);
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

int runfile_take_over(struct acow_disk *disk, struct region *region, uint64_t size,
                      struct acow_msg *msg)
{
    int r;

    memset(region->holders, 0, sizeof(region->holders));
    r = init_locks(region);
    region->backing_dev = disk->backing_dev;
    region->backing_ino = disk->backing_ino;
    region->meta_len = 0;
    if (r == 0)
        r = region_reserve_again(disk, region);
    if (r == 1)
        return damaged(disk, "its summary", false, msg);
    if (r == 0)
        r = region_room(disk, region, size);
    /* Only now: a head must never tell of a size that it has no room for. */
    if (r == 0)
        region->size = size;
    region->gen = region->gen % (REGION_DEAD / 2) + 1;
    return r;
}

/*
 * The lock is held, so nothing is under way: the disk is not larger than its image, nor is the
 * metadata file shorter than it was said to be, but by a stranger's hand.
 */
static int believe_files(struct acow_disk *disk, struct region *region, bool size_lost)
{
    struct stat meta;
    uint64_t image;
    int r = disk_image_size(disk, &image);

    if (r == 0)
        r = disk->sys->fstat(disk->meta_fd, &meta);
    if (r < 0)
        return r;
    if (size_lost || region->size > image)
        __atomic_store_n(&region->size, image, __ATOMIC_RELEASE);
    if (region->meta_len > (uint64_t)meta.st_size)
        __atomic_store_n(&region->meta_len, 0, __ATOMIC_RELEASE);
    return 0;
}

int runfile_join_live(struct acow_disk *disk, struct region *region, struct acow_msg *msg)
{
    int died, r;

    if (region->backing_dev != disk->backing_dev || region->backing_ino != disk->backing_ino)
        return msg_set(msg, -ESTALE, "%s: has been replaced while it is in use as the backing file of "
                       "%s; close the programs that use that disk", disk->backing_path
                       ? disk->backing_path : "the backing file", disk->meta_path);
    died = region_lock(disk, &region->size_lock);
    if (died < 0)
        return died;
    /* Who died may have made room and not said so. */
    if (died)
        __atomic_fetch_add(&region->gen, 1, __ATOMIC_ACQ_REL);
    r = believe_files(disk, region, died);
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
