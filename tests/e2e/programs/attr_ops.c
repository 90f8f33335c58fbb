/*
 * What else one can ask of a descriptor, or tell it: waiting, attributes, leases, advice, ioctls.
 * `attr_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include "ops.h"

static void do_wait(const char *path)
{
    const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR | O_NONBLOCK };
    struct timespec now = { 0 };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        int fd = must_open(path, modes[i]), ep = epoll_create1(0);
        struct pollfd fds[3] = { { fd, POLLIN | POLLOUT | POLLPRI, 0 }, { fd, 0, 0 },
                                 { 500, POLLIN, 0 } };
        struct epoll_event event = { .events = EPOLLIN };
        fd_set in, out, bad;

        printf("poll %d:", poll(fds, 3, -1));
        printf(" %x %x %x\n", fds[0].revents, fds[1].revents, fds[2].revents);
        printf("ppoll %d:", ppoll(fds, 1, &now, NULL));
        printf(" %x\n", fds[0].revents);
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&bad);
        FD_SET(fd, &in);
        FD_SET(fd, &out);
        FD_SET(fd, &bad);
        printf("select %d:", select(fd + 1, &in, &out, &bad, NULL));
        printf(" %d %d %d\n", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &bad));
        said("pselect", pselect(fd + 1, &in, NULL, NULL, &now, NULL));
        said("epoll add", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
        said("epoll mod", epoll_ctl(ep, EPOLL_CTL_MOD, fd, &event));
        said("epoll del", epoll_ctl(ep, EPOLL_CTL_DEL, fd, &event));
        said("epoll wait", epoll_wait(ep, &event, 1, 0));
        said("epoll on it", epoll_ctl(fd, EPOLL_CTL_ADD, ep, &event));
        close(ep);
        close(fd);
    }
}

static void show_list(ssize_t len)
{
    printf("list %zd:", len);
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(buf + at) + 1)
        printf(" %s", buf + at);
    printf("\n");
}

static void do_xattr(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open(path, O_RDONLY);

    said("set", fsetxattr(fd, "user.one", "first", 5, XATTR_CREATE));
    said("again", fsetxattr(fd, "user.one", "first", 5, XATTR_CREATE));
    said("absent", fsetxattr(fd, "user.two", "x", 1, XATTR_REPLACE));
    said("by path", setxattr(path, "user.two", "second", 6, 0));
    said("by link", lsetxattr(path, "user.three", "3", 1, 0));
    said("name", fsetxattr(fd, "nonsense", "x", 1, 0));
    said("get", fgetxattr(fd, "user.two", buf, 100));
    printf("%.6s\n", buf);
    said("short", fgetxattr(fd, "user.two", buf, 3));
    said("length", fgetxattr(other, "user.one", NULL, 0));
    said("by path", getxattr(path, "user.one", buf, 100));
    said("by link", lgetxattr(path, "user.one", buf, 100));
    show_list(flistxattr(fd, buf, sizeof(buf)));
    show_list(listxattr(path, buf, sizeof(buf)));
    show_list(llistxattr(path, buf, sizeof(buf)));
    said("remove", fremovexattr(fd, "user.one"));
    said("remove", fremovexattr(other, "user.two"));
    said("again", fremovexattr(fd, "user.two"));
    said("by path", removexattr(path, "user.three"));
    show_list(flistxattr(fd, buf, sizeof(buf)));
}

static void show_stat(int fd, const char *path)
{
    struct stat a, b;

    said("fstat", fstat(fd, &a));
    said("stat", stat(path, &b));
    printf("%o %o uid %d %d gid %d %d\n", a.st_mode, b.st_mode, a.st_uid, b.st_uid, a.st_gid, b.st_gid);
    if (a.st_mtim.tv_sec < 10000)
        printf("mtime %ld.%09ld %ld.%09ld\n", (long)a.st_mtim.tv_sec, a.st_mtim.tv_nsec,
               (long)b.st_mtim.tv_sec, b.st_mtim.tv_nsec);
    printf("links %ld %ld inode %d device %d blocks of %ld\n", (long)a.st_nlink, (long)b.st_nlink,
           a.st_ino == b.st_ino, a.st_dev == b.st_dev, (long)a.st_blksize);
}

static void do_owner(const char *path)
{
    struct timespec times[2] = { { 1000, 5 }, { 2000, 7 } };
    int fd = must_open(path, O_RDWR);

    said("fchmod", fchmod(fd, 0640));
    said("fchown", fchown(fd, getuid(), getgid()));
    said("futimens", futimens(fd, times));
    show_stat(fd, path);
    times[0].tv_nsec = UTIME_OMIT;
    times[1] = (struct timespec){ 3000, 1 };
    said("futimens", futimens(fd, times));
    show_stat(fd, path);
    said("fchmod", fchmod(fd, 0400));
    said("write", pwrite(fd, "x", 1, 0));
    said("link", link(path, "other.add-cow"));
    show_stat(fd, path);
    unlink("other.add-cow");
    times[1].tv_nsec = 2000000000;
    said("bad time", futimens(fd, times));
    said("fchmod", fchmod(fd, 0644));
}

/* Only a time that has been set is shown. Each is before the last one: of a disk's two files the later counts. */
static void show_time(const char *what, int result, const char *path)
{
    struct stat st = { 0 };

    said(what, result);
    stat(path, &st);
    if (st.st_mtim.tv_sec < 10000)
        printf("mtime %ld.%09ld\n", (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void do_times(const char *path)
{
    struct timeval times[2] = { { 1000, 5 }, { 8000, 7 } };
    int fd = must_open(path, O_RDWR), dir = open(".", O_RDONLY | O_DIRECTORY);

    show_time("futimes", futimes(fd, times), path);
    times[1].tv_sec -= 1000;
    show_time("utimes", utimes(path, times), path);
    times[1].tv_sec -= 1000;
    show_time("lutimes", lutimes(path, times), path);
    times[1].tv_sec -= 1000;
    show_time("futimesat", futimesat(dir, path, times), path);
    times[1].tv_sec -= 1000;
    show_time("futimesat", futimesat(fd, NULL, times), path);
    show_time("utime", utime(path, &(struct utimbuf){ 1, 3000 }), path);
    show_time("bad time", futimes(fd, (struct timeval[]){ { 0, 0 }, { 0, 2000000 } }), path);
    show_time("now", utime(path, NULL), path);
}

/* A change of owner, also to the same one, takes the bit away by which a program would run as him. */
static void do_rights(const char *path)
{
    int fd = must_open(path, O_RDWR);
    struct stat st;

    said("fchmod", fchmod(fd, 04755));
    said("fchown", fchown(fd, getuid(), getgid()));
    stat(path, &st);
    printf("%o\n", st.st_mode);
    said("fchmod", fchmod(fd, 04755));
    said("fchownat", fchownat(fd, "", getuid(), getgid(), AT_EMPTY_PATH));
    stat(path, &st);
    printf("%o\n", st.st_mode);
    said("faccessat", faccessat(fd, "", X_OK, AT_EMPTY_PATH));
    said("fchmod", fchmod(fd, 0644));
    said("faccessat", faccessat(fd, "", X_OK, AT_EMPTY_PATH));
    said("faccessat", faccessat(fd, "", R_OK, AT_EMPTY_PATH));
}

static void do_filesystem(const char *path)
{
    int fd = must_open(path, O_RDWR);
    struct statfs a, b;
    struct statvfs v, w;

    said("fstatfs", fstatfs(fd, &a));
    said("statfs", statfs(".", &b));
    printf("same %d %d %d %d\n", a.f_type == b.f_type, a.f_bsize == b.f_bsize,
           a.f_blocks == b.f_blocks, a.f_namelen == b.f_namelen);
    said("fstatvfs", fstatvfs(fd, &v));
    said("statvfs", statvfs(path, &w));
    printf("same %d %d %d\n", v.f_bsize == w.f_bsize, v.f_blocks == w.f_blocks, v.f_namemax == w.f_namemax);
    said("syncfs", syncfs(fd));
    said("fpathconf", fpathconf(fd, _PC_FILESIZEBITS));
    said("fpathconf", fpathconf(fd, _PC_PIPE_BUF));
    said("fpathconf", fpathconf(fd, 9999));
}

static void do_advice(const char *path)
{
    int fd = must_open(path, O_RDWR), out = must_open(path, O_WRONLY);

    for (int advice = -1; advice < 8; advice++)
        printf("%d: %s\n", advice, strerror(posix_fadvise(fd, 0, 4096, advice)));
    printf("negative: %s\n", strerror(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL)));
    printf("offset: %s\n", strerror(posix_fadvise(fd, -5, 10, POSIX_FADV_WILLNEED)));
    said("readahead", readahead(fd, 0, 65536));
    said("readahead", readahead(out, 0, 65536));
    said("readahead", readahead(fd, 1 << 30, 65536));
    said("range", sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
    said("range", sync_file_range(fd, 0, 0, 7));
    said("range", sync_file_range(fd, -1, 10, SYNC_FILE_RANGE_WRITE));
    said("range", sync_file_range(fd, 0, 10, 8));
    said("range", sync_file_range(fd, 4096, -10, 2));
    said("fsync", fsync(out));
    said("fdatasync", fdatasync(must_open(path, O_RDONLY)));
}

static void do_leases(const char *path)
{
    int fd = must_open(path, O_RDONLY), dup_of;

    said("none", fcntl(fd, F_GETLEASE) == F_UNLCK);
    said("read", fcntl(fd, F_SETLEASE, F_RDLCK));
    said("get", fcntl(fd, F_GETLEASE) == F_RDLCK);
    dup_of = dup(fd);
    said("shared", fcntl(dup_of, F_GETLEASE) == F_RDLCK);
    said("drop", fcntl(fd, F_SETLEASE, F_UNLCK));
    said("none", fcntl(fd, F_GETLEASE) == F_UNLCK);
    said("bad", fcntl(fd, F_SETLEASE, 77));
    said("notify", fcntl(fd, F_NOTIFY, DN_MODIFY));
    said("owner", fcntl(fd, F_SETOWN, getpid()));
    said("owner", fcntl(fd, F_GETOWN) == getpid());
    said("signal", fcntl(fd, F_SETSIG, SIGIO));
    said("signal", fcntl(fd, F_GETSIG) == SIGIO);
    said("pipe", fcntl(fd, F_SETPIPE_SZ, 4096));
    said("pipe", fcntl(fd, F_GETPIPE_SZ));
    said("seals", fcntl(fd, F_GET_SEALS));
    said("seals", fcntl(fd, F_ADD_SEALS, 1));
    uint64_t hint = 2;
    said("hint", fcntl(fd, F_SET_RW_HINT, &hint));
    hint = 9;
    said("hint", fcntl(fd, F_GET_RW_HINT, &hint));
    said("hint", (long long)hint);
    hint = 99;
    said("hint", fcntl(fd, F_SET_RW_HINT, &hint));
}

static void do_ioctls(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open("in/text", O_RDONLY), n = -5, flags = 0;
    struct file_clone_range range = { .src_fd = other, .src_length = 4096 };
    struct winsize size;

    lseek(fd, 1000, SEEK_SET);
    said("FIONREAD", ioctl(fd, FIONREAD, &n));
    said("value", n);
    lseek(fd, 100, SEEK_END);
    said("FIONREAD", ioctl(fd, FIONREAD, &n));
    said("value", n);
    n = 1;
    said("FIONBIO", ioctl(fd, FIONBIO, &n));
    said("flags", fcntl(fd, F_GETFL) & O_NONBLOCK);
    n = 0;
    said("FIONBIO", ioctl(fd, FIONBIO, &n));
    said("flags", fcntl(fd, F_GETFL) & O_NONBLOCK);
    said("FIOCLEX", ioctl(fd, FIOCLEX));
    said("cloexec", fcntl(fd, F_GETFD));
    said("FIONCLEX", ioctl(fd, FIONCLEX));
    said("cloexec", fcntl(fd, F_GETFD));
    said("TIOCGWINSZ", ioctl(fd, TIOCGWINSZ, &size));
    said("isatty", isatty(fd));
    said("BLKGETSIZE64", ioctl(fd, BLKGETSIZE64, buf));
    said("BLKSSZGET", ioctl(fd, BLKSSZGET, buf));
    said("BLKDISCARD", ioctl(fd, BLKDISCARD, buf));
    said("BLKFLSBUF", ioctl(fd, BLKFLSBUF, 0));
    said("CDROM", ioctl(fd, 0x5326, 0));
    said("getflags", ioctl(fd, FS_IOC_GETFLAGS, &flags));
    said("getversion", ioctl(fd, FS_IOC_GETVERSION, &n) < 0 ? -1 : 0);
    /* Which error it is depends on the filesystem. */
    printf("clone %d", ioctl(fd, FICLONE, other) < 0);
    printf(" range %d", ioctl(fd, FICLONERANGE, &range) < 0);
    printf(" from it %d\n", ioctl(other, FICLONE, fd) < 0);
    said("no command", ioctl(fd, 0xdeadbeef, 0));
    said("FIGETBSZ", ioctl(fd, FIGETBSZ, &n));
    said("value", n);
}

static const struct mode modes[] = {
    { "wait", do_wait }, { "xattr", do_xattr }, { "owner", do_owner }, { "times", do_times },
    { "rights", do_rights }, { "filesystem", do_filesystem },
    { "advice", do_advice }, { "leases", do_leases }, { "ioctls", do_ioctls },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
