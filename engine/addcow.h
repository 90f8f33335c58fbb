/*
 * addcow: copy-on-write disks in three plain files. The engine's public header.
 *
 * A disk is a metadata file (X.add-cow: a header and one bit per 512-byte
 * sector), a raw image file, and a read-only backing file. docs/format.md has
 * the format; docs/architecture.md has the invariants I1 to I9 named below.
 *
 * Conventions. Offsets, lengths and sizes are bytes; a sector is 512 bytes.
 * A function that can fail returns int, ssize_t or int64_t: >= 0, or a negative
 * errno. `msg`, where a function takes one, may be NULL; on failure it gets one
 * line without a newline: which file, what failed, why. All functions are
 * thread-safe on one disk, except acow_close and acow_after_fork.
 */
#ifndef ADDCOW_H
#define ADDCOW_H

#include "sys.h"

#define ACOW_SECTOR 512u
#define ACOW_NAME_MAX 1023u            /* bytes in a backing or image name */
#define ACOW_SIZE_MAX (1ull << 50)     /* largest disk served: 1 PiB */
#define ACOW_CHAIN_MAX 64              /* disks in a chain, the top one included */
#define ACOW_SUFFIX ".add-cow"

struct acow_disk;

struct acow_msg {
    char text[4096];
};

/* ---- open and close ---------------------------------------------------- */

enum {
    ACOW_RDONLY = 0,
    ACOW_RDWR = 1 << 0,
    /*
     * Look only: no locks taken, no run-time file made; pending bits of others
     * are seen if their run-time file can be read. For `info` and `check`.
     */
    ACOW_INSPECT = 1 << 1,
    /* Every write, truncation and zeroing is durable when it returns. */
    ACOW_WRITETHROUGH = 1 << 2,
    /*
     * acow_flush does nothing, and bits go to the metadata file at once: a power cut may leave
     * anything. What others with the disk have pending is still made durable in order.
     */
    ACOW_UNSAFE = 1 << 3,
};

/*
 * Opens the disk whose metadata file is `path`, and its chain.
 *
 * Errors: -EINVAL bad magic, truncated header, image is no regular file, two of
 * the three files are one, backing is a fifo or character device; -ENOTSUP
 * version other than 1; -ENAMETOOLONG a name without its NUL; -ENOENT empty
 * image_file, or any file missing; -EISDIR image or backing is a directory;
 * -ELOOP a cycle, or more than ACOW_CHAIN_MAX disks; -EFBIG larger than
 * ACOW_SIZE_MAX; -EACCES, -EROFS no permission; -EBUSY in use in a way that
 * excludes this one (the message names the process); -ETIMEDOUT a process that
 * is stopped holds the attach lock; -ENOMEM, -EIO, -EMFILE, and what the system calls return.
 * Nothing is created, changed or truncated when it fails.
 *
 * Locks: shared advisory OFD locks on the metadata file and on a raw backing file (there
 * QEMU's bytes 100, 201, 203) for as long as it is open; the attach lock for a moment. Durability: none needed.
 */
int acow_open(const struct acow_sys *sys, const char *path, int flags,
              struct acow_disk **out, struct acow_msg *msg);

/*
 * Closes it, always. The last writable one on the machine flushes first, if
 * anything is pending, and returns what that flush returned (I4). -ETIMEDOUT: a stopped
 * process holds the attach lock; what is pending stays in the run-time file for the next.
 */
int acow_close(struct acow_disk *disk, struct acow_msg *msg);

/*
 * Gives up this process's share of the run-time state as acow_close would (the
 * last writable one flushes), but keeps the disk usable: the next call on it
 * takes part again. For the moments before exec and at exit. Returns what the
 * flush returned.
 */
int acow_park(struct acow_disk *disk);

/*
 * To be called in the child of a fork, before any other call on `disk` there.
 * The child then takes part in the run-time state under its own name at its
 * first call. It lets go of its parent's share at once, since locks hang on that.
 */
void acow_after_fork(struct acow_disk *disk);

/* ---- facts ------------------------------------------------------------- */

/* The virtual size now. -EIO, -EBUSY only if the run-time state must be found
 * again and cannot. */
int64_t acow_size(struct acow_disk *disk);

/*
 * As stat(2) shows the disk: device, inode, mode and owner are the metadata
 * file's, size and blocks the image's, times the later of both. acow_stat needs no open
 * disk and takes no lock; -EINVAL and -ENOTSUP for what is not one. Its struct
 * stat is the platform's with 64-bit fields.
 */
int acow_fstat(struct acow_disk *disk, struct stat *st);
int acow_stat(const struct acow_sys *sys, const char *path, struct stat *st);

/* Where the image file of the disk at `path` is: malloc'ed in *out. Errors as acow_stat's. */
int acow_image_path(const struct acow_sys *sys, const char *path, char **out);

struct acow_counters {
    uint64_t reads_image, reads_backing;   /* system calls */
    uint64_t writes, writes_allocating;    /* system calls on the image */
    uint64_t copyup_bytes;                 /* old bytes gathered into writes */
    uint64_t flushes, commits;             /* flushes; those that wrote bits */
};

/*
 * Borrowed facts, valid until acow_close. Descriptors are the engine's own:
 * do not close them, do not lock through them.
 */
struct acow_facts {
    const char *meta_path;      /* as opened */
    const char *image_path;     /* resolved; see the format's rule on names */
    const char *backing_path;   /* resolved; NULL if the name is empty */
    const char *image_name;     /* as the header has them */
    const char *backing_name;
    int meta_fd, image_fd;
    int writable;
    uint64_t backing_size;      /* bytes; 0 without a backing file */
    struct acow_disk *backing;  /* a chain link, or NULL */
};

void acow_facts(struct acow_disk *disk, struct acow_facts *facts);

/* Counters count from acow_count(disk, 1) on. */
void acow_count(struct acow_disk *disk, int on);
void acow_counters(struct acow_disk *disk, struct acow_counters *counters);

/*
 * Which sectors have their bit: counts them in [0, size).
 * *pending counts those whose bit is not yet in the metadata file.
 */
int acow_count_allocated(struct acow_disk *disk, uint64_t *allocated, uint64_t *pending);

/* ---- read and write ---------------------------------------------------- */

/*
 * `image_fd` below is a second descriptor of the disk's image file with the
 * flags the caller wants for its data (O_DIRECT, O_SYNC), or -1 for the disk's own.
 * Get one from acow_open_image.
 */
#define ACOW_OWN_FD (-1)

/* Opens the image file again with open(2) flags; the caller closes it. */
int acow_open_image(struct acow_disk *disk, int open_flags);

/*
 * As pread(2) and preadv(2) on a flat file of acow_size bytes. One system call
 * for a range that is all image or all backing. Errors: -EIO, -EINVAL (as
 * the kernel's for iovcnt or O_DIRECT alignment), -ENOMEM, -EFAULT.
 * Locks: none.
 */
ssize_t acow_pread(struct acow_disk *disk, int image_fd, void *buf, size_t len, uint64_t off);
ssize_t acow_preadv(struct acow_disk *disk, int image_fd,
                    const struct iovec *iov, int iovcnt, uint64_t off);

/*
 * As pwrite(2) and pwritev(2): may write short, and grows the disk. One system
 * call on the image file, and stripe locks only where a sector is allocated.
 * Errors: -ENOSPC, -EDQUOT, -EFBIG, -EIO, -EBADF (not writable), -EINVAL, -EFAULT,
 * -ETIMEDOUT (a stopped process is in the middle of allocating there).
 * Visible to every reader of the disk when it returns; durable after acow_flush.
 */
ssize_t acow_pwrite(struct acow_disk *disk, int image_fd,
                    const void *buf, size_t len, uint64_t off);
ssize_t acow_pwritev(struct acow_disk *disk, int image_fd,
                     const struct iovec *iov, int iovcnt, uint64_t off);

/*
 * Writes at the end of the disk, wherever that is then (O_APPEND); *end gets
 * the offset behind what was written.
 */
ssize_t acow_append(struct acow_disk *disk, int image_fd,
                    const struct iovec *iov, int iovcnt, uint64_t *end);

/*
 * Every write that completed before this call is durable, data and bit (I4).
 * -EIO for ever once an fsync of the image has failed (I6); -ENOSPC, -EIO, -ETIMEDOUT
 * (a stopped process is in the middle of a flush).
 * On a disk opened read-only: fdatasync of the image alone. Locks: flush.
 */
int acow_flush(struct acow_disk *disk);

/* ---- size and holes ---------------------------------------------------- */

/* As ftruncate(2). Grown bytes read as zeros. -EFBIG, -ENOSPC, -EBADF, -EINVAL, -ETIMEDOUT. */
int acow_truncate(struct acow_disk *disk, uint64_t size);

/*
 * As fallocate(2): `mode` is 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE |
 * FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE with or without KEEP_SIZE; others
 * are -EOPNOTSUPP, and so is what the image's filesystem does not do.
 */
int acow_fallocate(struct acow_disk *disk, int mode, uint64_t off, uint64_t len);

enum acow_kind { ACOW_HOLE, ACOW_DATA };

struct acow_extent {
    uint64_t off, len;          /* of the disk */
    enum acow_kind kind;        /* HOLE: reads as zeros */
    int depth;                  /* 0 this disk's files, 1 its backing disk's, … */
    int allocated;              /* this disk's bit */
    /* DATA in a plain file: which, and where; else NULL and 0 */
    const char *file;
    uint64_t file_off;
};

/*
 * The extent that begins at `off`: as long as kind, depth, allocated and file
 * stay the same, but not beyond `off + limit`. Returns 0, or -ENXIO at or past the end.
 * Neighbouring calls may return extents of equal facts.
 */
int acow_next_extent(struct acow_disk *disk, uint64_t off, uint64_t limit,
                     struct acow_extent *extent);

/* ---- create ------------------------------------------------------------ */

struct acow_create {
    const char *path;           /* metadata file to make */
    const char *backing_name;   /* as to be stored; relative to path's directory */
    const char *image_name;     /* as to be stored; relative to path's directory */
    int64_t size;               /* bytes; -1: the image's if it exists, else the backing's */
    int force;                  /* replace an existing metadata file */
    const char *backing_fmt;    /* NULL, "raw" or "add-cow": checked against the name */
};

/*
 * Makes a disk. An image file that is missing is created, sparse; one that
 * exists keeps its content and its size; an explicit `size` that differs is an
 * error (-EINVAL). The metadata file appears whole
 * and durable or not at all; whatever this call made is removed if it fails.
 * *size_out (may be NULL) gets the virtual size.
 *
 * Errors: -EEXIST, -ENAMETOOLONG, -EINVAL (no backing or image name, files not
 * distinct, format against name, size), -ENOENT, -EFBIG, -ENOSPC, and what
 * acow_open returns for the backing chain.
 */
int acow_create(const struct acow_sys *sys, const struct acow_create *what,
                uint64_t *size_out, struct acow_msg *msg);

/* Plain libc, for programs that are not the shim. engine/sys_libc.c */
extern const struct acow_sys acow_sys_libc;

/* True if the last component of `path` ends in ".add-cow". Pure. */
int acow_name_is_disk(const char *path);

#endif
