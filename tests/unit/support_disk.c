/*
 * Disks made and read back by hand. The decoder here is on purpose a second
 * implementation of the format, straight from its description: no code and no
 * constant is shared with the engine.
 */
#include <stdlib.h>

#include "support.h"

void meta_put(const char *path, const char *backing, const char *image, const void *bitmap,
              size_t len)
{
    uint8_t *file = calloc(1, HEADER + len);

    check(file);
    memcpy(file, "ADD_COW\xff\0\0\0\1", 12);
    memcpy(file + 12, backing, strlen(backing));
    memcpy(file + 1036, image, strlen(image));
    if (bitmap)
        memcpy(file + HEADER, bitmap, len);
    file_put(path, file, HEADER + len);
    free(file);
}

bool meta_bit(struct blob meta, uint64_t sector)
{
    uint64_t at = HEADER + sector / 8;

    return at < meta.len && (meta.data[at] >> (sector % 8) & 1);
}

static bool is_disk(const char *name)
{
    size_t len = strlen(name);

    return len >= 8 && strcmp(name + len - 8, ".add-cow") == 0;
}

struct blob decode(const char *path)
{
    struct blob meta = file_get(path);
    const char *backing = (const char *)meta.data + 12;
    struct blob image = file_get((const char *)meta.data + 1036);
    struct blob below = { NULL, 0 };

    if (backing[0])
        below = is_disk(backing) ? decode(backing) : file_get(backing);
    for (uint64_t sector = 0; sector * 512 < image.len; sector++) {
        size_t off = (size_t)sector * 512;
        size_t len = image.len - off < 512 ? image.len - off : 512;
        size_t there = off >= below.len ? 0 : below.len - off < len ? below.len - off : len;

        if (meta_bit(meta, sector))
            continue;
        memset(image.data + off, 0, len);
        if (there)
            memcpy(image.data + off, below.data + off, there);
    }
    free(meta.data);
    free(below.data);
    return image;
}

bool bit_is_committed(uint64_t sector)
{
    struct blob meta = file_get("d.add-cow");
    bool set = meta_bit(meta, sector);

    free(meta.data);
    return set;
}

void check_closed(uint64_t off, size_t len, unsigned tag)
{
    struct blob flat = decode("d.add-cow");
    uint8_t *want = malloc(len);

    pattern(want, off, len, tag);
    check(file_len("d.add-cow.run") == -1, "the run-time file is still there");
    check(off + len <= flat.len, "size %zu", flat.len);
    assert_same(flat.data + off, want, len, "at %llu", (unsigned long long)off);
    free(want);
    free(flat.data);
}

struct acow_disk *must_open(const struct acow_sys *sys, const char *path, int flags)
{
    struct acow_msg msg = { "" };
    struct acow_disk *disk = NULL;
    int r = acow_open(sys, path, flags, &disk, &msg);

    check(r == 0 && disk, "open %s: %d %s", path, r, msg.text);
    return disk;
}

void must_close(struct acow_disk *disk)
{
    struct acow_msg msg = { "" };
    int r = acow_close(disk, &msg);

    check(r == 0, "close: %d %s", r, msg.text);
}

void must_write(struct acow_disk *disk, const void *buf, size_t len, uint64_t off)
{
    ssize_t n = acow_pwrite(disk, ACOW_OWN_FD, buf, len, off);

    check(n == (ssize_t)len, "write of %zu at %llu: %zd", len, (unsigned long long)off, n);
}

void must_read(struct acow_disk *disk, void *buf, size_t len, uint64_t off)
{
    ssize_t n = acow_pread(disk, ACOW_OWN_FD, buf, len, off);

    check(n == (ssize_t)len, "read of %zu at %llu: %zd", len, (unsigned long long)off, n);
}

void must_flush(struct acow_disk *disk)
{
    int r = acow_flush(disk);

    check(r == 0, "flush: %d", r);
}

struct blob read_all(struct acow_disk *disk)
{
    int64_t size = acow_size(disk);
    struct blob all = { NULL, (size_t)size };

    check(size >= 0, "size: %lld", (long long)size);
    all.data = malloc(all.len + 1);
    check(all.data);
    must_read(disk, all.data, all.len, 0);
    return all;
}

void usual_disk(uint64_t size, uint64_t backing_size)
{
    file_pattern("d.base", 0, backing_size, 1);
    file_pattern("d.img", 0, size, 2);
    meta_put("d.add-cow", "d.base", "d.img", NULL, bitmap_len(size));
}

const char *differ(const void *a, const void *b, size_t len)
{
    static char text[128];
    const uint8_t *x = a, *y = b;

    for (size_t i = 0; i < len; i++) {
        if (x[i] != y[i]) {
            snprintf(text, sizeof(text), "byte %zu (sector %zu + %zu) is 0x%02x, not 0x%02x", i,
                     i / 512, i % 512, x[i], y[i]);
            return text;
        }
    }
    return "no difference";
}
