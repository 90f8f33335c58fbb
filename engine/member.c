/*
 * A disk's part in its run-time file.
 *
 * Under the attach lock of the run-time file (and only there) one can tell
 * whether anybody else is alive in it. If nobody is, a valid file of this boot
 * was left by a process that was killed: its bits are kept, because the page
 * cache has the data. A file of another boot is left from a power cut: those
 * writes were never flushed, and are dropped. Each that leaves looks whether it
 * is the last; the last one flushes, marks the region dead and removes the file.
 * A fork's child that never took part itself may still hold the mapping, sees
 * the mark at its next call, and begins anew.
 */
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "claim.h"
#include "disk.h"
#include "lock.h"
#include "msg.h"
#include "runfile.h"
#include "wait.h"

/* 1: run_fd, which `here` then describes, is what the path names; 0: no longer. */
static int is_current(struct acow_disk *disk, struct stat *here)
{
    struct stat there;
    int r = disk->sys->fstat(disk->run_fd, here);

    if (r == 0)
        r = disk->sys->stat(disk->run_path, &there);
    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    return here->st_dev == there.st_dev && here->st_ino == there.st_ino;
}

/*
 * Nothing in the run-time file is worth keeping, and nobody is alive in it. It is
 * not made anew in place, because somebody may be looking at it. 1: to be begun again.
 */
static int discard(struct acow_disk *disk, struct region *region)
{
    struct stat st;
    int r;

    if (region && runfile_is_region(region))
        __atomic_store_n(&region->gen, REGION_DEAD, __ATOMIC_RELEASE);
    claim_run_end(disk);
    r = is_current(disk, &st);
    if (r == 1)
        r = disk->sys->unlink(disk->run_path);
    return r < 0 ? r : 1;
}

/* What is in the run-time file, as judge says; *alive tells whether somebody takes part in it. */
static int look_inside(struct acow_disk *disk, const struct stat *st, struct region **region,
                       int *alive, struct acow_msg *msg)
{
    int usable = 0, r;

    *alive = lock_held(disk->sys, disk->run_fd, F_WRLCK, REGION_LIVE);
    if (*alive < 0)
        return *alive;
    if (st->st_size >= REGION_HEAD) {
        r = runfile_map_head(disk, PROT_READ | PROT_WRITE, region);
        if (r < 0)
            return r;
        usable = runfile_judge(disk, disk->run_fd, *region, *alive, msg);
    }
    if (usable == 0 && *alive)
        return msg_set(msg, -EIO, "%s: is damaged while in use", disk->run_path);
    if (usable == 1 && !*alive && (*region)->poison) {
        msg_log(disk->sys, "%s: writes that were not yet safe when an fsync failed are dropped",
                disk->meta_path);
        return 0;
    }
    return usable;
}

static int take_part(struct acow_disk *disk)
{
    int r = lock_set(disk->sys, disk->run_fd, F_RDLCK, REGION_LIVE);

    if (r == 0 && disk->writable)
        r = lock_set(disk->sys, disk->run_fd, F_RDLCK, REGION_WRITER);
    return r;
}

/* As the metadata file's: who may use the disk may share its run-time state. */
static void give_owner(struct acow_disk *disk, const struct stat *run)
{
    struct stat meta;

    if (disk->sys->fstat(disk->meta_fd, &meta) < 0)
        return;
    if (run->st_uid != meta.st_uid || run->st_gid != meta.st_gid)
        disk->sys->fchown(disk->run_fd, meta.st_uid, meta.st_gid);
    disk->sys->fchmod(disk->run_fd, meta.st_mode & 0666);
}

static int join_region(struct acow_disk *disk, const struct stat *st, struct acow_msg *msg)
{
    struct region *region = NULL;
    uint64_t size = 0;
    int alive, usable, r;

    r = disk_tell_size(disk, &size, msg);
    if (r < 0)
        return r;
    usable = look_inside(disk, st, &region, &alive, msg);
    if (usable == 1)
        r = alive ? runfile_join_live(disk, region, msg)
                  : runfile_take_over(disk, region, size, msg);
    else if (usable < 0)
        r = usable;
    else if (st->st_size == 0)
        r = runfile_make(disk, &region, size, msg);
    else
        r = discard(disk, region);
    if (r == 0)
        r = take_part(disk);
    if (r == 0)
        runfile_sign_in(disk, region);
    if (r == 0)
        r = region_map(disk, region, NULL);
    else if (region)
        disk->sys->munmap(region, REGION_HEAD);
    return r;
}

/* The attach lock is held, and run_fd, which `st` describes, is what the path names. */
static int join_trusted(struct acow_disk *disk, const struct stat *st, struct acow_msg *msg)
{
    bool fresh = st->st_size == 0;
    int r;

    if (fresh)
        give_owner(disk, st);
    r = claim_run(disk, st, msg);
    if (r == 0)
        r = join_region(disk, st, msg);
    /* The claim on a file ends before its name does, or the next one's maker would be refused. */
    if (r != 0)
        claim_run_end(disk);
    /* An open that fails leaves nothing behind; a file in use that somebody emptied is not its. */
    if (r < 0 && fresh && lock_held(disk->sys, disk->run_fd, F_WRLCK, REGION_LIVE) == 0)
        disk->sys->unlink(disk->run_path);
    return r;
}

/* True if the last one that took part has closed it for good. */
static bool is_closed(struct acow_disk *disk, const struct stat *st)
{
    struct region *region;
    bool closed;

    if (st->st_size < REGION_HEAD || runfile_map_head(disk, PROT_READ, &region) < 0)
        return true;
    closed = __atomic_load_n(&region->gen, __ATOMIC_ACQUIRE) == REGION_DEAD;
    disk->sys->munmap(region, REGION_HEAD);
    return closed;
}

/*
 * 1: to be begun again. A file that was inherited is joined whatever its name has become, as long
 * as somebody may have bits in it.
 */
static int join_opened(struct acow_disk *disk, bool inherited, struct acow_msg *msg)
{
    struct stat st;
    int r = wait_attach(disk);

    if (r < 0)
        return r;
    r = is_current(disk, &st);
    if (r == 0 && inherited && !is_closed(disk, &st))
        r = 1;
    if (r == 1) {
        r = runfile_check_trust(disk, &st, msg);
        if (r == 0)
            r = join_trusted(disk, &st, msg);
    } else if (r == 0) {
        /* The last one has removed it while this one waited. */
        r = 1;
    }
    lock_set(disk->sys, disk->run_fd, F_UNLCK, REGION_ATTACH);
    return r;
}

int member_join(struct acow_disk *disk, bool *denied, struct acow_msg *msg)
{
    bool inherited = disk->run_fd >= 0;
    int r;

    *denied = false;
    disk->role = ROLE_MEMBER;
    do {
        if (!inherited) {
            r = disk->sys->open(disk->run_path,
                                O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
            *denied = r == -EACCES || r == -EROFS || r == -EPERM;
            if (r < 0)
                break;
            disk->run_fd = r;
        }
        r = join_opened(disk, inherited, msg);
        inherited = false;
        if (r != 0)
            region_close_run(disk);
    } while (r > 0);
    if (r < 0)
        disk->role = ROLE_NONE;
    return r;
}

/* The attach lock is held. Nobody else is alive: fold the bits in, and remove the file. */
static int leave_last(struct acow_disk *disk, struct att *att)
{
    struct stat st;
    int r = 0;

    if (flush_pending(att)) {
        if (disk->writable)
            r = flush_disk(disk, att);
        /* Bits left behind are for whoever opens it next; those over lost data are for nobody. */
        if (!att->region->poison && (r < 0 || !disk->writable))
            return r;
    }
    claim_run_end(disk);
    __atomic_store_n(&att->region->gen, REGION_DEAD, __ATOMIC_RELEASE);
    if (is_current(disk, &st) == 1)
        disk->sys->unlink(disk->run_path);
    return r;
}

int member_leave(struct acow_disk *disk)
{
    struct att *att;
    int r, others;

    r = wait_attach(disk);
    if (r < 0)
        return r;
    r = region_look_again(disk, &att);
    runfile_sign_out(disk, att->region);
    others = lock_held(disk->sys, disk->run_fd, F_WRLCK, REGION_LIVE);
    if (r == 0 && others == 0)
        r = leave_last(disk, att);
    else if (r == 0 && disk->writable && flush_pending(att)
             && lock_held(disk->sys, disk->run_fd, F_WRLCK, REGION_WRITER) <= 0)
        r = flush_disk(disk, att);
    claim_run_end(disk);
    /* Said, not left to close: a fork's child may hold the same description. */
    lock_set(disk->sys, disk->run_fd, F_UNLCK, REGION_WRITER);
    lock_set(disk->sys, disk->run_fd, F_UNLCK, REGION_LIVE);
    lock_set(disk->sys, disk->run_fd, F_UNLCK, REGION_ATTACH);
    return r;
}
