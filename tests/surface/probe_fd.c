/* Functions on a descriptor. */
#include <aio.h>
#include <dirent.h>
#include <execinfo.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sgtty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <termios.h>
#include <utmp.h>

#include "probe.h"

/* ---- sockets ----------------------------------------------------------- */

static struct sockaddr_in in;
static struct sockaddr *const address = (struct sockaddr *)&in;
static socklen_t in_len = sizeof(in);
static struct iovec iov = { buf, 100 };
static struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
static struct mmsghdr mmsg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
static const struct in_addr group;
static uint32_t mode, count;

extern ssize_t __recv_chk(int, void *, size_t, size_t, int);
extern ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
extern ssize_t __send(int, const void *, size_t, int);
extern int __connect(int, const struct sockaddr *, socklen_t);
extern int bindresvport(int, struct sockaddr_in *);

CALL(accept, "", accept(fd, NULL, NULL))
CALL(accept4, "", accept4(fd, NULL, NULL, 0))
CALL(bind, "", bind(fd, address, in_len))
CALL(bindresvport, "", bindresvport(fd, NULL))
CALL(listen, "", listen(fd, 1))
CALL(connect, "", connect(fd, address, in_len))
CALL(__connect, "", __connect(fd, address, in_len))
CALL(getpeername, "", getpeername(fd, address, &in_len))
CALL(getsockname, "", getsockname(fd, address, &in_len))
CALL(getsockopt, "", getsockopt(fd, SOL_SOCKET, SO_TYPE, &mode, &in_len))
CALL(setsockopt, "", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &mode, sizeof(mode)))
CALL(recv, "", recv(fd, buf, 100, 0))
CALL(__recv_chk, "", __recv_chk(fd, buf, 100, sizeof(buf), 0))
CALL(recvfrom, "", recvfrom(fd, buf, 100, 0, NULL, NULL))
CALL(__recvfrom_chk, "", __recvfrom_chk(fd, buf, 100, sizeof(buf), 0, NULL, NULL))
CALL(recvmsg, "", recvmsg(fd, &msg, 0))
CALL(recvmmsg, "", recvmmsg(fd, &mmsg, 1, 0, NULL))
CALL(send, "", send(fd, buf, 100, 0))
CALL(__send, "", __send(fd, buf, 100, 0))
CALL(sendto, "", sendto(fd, buf, 100, 0, address, in_len))
CALL(sendmsg, "", sendmsg(fd, &msg, 0))
CALL(sendmmsg, "", sendmmsg(fd, &mmsg, 1, 0))
CALL(shutdown, "", shutdown(fd, SHUT_RDWR))
CALL(sockatmark, "", sockatmark(fd))
CALL(isfdtype, "file", isfdtype(fd, S_IFREG))
CALL(isfdtype, "socket", isfdtype(fd, S_IFSOCK))
CALL(getipv4sourcefilter, "", getipv4sourcefilter(fd, group, group, &mode, &count, NULL))
CALL(setipv4sourcefilter, "", setipv4sourcefilter(fd, group, group, 0, 0, NULL))
CALL(getsourcefilter, "", getsourcefilter(fd, 1, address, in_len, &mode, &count, NULL))
CALL(setsourcefilter, "", setsourcefilter(fd, 1, address, in_len, 0, 0, NULL))

/* Sends fd over a socket; returns what comes out at the other end. */
static int passed(void)
{
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = {
        .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
    char byte = 'x';
    struct iovec one = { &byte, 1 };
    struct msghdr with = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = &control,
                           .msg_controllen = sizeof(control) };
    int pair[2];

    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || sendmsg(pair[0], &with, 0) != 1)
        return -1;
    memset(&control, 0, sizeof(control));
    if (recvmsg(pair[1], &with, 0) != 1)
        return -1;
    return *(int *)(void *)CMSG_DATA(&control.header);
}

CALL(recvmsg, "rights", show_bytes(passed(), 0))
CALL(recvmsg, "rights-size", ({ struct stat st; fstat(passed(), &st); st.st_size; }))

/* ---- waiting ----------------------------------------------------------- */

static struct pollfd ready = { .events = POLLIN | POLLOUT };
static fd_set reads, writes;
static struct timeval at_once;
static const struct timespec at_once_ns;
static struct epoll_event event = { .events = EPOLLIN };

extern int __poll(struct pollfd *, nfds_t, int);
extern int __poll_chk(struct pollfd *, nfds_t, int, size_t);
extern int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);
extern int __select(int, fd_set *, fd_set *, fd_set *, struct timeval *);

static struct pollfd *polled(void)
{
    ready.fd = fd;
    return &ready;
}

static fd_set *set(fd_set *which)
{
    FD_SET(fd, which);
    return which;
}

#define SHOW_READY(call) ({ int n = call; show("revents %#x", ready.revents); n; })

CALL(poll, "", SHOW_READY(poll(polled(), 1, 0)))
CALL(__poll, "", SHOW_READY(__poll(polled(), 1, 0)))
CALL(__poll_chk, "", SHOW_READY(__poll_chk(polled(), 1, 0, sizeof(ready))))
CALL(ppoll, "", SHOW_READY(ppoll(polled(), 1, &at_once_ns, NULL)))
CALL(__ppoll_chk, "", SHOW_READY(__ppoll_chk(polled(), 1, &at_once_ns, NULL, sizeof(ready))))
CALL(select, "", select(fd + 1, set(&reads), set(&writes), NULL, &at_once))
CALL(__select, "", __select(fd + 1, set(&reads), set(&writes), NULL, &at_once))
CALL(pselect, "", pselect(fd + 1, set(&reads), set(&writes), NULL, &at_once_ns, NULL))
CALL(epoll_ctl, "watched", epoll_ctl(epoll_create(1), EPOLL_CTL_ADD, fd, &event))
CALL(epoll_ctl, "watching", epoll_ctl(fd, EPOLL_CTL_ADD, 1, &event))
CALL(epoll_wait, "", epoll_wait(fd, &event, 1, 0))
CALL(epoll_pwait, "", epoll_pwait(fd, &event, 1, 0, NULL))
CALL(epoll_pwait2, "", epoll_pwait2(fd, &event, 1, &at_once_ns, NULL))

/* ---- terminals --------------------------------------------------------- */

static struct termios tty;
static char name[64];

extern int __ttyname_r_chk(int, char *, size_t, size_t);
extern int __ptsname_r_chk(int, char *, size_t, size_t);

CALL(isatty, "", isatty(fd))
CALL(ttyname, "", PTR(ttyname(fd)))
CALL(ttyname_r, "", ttyname_r(fd, name, sizeof(name)))
CALL(__ttyname_r_chk, "", __ttyname_r_chk(fd, name, sizeof(name), sizeof(name)))
CALL(ptsname, "", PTR(ptsname(fd)))
CALL(ptsname_r, "", ptsname_r(fd, name, sizeof(name)))
CALL(__ptsname_r_chk, "", __ptsname_r_chk(fd, name, sizeof(name), sizeof(name)))
CALL(grantpt, "", grantpt(fd))
CALL(unlockpt, "", unlockpt(fd))
CALL(tcdrain, "", tcdrain(fd))
CALL(tcflow, "", tcflow(fd, TCOON))
CALL(tcflush, "", tcflush(fd, TCIOFLUSH))
CALL(tcgetattr, "", tcgetattr(fd, &tty))
CALL(tcsetattr, "", tcsetattr(fd, TCSANOW, &tty))
CALL(tcgetpgrp, "", tcgetpgrp(fd))
CALL(tcsetpgrp, "", tcsetpgrp(fd, 1))
CALL(tcgetsid, "", tcgetsid(fd))
CALL(tcsendbreak, "", tcsendbreak(fd, 0))
CALL(login_tty, "", login_tty(fd))
CALL(gtty, "", gtty(fd, NULL))
CALL(stty, "", stty(fd, NULL))

/* ---- descriptors of other kinds ---------------------------------------- */

static eventfd_t eight;
static struct itimerspec timer;
static struct mq_attr attr;
static unsigned priority;
static sigset_t signals;

CALL(eventfd_read, "", eventfd_read(fd, &eight))
CALL(eventfd_write, "", eventfd_write(fd, 1))
CALL(timerfd_gettime, "", timerfd_gettime(fd, &timer))
CALL(timerfd_settime, "", timerfd_settime(fd, 0, &timer, NULL))
CALL(signalfd, "", ({ sigemptyset(&signals); signalfd(fd, &signals, 0); }))
CALL(inotify_add_watch, "on-disk", inotify_add_watch(fd, path, IN_MODIFY))
CALL(inotify_rm_watch, "", inotify_rm_watch(fd, 1))
CALL(fanotify_mark, "", fanotify_mark(fd, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, path))
CALL(mq_getattr, "", mq_getattr(fd, &attr))
CALL(mq_setattr, "", mq_setattr(fd, &attr, NULL))
CALL(mq_notify, "", mq_notify(fd, NULL))
CALL(mq_receive, "", mq_receive(fd, buf, sizeof(buf), &priority))
CALL(mq_timedreceive, "", mq_timedreceive(fd, buf, sizeof(buf), &priority, &at_once_ns))
CALL(mq_send, "", mq_send(fd, buf, 10, 0))
CALL(mq_timedsend, "", mq_timedsend(fd, buf, 10, 0, &at_once_ns))
CALL(mq_close, "", ({ int copy = dup(fd), r = mq_close(copy); show_bytes(copy, 0); r; }))
CALL(pidfd_send_signal, "", pidfd_send_signal(fd, 0, NULL, 0))
CALL(pidfd_getfd, "from-disk", pidfd_getfd(fd, 0, 0))
CALL(pidfd_getfd, "copy", ({
    int made = pidfd_getfd(pidfd_open(getpid(), 0), fd, 0);
    if (made < 0)
        skip("pidfd_getfd is not allowed here");
    show_bytes(made, 0); }))
CALL(process_madvise, "", process_madvise(fd, &iov, 1, MADV_COLD, 0))
CALL(process_mrelease, "", process_mrelease(fd, 0))
CALL(setns, "", setns(fd, 0))
CALL(fsconfig, "", fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 0))
CALL(fsmount, "", fsmount(fd, 0, 0))
CALL(vmsplice, "", vmsplice(fd, &iov, 1, 0))

/* ---- within the kernel ------------------------------------------------- */

static int other(void)
{
    return open("copy", O_RDWR);
}

static int pipe_end(int end)
{
    static int ends[2];

    if (!ends[1] && (pipe(ends) < 0 || write(ends[1], "in the pipe", 11) != 11))
        skip("no pipe");
    return ends[end];
}

CALL(copy_file_range, "from", copy_file_range(fd, NULL, other(), NULL, 100, 0))
CALL(copy_file_range, "to", copy_file_range(other(), NULL, fd, NULL, 100, 0))
CALL(sendfile, "from", sendfile(other(), fd, NULL, 100))
CALL(sendfile64, "from", sendfile64(other(), fd, NULL, 100))
CALL(splice, "from", splice(fd, NULL, pipe_end(1), NULL, 100, 0))
CALL(splice, "to", splice(pipe_end(0), NULL, fd, NULL, 100, 0))
CALL(tee, "", tee(fd, pipe_end(1), 100, 0))
CALL(mmap, "private", PTR(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED))
CALL(mmap, "shared", PTR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED))
CALL(mmap64, "private", PTR(mmap64(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED))
CALL(ioctl, "clone", ioctl(other(), FICLONE, fd))
CALL(ioctl, "clone-to", ioctl(fd, FICLONE, other()))

/* ---- directories ------------------------------------------------------- */

static off_t base;
static off64_t base64;

CALL(fchdir, "", fchdir(fd))
CALL(fdopendir, "", PTR(fdopendir(fd)))
CALL(getdents64, "", getdents64(fd, buf, sizeof(buf)))
CALL(getdirentries, "", getdirentries(fd, buf, sizeof(buf), &base))
CALL(getdirentries64, "", getdirentries64(fd, buf, sizeof(buf), &base64))

/* ---- text straight to a descriptor ------------------------------------- */

extern int __dprintf_chk(int, int, const char *, ...);
extern int __vdprintf_chk(int, int, const char *, va_list);
extern void __backtrace_symbols_fd(void *const *, int, int);

static int with_args(int checked, ...)
{
    va_list args;
    int n;

    va_start(args, checked);
    n = checked ? __vdprintf_chk(fd, 1, "%d", args) : vdprintf(fd, "%d", args);
    va_end(args);
    return n;
}

static void *frames[1] = { (void *)with_args };

CALL(dprintf, "", dprintf(fd, "text %d", 1))
CALL(__dprintf_chk, "", __dprintf_chk(fd, 1, "text %d", 1))
CALL(vdprintf, "", with_args(0, 1))
CALL(__vdprintf_chk, "", with_args(1, 1))
CALL(backtrace_symbols_fd, "", (backtrace_symbols_fd(frames, 1, fd), errno ? -1 : 0))
CALL(__backtrace_symbols_fd, "", (__backtrace_symbols_fd(frames, 1, fd), errno ? -1 : 0))

/* ---- attributes -------------------------------------------------------- */

static const struct timeval year_2001[2] = { { 1000000000, 0 }, { 1000000000, 0 } };

#define SHOW_TIME(call) ({ \
    int r_ = call; struct stat st_; \
    fstat(fd, &st_); show("mtime is 2001: %d", st_.st_mtime == 1000000000); r_; })

CALL(futimesat, "fd", SHOW_TIME(futimesat(fd, NULL, year_2001)))
CALL(fpathconf, "name", fpathconf(fd, _PC_NAME_MAX))
CALL(fpathconf, "link", fpathconf(fd, _PC_LINK_MAX))
CALL(fpathconf, "bits", fpathconf(fd, _PC_FILESIZEBITS))
CALL(fpathconf, "symlinks", fpathconf(fd, _PC_2_SYMLINKS))
CALL(fpathconf, "align", fpathconf(fd, _PC_REC_XFER_ALIGN))
CALL(fpathconf, "alloc", fpathconf(fd, _PC_ALLOC_SIZE_MIN))
CALL(fpathconf, "chown", fpathconf(fd, _PC_CHOWN_RESTRICTED))
CALL(fpathconf, "pipe", fpathconf(fd, _PC_PIPE_BUF))
CALL(fpathconf, "async", fpathconf(fd, _PC_ASYNC_IO))
CALL(fpathconf, "sync", fpathconf(fd, _PC_SYNC_IO))

/* ---- only for old binaries --------------------------------------------- */

typedef int (*fd_int_fn)(int, ...);
typedef long (*seek_fn)(int, long, int);

extern int fchflags(int, unsigned long);

CALL(fchflags, "", fchflags(fd, 0))
/* Bound as in an old binary: a look-up by dlvsym would pass a preloaded library by. */
__asm__(".symver old_llseek, llseek@GLIBC_2.2.5");
off64_t old_llseek(int fd, off64_t off, int whence);
CALL(llseek, "", ({
    long at = old_llseek(fd, 16, SEEK_SET);
    char text[17] = "";
    read(fd, text, 16);
    show("then read: %s", text);
    at; }))
CALL(fattach, "", OLD(fd_int_fn, "fattach", "GLIBC_2.2.5")(fd, path))
CALL(isastream, "", OLD(fd_int_fn, "isastream", "GLIBC_2.2.5")(fd))
CALL(getmsg, "", OLD(fd_int_fn, "getmsg", "GLIBC_2.2.5")(fd, NULL, NULL, NULL))
CALL(getpmsg, "", OLD(fd_int_fn, "getpmsg", "GLIBC_2.2.5")(fd, NULL, NULL, NULL, NULL))
CALL(putmsg, "", OLD(fd_int_fn, "putmsg", "GLIBC_2.2.5")(fd, NULL, NULL, 0))
CALL(putpmsg, "", OLD(fd_int_fn, "putpmsg", "GLIBC_2.2.5")(fd, NULL, NULL, 0, 0))

/* ---- system calls by number -------------------------------------------- */

/* Whose bytes come out of a pipe that has got the number of a disk that was closed. */
static long reused(void)
{
    char text[17] = "";
    int pair[2];
    long n;

    syscall(SYS_close, fd);
    if (pipe(pair) < 0 || write(pair[1], "from the pipe...", 16) != 16)
        return -2;
    n = read(pair[0], text, 16);
    show("read %s", text);
    return n;
}

/* What a file opened by number reads as. */
static long opened(void)
{
    long made = syscall(SYS_openat, AT_FDCWD, path, O_RDWR);

    return made < 0 ? -1 : show_bytes((int)made, 0);
}

CALL(syscall, "read", syscall(SYS_read, fd, buf, 100))
CALL(syscall, "pread", syscall(SYS_pread64, fd, buf, 100, 0))
CALL(syscall, "readv", syscall(SYS_readv, fd, &iov, 1))
CALL(syscall, "preadv", syscall(SYS_preadv, fd, &iov, 1, 0, 0))
CALL(syscall, "write", syscall(SYS_write, fd, buf, 100))
CALL(syscall, "pwrite", syscall(SYS_pwrite64, fd, buf, 100, 0))
CALL(syscall, "writev", syscall(SYS_writev, fd, &iov, 1))
CALL(syscall, "copy", syscall(SYS_copy_file_range, fd, NULL, other(), NULL, 100, 0))
CALL(syscall, "sendfile", syscall(SYS_sendfile, other(), fd, NULL, 100))
CALL(syscall, "mmap", PTR(syscall(SYS_mmap, NULL, 4096, 1, 2, fd, 0) != -1))
CALL(syscall, "truncate", syscall(SYS_ftruncate, fd, 0))
CALL(syscall, "fallocate", syscall(SYS_fallocate, fd, 0, 0, 100000))
CALL(syscall, "flock", syscall(SYS_flock, fd, 2))
CALL(syscall, "lock", ({
    struct flock all = { .l_type = F_WRLCK };
    syscall(SYS_fcntl, fd, F_SETLK, &all); }))
CALL(syscall, "close", reused())
CALL(syscall, "dup", show_bytes((int)syscall(SYS_dup, fd), 0))
CALL(syscall, "lseek", ({ syscall(SYS_lseek, fd, 16, 0); 0; }))
PATH(syscall, "open", opened())
PATH(syscall, "stat", ({
    struct stat st = { .st_size = 0 };
    syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0);
    st.st_size; }))
CALL(syscall, "fstat", ({
    struct stat by_fd = { .st_size = 0 }, by_path;
    syscall(SYS_fstat, fd, &by_fd);
    stat(path, &by_path);
    show("size %ld", (long)by_fd.st_size);
    by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino; }))
