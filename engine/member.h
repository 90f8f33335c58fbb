/* Taking part in the run-time file that all who have the disk open share. */
#ifndef ACOW_MEMBER_H
#define ACOW_MEMBER_H

#include <stdbool.h>

#include "addcow.h"

/*
 * Makes the run-time file, joins those who use it, or takes over what a killed program left in it.
 * *denied, when that fails: this process may not have one.
 */
int member_join(struct acow_disk *disk, bool *denied, struct acow_msg *msg);

/* Ends it. The last one flushes and removes the file; returns what that flush returned. */
int member_leave(struct acow_disk *disk);

#endif
