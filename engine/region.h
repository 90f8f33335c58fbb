/*
 * The run-time state of a disk, shared by every process that has it open: the
 * pending bits, the size, the locks. It lives in X.add-cow.run beside the
 * metadata file, mapped shared, or, where that directory is not writable, in
 * memory, for one process and its forks (alone.h).
 *
 * Who takes part is told by locks that die with their holder (lock.h), not by
 * process numbers: those say nothing from another container.
 *
 * Lock order: attach, size, stripes by index, flush, reserve. Who has the flush lock only tries
 * the stripes.
 */
#ifndef ACOW_REGION_H
#define ACOW_REGION_H

#include <stddef.h>

#include "addcow.h"
#include "bitmap.h"
#include "mutex.h"

#define REGION_STRIPES 64
#define REGION_HOLDERS 128
#define REGION_STRIPE_BYTES (64u << 10)

#define REGION_DEAD UINT64_MAX         /* generation of a region that was closed for good */

/* Head of the run-time file; the pending area begins at REGION_HEAD. */
struct region {
    uint64_t magic;
    uint32_t abi;
    uint32_t poison;                   /* an fsync of the image failed (I6) */
    char boot_id[40];
    struct region_files {
        uint64_t meta_dev, meta_ino, image_dev, image_ino;
        /* Inode numbers are used again; the times at which files were made are not. */
        int64_t meta_birth, image_birth;
    } files;
    uint64_t backing_dev, backing_ino;

    /* Read on every call. A change of `gen` tells: look at the mappings again. */
    uint64_t gen __attribute__((aligned(64)));
    uint64_t size;                     /* the disk's, bytes */
    uint64_t pages;                    /* of pending bits that the file has room for */
    uint64_t meta_len;                 /* the metadata file is at least so long; 0: not known */
    uint64_t mapped;                   /* bytes: mappings of the image reach no further */

    shared_mutex size_lock __attribute__((aligned(64)));
    shared_mutex flush_lock;
    shared_mutex reserve_lock;
    struct {
        shared_mutex lock __attribute__((aligned(64)));
    } stripes[REGION_STRIPES];

    /* Who takes part, as far as there is room: for messages, and to see whether one is stopped. */
    struct region_holder {
        int32_t pid;                   /* 0: free */
        uint32_t writable;
        uint64_t start;                /* ticks since boot: with pid, one process for all time */
    } holders[REGION_HOLDERS];
};

#define REGION_HEAD 16384u
_Static_assert(sizeof(struct region) <= REGION_HEAD, "the head has room for the region");
_Static_assert(offsetof(struct region, gen) == 128 && offsetof(struct region, size_lock) == 192
               && offsetof(struct region, stripes) == 320
               && offsetof(struct region, holders) == 320 + 64 * REGION_STRIPES,
               "one layout for 32-bit and 64-bit programs");

/*
 * One process's look at a region: immutable once published, kept until the disk
 * is closed, so that a thread may go on using the one it began with.
 */
struct att {
    struct region *region __attribute__((aligned(64)));
    uint64_t gen;
    struct bits bits;
    struct att *older;
    /* The mappings, some of them perhaps made for an older att and still good. */
    void *head_map, *area_map, *meta_map;
    size_t area_len, meta_len;
};

/* How a disk takes part in its run-time state. */
enum region_role {
    ROLE_NONE,      /* not (yet, or any more) */
    ROLE_MEMBER,    /* in the run-time file, seen by all others */
    ROLE_ALONE,     /* a writer with a region in memory; others are locked out */
    ROLE_LOOKER,    /* only looks: at another's run-time file, if there is one */
    ROLE_FOLLOWER,  /* looks at the region in memory of a writer of this process or its parent */
};

/*
 * Begins to take part: maps what is there, or makes it, and sets disk->att.
 * `disk` has its files open. Errors: -EBUSY, -EPERM (a run-time file that cannot
 * be trusted), -ESTALE (it belongs to other files), -ENOSPC, -ENOMEM, -EIO.
 */
int region_attach(struct acow_disk *disk, struct acow_msg *msg);

/* The same for a disk with a mate, whose `local` is not held. */
int region_attach_beside(struct acow_disk *disk, struct acow_msg *msg);

/* Ends it; the last one flushes, if it may write. Returns that flush's result. */
int region_detach(struct acow_disk *disk);

/* Closes run_fd, if it is open. */
void region_close_run(struct acow_disk *disk);

/* Others may have made the disk larger since this one last looked; *att gets the newest look. */
int region_look_again(struct acow_disk *disk, struct att **att);

/* Takes part in nothing, until the next call attaches anew. What it took part in is not told. */
void region_leave(struct acow_disk *disk);

/* Flushes if any bit is pending, and stays. */
int region_fold_in(struct acow_disk *disk);

/* True if one that watches should attach again: what it looks at is no longer what counts. */
bool region_appeared(struct acow_disk *disk);

/*
 * Publishes mappings that fit disk->next's region as it is now; `old` gives what
 * can be used again, or is NULL. The caller holds disk->local.
 */
int region_map(struct acow_disk *disk, struct region *region, struct att *old);

/* Undoes every mapping ever made for this disk. */
void region_unmap(struct acow_disk *disk);

/*
 * Room for the bits of a disk of `size` bytes, here and in the metadata file.
 * Caller holds the size lock, or is the only one there. -ENOSPC, -EFBIG.
 */
int region_room(struct acow_disk *disk, struct region *region, uint64_t size);

/* Gives [off, off + len) of fd storage, as zeros where it had none. -ENOSPC. */
int region_fill(struct acow_disk *disk, int fd, int64_t off, int64_t len);

/*
 * Reserves the pages that hold the bits of these sectors, in the run-time file
 * and in the metadata file, so that neither a store nor a flush can run out of space.
 */
int region_reserve(struct acow_disk *disk, const struct att *att, uint64_t first, uint64_t count);

/*
 * Makes it true, in a run-time file that nobody uses, that what its summary says is reserved is
 * so, and that there is nothing beyond its pages. 1: the summary says what it cannot.
 */
int region_reserve_again(struct acow_disk *disk, const struct region *region);

/*
 * 0; 1 if it was taken over from a dead holder; -EIO if it is damaged; -ETIMEDOUT if its
 * holder is stopped, and has been for long.
 */
int region_lock(struct acow_disk *disk, shared_mutex *lock);
void region_unlock(shared_mutex *lock);

/* The stripes over a byte range, as a set. */
uint64_t region_stripes(uint64_t off, uint64_t len);
int region_lock_stripes(struct acow_disk *disk, struct region *region, uint64_t stripes);
/* All of them, if nobody has any. */
bool region_try_all_stripes(struct region *region);
void region_unlock_stripes(struct region *region, uint64_t stripes);

#endif
