/*
 * The content of a disk, found out from its files without the engine: names are
 * followed by the system, and each sector is looked for from the top down, one
 * read at a time. Slow and plain, so that it can be believed.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "fuzz.h"

static int open_regular(const char *path, struct stat *st)
{
    int fd;

    if (stat(path, st) < 0 || !S_ISREG(st->st_mode))
        return -1;
    fd = open(path, O_RDONLY);
    check(fd >= 0, "%s: %m", path);
    return fd;
}

/* The name as the metadata file at `meta` means it. */
static bool resolve(const char *meta, const char *name, char out[2 * PATH_MAX])
{
    char real[PATH_MAX];

    if (name[0] == '/') {
        strcpy(out, name);
        return true;
    }
    if (!realpath(meta, real))
        return false;
    strrchr(real, '/')[1] = '\0';
    snprintf(out, 2 * PATH_MAX, "%s%s", real, name);
    return true;
}

static bool is_disk(const char *name)
{
    size_t len = strlen(name);

    return len >= 8 && strcmp(name + len - 8, ".add-cow") == 0;
}

/* One level; `below` gets the path of what is under it, empty if there is nothing. */
static bool open_level(struct flat *flat, const char *path, char below[2 * PATH_MAX])
{
    struct flat_level *level = &flat->level[flat->levels++];
    char head[2560], name[2 * PATH_MAX];
    struct stat st;

    level->image = -1;
    level->meta = open_regular(path, &st);
    if (level->meta < 0 || pread(level->meta, head, sizeof(head), 0) != sizeof(head)
        || memcmp(head, "ADD_COW\xff\0\0\0\1", 12) != 0 || head[1035] || head[2059] || !head[1036])
        return false;
    level->meta_ino = st.st_ino;
    for (struct flat_level *above = flat->level; above < level; above++)
        if (above->meta_ino == st.st_ino)
            return false;
    if (!resolve(path, head + 1036, name))
        return false;
    level->image = open_regular(name, &st);
    if (level->image < 0)
        return false;
    level->size = (uint64_t)st.st_size;
    level->image_ino = st.st_ino;
    below[0] = '\0';
    return !head[12] || resolve(path, head + 12, below);
}

static bool open_levels(struct flat *flat, const char *path)
{
    char here[2 * PATH_MAX], below[2 * PATH_MAX];
    struct stat st;

    strcpy(below, path);
    do {
        strcpy(here, below);
        if (flat->levels == 64 || !open_level(flat, here, below))
            return false;
    } while (is_disk(below));
    if (!below[0])
        return true;
    flat->base = open_regular(below, &st);
    flat->base_size = flat->base < 0 ? 0 : (uint64_t)st.st_size;
    return flat->base >= 0;
}

bool flat_open(struct flat *flat, const char *path)
{
    *flat = (struct flat){ .base = -1 };
    if (open_levels(flat, path))
        return true;
    flat_close(flat);
    return false;
}

void flat_close(struct flat *flat)
{
    for (int i = 0; i < flat->levels; i++) {
        if (flat->level[i].meta >= 0)
            close(flat->level[i].meta);
        if (flat->level[i].image >= 0)
            close(flat->level[i].image);
    }
    if (flat->base >= 0)
        close(flat->base);
}

bool flat_bit(const struct flat *flat, int level, uint64_t sector)
{
    uint8_t byte = 0;

    return pread(flat->level[level].meta, &byte, 1, (off_t)(2560 + sector / 8)) == 1
           && (byte >> sector % 8 & 1);
}

uint64_t flat_count(const struct flat *flat)
{
    uint64_t end = sectors(flat->level[0].size), set = 0;
    uint8_t bitmap[16384];
    ssize_t n;

    for (uint64_t at = 0; at * 8 < end; at += (uint64_t)n) {
        n = pread(flat->level[0].meta, bitmap, sizeof(bitmap), (off_t)(2560 + at));
        if (n <= 0)
            break;
        for (uint64_t i = 0; i < (uint64_t)n * 8 && at * 8 + i < end; i++)
            set += bitmap[i / 8] >> i % 8 & 1;
    }
    return set;
}

/* Of the level's own bytes, those behind its end cut off. */
static void cut(uint64_t size, uint64_t sector, uint8_t out[512])
{
    uint64_t off = sector * 512;

    if (off >= size)
        memset(out, 0, 512);
    else if (size - off < 512)
        memset(out + (size - off), 0, 512 - (size - off));
}

static void read_level(const struct flat *flat, int level, uint64_t sector, uint8_t out[512])
{
    if (level == flat->levels) {
        memset(out, 0, 512);
        check(flat->base < 0 || pread(flat->base, out, 512, (off_t)(sector * 512)) >= 0, "%m");
        return;
    }
    if (flat_bit(flat, level, sector)) {
        memset(out, 0, 512);
        check(pread(flat->level[level].image, out, 512, (off_t)(sector * 512)) >= 0, "%m");
    } else {
        read_level(flat, level + 1, sector, out);
    }
    cut(flat->level[level].size, sector, out);
}

void flat_read(const struct flat *flat, uint64_t sector, uint8_t out[512])
{
    read_level(flat, 0, sector, out);
}
