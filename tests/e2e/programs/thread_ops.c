/*
 * Threads that use the descriptors of a disk at the same time: one description's offset, numbers
 * that come and go, sizes, and the start of processes meanwhile. What is printed
 * does not depend on who is faster. `thread_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

extern char **environ;

#define THREADS 4
#define ROUNDS 100
#define RECORD 700

struct job {
    int number;                 /* of the thread */
    int fd;                     /* which all have */
    const char *path;
    int bad;                    /* results that no file gives */
};

static void run_threads(void *(*const bodies[THREADS])(void *), int fd, const char *path)
{
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    int bad = 0;

    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ .number = i, .fd = fd, .path = path };
        pthread_create(&threads[i], NULL, bodies[i], &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        bad += jobs[i].bad;
    }
    printf("bad results: %d\n", bad);
}

static void run_same(void *(*body)(void *), int fd, const char *path)
{
    run_threads((void *(*const[THREADS])(void *)){ body, body, body, body }, fd, path);
}

/* ---- one offset ---------------------------------------------------------- */

static void *write_records(void *arg)
{
    struct job *job = arg;
    char record[RECORD];

    memset(record, 'a' + job->number, sizeof(record));
    for (int i = 0; i < ROUNDS; i++)
        job->bad += write(job->fd, record, sizeof(record)) != sizeof(record);
    return NULL;
}

/* Every record is there once and whole, in whatever order. */
static void count_records(int fd, off_t off)
{
    int counts[THREADS] = { 0 }, torn = 0;
    char record[RECORD];

    for (int i = 0; i < THREADS * ROUNDS; i++) {
        if (pread(fd, record, sizeof(record), off + (off_t)i * RECORD) != RECORD
            || memcmp(record, record + 1, RECORD - 1) != 0)
            torn++;
        else if (record[0] >= 'a' && record[0] < 'a' + THREADS)
            counts[record[0] - 'a']++;
    }
    printf("torn %d records %d %d %d %d\n", torn, counts[0], counts[1], counts[2], counts[3]);
    /* The order is anybody's: it must not be compared. */
    memset(record, 'z', sizeof(record));
    for (int i = 0; i < THREADS * ROUNDS; i++)
        (void)!pwrite(fd, record, sizeof(record), off + (off_t)i * RECORD);
}

static void do_offset(const char *path)
{
    int fd = must_open(path, O_RDWR);

    run_same(write_records, fd, path);
    said("offset", lseek(fd, 0, SEEK_CUR));
    count_records(fd, 0);
}

static void do_append(const char *path)
{
    int fd = must_open(path, O_RDWR | O_APPEND);
    off_t end = lseek(fd, 0, SEEK_END);

    run_same(write_records, fd, path);
    said("offset", lseek(fd, 0, SEEK_CUR));
    fcntl(fd, F_SETFL, 0);
    count_records(fd, end);
}

/* ---- numbers that come and go -------------------------------------------- */

/* Reads where no other thread writes. */
static void *open_and_close(void *arg)
{
    struct job *job = arg;
    char here[512], again[512];

    for (int i = 0; i < ROUNDS; i++) {
        int64_t off = 160000 + 512 * i;
        int fd = open(job->path, i % 2 ? O_RDWR : O_RDONLY), other = dup(fd);

        job->bad += fd < 0 || other < 0;
        job->bad += pread(fd, here, sizeof(here), off) != sizeof(here);
        close(fd);
        job->bad += pread(other, again, sizeof(again), off) != sizeof(again);
        job->bad += memcmp(here, again, sizeof(here)) != 0;
        close(other);
    }
    return NULL;
}

/* The number is closed, or a disk, or something else with nothing in it. */
static void *read_number(void *arg)
{
    struct job *job = arg;
    char byte;

    for (int i = 0; i < ROUNDS * 20; i++) {
        ssize_t n = pread(job->fd + 1, &byte, 1, 100);

        job->bad += n < 0 ? errno != EBADF : n > 1;
    }
    return NULL;
}

static void *change_number(void *arg)
{
    struct job *job = arg;
    int null = open("/dev/null", O_RDONLY);

    for (int i = 0; i < ROUNDS; i++) {
        job->bad += dup2(job->fd, job->fd + 1) < 0;
        job->bad += dup2(null, job->fd + 1) < 0;
        job->bad += dup3(job->fd, job->fd + 1, O_CLOEXEC) < 0;
        close(job->fd + 1);
    }
    close(null);
    return NULL;
}

static void do_numbers(const char *path)
{
    int fd = fcntl(must_open(path, O_RDWR), F_DUPFD, 100);

    run_threads((void *(*const[])(void *)){ open_and_close, read_number, change_number,
                                            open_and_close }, fd, path);
    said("still open", fcntl(fd, F_GETFD));
}

/* ---- sizes ----------------------------------------------------------------- */

static void *change_size(void *arg)
{
    struct job *job = arg;

    for (int i = 0; i < ROUNDS; i++) {
        job->bad += ftruncate(job->fd, 300000 + i % 7 * 40000) != 0;
        job->bad += fallocate(job->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * 1000, 3000) != 0;
    }
    return NULL;
}

static void *write_low(void *arg)
{
    struct job *job = arg;
    char data[3000];

    memset(data, 'd', sizeof(data));
    for (int i = 0; i < ROUNDS; i++) {
        job->bad += pwrite(job->fd, data, sizeof(data), i * 1500) != sizeof(data);
        if (i % 10 == 0)
            job->bad += fdatasync(job->fd) != 0;
    }
    return NULL;
}

static void *read_all(void *arg)
{
    struct job *job = arg;
    char data[5000];
    struct stat st;

    for (int i = 0; i < ROUNDS * 2; i++) {
        job->bad += pread(job->fd, data, sizeof(data), i * 4000) < 0;
        job->bad += fstat(job->fd, &st) != 0 || st.st_size < 300000;
        job->bad += lseek(job->fd, i * 1000, SEEK_DATA) < 0 && errno != ENXIO;
    }
    return NULL;
}

static void do_sizes(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("truncate", ftruncate(fd, 300000));
    run_threads((void *(*const[])(void *)){ change_size, write_low, read_all, read_all }, fd, path);
    said("truncate", ftruncate(fd, 200000));
    memset(buf, 'e', sizeof(buf));
    for (int i = 0; i < 5; i++)
        said("write", pwrite(fd, buf, 40000, i * 40000));
}

/* ---- processes meanwhile ----------------------------------------------------- */

static int status_of(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return status;
}

static void *start_processes(void *arg)
{
    struct job *job = arg;
    char *args[] = { "true", NULL };

    for (int i = 0; i < ROUNDS / 10; i++) {
        char byte;
        pid_t pid = fork();

        if (pid == 0)
            _exit(pread(job->fd, &byte, 1, i) == 1 && pwrite(job->fd, "f", 1, 600 * i) == 1 ? 7 : 1);
        job->bad += pid < 0 || status_of(pid) != 7 << 8;
        job->bad += posix_spawnp(&pid, "true", NULL, NULL, args, environ) != 0
                    || status_of(pid) != 0;
    }
    return NULL;
}

static void do_processes(const char *path)
{
    int fd = must_open(path, O_RDWR);

    run_threads((void *(*const[])(void *)){ open_and_close, start_processes, start_processes,
                                            write_low }, fd, path);
    memset(buf, 'e', sizeof(buf));
    for (int i = 0; i < 5; i++)
        said("write", pwrite(fd, buf, 40000, i * 40000));
}

static volatile int churned;

static void *churn(void *path)
{
    int fds[6];

    while (!churned) {
        for (int i = 0; i < 6; i++)
            fds[i] = open(path, O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 6; i++)
            close(fds[i]);
    }
    return NULL;
}

/* What another thread was just opening or closing is not taken for the child's own pipes. */
static int use_pipes(int fd)
{
    for (int i = 0; i < 6; i++) {
        char word[8] = "";
        int ends[2];

        if (pipe(ends) < 0 || write(ends[1], "hello", 5) != 5 || read(ends[0], word, 5) != 5
            || strcmp(word, "hello"))
            return 1;
    }
    return pread(fd, buf, 512, 4096) == 512 ? 0 : 2;
}

static void do_forks(const char *path)
{
    int fd = must_open(path, O_RDWR), bad = 0, status;
    pthread_t thread;

    pthread_create(&thread, NULL, churn, (void *)path);
    for (int i = 0; i < 400; i++) {
        pid_t pid = fork();

        if (pid == 0)
            _exit(use_pipes(fd));
        bad += waitpid(pid, &status, 0) != pid || status != 0;
    }
    churned = 1;
    pthread_join(thread, NULL);
    said("bad children", bad);
    got("read", pread(fd, buf, 5000, 0));
    close(fd);
}

static const struct mode modes[] = {
    { "offset", do_offset }, { "append", do_append }, { "numbers", do_numbers },
    { "sizes", do_sizes }, { "processes", do_processes }, { "forks", do_forks },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
