/*
 * Limits on descriptors: lowered below those that are open, exhausted, and the machine's.
 * `limit_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops.h"

static void set_limit(rlim_t soft)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = soft;
    said("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
}

static void show_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    said("limit", (long long)limit.rlim_cur);
    said("table size", getdtablesize());
}

static void show_size(const char *path)
{
    struct stat st = { .st_size = 0 };

    said("stat", stat(path, &st));
    said("size", st.st_size);
}

/* The numbers in use below 64. */
static void show_used(void)
{
    printf("used:");
    for (int fd = 0; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n");
}

/* Opens files until there is no number left, and returns how many. */
static int fill(const char *path, int flags, int fds[])
{
    int n = 0;

    while ((fds[n] = open(path, flags)) >= 0)
        n++;
    said("then", fds[n]);
    return n;
}

static void do_lowered(const char *path)
{
    int fd = must_open(path, O_RDWR), other, fds[2000];

    set_limit(32);
    show_limit();
    got("read", pread(fd, buf, 700, 0));
    said("write", pwrite(fd, "below", 5, 50000));
    other = must_open(path, O_RDWR);
    said("number", other);
    got("read", pread(other, buf, 700, 49900));
    said("write", pwrite(other, "again", 5, 60000));
    show_limit();
    show_used();
    said("files", fill(path, O_RDONLY, fds));
    show_limit();
    got("the last", pread(31, buf, 100, 0));
    said("dup", dup(fd));
    said("pread", pread(fd, buf, 10, 0));
}

/* The first one is opened when there is little room. */
static void do_tight(const char *path)
{
    int fds[100];

    set_limit(8);
    fds[0] = must_open(path, O_RDWR);
    said("number", fds[0]);
    got("read", pread(fds[0], buf, 700, 0));
    said("write", pwrite(fds[0], "tight", 5, 50000));
    said("files", fill("in/text", O_RDONLY, fds + 1));
    show_limit();
    show_used();
    said("fsync", fsync(fds[0]));
    said("ftruncate", ftruncate(fds[0], 200000));
    said("close", close(fds[0]));
    said("again", must_open(path, O_RDWR));
    said("write", pwrite(fds[0], "again", 5, 60000));
    show_size(path);
}

static void do_exhausted(const char *path)
{
    int fds[100], n;

    set_limit(40);
    n = fill("in/text", O_RDONLY, fds);
    said("files", n);
    said("open", open(path, O_RDONLY));
    said("fopen", fopen(path, "r") ? 0 : -1);
    show_size(path);
    said("truncate", truncate(path, 250000));
    close(fds[n - 1]);
    said("open", open(path, O_RDWR));
    said("open", open(path, O_RDWR));
    got("read", read(fds[n - 1], buf, 900));
    said("write", write(fds[n - 1], "x", 1));
    close(fds[n - 1]);
    close(fds[5]);
    said("open", open(path, O_RDONLY));
    said("dup", dup(fds[5]));
    said("dup", dup(fds[5]));
    said("fcntl", fcntl(fds[5], F_DUPFD, 30));
    said("fcntl", fcntl(fds[5], F_DUPFD, 41));
    said("dup2", dup2(fds[5], 40));
    for (int i = 0; i < n; i++)
        close(fds[i]);
    show_used();
    n = fill(path, O_RDWR, fds);
    said("files", n);
    for (int i = 0; i < n; i++)
        said("write", pwrite(fds[i], &i, sizeof(i), i * 3000));
    for (int i = 0; i < n; i++)
        close(fds[i]);
    show_used();
    show_limit();
}

/* How many files a process may have, those that nobody sees among them, is as after an exec. */
static void do_child(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    set_limit(24);
    must_open(path, O_RDONLY);
    dup2(fd, 9);
    execlp("sh", "sh", "-c", "ulimit -n; cksum <&9; cksum disk.add-cow", (char *)NULL);
}

static void may_not_raise(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        exit(1);
    data[0].effective &= ~(1u << CAP_SYS_RESOURCE);
    if (syscall(SYS_capset, &header, data) < 0)
        exit(1);
}

static void do_hard(const char *path)
{
    struct rlimit limit = { 200, 200 };
    int fd = must_open(path, O_RDWR), fds[300], n;

    may_not_raise();
    said("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
    got("read", pread(fd, buf, 700, 0));
    said("write", pwrite(fd, "hard", 4, 50000));
    n = fill("in/text", O_RDONLY, fds);
    said("files", n > 10);
    said("open", open(path, O_RDONLY));
    close(fds[n - 1]);
    close(fds[n - 2]);
    said("fsync", fsync(fd));
    show_limit();
}

/* Makes calls fail as they do when the whole machine has no descriptor left. */
static void table_is_full(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_open, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENFILE),
    };
    struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        exit(1);
}

static void do_machine(const char *path)
{
    int fd = must_open(path, O_RDWR);

    table_is_full();
    said("open", open(path, O_RDONLY));
    said("open", open(path, O_RDWR));
    said("fopen", fopen(path, "r") ? 0 : -1);
    show_used();
    got("read", pread(fd, buf, 900, 100));
    said("write", pwrite(fd, "still", 5, 40000));
    said("dup", dup(fd));
    said("fsync", fsync(fd));
    said("ftruncate", ftruncate(fd, 200000));
    said("close", close(fd));
}

static void do_machine_first(const char *path)
{
    table_is_full();
    said("open", open(path, O_RDWR));
    said("open", open(path, O_RDONLY));
    show_used();
}

static const struct mode modes[] = {
    { "lowered", do_lowered }, { "tight", do_tight }, { "exhausted", do_exhausted },
    { "child", do_child }, { "hard", do_hard }, { "machine", do_machine },
    { "machine_first", do_machine_first },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
