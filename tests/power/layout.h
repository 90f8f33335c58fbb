/*
 * Which sectors of a file are watched. All, for a small file; for a large one, where only the
 * places at which its bitmap changes pages are of interest, those alone. A watched sector has a
 * slot, counted over the spans.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "power.h"

#define LAYOUT_SPANS 4

struct layout {
    int nspans;
    struct {
        uint64_t off;           /* bytes, a multiple of SECTOR */
        int nslots;
    } spans[LAYOUT_SPANS];
};

/* The slot of the sector at `off`, or -1 if it is not watched. */
static inline int layout_slot(const struct layout *layout, uint64_t off)
{
    int before = 0;

    for (int i = 0; i < layout->nspans; i++) {
        if (off >= layout->spans[i].off
            && off < layout->spans[i].off + (uint64_t)layout->spans[i].nslots * SECTOR)
            return before + (int)((off - layout->spans[i].off) / SECTOR);
        before += layout->spans[i].nslots;
    }
    return -1;
}

static inline uint64_t layout_off(const struct layout *layout, int slot)
{
    int i = 0;

    while (slot >= layout->spans[i].nslots)
        slot -= layout->spans[i++].nslots;
    return layout->spans[i].off + (uint64_t)slot * SECTOR;
}

#endif
