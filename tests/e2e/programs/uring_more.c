/*
 * io_uring by liburing: fixed files and buffers, requests that open, close and tell, many at
 * once, and rings of all kinds. `uring_more MODE FILE`.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "uring.h"

static void do_fixed(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open("ring.plain", O_RDWR | O_CREAT);
    int files[4] = { other, fd, -1, fd }, update[2] = { fd, -1 };
    struct iovec buffers[4];

    begin(0);
    for (int i = 0; i < 4; i++)
        buffers[i] = (struct iovec){ pieces[i], PIECE };
    said("buffers", io_uring_register_buffers(&ring, buffers, 4));
    said("files", io_uring_register_files(&ring, files, 4));
    close(fd);
    for (int round = 0; round < 2; round++) {
        PREP(0, read_fixed, 1, pieces[0], 5000, 3000, 0)->flags = IOSQE_FIXED_FILE;
        PREP(1, write_fixed, 3, filled(1, 'f'), 5000, 33000, 1)->flags = IOSQE_FIXED_FILE;
        PREP(2, write_fixed, 0, filled(2, 'o'), 5000, 0, 2)->flags = IOSQE_FIXED_FILE;
        PREP(3, read, 2, pieces[3], 100, 0)->flags = IOSQE_FIXED_FILE;
        PREP(4, fsync, 1, 0)->flags = IOSQE_FIXED_FILE;
        PREP(5, read_fixed, 1, pieces[5], 100, 0, 7)->flags = IOSQE_FIXED_FILE;
        run("fixed", 6);
        sums(4);
    }
    fd = must_open(path, O_RDWR);
    update[0] = fd;
    said("update", io_uring_register_files_update(&ring, 2, update, 2));
    close(fd);
    PREP(0, read, 2, pieces[0], 5000, 33000)->flags = IOSQE_FIXED_FILE;
    PREP(1, read, 3, pieces[1], 5000, 33000)->flags = IOSQE_FIXED_FILE;
    PREP(2, read, 0, pieces[2], 5000, 0)->flags = IOSQE_FIXED_FILE;
    run("updated", 3);
    fd = must_open(path, O_RDWR);
    PREP(0, files_update, &fd, 1, 3);
    run("update", 1);
    PREP(0, write, 3, filled(0, 'g'), 5000, 70000)->flags = IOSQE_FIXED_FILE;
    run("updated by request", 1);
    PREP(0, close_direct, 3);
    run("close", 1);
    PREP(0, read, 3, pieces[0], 5000, 70000)->flags = IOSQE_FIXED_FILE;
    PREP(1, fsync, 3, 0)->flags = IOSQE_FIXED_FILE;
    run("closed", 2);
    said("unregister", io_uring_unregister_files(&ring));
    PREP(0, read, 2, pieces[0], 5000, 70000)->flags = IOSQE_FIXED_FILE;
    PREP(1, read, fd, pieces[1], 5000, 70000);
    run("unregistered", 2);
    said("sparse", io_uring_register_files_sparse(&ring, 8));
    said("update", io_uring_register_files_update(&ring, 5, &fd, 1));
    PREP(0, read, 5, pieces[0], 5000, 70000)->flags = IOSQE_FIXED_FILE;
    run("sparse", 1);
    sums(4);
    unlink("ring.plain");
}

static void do_files(const char *path)
{
    struct io_uring_cqe *cqe;
    struct statx st = { 0 }, same = { 0 };
    int fd, pipes[2];

    begin(0);
    PREP(0, openat, AT_FDCWD, path, O_RDWR, 0);
    said("submit", io_uring_submit(&ring));
    io_uring_wait_cqe(&ring, &cqe);
    fd = cqe->res;
    said("open", fd);
    io_uring_cqe_seen(&ring, cqe);
    said("read", read(fd, pieces[0], 1000));
    PREP(0, statx, AT_FDCWD, path, 0, STATX_SIZE, &st);
    PREP(1, statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &same);
    PREP(2, statx, AT_FDCWD, "missing.add-cow", 0, STATX_SIZE, &same);
    PREP(3, openat, AT_FDCWD, "missing.add-cow", O_RDWR, 0);
    PREP(4, openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600);
    run("paths", 5);
    printf("%llu %llu\n", (unsigned long long)st.stx_size, (unsigned long long)same.stx_size);
    PREP(0, fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3000, 9000);
    PREP(1, fallocate, fd, 0, 0, (off_t)st.stx_size + 5000);
    PREP(2, fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, 1000);
    run("fallocate", 3);
    PREP(0, fadvise, fd, 0, 10000, POSIX_FADV_WILLNEED);
    PREP(1, sync_file_range, fd, 10000, 0, SYNC_FILE_RANGE_WRITE);
    PREP(2, sync_file_range, fd, 10000, 0, 1 << 20);
    PREP(3, cancel64, 77, 0);
    PREP(4, epoll_ctl, 999, fd, EPOLL_CTL_ADD, (struct epoll_event *)pieces[1]);
    PREP(5, recv, fd, pieces[0], 10, 0);
    run("others", 6);
    said("pipe", pipe(pipes));
    PREP(0, read, pipes[0], pieces[2], 100, 0);
    PREP(1, fsync, fd, 0);
    PREP(2, cancel64, 0, 0);
    run("cancel", 3);
    PREP(0, cancel_fd, fd, 0);
    run("cancel by descriptor", 1);
    PREP(0, read, fd, pieces[0], 5000, 0);
    PREP(1, write, fd, filled(1, 'c'), 5000, 20000);
    PREP(2, close, fd);
    run("close", 3);
    said("closed", read(fd, pieces[3], 10));
    PREP(0, read, fd, pieces[3], 10, 0);
    PREP(1, close, fd);
    run("closed", 2);
    sums(4);
}

/* What comes after a flat file's beginning, from a fixed sequence of numbers. */
static uint32_t number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Each number's own part of the file, so that the order does not matter. */
static void many(const char *path, uint32_t seed, bool fixed, int flags)
{
    int fd = must_open(path, O_RDWR | flags), unit = flags & O_DIRECT ? 512 : 1;
    uint32_t state = seed;
    struct io_uring_cqe *cqe;

    if (fixed)
        said("files", io_uring_register_files(&ring, &fd, 1));
    for (int round = 0; round < 12; round++) {
        uint32_t hash = 0;

        for (int i = 0; i < MANY; i++) {
            uint32_t off = (uint32_t)i * 4096 + (i % 4 ? number(&state) % 1000 / unit * unit : 0);
            uint32_t len = (1 + number(&state) % 2000) / unit * unit + (unit > 1 ? unit : 0);
            struct io_uring_sqe *sqe;

            if (round % 2)
                sqe = PREP(i, write, fixed ? 0 : fd, filled(i, 'A' + (int)(number(&state) % 50)),
                           len, off);
            else
                sqe = PREP(i, read, fixed ? 0 : fd, pieces[i], len, off);
            sqe->flags = (fixed ? IOSQE_FIXED_FILE : 0) | (number(&state) % 5 ? 0 : IOSQE_ASYNC);
            if (round % 2 && number(&state) % 9 == 0)
                sqe->flags |= IOSQE_IO_LINK;
        }
        if (submit(MANY) != MANY)
            printf("not all submitted\n");
        for (int i = 0; i < MANY; i++) {
            io_uring_wait_cqe(&ring, &cqe);
            hash += (uint32_t)(cqe->user_data + 1) * (uint32_t)cqe->res;
            io_uring_cqe_seen(&ring, cqe);
        }
        for (int i = 0; i < MANY; i++)
            hash = hash * 31 + sum(pieces[i], PIECE);
        printf("%d: %08x\n", round, hash);
    }
    close(fd);
}

static void do_many(const char *path)
{
    begin(0);
    many(path, 1, false, 0);
    many(path, 2, true, 0);
}

static void do_direct(const char *path)
{
    int fd = must_open(path, O_RDWR | O_DIRECT);

    begin(0);
    many(path, 3, false, O_DIRECT);
    PREP(0, read, fd, pieces[0], 512, 60000);
    PREP(1, write, fd, pieces[0] + 1, 512, 512);
    run("not aligned", 2);
}

static void do_sqpoll(const char *path)
{
    begin(IORING_SETUP_SQPOLL);
    many(path, 4, true, 0);
    many(path, 5, false, O_DIRECT);
}

/* A device may have no polled reads at all. */
static void do_polled(const char *path)
{
    int fd = must_open(path, O_RDWR | O_DIRECT), buffered = must_open(path, O_RDWR);
    struct io_uring_cqe *cqe;

    begin(IORING_SETUP_IOPOLL);
    for (int i = 0; i < 30; i++) {
        if (i % 3 == 1)
            PREP(0, write, fd, filled(i, 'A' + i), 1024, i * 4096);
        else
            PREP(0, read, i % 3 ? buffered : fd, pieces[i], 1024, i * 4096);
        io_uring_submit(&ring);
        io_uring_wait_cqe(&ring, &cqe);
        if (i % 3 == 1 || (cqe->res != 1024 && cqe->res != -EOPNOTSUPP))
            printf("polled: %d\n", cqe->res);
        io_uring_cqe_seen(&ring, cqe);
    }
    PREP(0, fsync, fd, 0);
    said("fsync", io_uring_submit(&ring));
    io_uring_wait_cqe(&ring, &cqe);
    printf("fsync: %d\n", cqe->res);
}

/* Rings of other forms, and ones that the kernel knows by another number. */
static void do_kinds(const char *path)
{
    static const unsigned kinds[] = {
        0, IORING_SETUP_SQE128 | IORING_SETUP_CQE32, IORING_SETUP_COOP_TASKRUN,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SUBMIT_ALL,
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        begin(kinds[i]);
        if (i != 2)
            said("ring", io_uring_register_ring_fd(&ring));
        many(path, 10 + (uint32_t)i, i % 2, 0);
        io_uring_queue_exit(&ring);
    }
}

/* The kernel chooses the buffer when it begins to read. */
static void do_select(const char *path)
{
    int fd = must_open(path, O_RDWR);
    off_t end = lseek(fd, 0, SEEK_END);
    struct io_uring_cqe *cqe;

    begin(0);
    PREP(0, provide_buffers, pieces, PIECE, 16, 7, 0);
    run("provide", 1);
    for (int i = 0; i < 8; i++) {
        struct io_uring_sqe *sqe = PREP(0, read, fd, NULL, 3000, i < 7 ? i * 9000 : end - 10);

        sqe->flags = IOSQE_BUFFER_SELECT;
        sqe->buf_group = 7;
        io_uring_submit(&ring);
        io_uring_wait_cqe(&ring, &cqe);
        printf("%d %d %08x\n", cqe->res, cqe->flags & IORING_CQE_F_BUFFER,
               sum(pieces[cqe->flags >> IORING_CQE_BUFFER_SHIFT], cqe->res));
        io_uring_cqe_seen(&ring, cqe);
    }
}

static void *ring_of_its_own(void *arg)
{
    const char *path = arg;
    struct io_uring own;
    struct io_uring_cqe *cqe;
    static int number_of_thread;
    int me = __atomic_fetch_add(&number_of_thread, 1, __ATOMIC_RELAXED), fd = open(path, O_RDWR);
    long bad = io_uring_queue_init(16, &own, 0);

    for (int i = 0; i < 70; i++) {
        char out[600], in[600];

        memset(out, 'a' + me, sizeof(out));
        io_uring_prep_write(io_uring_get_sqe(&own), fd, out, 600, (i * 4 + me) * 700);
        bad += io_uring_submit_and_wait(&own, 1) != 1;
        io_uring_wait_cqe(&own, &cqe);
        bad += cqe->res != 600;
        io_uring_cqe_seen(&own, cqe);
        io_uring_prep_read(io_uring_get_sqe(&own), fd, in, 600, (i * 4 + me) * 700);
        bad += io_uring_submit_and_wait(&own, 1) != 1;
        io_uring_wait_cqe(&own, &cqe);
        bad += cqe->res != 600;
        io_uring_cqe_seen(&own, cqe);
        bad += memcmp(in, out, 600) != 0;
    }
    io_uring_queue_exit(&own);
    close(fd);
    return (void *)bad;
}

static void do_threads(const char *path)
{
    pthread_t threads[4];
    void *bad;

    alarm(60);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, ring_of_its_own, (void *)path);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &bad);
        printf("bad %ld\n", (long)bad);
    }
}

static void do_fork(const char *path)
{
    int fd = must_open(path, O_RDWR);
    pid_t child;

    begin(0);
    PREP(0, write, fd, filled(0, 'f'), 3000, 1000);
    run("parent", 1);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        begin(0);
        PREP(0, write, fd, filled(0, 'c'), 3000, 8000);
        PREP(1, read, fd, pieces[1], 3000, 1000);
        run("child", 2);
        sums(2);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    PREP(0, read, fd, pieces[0], 4000, 7500);
    run("parent", 1);
    sums(1);
}

static const struct mode modes[] = {
    { "fixed", do_fixed }, { "files", do_files }, { "many", do_many }, { "direct", do_direct },
    { "sqpoll", do_sqpoll }, { "polled", do_polled }, { "kinds", do_kinds },
    { "select", do_select },
    { "threads", do_threads }, { "fork", do_fork },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
