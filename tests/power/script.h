/*
 * What the engine is to do, as data and as text:
 *
 *   4096/6000 chain: write 512+1024, flush, during 2 b.write 0+100, b.flush, truncate 1500
 *
 * A disk of 4096 bytes over 6000; then operations of two processes, the second's marked `b.`, one
 * after another. `during N` puts one into the next one, before the Nth step of that one's flush.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "power.h"

#define SCRIPT_OPS 32
#define SCRIPT_TEXT 2048

enum does {
    DOES_WRITE,             /* off+len */
    DOES_APPEND,            /* len */
    DOES_TRUNCATE,          /* off */
    DOES_PUNCH,             /* off+len */
    DOES_ZERO,              /* off+len; the size stays */
    DOES_ZERO_GROW,         /* off+len */
    DOES_COPY_UP,           /* off+len */
    DOES_RESERVE,           /* off+len */
    DOES_FLUSH,
    DOES_CLOSE,             /* another operation opens the disk again */
    DOES_REOPEN,            /* both close it */
    DOES_KILL,              /* the process; its next operation is that of another */
    DOES_FAIL_IMAGE,        /* the next fdatasync of the image fails */
    DOES_FAIL_META,
    DOES_CREATE,            /* a new disk in this one's place, or where there is none */
    DOES_CUT,               /* the power is cut; off is the seed of what that leaves */
    DOES_COUNT,
};

struct op {
    enum does does;
    int process;            /* 0, or 1 for b */
    int during;             /* 0: on its own */
    uint64_t off, len;
};

struct script {
    uint64_t size, backing; /* bytes; without a backing file 0 */
    bool chain;             /* the backing file is a disk */
    bool through;           /* opened with ACOW_WRITETHROUGH */
    bool alone;             /* no run-time file can be made */
    bool fresh;             /* there is no disk yet */
    int nops;
    struct op ops[SCRIPT_OPS];
};

/* Ends the process if the text makes no sense. */
void script_parse(struct script *script, const char *text);
void script_print(const struct script *script, char out[SCRIPT_TEXT]);

#endif
