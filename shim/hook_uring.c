/*
 * liburing's functions that put requests before the kernel, that register files, and that make
 * and end a ring. It makes its system calls inline, so these are the places where one can come
 * before them. Its struct io_uring is public, for its inline functions: what stands here has been
 * the same since 2.0, and is checked before it is believed.
 */
#include <signal.h>

#include "fdtable.h"
#include "hooks.h"
#include "leave.h"
#include "real.h"
#include "report.h"
#include "ring.h"

struct io_uring {
    unsigned *sq_head, *sq_tail, *sq_mask, *sq_entries, *sq_flags, *sq_dropped, *sq_array;
    struct io_uring_sqe *sqes;
    unsigned sqe_head, sqe_tail;
    size_t sq_size;
    char *sq_memory;
    unsigned sq_more[4];
    unsigned *cq_head, *cq_tail, *cq_mask, *cq_entries, *cq_flags, *cq_overflow;
    struct io_uring_cqe *cqes;
    size_t cq_size;
    char *cq_memory;
    unsigned cq_more[4];
    unsigned flags;
    int ring_fd;
    unsigned features;
};

_Static_assert(sizeof(void *) != 8 || (offsetof(struct io_uring, flags) == 192
               && offsetof(struct io_uring, cq_head) == 104), "as in liburing's header");

/* Setup flags up to Linux 6.18's; with others a queue may have another form. */
#define KNOWN_FLAGS ((1u << 19) - 1)

#define LATE(symbol) ({ \
    __typeof__(hot.real.symbol) late_ = __atomic_load_n(&hot.real.symbol, __ATOMIC_RELAXED); \
    if (!late_) { \
        late_ = (__typeof__(late_))real_find_late("liburing.so.2", #symbol); \
        __atomic_store_n(&hot.real.symbol, late_, __ATOMIC_RELAXED); \
    } \
    late_; })

#define CALL(symbol, ...) ({ __typeof__(hot.real.symbol) call_ = LATE(symbol); \
                             call_ ? call_(__VA_ARGS__) : -ENOSYS; })

static bool is_within(const char *memory, size_t size, const void *at)
{
    const char *place = at;

    return size == 0 || (place >= memory && place + sizeof(unsigned) <= memory + size);
}

static bool makes_sense(const struct io_uring *ring)
{
    unsigned mask;

    if (!ring->sqes || !ring->sq_head || !ring->sq_tail || !ring->sq_mask || !ring->cq_tail
        || !is_within(ring->sq_memory, ring->sq_size, ring->sq_head)
        || !is_within(ring->sq_memory, ring->sq_size, ring->sq_mask)
        || !is_within(ring->cq_memory, ring->cq_size, ring->cq_tail))
        return false;
    mask = *ring->sq_mask;
    return (mask & (mask + 1)) == 0 && ring->sqe_tail - ring->sqe_head <= mask + 1
           && !(ring->flags & ~KNOWN_FLAGS);
}

static struct ring_queue queue_of(const struct io_uring *ring)
{
    return (struct ring_queue){ .sqes = ring->sqes, .head = ring->sq_head, .tail = ring->sq_tail,
                                .done = ring->cq_tail, .mask = *ring->sq_mask,
                                .flags = ring->flags, .features = ring->features };
}

/* ---- making and ending ------------------------------------------------------- */

/* Whatever was known of a ring with this number, or memory, was of an older one. */
static int begun(struct io_uring *ring, int r)
{
    struct ring_queue queue;
    struct ring *known;

    if (r < 0 || !makes_sense(ring))
        return r;
    queue = queue_of(ring);
    ring_closed((unsigned)ring->ring_fd, (unsigned)ring->ring_fd);
    ring_end(&queue);
    known = ring_of(&queue, ring->ring_fd);
    if (known)
        ring_unlock(known);
    return r;
}

int hook_ring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    return begun(ring, CALL(io_uring_queue_init, entries, ring, flags));
}

int hook_ring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
    return begun(ring, CALL(io_uring_queue_init_params, entries, ring, p));
}

int hook_ring_queue_init_mem(unsigned entries, struct io_uring *ring, struct io_uring_params *p,
                             void *memory, size_t size)
{
    return begun(ring, CALL(io_uring_queue_init_mem, entries, ring, p, memory, size));
}

int hook_ring_queue_mmap(int fd, struct io_uring_params *p, struct io_uring *ring)
{
    return begun(ring, CALL(io_uring_queue_mmap, fd, p, ring));
}

void hook_ring_queue_exit(struct io_uring *ring)
{
    __typeof__(hot.real.io_uring_queue_exit) call = LATE(io_uring_queue_exit);

    if (makes_sense(ring)) {
        struct ring_queue queue = queue_of(ring);

        ring_end(&queue);
    }
    if (call)
        call(ring);
}

/* The number is free for another, and the ring goes on. */
int hook_ring_close_ring_fd(struct io_uring *ring)
{
    struct ring *known = makes_sense(ring) ? ring_by_fd(ring->ring_fd) : NULL;
    int r = CALL(io_uring_close_ring_fd, ring);

    if (known) {
        if (r >= 0)
            __atomic_store_n(&known->fd, -1, __ATOMIC_RELAXED);
        ring_unlock(known);
    }
    return r;
}

/* ---- submitting ---------------------------------------------------------------- */

static bool any_disk(void)
{
    return fdtable_next(0) < FD_LIMIT;
}

/* *changed is the ring if ended() must be called. 0, or an error that is the call's. */
static int begin(struct io_uring *ring, struct ring **changed)
{
    struct ring_queue queue;
    struct ring *known;
    int r;

    *changed = NULL;
    if (ring->sqe_head == ring->sqe_tail)
        return 0;
    if (!makes_sense(ring))
        return any_disk() ? report_unserved("io_uring_submit of an unknown version", "a disk") : 0;
    queue = queue_of(ring);
    known = ring_of(&queue, ring->ring_fd);
    if (!known)
        return -EAGAIN;
    r = ring_before(known, &queue, ring->sqe_head, ring->sqe_tail);
    if (r == 0 && known->nchanges > 0)
        *changed = known;
    ring_unlock(known);
    return r;
}

static int ended(struct io_uring *ring, const struct ring *changed, int r)
{
    struct ring_queue queue;
    struct ring *known;

    if (!changed)
        return r;
    queue = queue_of(ring);
    known = ring_of(&queue, ring->ring_fd);
    if (known) {
        ring_after(known, &queue);
        ring_unlock(known);
    }
    return r;
}

#define SUBMIT(symbol, ...) \
    struct ring *changed; \
    int r = begin(ring, &changed); \
    return r < 0 ? r : ended(ring, changed, CALL(symbol, __VA_ARGS__))

int hook_ring_submit(struct io_uring *ring)
{
    SUBMIT(io_uring_submit, ring);
}

int hook_ring_submit_and_wait(struct io_uring *ring, unsigned count)
{
    SUBMIT(io_uring_submit_and_wait, ring, count);
}

int hook_ring_submit_and_get_events(struct io_uring *ring)
{
    SUBMIT(io_uring_submit_and_get_events, ring);
}

int hook_ring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                      unsigned count, struct __kernel_timespec *timeout, void *mask)
{
    SUBMIT(io_uring_submit_and_wait_timeout, ring, cqe, count, timeout, mask);
}

int hook_ring_submit_and_wait_min_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                          unsigned count, struct __kernel_timespec *timeout,
                                          unsigned min, void *mask)
{
    SUBMIT(io_uring_submit_and_wait_min_timeout, ring, cqe, count, timeout, min, mask);
}

int hook_ring_submit_and_wait_reg(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                  int index)
{
    SUBMIT(io_uring_submit_and_wait_reg, ring, cqe, count, index);
}

/* ---- fixed files ------------------------------------------------------------------ */

/* `fds` went into the slots from `from` on; NULL: there are none any more. */
static int registered(struct io_uring *ring, unsigned from, const int *fds, unsigned count, int r)
{
    struct ring_queue queue;
    struct ring *known;

    if (r < 0 || !makes_sense(ring))
        return r;
    queue = queue_of(ring);
    known = ring_of(&queue, ring->ring_fd);
    if (!known)
        return r;
    if (fds)
        ring_set_slots(known, from, fds, count);
    else
        ring_clear_slots(known);
    ring_unlock(known);
    return r;
}

int hook_ring_register_files(struct io_uring *ring, const int *files, unsigned count)
{
    return registered(ring, 0, files, count, CALL(io_uring_register_files, ring, files, count));
}

int hook_ring_register_files_tags(struct io_uring *ring, const int *files, const uint64_t *tags,
                                  unsigned count)
{
    return registered(ring, 0, files, count,
                      CALL(io_uring_register_files_tags, ring, files, tags, count));
}

/* Its value is how many it has set. */
int hook_ring_register_files_update(struct io_uring *ring, unsigned from, const int *files,
                                    unsigned count)
{
    int r = CALL(io_uring_register_files_update, ring, from, files, count);

    return registered(ring, from, files, r > 0 ? (unsigned)r : 0, r);
}

int hook_ring_register_files_update_tag(struct io_uring *ring, unsigned from, const int *files,
                                        const uint64_t *tags, unsigned count)
{
    int r = CALL(io_uring_register_files_update_tag, ring, from, files, tags, count);

    return registered(ring, from, files, r > 0 ? (unsigned)r : 0, r);
}

int hook_ring_unregister_files(struct io_uring *ring)
{
    return registered(ring, 0, NULL, 0, CALL(io_uring_unregister_files, ring));
}

/* Requests on a disk are known to the kernel by the image's descriptor. */
int hook_ring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *reg)
{
    struct io_uring_sync_cancel_reg changed = *reg;
    struct ofd *ofd = NULL;
    int r;

    if (reg->flags & IORING_ASYNC_CANCEL_FD && !(reg->flags & IORING_ASYNC_CANCEL_FD_FIXED))
        ofd = fdtable_get(reg->fd);
    if (!ofd)
        return CALL(io_uring_register_sync_cancel, ring, reg);
    changed.fd = ofd->image_fd;
    r = CALL(io_uring_register_sync_cancel, ring, &changed);
    fdtable_put(ofd);
    return r;
}

#define HOOK_uring EXPORT
#include "alias.h"
