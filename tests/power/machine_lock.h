/* Open file description locks of one inode. */
#ifndef MACHINE_LOCK_H
#define MACHINE_LOCK_H

#include <fcntl.h>

#include "power.h"

#define MACHINE_LOCKS 64

struct machine_locks {
    int count;
    struct machine_lock {
        const void *holder;
        int type;
        int64_t from, end;
    } held[MACHINE_LOCKS];
};

/* F_OFD_SETLK, F_OFD_SETLKW and F_OFD_GETLK, as fcntl(2) has them; one that would wait is fatal. */
int machine_lock(struct machine_locks *locks, const void *holder, int cmd, struct flock *fl);

/* The holder is gone. */
void machine_unlock_all(struct machine_locks *locks, const void *holder);

#endif
