/* The processes that are killed. */
#ifndef WORKER_H
#define WORKER_H

#include "ledger.h"

/*
 * Works at `seat` of the ledger until it is told to end. If also >= 0, it forks when it has
 * opened the disk, and the child works at that seat through the same description.
 */
int worker(struct ledger *ledger, const char *disk, int seat, int also);

const char *worker_op_name(int op);

/* True if a thread stands still, as it was told. */
bool worker_holds(int op);

/* The seat is about to be taken. */
void worker_begins(struct seat *seat);

#endif
