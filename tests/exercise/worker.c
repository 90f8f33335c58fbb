/* One worker: its chance, its choice of places, and which family's turn it is. */
#include "exercise.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct family families[] = {
    { "rw", rw_run, 2000, true },       { "vec", vec_run, 1200, true },
    { "seek", seek_run, 300, true },    { "direct", direct_run, 500, true },
    { "map", map_run, 2200, true },     { "stdio", stdio_run, 400, true },
    { "aio", aio_run, 300, false },     { "libaio", libaio_run, 400, false },
    { "alloc", alloc_run, 400, true },  { "tail", tail_run, 500, true },
    { "copy", copy_run, 400, true },    { "sync", sync_run, 60, true },
    { "fd", fd_run, 300, false },       { "proc", proc_run, 4, false },
};
const unsigned family_count = sizeof(families) / sizeof(families[0]);

uint64_t worker_random(struct worker *w)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t worker_below(struct worker *w, uint64_t limit)
{
    return worker_random(w) % limit;
}

/* Mostly short: what is in the image all round is no test any more. */
static uint64_t some_length(struct worker *w)
{
    uint64_t which = worker_below(w, 64);

    if (which == 0)
        return 1 + worker_below(w, PIECE);
    if (which < 4)
        return 1 + worker_below(w, 17000);
    if (which < 12)
        return 512 * (1 + worker_below(w, 8));
    if (which < 14)
        return PAGE;
    if (which < 22)
        return 1 + worker_below(w, 16);
    return 1 + worker_below(w, 1500);
}

bool worker_pick(struct worker *w, size_t most, uint64_t *off, size_t *len)
{
    uint64_t end = worker_end(w), all = end - w->lo, want = some_length(w);

    if (end <= w->lo)
        return false;
    if (want > most)
        want = most;
    if (want > all)
        want = all;
    *len = (size_t)want;
    switch (worker_below(w, 8)) {
    case 0:
        *off = w->lo;
        break;
    case 1:
        *off = end - want;
        break;
    case 2:
    case 3:
        /* on a sector's edge */
        *off = w->lo + worker_below(w, all - want + 1);
        if (*off / 512 * 512 >= w->lo)
            *off = *off / 512 * 512;
        break;
    default:
        *off = w->lo + worker_below(w, all - want + 1);
    }
    return true;
}

bool worker_pick_wide(struct worker *w, size_t most, uint64_t *off, size_t *len)
{
    uint64_t before, behind;

    if (!worker_pick(w, most - 1400, off, len))
        return false;
    before = worker_below(w, 700);
    behind = worker_below(w, 700);
    if (worker_chance(w, 2))
        return true;
    if (before > *off)
        before = *off;
    *off -= before;
    *len += (size_t)(before + behind);
    return true;
}

bool worker_pick_aligned(struct worker *w, size_t unit, size_t most, uint64_t *off, size_t *len)
{
    uint64_t first = (w->lo + unit - 1) / unit, last = worker_end(w) / unit, count;

    if (last <= first)
        return false;
    count = 1 + worker_below(w, most / unit);
    if (count > last - first)
        count = last - first;
    *off = (first + worker_below(w, last - first - count + 1)) * unit;
    *len = (size_t)(count * unit);
    return true;
}

void worker_init(struct worker *w, unsigned number)
{
    *w = (struct worker){ .number = number, .fd = -1, .other = -1, .plain = -1 };
    w->random = shared->seed * 0x2545f4914f6cdd1du + number;
    w->buf = aligned_alloc(PAGE, PIECE + PAGE);
    w->data = aligned_alloc(PAGE, PIECE + PAGE);
    if (!w->buf || !w->data)
        abort();
}

void worker_stop(struct worker *w)
{
    map_drop(w, true);
    aio_drop(w);
    close(w->fd);
    close(w->other);
    close(w->plain);
    free(w->buf);
    free(w->data);
}

static const struct family *some_family(struct worker *w)
{
    unsigned all = 0, at;

    for (unsigned i = 0; i < family_count; i++)
        if (shared->families >> i & 1 && (!w->child || families[i].child))
            all += families[i].weight;
    if (all == 0)
        return &families[0];
    at = (unsigned)worker_below(w, all);
    for (unsigned i = 0;; i++) {
        if (!(shared->families >> i & 1) || (w->child && !families[i].child))
            continue;
        if (at < families[i].weight)
            return &families[i];
        at -= families[i].weight;
    }
}

void worker_run(struct worker *w, uint64_t ops)
{
    while (ops-- > 0) {
        if (__atomic_load_n(&shared->failed, __ATOMIC_RELAXED))
            _exit(1);
        some_family(w)->run(w);
    }
}
