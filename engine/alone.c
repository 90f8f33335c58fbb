/*
 * A region in memory; see alone.h. A reader opens it by way of /proc/self/fd, for a descriptor that
 * is its own and stays when the writer's is closed: a child by fork may still be writing. That
 * nobody is any more shows at the lock, which is looked at at every call of the reader's.
 */
#include "alone.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "disk.h"
#include "msg.h"
#include "runfile.h"

int alone_make(struct acow_disk *disk, struct acow_msg *msg)
{
    struct region *region;
    uint64_t size;
    int r = disk->sys->memfd("addcow-run");

    if (r < 0)
        return r;
    disk->run_fd = r;
    disk->role = ROLE_ALONE;
    r = disk_tell_size(disk, &size, msg);
    /*
     * Pending bits of one that was killed are gone, but what its flush had written may
     * be in the page cache alone: to a later flush those bits look as if they were safe.
     */
    if (r == 0 && !(disk->flags & ACOW_UNSAFE)) {
        r = disk->sys->fdatasync(disk->meta_fd);
        if (r < 0)
            msg_set(msg, r, "%s: cannot sync it: %s", disk->meta_path, msg_why(r));
    }
    if (r == 0)
        r = runfile_make(disk, &region, size, msg);
    return r < 0 ? r : region_map(disk, region, NULL);
}

int alone_follow(struct acow_disk *reader, const struct acow_disk *writer)
{
    struct region *region;
    char path[40];
    int r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", writer->run_fd);
    r = reader->sys->open(path, O_RDWR | O_CLOEXEC, 0);
    if (r < 0)
        return r;
    alone_unfollow(reader);
    region_leave(reader);
    reader->run_fd = r;
    reader->role = ROLE_FOLLOWER;
    reader->watching = true;
    r = runfile_map_head(reader, PROT_READ | PROT_WRITE, &region);
    if (r == 0)
        r = region_map(reader, region, NULL);
    if (r < 0)
        region_leave(reader);
    return r;
}

void alone_unfollow(struct acow_disk *disk)
{
    if (disk->role == ROLE_FOLLOWER)
        __atomic_store_n(&disk->att->region->gen, REGION_DEAD, __ATOMIC_RELEASE);
}
