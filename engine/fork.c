/*
 * A fork. The child has its parent's memory and descriptors, as they were at two moments, the descriptors
 * earlier. So nobody may be between the two in the parent: a descriptor that the memory names, and the
 * child does not have, would be another file's later. And in the child the parent's locks must be
 * told from its own.
 */
#include <fcntl.h>

#include "claim.h"
#include "disk.h"

void acow_before_fork(struct acow_disk *disk)
{
    pthread_mutex_lock(&disk->local);
    if (disk->backing)
        acow_before_fork(disk->backing);
}

void acow_let_fork(struct acow_disk *disk)
{
    if (disk->backing)
        acow_let_fork(disk->backing);
    pthread_mutex_unlock(&disk->local);
}

/*
 * The locks that say that the parent takes part are its open file description's, and
 * last as long as a child has that, be it only by a mapping. A child that does nothing
 * must not keep the lock of a parent that is killed in the middle of attaching. It gets a
 * description of its own of the same file, since the file's name may be gone when it is used.
 */
static void drop_parents_region(struct acow_disk *disk)
{
    int own = disk->run_fd >= 0 ? disk_reopen(disk->sys, disk->run_fd, O_RDWR) : -1;

    region_unmap(disk);
    if (disk->run_fd >= 0)
        disk->sys->close(disk->run_fd);
    disk->run_fd = own >= 0 ? own : -1;
    disk->run_key = 0;
    disk->role = ROLE_NONE;
    disk->att = &disk->stale;
}

/*
 * The same on the metadata file, where the parent's lock for a run-time file would refuse all others
 * once that file is gone. The child still has the disk open, and says so itself. Where it cannot, it
 * keeps its parent's description, and tries again when it uses the disk.
 */
static void drop_parents_claims(struct acow_disk *disk)
{
    int parents = disk->meta_fd;
    int own = disk_reopen(disk->sys, parents, disk->writable ? O_RDWR : O_RDONLY);

    if (own < 0)
        return;
    disk->meta_fd = own;
    disk->forked = false;
    claim_disk(disk, NULL);
    disk->sys->close(parents);
}

void acow_after_fork(struct acow_disk *disk)
{
    disk_init_locks(disk);
    if (!(disk->flags & (ACOW_INSPECT | DISK_BACKING_USE)))
        disk->forked = true;
    /* A region in memory is shared over fork, and its locks with it. */
    if (disk->forked && disk->role != ROLE_ALONE && disk->role != ROLE_FOLLOWER) {
        /*
         * In this order: a run-time file that seems alive is not removed, and refuses nobody. A looker
         * is in nobody's way until it looks again.
         */
        if (disk->role != ROLE_LOOKER)
            drop_parents_claims(disk);
        drop_parents_region(disk);
    }
    if (disk->backing)
        acow_after_fork(disk->backing);
}
