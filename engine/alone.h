/*
 * The run-time state of a writer that cannot make a run-time file. All that this process
 * and its children by fork have open of the disk uses it; who else there is, is locked
 * out (claim.h). Unlike a run-time file it cannot be found by name, so it is kept
 * until the writer's close, and a reader of the same process is given it.
 */
#ifndef ACOW_ALONE_H
#define ACOW_ALONE_H

#include "addcow.h"

/* Makes the region, in memory, and takes part in it. */
int alone_make(struct acow_disk *disk, struct acow_msg *msg);

/*
 * From now on `reader` sees what `writer`, which has such a region, has pending. The locks of
 * both are held. On failure `reader` is as it was, or takes part in nothing.
 */
int alone_follow(struct acow_disk *reader, const struct acow_disk *writer);

/* Such a region, if `disk` follows one, has no writer any more: all that follow it begin anew. */
void alone_unfollow(struct acow_disk *disk);

#endif
