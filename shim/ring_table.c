/*
 * The rings of this process. One that liburing made is known by where its queue is, since it may
 * have no descriptor any more; one that was made by number is known by its descriptor, and where
 * its queue is by what is mapped from that.
 *
 * A ring's memory in this table stays for ever, so that who looks for one without the lock can
 * follow the list. A fixed file holds its disk open, as it does a file.
 */
#include <stdlib.h>
#include <string.h>

#include "fdtable.h"
#include "process.h"
#include "real.h"
#include "ring.h"

/* As <linux/io_uring.h> of Linux 6.5 and 6.6 have them. */
#define SETUP_NO_MMAP (1u << 14)
#define SETUP_NO_SQARRAY (1u << 16)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   /* over the list; before a ring's own */
static struct ring *rings;
int ring_unmapped;

static void lock_table(void)
{
    process_enter();
    pthread_mutex_lock(&lock);
}

static void unlock_table(void)
{
    pthread_mutex_unlock(&lock);
    process_leave();
}

void ring_unlock(struct ring *ring)
{
    pthread_mutex_unlock(&ring->lock);
    process_leave();
}

static struct ring *find_locked(const struct ring_queue *queue, int fd)
{
    struct ring *ring = rings;

    while (ring && (!ring->used || (queue ? ring->queue.head != queue->head : ring->fd != fd)))
        ring = ring->next;
    return ring;
}

/* ---- fixed files ------------------------------------------------------------ */

static void set_slot(struct ring *ring, unsigned slot, struct ofd *ofd)
{
    struct ofd *old = ring->slots[slot];

    ring->slots[slot] = ofd;
    if (old)
        ofd_unref(old);
}

static bool make_slots(struct ring *ring, unsigned count)
{
    struct ofd **slots;

    if (count <= ring->nslots)
        return true;
    slots = realloc(ring->slots, count * sizeof(*slots));
    if (!slots)
        return false;
    memset(slots + ring->nslots, 0, (count - ring->nslots) * sizeof(*slots));
    ring->slots = slots;
    ring->nslots = count;
    return true;
}

void ring_set_slots(struct ring *ring, unsigned from, const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct ofd *ofd = fds[i] >= 0 ? fdtable_get(fds[i]) : NULL;

        if (fds[i] == IORING_REGISTER_FILES_SKIP)
            continue;
        /* Without memory it is no disk, and the placeholder in the slot fails. */
        if (ofd && !make_slots(ring, from + i + 1)) {
            fdtable_put(ofd);
            ofd = NULL;
        }
        if (from + i < ring->nslots)
            set_slot(ring, from + i, ofd);
    }
}

void ring_clear_slots(struct ring *ring)
{
    for (unsigned i = 0; i < ring->nslots; i++)
        set_slot(ring, i, NULL);
    free(ring->slots);
    ring->slots = NULL;
    ring->nslots = 0;
}

struct ofd *ring_disk(struct ring *ring, int fd, bool fixed)
{
    struct ofd *ofd;

    if (!fixed)
        return fdtable_get(fd);
    ofd = (unsigned)fd < ring->nslots ? ring->slots[fd] : NULL;
    if (ofd)
        ofd_ref(ofd);
    return ofd;
}

/* ---- rings ------------------------------------------------------------------- */

static bool lacks_memory(const struct ring *ring)
{
    return ring->used && ring->params.sq_entries && !(ring->queue.sqes && ring->queue.head);
}

/* The ring is locked. */
static void clear(struct ring *ring)
{
    if (lacks_memory(ring))
        __atomic_fetch_sub(&ring_unmapped, 1, __ATOMIC_RELAXED);
    ring_clear_slots(ring);
    for (unsigned i = 0; i < ring->nchanges; i++)
        if (ring->changes[i].held)
            fdtable_put(ring->changes[i].held);
    ring->nchanges = 0;
    ring->used = ring->draining = ring->uncountable = false;
    __atomic_store_n(&ring->fd, -1, __ATOMIC_RELAXED);
    ring->queue = (struct ring_queue){ 0 };
    ring->params = (struct io_uring_params){ 0 };
}

static struct ring *add_locked(const struct ring_queue *queue, int fd)
{
    struct ring *ring = rings;

    while (ring && ring->used)
        ring = ring->next;
    if (!ring) {
        ring = calloc(1, sizeof(*ring));
        if (!ring)
            return NULL;
        pthread_mutex_init(&ring->lock, NULL);
        ring->fd = -1;
        ring->next = rings;
        __atomic_store_n(&rings, ring, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&ring->fd, fd, __ATOMIC_RELAXED);
    ring->used = true;
    if (queue)
        ring->queue = *queue;
    return ring;
}

/* The table is locked, and is unlocked first: who has the ring may be at it for long. */
static struct ring *lock_found(struct ring *ring)
{
    unlock_table();
    if (ring) {
        process_enter();
        pthread_mutex_lock(&ring->lock);
    }
    return ring;
}

struct ring *ring_of(const struct ring_queue *queue, int fd)
{
    struct ring *ring;

    lock_table();
    ring = find_locked(queue, fd);
    if (!ring)
        ring = add_locked(queue, fd);
    return lock_found(ring);
}

struct ring *ring_by_fd(int fd)
{
    if (!__atomic_load_n(&rings, __ATOMIC_ACQUIRE))
        return NULL;
    lock_table();
    return lock_found(find_locked(NULL, fd));
}

static bool in_range(const struct ring *ring, unsigned from, unsigned to)
{
    int fd = __atomic_load_n(&ring->fd, __ATOMIC_RELAXED);

    return fd >= 0 && (unsigned)fd >= from && (unsigned)fd <= to;
}

/* May be called by a signal's handler: no lock unless there is one to close. */
void ring_closed(unsigned from, unsigned to)
{
    for (struct ring *ring = __atomic_load_n(&rings, __ATOMIC_ACQUIRE); ring; ring = ring->next) {
        if (!in_range(ring, from, to) || process_is_vfork_child())
            continue;
        lock_table();
        if (in_range(ring, from, to)) {
            pthread_mutex_lock(&ring->lock);
            clear(ring);
            pthread_mutex_unlock(&ring->lock);
        }
        unlock_table();
    }
}

void ring_end(const struct ring_queue *queue)
{
    struct ring *ring;

    lock_table();
    ring = find_locked(queue, -1);
    if (ring) {
        pthread_mutex_lock(&ring->lock);
        clear(ring);
        pthread_mutex_unlock(&ring->lock);
    }
    unlock_table();
}

void ring_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    for (struct ring *ring = rings; ring; ring = ring->next)
        pthread_mutex_init(&ring->lock, NULL);
}

/* ---- rings by number ---------------------------------------------------------- */

static const unsigned *at(const char *base, uint32_t offset)
{
    return (const unsigned *)(const void *)(base + offset);
}

static void set_heads(struct ring *ring, const char *base)
{
    const struct io_sqring_offsets *off = &ring->params.sq_off;

    ring->queue.head = at(base, off->head);
    ring->queue.tail = at(base, off->tail);
    ring->queue.array = ring->params.flags & SETUP_NO_SQARRAY ? NULL : at(base, off->array);
    ring->queue.mask = ring->params.sq_entries - 1;
    if (ring->params.features & IORING_FEAT_SINGLE_MMAP)
        ring->queue.done = at(base, ring->params.cq_off.tail);
}

void ring_made(int fd, const struct io_uring_params *params)
{
    struct ring *ring;

    ring_closed((unsigned)fd, (unsigned)fd);
    lock_table();
    ring = lock_found(add_locked(NULL, fd));
    if (!ring)
        return;     /* and then its calls fail */
    ring->params = *params;
    ring->queue.flags = params->flags;
    ring->queue.features = params->features;
    if (params->flags & SETUP_NO_MMAP) {
        ring->queue.sqes = (struct io_uring_sqe *)(uintptr_t)params->sq_off.resv2;
        set_heads(ring, (const char *)(uintptr_t)params->cq_off.resv2);
    } else {
        __atomic_fetch_add(&ring_unmapped, 1, __ATOMIC_RELAXED);
    }
    ring_unlock(ring);
}

void ring_mapped(int fd, void *memory, int64_t off)
{
    struct ring *ring = ring_by_fd(fd);

    if (!ring)
        return;
    if (lacks_memory(ring)) {
        if (off == IORING_OFF_SQ_RING)
            set_heads(ring, memory);
        else if (off == IORING_OFF_CQ_RING)
            ring->queue.done = at(memory, ring->params.cq_off.tail);
        else if (off == IORING_OFF_SQES)
            ring->queue.sqes = memory;
        if (!lacks_memory(ring))
            __atomic_fetch_sub(&ring_unmapped, 1, __ATOMIC_RELAXED);
    }
    ring_unlock(ring);
}
