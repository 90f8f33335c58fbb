/*
 * The one seam between the engine and the machine.
 *
 * The engine makes every system call through a table of this type and through
 * nothing else. The shim fills it with the libc functions behind its own hooks
 * (so that the engine can never re-enter a hook), the tool with plain libc, and
 * the tests with tables that count, fail, or cut the power.
 *
 * Every entry returns a value >= 0, or a negative errno. Offsets and lengths are
 * bytes. Entries are called without any engine lock that the entry could need,
 * from any thread, and need not be async-signal-safe beyond what the system call
 * itself is.
 */
#ifndef ACOW_SYS_H
#define ACOW_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct flock;

struct acow_sys {
    int (*open)(const char *path, int flags, unsigned mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *buf, size_t len, int64_t off);
    ssize_t (*preadv)(int fd, const struct iovec *iov, int iovcnt, int64_t off);
    ssize_t (*pwrite)(int fd, const void *buf, size_t len, int64_t off);
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int iovcnt, int64_t off);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, int64_t len);
    int (*fallocate)(int fd, int mode, int64_t off, int64_t len);
    int64_t (*lseek)(int fd, int64_t off, int whence);
    int (*fstat)(int fd, struct stat *st);
    int (*stat)(const char *path, struct stat *st);
    /* When the file was made, nanoseconds since 1970; 0 where its filesystem does not know. */
    int (*birth)(int fd, int64_t *out);
    int (*fchmod)(int fd, unsigned mode);
    int (*fchown)(int fd, unsigned uid, unsigned gid);
    /* F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK */
    int (*lock)(int fd, int cmd, struct flock *fl);
    /* An anonymous file in memory, close-on-exec. */
    int (*memfd)(const char *name);
    int (*unlink)(const char *path);
    int (*link)(const char *from, const char *to);
    int (*rename)(const char *from, const char *to);
    /* The absolute path without symbolic links, into out[4096]. */
    int (*realpath)(const char *path, char *out);
    /*
     * Calls each(arg, name) for the entries of a directory, but "." and "..", until one
     * returns other than 0, and returns that; 0 at the end.
     */
    int (*list)(const char *dir, int (*each)(void *arg, const char *name), void *arg);
    int (*mmap)(size_t len, int prot, int flags, int fd, int64_t off, void **out);
    int (*munmap)(void *addr, size_t len);
    /*
     * A line for the user about something that no return value can tell.
     * May be NULL.
     */
    void (*log)(const char *line);
};

#endif
