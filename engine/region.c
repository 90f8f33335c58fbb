/*
 * Locks of the run-time state, its mappings, and room for its bits. How a
 * process comes to take part in it is in attach.c.
 *
 * Mappings are made larger than need be (files may be mapped beyond their end),
 * so that a disk that grows step by step is mapped anew only each time it has
 * doubled. A mapping is never undone while the disk is open: another thread may
 * be reading through it without a lock.
 */
#include "region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "disk.h"
#include "format.h"
#include "msg.h"
#include "quiet.h"
#include "wait.h"

/* What a lock's result means. Every step under these locks may be done again from the start. */
static int taken(shared_mutex *lock, int r)
{
    if (r != EOWNERDEAD)
        return r > 0 ? -EIO : r;
    mutex_consistent(lock);
    return 1;
}

/* How many of these locks the thread has, or is about to have: a signal handler may come upon them. */
static __thread int held __attribute__((tls_model("initial-exec")));

int region_lock(struct acow_disk *disk, shared_mutex *lock)
{
    int r;

    held++;
    r = mutex_trylock(lock);
    if (r == EBUSY)
        r = wait_mutex(disk, lock, held > 1);
    r = taken(lock, r);
    if (r < 0)
        held--;
    return r;
}

void region_unlock(shared_mutex *lock)
{
    mutex_unlock(lock);
    held--;
}

uint64_t region_stripes(uint64_t off, uint64_t len)
{
    uint64_t first = off / REGION_STRIPE_BYTES, last = (off + len - 1) / REGION_STRIPE_BYTES;
    uint64_t set = 0;

    if (last - first >= REGION_STRIPES - 1)
        return ~0ull;
    for (uint64_t at = first; at <= last; at++)
        set |= 1ull << (at % REGION_STRIPES);
    return set;
}

int region_lock_stripes(struct acow_disk *disk, struct region *region, uint64_t stripes)
{
    for (uint64_t left = stripes; left; left &= left - 1) {
        int r = region_lock(disk, &region->stripes[__builtin_ctzll(left)].lock);

        if (r < 0) {
            region_unlock_stripes(region, stripes & ~left);
            return r;
        }
    }
    return 0;
}

bool region_try_all_stripes(struct region *region)
{
    for (int i = 0; i < REGION_STRIPES; i++) {
        shared_mutex *lock = &region->stripes[i].lock;

        held++;
        if (taken(lock, mutex_trylock(lock)) < 0) {
            held--;
            region_unlock_stripes(region, (1ull << i) - 1);
            return false;
        }
    }
    return true;
}

void region_unlock_stripes(struct region *region, uint64_t stripes)
{
    for (uint64_t left = stripes; left; left &= left - 1)
        region_unlock(&region->stripes[__builtin_ctzll(left)].lock);
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* Pages to map for `pages` in use: half as many again, so that growth is seldom felt. */
static uint64_t roomy(uint64_t pages)
{
    return pages + pages / 2 + 1;
}

/* Maps bits of the disk; *len gets how many bytes that are. */
static int map_bits(struct acow_disk *disk, int fd, int prot, int64_t off, uint64_t want, void **map,
                    size_t *len)
{
    int r = -ENOMEM;

    *len = want;
    if (*len == want)
        r = disk->sys->mmap(*len, prot, MAP_SHARED | MAP_NORESERVE, fd, off, map);
    if (r == -ENOMEM && sizeof(size_t) < 8)
        msg_log(disk->sys, "%s: its bitmaps need %llu MiB of address space, which this 32-bit program "
                "does not have: use a 64-bit one", disk->meta_path, (unsigned long long)want >> 19);
    return r;
}

static int map_area(struct acow_disk *disk, struct att *att, const struct att *old, uint64_t pages)
{
    bool looks = disk->role == ROLE_LOOKER || disk->role == ROLE_FOLLOWER;
    int prot = looks ? PROT_READ : PROT_READ | PROT_WRITE;
    struct stat st;
    int r = disk->sys->fstat(disk->run_fd, &st);

    if (r < 0)
        return r;
    /* Room is made before it is told of: someone else has written into the region. */
    if (pages > bits_pages(format_sectors(ACOW_SIZE_MAX))
        || (uint64_t)st.st_size < REGION_HEAD + bits_area(pages))
        return -EIO;
    att->bits.pages = pages;
    if (old && old->area_map && bits_area(pages) <= old->area_len) {
        att->area_map = old->area_map;
        att->area_len = old->area_len;
    } else {
        r = map_bits(disk, disk->run_fd, prot, REGION_HEAD, bits_area(roomy(pages)), &att->area_map,
                     &att->area_len);
        if (r < 0)
            return r;
    }
    att->bits.pending = att->area_map;
    return 0;
}

static int map_meta(struct acow_disk *disk, struct att *att, const struct att *old, uint64_t pages)
{
    uint64_t want = FORMAT_HEADER + pages * BITS_PAGE;
    uint64_t there;
    struct stat st;
    int r;

    r = disk->sys->fstat(disk->meta_fd, &st);
    if (r < 0)
        return r;
    if (old && old->meta_map && want <= old->meta_len) {
        att->meta_map = old->meta_map;
        att->meta_len = old->meta_len;
    } else {
        r = map_bits(disk, disk->meta_fd, PROT_READ, 0,
                     round_up(FORMAT_HEADER + roomy(pages) * BITS_PAGE, BITS_PAGE), &att->meta_map,
                     &att->meta_len);
        if (r < 0)
            return r;
    }
    /* Up to the end of the file's last page, where a mapping shows zeros. */
    there = round_up((uint64_t)st.st_size, BITS_PAGE);
    if (want > there)
        want = there;
    att->bits.committed = (const shared_word *)(void *)((char *)att->meta_map + FORMAT_HEADER);
    att->bits.committed_words = want > FORMAT_HEADER ? (want - FORMAT_HEADER) / 8 : 0;
    return 0;
}

int region_map(struct acow_disk *disk, struct region *region, struct att *old)
{
    struct att *att = aligned_alloc(_Alignof(struct att), sizeof(*att));
    uint64_t pages;
    int r;

    if (!att) {
        if (!old)
            disk->sys->munmap(region, REGION_HEAD);
        return -ENOMEM;
    }
    memset(att, 0, sizeof(*att));
    att->region = region;
    att->head_map = region;
    att->gen = __atomic_load_n(&region->gen, __ATOMIC_ACQUIRE) - disk->watching;
    pages = __atomic_load_n(&region->pages, __ATOMIC_ACQUIRE);
    r = disk->run_fd >= 0 ? map_area(disk, att, old, pages) : 0;
    if (r == 0)
        r = map_meta(disk, att, old, pages);
    /* In the list even when half made, so that its mappings are undone in the end. */
    att->older = disk->all;
    disk->all = att;
    if (r == 0)
        __atomic_store_n(&disk->att, att, __ATOMIC_RELEASE);
    return r;
}

static bool mapped_by_older(const struct att *att, const void *map)
{
    for (att = att->older; att; att = att->older)
        if (att->head_map == map || att->area_map == map || att->meta_map == map)
            return true;
    return false;
}

void region_unmap(struct acow_disk *disk)
{
    while (disk->all) {
        struct att *att = disk->all;

        if (att->head_map && !mapped_by_older(att, att->head_map))
            disk->sys->munmap(att->head_map, REGION_HEAD);
        if (att->area_map && !mapped_by_older(att, att->area_map))
            disk->sys->munmap(att->area_map, att->area_len);
        if (att->meta_map && !mapped_by_older(att, att->meta_map))
            disk->sys->munmap(att->meta_map, att->meta_len);
        disk->all = att->older;
        free(att);
    }
}

/* A signal may interrupt it, as it may not interrupt the write that it is for. */
static int reserve(struct acow_disk *disk, int fd, int64_t off, int64_t len)
{
    int r;

    do
        r = quiet_fallocate(disk->sys, fd, FALLOC_FL_KEEP_SIZE, off, len);
    while (r == -EINTR);
    return r;
}

int region_fill(struct acow_disk *disk, int fd, int64_t off, int64_t len)
{
    static const char zeros[BITS_PAGE];
    int r = reserve(disk, fd, off, len);

    /* Where the filesystem cannot reserve, writing zeros to a hole does. */
    while (r == -EOPNOTSUPP) {
        ssize_t n = quiet_pwrite(disk->sys, fd, zeros, len < BITS_PAGE ? (size_t)len : BITS_PAGE,
                                 off);

        if (n < 0)
            return (int)n;
        off += n;
        len -= n;
        if (len == 0)
            return 0;
    }
    return r;
}

/* Summary pages, one for 64 GiB of disk, are touched by every look: they are reserved at once. */
static int reserve_summaries(struct acow_disk *disk, uint64_t from_pages, uint64_t pages)
{
    uint64_t chunk = (from_pages + BITS_CHUNK_PAGES - 1) / BITS_CHUNK_PAGES;

    for (; chunk * BITS_CHUNK_PAGES < pages; chunk++) {
        int r = region_fill(disk, disk->run_fd, (int64_t)(REGION_HEAD + chunk * BITS_CHUNK), BITS_PAGE);

        if (r < 0)
            return r;
    }
    return 0;
}

/* Gives whole pages of fd storage, and leaves in them what is there. Nobody else writes there now. */
static int keep(struct acow_disk *disk, int fd, int64_t off, uint64_t npages)
{
    const struct acow_sys *sys = disk->sys;
    int r = reserve(disk, fd, off, (int64_t)(npages * BITS_PAGE));

    for (; r == -EOPNOTSUPP && npages > 0; npages--, off += BITS_PAGE) {
        char same[BITS_PAGE];
        ssize_t n = sys->pread(fd, same, sizeof(same), off), len = n;

        if (n > 0)
            n = quiet_pwrite(sys, fd, same, (size_t)len, off);
        if (n < len || n < 0)
            return n < 0 ? (int)n : -ENOSPC;
        if (npages == 1)
            return 0;
    }
    return r;
}

/* A page of the metadata file that has no pending bits is written by nobody else. */
static int reserve_meta(struct acow_disk *disk, uint64_t page, uint64_t npages)
{
    return keep(disk, disk->meta_fd, (int64_t)(FORMAT_HEADER + page * BITS_PAGE), npages);
}

static int extend_meta(struct acow_disk *disk, uint64_t len)
{
    struct stat st;
    int r = disk->sys->fstat(disk->meta_fd, &st);

    if (r < 0 || (uint64_t)st.st_size >= len)
        return r;
    return quiet_ftruncate(disk->sys, disk->meta_fd, (int64_t)len);
}

int region_room(struct acow_disk *disk, struct region *region, uint64_t size)
{
    uint64_t pages = bits_pages(format_sectors(size));
    uint64_t meta_len = FORMAT_HEADER + format_bitmap_bytes(size);
    bool changed = false;
    int r;

    if (size > ACOW_SIZE_MAX)
        return -EFBIG;
    if (pages > region->pages) {
        r = quiet_ftruncate(disk->sys, disk->run_fd, (int64_t)(REGION_HEAD + bits_area(pages)));
        if (r == 0)
            r = reserve_summaries(disk, region->pages, pages);
        if (r < 0)
            return r;
        __atomic_store_n(&region->pages, pages, __ATOMIC_RELEASE);
        changed = true;
    }
    if (disk->writable && meta_len > region->meta_len) {
        /* Whole steps once the disk grows: a file that is longer than need be is legal. */
        if (region->meta_len)
            meta_len = FORMAT_HEADER + round_up(meta_len - FORMAT_HEADER, BITS_PAGE);
        r = extend_meta(disk, meta_len);
        if (r < 0)
            return r;
        __atomic_store_n(&region->meta_len, meta_len, __ATOMIC_RELEASE);
        changed = true;
    }
    if (changed)
        __atomic_fetch_add(&region->gen, 1, __ATOMIC_ACQ_REL);
    return 0;
}

static int reserve_run(struct acow_disk *disk, uint64_t page, uint64_t npages)
{
    int r = region_fill(disk, disk->run_fd, (int64_t)(REGION_HEAD + bits_page_at(page)),
                        (int64_t)(npages * BITS_PAGE));

    if (r < 0)
        return r;
    return reserve_meta(disk, page, npages);
}

int region_reserve(struct acow_disk *disk, const struct att *att, uint64_t first, uint64_t count)
{
    const struct bits *bits = &att->bits;
    uint64_t page = first / BITS_PAGE_SECTORS;
    uint64_t end = (first + count - 1) / BITS_PAGE_SECTORS + 1;
    int r;

    /* Room is made before a disk grows: someone else has written into the region. */
    if (end > bits->pages)
        return -EIO;
    while (page < end && bits_state(bits, page) != PAGE_NONE)
        page++;
    if (page == end)
        return 0;
    r = region_lock(disk, &att->region->reserve_lock);
    if (r < 0)
        return r;
    r = 0;
    while (r == 0 && page < end) {
        uint64_t run = page;

        while (run < end && bits_state(bits, run) == PAGE_NONE
               && run / BITS_CHUNK_PAGES == page / BITS_CHUNK_PAGES)
            run++;
        if (run > page)
            r = reserve_run(disk, page, run - page);
        for (; r == 0 && page < run; page++)
            __atomic_store_n(bits_summary(bits, page), PAGE_CLEAN, __ATOMIC_RELEASE);
        if (page < end && bits_state(bits, page) != PAGE_NONE)
            page++;
    }
    region_unlock(&att->region->reserve_lock);
    return r;
}

/* One chunk: its summary, and those of its pages that it says are reserved. */
static int reserve_chunk_again(struct acow_disk *disk, uint64_t first, uint64_t pages)
{
    uint8_t summary[BITS_CHUNK_PAGES];
    int64_t at = (int64_t)(REGION_HEAD + bits_summary_at(first));
    int r = keep(disk, disk->run_fd, at, 1);
    ssize_t n;

    if (r < 0)
        return r;
    n = disk->sys->pread(disk->run_fd, summary, sizeof(summary), at);
    if (n != sizeof(summary))
        return n < 0 ? (int)n : -EIO;
    for (uint64_t i = 0; r == 0 && i < BITS_CHUNK_PAGES; i++) {
        if (summary[i] == PAGE_NONE)
            continue;
        if (summary[i] > PAGE_DIRTY || first + i >= pages)
            return 1;
        r = keep(disk, disk->run_fd, (int64_t)(REGION_HEAD + bits_page_at(first + i)), 1);
    }
    return r;
}

int region_reserve_again(struct acow_disk *disk, const struct region *region)
{
    int r = disk->sys->ftruncate(disk->run_fd, (int64_t)(REGION_HEAD + bits_area(region->pages)));

    if (r == 0)
        r = keep(disk, disk->run_fd, 0, REGION_HEAD / BITS_PAGE);
    for (uint64_t page = 0; r == 0 && page < region->pages; page += BITS_CHUNK_PAGES)
        r = reserve_chunk_again(disk, page, region->pages);
    return r;
}
