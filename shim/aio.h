/* POSIX AIO on disks: requests, and the threads that do them. See aio.c. */
#ifndef SHIM_AIO_H
#define SHIM_AIO_H

#include <aio.h>
#include <stdbool.h>

struct ofd;
struct aio_group;

/*
 * Begins a request; `op` is LIO_READ, LIO_WRITE, O_SYNC or O_DSYNC (which are different numbers).
 * `ofd` is given back when it is done; NULL: the descriptor is no disk. `group` may be NULL. 0,
 * or -EINVAL or -EAGAIN, which are the request's result too.
 */
int aio_begin(struct ofd *ofd, struct aiocb *cb, int op, struct aio_group *group);

/*
 * Requests of one lio_listio. aio_group_end says that all of them have begun; with `wait` it
 * returns when all are done: 0, -EIO if one failed, or -EINTR. NULL: no memory.
 */
struct aio_group *aio_group_new(const struct sigevent *sig);
int aio_group_end(struct aio_group *group, bool wait);

/* True if any request is under way. */
bool aio_any(void);

/* As aio_suspend(3), but -ESRCH if none of the list is ours. */
int aio_wait(const struct aiocb *const list[], int count, const struct timespec *timeout);

/* As aio_cancel(3), of requests of ours: AIO_ALLDONE if there are none. */
int aio_call_off(int fd, const struct aiocb *cb);

/*
 * Before the disks are given up: waits for what is being done on them, and begins nothing more; what
 * then still waits is lost if the process ends, as in libc. aio_resume goes on.
 */
void aio_hold(void);
void aio_resume(void);

/* In the child of a fork: it has no requests. */
void aio_after_fork(void);

#endif
