/*
 * From descriptor numbers to ofds: a flat array, one load to say "not a disk".
 */
#ifndef SHIM_FDTABLE_H
#define SHIM_FDTABLE_H

#include <sys/single_threaded.h>

#include "hidden.h"
#include "ofd.h"

extern struct ofd *fdtable_slots[FD_LIMIT];

static inline bool fdtable_is_disk(int fd)
{
    return (unsigned)fd < FD_LIMIT && __atomic_load_n(&fdtable_slots[fd], __ATOMIC_RELAXED);
}

struct ofd *fdtable_get_slow(int fd);

/* Not 0: a child of vfork may have changed the meaning of a number for itself. */
extern int fdtable_shadowed;

/* In the child of a vfork: this number is something else here. The table, its parent's, is left alone. */
void fdtable_shadow(int fd);

/*
 * The ofd of a descriptor, held until fdtable_put, or NULL. While there is one
 * thread the count need not be atomic: a signal handler's use is over before the
 * interrupted one goes on.
 */
static inline struct ofd *fdtable_get(int fd)
{
    struct ofd *ofd;

    if ((unsigned)fd >= FD_LIMIT)
        return NULL;
    ofd = __atomic_load_n(&fdtable_slots[fd], __ATOMIC_ACQUIRE);
    if (__builtin_expect(!ofd, 1))
        return NULL;
    if (__libc_single_threaded && __builtin_expect(!fdtable_shadowed, 1)) {
        ofd->refs++;
        return ofd;
    }
    return fdtable_get_slow(fd);
}

static inline void fdtable_put(struct ofd *ofd)
{
    if (__libc_single_threaded && ofd->refs > 1)
        ofd->refs--;
    else
        ofd_unref(ofd);
}

/* Puts an ofd into the slot of a number that has just come into being. Takes over one reference. */
void fdtable_set(int fd, struct ofd *ofd);

/* The same, but returns what was in it, with its reference, or NULL. */
struct ofd *fdtable_swap(int fd, struct ofd *ofd);

/* Empties the slot; returns what was in it, with its reference, or NULL. */
struct ofd *fdtable_take(int fd);

/* The number has just been given to something that is no disk: a slot left over
 * from a descriptor closed behind our back is emptied. */
void fdtable_drop_stale(int fd);

static inline void fdtable_is_other(int fd)
{
    if (__builtin_expect(fd >= 0 && fdtable_is_disk(fd), 0))
        fdtable_drop_stale(fd);
}

/* ofd_bequeath for every disk that an exec or spawn passes on, and ofd_bequeath_end. */
void fdtable_bequeath(bool spawn);
void fdtable_bequeath_end(void);

/* The lowest slot in use at or above fd, or FD_LIMIT. */
int fdtable_next(int fd);

#endif
