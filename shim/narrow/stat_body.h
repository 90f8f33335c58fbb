/*
 * The bodies of stat's forms and of walks through directories for a struct stat that is not the one
 * of the shim: what it has of a disk comes by statx, whose struct is the same for all. To be included after
 * STAT_BODY(name) and STAT_REAL(name) say how a body and the real function are called.
 */
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <sys/sysmacros.h>

#include "../fdtable.h"
#include "../memory.h"
#include "../path.h"
#include "../real.h"

/* False if some of it has no room. */
static bool fill(struct stat *st, const struct statx *stx)
{
    st->st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);
    st->st_ino = (ino_t)stx->stx_ino;
    st->st_mode = stx->stx_mode;
    st->st_nlink = stx->stx_nlink;
    st->st_uid = stx->stx_uid;
    st->st_gid = stx->stx_gid;
    st->st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
    st->st_size = (off_t)stx->stx_size;
    st->st_blksize = (blksize_t)stx->stx_blksize;
    st->st_blocks = (blkcnt_t)stx->stx_blocks;
    st->st_atim = (struct timespec){ .tv_sec = (time_t)stx->stx_atime.tv_sec,
                                     .tv_nsec = (long)stx->stx_atime.tv_nsec };
    st->st_mtim = (struct timespec){ .tv_sec = (time_t)stx->stx_mtime.tv_sec,
                                     .tv_nsec = (long)stx->stx_mtime.tv_nsec };
    st->st_ctim = (struct timespec){ .tv_sec = (time_t)stx->stx_ctime.tv_sec,
                                     .tv_nsec = (long)stx->stx_ctime.tv_nsec };
    return st->st_ino == stx->stx_ino && st->st_size >= 0 && (uint64_t)st->st_size == stx->stx_size
           && (uint64_t)st->st_blocks == stx->stx_blocks && st->st_atim.tv_sec == stx->stx_atime.tv_sec
           && st->st_mtim.tv_sec == stx->stx_mtime.tv_sec && st->st_ctim.tv_sec == stx->stx_ctime.tv_sec;
}

static int of_disk(int dir, const char *path, int flags, struct stat *st)
{
    struct statx stx;
    int saved = errno;

    if (hook_statx(dir, path, flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH), STATX_BASIC_STATS, &stx) < 0)
        return -1;
    errno = saved;
    if (memory_check(st, sizeof(*st), true) < 0)
        errno = EFAULT;
    else if (fill(st, &stx))
        return 0;
    else
        errno = EOVERFLOW;
    return -1;
}

/* After the real call said `result` of the path. */
static int by_path(int result, int dir, const char *path, int flags, struct stat *st)
{
    char real_path[PATH_LEN];
    struct stat was;

    if (result < 0 || !S_ISREG(st->st_mode)
        || !path_is_disk(dir, path, !(flags & AT_SYMLINK_NOFOLLOW), real_path))
        return result;
    was = *st;
    result = of_disk(dir, path, flags, st);
    /* Somebody behind us may have a say in whose it is. */
    st->st_mode = was.st_mode;
    st->st_uid = was.st_uid;
    st->st_gid = was.st_gid;
    return result;
}

static bool is_itself(int dir, const char *path, int flags)
{
    return !memory_is_bad(path) && path[0] == '\0' && flags & AT_EMPTY_PATH && fdtable_is_disk(dir);
}

int STAT_BODY(stat)(const char *path, struct stat *st)
{
    return by_path(STAT_REAL(stat)(path, st), AT_FDCWD, path, 0, st);
}

int STAT_BODY(lstat)(const char *path, struct stat *st)
{
    return by_path(STAT_REAL(lstat)(path, st), AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, st);
}

int STAT_BODY(fstat)(int fd, struct stat *st)
{
    return fdtable_is_disk(fd) ? of_disk(fd, "", AT_EMPTY_PATH, st) : STAT_REAL(fstat)(fd, st);
}

int STAT_BODY(fstatat)(int dir, const char *path, struct stat *st, int flags)
{
    if (is_itself(dir, path, flags))
        return of_disk(dir, "", AT_EMPTY_PATH, st);
    return by_path(STAT_REAL(fstatat)(dir, path, st, flags), dir, path, flags, st);
}

/* ---- walks ------------------------------------------------------------------- */

/* libc gives a walk up, with EOVERFLOW, at a file that has no room in a struct stat. */
static int mend(const char *path, struct stat *st)
{
    int saved = errno;

    if (by_path(0, AT_FDCWD, path, 0, st) < 0 && errno == EOVERFLOW)
        return -1;
    errno = saved;
    return 0;
}

static __thread hook_ftw_visit *ftw_visit;
static __thread hook_nftw_visit *nftw_visit;

static int visit_ftw(const char *path, const struct stat *st, int type)
{
    struct stat mended = *st;

    if (type == FTW_F && mend(path, &mended) < 0)
        return -1;
    return ftw_visit(path, &mended, type);
}

/* With FTW_CHDIR the walk is in the directory, and the path may lead nowhere from there. */
static int visit_nftw(const char *path, const struct stat *st, int type, struct FTW *at)
{
    struct stat mended = *st;

    if (type == FTW_F && mend(access(path, F_OK) == 0 ? path : path + at->base, &mended) < 0)
        return -1;
    return nftw_visit(path, &mended, type, at);
}

int STAT_BODY(ftw)(const char *path, hook_ftw_visit *visit, int fds)
{
    hook_ftw_visit *outer = ftw_visit;
    int r;

    ftw_visit = visit;
    r = STAT_REAL(ftw)(path, visit_ftw, fds);
    ftw_visit = outer;
    return r;
}

int STAT_BODY(nftw)(const char *path, hook_nftw_visit *visit, int fds, int flags)
{
    hook_nftw_visit *outer = nftw_visit;
    int r;

    nftw_visit = visit;
    r = STAT_REAL(nftw)(path, visit_nftw, fds, flags);
    nftw_visit = outer;
    return r;
}

static void mend_entry(FTSENT *entry)
{
    if (entry->fts_info == FTS_F && entry->fts_statp
        && mend(entry->fts_accpath, entry->fts_statp) < 0) {
        entry->fts_info = FTS_NS;
        entry->fts_errno = EOVERFLOW;
    }
}

struct _ftsent *STAT_BODY(fts_read)(void *walk)
{
    FTSENT *entry = STAT_REAL(fts_read)(walk);

    if (entry)
        mend_entry(entry);
    return entry;
}

struct _ftsent *STAT_BODY(fts_children)(void *walk, int options)
{
    FTSENT *first = STAT_REAL(fts_children)(walk, options);

    for (FTSENT *entry = first; entry && !(options & FTS_NAMEONLY); entry = entry->fts_link)
        mend_entry(entry);
    return first;
}
