/* Bits past the end of a disk, in its metadata file. */
#ifndef ACOW_BEYOND_H
#define ACOW_BEYOND_H

#include "disk.h"

/* How many there are, for a disk of `size` bytes. */
int beyond_count(struct acow_disk *disk, uint64_t size, uint64_t *count);

/*
 * Clears them, durably; *count is how many there were. Nobody else has the disk open, and no
 * bit is pending.
 */
int beyond_clear(struct acow_disk *disk, uint64_t size, uint64_t *count);

#endif
