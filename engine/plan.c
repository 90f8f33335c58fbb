/*
 * From bits (sectors) to runs (bytes). A run ends where the bit changes, where
 * the backing file ends, or where the range does.
 */
#include "plan.h"

#include "format.h"

void plan_make(struct plan *plan, const struct bits *bits, uint64_t backing_size,
               uint64_t off, size_t len)
{
    uint64_t at = off, end = off + len;

    plan->off = off;
    plan->nruns = 0;
    while (at < end && plan->nruns < PLAN_RUNS) {
        struct plan_run *run = &plan->runs[plan->nruns];
        uint64_t sector = at / ACOW_SECTOR;
        uint64_t stop;
        bool set;

        stop = (sector + bits_run(bits, sector, format_sectors(end) - sector, &set)) * ACOW_SECTOR;
        if (stop > end)
            stop = end;
        if (set) {
            run->source = PLAN_IMAGE;
        } else if (at >= backing_size) {
            run->source = PLAN_ZERO;
        } else {
            run->source = PLAN_BACKING;
            if (stop > backing_size)
                stop = backing_size;
        }
        run->len = stop - at;
        at = stop;
        plan->nruns++;
    }
    plan->len = at - off;
}
