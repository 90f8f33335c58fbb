/* Looking at cells through a descriptor: a disk's, or that of a plain file. */
#ifndef LOOK_H
#define LOOK_H

#include "ledger.h"

/* The writer of these cells is dead; a disk of `size` bytes. Notes what they are. */
int look_resolve(struct ledger *ledger, int fd, uint32_t first, uint32_t count, uint64_t size,
                 const char *who);

/* The tail's writer is dead: its size and content. */
int look_tail(struct ledger *ledger, int fd, const char *who);

/* All of the disk: as resolve_* if quiet, or while others write. */
int look(struct ledger *ledger, int fd, bool quiet, const char *who);

#endif
