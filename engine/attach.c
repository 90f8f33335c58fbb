/*
 * How a process begins and ends to take part in a disk's run-time state.
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
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alone.h"
#include "claim.h"
#include "disk.h"
#include "format.h"
#include "lock.h"
#include "msg.h"
#include "runfile.h"
#include "wait.h"

/* ---- taking part in a run-time file -------------------------------------- */

static void close_run(struct acow_disk *disk)
{
    if (disk->run_fd >= 0)
        disk->sys->close(disk->run_fd);
    disk->run_fd = -1;
}

void region_leave(struct acow_disk *disk)
{
    close_run(disk);
    disk->role = ROLE_NONE;
    disk->watching = false;
    __atomic_store_n(&disk->att, &disk->stale, __ATOMIC_RELEASE);
}

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

    r = disk_image_size(disk, &size);
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

static int join(struct acow_disk *disk, struct acow_msg *msg)
{
    bool inherited = disk->run_fd >= 0;
    int r;

    disk->role = ROLE_MEMBER;
    do {
        if (!inherited) {
            r = disk->sys->open(disk->run_path,
                                O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
            if (r < 0)
                break;
            disk->run_fd = r;
        }
        r = join_opened(disk, inherited, msg);
        inherited = false;
        if (r != 0)
            close_run(disk);
    } while (r > 0);
    if (r < 0)
        disk->role = ROLE_NONE;
    return r;
}

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
    close_run(disk);
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
static int check_left_over(struct acow_disk *disk, int why, struct acow_msg *msg)
{
    struct region *region;
    int r = peek(disk, &region, msg);

    if (r <= 0)
        return r;
    r = has_bits(disk, region);
    disk->sys->munmap(region, REGION_HEAD);
    close_run(disk);
    if (r == 1)
        return msg_set(msg, why, "%s: cannot open for writing: %s holds writes of a program that was "
                       "killed, and cannot be taken over: %s", disk->meta_path, disk->run_path,
                       msg_why(why));
    return r;
}

/* A region of one's own to look at, when there is no run-time file: no pending bits. */
static int look_at_nothing(struct acow_disk *disk)
{
    struct region *region;
    uint64_t size = 0;
    void *map;
    int r = disk_image_size(disk, &size);

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

static int look(struct acow_disk *disk, bool watch, struct acow_msg *msg)
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
    return r == 1 ? region_map(disk, region, NULL) : look_at_nothing(disk);
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
           && (disk->sys->stat(disk->run_path, &st) == 0
               || (disk_image_size(disk, &size) == 0 && size != disk->att->region->size));
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
        r = check_left_over(disk, why, msg);
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
    int r;

    alone_unfollow(disk);
    disk->watching = false;
    /* What it took part in is over; a file that was inherited from a fork's parent may not be. */
    if (disk->role != ROLE_NONE)
        close_run(disk);
    if (disk->forked)
        leave_parents(disk);
    if (!(disk->flags & ACOW_INSPECT)) {
        r = disk->flags & DISK_EXCLUSIVE ? claim_exclusive(disk, msg) : claim_disk(disk, msg);
        if (r < 0)
            return r;
    }
    if (disk->flags & (ACOW_INSPECT | DISK_BACKING_USE))
        return look(disk, false, msg);
    r = join(disk, msg);
    if (r == -EACCES || r == -EROFS || (r == -EPERM && msg && !msg->text[0]))
        return disk->writable ? go_alone(disk, r, msg) : look(disk, true, msg);
    if (r == -ELOOP)
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

/* Others may have made the disk larger since this one last looked, and have bits there. */
static int look_again(struct acow_disk *disk, struct att **att)
{
    int r = 0;

    *att = disk->att;
    if ((*att)->gen != __atomic_load_n(&(*att)->region->gen, __ATOMIC_ACQUIRE))
        r = region_map(disk, (*att)->region, *att);
    *att = disk->att;
    return r;
}

static int leave_member(struct acow_disk *disk)
{
    struct att *att;
    int r, others;

    r = wait_attach(disk);
    if (r < 0)
        return r;
    r = look_again(disk, &att);
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

int region_fold_in(struct acow_disk *disk)
{
    struct att *att;
    int r = look_again(disk, &att);

    return r == 0 && flush_pending(att) ? flush_disk(disk, att) : r;
}

int region_detach(struct acow_disk *disk)
{
    int r = 0;

    if (disk->role == ROLE_MEMBER)
        r = leave_member(disk);
    else if (disk->role == ROLE_ALONE)
        r = region_fold_in(disk);
    region_leave(disk);
    return r;
}
