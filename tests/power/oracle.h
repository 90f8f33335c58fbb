/*
 * What a disk may show after the power was cut (I1, I4, I5, and the sizes).
 *
 * It knows each content that each sector has had, and between which events of the log the
 * operation ran that gave it that. A sector may show what it held when the last flush began that
 * returned 0 before the cut, or anything that an operation has given it since; an operation that
 * was under way counts. The same holds for the disk's size; while a write makes the disk larger it
 * may have any size on the way. A sector behind the end holds zeros.
 *
 * What a disk shows is found by a decoder of the format that shares nothing with the engine.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "state.h"

/* A disk as it reads. */
struct flat {
    uint64_t size;
    const struct content *slots[SLOTS];
};

/* No disk; all begins again. `below` is what unallocated sectors read as. */
void oracle_reset(const struct layout *layout, const struct content *const below[SLOTS]);

/* There is a disk with this image, and it is safe: on stable storage as `flat`. */
void oracle_safe_disk(const char *image, const struct flat *flat);

/* The power was cut, and what was last judged is what was left: the disk is safe as `flat`. */
void oracle_restart(const struct flat *flat);

/* The disk as it is to be now; NULL: there is none. */
const struct flat *oracle_now(void);

/* ---- what happens -------------------------------------------------------- */

/* An operation begins; returns its number. Ended, it is over at the log's event `at`. */
int oracle_begin(int at);
void oracle_end(int op, int at);

void oracle_write(int op, uint64_t off, const void *bytes, uint64_t len);
void oracle_zero(int op, uint64_t off, uint64_t len);
/* The disk gets another size; on the way there it may have any from `low` on. */
void oracle_size(int op, uint64_t size, uint64_t low);
void oracle_create(int op, const char *image, const struct flat *flat);

/* What operations that were over by event `from` did is safe in cuts at `at` and later (I4). */
void oracle_claim(int from, int at);
void oracle_claim_disk(int at);

/*
 * The disk was read as `flat`. Where what an operation did is not known (`unsure`), a sector
 * may be as it once was since the last flush, and that is taken note of.
 */
void oracle_seen(int op, const struct flat *flat, bool unsure);

/* The disk is opened again after a sync of its image failed: what was not safe then is not made
 * so by a later flush. */
void oracle_taint(void);

/* ---- what may be seen ---------------------------------------------------- */

void oracle_cut(int at);

/* True if a claim begins to hold at this cut. */
bool oracle_new_claim(int at);

/*
 * Whether the state may be, after the cut last told; if not, that is a breach. *there tells if
 * there is a disk, and *flat gets what it shows.
 */
bool oracle_judge(const struct log *log, const struct state *state, bool *there, struct flat *flat);

#endif
