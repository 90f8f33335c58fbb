/* Looking at a disk's run-time state without taking part in it. */
#ifndef ACOW_LOOK_H
#define ACOW_LOOK_H

#include <stdbool.h>

#include "addcow.h"

/* `watch`: a run-time file may appear later, and must be seen then (region_appeared). */
int look_begin(struct acow_disk *disk, bool watch, struct acow_msg *msg);

/*
 * Nobody else has the disk open, and `why` keeps this one from making a run-time file or taking one
 * over: so none may be there that has writes of a program that was killed.
 */
int look_left_over(struct acow_disk *disk, int why, struct acow_msg *msg);

#endif
