/*
 * What every byte of the disk must be, in memory that the workers share with the test. A
 * worker may be killed at any point, so it notes what it is about to do before each
 * call, and that it is done after it.
 *
 * The disk is cut into cells. A cell crosses no border of sectors, but many share one, so
 * that neighbours meet in the same sectors. One thread at a time may write a cell; it
 * writes whole cells, several in one call. A cell's `acked` version is the last that was
 * acknowledged, `intent` the one that is under way if that is another. When its writer has
 * been killed a cell is either of the two, whole: which one is looked at, noted, and may
 * not change any more.
 *
 * The cells from `fixed_cells` on are the tail, where the disk grows and shrinks. It has one
 * owner; or, in a wild ledger, it is everybody's, and nothing is promised but that each byte
 * is zero or what somebody wrote there, never what the backing file has there, nor what
 * was there before.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR 512u
#define SEATS 4                     /* worker processes at a time */
#define HANDS 3                     /* threads in each */
#define OWNERS (SEATS * HANDS)
#define TAIL_OWNER 0
#define PLOTS_MAX 16384
#define TRANSFER (256u << 10)       /* bytes in one call, at most */
#define RUN_MAX 2048                /* cells in one call, at most */
#define IDLE_MAX 12

/* An even version is zeros; an odd one, bytes that depend on it and on their offset. */
enum {
    VERSION_ZERO = 0,
    VERSION_BASE = 1,               /* the backing file */
    VERSION_WILD = 3,               /* whatever is written in a wild tail */
    VERSION_LEFT_OVER = 5,          /* the image, where nothing was written */
    VERSION_FIRST = 16,             /* the first that is written */
};

struct cell {
    uint32_t off;                   /* it ends where the next begins */
    uint32_t acked, intent;         /* atomic */
};

/* Neighbouring cells of one owner. */
struct plot {
    uint32_t first, count;
};

/* A thread of a worker, for the watchdog. */
struct hand {
    int tid;
    int doing;                      /* see worker_op_name */
    uint64_t off, len;
    uint64_t steps;
};

/* The one that this thread is, in a worker. */
extern __thread struct hand *this_hand;

struct seat {
    int pid;                        /* 0: none */
    struct hand hands[HANDS];
};

struct ledger {
    uint64_t seed, map_len;
    int test;                       /* the process that will be there to the end */
    bool wild;
    uint64_t base_size;
    uint32_t ncells;                /* cells[ncells].off is as far as the disk may grow */
    uint32_t fixed_cells;
    uint32_t nplots, first_plot[OWNERS + 1];

    /* Atomic from here on. */
    uint64_t size_acked, size_intent;   /* of the disk, if its tail has an owner */
    uint32_t next_version;
    uint64_t ops, writes;
    bool end;                       /* workers are to end */
    uint32_t stops;                 /* odd: a worker is stopped, and may hold a lock */
    uint64_t timeouts;              /* calls that gave up because of that */
    bool hold;                      /* workers are to stand still between two operations */
    bool over;                      /* idle children are to end */
    uint32_t idle;                  /* so many were begun */
    int idle_pids[IDLE_MAX];
    bool failed;
    char failure[1024];
    struct seat seats[SEATS];

    struct plot plots[PLOTS_MAX];   /* by owner */
    struct cell cells[];
};

#define get(where) __atomic_load_n(&(where), __ATOMIC_SEQ_CST)
#define set(where, value) __atomic_store_n(&(where), value, __ATOMIC_SEQ_CST)
#define add(where, value) __atomic_fetch_add(&(where), value, __ATOMIC_SEQ_CST)

struct rnd {
    uint64_t state;
};

uint64_t rnd_next(struct rnd *rnd);
uint64_t rnd_below(struct rnd *rnd, uint64_t limit);
bool rnd_percent(struct rnd *rnd, unsigned percent);
/* Below limit, of each magnitude equally often. */
uint64_t rnd_scale(struct rnd *rnd, uint64_t limit);

/* The disk has about `fixed` bytes and grows by up to `tail`; its backing file has about `base`. */
struct ledger *ledger_make(const char *path, uint64_t seed, uint32_t fixed, uint32_t tail,
                           uint32_t base, bool wild);
struct ledger *ledger_open(const char *path);
void ledger_close(struct ledger *ledger);

/* Where cells begin; `cell` may be ncells. */
static inline uint64_t cell_off(const struct ledger *ledger, uint32_t cell)
{
    return ledger->cells[cell].off;
}

/* The first cell at or behind `off`. */
uint32_t cell_at(const struct ledger *ledger, uint64_t off);

/* The bytes at `off` in that version. */
void fill(void *buf, uint64_t off, size_t len, uint32_t version);

/* A call has given up (ETIMEDOUT), and may be made again: that is no hang. */
void gave_up(struct ledger *ledger);

/* Notes a failure, if it is the first. Returns -1. */
int fail(struct ledger *ledger, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Cells as they are seen while others write: begun before they are read, ended with what
 * was read. Those that were being written meanwhile are let pass.
 */
struct sight {
    uint32_t first, count;          /* at most RUN_MAX */
    uint32_t versions[RUN_MAX];
};

void sight_begin(struct ledger *ledger, struct sight *sight, uint32_t first, uint32_t count);
int sight_end(struct ledger *ledger, const struct sight *sight, const uint8_t *data,
              const char *who);

/*
 * Cells whose writer is dead. `data` is what was read, and short if the disk ends there. Each
 * must be its acknowledged version or the one that was under way, and is noted as what it is.
 */
int resolve(struct ledger *ledger, uint32_t first, uint32_t count, const uint8_t *data, size_t len,
            const char *who);

/* The same of the disk's size, if the tail has an owner. */
int resolve_size(struct ledger *ledger, uint64_t size, const char *who);

int check_wild(struct ledger *ledger, uint64_t off, const uint8_t *data, size_t len,
               const char *who);

#endif
