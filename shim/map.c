/*
 * A shared mapping by who may write, and by a reader in a process that also has the disk open
 * for writing, is one of the image file: the range is copied up first, so that the mapping, all
 * calls and all other processes see the same pages. Every other mapping is put together run
 * by run (map_fill.c): a reader does not make the image grow.
 *
 * The lock is held from the kernel's doing to the list's, so that they never differ; the copying
 * up comes before it.
 */
#include "map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "leave.h"
#include "map_fill.h"
#include "ofd.h"
#include "process.h"
#include "real.h"
#include "report.h"
#include "trace.h"

struct map {
    char *at;
    size_t len;                 /* whole pages */
    uint64_t off;               /* of the disk, at `at` */
    struct disk *disk;
    struct disk *writer;        /* it is all of the image, copied up by this one; or NULL */
    int prot, flags;            /* mmap's */
    struct map *next;
};

int map_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *maps;

/* A signal's handler that ends the process must not do so with the lock held. */
static void lock_maps(void)
{
    process_enter();
    pthread_mutex_lock(&lock);
}

static void unlock_maps(void)
{
    pthread_mutex_unlock(&lock);
    process_leave();
}

/* ---- the list ------------------------------------------------------------ */

static void hold(const struct map *map)
{
    disks_ref(map->disk);
    if (map->writer)
        disks_ref(map->writer);
}

static void insert_locked(struct map *map)
{
    map->next = maps;
    maps = map;
    __atomic_fetch_add(&map_count, 1, __ATOMIC_RELAXED);
}

static struct map *touching_locked(const char *at, size_t len)
{
    struct map *map = maps;

    while (map && (map->at >= at + len || at >= map->at + map->len))
        map = map->next;
    return map;
}

/*
 * Nothing of ours is at [at, at + len) any more. What is no longer anywhere goes to *dead, which
 * is for bury() without the lock; *spare is used, and made NULL, if one is cut in two.
 */
static void cut_locked(char *at, size_t len, struct map **spare, struct map **dead)
{
    struct map **link = &maps;
    char *end = at + len;

    while (*link) {
        struct map *map = *link;
        char *map_end = map->at + map->len;

        if (map->at >= end || at >= map_end) {
            link = &map->next;
            continue;
        }
        if (map->at < at && map_end > end) {
            struct map *tail = *spare;

            *spare = NULL;
            *tail = *map;
            tail->at = end;
            tail->len = (size_t)(map_end - end);
            tail->off += (uint64_t)(end - map->at);
            hold(tail);
            map->len = (size_t)(at - map->at);
            insert_locked(tail);
            return;
        }
        if (map->at < at) {
            map->len = (size_t)(at - map->at);
            link = &map->next;
        } else if (map_end > end) {
            map->off += (uint64_t)(end - map->at);
            map->len = (size_t)(map_end - end);
            map->at = end;
            link = &map->next;
        } else {
            *link = map->next;
            map->next = *dead;
            *dead = map;
            __atomic_fetch_sub(&map_count, 1, __ATOMIC_RELAXED);
        }
    }
}

static void bury(struct map *dead)
{
    while (dead) {
        struct map *next = dead->next;

        if (dead->writer)
            disks_put(dead->writer);
        disks_put(dead->disk);
        free(dead);
        dead = next;
    }
}

/* ---- mmap ---------------------------------------------------------------- */

static bool sane(size_t len, int64_t off)
{
    int64_t end;

    return len > 0 && off >= 0 && off % (int64_t)MAP_PAGE == 0
           && !__builtin_add_overflow(off, len, &end);
}

static int copy_up(const struct map *map, uint64_t off, size_t len)
{
    int r = 0;

    if (!map->writer)
        return 0;
    process_enter();
    r = acow_copy_up(map->writer->engine, off, len);
    process_leave();
    if (process_is_ending())
        acow_park(map->writer->engine);
    return r;
}

static int64_t map_locked(struct map *map, void *addr, size_t len, int image_fd)
{
    /* It would read what is mapped over at once. */
    int flags = map->writer ? map->flags : map->flags & ~MAP_POPULATE;
    void *at = REAL(mmap64)(addr, len, map->prot, flags, image_fd, (int64_t)map->off);
    int r = 0;

    if (at == MAP_FAILED)
        return -errno;
    map->at = at;
    map->len = map_page_up(len);
    if (!map->writer)
        r = map_fill(map->disk->engine, map->at, map->len, map->off, map->prot, map->flags);
    if (r < 0) {
        REAL(munmap)(at, map->len);
        return r;
    }
    if (!map->writer && map->flags & MAP_POPULATE) {
        int saved = errno;

        madvise(at, map->len, MADV_WILLNEED);
        errno = saved;
    }
    return (int64_t)(uintptr_t)at;
}

int64_t map_new(struct ofd *ofd, void *addr, size_t len, int prot, int flags, int64_t off)
{
    struct map *map, *spare, *dead = NULL;
    struct acow_disk *engine;
    int64_t r = ofd_disk(ofd, &engine);

    if (r < 0)
        return r;
    map = calloc(1, sizeof(*map));
    spare = malloc(sizeof(*spare));
    if (!map || !spare) {
        free(map);
        free(spare);
        return -ENOMEM;
    }
    *map = (struct map){ .off = (uint64_t)off, .disk = ofd->disk, .prot = prot, .flags = flags };
    disks_ref(map->disk);
    if ((flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
        map->writer = disks_writer(map->disk);
    /* What makes no sense the kernel refuses, with the error that a file gets. */
    if (sane(len, off))
        r = copy_up(map, map->off, len);
    if (r == 0) {
        lock_maps();
        r = map_locked(map, addr, len, ofd->image_fd);
        if (r >= 0 || flags & MAP_FIXED)
            cut_locked(r >= 0 ? map->at : addr, map_page_up(len), &spare, &dead);
        if (r >= 0)
            insert_locked(map);
        unlock_maps();
    }
    if (r < 0) {
        map->next = dead;
        dead = map;
    }
    bury(dead);
    free(spare);
    return r;
}

int64_t map_over(void *addr, size_t len, int prot, int flags, int fd, int64_t off)
{
    struct map *spare = malloc(sizeof(*spare)), *dead = NULL;
    void *at;
    int64_t r;

    if (!spare)
        return -ENOMEM;
    lock_maps();
    at = REAL(mmap64)(addr, len, prot, flags, fd, off);
    r = at == MAP_FAILED ? -errno : (int64_t)(uintptr_t)at;
    if (r >= 0)
        cut_locked(at, map_page_up(len), &spare, &dead);
    unlock_maps();
    bury(dead);
    free(spare);
    return r;
}

/* ---- munmap, msync -------------------------------------------------------- */

int map_unmap(void *addr, size_t len)
{
    struct map *spare = malloc(sizeof(*spare)), *dead = NULL;
    int r;

    if (!spare)
        return -ENOMEM;
    lock_maps();
    r = NATIVE(REAL(munmap)(addr, len));
    if (r == 0)
        cut_locked(addr, map_page_up(len), &spare, &dead);
    unlock_maps();
    bury(dead);
    free(spare);
    return r;
}

/* The first disk that is mapped for writing in [*at, end); *at moves on behind that. */
static struct disk *next_writer(char **at, const char *end)
{
    struct map *first = NULL;
    struct disk *disk = NULL;

    lock_maps();
    for (struct map *map = maps; map; map = map->next)
        if (map->writer && map->at < end && map->at + map->len > *at
            && (!first || map->at < first->at))
            first = map;
    if (first) {
        disk = first->writer;
        disks_ref(disk);
        *at = first->at + first->len;
    }
    unlock_maps();
    return disk;
}

int map_sync(void *addr, size_t len, int flags)
{
    char *at = addr, *end = at + map_page_up(len);
    struct disk *disk;
    int r = NATIVE(REAL(msync)(addr, len, flags));

    while (r == 0 && flags & MS_SYNC && (disk = next_writer(&at, end))) {
        process_enter();
        r = acow_flush(disk->engine);
        if (process_is_ending())
            acow_park(disk->engine);
        disks_put(disk);
        process_leave();
    }
    return r;
}

bool map_has_disk(const char *at, size_t len)
{
    bool found = false;

    lock_maps();
    for (const struct map *map = maps; map && !found; map = map->next)
        found = map->at < at + len && map->at + map->len > at;
    unlock_maps();
    return found;
}

/* ---- mremap ---------------------------------------------------------------- */

static bool makes_sense(char *at, size_t len, size_t new_len, int flags, char *new_at)
{
    if ((uintptr_t)at % MAP_PAGE || new_len == 0 || flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED))
        return false;
    if (!(flags & MREMAP_FIXED))
        return true;
    return flags & MREMAP_MAYMOVE && (uintptr_t)new_at % MAP_PAGE == 0
           && (new_at + new_len <= at || at + len <= new_at);
}

/* A mapping of the disk's [off, off + len) at a place where nothing is, or at one that is ours. */
static int extend(const struct map *map, char *at, size_t len, uint64_t off, int fixed)
{
    struct acow_facts facts;
    int flags = (map->flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_POPULATE)) | fixed;
    void *got;
    int r;

    acow_facts(map->disk->engine, &facts);
    got = REAL(mmap64)(at, len, map->prot, flags, facts.image_fd, (int64_t)off);
    if (got == MAP_FAILED)
        return -errno;
    r = got == at ? map_fill(map->disk->engine, at, len, off, map->prot, map->flags) : -EEXIST;
    if (r < 0)
        REAL(munmap)(got, len);
    return r;
}

/* The pages of a mapping of many runs, which the kernel would not move in one. */
static int64_t move_runs(const struct map *map, char *at, size_t len, size_t new_len, char *new_at)
{
    uint64_t off = map->off + (uint64_t)(at - map->at);
    size_t kept = len < new_len ? len : new_len;
    char *to = REAL(mmap64)(new_at, new_len, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (new_at ? MAP_FIXED : 0),
                            -1, 0);
    int r = 0;

    if (to == MAP_FAILED)
        return -errno;
    if (new_len > len)
        r = extend(map, to + len, new_len - len, off + len, MAP_FIXED);
    if (r == 0 && kept > 0)
        r = map_move(at, to, kept);
    if (r < 0) {
        REAL(munmap)(to, new_len);
        return r;
    }
    if (len > kept)
        REAL(munmap)(at + kept, len - kept);
    return (int64_t)(uintptr_t)to;
}

static int64_t remap_runs(const struct map *map, char *at, size_t len, size_t new_len, int flags,
                          char *new_at)
{
    uint64_t off = map->off + (uint64_t)(at - map->at);
    int r = 0;

    /* One more mapping of the same. */
    if (len == 0 && (map->flags & MAP_TYPE) == MAP_PRIVATE)
        return -EINVAL;
    if (len == 0 && !(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    if (len == 0 && !(flags & MREMAP_FIXED))
        return move_runs(map, at, 0, new_len, NULL);
    if (flags & MREMAP_FIXED)
        return move_runs(map, at, len, new_len, new_at);
    if (new_len < len)
        r = NATIVE(REAL(munmap)(at + new_len, len - new_len));
    else if (new_len > len)
        r = extend(map, at + len, new_len - len, off + len, MAP_FIXED_NOREPLACE);
    if (r == -EEXIST)
        return flags & MREMAP_MAYMOVE ? move_runs(map, at, len, new_len, NULL) : -ENOMEM;
    return r < 0 ? r : (int64_t)(uintptr_t)at;
}

static int64_t remap_image(const struct map *map, char *at, size_t len, size_t new_len, int flags,
                           char *new_at)
{
    uint64_t off = map->off + (uint64_t)(at - map->at);
    int r = new_len > len ? copy_up(map, off + len, new_len - len) : 0;
    void *got;

    if (r < 0)
        return r;
    got = REAL(mremap)(at, len, new_len, flags, new_at);
    return got == MAP_FAILED ? -errno : (int64_t)(uintptr_t)got;
}

static int64_t remap_ours(const struct map *map, char *at, size_t len, size_t new_len, int flags,
                          char *new_at)
{
    if (!makes_sense(at, len, new_len, flags, new_at))
        return -EINVAL;
    if (at < map->at || at + len > map->at + map->len)
        return -EFAULT;
    return map->writer ? remap_image(map, at, len, new_len, flags, new_at)
                       : remap_runs(map, at, len, new_len, flags, new_at);
}

int64_t map_remap(void *addr, size_t len, size_t new_len, int flags, void *new_addr)
{
    struct map *map, *moved = malloc(sizeof(*moved)), *spare = malloc(sizeof(*spare));
    struct map *spare_too = malloc(sizeof(*spare)), *dead = NULL;
    char *at = addr;
    int64_t r = -ENOMEM;

    if (!moved || !spare || !spare_too)
        goto out;
    lock_maps();
    map = touching_locked(at, len ? len : 1);
    if (map) {
        len = map_page_up(len);
        new_len = map_page_up(new_len);
        r = remap_ours(map, at, len, new_len, flags, new_addr);
    } else {
        void *got = REAL(mremap)(addr, len, new_len, flags, new_addr);

        r = got == MAP_FAILED ? -errno : (int64_t)(uintptr_t)got;
    }
    if (r >= 0 && map) {
        *moved = *map;
        moved->at = (char *)(intptr_t)r;
        moved->len = new_len;
        moved->off += (uint64_t)(at - map->at);
        hold(moved);
        cut_locked(at, len, &spare, &dead);
    }
    if (r >= 0)
        cut_locked((char *)(intptr_t)r, map_page_up(new_len), &spare_too, &dead);
    if (r >= 0 && map) {
        insert_locked(moved);
        moved = NULL;
    }
    unlock_maps();
    bury(dead);
out:
    free(moved);
    free(spare);
    free(spare_too);
    return r;
}

/* ---- fork ------------------------------------------------------------------ */

static bool forking;            /* the lock is the forking thread's, in both processes */

void map_before_fork(void)
{
    pthread_mutex_lock(&lock);
    forking = true;
}

void map_after_fork_parent(void)
{
    forking = false;
    pthread_mutex_unlock(&lock);
}

/*
 * The child has the mappings, but no share in the run-time state, and that says how far they
 * reach: its parent may end before it makes a call on the disk.
 */
void map_after_fork(void)
{
    /* A child of clone has the lock as some thread had it. */
    if (forking)
        map_after_fork_parent();
    else
        pthread_mutex_init(&lock, NULL);
    for (struct map *map = maps; map; map = map->next) {
        int r = copy_up(map, map->off, map->len);

        if (r < 0)
            report("cannot take part in a mapped disk after a fork: %s", strerrordesc_np(-r));
    }
}
