/* The end of asynchronous requests; for aio.c and aio_done.c alone. */
#ifndef SHIM_AIO_DONE_H
#define SHIM_AIO_DONE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "aio.h"

/* A request is in no lane any more, and its result is set: tells whoever is to know. */
void aio_done(const struct sigevent *sig, struct aio_group *group, bool failed);

/* One request more, and one less. */
void aio_group_join(struct aio_group *group);
void aio_group_leave(struct aio_group *group, bool failed);

/* How many are done, to be asked before one looks at any. */
uint32_t aio_done_seen(void);

/* Until more is done than `seen`, or a signal comes (-EINTR), or the time is over. A cancellation point. */
int aio_done_sleep(uint32_t seen, const struct timespec *timeout);

#endif
