/*
 * The disks that this process has open: one engine disk for each metadata file and
 * access (read-only or writable), shared by all ofds on it. The two of one file know of
 * each other (acow_open_beside).
 */
#ifndef SHIM_DISKS_H
#define SHIM_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "addcow.h"

struct disk {
    struct acow_disk *engine;
    bool writable;
    uint64_t dev, ino;          /* of the metadata file */
    int refs;
    struct disk *next;
};

/*
 * Opens the disk, or takes one that is open. If `dev` is not 0, the file must
 * still be that one (-ESTALE). Returns 0 or what acow_open does, said to the user.
 */
int disks_get(const char *path, bool writable, uint64_t dev, uint64_t ino, struct disk **out);

/* One more reference to one that is held already. */
void disks_ref(struct disk *disk);

/* The one for writing of the same file, if this process has it open, with a reference; else NULL. */
struct disk *disks_writer(struct disk *disk);

/* Gives one back; the last one's closing may flush, and its result is returned. */
int disks_put(struct disk *disk);

/* The engine's descriptor of that metadata file, or -1: this process does not have the disk open. */
int disks_meta_fd(uint64_t dev, uint64_t ino);

/* For all: acow_flush, acow_park, acow_after_fork, and the summary of ADDCOW_STATS. */
void disks_flush(void);
void disks_park(void);
void disks_after_fork(void);

/* Around a fork, in both processes: no thread opens, closes or attaches a disk meanwhile. */
void disks_before_fork(void);
void disks_let_fork(void);

#endif
