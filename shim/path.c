/*
 * Which paths are disks is told by the name, so that an open of anything else
 * costs a comparison. A file of such a name that is missing or empty is an ordinary one
 * (somebody is about to make it); one with content is a disk, or an error when it is opened.
 */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "addcow.h"
#include "memory.h"
#include "ofd.h"
#include "real.h"

/*
 * Perhaps a way to open a descriptor again: /proc/self/fd/N, by whatever path one comes to that
 * directory, and its other names. What has a number for a name costs a look.
 */
static bool is_fd_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (strncmp(path, "/dev/std", 8) == 0)
        return true;
    return name[0] >= '0' && name[0] <= '9' && name[strspn(name, "0123456789")] == '\0';
}

/*
 * By number: a library behind this one may have a stat of its own that goes by way of __xstat, which is
 * ours again (fakeroot's does).
 */
static int look(int dir, const char *path, struct stat *st, int flags)
{
    return (int)REAL(syscall)(REAL_SYS_fstatat, (long)dir, path, st, (long)flags);
}

static bool has_content(int dir, const char *path)
{
    struct stat st;

    return look(dir, path, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

/* Where such a path leads. A placeholder is never passed through: without a name it is a disk at "". */
static bool follow_fd_path(int dir, const char *path, char real[PATH_LEN])
{
    char link[PATH_LEN];
    ssize_t n = readlinkat(dir, path, link, sizeof(link) - 1);

    if (n <= 0)
        return false;
    link[n] = '\0';
    if (ofd_is_placeholder_name(link)) {
        ofd_path_of(dir, path, real);
        return true;
    }
    /* /dev/stdin is a link to /proc/self/fd/0, which is a link in its turn. */
    if (link[0] == '/' && is_fd_path(link))
        return follow_fd_path(AT_FDCWD, link, real);
    strcpy(real, link);
    return acow_name_is_disk(link) && has_content(AT_FDCWD, link);
}

static bool resolve(int dir, const char *path, bool follow, char real[PATH_LEN])
{
    char full[PATH_LEN + 64];
    const char *name = path;
    struct stat st;

    if (dir != AT_FDCWD && path[0] != '/') {
        if (snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", dir, path) >= (int)sizeof(full))
            return false;
        name = full;
    }
    if (!follow && (look(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode)))
        return false;
    if (!has_content(dir, path))
        return false;
    /* There, and not to be resolved (a deep path, or no /proc): opening it as it stands fails,
     * which is better than to pass the metadata file through. */
    if (!realpath(name, real))
        strcpy(real, strlen(name) < PATH_LEN ? name : "");
    return true;
}

bool path_may_be_disk(const char *path)
{
    return acow_name_is_disk(path) || is_fd_path(path);
}

bool path_is_disk(int dir, const char *path, bool follow, char real[PATH_LEN])
{
    int saved = errno;
    bool found = false;

    if (memory_is_bad(path))
        return false;
    if (acow_name_is_disk(path))
        found = resolve(dir, path, follow, real);
    else if (__builtin_expect(is_fd_path(path), 0) && follow)
        found = follow_fd_path(dir, path, real);
    errno = saved;
    return found;
}
