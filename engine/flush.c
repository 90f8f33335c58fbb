/*
 * Making writes durable, in the one order that keeps I1: which bits are pending
 * is noted first; then the image is synced, so that the data of every noted bit
 * is on stable storage; then the bits are written to the metadata file and that
 * is synced; only then are exactly those bits cleared from pending.
 *
 * If syncing the image fails, the kernel has dropped pages that were written and
 * will report it only once. Nothing may be concluded from a later success, so
 * the disk is poisoned (I6). If writing or syncing the metadata file fails, the bits
 * stay pending and the next flush writes them again, so that is not final.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "format.h"
#include "msg.h"
#include "quiet.h"

/* Pages of bits that one round notes: 4 MiB of notes for 16 GiB of scattered disk. */
#define ROUND_PAGES 1024

struct note {
    uint64_t page;
    uint64_t words[BITS_PAGE_WORDS];    /* as in the file: little-endian */
};

bool flush_pending(const struct att *att)
{
    return bits_next_dirty(&att->bits, 0) < att->bits.pages;
}

static int sync_image(struct acow_disk *disk, struct att *att)
{
    int r = disk->sys->fdatasync(disk->image_fd);

    if (r < 0 && r != -EINTR && disk->writable) {
        __atomic_store_n(&att->region->poison, 1, __ATOMIC_RELEASE);
        msg_log(disk->sys, "%s: fsync failed: %s; what was not yet safe may be lost, and every "
                "further flush fails until the disk is opened again", disk->image_path, msg_why(r));
    }
    return r;
}

/* False if the page has no bit: it was not seen to be clean yet. */
static bool note_page(struct att *att, struct note *note, uint64_t page)
{
    shared_word *bits = bits_page(&att->bits, page);
    uint64_t any = 0;

    note->page = page;
    for (size_t i = 0; i < BITS_PAGE_WORDS; i++)
        any |= note->words[i] = __atomic_load_n(&bits[i], __ATOMIC_ACQUIRE);
    return any;
}

static int write_meta(struct acow_disk *disk, const uint8_t *bytes, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = quiet_pwrite(disk->sys, disk->meta_fd, bytes, len,
                                 (int64_t)(FORMAT_HEADER + off));

        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        bytes += n;
        len -= (size_t)n;
        off += (uint64_t)n;
    }
    return 0;
}

/* Writes the noted bits into the metadata file, from the first byte that has one to the last. */
static int write_bits(struct acow_disk *disk, const struct att *att, const struct note *note)
{
    uint64_t out[BITS_PAGE_WORDS];
    const uint8_t *bytes = (const uint8_t *)note->words;
    size_t from = 0, end = BITS_PAGE;
    uint64_t first_word = note->page * BITS_PAGE_WORDS;

    while (from < end && bytes[from] == 0)
        from++;
    while (end > from && bytes[end - 1] == 0)
        end--;
    for (size_t i = from / 8; i * 8 < end; i++)
        out[i] = note->words[i] | htole64(bits_committed_word(&att->bits, first_word + i));
    return write_meta(disk, (const uint8_t *)out + from, end - from, note->page * BITS_PAGE + from);
}

static void clear_pending(struct att *att, const struct note *note)
{
    shared_word *bits = bits_page(&att->bits, note->page);

    for (size_t i = 0; i < BITS_PAGE_WORDS; i++)
        if (note->words[i])
            __atomic_fetch_and(&bits[i], ~note->words[i], __ATOMIC_RELEASE);
}

/*
 * Pages that have no bit left are said to be clean, which only the stripes' holder may say. If
 * a writer is at it, the next flush will say it: nobody waits for that.
 */
static void retire_pages(struct att *att, const struct note *notes, size_t count)
{
    if (count == 0 || !region_try_all_stripes(att->region))
        return;
    for (size_t n = 0; n < count; n++) {
        const shared_word *bits = bits_page(&att->bits, notes[n].page);
        size_t i = 0;

        while (i < BITS_PAGE_WORDS && __atomic_load_n(&bits[i], __ATOMIC_RELAXED) == 0)
            i++;
        if (i == BITS_PAGE_WORDS)
            __atomic_store_n(bits_summary(&att->bits, notes[n].page), PAGE_CLEAN, __ATOMIC_RELEASE);
    }
    region_unlock_stripes(att->region, ~0ull);
}

/* One round over the dirty pages from *page on. The flush lock is held. */
static int commit_round(struct acow_disk *disk, struct att *att, uint64_t *page, struct note *notes,
                        size_t max)
{
    size_t count = 0;
    bool any = false;
    int r;

    while (count < max && (*page = bits_next_dirty(&att->bits, *page)) < att->bits.pages)
        any |= note_page(att, &notes[count++], (*page)++);
    r = sync_image(disk, att);
    for (size_t i = 0; r == 0 && any && i < count; i++)
        r = write_bits(disk, att, &notes[i]);
    if (r == 0 && any)
        r = disk->sys->fdatasync(disk->meta_fd);
    if (r < 0)
        return r;
    for (size_t i = 0; any && i < count; i++)
        clear_pending(att, &notes[i]);
    if (any)
        disk_count(disk, &disk->counters.commits, 1);
    retire_pages(att, notes, count);
    return 0;
}

/* Cut by somebody: its bits are lost, and to write more would make a file without a header of it. */
static int check_meta(struct acow_disk *disk, const struct att *att)
{
    uint64_t len = __atomic_load_n(&att->region->meta_len, __ATOMIC_ACQUIRE);
    struct stat st;
    int r = disk->sys->fstat(disk->meta_fd, &st);

    if (r == 0 && (uint64_t)st.st_size < len) {
        msg_log(disk->sys, "%s: has been cut to %llu bytes while it was open: nothing more can be "
                "made safe; restore it from a copy", disk->meta_path,
                (unsigned long long)st.st_size);
        r = -EIO;
    }
    return r;
}

static bool is_still(struct acow_disk *disk, const char *path, uint64_t dev, uint64_t ino)
{
    struct stat st;

    return disk->sys->stat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/*
 * Bits tell of data in the image that is open. Where another stands in its place, beside the same
 * metadata file, they would tell of data that is not there. An image that is gone, or a disk
 * replaced as a whole, misleads nobody.
 */
static int check_image(struct acow_disk *disk)
{
    struct stat st;

    if (disk->sys->stat(disk->image_path, &st) < 0
        || (st.st_dev == disk->image_dev && st.st_ino == disk->image_ino)
        || !is_still(disk, disk->real_path, disk->meta_dev, disk->meta_ino))
        return 0;
    msg_log(disk->sys, "%s: has been replaced while it was open: what is written goes to the old file, "
            "and cannot be made safe; put that one back, or close the program and make the disk anew",
            disk->image_path);
    return -EIO;
}

static int commit_locked(struct acow_disk *disk, struct att *att)
{
    struct note one, *notes = &one;
    size_t max = 0;
    uint64_t page = 0;
    int r;

    r = check_meta(disk, att);
    if (r == 0)
        r = check_image(disk);
    if (r < 0)
        return r;
    for (; max < ROUND_PAGES && (page = bits_next_dirty(&att->bits, page)) < att->bits.pages; page++)
        max++;
    if (max > 1)
        notes = malloc(max * sizeof(*notes));
    if (!notes) {
        notes = &one;
        max = 1;
    }
    page = 0;
    do
        r = commit_round(disk, att, &page, notes, max ? max : 1);
    while (r == 0 && (page = bits_next_dirty(&att->bits, page)) < att->bits.pages);
    if (notes != &one)
        free(notes);
    return r;
}

/* Sets bits of one page's sectors in the metadata file. The flush lock is held. */
static int commit_at_once(struct acow_disk *disk, struct att *att, uint64_t first, uint64_t count)
{
    struct note note = { .page = first / BITS_PAGE_SECTORS };

    while (count) {
        uint64_t here = 64 - first % 64;

        if (here > count)
            here = count;
        note.words[first / 64 % BITS_PAGE_WORDS] = htole64(bits_mask(first, here));
        first += here;
        count -= here;
    }
    return write_bits(disk, att, &note);
}

int flush_set_bits(struct acow_disk *disk, struct att *att, uint64_t first, uint64_t count)
{
    int r;

    if (__builtin_expect(!(disk->flags & ACOW_UNSAFE), 1)) {
        bits_set_pending(&att->bits, first, count);
        return 0;
    }
    r = region_lock(disk, &att->region->flush_lock);
    if (r < 0)
        return r;
    r = 0;
    while (r == 0 && count) {
        uint64_t here = BITS_PAGE_SECTORS - first % BITS_PAGE_SECTORS;

        if (here > count)
            here = count;
        r = commit_at_once(disk, att, first, here);
        first += here;
        count -= here;
    }
    region_unlock(&att->region->flush_lock);
    return r;
}

int flush_disk(struct acow_disk *disk, struct att *att)
{
    int r;

    disk_count(disk, &disk->counters.flushes, 1);
    if (__atomic_load_n(&att->region->poison, __ATOMIC_ACQUIRE))
        return -EIO;
    if (!disk->writable || !flush_pending(att))
        return sync_image(disk, att);
    r = region_lock(disk, &att->region->flush_lock);
    if (r < 0)
        return r;
    if (__atomic_load_n(&att->region->poison, __ATOMIC_ACQUIRE))
        r = -EIO;
    else
        r = commit_locked(disk, att);
    region_unlock(&att->region->flush_lock);
    return r;
}

ssize_t flush_through_now(struct acow_disk *disk, ssize_t done)
{
    int r = done < 0 ? 0 : acow_flush(disk);

    return r < 0 ? r : done;
}

int acow_flush(struct acow_disk *disk)
{
    struct att *att;
    uint64_t size;
    int r;

    if (disk->flags & ACOW_UNSAFE)
        return 0;
    r = disk_enter(disk, &att, &size);
    return r < 0 ? r : flush_disk(disk, att);
}

int acow_flush_ahead(struct acow_disk *disk)
{
    struct att *att;
    uint64_t size;
    int r;

    if (disk->flags & ACOW_UNSAFE)
        return 0;
    r = disk_enter(disk, &att, &size);
    if (r < 0)
        return r;
    if (__atomic_load_n(&att->region->poison, __ATOMIC_ACQUIRE))
        return -EIO;
    if (disk->writable && flush_pending(att))
        r = flush_disk(disk, att);
    return r < 0 ? r : 1;
}
