/*
 * Who may have a disk open beside whom. Each claim is a lock that the kernel drops when its
 * holder dies; a refusal is -EBUSY and says which file, why, and who holds it.
 */
#ifndef ACOW_CLAIM_H
#define ACOW_CLAIM_H

#include "addcow.h"

/*
 * On the metadata file: a reader, a writer, or somebody's backing file. Writers and those who
 * use the disk as a backing file exclude each other.
 */
int claim_disk(struct acow_disk *disk, struct acow_msg *msg);

/*
 * A writer whose pending bits nobody else can see: the only one that has the disk open, but for
 * `reader`, a disk of this process with a lock of its own, which is to see them; or NULL.
 */
int claim_alone(struct acow_disk *disk, struct acow_disk *reader, struct acow_msg *msg);

/* That reader, or one that comes while such a writer is there, keeps others from being one. */
int claim_follow(struct acow_disk *disk, struct acow_msg *msg);

/* 1 while there is such a writer. */
int claim_is_alone(struct acow_disk *disk);

/*
 * For DISK_EXCLUSIVE: nobody else has the disk open in any way, nor can open it. Harmless to
 * have claimed before.
 */
int claim_exclusive(struct acow_disk *disk, struct acow_msg *msg);

/*
 * Takes part in this run-time file and no other: -EBUSY if a run-time file that is not `run`
 * is in use for the same disk, which would hide one's pending bits from the other.
 */
int claim_run(struct acow_disk *disk, const struct stat *run, struct acow_msg *msg);
void claim_run_end(struct acow_disk *disk);

/*
 * On the image file: a writer excludes all that come by another metadata file, and those that
 * use it as a raw backing file. The descriptor may be shared over fork.
 */
int claim_image(struct acow_disk *disk, struct acow_msg *msg);

/* Of an open that failed, whose descriptor may not be closed at once. */
void claim_image_end(struct acow_disk *disk);

/*
 * On a raw backing file: it is read, and nobody may write or resize it meanwhile, not QEMU
 * (in the bytes that QEMU uses) nor the writer of a disk whose image file it is.
 */
int claim_raw_backing(struct acow_disk *disk, struct acow_msg *msg);

/* What of that can be told without claiming it: -EBUSY, or 0. */
int claim_raw_look(struct acow_disk *disk, struct acow_msg *msg);

#endif
