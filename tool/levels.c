/*
 * The chain of an open disk, as people are shown it.
 *
 * The engine knows every file by a path without symbolic links. qemu-img shows
 * "the directory as typed, then the stored name", which is shorter and can be
 * typed again; so do we, where that leads to the same file. Where it does not,
 * because the metadata file was reached through a link, the engine's is shown.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "levels.h"

static char *shown_path(const char *meta, const char *name, const char *resolved)
{
    const char *slash = strrchr(meta, '/');
    size_t dir = name[0] != '/' && slash ? (size_t)(slash + 1 - meta) : 0;
    char *path = malloc(dir + strlen(name) + 1);
    struct stat a, b;

    if (!path)
        return NULL;
    memcpy(path, meta, dir);
    strcpy(path + dir, name);
    if (stat(path, &a) == 0 && stat(resolved, &b) == 0 &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return path;
    free(path);
    return strdup(resolved);
}

static uint64_t allocated_bytes(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512;
}

static int load_disk(struct level *level)
{
    int64_t size = acow_size(level->disk);
    struct stat meta, image;

    if (size < 0)
        return (int)size;
    level->size = (uint64_t)size;
    acow_facts(level->disk, &level->facts);
    if (fstat(level->facts.meta_fd, &meta) < 0 || fstat(level->facts.image_fd, &image) < 0)
        return -errno;
    level->actual_size = allocated_bytes(&meta) + allocated_bytes(&image);

    level->image = shown_path(level->filename, level->facts.image_name, level->facts.image_path);
    if (!level->image)
        return -ENOMEM;
    if (!level->facts.backing_path)
        return 0;
    level->backing = shown_path(level->filename, level->facts.backing_name,
                                level->facts.backing_path);
    return level->backing ? 0 : -ENOMEM;
}

static int load_raw(struct level *level, const struct acow_facts *above)
{
    struct stat st;

    if (stat(above->backing_path, &st) < 0)
        return -errno;
    level->size = above->backing_size;
    level->actual_size = allocated_bytes(&st);
    return 0;
}

int levels_load(struct levels *levels, struct acow_disk *disk, const char *path)
{
    const struct level *above = NULL;
    struct level *level;
    int err;

    memset(levels, 0, sizeof(*levels));
    while (path) {
        level = &levels->level[levels->nlevels++];
        level->disk = disk;
        level->filename = strdup(path);
        if (!level->filename)
            return -ENOMEM;
        err = disk ? load_disk(level) : load_raw(level, &above->facts);
        if (err < 0)
            return err;
        above = level;
        path = level->backing;
        disk = level->facts.backing;
    }
    return 0;
}

void levels_free(struct levels *levels)
{
    for (int i = 0; i < levels->nlevels; i++) {
        free(levels->level[i].filename);
        free(levels->level[i].image);
        free(levels->level[i].backing);
    }
    levels->nlevels = 0;
}
