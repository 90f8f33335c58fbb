/*
 * A process that changes what it is while it has a file open: its root, its directory, its user, its
 * namespaces, its session. `place_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

/* Everything that a program does with an open file. */
static void use(int fd, int round)
{
    struct stat st;

    got("pread", pread(fd, buf, 900, 100));
    said("pwrite", pwrite(fd, "placed", 6, 50000 + round * 5000));
    said("fsync", fsync(fd));
    said("grow", ftruncate(fd, 1200000 + round * 40000));
    said("pwrite", pwrite(fd, "grown", 5, 1199000 + round * 40000));
    said("fdatasync", fdatasync(fd));
    said("fstat", fstat(fd, &st));
    said("size", st.st_size);
    said("end", lseek(fd, 0, SEEK_END));
    said("dup", dup2(fd, 40));
    said("write", write(40, "end", 3));
    said("close", close(40));
}

/* What another process, that is where it always was, sees of the file meanwhile. */
static void show_outside(const char *path)
{
    fflush(stdout);
    if (system(path) != 0)
        printf("outside failed\n");
}

static void await(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    printf("status %x\n", (unsigned)status);
}

static void do_chdir(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("chdir", chdir("/"));
    use(fd, 0);
    said("close", close(fd));
    said("open", open(path, O_RDONLY));
}

/* Moves the directory from under a process that opened the file by a relative name. */
static void do_moved(const char *path)
{
    int fd;

    said("mkdir", mkdir("sub", 0755));
    said("chdir", chdir("sub"));
    snprintf(buf, sizeof(buf), "../%s", path);
    fd = must_open(buf, O_RDWR);
    said("rename", rename("../sub", "../moved"));
    use(fd, 0);
    said("close", close(fd));
    said("rmdir", rmdir("../moved"));
}

static void do_chroot(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("pwrite", pwrite(fd, "before", 6, 40000));
    said("chroot", chroot("in"));
    use(fd, 0);
    said("chdir", chdir("/"));
    use(fd, 1);
    said("other file", open("text", O_RDONLY) >= 0);
    said("gone", open(path, O_RDWR));
    said("no proc", open("/proc/self/fd/3", O_RDONLY));
    said("pwrite", pwrite(fd, "not flushed", 11, 90000));
    said("close", close(fd));
}

/* The end of the process is what gives the file up, and there is another one that has it. */
static void do_chroot_exit(const char *path)
{
    int fd = must_open(path, O_RDWR);

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        said("chroot", chroot("in"));
        exit(0);
    }
    await(pid);
    show_outside("printf shell | dd of=disk.add-cow bs=1 seek=40000 conv=notrunc status=none");
    got("pread", pread(fd, buf, 10, 40000));
    said("chroot", chroot("in"));
    use(fd, 0);
    said("pwrite", pwrite(fd, "not flushed", 11, 90000));
}

static void do_chroot_fork(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("chroot", chroot("in"));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        got("child reads", pread(fd, buf, 20, 40000));
        said("child writes", pwrite(fd, "child", 5, 40000));
        exit(0);
    }
    await(pid);
    got("parent reads", pread(fd, buf, 20, 39990));
}

static void do_seteuid(const char *path)
{
    int fd = must_open(path, O_RDWR);

    chmod(path, 0600);
    said("seteuid", seteuid(65534));
    use(fd, 0);
    said("open", open(path, O_RDWR));
    said("seteuid", seteuid(0));
    use(fd, 1);
    said("open", open(path, O_RDWR) >= 0);
    said("close", close(fd));
}

/* For good: the directory is one that everybody may write to, so that what was begun can be ended. */
static void do_setuid(const char *path)
{
    int fd = must_open(path, O_RDWR);

    chmod(path, 0600);
    chmod(".", 0777);
    said("setuid", setuid(65534));
    use(fd, 0);
    said("open", open(path, O_RDWR));
    said("pwrite", pwrite(fd, "not flushed", 11, 90000));
    said("close", close(fd));
}

static void do_setuid_fork(const char *path)
{
    int fd = must_open(path, O_RDWR);

    chmod(path, 0600);
    chmod(".", 0777);
    said("setuid", setuid(65534));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        got("child reads", pread(fd, buf, 20, 40000));
        said("child writes", pwrite(fd, "child", 5, 40000));
        exit(0);
    }
    await(pid);
    got("parent reads", pread(fd, buf, 20, 39990));
    said("close", close(fd));
}

static void do_setuid_exec(const char *path)
{
    int fd = must_open(path, O_RDWR);

    chmod(".", 0777);
    said("pwrite", pwrite(fd, "before", 6, 0));
    said("setuid", setuid(65534));
    dup2(fd, 9);
    fflush(stdout);
    execlp("sh", "sh", "-c", "head -c 700 <&9 | cksum; printf more >&9", (char *)NULL);
}

static void do_unshare(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("pwrite", pwrite(fd, "before", 6, 40000));
    said("mounts", unshare(CLONE_NEWNS));
    said("private", mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    said("cover", mount("none", "in", "tmpfs", 0, NULL));
    use(fd, 0);
    said("files", unshare(CLONE_FILES));
    use(fd, 1);
    said("namespaces", unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        said("pid", getpid());
        use(fd, 2);
        exit(0);
    }
    await(pid);
    use(fd, 3);
    show_outside("cksum <&3");
    said("close", close(fd));
}

/* As a daemon does it by hand: two forks, every number closed, and /dev/null for the standard ones. */
static void do_daemon(const char *path)
{
    int fd = must_open(path, O_RDWR), done[2], out;
    char byte;

    said("pwrite", pwrite(fd, "before", 6, 40000));
    out = dup(1);
    if (pipe(done) < 0)
        exit(1);
    fflush(stdout);
    if (fork() > 0) {
        close(done[1]);
        if (read(done[0], &byte, 1) != 0)
            exit(1);
        got("parent reads", pread(fd, buf, 100, 39980));
        exit(0);
    }
    setsid();
    if (fork() > 0)
        _exit(0);
    said("chdir", chdir("/"));
    umask(0);
    for (int i = sysconf(_SC_OPEN_MAX) < 1024 ? (int)sysconf(_SC_OPEN_MAX) : 1024; i >= 0; i--)
        if (i != out && i != done[1])
            close(i);
    if (open("/dev/null", O_RDWR) != 0 || dup(0) != 1 || dup(0) != 2)
        _exit(2);
    dup2(out, 1);
    said("closed", fcntl(fd, F_GETFD));
    said("open", open(path, O_RDONLY));
    snprintf(buf, sizeof(buf), "%s/%s", getenv("PWD"), path);
    fd = must_open(buf, O_RDWR);
    said("number", fd);
    use(fd, 0);
    exit(0);
}

static const struct mode modes[] = {
    { "chdir", do_chdir }, { "moved", do_moved }, { "chroot", do_chroot },
    { "chroot_exit", do_chroot_exit }, { "chroot_fork", do_chroot_fork }, { "seteuid", do_seteuid },
    { "setuid", do_setuid }, { "setuid_fork", do_setuid_fork }, { "setuid_exec", do_setuid_exec },
    { "unshare", do_unshare }, { "daemon", do_daemon },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
