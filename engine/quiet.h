/*
 * Changes to the engine's own files that raise no SIGXFSZ. A file larger than RLIMIT_FSIZE
 * allows is the program's affair where it is the image, as it would be with a flat file; of the
 * metadata and the run-time file it knows nothing, and must get -EFBIG instead of
 * being killed. The signal is meant for the thread that makes the call, so to block it there
 * and to take it is enough.
 */
#ifndef ACOW_QUIET_H
#define ACOW_QUIET_H

#include "sys.h"

int quiet_ftruncate(const struct acow_sys *sys, int fd, int64_t len);
int quiet_fallocate(const struct acow_sys *sys, int fd, int mode, int64_t off, int64_t len);
ssize_t quiet_pwrite(const struct acow_sys *sys, int fd, const void *buf, size_t len, int64_t off);

#endif
