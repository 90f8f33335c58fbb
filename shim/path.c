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
#include <unistd.h>

#include "addcow.h"
#include "ofd.h"
#include "real.h"

/* A way to open a descriptor again: /proc/self/fd/N and its other names. */
static bool is_fd_path(const char *path)
{
    if (strncmp(path, "/dev/", 5) == 0)
        return strncmp(path + 5, "fd/", 3) == 0 || strncmp(path + 5, "std", 3) == 0;
    return strncmp(path, "/proc/", 6) == 0 && strstr(path + 6, "/fd/") != NULL;
}

/* Where such a path leads. */
static bool follow_fd_path(const char *path, char real[PATH_LEN])
{
    char link[PATH_LEN];
    ssize_t n = readlink(path, link, sizeof(link) - 1);

    /* /dev/stdin is a link to /proc/self/fd/0, which is a link in its turn. */
    if (n > 0) {
        link[n] = '\0';
        if (is_fd_path(link))
            return follow_fd_path(link, real);
    }
    if (n <= 0)
        return false;
    if (link[0] == '/' && ofd_is_placeholder_name(link))
        return ofd_path_of(path, real);
    strcpy(real, link);
    return acow_name_is_disk(link);
}

static bool has_content(int dir, const char *path)
{
    struct stat st;

    return REAL(fstatat)(dir, path, &st, 0) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
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
    if (!follow && (REAL(fstatat)(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(st.st_mode)))
        return false;
    if (!has_content(dir, path))
        return false;
    /* There, and not to be resolved (a deep path, or no /proc): opening it as it stands fails,
     * which is better than to pass the metadata file through. */
    if (!realpath(name, real))
        strcpy(real, strlen(name) < PATH_LEN ? name : "");
    return true;
}

bool path_is_disk(int dir, const char *path, bool follow, char real[PATH_LEN])
{
    int saved = errno;
    bool found = false;

    if (!path)
        return false;
    if (acow_name_is_disk(path))
        found = resolve(dir, path, follow, real);
    else if (__builtin_expect(is_fd_path(path), 0) && follow)
        found = follow_fd_path(path, real) && has_content(AT_FDCWD, real);
    errno = saved;
    return found;
}
