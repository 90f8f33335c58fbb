/* Walking through a caller's vector of buffers, in pieces. Pure. */
#ifndef ACOW_IOV_H
#define ACOW_IOV_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct iov_cursor {
    const struct iovec *iov;
    int left;                   /* buffers from iov on */
    size_t skip;                /* bytes of the first that are done with */
};

/* Bytes in all, or -EINVAL as readv(2) has it: a bad count, or more than SSIZE_MAX. */
ssize_t iov_total(const struct iovec *iov, int iovcnt);

/*
 * Moves on by up to `len` bytes, putting the pieces into out[*n …], at most `max`
 * in all; returns the bytes that fitted.
 */
size_t iov_take(struct iov_cursor *cursor, size_t len, struct iovec *out, int *n, int max);

/* Moves on by len bytes. */
void iov_skip(struct iov_cursor *cursor, size_t len);

/* 0, or -EFAULT: some of it cannot be read. A system call for each, so for when something has failed. */
int iov_check(const struct iovec *iov, int iovcnt);

/* Moves on by len bytes, filling them with zeros. Returns 0 or -EFAULT: there is no memory. */
int iov_zero(struct iov_cursor *cursor, size_t len);

/* Drops `done` bytes from the front of an array of pieces, in place. */
void iov_advance(struct iovec **iov, int *iovcnt, size_t done);

#endif
