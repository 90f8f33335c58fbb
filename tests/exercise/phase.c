/*
 * The phases: work, stand still, let the leader change the file as a whole and cut the ranges
 * anew, compare everything, and go on.
 */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static void stand_still(void)
{
    pthread_barrier_wait(&shared->barrier);
    if (__atomic_load_n(&shared->failed, __ATOMIC_ACQUIRE))
        _exit(1);
}

static bool only_reads(unsigned worker)
{
    return shared->readers && worker / shared->threads == shared->processes - 1;
}

/* ---- the leader ---------------------------------------------------------------- */

static int by_offset(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* At odd places; the last range goes to a worker that may write. */
static void cut_ranges(struct worker *w)
{
    unsigned count = shared->workers, last = count - 1;

    for (unsigned i = 0; i <= last; i++) {
        shared->cuts[i] = i ? worker_below(w, shared->size ? shared->size : 1) : 0;
        shared->range_of[i] = i;
    }
    qsort(shared->cuts + 1, last, sizeof(shared->cuts[0]), by_offset);
    shared->cuts[count] = shared->size;
    for (unsigned i = last; i > 0; i--) {
        unsigned j = (unsigned)worker_below(w, i + 1), was = shared->range_of[i];

        shared->range_of[i] = shared->range_of[j];
        shared->range_of[j] = was;
    }
    for (unsigned i = 0; i <= last; i++) {
        unsigned was = shared->range_of[0];

        if (shared->range_of[i] != last)
            continue;
        if (only_reads(i)) {
            shared->range_of[0] = last;
            shared->range_of[i] = was;
        }
        break;
    }
}

static void resize(struct worker *w)
{
    uint64_t to = shared->size - worker_below(w, shared->size / 16 + 1);

    /* Seldom by far: what is grown again is all in the image. */
    if (worker_chance(w, 12))
        to = worker_below(w, shared->cap - 3 * PIECE);
    else if (worker_chance(w, 2))
        to = shared->size + worker_below(w, 20000);
    if (to + 3 * PIECE > shared->cap)
        return;
    /* An empty file has no place for anybody. */
    to += to == 0;
    model_note(w, ZEROS, "truncate, by the leader", to < shared->size ? to : shared->size,
               (size_t)(to < shared->size ? shared->size - to : to - shared->size), 0);
    model_result(w, worker_chance(w, 2) ? truncate(shared->path, (off_t)to)
                                        : ftruncate(shared->common, (off_t)to), 0);
    model_resize(to);
}

/* As a program does that has the file for itself: over everybody's ranges. */
static void change_all(struct worker *w)
{
    bool was_tail = w->tail;
    uint64_t was_lo = w->lo;

    w->lo = 0;
    w->tail = true;
    for (uint64_t times = worker_below(w, 4); times > 0; times--)
        switch (worker_below(w, 4)) {
        case 0:
            resize(w);
            resize(w);
            break;
        case 1: resize(w); break;
        case 2: alloc_run(w); break;
        default: rw_run(w);
        }
    w->lo = was_lo;
    w->tail = was_tail;
}

/* ---- comparing ------------------------------------------------------------------- */

static void by_reading(struct worker *w)
{
    bool vectors = worker_chance(w, 2);
    uint64_t off = 0;

    while (off < shared->size) {
        size_t len = 1 + (size_t)worker_below(w, PIECE), half = (size_t)worker_below(w, len + 1);
        struct iovec iov[2] = { { w->buf, half }, { w->buf + half, len - half } };
        uint64_t left = shared->size - off;
        ssize_t n;

        model_note(w, READS, vectors ? "preadv of all" : "pread of all", off, len, 0);
        n = vectors ? preadv(w->fd, iov, 2, (off_t)off) : pread(w->fd, w->buf, len, (off_t)off);
        model_result(w, n, (int64_t)(len < left ? len : left));
        model_check_all(w, off, (size_t)n, w->buf);
        off += (uint64_t)n;
    }
    model_result(w, pread(w->fd, w->buf, 1, (off_t)off), 0);
    model_result(w, lseek(w->fd, 0, SEEK_END), (int64_t)off);
}

static void by_mapping(struct worker *w)
{
    bool shares = worker_chance(w, 2);
    void *at;

    model_note(w, READS, shares ? "a shared mapping of all" : "a private mapping of all", 0,
               (size_t)shared->size, 0);
    at = mmap(NULL, (size_t)shared->size, PROT_READ, shares ? MAP_SHARED : MAP_PRIVATE, w->fd, 0);
    if (at == MAP_FAILED)
        model_fail(w, "%s", strerror(errno));
    model_check_all(w, 0, (size_t)shared->size, at);
    munmap(at, (size_t)shared->size);
}

static void by_stream(struct worker *w)
{
    FILE *f = fopen(shared->path, "r");
    uint64_t off = 0;
    size_t n;

    model_note(w, READS, "fread of all", 0, (size_t)shared->size, 0);
    if (!f)
        model_fail(w, "%s", strerror(errno));
    while ((n = fread(w->buf, 1, 1 + (size_t)worker_below(w, PIECE), f)) > 0) {
        if (off + n > shared->size)
            model_fail(w, "there is more than %llu bytes", (unsigned long long)shared->size);
        model_check_all(w, off, n, w->buf);
        off += n;
    }
    model_result(w, (int64_t)off, (int64_t)shared->size);
    fclose(f);
}

/* A shared mapping by who may write brings all of it into the image: seldom, or nothing would be left. */
static void compare_all(struct worker *w)
{
    map_check_all(w);
    switch (worker_below(w, 8)) {
    case 0:
        if (w->reader || worker_chance(w, 60))
            by_mapping(w);
        else
            by_reading(w);
        break;
    case 1:
    case 2:
        by_stream(w);
        break;
    default:
        by_reading(w);
    }
}

/* Now and then all read by the one description that they share: each byte comes once. */
static bool is_together(void)
{
    return shared->phase % 4 == 3;
}

static void read_together(struct worker *w)
{
    size_t len = 500 + (size_t)worker_below(w, 3000);
    ssize_t n;

    model_note(w, READS, "read of all, together", 0, (size_t)shared->size, 0);
    while ((n = read(shared->common, w->buf, len)) > 0)
        __atomic_add_fetch(&shared->together, (uint64_t)n, __ATOMIC_RELAXED);
    model_result(w, n, 0);
}

/* ---- one worker -------------------------------------------------------------------- */

static void take_range(struct worker *w)
{
    unsigned range = shared->range_of[w->number];

    w->lo = shared->cuts[range];
    w->hi = shared->cuts[range + 1];
    w->tail = range == shared->workers - 1;
}

void phase_run(struct worker *w)
{
    unsigned phases = (unsigned)((shared->ops + shared->phase_ops - 1) / shared->phase_ops);
    uint64_t size;

    w->reader = only_reads(w->number);
    w->fd = open_again(w, 0);
    for (unsigned phase = 0; phase <= phases; phase++) {
        stand_still();
        if (w->number == 0) {
            shared->phase = phase;
            if (phase > 0)
                change_all(w);
            cut_ranges(w);
            shared->together = 0;
            lseek(shared->common, 0, SEEK_SET);
        }
        stand_still();
        map_drop(w, false);
        take_range(w);
        compare_all(w);
        size = shared->size;
        if (is_together() && !w->reader)
            read_together(w);
        stand_still();
        if (is_together() && w->number == 0)
            model_result(w, (int64_t)shared->together, (int64_t)size);
        if (phase < phases)
            worker_run(w, shared->phase_ops / shared->workers);
    }
}
