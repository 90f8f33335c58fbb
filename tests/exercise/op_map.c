/*
 * Mappings. Some shared ones are kept, over phases and changes of the file's size, and must always show
 * what the file holds. In a process that only reads, one need not show what is written after it
 * was made (docs/architecture.md); so there they are kept for a phase at most, in which
 * nobody writes to the worker's range.
 */
#include "exercise.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_PAGES 64

static uint64_t page_down(uint64_t off)
{
    return off / PAGE * PAGE;
}

static uint64_t page_up(uint64_t off)
{
    return page_down(off + PAGE - 1);
}

/* Pages over some of the worker's range, and perhaps past the end of the file. */
static bool pick_pages(struct worker *w, uint64_t *off, size_t *len)
{
    uint64_t end;

    if (!worker_pick(w, PIECE, off, len))
        return false;
    end = page_up(*off + *len);
    if (w->tail && worker_chance(w, 3))
        end += worker_below(w, 9) * PAGE;
    *off = page_down(*off);
    *len = (size_t)(end - *off);
    return true;
}

static void unmap(struct worker *w, struct mapping *map)
{
    if (map->at && munmap(map->at, map->len) < 0)
        model_fail(w, "munmap: %s", strerror(errno));
    map->at = NULL;
}

void map_drop(struct worker *w, bool all)
{
    for (int i = 0; i < MAPS; i++)
        if (all || w->reader)
            unmap(w, &w->maps[i]);
}

void map_check_all(struct worker *w)
{
    for (int i = 0; i < MAPS; i++) {
        const struct mapping *map = &w->maps[i];
        uint64_t end = map->off + map->len < shared->size ? map->off + map->len : shared->size;

        if (!map->at || map->off >= end)
            continue;
        model_note(w, READS, "load, of an old mapping", map->off, (size_t)(end - map->off), 0);
        model_check_all(w, map->off, (size_t)(end - map->off), map->at);
    }
}

static void *map_pages(struct worker *w, uint64_t off, size_t len, int prot, int flags)
{
    bool passing = worker_chance(w, 2);
    int fd = passing ? open_again(w, 0) : w->fd;
    void *at;

    if (worker_chance(w, 8))
        flags |= MAP_POPULATE;
    at = mmap(NULL, len, prot, flags, fd, (off_t)off);
    if (at == MAP_FAILED)
        model_fail(w, "mmap of [%llu, %llu): %s", (unsigned long long)off,
                   (unsigned long long)(off + len), strerror(errno));
    if (passing)
        close(fd);
    return at;
}

/* What of the mapping is the worker's, and in the file. */
static bool own_part(const struct worker *w, const struct mapping *map, uint64_t *off, uint64_t *end)
{
    *off = map->off > w->lo ? map->off : w->lo;
    *end = map->off + map->len < worker_end(w) ? map->off + map->len : worker_end(w);
    return map->at && *off < *end;
}

static void check_own(struct worker *w, const struct mapping *map)
{
    uint64_t off, end;

    if (own_part(w, map, &off, &end))
        model_check(w, off, (size_t)(end - off), map->at + (off - map->off));
}

static void make(struct worker *w, struct mapping *map)
{
    uint64_t off;
    size_t len;
    int prot = PROT_READ;

    unmap(w, map);
    if (!pick_pages(w, &off, &len))
        return;
    map->writable = !w->reader && !worker_chance(w, 4);
    if (map->writable)
        prot |= PROT_WRITE;
    model_note(w, READS, map->writable ? "mmap shared" : "mmap shared, to read", off, len, 0);
    map->at = map_pages(w, off, len, prot, MAP_SHARED);
    map->off = off;
    map->len = len;
    check_own(w, map);
}

static void private(struct worker *w)
{
    struct mapping map = { 0 };
    uint64_t off, end;

    if (!pick_pages(w, &map.off, &map.len))
        return;
    model_note(w, READS, "mmap private", map.off, map.len, 0);
    map.at = map_pages(w, map.off, map.len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    check_own(w, &map);
    if (own_part(w, &map, &off, &end) && worker_chance(w, 2)) {
        size_t len = end - off < 3000 ? (size_t)(end - off) : 3000;

        memset(map.at + (off - map.off), 0x5a, len);
        model_result_wide(w, pread(w->fd, w->buf, len, (off_t)off), off, len);
        model_check(w, off, len, w->buf);
        for (size_t i = 0; i < len; i++)
            if (map.at[off - map.off + i] != 0x5a)
                model_fail(w, "a private byte was lost at %llu", (unsigned long long)(off + i));
    }
    unmap(w, &map);
}

/* A part of what of the mapping is the worker's. */
static bool pick_part(struct worker *w, const struct mapping *map, uint64_t *off, size_t *len)
{
    uint64_t end;

    if (!own_part(w, map, off, &end))
        return false;
    *len = 1 + (size_t)worker_below(w, worker_chance(w, 4) ? end - *off : 600);
    if (*len > end - *off)
        *len = (size_t)(end - *off);
    if (*len > PIECE)
        *len = PIECE;
    *off += worker_below(w, end - *off - *len + 1);
    return true;
}

static void store(struct worker *w, struct mapping *map)
{
    uint64_t off;
    size_t len;

    if (!map->writable || !pick_part(w, map, &off, &len))
        return;
    model_make(w, "store", off, len, w->data);
    memcpy(map->at + (off - map->off), w->data, len);
    model_put(off, len, w->data);
}

static void load(struct worker *w, struct mapping *map)
{
    uint64_t off;
    size_t len;

    if (!pick_part(w, map, &off, &len))
        return;
    model_note(w, READS, "load", off, len, 0);
    model_check(w, off, len, map->at + (off - map->off));
}

static void sync_part(struct worker *w, struct mapping *map)
{
    static const int flags[] = { MS_ASYNC, MS_ASYNC, MS_ASYNC | MS_INVALIDATE, MS_SYNC };
    size_t from = (size_t)page_down(worker_below(w, map->len));

    model_note(w, READS, "msync", map->off + from, map->len - from, 0);
    model_result(w, msync(map->at + from, map->len - from, flags[worker_below(w, 4)]), 0);
}

static void remap(struct worker *w, struct mapping *map)
{
    size_t len = PAGE * (1 + (size_t)worker_below(w, worker_chance(w, 8) ? MOST_PAGES : 4));
    unsigned char *at;

    model_note(w, READS, "mremap", map->off, len, 0);
    at = mremap(map->at, map->len, len, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        model_fail(w, "%s", strerror(errno));
    map->at = at;
    map->len = len;
    check_own(w, map);
}

/* A piece at its beginning, at its end, or in the middle, which then makes two of one. */
static void unmap_part(struct worker *w, struct mapping *map)
{
    uint64_t pages = map->len / PAGE, first = worker_below(w, pages);
    uint64_t count = 1 + worker_below(w, pages - first);
    size_t before = (size_t)(first * PAGE), behind = (size_t)((pages - first - count) * PAGE);
    struct mapping *rest = &w->maps[worker_below(w, MAPS)];

    model_note(w, READS, "munmap, in part", map->off + before, (size_t)(count * PAGE), 0);
    if (before && behind && rest == map)
        return;
    if (munmap(map->at + before, (size_t)(count * PAGE)) < 0)
        model_fail(w, "%s", strerror(errno));
    if (behind) {
        struct mapping tail = { map->at + map->len - behind, behind, map->off + map->len - behind,
                                map->writable };

        if (before) {
            unmap(w, rest);
            *rest = tail;
        } else {
            *map = tail;
        }
    }
    if (before)
        map->len = before;
    else if (!behind)
        map->at = NULL;
}

static void forget_pages(struct worker *w, struct mapping *map)
{
    model_note(w, READS, "madvise", map->off, map->len, 0);
    model_result(w, madvise(map->at, map->len, worker_chance(w, 2) ? MADV_DONTNEED : MADV_WILLNEED),
                 0);
    check_own(w, map);
}

static void protect(struct worker *w, struct mapping *map)
{
    if (w->reader)
        return;
    map->writable = !map->writable;
    model_note(w, READS, "mprotect", map->off, map->len, 0);
    model_result(w, mprotect(map->at, map->len, PROT_READ | (map->writable ? PROT_WRITE : 0)), 0);
}

void map_run(struct worker *w)
{
    struct mapping *map = &w->maps[worker_below(w, MAPS)];
    uint64_t which = worker_below(w, 100);

    if (which < 8)
        private(w);
    else if (!map->at || which < 15)
        make(w, map);
    else if (which < 60)
        store(w, map);
    else if (which < 88)
        load(w, map);
    else if (which < 90)
        sync_part(w, map);
    else if (which < 93)
        remap(w, map);
    else if (which < 95)
        unmap_part(w, map);
    else if (which < 97)
        forget_pages(w, map);
    else if (which < 98)
        protect(w, map);
    else
        unmap(w, map);
}
