/*
 * Claims. Each side takes its own lock first and looks for the other's then, so that two that
 * start together cannot both go on; at worst both are refused.
 *
 * A disk has one run-time file, found by the metadata file's name. Were it to have two (opened
 * by another hard link, or after the metadata file was renamed, or after somebody removed the
 * run-time file of a disk in use), neither side would see the other's pending bits. So who takes
 * part in one locks a byte of the metadata file that stands for it, and looks at all the others.
 *
 * An image file has one disk, at least while it is written: two metadata files that name it, as when
 * one is copied without its image, would each show what the other writes as its own in some sectors
 * and not in others. There, a byte of the image file stands for the metadata file.
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

static int cannot_lock(struct acow_disk *disk, int r, struct acow_msg *msg)
{
    return msg_set(msg, r, "%s: cannot lock: %s", disk->meta_path, msg_why(r));
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
    return r < 0 ? cannot_lock(disk, r, msg) : 0;
}

int claim_follow(struct acow_disk *disk, struct acow_msg *msg)
{
    int r = lock_set(disk->sys, disk->meta_fd, F_RDLCK, DISK_READER);

    return r < 0 ? cannot_lock(disk, r, msg) : 0;
}

/* No other can begin while the writers' byte is locked, so `reader` may let go for a moment. */
static int read_by_others(struct acow_disk *disk, struct acow_disk *reader)
{
    int held, r = 0;

    if (reader)
        r = lock_set(disk->sys, reader->meta_fd, F_UNLCK, DISK_READER);
    held = r < 0 ? r : lock_held(disk->sys, disk->meta_fd, F_WRLCK, DISK_READER);
    if (reader)
        r = lock_set(disk->sys, reader->meta_fd, F_RDLCK, DISK_READER);
    return r < 0 ? r : held;
}

int claim_is_alone(struct acow_disk *disk)
{
    return lock_held(disk->sys, disk->meta_fd, F_RDLCK, DISK_WRITER);
}

int claim_alone(struct acow_disk *disk, struct acow_disk *reader, struct acow_msg *msg)
{
    char who[HOLDER_TEXT];
    int r = lock_set(disk->sys, disk->meta_fd, F_WRLCK, DISK_WRITER);

    if (r == 0)
        r = read_by_others(disk, reader);
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

/* The place of a file in a range that has a byte for each; two files share one once in 2^60. */
static uint64_t key_of(uint64_t dev, uint64_t ino)
{
    return (ino ^ dev * 0x9e3779b97f4a7c15ull) % LOCK_KEYS;
}

/* 1: some byte but that of `key` is locked in the range at `base`, somewhere in *where. */
static int held_beside(struct acow_disk *disk, int fd, uint64_t base, uint64_t key,
                       struct lock_range *where)
{
    const struct lock_range sides[] = { { base, key }, { base + key + 1, LOCK_KEYS - 1 - key } };
    int r = 0;

    for (int i = 0; r == 0 && i < 2; i++) {
        *where = sides[i];
        if (where->len > 0)
            r = lock_held_range(disk->sys, fd, F_WRLCK, *where);
    }
    return r;
}

static const char *who_locks(struct acow_disk *disk, int fd, struct lock_range where,
                             char text[HOLDER_TEXT])
{
    struct holder who[8];

    return holder_text(who, holder_find(disk->sys, fd, where.off, where.len, who, 8), text);
}

int claim_run(struct acow_disk *disk, const struct stat *run, struct acow_msg *msg)
{
    uint64_t key = key_of(run->st_dev, run->st_ino);
    struct lock_range where;
    char who[HOLDER_TEXT];
    int r;

    disk->run_key = LOCK_RUN_BASE + key;
    r = lock_set_range(disk->sys, disk->meta_fd, F_RDLCK, (struct lock_range){ disk->run_key, 1 });
    if (r == 0)
        r = held_beside(disk, disk->meta_fd, LOCK_RUN_BASE, key, &where);
    if (r <= 0)
        return r;
    claim_run_end(disk);
    return msg_set(msg, -EBUSY, "%s: cannot open: it is open by %s under another name, or its "
                   "run-time file %s was moved or removed; end that use first", disk->meta_path,
                   who_locks(disk, disk->meta_fd, where, who), disk->run_path);
}

void claim_run_end(struct acow_disk *disk)
{
    if (disk->run_key)
        lock_set_range(disk->sys, disk->meta_fd, F_UNLCK, (struct lock_range){ disk->run_key, 1 });
    disk->run_key = 0;
}

/* A filesystem without locks: nobody else can have one there either. */
static int without_locks(int r)
{
    return r == -ENOLCK || r == -EOPNOTSUPP || r == -EINVAL ? 0 : r;
}

/*
 * These locks, and those on a raw backing file, are made once and end with the last descriptor of
 * their open file description. A fork's child shares it with its parent, which is as well: they come
 * by the same metadata file, are never in each other's way, and what the child has inherited it
 * may use at any time, when its parent has long closed the disk.
 */
int claim_image(struct acow_disk *disk, struct acow_msg *msg)
{
    const struct acow_sys *sys = disk->sys;
    uint64_t key = key_of(disk->meta_dev, disk->meta_ino);
    const char *why = "it is locked";
    struct lock_range where = { LOCK_USER_BASE + key, 1 };
    char who[HOLDER_TEXT];
    int r = lock_set_range(sys, disk->image_fd, F_RDLCK, where);

    if (r == 0 && disk->writable) {
        where.off = LOCK_WRITER_BASE + key;
        r = lock_set_range(sys, disk->image_fd, F_RDLCK, where);
    }
    if (r == 0) {
        why = disk->writable ? "another disk that has the same image file is open"
              : "another disk that has the same image file is open for writing";
        r = held_beside(disk, disk->image_fd, disk->writable ? LOCK_USER_BASE : LOCK_WRITER_BASE, key,
                        &where);
    }
    if (r == 0 && disk->writable) {
        why = "it is in use as a backing file";
        where = (struct lock_range){ LOCK_BASE + RAW_BACKING, 1 };
        r = lock_held_range(sys, disk->image_fd, F_WRLCK, where);
    }
    if (r > 0 || r == -EAGAIN)
        return msg_set(msg, -EBUSY, "%s: cannot use it as the image file of %s: %s by %s",
                       disk->image_path, disk->meta_path, why,
                       who_locks(disk, disk->image_fd, where, who));
    r = without_locks(r);
    return r == 0 ? 0 : msg_set(msg, r, "%s: cannot lock: %s", disk->image_path, msg_why(r));
}

void claim_image_end(struct acow_disk *disk)
{
    lock_set_range(disk->sys, disk->image_fd, F_UNLCK, (struct lock_range){ LOCK_USER_BASE, 2 * LOCK_KEYS });
}

/*
 * What QEMU calls permissions: a byte from 100 on is locked by who reads (100), writes (101) or
 * resizes (103), and the byte as far from 200 by who cannot have that beside it.
 */
enum { QEMU_READS = 100, QEMU_WRITES = 101, QEMU_RESIZES = 103, QEMU_NOT = 100 };

/* 1: somebody excludes that it is read as a backing file; `why`, in *where. */
static int look_raw(struct acow_disk *disk, const char **why, struct lock_range *where)
{
    static const struct {
        struct lock_range range;
        const char *why;
    } others[] = {
        { { QEMU_WRITES, 1 }, "it is open for writing" },
        { { QEMU_RESIZES, 1 }, "it is open for resizing" },
        { { QEMU_READS + QEMU_NOT, 1 }, "it is locked against readers" },
        { { LOCK_WRITER_BASE, LOCK_KEYS }, "it is the image file of a disk that is open for writing" },
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(others) / sizeof(others[0]); i++) {
        *where = others[i].range;
        *why = others[i].why;
        r = lock_held_range(disk->sys, disk->backing_fd, F_WRLCK, *where);
    }
    return r;
}

static int refuse_raw(struct acow_disk *disk, const char *why, struct lock_range where,
                      struct acow_msg *msg)
{
    char who[HOLDER_TEXT];

    return msg_set(msg, -EBUSY, "%s: cannot use it as the backing file of %s: %s by %s",
                   disk->backing_path, disk->meta_path, why,
                   who_locks(disk, disk->backing_fd, where, who));
}

int claim_raw_look(struct acow_disk *disk, struct acow_msg *msg)
{
    struct lock_range where;
    const char *why;
    int r = look_raw(disk, &why, &where);

    return r > 0 ? refuse_raw(disk, why, where, msg) : r;
}

int claim_raw_backing(struct acow_disk *disk, struct acow_msg *msg)
{
    static const uint64_t mine[] = { QEMU_READS, QEMU_WRITES + QEMU_NOT, QEMU_RESIZES + QEMU_NOT,
                                     LOCK_BASE + RAW_BACKING };
    const char *why = "it is locked";
    struct lock_range where;
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(mine) / sizeof(mine[0]); i++) {
        where = (struct lock_range){ mine[i], 1 };
        r = lock_set_range(disk->sys, disk->backing_fd, F_RDLCK, where);
    }
    if (r == 0)
        r = look_raw(disk, &why, &where);
    if (r > 0 || r == -EAGAIN)
        return refuse_raw(disk, why, where, msg);
    r = without_locks(r);
    return r == 0 ? 0 : msg_set(msg, r, "%s: cannot lock: %s", disk->backing_path, msg_why(r));
}
