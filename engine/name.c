/*
 * The naming rules of the format, in one place: a relative name of image or
 * backing is relative to the directory of the metadata file, on open and on
 * create alike, and never to the working directory. "The metadata file" is the
 * file itself: reached through a symbolic link it is still the same disk with
 * the same neighbours.
 */
#include "name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int acow_name_is_disk(const char *path)
{
    size_t len = strlen(path), suffix = sizeof(ACOW_SUFFIX) - 1;

    return len >= suffix && memcmp(path + len - suffix, ACOW_SUFFIX, suffix) == 0;
}

static char *join(const char *dir, size_t dir_len, const char *name)
{
    size_t name_len = strlen(name);
    char *out = malloc(dir_len + name_len + 1);

    if (!out)
        return NULL;
    memcpy(out, dir, dir_len);
    memcpy(out + dir_len, name, name_len + 1);
    return out;
}

char *name_resolve(const char *meta, const char *name)
{
    const char *slash = strrchr(meta, '/');

    if (name[0] == '/' || !slash)
        return strdup(name);
    return join(meta, (size_t)(slash + 1 - meta), name);
}

char *name_run(const char *path)
{
    return join(path, strlen(path), ".run");
}

int name_real(const struct acow_sys *sys, const char *path, char **out)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    char real[4096];
    char *dir;
    int r;

    r = sys->realpath(path, real);
    if (r >= 0) {
        *out = strdup(real);
        return *out ? 0 : -ENOMEM;
    }
    if (r != -ENOENT || *last == '\0')
        return r;
    dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    if (!dir)
        return -ENOMEM;
    r = sys->realpath(dir, real);
    free(dir);
    if (r < 0)
        return r;
    if (strlen(real) + 2 > sizeof(real))
        return -ENAMETOOLONG;
    if (strcmp(real, "/") != 0)
        strcat(real, "/");
    *out = join(real, strlen(real), last);
    return *out ? 0 : -ENOMEM;
}
