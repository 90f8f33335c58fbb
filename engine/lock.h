/*
 * Who uses a disk, told by locks that the kernel drops when their holder dies
 * (open file description locks). Each is a byte far beyond any data.
 */
#ifndef ACOW_LOCK_H
#define ACOW_LOCK_H

#include "addcow.h"
#include "holder.h"

/*
 * Which bytes, of the metadata file (M), the run-time file (R), an image file (I) and a raw
 * backing file (B). An image file of one disk may be the backing file of another, and programs'
 * own record locks are on the image file too, below ACOW_LOCK_FIRST: the shim sees to that.
 *
 *   100, 201, 203      B   QEMU's (claim.c)
 *   2^60 and up        M   a byte for each run-time file that there may be
 *   2^61 and up        MRB enum lock_byte
 *   2^62 and up        I   a byte for each metadata file that names it: who uses the disk
 *   2^62 + 2^60 and up I   the same: who may write it
 */
#define LOCK_KEYS (1ull << 60)              /* bytes in each of the ranges that have one for each */
#define LOCK_RUN_BASE ACOW_LOCK_FIRST
#define LOCK_BASE (1ull << 61)
#define LOCK_USER_BASE (1ull << 62)
#define LOCK_WRITER_BASE (LOCK_USER_BASE + LOCK_KEYS)

enum lock_byte {
    /* in the run-time file */
    REGION_ATTACH,  /* exclusive while taking part begins or ends */
    REGION_LIVE,    /* shared by all that take part */
    REGION_WRITER,  /* shared by those of them that may write */
    /* in the metadata file */
    DISK_WRITER,    /* shared by writers; exclusive by one whose pending bits no other can see */
    DISK_READER,    /* shared by all that have it open for themselves */
    DISK_BACKING,   /* shared by those that use it as a backing file */
    /* in a raw backing file */
    RAW_BACKING,    /* shared by those that use it as one */
};

struct lock_range {
    uint64_t off, len;
};

/* Does not wait. `type` is as in struct flock. -EAGAIN: held by another. */
int lock_set_range(const struct acow_sys *sys, int fd, int type, struct lock_range range);
int lock_set(const struct acow_sys *sys, int fd, int type, enum lock_byte byte);

/* 1 if another open file description holds some of it in a way that excludes `type`, else 0. */
int lock_held_range(const struct acow_sys *sys, int fd, int type, struct lock_range range);
int lock_held(const struct acow_sys *sys, int fd, int type, enum lock_byte byte);

/* Those that hold the byte, as holder_find tells them. */
int lock_holders(const struct acow_sys *sys, int fd, enum lock_byte byte, struct holder *out,
                 int max);

/* Who holds the byte, for a message: "process 12 (fio)". Returns `text`. */
const char *lock_who(const struct acow_sys *sys, int fd, enum lock_byte byte,
                     char text[HOLDER_TEXT]);

#endif
