/*
 * What is on stable storage after the power was cut before some event.
 *
 * What a filesystem promises, and no more, is taken for granted: after fdatasync of a file has
 * returned, the content and the size that it had are there; after one of the directory, its names.
 * Of anything later each piece may be there or not, whatever became of the others: each sector
 * with any content that it had since, each size, each name. (Journaling filesystems keep sizes and
 * names in order among themselves; nothing here relies on it.) A sector of 512 bytes is written
 * whole or not at all.
 *
 * An fdatasync that failed makes nothing durable, and its pages count as clean from then on, as on
 * Linux: a later one does not write them, unless they were written to again. Sizes are not
 * pages: a later one does.
 */
#ifndef STATE_H
#define STATE_H

#include "log.h"

struct file_state {
    uint64_t size;
    const struct content *slots[SLOTS];     /* those behind the end mean nothing */
};

struct state {
    struct file_state inodes[LOG_INODES];
    int names[LOG_NAMES];                   /* inode or -1 */
    bool run_there;
    struct file_state run;
};

/* All that could be after a cut before event `at`. */
struct cut {
    const struct log *log;
    int at;
    int nloose;                             /* events that may be there or not */
    int loose[LOG_EVENTS];
    bool is_loose[LOG_EVENTS];
    int from;                               /* events before it are there for sure … */
    struct state base;                      /* … and have come to this */
    int nruns;                              /* conditions of the run-time file to choose from */
};

void state_cut(struct cut *cut, const struct log *log, int at);

/*
 * The state in which, of the loose events, loose[i] is there where kept[i] is set, and the run-time
 * file is in condition `run`: the first `nruns` are certain ones, others are drawn with `run` as a
 * seed.
 */
void state_build(const struct cut *cut, const bool *kept, unsigned run, struct state *out);

/*
 * The pages that could not be written, and were not written to since, may go from the page cache
 * when nobody has the files open any more: then the machine shows what is on the storage, drawn
 * by the seed.
 */
void state_drop_pages(const struct log *log, uint64_t seed);

/* In words. */
const char *state_run_name(unsigned run);

/* Equal for equal files, and hardly for others. */
uint64_t state_hash(const struct log *log, const struct state *state);

/* The inode that a name leads to, or -1. */
int state_find(const struct log *log, const struct state *state, const char *name);

/* A sector as it shows in a file of this size: cut, or zeros. */
static inline const struct content *state_shown(const struct file_state *file, int slot,
                                                uint64_t off)
{
    if (off + SECTOR <= file->size)
        return file->slots[slot];
    return off < file->size ? content_cut(file->slots[slot], file->size - off) : content_zero;
}

#endif
