/*
 * Descriptors: opened in every way, duplicated, closed; flushed; and handed to children, by fork and
 * over exec, that go on for a few operations in the worker's place.
 */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int open_again(struct worker *w, int flags)
{
    char link[40];
    int fd;

    flags |= w->reader ? O_RDONLY : O_RDWR;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", w->fd);
    if (!(flags & O_DIRECT) && worker_chance(w, 30))
        flags |= O_DSYNC;
    fd = open(w->fd >= 0 && worker_chance(w, 6) ? link : shared->path, flags | O_CLOEXEC);
    if (fd < 0)
        model_fail(w, "open %#x: %s", flags, strerror(errno));
    return fd;
}

int open_any(struct worker *w)
{
    switch (worker_below(w, 4)) {
    case 0: return w->other >= 0 ? w->other : w->fd;
    case 1: return w->reader ? w->fd : shared->common;
    default: return w->fd;
    }
}

static void check_fd(struct worker *w, int fd)
{
    struct stat a, b;

    model_result(w, fstat(fd, &a) | stat(shared->path, &b), 0);
    if (a.st_ino != b.st_ino || a.st_dev != b.st_dev)
        model_fail(w, "the descriptor and the path are of different files");
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != (w->reader ? O_RDONLY : O_RDWR))
        model_fail(w, "the descriptor has another access mode");
}

void fd_run(struct worker *w)
{
    int fd;

    model_note(w, READS, "descriptors", w->lo, 1, 0);
    switch (worker_below(w, 7)) {
    case 0:
    case 1:
        fd = open_again(w, 0);
        close(w->fd);
        w->fd = fd;
        break;
    case 2:
        close(w->other);
        w->other = open_again(w, 0);
        break;
    case 3:
        close(w->other);
        w->other = dup(w->fd);
        break;
    case 4:
        if (w->other < 0)
            w->other = dup(w->fd);
        else
            model_result(w, dup3(w->fd, w->other, O_CLOEXEC), w->other);
        break;
    case 5:
        fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 20 + (int)w->number);
        close(w->fd);
        w->fd = fd;
        break;
    default:
        close(w->other);
        w->other = -1;
    }
    check_fd(w, w->fd);
}

void sync_run(struct worker *w)
{
    int fd = open_any(w), r;

    model_note(w, READS, "sync", w->lo, 1, 0);
    switch (worker_below(w, 4)) {
    case 0:
        r = fsync(fd);
        break;
    case 1:
        r = fdatasync(fd);
        break;
    case 2:
        r = sync_file_range(fd, (off_t)w->lo, 5000, SYNC_FILE_RANGE_WRITE);
        break;
    default:
        r = posix_fadvise(fd, (off_t)w->lo, 0, POSIX_FADV_DONTNEED);
    }
    model_result(w, r, 0);
}

/* ---- children ------------------------------------------------------------------ */

/* Its parent waits meanwhile, so the range, the descriptors and the mappings are its own. */
static void live(struct worker *w, uint64_t seed)
{
    w->random = seed;
    w->child = true;
    w->context = 0;
    w->plain = -1;
    worker_run(w, 1 + worker_below(w, 30));
}

static void await(struct worker *w, pid_t pid)
{
    int status;

    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        model_fail(w, "no child: %s", strerror(errno));
    if (status != 0 && !__atomic_load_n(&shared->failed, __ATOMIC_ACQUIRE))
        model_fail(w, "the child ended with status %#x", status);
    if (status != 0)
        _exit(1);
}

/* The shared offset goes there and back. */
static void by_fork(struct worker *w)
{
    uint64_t seed = worker_random(w), at = worker_below(w, shared->cap);
    pid_t pid;

    model_note(w, READS, "fork", w->lo, 1, 0);
    lseek(w->fd, (off_t)at, SEEK_SET);
    pid = fork();
    if (pid == 0) {
        model_result(w, lseek(w->fd, 0, SEEK_CUR), (int64_t)at);
        live(w, seed);
        lseek(w->fd, (off_t)at + 1, SEEK_SET);
        _exit(0);
    }
    await(w, pid);
    model_result(w, lseek(w->fd, 0, SEEK_CUR), (int64_t)at + 1);
}

static void by_exec(struct worker *w)
{
    char numbers[8][24], *argv[10] = { "exercise", "--child" };
    uint64_t values[8] = { (uint64_t)shared_fd, (uint64_t)dup(w->fd), w->number, w->reader,
                           w->tail, w->lo, w->hi, worker_random(w) };
    pid_t pid = -1;

    model_note(w, READS, "exec", w->lo, 1, 0);
    for (int i = 0; i < 8; i++) {
        snprintf(numbers[i], sizeof(numbers[i]), "%llu", (unsigned long long)values[i]);
        argv[2 + i] = numbers[i];
    }
    char *args[] = { argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], argv[6], argv[7], argv[8],
                     argv[9], NULL };

    if (worker_chance(w, 2)) {
        int r = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ);

        if (r)
            model_fail(w, "posix_spawn: %s", strerror(r));
    } else {
        pid = fork();
        if (pid == 0) {
            execv("/proc/self/exe", args);
            _exit(127);
        }
    }
    await(w, pid);
    close((int)values[1]);
}

void proc_run(struct worker *w)
{
    if (worker_chance(w, 2))
        by_fork(w);
    else
        by_exec(w);
}

void proc_child(int argc, char **argv)
{
    uint64_t values[8];
    struct worker w;

    if (argc != 10)
        exit(2);
    for (int i = 0; i < 8; i++)
        values[i] = strtoull(argv[2 + i], NULL, 10);
    shared_fd = (int)values[0];
    shared = mmap(NULL, (size_t)lseek(shared_fd, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED,
                  shared_fd, 0);
    if (shared == MAP_FAILED)
        exit(2);
    worker_init(&w, (unsigned)values[2]);
    w.fd = (int)values[1];
    w.reader = values[3];
    w.tail = values[4];
    w.lo = values[5];
    w.hi = values[6];
    live(&w, values[7]);
    exit(0);
}
