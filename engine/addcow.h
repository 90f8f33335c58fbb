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
/*
 * The engine's record locks on an image file are on bytes from here on. Who uses its descriptors
 * (acow_open_image) for locks of other kinds keeps below.
 */
#define ACOW_LOCK_FIRST (1ull << 60)
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
 * Locks: shared advisory OFD locks on the metadata file, the image file and a raw backing file (there
 * QEMU's bytes 100, 201, 203 too) for as long as it is open; the attach lock for a moment. Durability:
 * none needed.
 */
int acow_open(const struct acow_sys *sys, const char *path, int flags,
              struct acow_disk **out, struct acow_msg *msg);

/*
 * The same where this process already has the disk open for reading and now wants it for
 * writing too, or the other way round: `beside` is that one, which acow_after_fork is called for
 * when it is for this. Where a run-time file cannot be made, which keeps others out, the two
 * share what is pending. `beside` may be NULL, or another disk: then as acow_open. Not to
 * be called while `beside` is being closed; other calls on it may be under way.
 */
int acow_open_beside(const struct acow_sys *sys, const char *path, int flags,
                     struct acow_disk *beside, struct acow_disk **out, struct acow_msg *msg);

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
 * To be called before a fork, and in both processes after it: no other thread of this process begins or
 * ends to take part meanwhile, or the child could have half of that. Waits for one that does, which
 * may take 10 s beside a stopped process (see acow_open). Of two disks where one was opened beside the
 * other, the one for writing comes first. Not to be called by a signal handler that
 * interrupted a call on `disk`. Locks: the disk's own one for taking part, from the one to the other.
 */
void acow_before_fork(struct acow_disk *disk);
void acow_let_fork(struct acow_disk *disk);

/*
 * To be called in the child of a fork, before any other call on `disk` there but acow_let_fork.
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

/*
 * True if the image file has all of [off, off + len), so that a request on its descriptor at the same
 * offset is as good as one on the disk, for as long as the disk is not cut shorter. With
 * `writing` also no, if a write must be durable when it returns. len 0: false. Locks: none.
 */
int acow_in_image(struct acow_disk *disk, uint64_t off, uint64_t len, int writing);

/*
 * The engine's own descriptor, valid until acow_close, of the flat file below the image that has all
 * of [off, off + len) at the same offset, none of it being in the image; -1 if it is not so, and for
 * len 0. It is right for as long as nobody writes there. Locks: none.
 */
int acow_below_fd(struct acow_disk *disk, uint64_t off, uint64_t len);

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
 * The descriptor of the one file that all of [off, off + len) is in, where it is to be read
 * with one pread, or -1: then, and where that one reads less, call acow_pread. Not to be kept:
 * the next write may change it. Locks: none.
 */
int acow_read_fd(struct acow_disk *disk, int image_fd, size_t len, uint64_t off);

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
 * A write by a call of the caller's, for bytes that only the kernel gets at: move(arg, fd, len, off) puts up to
 * len bytes into the file fd at off, and returns how many, or a negative errno if there
 * were none, which is then returned. It may be called with a shorter len, with locks held, and must not wait
 * for long nor call the engine. A range that goes past the end is moved as far as that.
 * Errors else: acow_pwrite's and acow_copy_up's; then nothing was moved, but if a flush failed
 * that must be durable. Locks: as acow_copy_up, before `move` is called; beyond the end size.
 */
typedef ssize_t acow_move(void *arg, int fd, size_t len, uint64_t off);
ssize_t acow_move_in(struct acow_disk *disk, int image_fd, size_t len, uint64_t off,
                     acow_move *move, void *arg);

/*
 * Every write that completed before this call is durable, data and bit (I4).
 * -EIO for ever once an fsync of the image has failed (I6); -ENOSPC, -EIO, -ETIMEDOUT
 * (a stopped process is in the middle of a flush).
 * On a disk opened read-only: fdatasync of the image alone. Locks: flush.
 */
int acow_flush(struct acow_disk *disk);

/*
 * For who is about to sync the image file by a request of its own: does what else acow_flush does.
 * 1: an fdatasync of the image that begins later, and succeeds, is then as good as acow_flush; 0: not
 * even that is wanted (ACOW_UNSAFE). Errors and locks: acow_flush's.
 */
int acow_flush_ahead(struct acow_disk *disk);

/*
 * For who is about to map the image file: from now on, and for as long as anybody has the disk
 * open, every sector in the range is read from the image, and has its content there. Of what lies
 * beyond the end that is true once the disk has grown so far, by whomever.
 * Not writable: -EBADF; -EINVAL, -ENOSPC, -EDQUOT, -EIO, -ENOMEM, -ETIMEDOUT; some of it may
 * have been copied then, which changes nothing that is read. Locks: size and stripes, for each MiB
 * anew. Durability: acow_flush.
 */
int acow_copy_up(struct acow_disk *disk, uint64_t off, uint64_t len);

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
    /*
     * The engine's own descriptor of the plain file that holds it at the offset `off`, a hole in
     * that file too, valid until acow_close; -1: in no file, beyond the end of a backing file
     */
    int fd;
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
 * and durable or not at all; whatever this call made is removed if it fails, but
 * where an old disk has been replaced already, which then stays so.
 * *size_out (may be NULL) gets the virtual size.
 *
 * Errors: -EEXIST, -ENAMETOOLONG, -EINVAL (no backing or image name, files not
 * distinct, format against name, size), -ENOENT, -EFBIG, -ENOSPC, and what
 * acow_open returns for the backing chain.
 */
int acow_create(const struct acow_sys *sys, const struct acow_create *what,
                uint64_t *size_out, struct acow_msg *msg);

/* ---- check ------------------------------------------------------------- */

enum acow_severity {
    ACOW_NOTE,          /* nothing is wrong, but it is worth knowing */
    ACOW_LEAK,          /* something is left over; nothing is lost by it, nor by repairing it */
    ACOW_CORRUPTION,    /* the disk cannot be opened as it is, or writes may have been lost */
    ACOW_UNCHECKED,     /* it could not be looked at, so it may be anything */
};

enum acow_found {
    /* Corruptions that nobody but their owner can repair. */
    ACOW_FOUND_METADATA,        /* a metadata file below is missing, or is no regular file */
    ACOW_FOUND_HEADER,          /* magic, length, version, a name without end */
    ACOW_FOUND_IMAGE,           /* not named, missing, no regular file, too large */
    ACOW_FOUND_BACKING,         /* missing, or nothing that can be a backing file */
    ACOW_FOUND_SAME_FILE,       /* two files of the chain are one */
    ACOW_FOUND_CHAIN,           /* comes back to where it was, or is too deep */
    ACOW_FOUND_RUN_UNTRUSTED,   /* a run-time file that is a link, or somebody else's */
    ACOW_FOUND_RUN_FOREIGN,     /* one that belongs to other files */
    /* Corruptions that ACOW_REPAIR_ALL repairs. */
    ACOW_FOUND_RUN_DAMAGED,     /* cut short, or nonsense where programs are using it */
    ACOW_FOUND_RUN_POISONED,    /* an fsync failed: what was not yet safe may be lost */
    /* Leaks: run-time files that nobody uses. ACOW_REPAIR_LEAKS repairs them. */
    ACOW_FOUND_RUN_UNCLEAN,     /* of this boot: left by a kill; the next to open it goes on */
    ACOW_FOUND_RUN_OTHER_BOOT,  /* left by a power cut; the next to open the disk drops it */
    ACOW_FOUND_RUN_EMPTY,       /* its making was cut off; likewise */
    /* Notes. ACOW_REPAIR_ALL tidies the first two. */
    ACOW_FOUND_BITMAP_SHORT,    /* bits that are not there are 0 */
    ACOW_FOUND_BITS_PAST_END,   /* in the metadata file; shrinking leaves them */
    ACOW_FOUND_BITMAP_LONG,
    ACOW_FOUND_RESERVED,        /* bytes of the header that should be zero are not */
    ACOW_FOUND_LINKS,           /* the metadata file has several names */
    ACOW_FOUND_BACKING_SHORT, ACOW_FOUND_BACKING_LONG,
    ACOW_FOUND_OPEN_WRITING, ACOW_FOUND_OPEN_READING,   /* by a process: one each */
    ACOW_FOUND_OPEN_BACKING,                            /* as a backing file */
    ACOW_FOUND_BACKING_WRITTEN, /* somebody, perhaps QEMU, has the raw backing file for writing */
    ACOW_FOUND_RUN_ELSEWHERE,   /* programs use a run-time file that has another name by now */
    /* ACOW_UNCHECKED. */
    ACOW_FOUND_RUN_VERSION,     /* a run-time file of another version or architecture */
    ACOW_FOUND_UNREADABLE,      /* no permission, or an I/O error */
};

/* "run-unclean" for ACOW_FOUND_RUN_UNCLEAN, and so on. */
const char *acow_found_name(enum acow_found kind);

struct acow_finding {
    enum acow_found kind;
    enum acow_severity severity;
    int depth;                  /* of the disk: 0 the one asked for, 1 the one below it, … */
    int error;                  /* what acow_open returns because of it; 0: it would open */
    char *file;                 /* which file it is about */
    char *text;                 /* one line; begins with the file */
    char *repaired;             /* what was done about it, a line of the same form; NULL: nothing */
};

struct acow_check {
    struct acow_finding *findings;      /* the top disk's first, then down the chain */
    size_t nfindings;
    /* How many of each severity are not repaired, and how many are. */
    uint64_t notes, leaks, corruptions, unchecked;
    uint64_t notes_repaired, leaks_repaired, corruptions_repaired;
    /* Of the top disk, in sectors; all 0 if it cannot be looked into. */
    uint64_t sectors, allocated, pending;
    uint64_t end;               /* bytes up to the end of the last allocated sector */
};

enum {
    ACOW_REPAIR_LEAKS = 1,
    ACOW_REPAIR_ALL = 2,        /* leaks, corruptions, and what is merely untidy */
};

/*
 * Looks at the disk whose metadata file is `path`, and at its chain, with everything that
 * opening it would look at and more, and tells all that it finds. acow_check_free is needed in
 * any case. `repair` is 0, or as above, and is for the top disk alone: run-time files are
 * folded in or removed as the next to open the disk would do, those cut short are folded in
 * as far as they go, a bitmap is made as long as the disk needs, and bits past the end are
 * cleared. No sector of the disk changes by it. Findings are as before the repairs.
 *
 * Errors: what kept the metadata file from being opened (-ENOENT, -EACCES, -EISDIR,
 * -EINVAL: no regular file); -ENOMEM; with `repair` -EBUSY if anybody has the disk open
 * (`msg` names them), or what kept a repair from being done (-EACCES, -EROFS, -ENOSPC, -EIO).
 * 0 whatever was found.
 *
 * Locks: none without `repair`, nor is anything created, changed or removed; a disk that is in
 * use may be looked at. With it, and if there is something to repair, exclusive: who would open
 * the disk meanwhile gets -EBUSY. Durability: what was repaired is durable when it returns 0, but
 * for the removal of a run-time file.
 */
int acow_check(const struct acow_sys *sys, const char *path, int repair, struct acow_check *out,
               struct acow_msg *msg);
void acow_check_free(struct acow_check *check);

/* Plain libc, for programs that are not the shim. engine/sys_libc.c */
extern const struct acow_sys acow_sys_libc;

/* True if the last component of `path` ends in ".add-cow". Pure. */
int acow_name_is_disk(const char *path);

#endif
