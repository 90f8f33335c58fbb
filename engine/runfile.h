/* The run-time file as such; attach.c is who takes part in it. */
#ifndef ACOW_RUNFILE_H
#define ACOW_RUNFILE_H

#include "region.h"

/* -EPERM: not a regular file with one name, or somebody else's. */
int runfile_check_trust(struct acow_disk *disk, const struct stat *st, struct acow_msg *msg);

/* True if the head is one's at all. */
bool runfile_is_region(const struct region *region);

/* True if the head tells of nothing that cannot be, nor of more than the file, of st's size, has. */
bool runfile_is_whole(struct region *region, const struct stat *st);

/*
 * What the head of the run-time file fd is. 1: a region of this boot and of these files; 0: nothing to keep. -EBUSY: of
 * another version or architecture; -ESTALE: of other files; -EIO: damaged.
 * `alive`: its locks and generation are to be used as they are.
 */
int runfile_judge(struct acow_disk *disk, int fd, struct region *region, bool alive,
                  struct acow_msg *msg);

/* Maps the head of what run_fd is. */
int runfile_map_head(struct acow_disk *disk, int prot, struct region **out);

/* Makes the empty file that run_fd is into a region, for a disk of `size` bytes. */
int runfile_make(struct acow_disk *disk, struct region **out, uint64_t size, struct acow_msg *msg);

/* Nobody is alive in it: whatever its locks say, their holders are dead. */
int runfile_take_over(struct acow_disk *disk, struct region *region, uint64_t size,
                      struct acow_msg *msg);

/* Others are: room for what this one brings (a writer, the metadata file's length). */
int runfile_join_live(struct acow_disk *disk, struct region *region, struct acow_msg *msg);

/* This process among the holders that messages name. */
void runfile_sign_in(struct acow_disk *disk, struct region *region);
void runfile_sign_out(struct acow_disk *disk, struct region *region);

#endif
