/*
 * Descriptors of a disk across processes, and their numbers: close-on-exec,
 * vfork, posix_spawn, loops that close everything. `proc_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

extern char **environ;

static void do_cloexec(const char *path)
{
    int a = must_open(path, O_RDONLY | O_CLOEXEC), b = must_open(path, O_RDONLY);

    said("flag", fcntl(a, F_GETFD));
    said("flag", fcntl(b, F_GETFD));
    int c = fcntl(a, F_DUPFD_CLOEXEC, 20), d = dup3(b, 30, O_CLOEXEC), e = dup2(a, a);
    printf("%d %d %d\n", c, d, e == a);
    said("same dup3", dup3(b, b, 0));
    said("bad dup2", dup2(999, 40));
    said("free 40", fcntl(40, F_GETFD));
    said("setfd", fcntl(b, F_SETFD, FD_CLOEXEC));
    said("flag", fcntl(b, F_GETFD));
    got("shared offset", read(c, buf, 10));
    said("offset", lseek(a, 0, SEEK_CUR));
    said("close_range", close_range(20, 30, CLOSE_RANGE_CLOEXEC));
    said("flag", fcntl(d, F_GETFD));
    said("close_range", close_range(20, 30, 0));
    said("closed", fcntl(d, F_GETFD));
    got("still", read(a, buf, 10));
    closefrom(3);
    said("closed", fcntl(a, F_GETFD));
    said("again", must_open(path, O_RDONLY));
}

static void do_vfork(const char *path)
{
    int fd = must_open(path, O_RDWR), status;
    pid_t pid = vfork();

    if (pid == 0) {
        dup2(fd, 1);
        close(fd);
        execlp("echo", "echo", "from a vfork child", (char *)NULL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    printf("status %d offset %ld\n", status, (long)lseek(fd, 0, SEEK_CUR));
    printf("%zd %.18s\n", pread(fd, buf, 18, 0), buf);
    said("write", write(fd, "parent", 6));
    fflush(stdout);
    pid = vfork();
    if (pid == 0) {
        close(fd);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    said("write after the child closed", write(fd, "parent", 6));
    close(fd);
}

/* The child gives the file's numbers other meanings, for itself alone. */
static void do_vfork_over(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open(path, O_RDWR), third = dup(other), status;
    int null = open("/dev/null", O_RDWR), out[2];

    lseek(third, 500, SEEK_SET);
    if (pipe(out) < 0)
        exit(1);
    for (int round = 0; round < 3; round++) {
        long results[8];
        pid_t pid = vfork();

        if (pid == 0) {
            int failed = 0;

            dup2(round == 0 ? out[1] : null, fd);
            results[0] = write(fd, "one", 3);
            results[1] = pwrite(fd, "two", 3, 7000) < 0 ? -errno : 0;
            close(other);
            results[2] = open("in/text", O_RDONLY) - other;
            results[3] = read(other, buf, 20);
            if (round == 2)
                failed = close_range(3, 100, 0);
            results[4] = write(third, "three", 5) < 0 ? -errno : 5;
            results[5] = failed;
            if (round == 1)
                execl("/nonexistent", "x", (char *)NULL);
            results[6] = write(fd, "four", 4) < 0 ? -errno : 4;
            _exit(7);
        }
        waitpid(pid, &status, 0);
        printf("status %x:", (unsigned)status);
        for (int i = 0; i < 7; i++)
            printf(" %ld", results[i]);
        printf("\n");
        said("own", pwrite(fd, "own", 3, 60000 + round * 1000));
        said("other", pwrite(other, "other", 5, 61000 + round * 1000));
        said("offset", lseek(third, 0, SEEK_CUR));
        got("read", pread(fd, buf, 100, 60000));
    }
    said("piped", read(out[0], buf, 100));
    printf("%.7s\n", buf);
}

static void do_spawn(const char *path)
{
    posix_spawn_file_actions_t actions;
    char *args[] = { "sh", "-c", "head -c 700 | cksum; echo hi >&8", NULL };
    int fd = must_open(path, O_RDWR), status = -1;
    pid_t pid;

    lseek(fd, 1000, SEEK_SET);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 8);
    posix_spawn_file_actions_addclose(&actions, fd);
    fflush(stdout);
    said("spawn", posix_spawnp(&pid, "sh", &actions, NULL, args, environ));
    waitpid(pid, &status, 0);
    printf("status %d offset %ld\n", status, (long)lseek(fd, 0, SEEK_CUR));
    fflush(stdout);
    FILE *f = popen("cksum disk.add-cow", "r");
    printf("%s", fgets(buf, 100, f));
    said("pclose", pclose(f));
    fflush(stdout);
    said("system", system("head -c 3 disk.add-cow | cksum"));
    close(fd);
}

static void do_scan_close(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    for (int i = 3; i < 1024; i++)
        close(i);
    said("closed", fcntl(fd, F_GETFD));
    fd = must_open(path, O_RDONLY);
    said("number", fd);
    got("read", read(fd, buf, 5000));
    close(0);
    said("lowest", must_open(path, O_RDONLY));
    got("read", read(0, buf, 5000));
    close(0);
    said("lowest", open("in/small", O_RDONLY));
    got("other file", read(0, buf, 5000));
}

static void do_exec_fds(const char *path)
{
    int a = must_open(path, O_RDONLY), b = must_open(path, O_RDONLY | O_CLOEXEC);

    lseek(a, 600, SEEK_SET);
    dup2(a, 9);
    lseek(b, 5, SEEK_SET);
    /* High ones may be there that the program did not make. */
    execlp("sh", "sh", "-c", "head -c 100 <&9 | cksum; echo $(ls /proc/$$/fd | grep '^.$')",
           (char *)NULL);
}

enum { HELD = 30, OTHER };

/* What do_exec_both execs: the lock is still HELD's, and not OTHER's. */
static void do_heir(const char *path)
{
    (void)path;
    exit(flock(HELD, LOCK_EX | LOCK_NB) != 0 || flock(OTHER, LOCK_SH | LOCK_NB) == 0);
}

/* Two processes that share their descriptors exec at the same time. */
static void do_exec_both(const char *path)
{
    int a = must_open(path, O_RDWR), b = must_open(path, O_RDWR), bad = 0, status;

    dup2(a, HELD);
    dup2(b, OTHER);
    said("lock", flock(a, LOCK_EX));
    close(a);
    close(b);
    for (int i = 0; i < 50; i++) {
        int gate[2];
        char byte;

        if (pipe2(gate, O_CLOEXEC) < 0)
            exit(1);
        for (int k = 0; k < 2; k++)
            if (fork() == 0) {
                close(gate[1]);
                if (read(gate[0], &byte, 1) == 0)
                    execl("/proc/self/exe", "proc_ops", "heir", path, (char *)NULL);
                _exit(9);
            }
        close(gate[1]);
        close(gate[0]);
        for (int k = 0; k < 2; k++)
            bad += wait(&status) < 0 || status != 0;
    }
    said("bad heirs", bad);
}

static bool forked;             /* atomic */

static void *open_and_close(void *path)
{
    while (!__atomic_load_n(&forked, __ATOMIC_RELAXED))
        close(must_open(path, O_RDONLY));
    return NULL;
}

/* Descriptors that come and go in other threads while one forks. */
static void do_fork_threads(const char *path)
{
    pthread_t threads[2];
    int fd = must_open(path, O_RDONLY), bad = 0;

    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, open_and_close, (void *)path);
    for (int i = 0; i < 1000; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            _exit(i % 20 == 0 && pread(fd, buf, 1000, 100) != 1000);
        waitpid(pid, &status, 0);
        bad += status != 0;
    }
    __atomic_store_n(&forked, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    said("bad children", bad);
}

static const struct mode modes[] = {
    { "cloexec", do_cloexec }, { "vfork", do_vfork }, { "vfork_over", do_vfork_over },
    { "spawn", do_spawn }, { "scan_close", do_scan_close }, { "exec_fds", do_exec_fds },
    { "exec_both", do_exec_both }, { "heir", do_heir }, { "fork_threads", do_fork_threads },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
