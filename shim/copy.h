/*
 * Moving bytes between a disk and something else, as sendfile, splice and copy_file_range do.
 * Where they go and come from is given, and the file offsets are left alone: that is
 * for the hooks. Returns the bytes moved, or a negative errno if there were none.
 *
 * The caller is within process_enter, once. While a call waits, it is not, and then a thread that is
 * cancelled gives the one ofd back that there is.
 */
#ifndef SHIM_COPY_H
#define SHIM_COPY_H

#include "ofd.h"

/* The kernel's limit on one transfer. */
#define COPY_MAX 0x7ffff000u

/* One side: a disk, or with ofd NULL another descriptor. */
struct copy_end {
    int fd;
    struct ofd *ofd;
    int64_t off;
};

/* To anything that is no disk: what sendfile(2) would do there. */
ssize_t copy_send(struct ofd *in, int64_t off, int out, size_t len);

/* To and from a pipe: as splice(2) with its flags. `cancel`: waiting is a cancellation point. */
ssize_t copy_to_pipe(struct ofd *in, int64_t off, int out, size_t len, unsigned flags, bool cancel);
ssize_t copy_from_pipe(int in, struct ofd *out, int64_t off, size_t len, unsigned flags);

/*
 * Between a disk and a file, or two disks. `sends`: it goes on after a write that fell short, as sendfile
 * does, which brings SIGXFSZ.
 */
ssize_t copy_range(const struct copy_end *in, const struct copy_end *out, size_t len, bool sends);

#endif
