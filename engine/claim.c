/*
 * Claims. Each side takes its own lock first and looks for the other's then, so that two that
 * start together cannot both go on; at worst both are refused.
 *
 * A disk has one run-time file, found by the metadata file's name. Were it to have two (opened
 * by another hard link, or after the metadata file was renamed, or after somebody removed the
 * run-time file of a disk in use), neither side would see the other's pending bits. So who takes
 * part in one locks a byte of the metadata file that stands for it, and looks at all the others.
 */
#include "claim.h"

#include <errno.h>
#include <fcntl.h>

#include "disk.h"
#include "lock.h"
#include "msg.h"

static int refuse(struct acow_disk *disk, enum lock_byte byte, const char *what, const char *why,
                  struct acow_msg *msg)
{
    char who[HOLDER_TEXT];

    return msg_set(msg, -EBUSY, "%s: cannot %s: %s by %s", disk->meta_path, what, why,
                   lock_who(disk->sys, disk->meta_fd, byte, who));
}

static const char *what_for(const struct acow_disk *disk)
{
    return disk->flags & DISK_BACKING_USE ? "use it as a backing file"
           : disk->writable ? "open it for writing" : "open it";
}

int claim_disk(struct acow_disk *disk, struct acow_msg *msg)
{
    const struct acow_sys *sys = disk->sys;
    bool backing_use = disk->flags & DISK_BACKING_USE;
    int r;

    r = lock_set(sys, disk->meta_fd, F_RDLCK, backing_use ? DISK_BACKING : DISK_READER);
    if (r == 0 && disk->writable)
        r = lock_set(sys, disk->meta_fd, F_RDLCK, DISK_WRITER);
    if (r == 0)
        r = lock_held(sys, disk->meta_fd, backing_use ? F_WRLCK : F_RDLCK, DISK_WRITER);
    if (r == 0 && disk->writable) {
        r = lock_held(sys, disk->meta_fd, F_WRLCK, DISK_BACKING);
        if (r > 0)
            return refuse(disk, DISK_BACKING, what_for(disk),
                          "it is in use as the backing file of another disk", msg);
    }
    if (r > 0 || r == -EAGAIN)
        return refuse(disk, DISK_WRITER, what_for(disk), "it is open for writing", msg);
    if (r < 0)
        return msg_set(msg, r, "%s: cannot lock: %s", disk->meta_path, msg_why(r));
    return 0;
}

int claim_alone(struct acow_disk *disk, struct acow_msg *msg)
{
    char who[HOLDER_TEXT];
    int r = lock_set(disk->sys, disk->meta_fd, F_WRLCK, DISK_WRITER);

    if (r == 0)
        r = lock_held(disk->sys, disk->meta_fd, F_WRLCK, DISK_READER);
    if (r > 0 || r == -EAGAIN)
        return msg_set(msg, -EBUSY, "%s: cannot open it for writing: it is open by %s, and %s "
                       "cannot be made to share it", disk->meta_path,
                       lock_who(disk->sys, disk->meta_fd, DISK_READER, who), disk->run_path);
    return r;
}

int claim_exclusive(struct acow_disk *disk, struct acow_msg *msg)
{
    static const struct {
        enum lock_byte byte;
        const char *why;
    } others[] = {
        { DISK_READER, "it is open" },
        { DISK_BACKING, "it is in use as a backing file" },
    };
    int r = lock_set(disk->sys, disk->meta_fd, F_WRLCK, DISK_WRITER);

    for (int i = 0; i < 2 && (r == 0 || r == -EAGAIN); i++) {
        int held = lock_held(disk->sys, disk->meta_fd, F_WRLCK, others[i].byte);

        if (held > 0)
            return refuse(disk, others[i].byte, "open it alone", others[i].why, msg);
        if (held < 0)
            r = held;
    }
    /* Its own comes last, so that it is not named itself. */
    if (r == 0)
        r = lock_set(disk->sys, disk->meta_fd, F_RDLCK, DISK_READER);
    if (r == -EAGAIN)
        return refuse(disk, DISK_WRITER, "open it alone", "it was just open", msg);
    if (r < 0)
        return msg_set(msg, r, "%s: cannot lock: %s", disk->meta_path, msg_why(r));
    return 0;
}

/* The byte for a run-time file; two of one disk share it once in 2^60. */
static uint64_t key_of(const struct stat *run)
{
    return ((uint64_t)run->st_ino ^ (uint64_t)run->st_dev * 0x9e3779b97f4a7c15ull) % LOCK_KEYS;
}

int claim_run(struct acow_disk *disk, const struct stat *run, struct acow_msg *msg)
{
    struct lock_range mine = { LOCK_KEY_BASE + key_of(run), 1 };
    struct lock_range below = { LOCK_KEY_BASE, mine.off - LOCK_KEY_BASE };
    struct lock_range above = { mine.off + 1, LOCK_KEYS - 1 - below.len };
    struct holder who[8];
    char text[HOLDER_TEXT];
    int r, count;

    disk->run_key = mine.off;
    r = lock_set_range(disk->sys, disk->meta_fd, F_RDLCK, mine);
    if (r == 0 && below.len > 0)
        r = lock_held_range(disk->sys, disk->meta_fd, F_WRLCK, below);
    if (r == 0 && above.len > 0)
        r = lock_held_range(disk->sys, disk->meta_fd, F_WRLCK, above);
    if (r <= 0)
        return r;
    claim_run_end(disk);
    count = holder_find(disk->sys, disk->meta_fd, LOCK_KEY_BASE, LOCK_KEYS, who, 8);
    return msg_set(msg, -EBUSY, "%s: cannot open: it is open by %s under another name, or its "
                   "run-time file %s was moved or removed; end that use first", disk->meta_path,
                   holder_text(who, count, text), disk->run_path);
}

void claim_run_end(struct acow_disk *disk)
{
    if (disk->run_key)
        lock_set_range(disk->sys, disk->meta_fd, F_UNLCK, (struct lock_range){ disk->run_key, 1 });
    disk->run_key = 0;
}

/*
 * What QEMU calls permissions: a byte from 100 on is locked by who reads (100), writes (101) or
 * resizes (103), and the byte as far from 200 by who cannot have that beside it.
 */
enum { QEMU_READS = 100, QEMU_WRITES = 101, QEMU_RESIZES = 103, QEMU_NOT = 100 };

static int claim_byte(struct acow_disk *disk, uint64_t off)
{
    return lock_set_range(disk->sys, disk->backing_fd, F_RDLCK, (struct lock_range){ off, 1 });
}

int claim_raw_look(struct acow_disk *disk, struct acow_msg *msg)
{
    static const struct {
        uint64_t off;
        const char *why;
    } others[] = {
        { QEMU_WRITES, "open for writing" },
        { QEMU_RESIZES, "open for resizing" },
        { QEMU_READS + QEMU_NOT, "locked against readers" },
    };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct lock_range range = { others[i].off, 1 };
        struct holder who[8];
        char text[HOLDER_TEXT];
        int r = lock_held_range(disk->sys, disk->backing_fd, F_WRLCK, range);

        if (r < 0)
            return r;
        if (r > 0)
            return msg_set(msg, -EBUSY, "%s: cannot use it as the backing file of %s: it is %s by %s",
                           disk->backing_path, disk->meta_path, others[i].why,
                           holder_text(who, holder_find(disk->sys, disk->backing_fd, range.off, 1,
                                                        who, 8), text));
    }
    return 0;
}

int claim_raw_backing(struct acow_disk *disk, struct acow_msg *msg)
{
    int r = claim_byte(disk, QEMU_READS);

    if (r == 0)
        r = claim_byte(disk, QEMU_WRITES + QEMU_NOT);
    if (r == 0)
        r = claim_byte(disk, QEMU_RESIZES + QEMU_NOT);
    if (r == 0)
        r = claim_raw_look(disk, msg);
    if (r == -EBUSY)
        return r;
    if (r == -EAGAIN)
        return msg_set(msg, -EBUSY, "%s: cannot use it as the backing file of %s: it is locked",
                       disk->backing_path, disk->meta_path);
    /* A filesystem without locks: nobody else can have one there either. */
    if (r == 0 || r == -ENOLCK || r == -EOPNOTSUPP || r == -EINVAL)
        return 0;
    return msg_set(msg, r, "%s: cannot lock: %s", disk->backing_path, msg_why(r));
}
