/*
 * How a process begins and ends to take part in a disk's run-time state: as a member of the run-time
 * file (member.c), as one that only looks (look.c), or, where no such file can be made, alone with
 * what is pending (alone.c).
 */
#include "region.h"

#include <errno.h>
#include <fcntl.h>

#include "alone.h"
#include "claim.h"
#include "disk.h"
#include "look.h"
#include "member.h"
#include "msg.h"

void region_close_run(struct acow_disk *disk)
{
    if (disk->run_fd >= 0)
        disk->sys->close(disk->run_fd);
    disk->run_fd = -1;
}

void region_leave(struct acow_disk *disk)
{
    region_close_run(disk);
    disk->role = ROLE_NONE;
    disk->watching = false;
    __atomic_store_n(&disk->att, &disk->stale, __ATOMIC_RELEASE);
}

/*
 * A fork's child has its parent's description of the metadata file, and with it the parent's locks,
 * which end when the parent says so. It gets its own; where it cannot, it keeps that of its
 * parent: then the check for a second run-time file is weaker, and it cannot be a writer that is
 * alone.
 */
static void leave_parents(struct acow_disk *disk)
{
    int meta = disk_reopen(disk->sys, disk->meta_fd, disk->writable ? O_RDWR : O_RDONLY);

    if (meta < 0)
        return;
    disk->sys->close(disk->meta_fd);
    disk->meta_fd = meta;
    disk->forked = false;
}

/* ---- a writer that is alone ------------------------------------------------ */

/* `why` there is no run-time file to take part in. */
static int go_alone(struct acow_disk *disk, int why, struct acow_msg *msg)
{
    struct acow_disk *reader = disk->mate;
    int r = 0;

    if (disk->forked)
        return msg_set(msg, why, "%s: cannot be written by this child of the process that opened it: "
                       "neither it nor %s can be opened here", disk->meta_path, disk->run_path);
    if (reader) {
        pthread_mutex_lock(&reader->local);
        if (reader->forked) {
            leave_parents(reader);
            r = claim_follow(reader, msg);
        }
    }
    if (r == 0)
        r = claim_alone(disk, reader && !reader->forked && reader->role != ROLE_MEMBER ? reader : NULL,
                        msg);
    if (r == 0)
        r = look_left_over(disk, why, msg);
    if (r == 0)
        r = alone_make(disk, msg);
    if (r == 0 && reader)
        r = alone_follow(reader, disk);
    if (reader)
        pthread_mutex_unlock(&reader->local);
    return r;
}

/* ---- the ways to take part ------------------------------------------------- */

static int attach(struct acow_disk *disk, struct acow_msg *msg)
{
    bool denied;
    int r;

    alone_unfollow(disk);
    disk->watching = false;
    /* What it took part in is over; a file that was inherited from a fork's parent may not be. */
    if (disk->role != ROLE_NONE)
        region_close_run(disk);
    if (disk->forked)
        leave_parents(disk);
    if (!(disk->flags & ACOW_INSPECT)) {
        r = disk->flags & DISK_EXCLUSIVE ? claim_exclusive(disk, msg) : claim_disk(disk, msg);
        if (r < 0)
            return r;
    }
    if (disk->flags & (ACOW_INSPECT | DISK_BACKING_USE))
        return look_begin(disk, false, msg);
    r = member_join(disk, &denied, msg);
    if (denied)
        return disk->writable ? go_alone(disk, r, msg) : look_begin(disk, true, msg);
    if (r == -ELOOP && msg && !msg->text[0])
        return msg_set(msg, r, "%s: is a symbolic link; the run-time file cannot be one",
                       disk->run_path);
    return r;
}

int region_attach(struct acow_disk *disk, struct acow_msg *msg)
{
    int r;

    if (msg)
        msg->text[0] = '\0';
    r = attach(disk, msg);
    if (r < 0 && msg && !msg->text[0])
        msg_set(msg, r, "%s: cannot make or use the run-time file: %s", disk->run_path, msg_why(r));
    if (r < 0)
        region_leave(disk);
    return r;
}

int region_attach_beside(struct acow_disk *disk, struct acow_msg *msg)
{
    struct acow_disk *mate = disk->mate;
    int r = 1;

    if (msg)
        msg->text[0] = '\0';
    pthread_mutex_lock(&mate->local);
    if (mate->role == ROLE_ALONE) {
        r = claim_follow(disk, msg);
        if (r == 0)
            r = alone_follow(disk, mate);
    }
    mate->mate = disk;
    pthread_mutex_unlock(&mate->local);
    if (r == 1)
        return region_attach(disk, msg);
    if (r < 0 && msg && !msg->text[0])
        msg_set(msg, r, "%s: cannot share what this process has pending: %s", disk->meta_path,
                msg_why(r));
    return r;
}

/* Others may have made the disk larger since this one last looked, and have bits there. */
int region_look_again(struct acow_disk *disk, struct att **att)
{
    int r = 0;

    *att = disk->att;
    if ((*att)->gen != __atomic_load_n(&(*att)->region->gen, __ATOMIC_ACQUIRE))
        r = region_map(disk, (*att)->region, *att);
    *att = disk->att;
    return r;
}

int region_fold_in(struct acow_disk *disk)
{
    struct att *att;
    int r = region_look_again(disk, &att);

    return r == 0 && flush_pending(att) ? flush_disk(disk, att) : r;
}

int region_detach(struct acow_disk *disk)
{
    int r = 0;

    if (disk->role == ROLE_MEMBER)
        r = member_leave(disk);
    else if (disk->role == ROLE_ALONE)
        r = region_fold_in(disk);
    region_leave(disk);
    return r;
}
