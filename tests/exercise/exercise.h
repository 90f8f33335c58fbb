/*
 * Random operations by every way to a file, in several processes and threads at once, and
 * an exact expectation all the same.
 *
 * The file is cut into as many ranges as there are workers (threads). Each worker writes its own
 * range only, so it knows what every byte there must be at any time, whatever the others
 * do. The cuts are at odd offsets: neighbours share sectors, pages, and words of bits. The last
 * range has no end: its worker appends, cuts and extends, down to where its range begins. What is expected
 * is the model: memory that all workers share.
 *
 * Between phases everybody stands still. Then the leader changes the file as a whole, cuts the ranges anew, and
 * every worker compares the whole file. Each worker does the same operations whenever it gets the
 * same seed; how workers meet is by chance.
 */
#ifndef EXERCISE_H
#define EXERCISE_H

#include <linux/aio_abi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WORKERS  24
#define NOTES    2048           /* kept for each worker; a power of two */
#define MAPS     4
#define PIECE    (96u << 10)    /* the longest transfer, bytes */
#define PAGE     4096u

enum note_kind { READS, WRITES, ZEROS, COPIES };

struct note {
    uint64_t when;              /* counts operations; 0: none */
    uint64_t off, len, seed;
    enum note_kind kind;
    char what[28];
};

/* Shared by all, a memfd. */
struct shared {
    uint64_t seed, ops, phase_ops, cap;
    unsigned processes, threads, workers;
    uint32_t families;
    int readers;                /* the last process only reads */
    unsigned direct;            /* O_DIRECT's alignment, bytes; 0: there is none */
    int common;                 /* a descriptor that the first process opened */
    char path[1024];

    uint64_t clock, fallbacks;
    uint64_t size;              /* the file's: changed by the worker of the last range, and the leader */
    uint64_t cuts[WORKERS + 1];
    unsigned range_of[WORKERS];
    unsigned failed, phase;
    volatile unsigned reported; /* and the report is complete */
    uint64_t together;          /* bytes that all have read by one description's offset */
    pthread_barrier_t barrier;
    uint64_t noted[WORKERS];    /* how many operations each has noted */
    struct note notes[WORKERS][NOTES];
    unsigned char model[];      /* cap bytes */
};

struct mapping {
    unsigned char *at;          /* NULL: none */
    size_t len;
    uint64_t off;
    bool writable;
};

struct aio;

struct worker {
    unsigned number;
    bool reader, tail;
    bool child;                 /* made for a few operations: no other threads, no children */
    uint64_t random;
    uint64_t lo, hi;            /* its range; see worker_end */
    int fd, other;              /* descriptors whose offset is its own */
    int plain;                  /* a file that is no disk; -1 until used */
    struct mapping maps[MAPS];
    aio_context_t context;
    unsigned char *buf, *data;  /* PIECE bytes each, and some, page-aligned */
};

extern struct shared *shared;
extern int shared_fd;

/* ---- worker.c: running operations ----------------------------------------- */

void worker_init(struct worker *w, unsigned number);
void worker_run(struct worker *w, uint64_t ops);
void worker_stop(struct worker *w);

static inline uint64_t worker_end(const struct worker *w)
{
    return w->tail ? shared->size : w->hi;
}

uint64_t worker_random(struct worker *w);
uint64_t worker_below(struct worker *w, uint64_t limit);

static inline bool worker_chance(struct worker *w, unsigned in)
{
    return worker_below(w, in) == 0;
}

/* A part of its range, at most `most` bytes, at least one; false: the range is empty. */
bool worker_pick(struct worker *w, size_t most, uint64_t *off, size_t *len);

/* The same, reaching into its neighbours'. Of these bytes it knows nothing, not even if they are there. */
bool worker_pick_wide(struct worker *w, size_t most, uint64_t *off, size_t *len);

/* Whole units of the range, for what must be aligned. */
bool worker_pick_aligned(struct worker *w, size_t unit, size_t most, uint64_t *off, size_t *len);

/* ---- model.c: what must be there ------------------------------------------- */

/* New content for [off, off + len), into `data`; noted as written by `what`. */
void model_make(struct worker *w, const char *what, uint64_t off, size_t len, void *data);

/* It has been written. */
void model_put(uint64_t off, size_t len, const void *data);
void model_zero(uint64_t off, size_t len);
void model_resize(uint64_t size);

void model_note(struct worker *w, enum note_kind kind, const char *what, uint64_t off, size_t len,
                uint64_t seed);

/* `seen` is what was read at `off`: compares what of it the worker knows. */
void model_check(struct worker *w, uint64_t off, size_t len, const void *seen);

/* While everybody stands still. */
void model_check_all(struct worker *w, uint64_t off, size_t len, const void *seen);

/* A call's result must be `want`, else errno says why not. */
void model_result(struct worker *w, int64_t got, int64_t want);

/* So must any read that reaches over the worker's range: short where the file ends, and no shorter. */
void model_result_wide(struct worker *w, int64_t got, uint64_t off, size_t len);

void __attribute__((noreturn, format(printf, 2, 3)))
model_fail(struct worker *w, const char *format, ...);

/* ---- phase.c ---------------------------------------------------------------- */

/* All of a worker's phases. */
void phase_run(struct worker *w);

/* ---- the families, one function each ------------------------------------------ */

int open_again(struct worker *w, int flags);     /* a new description of the file */
int open_any(struct worker *w);                  /* one of the worker's descriptors, or everybody's */

void map_drop(struct worker *w, bool all);       /* else those that later writes may not show in */
void map_check_all(struct worker *w);
void aio_drop(struct worker *w);
void proc_child(int argc, char **argv);          /* exec'ed; does not return */

void rw_run(struct worker *w);
void vec_run(struct worker *w);
void seek_run(struct worker *w);
void direct_run(struct worker *w);
void map_run(struct worker *w);
void stdio_run(struct worker *w);
void aio_run(struct worker *w);
void libaio_run(struct worker *w);
void alloc_run(struct worker *w);
void tail_run(struct worker *w);
void copy_run(struct worker *w);
void sync_run(struct worker *w);
void fd_run(struct worker *w);
void proc_run(struct worker *w);

struct family {
    const char *name;
    void (*run)(struct worker *);
    unsigned weight;
    bool child;                 /* what a forked child may do */
};

extern const struct family families[];
extern const unsigned family_count;

#endif
