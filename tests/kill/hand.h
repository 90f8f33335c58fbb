/*
 * One thread of a worker: what it has, and its ways to choose, write and read cells. A call
 * that does not do what it would on a flat file is noted as a failure.
 */
#ifndef HAND_H
#define HAND_H

#include <sys/types.h>

#include "ledger.h"

struct me {
    struct ledger *ledger;
    const char *disk;
    struct hand *hand;
    uint32_t owner;
    struct rnd rnd;
    int fd;
    uint32_t stops;             /* the ledger's, when the operation began */
    bool gave_up;
    uint32_t first, end;        /* cells that the operation is to change */
    bool shared;                /* fd belongs to other threads too */
    char who[48];
    struct sight sight;
    uint8_t buf[TRANSFER + 64];
};

/*
 * Notes that a call had a result that it should not have; a negative one: with errno. But it may
 * give up (ETIMEDOUT) while a worker is stopped, with all, some or nothing done.
 */
void hand_failed(struct me *me, const char *call, uint64_t off, size_t len, int64_t result);

/* What it is about to do, for the watchdog. */
void hand_note(struct me *me, uint64_t off, uint64_t len);

/* A run within cells [*first, *first + *count), most often short. */
void hand_pick_within(struct me *me, uint32_t *first, uint32_t *count);
/* A run of its own cells; false if it has none. */
bool hand_pick(struct me *me, uint32_t *first, uint32_t *count);

/* What is done to cells [first, end): a new version is intended, and then there, or refused. */
uint32_t hand_version(struct me *me, bool zeros);
void hand_intend(struct me *me, uint32_t first, uint32_t end, uint32_t version);
void hand_acknowledge(struct me *me, uint32_t first, uint32_t end);
void hand_withdraw(struct me *me, uint32_t first, uint32_t end);

/* pwrite and pread, or other calls that do the same. */
ssize_t hand_write(struct me *me, uint8_t *buf, size_t len, uint64_t off);
ssize_t hand_read(struct me *me, uint8_t *buf, size_t len, uint64_t off);

/* A new version of all these cells in one call. */
void hand_write_cells(struct me *me, uint32_t first, uint32_t count);

/* The disk once more, or -1 and a failure. */
int hand_open(struct me *me, int flags);

/* ---- the tail (tail.c) ------------------------------------------------------ */

/* Does something to it that its owner, or in a wild ledger everybody, may do. */
void tail_do(struct me *me);

#endif
