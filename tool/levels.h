/*
 * An open disk and everything below it, top first, with the paths that people
 * are shown.
 */
#ifndef TOOL_LEVELS_H
#define TOOL_LEVELS_H

#include "addcow.h"

struct level {
    char *filename;             /* the metadata file, or the raw backing file */
    uint64_t size;              /* virtual size, bytes */
    uint64_t actual_size;       /* bytes that its files take on the filesystem */
    struct acow_disk *disk;     /* NULL: the raw backing file; then nothing follows here */
    struct acow_facts facts;
    char *image;                /* actual path */
    char *backing;              /* actual path; NULL if there is no backing file */
};

struct levels {
    int nlevels;
    struct level level[ACOW_CHAIN_MAX + 1];
};

/*
 * `path` as the user typed it. Errors: -ENOMEM, and what fstat and acow_size
 * return. The disks stay the caller's; levels_free is needed in any case.
 */
int levels_load(struct levels *levels, struct acow_disk *disk, const char *path);
void levels_free(struct levels *levels);

#endif
