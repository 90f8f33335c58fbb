/*
 * Where the bytes of a range are: a snapshot of the bits as a list of runs. Pure.
 *
 * A snapshot, because the bits may change while the range is being read: one
 * sector must not be skipped by both of the reads that make up a mixed range.
 */
#ifndef ACOW_PLAN_H
#define ACOW_PLAN_H

#include "bitmap.h"

enum plan_source { PLAN_ZERO, PLAN_IMAGE, PLAN_BACKING };

struct plan_run {
    size_t len;                 /* bytes */
    enum plan_source source;
};

#define PLAN_RUNS 128

struct plan {
    uint64_t off;
    size_t len;                 /* what the runs add up to */
    int nruns;
    struct plan_run runs[PLAN_RUNS];
};

/*
 * Fills `plan` with the runs of [off, off + len), as many as fit; neighbours
 * differ in source. Sectors that are not allocated are zeros from `backing_size`
 * bytes on. len > 0.
 */
void plan_make(struct plan *plan, const struct bits *bits, uint64_t backing_size,
               uint64_t off, size_t len);

#endif
