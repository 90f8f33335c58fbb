/*
 * The table of system calls over the machine's files. Calls that the kernel would refuse are
 * refused here; a write to a file below the disk is a breach (I3) and is refused too.
 */
#include "machine_file.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static char boot_id[37];
static bool run_refused;

void machine_boot(unsigned number)
{
    snprintf(boot_id, sizeof(boot_id), "%08x-0000-4000-8000-000000000000", number);
}

void machine_refuse_run(bool refused)
{
    run_refused = refused;
}

/* The name within the directory, or NULL if it is not there. */
static const char *name_of(const char *path)
{
    size_t len = sizeof(MACHINE_DIR) - 1;

    if (strncmp(path, MACHINE_DIR, len) != 0 || strchr(path + len, '/') || !path[len])
        return NULL;
    return path + len;
}

static bool is_directory(const char *path)
{
    return strcmp(path, MACHINE_DIR) == 0
           || (strlen(path) == sizeof(MACHINE_DIR) - 2
               && strncmp(path, MACHINE_DIR, sizeof(MACHINE_DIR) - 2) == 0);
}

static void fill_stat(const struct inode *inode, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_dev = 1;
    st->st_ino = inode->ino;
    st->st_mode = inode->mode;
    st->st_nlink = (nlink_t)inode->names;
    st->st_uid = inode->uid;
    st->st_gid = inode->gid;
    st->st_size = (off_t)inode->size;
    st->st_blksize = 4096;
    st->st_blocks = (blkcnt_t)((inode->size + 511) / 512);
}

static bool writes(const struct description *description)
{
    return (description->flags & O_ACCMODE) != O_RDONLY;
}

/* ---- names --------------------------------------------------------------- */

static int open_special(const char *path, int flags)
{
    struct inode *inode = machine_new(MACHINE_OTHER);

    if (strcmp(path, BOOT_ID) == 0) {
        machine_store(inode, 0, boot_id, 36);
        return machine_open(inode, flags);
    }
    inode->mode = S_IFDIR | 0755;
    return machine_open(inode, flags);
}

static int create(const char *name, int flags, unsigned mode)
{
    bool run = strcmp(name, POWER_RUN) == 0;
    struct inode *inode;

    if (run && run_refused)
        return -EACCES;
    inode = machine_make(name, run ? MACHINE_RUN : MACHINE_PLAIN);
    inode->mode = S_IFREG | mode;
    if (machine_listener->name)
        machine_listener->name(name, inode, NULL);
    return machine_open(inode, flags);
}

static int sys_open(const char *path, int flags, unsigned mode)
{
    const char *name = name_of(path);
    struct inode *inode;

    if (strcmp(path, BOOT_ID) == 0 || is_directory(path))
        return open_special(path, flags);
    inode = name ? machine_file(name) : NULL;
    if (!inode)
        return name && flags & O_CREAT ? create(name, flags, mode) : -ENOENT;
    if (flags & O_CREAT && flags & O_EXCL)
        return -EEXIST;
    if (inode->role == MACHINE_FIXED && (flags & O_ACCMODE) != O_RDONLY) {
        breach("%s is below the disk, and is opened for writing (I3)", name);
        return -EROFS;
    }
    if (flags & O_TRUNC)
        fatal("%s is opened with O_TRUNC, which this machine does not have", name);
    return machine_open(inode, flags);
}

static int sys_close(int fd)
{
    struct description *description = machine_description(fd);

    if (!description)
        return -EBADF;
    machine_close(description);
    return 0;
}

static int sys_stat(const char *path, struct stat *st)
{
    const char *name = name_of(path);
    struct inode *inode = name ? machine_file(name) : NULL;

    if (!inode)
        return -ENOENT;
    fill_stat(inode, st);
    return 0;
}

static int sys_realpath(const char *path, char *out)
{
    const char *name = name_of(path);

    if (!is_directory(path) && (!name || !machine_file(name)))
        return -ENOENT;
    strcpy(out, path);
    if (!name)
        out[sizeof(MACHINE_DIR) - 2] = '\0';
    return 0;
}

static int sys_unlink(const char *path)
{
    const char *name = name_of(path);

    if (!name || !machine_file(name))
        return -ENOENT;
    machine_name(name, NULL);
    if (machine_listener->name)
        machine_listener->name(name, NULL, NULL);
    return 0;
}

static int move(const char *from, const char *to, bool keep)
{
    const char *old = name_of(from), *new = name_of(to);
    struct inode *inode = old ? machine_file(old) : NULL;

    if (!inode || !new)
        return -ENOENT;
    if (keep && machine_file(new))
        return -EEXIST;
    machine_name(new, inode);
    if (!keep)
        machine_name(old, NULL);
    if (machine_listener->name)
        machine_listener->name(new, inode, keep ? NULL : old);
    return 0;
}

static int sys_link(const char *from, const char *to)
{
    return move(from, to, true);
}

static int sys_rename(const char *from, const char *to)
{
    return move(from, to, false);
}

/* ---- transfers ----------------------------------------------------------- */

static ssize_t sys_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    const struct description *description = machine_description(fd);
    uint64_t at = (uint64_t)off;

    if (!description)
        return -EBADF;
    for (int i = 0; i < iovcnt && at < description->inode->size; i++) {
        uint64_t left = description->inode->size - at;
        size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

        memcpy(iov[i].iov_base, description->inode->mem + at, len);
        at += len;
    }
    return (ssize_t)(at - (uint64_t)off);
}

static ssize_t sys_pread(int fd, void *buf, size_t len, int64_t off)
{
    return sys_preadv(fd, &(struct iovec){ buf, len }, 1, off);
}

static void pause_here(struct inode *inode, bool sync)
{
    if (machine_listener->pause)
        machine_listener->pause(inode, sync);
}

static void tell_size(struct inode *inode, uint64_t size)
{
    if (machine_listener->size)
        machine_listener->size(inode, size);
}

static ssize_t sys_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    const struct description *description = machine_description(fd);
    uint64_t at = (uint64_t)off, size;
    struct inode *inode;

    if (!description || !writes(description))
        return -EBADF;
    inode = description->inode;
    pause_here(inode, false);
    size = inode->size;
    for (int i = 0; i < iovcnt; i++) {
        machine_store(inode, at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    /* A file that is written to grows page by page, from where the write begins. */
    for (uint64_t end = (uint64_t)off / 4096 * 4096 + 4096; end < inode->size; end += 4096)
        if (end > size)
            tell_size(inode, end);
    if (inode->size > size)
        tell_size(inode, inode->size);
    if (machine_listener->data)
        machine_listener->data(inode, (uint64_t)off, at - (uint64_t)off);
    return (ssize_t)(at - (uint64_t)off);
}

static ssize_t sys_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    return sys_pwritev(fd, &(struct iovec){ (void *)buf, len }, 1, off);
}

static int sys_fdatasync(int fd)
{
    const struct description *description = machine_description(fd);
    struct inode *inode;
    int r = 0;

    if (!description)
        return -EBADF;
    inode = description->inode;
    pause_here(inode, true);
    if (machine_listener->sync)
        r = machine_listener->sync(S_ISDIR(inode->mode) ? NULL : inode);
    /* Not after a failure: one who is killed before it could say so takes the news with it. */
    if (r == 0)
        pause_here(inode, true);
    return r;
}

static int64_t sys_lseek(int fd, int64_t off, int whence)
{
    const struct description *description = machine_description(fd);
    int64_t size;

    if (!description)
        return -EBADF;
    size = (int64_t)description->inode->size;
    switch (whence) {
    case SEEK_END:
        return size + off;
    case SEEK_DATA:
        return off < size ? off : -ENXIO;
    case SEEK_HOLE:
        return off < size ? size : -ENXIO;
    default:
        return -EINVAL;
    }
}

/* ---- sizes and zeros ----------------------------------------------------- */

static void resize(struct inode *inode, uint64_t size)
{
    if (size == inode->size)
        return;
    machine_resize(inode, size);
    tell_size(inode, size);
}

static int sys_ftruncate(int fd, int64_t len)
{
    struct description *description = machine_description(fd);

    if (!description || !writes(description))
        return -EBADF;
    resize(description->inode, (uint64_t)len);
    return 0;
}

static int sys_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    const struct description *description = machine_description(fd);
    uint64_t from = (uint64_t)off, end = (uint64_t)(off + len);
    struct inode *inode;

    if (!description || !writes(description))
        return -EBADF;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    inode = description->inode;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > inode->size)
        resize(inode, end);
    if (!(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
        return 0;
    if (end > inode->size)
        end = inode->size;
    if (from >= end)
        return 0;
    machine_zero(inode, from, end);
    inode->touched = true;
    if (machine_listener->data)
        machine_listener->data(inode, from, end - from);
    return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static int sys_fstat(int fd, struct stat *st)
{
    const struct description *description = machine_description(fd);

    if (!description)
        return -EBADF;
    fill_stat(description->inode, st);
    return 0;
}

/* The machine has no clock. */
static int sys_birth(int fd, int64_t *out)
{
    *out = 0;
    return machine_description(fd) ? 0 : -EBADF;
}

/* And no /proc. */
static int sys_list(const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
    (void)dir;
    (void)each;
    (void)arg;
    return -ENOENT;
}

static int sys_fchmod(int fd, unsigned mode)
{
    struct description *description = machine_description(fd);

    if (!description)
        return -EBADF;
    description->inode->mode = (description->inode->mode & S_IFMT) | mode;
    return 0;
}

static int sys_fchown(int fd, unsigned uid, unsigned gid)
{
    struct description *description = machine_description(fd);

    if (!description)
        return -EBADF;
    description->inode->uid = uid;
    description->inode->gid = gid;
    return 0;
}

static int sys_lock(int fd, int cmd, struct flock *fl)
{
    struct description *description = machine_description(fd);

    if (!description)
        return -EBADF;
    return machine_lock(&description->inode->locks, description, cmd, fl);
}

static int sys_memfd(const char *name)
{
    (void)name;
    return machine_open(machine_new(MACHINE_OTHER), O_RDWR);
}

static int sys_mmap(size_t len, int prot, int flags, int fd, int64_t off, void **out)
{
    const struct description *description = machine_description(fd);

    if (flags & MAP_ANONYMOUS) {
        *out = machine_map(NULL, 0, len, prot);
        return 0;
    }
    if (!description)
        return -EBADF;
    if (prot & PROT_WRITE && !writes(description))
        return -EACCES;
    if (!(flags & MAP_SHARED) || (uint64_t)off + len > MACHINE_CAP)
        return -ENOMEM;
    if (prot & PROT_WRITE)
        machine_dirty(description->inode, (uint64_t)off, len);
    *out = machine_map(description->inode, (uint64_t)off, len, prot);
    return 0;
}

static int sys_munmap(void *addr, size_t len)
{
    return machine_unmap(addr, len) ? 0 : -EINVAL;
}

const struct acow_sys machine_sys = {
    .open = sys_open, .close = sys_close, .pread = sys_pread, .preadv = sys_preadv,
    .pwrite = sys_pwrite, .pwritev = sys_pwritev, .fdatasync = sys_fdatasync,
    .ftruncate = sys_ftruncate, .fallocate = sys_fallocate, .lseek = sys_lseek, .fstat = sys_fstat,
    .stat = sys_stat, .birth = sys_birth, .fchmod = sys_fchmod, .fchown = sys_fchown, .lock = sys_lock,
    .memfd = sys_memfd, .unlink = sys_unlink, .link = sys_link, .rename = sys_rename,
    .realpath = sys_realpath, .list = sys_list, .mmap = sys_mmap, .munmap = sys_munmap, .log = NULL,
};
