/*
 * Looking at a disk's run-time state; see look.h. A looker never makes a run-time file, so it has
 * one of its own, with nothing in it, where there is none, and may have to see that one appears.
 */
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "claim.h"
#include "disk.h"
#include "format.h"
#include "msg.h"
#include "runfile.h"

/*
 * A run-time file that can at least be read. 1: *region is what is in it; 0: there is nothing to
 * keep in it, or no such file.
 */
static int peek(struct acow_disk *disk, struct region **region, struct acow_msg *msg)
{
    struct stat st;
    int r = disk->sys->open(disk->run_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);

    *region = NULL;
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return msg_set(msg, r, "%s: cannot read the run-time file: %s", disk->run_path, msg_why(r));
    disk->run_fd = r;
    r = disk->sys->fstat(disk->run_fd, &st);
    if (r == 0)
        r = runfile_check_trust(disk, &st, msg);
    if (r == 0 && st.st_size >= REGION_HEAD) {
        r = runfile_map_head(disk, PROT_READ, region);
        if (r == 0)
            r = runfile_judge(disk, disk->run_fd, *region, false, msg);
    }
    if (r == 1 && (*region)->gen != REGION_DEAD)
        return 1;
    if (*region)
        disk->sys->munmap(*region, REGION_HEAD);
    region_close_run(disk);
    return r < 0 ? r : 0;
}

/* 1: the run-time file that run_fd is may have pending bits. */
static int has_bits(struct acow_disk *disk, const struct region *region)
{
    struct bits bits = { .pages = region->pages };
    size_t len = bits_area(bits.pages);
    void *map;
    int r;

    if (len == 0 || region->poison)
        return 0;
    r = disk->sys->mmap(len, PROT_READ, MAP_SHARED, disk->run_fd, REGION_HEAD, &map);
    if (r < 0)
        return r;
    bits.pending = map;
    r = bits_next_dirty(&bits, 0) < bits.pages;
    disk->sys->munmap(map, len);
    return r;
}

/*
 * Nobody else has the disk open, so a run-time file was left by a program that was killed.
 * `why` keeps this one from taking it over, and to pass it over would be to lose its writes.
 */
int look_left_over(struct acow_disk *disk, int why, struct acow_msg *msg)
{
    struct region *region;
    int r = peek(disk, &region, msg);

    if (r <= 0)
        return r;
    r = has_bits(disk, region);
    disk->sys->munmap(region, REGION_HEAD);
    region_close_run(disk);
    if (r == 1)
        return msg_set(msg, why, "%s: cannot open for writing: %s holds writes of a program that was "
                       "killed, and cannot be taken over: %s", disk->meta_path, disk->run_path,
                       msg_why(why));
    return r;
}

/* A region of one's own to look at, when there is no run-time file: no pending bits. */
static int look_at_nothing(struct acow_disk *disk, struct acow_msg *msg)
{
    struct region *region;
    uint64_t size = 0;
    void *map;
    int r = disk_tell_size(disk, &size, msg);

    if (r == 0)
        r = disk->sys->mmap(REGION_HEAD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0,
                            &map);
    if (r < 0)
        return r;
    region = map;
    region->size = size;
    region->pages = bits_pages(format_sectors(size));
    region->gen = 2;
    return region_map(disk, region, NULL);
}

int look_begin(struct acow_disk *disk, bool watch, struct acow_msg *msg)
{
    struct region *region;
    int r;

    disk->role = ROLE_LOOKER;
    r = peek(disk, &region, msg);
    if (r < 0)
        return r;
    /*
     * Without a right to make the file, one must look for it at every call. A lock that is shared
     * with a fork's parent does not keep that one from being a writer that is alone.
     */
    disk->watching = watch && (r == 0 || disk->forked);
    return r == 1 ? region_map(disk, region, NULL) : look_at_nothing(disk, msg);
}

bool region_appeared(struct acow_disk *disk)
{
    struct stat st;
    uint64_t size;

    if (disk->role == ROLE_FOLLOWER)
        return claim_is_alone(disk) == 0;
    if (disk->forked && claim_is_alone(disk) == 1)
        return true;
    return disk->run_fd < 0
           && (disk->sys->stat(disk->run_path, &st) != -ENOENT
               || (disk_image_size(disk, &size) == 0 && size != disk->att->region->size));
}
