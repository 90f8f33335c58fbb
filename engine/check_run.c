/*
 * What a disk's run-time file is, when it is looked at from outside. One that programs are
 * using is no finding, unless it is nonsense. One that nobody uses was left behind, and what
 * the next to open the disk will make of it depends on what is in it: a valid one of this boot
 * is gone on with, one of another boot or without a head is dropped, and all others keep the
 * disk from being opened.
 *
 * Processes may come and go meanwhile. The last of them removes the file while it holds the
 * attach lock; so if the file is still there after nobody was seen to be alive in it, nor to be
 * joining or leaving, it is left over.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lock.h"
#include "msg.h"
#include "runfile.h"

struct look {
    struct stat st;
    struct region region;       /* zeros if the file is too short for one */
    int live;                   /* somebody takes part in it */
    int moving;                 /* somebody is about to begin or to end that, or to make it */
};

/* Who takes part in a run-time file has a lock for it on the metadata file, wherever it is. */
static void check_elsewhere(struct check *check, struct acow_disk *disk)
{
    const struct lock_range keys = { LOCK_RUN_BASE, LOCK_KEYS };
    struct holder who[8];
    char text[HOLDER_TEXT];

    if (lock_held_range(disk->sys, disk->meta_fd, F_WRLCK, keys) <= 0)
        return;
    msg_set(&check->msg, -EBUSY, "%s: the run-time file that is in use is not %s: the disk is open "
            "under another name, or the file was moved or removed; by %s", disk->meta_path,
            disk->run_path, holder_text(who, holder_find(disk->sys, disk->meta_fd, keys.off,
                                                         keys.len, who, 8), text));
    check_found(check, ACOW_FOUND_RUN_ELSEWHERE, ACOW_NOTE, -EBUSY, disk->meta_path);
}

static int lock_on(struct acow_disk *disk, int fd, enum lock_byte byte, int *held)
{
    *held = lock_held(disk->sys, fd, F_WRLCK, byte);
    return *held < 0 ? *held : 0;
}

static int read_head(struct acow_disk *disk, int fd, struct look *look)
{
    ssize_t n;

    memset(&look->region, 0, sizeof(look->region));
    if (look->st.st_size < REGION_HEAD)
        return 0;
    n = disk->sys->pread(fd, &look->region, sizeof(look->region), 0);
    if (n >= 0 && n < (ssize_t)sizeof(look->region))
        memset(&look->region, 0, sizeof(look->region));
    return n < 0 ? (int)n : 0;
}

/* 1: it was replaced or removed meanwhile. */
static int look_at(struct acow_disk *disk, int fd, struct look *look)
{
    struct stat there;
    int r = disk->sys->fstat(fd, &look->st);

    if (r == 0)
        r = lock_on(disk, fd, REGION_LIVE, &look->live);
    if (r == 0)
        r = lock_on(disk, fd, REGION_ATTACH, &look->moving);
    if (r == 0)
        r = read_head(disk, fd, look);
    /* Whoever makes one holds this lock already before the other. */
    if (r == 0 && !look->moving && !runfile_is_region(&look->region))
        r = lock_on(disk, disk->meta_fd, DISK_READER, &look->moving);
    if (r == 0)
        r = disk->sys->stat(disk->run_path, &there);
    if (r < 0)
        return r == -ENOENT ? 1 : r;
    return look->st.st_dev != there.st_dev || look->st.st_ino != there.st_ino;
}

static void found(struct check *check, struct acow_disk *disk, enum acow_found kind, int error)
{
    check_found(check, kind, ACOW_CORRUPTION, error, disk->run_path);
}

static void unreadable(struct check *check, struct acow_disk *disk, int error)
{
    check_unreadable(check, error, disk->run_path, "cannot read the run-time file");
}

static void nonsense_in_use(struct check *check, struct acow_disk *disk)
{
    msg_set(&check->msg, -EIO, "%s: is damaged while in use", disk->run_path);
    found(check, disk, ACOW_FOUND_RUN_DAMAGED, -EIO);
}

static void left_over(struct check *check, struct acow_disk *disk, int64_t pending)
{
    if (pending == 0)
        check_note(check, ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, disk->run_path, "left by a program "
                   "that was killed; nothing is in it that is not in %s", disk->meta_path);
    else if (pending < 0)
        check_note(check, ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, disk->run_path, "left by a program "
                   "that was killed; the next to open the disk goes on with it");
    else
        check_note(check, ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, disk->run_path, "left by a program "
                   "that was killed; %llu sectors have their bit there alone, and the next to "
                   "open the disk goes on with them", (unsigned long long)pending);
}

/* It is of this boot and of these files. */
static void usable(struct check *check, struct acow_disk *disk, const struct look *look,
                   int64_t pending)
{
    if (look->region.poison)
        check_note(check, ACOW_FOUND_RUN_POISONED, ACOW_CORRUPTION, disk->run_path, "an fsync of "
                   "%s has failed; writes that were not yet safe may be lost%s", disk->image_path,
                   look->live ? ", and no flush works until all programs have closed the disk"
                              : ", and are dropped when the disk is opened");
    else if (!look->live && !look->moving)
        left_over(check, disk, pending);
}

static void judge(struct check *check, struct acow_disk *disk, int fd, struct look *look,
                  int64_t pending)
{
    bool region = runfile_is_region(&look->region);
    int r = runfile_judge(disk, fd, &look->region, look->live, &check->msg);

    if (r == 1)
        usable(check, disk, look, pending);
    else if (r == 0 && look->live)
        nonsense_in_use(check, disk);
    else if (r == 0 && region && !look->moving)
        check_note(check, ACOW_FOUND_RUN_OTHER_BOOT, ACOW_LEAK, disk->run_path, "left from before "
                   "this machine was last started, perhaps by a power cut; what is in it was never "
                   "flushed, and is dropped when the disk is opened");
    else if (r == 0 && !look->moving)
        check_note(check, ACOW_FOUND_RUN_EMPTY, ACOW_LEAK, disk->run_path, "left unfinished, with "
                   "nothing in it; it is removed when the disk is opened");
    else if (r == -EBUSY)
        check_found(check, ACOW_FOUND_RUN_VERSION, ACOW_UNCHECKED, r, disk->run_path);
    else if (r == -ESTALE)
        found(check, disk, ACOW_FOUND_RUN_FOREIGN, r);
    else if (r == -EIO && look->live)
        found(check, disk, ACOW_FOUND_RUN_DAMAGED, r);
    else if (r == -EIO && !runfile_is_whole(&look->region, &look->st))
        found(check, disk, ACOW_FOUND_RUN_DAMAGED, r);
    else if (r < 0)
        unreadable(check, disk, r);
}

static void look_inside(struct check *check, struct acow_disk *disk, int fd, struct look *look,
                        int64_t pending)
{
    int r = runfile_check_trust(disk, &look->st, &check->msg);

    if (r == -EPERM)
        found(check, disk, ACOW_FOUND_RUN_UNTRUSTED, r);
    else if (r < 0)
        unreadable(check, disk, r);
    else
        judge(check, disk, fd, look, pending);
}

bool check_run_file(struct check *check, struct acow_disk *disk, int64_t pending)
{
    size_t before = check->out->nfindings;
    bool in_use = false, told;
    struct look look;
    int fd, r;

    do {
        fd = disk->sys->open(disk->run_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
        r = fd < 0 ? fd : look_at(disk, fd, &look);
        if (r == 0) {
            in_use = look.live || look.moving;
            look_inside(check, disk, fd, &look, pending);
        }
        if (fd >= 0)
            disk->sys->close(fd);
    } while (r == 1);
    if (r == -ELOOP) {
        msg_set(&check->msg, r, "%s: is a symbolic link; the run-time file cannot be one",
                disk->run_path);
        found(check, disk, ACOW_FOUND_RUN_UNTRUSTED, r);
    } else if (r < 0 && r != -ENOENT) {
        unreadable(check, disk, r);
    }
    told = check->out->nfindings > before;
    if (!in_use)
        check_elsewhere(check, disk);
    return told;
}
