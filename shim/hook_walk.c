/*
 * Walks through directories: libc looks at the files within itself, and would
 * show a metadata file's size where stat shows the disk's.
 */
#include <fts.h>
#include <ftw.h>
#include <fcntl.h>
#include <stdlib.h>

#include "addcow.h"
#include "hooks.h"
#include "path.h"
#include "real.h"
#include "sys_real.h"

/* True if `st`, of that path, has been made the disk's. */
static bool mend(const char *path, struct stat *st)
{
    char real_path[PATH_LEN];
    struct stat disk;

    if (!S_ISREG(st->st_mode) || !path_is_disk(AT_FDCWD, path, true, real_path)
        || acow_stat(&sys_real, real_path, &disk) < 0)
        return false;
    *st = disk;
    return true;
}

/* ftw has no place for an argument of the caller's: each thread's walk is noted here. */
static __thread hook_ftw_visit *ftw_visit;
static __thread hook_nftw_visit *nftw_visit;

static int visit_ftw(const char *path, const struct stat *st, int type)
{
    struct stat mended = *st;

    return ftw_visit(path, mend(path, &mended) ? &mended : st, type);
}

static int visit_nftw(const char *path, const struct stat *st, int type, struct FTW *at)
{
    struct stat mended = *st;
    /* With FTW_CHDIR the walk is in the directory, and the path may lead nowhere from there. */
    bool good = mend(path, &mended) || mend(path + at->base, &mended);

    return nftw_visit(path, good ? &mended : st, type, at);
}

int hook_ftw(const char *path, hook_ftw_visit *visit, int fds)
{
    hook_ftw_visit *outer = ftw_visit;
    int r;

    ftw_visit = visit;
    r = REAL(ftw64)(path, visit_ftw, fds);
    ftw_visit = outer;
    return r;
}

int hook_nftw(const char *path, hook_nftw_visit *visit, int fds, int flags)
{
    hook_nftw_visit *outer = nftw_visit;
    int r;

    nftw_visit = visit;
    r = REAL(nftw64)(path, visit_nftw, fds, flags);
    nftw_visit = outer;
    return r;
}

struct _ftsent *hook_fts_read(void *walk)
{
    FTSENT *entry = REAL(fts64_read)(walk);

    if (entry && entry->fts_info == FTS_F && entry->fts_statp)
        mend(entry->fts_accpath, entry->fts_statp);
    return entry;
}

struct _ftsent *hook_fts_children(void *walk, int options)
{
    FTSENT *first = REAL(fts64_children)(walk, options);

    for (FTSENT *entry = first; entry && !(options & FTS_NAMEONLY); entry = entry->fts_link)
        if (entry->fts_info == FTS_F && entry->fts_statp)
            mend(entry->fts_accpath, entry->fts_statp);
    return first;
}

#define HOOK_walk EXPORT
#include "alias.h"
