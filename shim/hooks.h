/*
 * The bodies behind the exported symbols (hooks.def says which symbol has which),
 * and what they have in common.
 *
 * All have one shape: look the descriptor (or path) up; not a disk: the real
 * function, with nothing added; a disk: the ofd or engine call, whose negative
 * errno becomes -1 and errno at the end. errno is not touched by success.
 *
 * Offsets are 64 bits wide here: the shim serves the names with and without "64"
 * by one body where off_t has 64 bits.
 */
#ifndef SHIM_HOOKS_H
#define SHIM_HOOKS_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <threads.h>
#include <wchar.h>

struct aiocb;
struct sigevent;
struct statfs;
struct statvfs;
struct statx;
struct timespec;
struct timeval;
struct utimbuf;

int hook_open(const char *path, int flags, ...);
int hook_open_2(const char *path, int flags);
int hook_openat(int dir, const char *path, int flags, ...);
int hook_openat_2(int dir, const char *path, int flags);
int hook_creat(const char *path, mode_t mode);

struct file_handle;
int hook_open_by_handle_at(int mount, struct file_handle *handle, int flags);

int hook_close(int fd);
int hook_dup(int fd);
int hook_dup2(int from, int to);
int hook_dup3(int from, int to, int flags);
int hook_fcntl(int fd, int cmd, ...);
int hook_close_range(unsigned from, unsigned to, int flags);
void hook_closefrom(int from);
int hook_ioctl(int fd, unsigned long request, ...);

ssize_t hook_read(int fd, void *buf, size_t len);
ssize_t hook_read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t hook_pread(int fd, void *buf, size_t len, int64_t off);
ssize_t hook_pread_chk(int fd, void *buf, size_t len, int64_t off, size_t room);
ssize_t hook_readv(int fd, const struct iovec *iov, int iovcnt);
ssize_t hook_preadv(int fd, const struct iovec *iov, int iovcnt, int64_t off);
ssize_t hook_preadv2(int fd, const struct iovec *iov, int iovcnt, int64_t off, int flags);
ssize_t hook_write(int fd, const void *buf, size_t len);
ssize_t hook_pwrite(int fd, const void *buf, size_t len, int64_t off);
ssize_t hook_writev(int fd, const struct iovec *iov, int iovcnt);
ssize_t hook_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off);
ssize_t hook_pwritev2(int fd, const struct iovec *iov, int iovcnt, int64_t off, int flags);

int64_t hook_lseek(int fd, int64_t off, int whence);
int hook_ftruncate(int fd, int64_t size);
int hook_truncate(const char *path, int64_t size);
int hook_fallocate(int fd, int mode, int64_t off, int64_t len);
int hook_posix_fallocate(int fd, int64_t off, int64_t len);

int hook_fsync(int fd);
int hook_fdatasync(int fd);
int hook_syncfs(int fd);
void hook_sync(void);
int hook_sync_file_range(int fd, int64_t off, int64_t len, unsigned flags);
int hook_posix_fadvise(int fd, int64_t off, int64_t len, int advice);
ssize_t hook_readahead(int fd, int64_t off, size_t len);

int hook_stat(const char *path, struct stat *st);
int hook_lstat(const char *path, struct stat *st);
int hook_fstat(int fd, struct stat *st);
int hook_fstatat(int dir, const char *path, struct stat *st, int flags);
int hook_xstat(int version, const char *path, struct stat *st);
int hook_lxstat(int version, const char *path, struct stat *st);
int hook_fxstat(int version, int fd, struct stat *st);
int hook_fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int hook_statx(int dir, const char *path, int flags, unsigned mask, struct statx *stx);

int hook_fstatfs(int fd, struct statfs *st);
int hook_fstatvfs(int fd, struct statvfs *st);
int hook_fchmod(int fd, mode_t mode);
int hook_fchown(int fd, uid_t uid, gid_t gid);
int hook_futimens(int fd, const struct timespec times[2]);
int hook_futimes(int fd, const struct timeval times[2]);
int hook_utimensat(int dir, const char *path, const struct timespec times[2], int flags);
int hook_utimes(const char *path, const struct timeval times[2]);
int hook_utime(const char *path, const struct utimbuf *times);
int hook_lutimes(const char *path, const struct timeval times[2]);
int hook_futimesat(int dir, const char *path, const struct timeval times[2]);
int hook_fchownat(int dir, const char *path, uid_t uid, gid_t gid, int flags);
int hook_faccessat(int dir, const char *path, int mode, int flags);
long hook_fpathconf(int fd, int name);
ssize_t hook_fgetxattr(int fd, const char *name, void *value, size_t size);
ssize_t hook_flistxattr(int fd, char *list, size_t size);
int hook_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags);
int hook_fremovexattr(int fd, const char *name);

int hook_flock(int fd, int operation);
int hook_lockf(int fd, int cmd, int64_t len);

FILE *hook_fopen(const char *path, const char *mode);
FILE *hook_freopen(const char *path, const char *mode, FILE *stream);
int hook_fclose(FILE *file);
FILE *hook_fdopen(int fd, const char *mode);
FILE *hook_setmntent(const char *path, const char *mode);
int hook_dprintf(int fd, const char *format, ...);
int hook_vdprintf(int fd, const char *format, va_list args);
int hook_dprintf_chk(int fd, int level, const char *format, ...);
int hook_vdprintf_chk(int fd, int level, const char *format, va_list args);

wint_t hook_fgetwc(FILE *file);
wint_t hook_getwchar(void);
wchar_t *hook_fgetws(wchar_t *out, int room, FILE *file);
wchar_t *hook_fgetws_chk(wchar_t *out, size_t size, int room, FILE *file);
wint_t hook_fputwc(wchar_t wc, FILE *file);
wint_t hook_putwchar(wchar_t wc);
int hook_fputws(const wchar_t *text, FILE *file);
wint_t hook_ungetwc(wint_t wc, FILE *file);
int hook_fwide(FILE *file, int mode);
int hook_fwprintf(FILE *file, const wchar_t *format, ...);
int hook_vfwprintf(FILE *file, const wchar_t *format, va_list args);
int hook_wprintf(const wchar_t *format, ...);
int hook_vwprintf(const wchar_t *format, va_list args);
int hook_fwprintf_chk(FILE *file, int level, const wchar_t *format, ...);
int hook_vfwprintf_chk(FILE *file, int level, const wchar_t *format, va_list args);
int hook_wprintf_chk(int level, const wchar_t *format, ...);
int hook_vwprintf_chk(int level, const wchar_t *format, va_list args);
int hook_fwscanf(FILE *file, const wchar_t *format, ...);
int hook_vfwscanf(FILE *file, const wchar_t *format, va_list args);
int hook_wscanf(const wchar_t *format, ...);
int hook_vwscanf(const wchar_t *format, va_list args);
int hook_fwscanf_c99(FILE *file, const wchar_t *format, ...);
int hook_vfwscanf_c99(FILE *file, const wchar_t *format, va_list args);
int hook_wscanf_c99(const wchar_t *format, ...);
int hook_vwscanf_c99(const wchar_t *format, va_list args);

ssize_t hook_copy_file_range(int in, int64_t *in_off, int out, int64_t *out_off, size_t len,
                             unsigned flags);
ssize_t hook_sendfile(int out, int in, int64_t *off, size_t len);
ssize_t hook_splice(int in, int64_t *in_off, int out, int64_t *out_off, size_t len, unsigned flags);
ssize_t hook_tee(int in, int out, size_t len, unsigned flags);

void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, int64_t off);

int hook_munmap(void *addr, size_t len);
void *hook_mremap(void *addr, size_t len, size_t new_len, int flags, ...);
int hook_msync(void *addr, size_t len, int flags);
int hook_remap_file_pages(void *addr, size_t len, int prot, size_t page, int flags);

int hook_aio_read(struct aiocb *cb);
int hook_aio_write(struct aiocb *cb);
int hook_aio_fsync(int op, struct aiocb *cb);
int hook_aio_suspend(const struct aiocb *const list[], int count, const struct timespec *timeout);
int hook_aio_cancel(int fd, struct aiocb *cb);
int hook_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *sig);

struct iocb;
int hook_io_submit(void *context, long count, struct iocb **list);

struct io_uring;
struct io_uring_cqe;
struct io_uring_params;
struct io_uring_sync_cancel_reg;
struct __kernel_timespec;
int hook_ring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int hook_ring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int hook_ring_queue_init_mem(unsigned entries, struct io_uring *ring, struct io_uring_params *p,
                             void *memory, size_t size);
int hook_ring_queue_mmap(int fd, struct io_uring_params *p, struct io_uring *ring);
void hook_ring_queue_exit(struct io_uring *ring);
int hook_ring_close_ring_fd(struct io_uring *ring);
int hook_ring_submit(struct io_uring *ring);
int hook_ring_submit_and_wait(struct io_uring *ring, unsigned count);
int hook_ring_submit_and_get_events(struct io_uring *ring);
int hook_ring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                      struct __kernel_timespec *timeout, void *mask);
int hook_ring_submit_and_wait_min_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                          unsigned count, struct __kernel_timespec *timeout,
                                          unsigned min, void *mask);
int hook_ring_submit_and_wait_reg(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned count,
                                  int index);
int hook_ring_register_files(struct io_uring *ring, const int *files, unsigned count);
int hook_ring_register_files_tags(struct io_uring *ring, const int *files, const uint64_t *tags,
                                  unsigned count);
int hook_ring_register_files_update(struct io_uring *ring, unsigned from, const int *files,
                                    unsigned count);
int hook_ring_register_files_update_tag(struct io_uring *ring, unsigned from, const int *files,
                                        const uint64_t *tags, unsigned count);
int hook_ring_unregister_files(struct io_uring *ring);
int hook_ring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *reg);
int hook_ring_setup(unsigned entries, struct io_uring_params *p);
int hook_ring_enter(unsigned fd, unsigned count, unsigned wait, unsigned flags, void *mask);
int hook_ring_enter2(unsigned fd, unsigned count, unsigned wait, unsigned flags, void *arg,
                     size_t size);
int hook_ring_register(unsigned fd, unsigned op, const void *arg, unsigned count);

struct FTW;
struct _ftsent;
typedef int hook_ftw_visit(const char *path, const struct stat *st, int type);
typedef int hook_nftw_visit(const char *path, const struct stat *st, int type, struct FTW *at);
int hook_ftw(const char *path, hook_ftw_visit *visit, int fds);
int hook_nftw(const char *path, hook_nftw_visit *visit, int fds, int flags);
struct _ftsent *hook_fts_read(void *walk);
struct _ftsent *hook_fts_children(void *walk, int options);

int hook_utmpname(const char *path);
void hook_updwtmp(const char *path, const void *record);

void *hook_dlopen(const char *file, int mode);
void *hook_dlmopen(long space, const char *file, int mode);

long hook_syscall(long number, ...);

int hook_sigaction(int signal, const struct sigaction *new, struct sigaction *old);
sighandler_t hook_signal(int signal, sighandler_t handler);
sighandler_t hook_sysv_signal(int signal, sighandler_t handler);
int hook_sigprocmask(int how, const sigset_t *set, sigset_t *old);
int hook_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int hook_sigsuspend(const sigset_t *set);
int hook_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*begin)(void *),
                        void *arg);
int hook_thrd_create(thrd_t *thread, thrd_start_t begin, void *arg);

void hook_exit(int status) __attribute__((noreturn));
void hook_quick_exit(int status) __attribute__((noreturn));
int hook_execve(const char *path, char *const argv[], char *const envp[]);
int hook_execv(const char *path, char *const argv[]);
int hook_execvp(const char *file, char *const argv[]);
int hook_execvpe(const char *file, char *const argv[], char *const envp[]);
int hook_execl(const char *path, const char *arg, ...);
int hook_execlp(const char *file, const char *arg, ...);
int hook_execle(const char *path, const char *arg, ...);
int hook_fexecve(int fd, char *const argv[], char *const envp[]);
int hook_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags);
int hook_daemon(int keep_directory, int keep_streams);
struct termios;
struct winsize;
int hook_login_tty(int fd);
int hook_forkpty(int *master, char *name, const struct termios *termios, const struct winsize *size);
int hook_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes,
                     char *const argv[], char *const envp[]);
int hook_posix_spawnp(pid_t *pid, const char *file, const void *actions, const void *attributes,
                      char *const argv[], char *const envp[]);
int hook_actions_init(void *actions);
int hook_actions_destroy(void *actions);
int hook_addopen(void *actions, int fd, const char *path, int flags, mode_t mode);
int hook_addclose(void *actions, int fd);
int hook_adddup2(void *actions, int fd, int to);
int hook_addchdir(void *actions, const char *path);
int hook_addfchdir(void *actions, int fd);
int hook_addclosefrom(void *actions, int from);
int hook_addtcsetpgrp(void *actions, int fd);

struct msghdr;
struct mmsghdr;
ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags);
int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags);
ssize_t hook_recvmsg(int fd, struct msghdr *msg, int flags);
int hook_recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout);
int hook_pidfd_getfd(int pidfd, int target, unsigned flags);
/* Takes over the disks that came with a message. */
void hook_socket_received(const struct msghdr *msg);

#endif
