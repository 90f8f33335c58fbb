/*
 * Mapping a disk run by run, for who may not change it: each run of whole pages from the file
 * that holds it, and copies of those pages that are in several.
 */
#ifndef SHIM_MAP_FILL_H
#define SHIM_MAP_FILL_H

#include <stddef.h>
#include <stdint.h>

#include "addcow.h"

#define MAP_PAGE ((uint64_t)4096)

static inline uint64_t map_page_up(uint64_t off)
{
    return (off + MAP_PAGE - 1) / MAP_PAGE * MAP_PAGE;
}

/*
 * [at, at + len) is a mapping of the image, from `off` of the disk on: puts other pages over it
 * where the disk's content is elsewhere. `prot` and `flags` are mmap's. 0 or a negative errno.
 */
int map_fill(struct acow_disk *disk, char *at, size_t len, uint64_t off, int prot, int flags);

/*
 * Moves pages to another place, over what is there, however many mappings they are.
 * When it fails, everything is where it was.
 */
int map_move(char *from, char *to, size_t len);

#endif
