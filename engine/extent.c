/*
 * Where data and holes are, and how many sectors are allocated. A hole may lie in an
 * image, in a raw backing file, past a backing file's end, or anywhere below in a
 * chain; files are asked with SEEK_DATA and SEEK_HOLE, and one that cannot say is all
 * data.
 */
#include <errno.h>
#include <unistd.h>

#include "disk.h"
#include "format.h"

/* Data or hole at `off` of a plain file, and how far, at most `len` bytes. */
static int probe_file(struct acow_disk *disk, int fd, uint64_t off, uint64_t *len)
{
    int64_t data = disk->sys->lseek(fd, (int64_t)off, SEEK_DATA);
    int64_t hole;

    if (data == -ENXIO)
        return ACOW_HOLE;
    if (data < 0)
        return ACOW_DATA;
    if ((uint64_t)data > off) {
        if ((uint64_t)data - off < *len)
            *len = (uint64_t)data - off;
        return ACOW_HOLE;
    }
    hole = disk->sys->lseek(fd, (int64_t)off, SEEK_HOLE);
    if (hole > 0 && (uint64_t)hole - off < *len)
        *len = (uint64_t)hole - off;
    return ACOW_DATA;
}

static void in_file(struct acow_disk *disk, int fd, const char *file, uint64_t off, uint64_t len,
                    struct acow_extent *extent)
{
    extent->len = len;
    extent->fd = fd;
    extent->kind = (enum acow_kind)probe_file(disk, fd, off, &extent->len);
    if (extent->kind == ACOW_DATA) {
        extent->file = file;
        extent->file_off = off;
    }
}

int extent_below(struct acow_disk *disk, uint64_t off, uint64_t len, struct acow_extent *extent)
{
    int r;

    if (off >= disk->backing_size) {
        extent->len = len;
        extent->fd = -1;
        extent->kind = ACOW_HOLE;
        return 0;
    }
    if (len > disk->backing_size - off)
        len = disk->backing_size - off;
    if (disk->backing) {
        r = acow_next_extent(disk->backing, off, len, extent);
        extent->depth++;
        extent->allocated = 0;
        return r;
    }
    in_file(disk, disk->backing_fd, disk->backing_path, off, len, extent);
    extent->depth = 1;
    return 0;
}

int acow_next_extent(struct acow_disk *disk, uint64_t off, uint64_t limit,
                     struct acow_extent *extent)
{
    struct att *att;
    uint64_t size, end, stop;
    bool set;
    int r = disk_enter(disk, &att, &size);

    if (r < 0)
        return r;
    if (off >= size || limit == 0)
        return -ENXIO;
    end = limit < size - off ? off + limit : size;
    stop = off / ACOW_SECTOR;
    stop = (stop + bits_run(&att->bits, stop, format_sectors(end) - stop, &set)) * ACOW_SECTOR;
    if (stop > end)
        stop = end;
    *extent = (struct acow_extent){ .off = off, .allocated = set };
    if (!set) {
        r = extent_below(disk, off, stop - off, extent);
        extent->off = off;
        return r;
    }
    in_file(disk, disk->image_fd, disk->image_path, off, stop - off, extent);
    return 0;
}

/* The bits in one page's worth of sectors, if there are any. */
static void count_page(const struct att *att, uint64_t page, uint64_t sectors,
                       struct extent_count *count)
{
    uint64_t first = page * BITS_PAGE_SECTORS, allocated, pending;
    uint64_t here = sectors - first < BITS_PAGE_SECTORS ? sectors - first : BITS_PAGE_SECTORS;

    bits_count(&att->bits, first, here, &allocated, &pending);
    count->allocated += allocated;
    count->pending += pending;
    if (allocated)
        count->end = bits_end(&att->bits, first, here);
}

/* The page that holds the metadata file's next data at or behind `page`'s bits. */
static uint64_t next_data(struct acow_disk *disk, uint64_t page)
{
    int64_t data = disk->sys->lseek(disk->meta_fd, (int64_t)(FORMAT_HEADER + page * BITS_PAGE),
                                    SEEK_DATA);

    if (data == -ENXIO)
        return UINT64_MAX;
    if (data < (int64_t)(FORMAT_HEADER + page * BITS_PAGE))
        return page;
    return ((uint64_t)data - FORMAT_HEADER) / BITS_PAGE;
}

/* The next page at or behind `page` that may have pending bits. */
static uint64_t next_dirty(const struct att *att, uint64_t page)
{
    uint64_t dirty = att->bits.pending ? bits_next_dirty(&att->bits, page) : att->bits.pages;

    return dirty < att->bits.pages ? dirty : UINT64_MAX;
}

/* A large disk's bitmap is mostly holes, which would take up memory by being looked at. */
int extent_count(struct acow_disk *disk, struct extent_count *count)
{
    struct att *att;
    uint64_t size, sectors, pages, dirty;
    int r = disk_enter(disk, &att, &size);

    if (r < 0)
        return r;
    *count = (struct extent_count){ 0 };
    sectors = format_sectors(size);
    pages = bits_pages(sectors);
    dirty = next_dirty(att, 0);
    for (uint64_t page = 0; page < pages; page++) {
        uint64_t committed = next_data(disk, page);

        if (dirty < page)
            dirty = next_dirty(att, page);
        page = committed < dirty ? committed : dirty;
        if (page >= pages)
            break;
        count_page(att, page, sectors, count);
    }
    return 0;
}

int acow_count_allocated(struct acow_disk *disk, uint64_t *allocated, uint64_t *pending)
{
    struct extent_count count;
    int r = extent_count(disk, &count);

    if (r < 0)
        return r;
    *allocated = count.allocated;
    *pending = count.pending;
    return 0;
}

int acow_in_image(struct acow_disk *disk, uint64_t off, uint64_t len, int writing)
{
    struct att *att;
    uint64_t size;

    if ((writing && (disk->through || !disk->writable)) || disk_enter(disk, &att, &size) < 0)
        return false;
    if (len == 0 || off >= size || len > size - off)
        return false;
    return bits_all_set(&att->bits, off / ACOW_SECTOR,
                        (off + len - 1) / ACOW_SECTOR - off / ACOW_SECTOR + 1);
}

int acow_below_fd(struct acow_disk *disk, uint64_t off, uint64_t len)
{
    uint64_t size, first = off / ACOW_SECTOR, count;
    struct att *att;
    bool set;

    if (disk_enter(disk, &att, &size) < 0 || len == 0 || off >= size || len > size - off)
        return -1;
    count = (off + len - 1) / ACOW_SECTOR - first + 1;
    if (bits_run(&att->bits, first, count, &set) < count || set)
        return -1;
    if (off >= disk->backing_size || len > disk->backing_size - off)
        return -1;
    if (!disk->backing)
        return disk->backing_fd;
    if (acow_in_image(disk->backing, off, len, false))
        return disk->backing->image_fd;
    return acow_below_fd(disk->backing, off, len);
}
