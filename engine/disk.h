/* An open disk, as the engine's own files see it. */
#ifndef ACOW_DISK_H
#define ACOW_DISK_H

#include "addcow.h"
#include "format.h"
#include "region.h"

/* acow_open flag of the engine itself: opened as some disk's backing file. */
#define DISK_BACKING_USE (1 << 8)
/* Another: for writing, and nobody else may have it open, or open it, in any way. */
#define DISK_EXCLUSIVE (1 << 9)

struct acow_disk {
    /* What a read looks at, in one cache line. */
    const struct acow_sys *sys __attribute__((aligned(64)));
    struct att *att;            /* atomic; never NULL once open */
    struct acow_disk *backing;  /* a chain link, or NULL */
    uint64_t backing_size;      /* of the backing file or chain link when opened, or 0 */
    int image_fd, backing_fd;
    bool counting, writable;
    bool through;               /* ACOW_WRITETHROUGH */

    struct att *all;            /* every att made, newest first */
    struct att stale;           /* what att is while this process takes no part */
    enum region_role role;
    bool forked;                /* meta_fd is of a fork's parent, as far as locks go */
    uint64_t run_key;           /* the byte locked by claim_run, or 0 */
    bool watching;              /* att is never fresh: region_appeared is asked at every call */
    struct acow_disk *mate;     /* of acow_open_beside, for reading if this is for writing; or NULL */
    /*
     * This process's own locks, in order before those of the region. `relying`: shared by
     * who changes the run-time state, which must not end meanwhile. `local`: over
     * remapping and taking part; a writer's comes before its mate's.
     */
    pthread_rwlock_t relying;
    pthread_mutex_t local;
    int flags;                  /* of acow_open */
    int meta_fd, run_fd;

    char *meta_path;            /* as the caller said it, for messages */
    char *real_path;            /* the same without links */
    char *run_path, *image_path, *backing_path;
    char *image_name, *backing_name;
    uint64_t meta_dev, meta_ino, image_dev, image_ino, backing_dev, backing_ino;

    struct acow_counters counters __attribute__((aligned(8)));
};

struct chain;

/*
 * The steps of opening, for who must go on where opening would stop: a disk with nothing
 * open yet (NULL: out of memory); its metadata file, and the names in it; its image file; a
 * backing file that is no disk. Each says in `msg` what is wrong, and disk_free is good
 * after any of them. (disk.c)
 */
struct acow_disk *disk_new(const struct acow_sys *sys, const char *path, int flags);
int disk_open_meta(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg);
int disk_open_image(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg);
int disk_open_raw_backing(struct acow_disk *disk, struct chain *chain, struct acow_msg *msg);
void disk_free(struct acow_disk *disk);

/* This process's own locks, as of a disk that nobody uses. (disk.c) */
void disk_init_locks(struct acow_disk *disk);

/* acow_open, as one more link of a chain. (disk.c) */
int disk_open_chain(const struct acow_sys *sys, const char *path, int flags,
                    struct acow_disk *beside, struct chain *chain, struct acow_disk **out,
                    struct acow_msg *msg);

/*
 * Opens a file that can be read at an offset: a regular one, or if device_too
 * a block device. Returns the descriptor, or -EISDIR, -EINVAL, or what open says. (disk.c)
 */
int disk_open_plain(const struct acow_sys *sys, const char *path, int flags, bool device_too,
                    const char *what, struct stat *st, struct acow_msg *msg);

/* The file that fd is by another description, whatever its name has become; open(2) flags. (disk.c) */
int disk_reopen(const struct acow_sys *sys, int fd, int flags);

/* As much of a header as the file has; returns how many bytes. (disk.c) */
ssize_t disk_read_header(const struct acow_sys *sys, int fd, uint8_t buf[FORMAT_HEADER]);

static inline uint64_t disk_size(const struct att *att)
{
    return __atomic_load_n(&att->region->size, __ATOMIC_ACQUIRE);
}

/* The image file's size as it is now. (disk.c) */
int disk_image_size(struct acow_disk *disk, uint64_t *size);
int disk_tell_size(struct acow_disk *disk, uint64_t *size, struct acow_msg *msg);

/* Looks at the run-time state again: after growth, a fork, or the last closer's farewell. */
int disk_refresh(struct acow_disk *disk, struct att **att, uint64_t *size);

static inline bool disk_is_stale(const struct att *att)
{
    return att->gen != __atomic_load_n(&att->region->gen, __ATOMIC_ACQUIRE);
}

/*
 * To begin every call with: mappings that fit the disk, and a size that they fit. The
 * size comes first: growth makes room, changes the generation, and then the size.
 */
static inline int disk_enter(struct acow_disk *disk, struct att **att, uint64_t *size)
{
    *att = __atomic_load_n(&disk->att, __ATOMIC_ACQUIRE);
    *size = disk_size(*att);
    if (__builtin_expect(!disk_is_stale(*att), 1))
        return 0;
    return disk_refresh(disk, att, size);
}

static inline void disk_count(struct acow_disk *disk, uint64_t *counter, uint64_t amount)
{
    if (__builtin_expect(disk->counting, 0))
        __atomic_fetch_add((shared_word *)(void *)counter, amount, __ATOMIC_RELAXED);
}

/*
 * Exactly len bytes of backing content at `off` into the vector; off + len is
 * within backing_size. -EIO if the file has become shorter than it was. (read.c)
 */
int read_backing(struct acow_disk *disk, struct iovec *iov, int iovcnt, uint64_t off, size_t len);

/* The same into one buffer, with zeros beyond the backing file's end. (read.c) */
int read_old(struct acow_disk *disk, void *buf, uint64_t off, size_t len);

/*
 * Sets the bits of sectors whose data is in the image: pending, or with ACOW_UNSAFE in the
 * metadata file at once. Their pages are reserved, and their stripes held. (flush.c)
 */
int flush_set_bits(struct acow_disk *disk, struct att *att, uint64_t first, uint64_t count);

/* Flushes; the caller holds nothing later than size in the lock order. (flush.c) */
int flush_disk(struct acow_disk *disk, struct att *att);

/* What a call returns that has changed `done` bytes (or just something: 0), once that is durable
 * if it has to be; a negative `done` is returned as it is. (flush.c) */
ssize_t flush_through_now(struct acow_disk *disk, ssize_t done);

static inline ssize_t flush_through(struct acow_disk *disk, ssize_t done)
{
    return __builtin_expect(disk->through, 0) ? flush_through_now(disk, done) : done;
}

/* Sectors; `end` is the one behind the last that is allocated, 0 if none is. */
struct extent_count {
    uint64_t allocated, pending, end;
};

/* What acow_count_allocated tells, and the end. (extent.c) */
int extent_count(struct acow_disk *disk, struct extent_count *count);

/* What is below [off, off + len), which begins within the disk. (extent.c) */
int extent_below(struct acow_disk *disk, uint64_t off, uint64_t len, struct acow_extent *extent);

/* True if any bit may be pending. (flush.c) */
bool flush_pending(const struct att *att);

/*
 * Takes the size lock and refreshes *att under it; if the last holder died, the
 * size is read from the image again. (size.c)
 */
int size_lock(struct acow_disk *disk, struct att **att);
void size_unlock(struct acow_disk *disk, struct att *att);

/*
 * Before the disk becomes `size` bytes, larger than it is: room for the bits; and where the
 * backing file has data beyond the old end, the grown part's bits, set and
 * durable, so that it reads as zeros; and its bits as far as somebody has mapped it. The size lock is held; *att is refreshed. (size.c)
 */
int size_prepare(struct acow_disk *disk, struct att **att, uint64_t size);

/*
 * Something has made the image larger without the size lock, which is held now; the disk becomes
 * as large. *att is refreshed. (size.c)
 */
int size_catch_up(struct acow_disk *disk, struct att **att);

/* The disk is now at least so large. The size lock is held. (size.c) */
void size_raise(struct att *att, uint64_t size);

/*
 * Something failed that was to make the image larger, and perhaps has in part: the disk
 * is as large as its image. The size lock is held, and size_prepare was done. (size.c)
 */
void size_follow_image(struct acow_disk *disk, struct att *att);

/*
 * Copies one sector up if it is not allocated: its old bytes to the image, then
 * its bit. The caller holds its stripe and has reserved its page. (write.c)
 */
int write_copyup_locked(struct acow_disk *disk, struct att *att, uint64_t sector);

/*
 * To be called after a write without a lock, which may have met a truncation: then the image has grown
 * again, by that write to `end`, and the disk must follow; unless it was cut once more. (write.c)
 */
int write_follow(struct acow_disk *disk, const struct att *seen, uint64_t end);

/* True if the sector has its bit. */
static inline bool disk_allocated(const struct att *att, uint64_t sector)
{
    return bits_all_set(&att->bits, sector, 1);
}

#endif
