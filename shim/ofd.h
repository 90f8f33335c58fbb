/*
 * Open file descriptions on disks: what `open` makes, and dup, fork and exec share.
 *
 * The descriptor that the program has is a placeholder: a memfd reopened with
 * access mode 3, good for neither reading nor writing, so that whatever slips
 * past the hooks fails. The memfd's first pages hold the description's state,
 * mapped shared by every process that has it: the offset, the flags, and which
 * disk it is.
 *
 * A struct ofd is this process's end of one. Its memory is never given back, so
 * that a thread that is just looking one up can never follow a dead pointer.
 *
 * Functions return >= 0 or a negative errno.
 */
#ifndef SHIM_OFD_H
#define SHIM_OFD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "disks.h"
#include "mutex.h"

struct ofd_state {
    uint64_t magic;
    uint32_t abi;
    uint32_t shared;            /* another process may have it: take the lock */
    uint64_t dev, ino;          /* of the metadata file */
    uint64_t offset;            /* the file offset, bytes */
    uint64_t image_dev, image_ino;
    uint32_t flags;             /* access mode and status flags, as F_GETFL shows them */
    shared_mutex lock;          /* over offset */
    char path[4096];            /* of the metadata file, absolute */
};

#define OFD_STATE_LEN 8192u

/*
 * The kernel's O_LARGEFILE: 64-bit programs have it always, and it is 0 in their headers. A
 * description without it is of at most 2 GiB when opened, and does not make the disk larger.
 */
#define OFD_LARGE 0100000
#define OFD_SMALL_MAX INT32_MAX

struct ofd {
    /* What a read looks at, in one cache line. */
    int refs __attribute__((aligned(64)));  /* slots that hold it, and calls under way */
    int alive;                  /* made and not yet ended */
    struct acow_disk *engine;   /* NULL until used, when it came by exec */
    int image_fd;               /* hidden: its own description, for flags and locks */
    int flags;                  /* of the state: access mode, OFD_LARGE; O_DIRECT as set here */
    struct ofd_state *state;
    bool traced;
    struct disk *disk;          /* whose engine that is */
    uint32_t direct_off, direct_mem;    /* O_DIRECT's alignments, bytes; 0: not asked yet */
    uint64_t memfd_ino;
    struct ofd *next;           /* all there are, in use or free (then state is NULL) */
};

/*
 * Opens a disk; *fd gets a placeholder with the lowest free number. `path` is
 * absolute and names an existing disk; flags are open(2)'s.
 */
int ofd_open(const char *path, int flags, struct ofd **out, int *fd);

/* The ofd behind an inherited placeholder, or NULL if fd is none of ours. */
struct ofd *ofd_adopt(int fd);

/*
 * Takes over an image descriptor that the program before the exec left open, if fd is one; the placeholders have been
 * adopted. Locks that are held through it, or will be, are the description's and so shared.
 */
void ofd_inherit_image(int fd);

/*
 * A descriptor of a metadata file itself, opened by a program without the shim
 * (the shell of `addcow-preload.sh cat <x.add-cow`): replaced, under the same number, by a
 * placeholder at the same offset. If the disk cannot be opened, the number
 * becomes one that fails every read and write. NULL if it is something else. `cloexec` is
 * O_CLOEXEC or 0; with `own`, only a file of this user's is opened.
 */
struct ofd *ofd_adopt_file(int fd, int cloexec, bool own);

/* True for what /proc/self/fd shows of a placeholder. */
bool ofd_is_placeholder_name(const char *link);

/*
 * The path, now, of the disk behind a placeholder that /proc/…/fd/N leads to; out[4096]. "" if it is none of
 * this user's, or its name is gone.
 */
void ofd_path_of(int dir, const char *proc_path, char *out);

/* One more or one less slot. The last one's result is that of closing the disk. */
void ofd_ref(struct ofd *ofd);
int ofd_unref(struct ofd *ofd);

/*
 * Leaves the image descriptor open for a program that is about to be exec'ed, or
 * spawned, and inherits the placeholder, since locks belong to it. And back, if this
 * program goes on.
 */
void ofd_bequeath(struct ofd *ofd);
void ofd_bequeath_end(struct ofd *ofd);

/* Another process may have it from now on; and the same for every ofd in this process. */
void ofd_share(struct ofd *ofd);
void ofd_share_all(void);

/* In the child of a fork. */
void ofd_after_fork(void);

/* Opens the disk of one that came by exec, at its first use. */
int ofd_begin(struct ofd *ofd, struct acow_disk **disk);

static inline int ofd_disk(struct ofd *ofd, struct acow_disk **disk)
{
    *disk = __atomic_load_n(&ofd->engine, __ATOMIC_ACQUIRE);
    return __builtin_expect(*disk != NULL, 1) ? 0 : ofd_begin(ofd, disk);
}

static inline bool ofd_readable(const struct ofd *ofd)
{
    return (ofd->flags & 3) != 1;
}

static inline bool ofd_writable(const struct ofd *ofd)
{
    return (ofd->flags & 3) != 0;
}

/* As the system calls of these names on a flat file. */
/* acow_read_fd, or -1 where there is more to it. */
int ofd_read_fd(struct ofd *ofd, size_t len, int64_t off);
ssize_t ofd_preadv(struct ofd *ofd, const struct iovec *iov, int iovcnt, int64_t off);
ssize_t ofd_readv(struct ofd *ofd, const struct iovec *iov, int iovcnt);
/* rwf: RWF_DSYNC, RWF_SYNC, RWF_APPEND, or 0 */
ssize_t ofd_pwritev(struct ofd *ofd, const struct iovec *iov, int iovcnt, int64_t off, int rwf);
/* acow_move_in: within the call that `move` makes the file offset and O_APPEND mean nothing. */
ssize_t ofd_move_in(struct ofd *ofd, int64_t off, size_t len, acow_move *move, void *arg);
ssize_t ofd_writev(struct ofd *ofd, const struct iovec *iov, int iovcnt, int rwf);
int64_t ofd_lseek(struct ofd *ofd, int64_t off, int whence);
int ofd_truncate(struct ofd *ofd, int64_t size);
int ofd_fallocate(struct ofd *ofd, int mode, int64_t off, int64_t len);
int ofd_flush(struct ofd *ofd);

#endif
