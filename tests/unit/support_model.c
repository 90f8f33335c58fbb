/*
 * The model's rules for bits are those of the format's writer: a write or a
 * zeroing sets the bits of the sectors it touches; growth sets those of the
 * sectors that the backing file would otherwise shine through, the one that the
 * old end cuts included; nothing ever clears one.
 */
#include <errno.h>
#include <stdlib.h>

#include "model.h"

void model_load(struct model *model, const char *path, uint64_t cap, uint64_t backing_size)
{
    struct blob flat = decode(path), meta = file_get(path);

    *model = (struct model){ .cap = cap, .size = flat.len, .backing_size = backing_size,
                             .meta_len = meta.len, .largest = flat.len };
    check(flat.len <= cap);
    model->data = shared_memory(cap);
    model->bits = shared_memory(sectors(cap));
    memcpy(model->data, flat.data, flat.len);
    for (uint64_t sector = 0; sector < sectors(cap); sector++)
        model->bits[sector] = meta_bit(meta, sector);
    free(flat.data);
    free(meta.data);
}

void model_free(struct model *model)
{
    munmap(model->data, model->cap);
    munmap(model->bits, sectors(model->cap));
}

static void set_bits(struct model *model, uint64_t first, uint64_t end)
{
    if (first < end)
        memset(model->bits + first, 1, end - first);
}

static void grow(struct model *model, uint64_t size)
{
    uint64_t old = model->size;
    uint64_t end = size < model->backing_size ? size : model->backing_size;

    if (size <= old)
        return;
    if (end > old)
        set_bits(model, old / 512, sectors(end));
    model->size = size;
    model->grown = true;
    if (size > model->largest)
        model->largest = size;
}

void model_write(struct model *model, const void *buf, size_t len, uint64_t off)
{
    if (len == 0)
        return;
    grow(model, off + len);
    memcpy(model->data + off, buf, len);
    set_bits(model, off / 512, sectors(off + len));
}

void model_truncate(struct model *model, uint64_t size)
{
    if (size < model->size)
        memset(model->data + size, 0, model->size - size);
    grow(model, size);
    model->size = size;
}

void model_zero(struct model *model, uint64_t off, uint64_t len, bool keep_size)
{
    uint64_t end = off + len < model->size ? off + len : model->size;

    if (!keep_size)
        grow(model, off + len);
    if (off >= end)
        return;
    memset(model->data + off, 0, end - off);
    set_bits(model, off / 512, sectors(end));
}

void model_copy_up(struct model *model, uint64_t off, uint64_t len)
{
    if (off < model->size && len > 0)
        set_bits(model, off / 512,
                 sectors(off + len < model->size ? off + len : model->size));
}

void model_move(struct model *model, const void *buf, size_t len, size_t want, uint64_t off)
{
    set_bits(model, off / 512, sectors(off + want));
    model_write(model, buf, len, off);
}

static void check_bits(const struct model *model, struct blob meta, const char *what)
{
    for (uint64_t sector = 0; sector < sectors(model->cap); sector++)
        check(meta_bit(meta, sector) == model->bits[sector],
                  "%s: the bit of sector %llu is %d", what, (unsigned long long)sector,
                  meta_bit(meta, sector));
}

/* As long as its bits need, or as it was; once the disk has grown, longer by up to a page. */
static void check_length(const struct model *model, struct blob meta, const char *what)
{
    uint64_t least = HEADER + bitmap_len(model->largest);
    uint64_t most = HEADER + (bitmap_len(model->largest) + 4095) / 4096 * 4096;

    if (least < model->meta_len)
        least = model->meta_len;
    if (most < least || !model->grown)
        most = least;
    check(meta.len >= least && meta.len <= most, "%s: metadata file of %zu bytes, not %llu to %llu",
          what, meta.len, (unsigned long long)least, (unsigned long long)most);
}

void model_check_files(const struct model *model, const char *path, const char *what)
{
    struct blob flat = decode(path), meta = file_get(path);
    char run[4200];

    snprintf(run, sizeof(run), "%s.run", path);
    check(file_len(run) == -1, "%s: %s is still there", what, run);
    check(flat.len == model->size, "%s: size %zu, not %llu", what, flat.len,
              (unsigned long long)model->size);
    assert_same(flat.data, model->data, flat.len, "%s: files", what);
    check_bits(model, meta, what);
    check_length(model, meta, what);
    free(flat.data);
    free(meta.data);
}

static bool is_zero(const uint8_t *data, uint64_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

static void check_extent(const struct model *model, const struct acow_extent *extent,
                         const char *what)
{
    const uint8_t *data = model->data + extent->off;

    for (uint64_t at = extent->off; at < extent->off + extent->len; at += 512 - at % 512)
        check(model->bits[at / 512] == extent->allocated, "%s: extent at %llu, sector %llu", what,
                  (unsigned long long)extent->off, (unsigned long long)at / 512);
    if (extent->kind == ACOW_HOLE) {
        check(is_zero(data, extent->len), "%s: hole at %llu has data", what,
                  (unsigned long long)extent->off);
        check(!extent->file);
    } else {
        struct blob file = file_get(extent->file);

        check(extent->file_off + extent->len <= file.len);
        assert_same(file.data + extent->file_off, data, extent->len, "%s: extent at %llu of %s",
                    what, (unsigned long long)extent->off, extent->file);
        free(file.data);
    }
}

static void check_extents(const struct model *model, struct acow_disk *disk, const char *what)
{
    struct acow_extent extent;
    uint64_t off = 0;

    while (off < model->size) {
        int r = acow_next_extent(disk, off, model->size, &extent);

        check(r == 0, "%s: next extent: %d", what, r);
        check(extent.off == off && extent.len > 0 && extent.len <= model->size - off);
        check_extent(model, &extent, what);
        off += extent.len;
    }
    check(acow_next_extent(disk, off, 1, &extent) == -ENXIO);
}

void model_check_disk(const struct model *model, struct acow_disk *disk, const char *what)
{
    struct blob all = read_all(disk);
    uint64_t expected = 0, allocated, pending;
    int r = acow_count_allocated(disk, &allocated, &pending);

    check(all.len == model->size, "%s: size %zu, not %llu", what, all.len,
              (unsigned long long)model->size);
    assert_same(all.data, model->data, all.len, "%s", what);
    free(all.data);
    for (uint64_t sector = 0; sector < sectors(model->size); sector++)
        expected += model->bits[sector];
    check(r == 0 && allocated == expected && pending <= allocated,
              "%s: %llu sectors allocated, not %llu", what, (unsigned long long)allocated,
              (unsigned long long)expected);
    check_extents(model, disk, what);
}
