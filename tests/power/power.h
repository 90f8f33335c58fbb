/*
 * What all parts of the power-cut checker share. It runs the engine on a machine that is
 * simulated in memory (machine), writes down what reaches its files (log), makes every state
 * that a power cut could have left (state), has the engine recover each (recover), and knows
 * what each may show (oracle). A script says what the engine is to do.
 */
#ifndef POWER_H
#define POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR 512u

/* Sectors of a file that are watched: see layout.h. */
#define SLOTS 64

/* The disk under test, and its run-time file. */
#define POWER_DISK "d.add-cow"
#define POWER_RUN POWER_DISK ".run"

/* A good hash of a word. */
static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    return mix(rng->state += 0x9e3779b97f4a7c15ull);
}

static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return rng_next(rng) % limit;
}

static inline bool rng_percent(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

/* Bytes that depend on the tag and their offset, and are never zero. */
void pattern(void *buf, uint64_t off, uint64_t len, unsigned tag);

/* Keeps the memory of a killed process, which nobody frees, in the sight of leak checkers. */
void bury(void *memory);

/* The checker itself is in trouble, or a script makes no sense. Ends the process. */
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Something that must always hold does not. The first is kept until it is forgotten. */
void breach(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *breach_found(void);     /* NULL: none */
void breach_forget(void);

#endif
