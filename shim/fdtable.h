/*
 * From descriptor numbers to ofds: a flat array, one load to say "not a disk".
 */
#ifndef SHIM_FDTABLE_H
#define SHIM_FDTABLE_H

#include "hot.h"
#include "ofd.h"

static inline bool fdtable_is_disk(int fd)
{
    return (unsigned)fd < FD_LIMIT && __atomic_load_n(&hot.slots[fd], __ATOMIC_RELAXED);
}

struct ofd *fdtable_get_slow(int fd);

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
    ofd = __atomic_load_n(&hot.slots[fd], __ATOMIC_ACQUIRE);
    if (__builtin_expect(!ofd, 1))
        return NULL;
    if (*hot.single_threaded && __builtin_expect(!hot.shadowed, 1)) {
        ofd->refs++;
        return ofd;
    }
    return fdtable_get_slow(fd);
}

static inline void fdtable_put(struct ofd *ofd)
{
    if (*hot.single_threaded && ofd->refs > 1)
        ofd->refs--;
    else
        ofd_unref(ofd);
}

/*
 * To begin a hook with that is called often: what is no disk's goes on from here, before
 * the compiler has a reason to save registers for the rest.
 */
#define PASS(symbol, fd, ...) \
    do { \
        if (__builtin_expect(!fdtable_is_disk(fd) && hot.real.symbol, 1)) \
            return hot.real.symbol(fd, __VA_ARGS__); \
    } while (0)

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
