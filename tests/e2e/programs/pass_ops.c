/*
 * Descriptors of a file that go from one process to another that has not inherited them:
 * `pass_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

extern char **environ;

static int pair[2];             /* 0: the parent's */

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(8 * sizeof(int))];
};

static void send_fds(int to, const int *fds, int count)
{
    char byte = 'f';
    struct iovec iov = { &byte, 1 };
    union control control = { .room = "" };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
                          .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)) };
    struct cmsghdr *part = CMSG_FIRSTHDR(&msg);

    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(part), fds, (size_t)count * sizeof(int));
    if (sendmsg(to, &msg, 0) != 1)
        exit(7);
}

static int received(const struct msghdr *msg, int *fds)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(msg);
    size_t len = part ? part->cmsg_len - CMSG_LEN(0) : 0;

    if (part)
        memcpy(fds, CMSG_DATA(part), len);
    return (int)(len / sizeof(int));
}

static int recv_fds(int from, int *fds, int flags)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union control control;
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
                          .msg_controllen = sizeof(control.room) };

    said("recvmsg", recvmsg(from, &msg, flags));
    return received(&msg, fds);
}

static void turn_over(int fd)
{
    char byte = 't';

    fflush(stdout);
    if (write(fd, &byte, 1) != 1)
        exit(3);
}

static void await_turn(int fd)
{
    char byte;

    if (read(fd, &byte, 1) != 1)
        exit(4);
}

static pid_t begin(void)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
        exit(2);
    fflush(stdout);
    return fork();
}

static void end(pid_t child)
{
    int status = -1;

    waitpid(child, &status, 0);
    printf("status %x\n", (unsigned)status);
}

static void do_rights(const char *path)
{
    pid_t child = begin();
    int fds[8], fd;
    struct stat st;

    if (child == 0) {
        printf("%d descriptors\n", recv_fds(pair[1], fds, 0));
        fd = fds[0];
        got("child reads", read(fd, buf, 700));
        said("fstat", fstat(fd, &st));
        said("size", st.st_size);
        said("flags", fcntl(fd, F_GETFL) & O_ACCMODE);
        said("cloexec", fcntl(fd, F_GETFD));
        said("child writes", write(fd, "child", 5));
        turn_over(pair[1]);
        await_turn(pair[1]);
        said("child's offset", lseek(fd, 0, SEEK_CUR));
        got("child sees", pread(fd, buf, 20, 700));
        said("close", close(fd));
        said("closed", fsync(fd));
        exit(0);
    }
    fd = must_open(path, O_RDWR);
    lseek(fd, 5, SEEK_SET);
    send_fds(pair[0], &fd, 1);
    await_turn(pair[0]);
    said("parent's offset", lseek(fd, 0, SEEK_CUR));
    said("parent writes", write(fd, "parent", 6));
    turn_over(pair[0]);
    end(child);
    got("parent", pread(fd, buf, 2000, 0));
}

/* The sender has closed its own and is gone before the receiver looks. */
static void do_outlives(const char *path)
{
    pid_t child = begin();
    int fds[8];

    if (child == 0) {
        fds[0] = must_open(path, O_RDWR);
        said("child writes", pwrite(fds[0], "from the child", 14, 3000));
        lseek(fds[0], 3000, SEEK_SET);
        send_fds(pair[1], fds, 1);
        exit(0);
    }
    end(child);
    printf("%d descriptors\n", recv_fds(pair[0], fds, 0));
    got("read", read(fds[0], buf, 30));
    printf("%.14s\n", buf);
    said("write", write(fds[0], "by the parent", 13));
    said("ftruncate", ftruncate(fds[0], 200000));
    said("end", lseek(fds[0], 0, SEEK_END));
}

static void do_many(const char *path)
{
    pid_t child = begin();
    int fds[8], n;

    if (child == 0) {
        n = recv_fds(pair[1], fds, MSG_CMSG_CLOEXEC | MSG_PEEK);
        printf("%d peeked\n", n);
        got("peeked", read(fds[1], buf, 50));
        for (int i = 0; i < n; i++)
            close(fds[i]);
        n = recv_fds(pair[1], fds, MSG_CMSG_CLOEXEC);
        printf("%d descriptors\n", n);
        for (int i = 0; i < n; i++) {
            got("read", read(fds[i], buf, 100));
            said("flags", fcntl(fds[i], F_GETFL) & O_ACCMODE);
            said("cloexec", fcntl(fds[i], F_GETFD));
        }
        printf("%d none\n", recv_fds(pair[1], fds, 0));

        struct mmsghdr msgs[2] = { 0 };
        union control controls[2];
        struct iovec iov[2];
        for (int i = 0; i < 2; i++) {
            iov[i] = (struct iovec){ buf + i, 1 };
            msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1,
                                               .msg_control = controls[i].room,
                                               .msg_controllen = sizeof(controls[i].room) };
        }
        said("recvmmsg", recvmmsg(pair[1], msgs, 2, 0, NULL));
        for (int i = 0; i < 2; i++) {
            printf("%d descriptors\n", received(&msgs[i].msg_hdr, fds));
            got("read", pread(fds[0], buf, 500, 1000));
        }
        exit(0);
    }
    fds[0] = must_open(path, O_RDONLY);
    fds[1] = must_open(path, O_RDWR);
    fds[2] = must_open("in/text", O_RDONLY);
    fds[3] = dup(fds[0]);
    send_fds(pair[0], fds, 4);
    turn_over(pair[0]);
    send_fds(pair[0], fds, 1);
    send_fds(pair[0], fds + 1, 1);
    end(child);
    said("offset", lseek(fds[0], 0, SEEK_CUR));
}

/* A number that comes by a message is the lowest one, a standard stream's too. */
static void do_standard(const char *path)
{
    pid_t child = begin();
    int fds[8];

    if (child == 0) {
        close(0);
        printf("%d descriptors\n", recv_fds(pair[1], fds, 0));
        printf("on %d\n", fds[0]);
        show("stdin", stdin, 300);
        exit(0);
    }
    fds[0] = must_open(path, O_RDONLY);
    send_fds(pair[0], fds, 1);
    end(child);
}

static void do_pidfd(const char *path)
{
    int fd = must_open(path, O_RDWR), other, pidfd;
    pid_t child;

    lseek(fd, 300, SEEK_SET);
    other = pidfd_getfd(pidfd_open(getpid(), 0), fd, 0);
    got("own", read(other, buf, 100));
    said("offset", lseek(fd, 0, SEEK_CUR));
    said("bad", pidfd_getfd(pidfd_open(getpid(), 0), 777, 0));
    said("close", close(other));
    close(fd);

    child = begin();
    if (child == 0) {
        fd = must_open(path, O_RDWR);
        if (fcntl(fd, F_DUPFD, 50) != 50)
            exit(5);
        lseek(fd, 600, SEEK_SET);
        turn_over(pair[1]);
        await_turn(pair[1]);
        said("child's offset", lseek(fd, 0, SEEK_CUR));
        got("child", pread(fd, buf, 20, 600));
        exit(0);
    }
    await_turn(pair[0]);
    pidfd = pidfd_open(child, 0);
    other = pidfd_getfd(pidfd, 50, 0);
    got("child's", read(other, buf, 100));
    said("write", pwrite(other, "taken", 5, 600));
    said("cloexec", fcntl(other, F_GETFD));
    turn_over(pair[0]);
    end(child);
    got("after", pread(other, buf, 100, 600));
}

/* The sender has no library preloaded, and sends the file as it stands. */
static void do_plain_sender(const char *path)
{
    char number[12], *args[] = { "pass_ops", "send", number, NULL };
    pid_t child = begin();
    int fds[8];

    if (child == 0) {
        unsetenv("LD_PRELOAD");
        setenv("PASS", path, 1);
        snprintf(number, sizeof(number), "%d", pair[1]);
        execve("/proc/self/exe", args, environ);
        exit(6);
    }
    printf("%d descriptors\n", recv_fds(pair[0], fds, 0));
    end(child);
    got("read", read(fds[0], buf, 900));
    said("end", lseek(fds[0], 0, SEEK_END));
    said("write", pwrite(fds[0], "w", 1, 0));
    said("cloexec", fcntl(fds[0], F_GETFD));
}

static void do_send(const char *to)
{
    int fd = must_open(getenv("PASS"), O_RDWR);

    lseek(fd, 40, SEEK_SET);
    send_fds(atoi(to), &fd, 1);
}

/* All of it by number, from and to itself. */
static void do_numbers(const char *path)
{
    int fd = must_open(path, O_RDWR), given[4] = { -1, -1, -1, -1 };
    const long old[4] = { 1000000000, 0, 1000000001, 0 };
    struct stat st;
    char byte = 'n';
    struct iovec iov = { &byte, 1 };
    union control control = { .room = "" };
    struct mmsghdr one = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room,
                                        .msg_controllen = CMSG_SPACE(sizeof(int)) } };
    struct msghdr *msg = &one.msg_hdr;
    struct cmsghdr *part = CMSG_FIRSTHDR(msg);

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    said("sendmsg", syscall(SYS_sendmsg, pair[0], msg, 0));
    said("recvmsg", syscall(SYS_recvmsg, pair[1], msg, 0));
    received(msg, &given[0]);
    memcpy(CMSG_DATA(part), &fd, sizeof(fd));
    said("sendmmsg", syscall(SYS_sendmmsg, pair[0], &one, 1, 0));
    said("recvmmsg", syscall(SYS_recvmmsg, pair[1], &one, 1, 0, NULL));
    received(msg, &given[1]);
    given[2] = (int)syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, getpid(), 0), fd, 0);
    said("seek", lseek(fd, 700, SEEK_SET));
    for (int i = 0; i < 3; i++)
        got("read", read(given[i], buf, 100));
    said("write", write(given[0], "numbered", 8));
    said("offset", lseek(fd, 0, SEEK_CUR));
    said("faccessat2", syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
    said("utimes", syscall(SYS_utimes, path, old));
    said("time", fstat(fd, &st) == 0 ? st.st_mtime : 0);
    said("futimesat", syscall(SYS_futimesat, AT_FDCWD, path, &old[1]));
    said("utime", syscall(SYS_utime, path, &old[1]));
    said("time", fstat(fd, &st) == 0 ? st.st_mtime : 0);
}

static const struct mode modes[] = {
    { "rights", do_rights }, { "outlives", do_outlives }, { "many", do_many },
    { "standard", do_standard }, { "pidfd", do_pidfd }, { "plain_sender", do_plain_sender },
    { "send", do_send }, { "numbers", do_numbers },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
