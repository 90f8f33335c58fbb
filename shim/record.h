/* Record locks of programs, as fcntl(2) has them. */
#ifndef SHIM_RECORD_H
#define SHIM_RECORD_H

#include "ofd.h"

struct flock;

/*
 * `cmd` is F_SETLK, F_SETLKW, F_GETLK or F_OFD_ of these. As on a flat file, but for
 * -EOVERFLOW where the range begins at ACOW_LOCK_FIRST or later.
 */
int record_lock(struct ofd *ofd, int cmd, struct flock *fl);

/* The program closes a descriptor, which drops this process's record locks on the file. */
void record_drop(struct ofd *ofd);

#endif
