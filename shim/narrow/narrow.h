/*
 * 32-bit programs. Their names without "64" have an off_t, and with it a struct stat, flock, and
 * so on, of 32 bits; those with "64" have what all bodies of the shim have, which is
 * compiled with _FILE_OFFSET_BITS=64 there. So the bodies in this folder, for the NARROW rows of hooks.def,
 * go by the others and then say what does not fit: EOVERFLOW, as libc and the kernel do on a flat file.
 * The files are compiled without _FILE_OFFSET_BITS. A third set of names has 64-bit times
 * (time64.def).
 *
 * That a descriptor was opened without O_LARGEFILE belongs to its description, and ofd*.c sees to it.
 */
#ifndef SHIM_NARROW_H
#define SHIM_NARROW_H

#include "../hooks.h"

int hook_narrow_open(const char *path, int flags, ...);
int hook_narrow_open_2(const char *path, int flags);
int hook_narrow_openat(int dir, const char *path, int flags, ...);
int hook_narrow_openat_2(int dir, const char *path, int flags);
int hook_narrow_creat(const char *path, mode_t mode);
/* Above 0 in a thread while one of these, or of stdio's, makes use of a wide body. */
extern __thread int narrow_opening;

int hook_narrow_fcntl(int fd, int cmd, ...);
int hook_narrow_lockf(int fd, int cmd, int32_t len);

ssize_t hook_narrow_pread(int fd, void *buf, size_t len, int32_t off);
ssize_t hook_narrow_pread_chk(int fd, void *buf, size_t len, int32_t off, size_t room);
ssize_t hook_narrow_preadv(int fd, const struct iovec *iov, int iovcnt, int32_t off);
ssize_t hook_narrow_preadv2(int fd, const struct iovec *iov, int iovcnt, int32_t off, int flags);
ssize_t hook_narrow_pwrite(int fd, const void *buf, size_t len, int32_t off);
ssize_t hook_narrow_pwritev(int fd, const struct iovec *iov, int iovcnt, int32_t off);
ssize_t hook_narrow_pwritev2(int fd, const struct iovec *iov, int iovcnt, int32_t off, int flags);

int32_t hook_narrow_lseek(int fd, int32_t off, int whence);
int hook_narrow_ftruncate(int fd, int32_t size);
int hook_narrow_truncate(const char *path, int32_t size);
int hook_narrow_fallocate(int fd, int mode, int32_t off, int32_t len);
int hook_narrow_posix_fallocate(int fd, int32_t off, int32_t len);
int hook_narrow_posix_fadvise(int fd, int32_t off, int32_t len, int advice);
ssize_t hook_narrow_sendfile(int out, int in, int32_t *off, size_t len);
void *hook_narrow_mmap(void *addr, size_t len, int prot, int flags, int fd, int32_t off);

int hook_narrow_stat(const char *path, struct stat *st);
int hook_narrow_lstat(const char *path, struct stat *st);
int hook_narrow_fstat(int fd, struct stat *st);
int hook_narrow_fstatat(int dir, const char *path, struct stat *st, int flags);
int hook_narrow_xstat(int version, const char *path, struct stat *st);
int hook_narrow_lxstat(int version, const char *path, struct stat *st);
int hook_narrow_fxstat(int version, int fd, struct stat *st);
int hook_narrow_fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int hook_narrow_fstatfs(int fd, struct statfs *st);
int hook_narrow_fstatvfs(int fd, struct statvfs *st);
int hook_narrow_ftw(const char *path, hook_ftw_visit *visit, int fds);
int hook_narrow_nftw(const char *path, hook_nftw_visit *visit, int fds, int flags);
struct _ftsent *hook_narrow_fts_read(void *walk);
struct _ftsent *hook_narrow_fts_children(void *walk, int options);

FILE *hook_narrow_fopen(const char *path, const char *mode);
FILE *hook_narrow_freopen(const char *path, const char *mode, FILE *stream);

int hook_narrow_aio_read(struct aiocb *cb);
int hook_narrow_aio_write(struct aiocb *cb);
int hook_narrow_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *sig);

int hook_time64_stat(const char *path, struct stat *st);
int hook_time64_lstat(const char *path, struct stat *st);
int hook_time64_fstat(int fd, struct stat *st);
int hook_time64_fstatat(int dir, const char *path, struct stat *st, int flags);
int hook_time64_ftw(const char *path, hook_ftw_visit *visit, int fds);
int hook_time64_nftw(const char *path, hook_nftw_visit *visit, int fds, int flags);
struct _ftsent *hook_time64_fts_read(void *walk);
struct _ftsent *hook_time64_fts_children(void *walk, int options);

/* As the kernel has a time of 64 bits for all: struct timespec of programs with a 64-bit time_t. */
struct time64 {
    int64_t sec;
    int32_t nsec, pad;
};

/* Their struct timeval. */
struct timeval64 {
    int64_t sec, usec;
};

int hook_time64_futimens(int fd, const struct time64 times[2]);
int hook_time64_utimensat(int dir, const char *path, const struct time64 times[2], int flags);
int hook_time64_utimes(const char *path, const struct timeval64 times[2]);
int hook_time64_lutimes(const char *path, const struct timeval64 times[2]);
int hook_time64_futimes(int fd, const struct timeval64 times[2]);
int hook_time64_futimesat(int dir, const char *path, const struct timeval64 times[2]);
int hook_time64_utime(const char *path, const int64_t times[2]);
ssize_t hook_time64_recvmsg(int fd, struct msghdr *msg, int flags);
int hook_time64_recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct time64 *timeout);
int hook_time64_aio_suspend(const struct aiocb *const list[], int count, const struct time64 *timeout);

#endif
