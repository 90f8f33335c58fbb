/*
 * Waiting for a lock of the run-time state. A killed holder's lock is handed on by the kernel; a
 * stopped one's is not, and a process is most likely stopped where it spends its time, at the
 * end of a write, with the lock of a stripe held. It may be continued, and then goes on from
 * there, so the lock cannot be taken from it; but nobody waits for it without end.
 */
#ifndef ACOW_WAIT_H
#define ACOW_WAIT_H

#include <stdbool.h>

#include "addcow.h"
#include "mutex.h"

/* How long to wait for a process that stays stopped. Milliseconds; for tests to set. */
extern unsigned wait_patience;

/*
 * As pthread_mutex_lock, but -ETIMEDOUT if its holder is stopped, of which a line is logged; and -EDEADLK if it
 * is this thread: then a signal handler has come upon it. `holding` says that the thread has such a
 * lock at all, since the number of a thread may be another's in another container.
 */
int wait_mutex(struct acow_disk *disk, shared_mutex *lock, bool holding);

/* The attach lock of disk->run_fd. 0, -ETIMEDOUT as above, or what the lock says. */
int wait_attach(struct acow_disk *disk);

#endif
