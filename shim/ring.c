/*
 * What waits for what. Requests of a ring are independent of each other, so one that must be done
 * here is done before it is submitted. But a chain (IOSQE_IO_LINK, IOSQE_IO_HARDLINK) is done in
 * its order, and a request with IOSQE_IO_DRAIN after all before it and before all after it. The
 * rules:
 *
 *  - Those at the beginning of a chain are done here, one after the other, as far as there is one
 *    that the kernel cannot do; the first that is left to the kernel keeps the others waiting.
 *  - What waits is left to the kernel, which keeps the order, also where that means to bring the
 *    range of a disk into the image first (ring_rw.c). What cannot be made so fails with EBADF,
 *    and is reported.
 *  - A request that fails breaks its chain. The one in its place fails too, so the kernel calls
 *    off the rest, which is left as it is. A read or write that falls short breaks it as well,
 *    and no request can be made to do that: it is taken out of the chain, and the rest completes
 *    with ECANCELED.
 *  - From a drain on all that is submitted to the ring waits, until the ring is seen to be idle.
 */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fdtable.h"

#define CHAINED (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)

#define WORDS (sizeof(struct io_uring_sqe) / sizeof(uint64_t))

struct io_uring_sqe *ring_entry(const struct ring_queue *queue, unsigned pos)
{
    unsigned at = queue->array ? __atomic_load_n(&queue->array[pos & queue->mask], __ATOMIC_RELAXED)
                               : pos;

    return &queue->sqes[(at & queue->mask) << !!(queue->flags & IORING_SETUP_SQE128)];
}

/* ---- changing, and changing back -------------------------------------------- */

static bool taken(const struct ring_queue *queue, unsigned pos)
{
    return (int)(pos - __atomic_load_n(queue->head, __ATOMIC_ACQUIRE)) < 0;
}

/* The program may have filled it anew, all of it or in part: only what is as it was changed. */
static void change_back(struct ring_change *change)
{
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t is, after, before;

        memcpy(&is, (char *)change->sqe + i * sizeof(is), sizeof(is));
        memcpy(&after, (char *)&change->after + i * sizeof(is), sizeof(is));
        memcpy(&before, (char *)&change->before + i * sizeof(is), sizeof(is));
        if (is == after && after != before)
            memcpy((char *)change->sqe + i * sizeof(is), &before, sizeof(is));
    }
}

void ring_after(struct ring *ring, const struct ring_queue *queue)
{
    unsigned kept = 0;
    int saved = errno;

    for (unsigned i = 0; i < ring->nchanges; i++) {
        struct ring_change *change = &ring->changes[i];

        if (!taken(queue, change->pos)) {
            ring->changes[kept++] = *change;
            continue;
        }
        change_back(change);
        if (change->held)
            fdtable_put(change->held);
    }
    ring->nchanges = kept;
    errno = saved;
}

/* There is room for one more: see ring_before. */
static void note(struct ring_request *req, unsigned pos, const struct io_uring_sqe *before)
{
    req->ring->changes[req->ring->nchanges++] = (struct ring_change){
        .sqe = req->sqe, .pos = pos, .held = req->held, .before = *before, .after = *req->sqe };
}

static bool make_room(struct ring *ring, unsigned more)
{
    unsigned room = ring->nchanges + more;
    struct ring_change *changes;

    if (room <= ring->room)
        return true;
    changes = realloc(ring->changes, room * sizeof(*changes));
    if (!changes)
        return false;
    ring->changes = changes;
    ring->room = room;
    return true;
}

static void set_result(struct ring_request *req, unsigned pos, int64_t result, unsigned without)
{
    struct io_uring_sqe before = *req->sqe;

    ring_set_result(req->queue, req->sqe, result);
    req->sqe->flags &= (uint8_t)~without;
    note(req, pos, &before);
}

/* ---- chains -------------------------------------------------------------------- */

static unsigned chain_end(const struct ring_queue *queue, unsigned pos, unsigned to)
{
    while (pos != to && ring_entry(queue, pos++)->flags & CHAINED)
        ;
    return pos;
}

/* The position behind the last one in the chain that is better done here. */
static unsigned end_of_doing(struct ring *ring, const struct ring_queue *queue, unsigned from,
                             unsigned to)
{
    unsigned end = from;

    for (unsigned pos = from; pos != to && to - from > 1; pos++) {
        struct ring_request req = { ring, queue, .sqe = ring_entry(queue, pos) };

        if (ring_needs_doing(&req))
            end = pos + 1;
    }
    return end;
}

/* [pos, end) is what was to come after a request that fell short. */
static void call_off(struct ring *ring, const struct ring_queue *queue, unsigned pos, unsigned end,
                     bool silently)
{
    for (; pos != end; pos++) {
        struct ring_request req = { ring, queue, .sqe = ring_entry(queue, pos) };

        set_result(&req, pos, silently ? 0 : -ECANCELED, CHAINED | IOSQE_CQE_SKIP_SUCCESS);
        if (silently) {
            req.sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
            ring->changes[ring->nchanges - 1].after = *req.sqe;
        }
    }
}

static void walk_chain(struct ring *ring, const struct ring_queue *queue, unsigned from,
                       unsigned end)
{
    unsigned doing = end_of_doing(ring, queue, from, end);
    bool waits = false;

    for (unsigned pos = from; pos != end; pos++)
        ring->draining |= ring_entry(queue, pos)->flags & IOSQE_IO_DRAIN;
    for (unsigned pos = from; pos != end; pos++) {
        struct io_uring_sqe *sqe = ring_entry(queue, pos), before = *sqe;
        struct ring_request req = { ring, queue, sqe, .waits = waits || ring->draining,
                                    .now = (int)(doing - pos) > 1 };
        enum ring_way way = ring_do(&req);
        bool breaks = (before.flags & CHAINED) == IOSQE_IO_LINK;

        if (way == RING_CHANGED)
            note(&req, pos, &before);
        if (way != RING_DONE) {
            waits |= before.opcode != IORING_OP_NOP && before.opcode != IORING_OP_LINK_TIMEOUT;
            continue;
        }
        set_result(&req, pos, req.result, !req.fell_short ? 0 : IOSQE_CQE_SKIP_SUCCESS
                                          | (breaks ? CHAINED : 0));
        if (breaks && req.fell_short)
            call_off(ring, queue, pos + 1, end, before.flags & IOSQE_CQE_SKIP_SUCCESS);
        if (breaks && (req.fell_short || req.result < 0))
            break;
    }
}

/* ---- drains ----------------------------------------------------------------------- */

/* A request of this kind has one completion, or none. */
static bool countable(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_NOP:
    case IORING_OP_READV:
    case IORING_OP_WRITEV:
    case IORING_OP_FSYNC:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_SYNC_FILE_RANGE:
    case IORING_OP_FALLOCATE:
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_CLOSE:
    case IORING_OP_STATX:
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_FADVISE:
    case IORING_OP_MADVISE:
    case IORING_OP_SPLICE:
    case IORING_OP_ASYNC_CANCEL:
        return true;
    default:
        return false;
    }
}

static bool messages;           /* rings may get completions from each other */

static void count(struct ring *ring, const struct io_uring_sqe *sqe)
{
    ring->uncountable |= !countable(sqe);
    if (sqe->opcode == IORING_OP_MSG_RING)
        __atomic_store_n(&messages, true, __ATOMIC_RELAXED);
}

/* As many completions as requests. Too few are no harm: it is only not seen to be idle. */
static bool idle(const struct ring *ring, const struct ring_queue *queue, unsigned next)
{
    return !ring->uncountable && !__atomic_load_n(&messages, __ATOMIC_RELAXED) && queue->done
           && __atomic_load_n(queue->head, __ATOMIC_ACQUIRE) == next
           && __atomic_load_n(queue->done, __ATOMIC_ACQUIRE) == next;
}

int ring_before(struct ring *ring, const struct ring_queue *queue, unsigned from, unsigned to)
{
    int saved = errno;

    ring_after(ring, queue);
    if (ring->draining && idle(ring, queue, from))
        ring->draining = false;
    if (!make_room(ring, to - from))
        return -EAGAIN;
    for (unsigned pos = from; pos != to; pos++)
        count(ring, ring_entry(queue, pos));
    while (from != to) {
        unsigned end = chain_end(queue, from, to);

        walk_chain(ring, queue, from, end);
        from = end;
    }
    errno = saved;
    return 0;
}
