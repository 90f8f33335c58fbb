/*
 * Descriptors that the program does not know of: the engine's, and the image
 * descriptor of each ofd. They are close-on-exec and lie at the upper end of the
 * usual range, so that the program's own numbers come out as they would without us.
 */
#ifndef SHIM_HIDDEN_H
#define SHIM_HIDDEN_H

#include <stdbool.h>

#include "hot.h"

#define HIDDEN_USED 1
#define HIDDEN_PARKED 2

/* True for a number that is ours and not the program's. */
static inline bool hidden_is(int fd)
{
    return (unsigned)fd < FD_LIMIT && __atomic_load_n(&hot.hidden[fd], __ATOMIC_RELAXED);
}

/* Moves fd out of the program's way; returns the new number, or fd itself if there is no room.
 * A negative fd is returned as it is. */
int hidden_move(int fd);

/*
 * Raises the limit of descriptors for a moment, for one of ours where the program has used up all that it
 * may have; hidden_lower must follow. False if that is not allowed. Holds a lock.
 */
bool hidden_raise(void);
void hidden_lower(void);

/* In the child of a fork. */
void hidden_after_fork(void);

/* One that came by exec is ours too. */
void hidden_mark(int fd);

/* Closes one of ours. */
int hidden_close(int fd);

/*
 * open(2) with the number out of the program's way from the start, where none may be moved and closed; marked.
 * Costs a call for each number that is free below.
 */
int hidden_open(const char *path, int flags, unsigned mode);

/* One that is only there because it must not be closed yet. */
void hidden_park(int fd);

static inline bool hidden_is_parked(int fd)
{
    return hidden_is(fd) && __atomic_load_n(&hot.hidden[fd], __ATOMIC_RELAXED) == HIDDEN_PARKED;
}

/* The lowest one at or above fd, or FD_LIMIT. */
int hidden_next(int fd);

#endif
