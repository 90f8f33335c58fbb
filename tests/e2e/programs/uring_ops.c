/*
 * io_uring by liburing: reads, writes and syncs, alone, in chains and between drains, and all
 * ways to submit them. `uring_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include "uring.h"

#define LINK IOSQE_IO_LINK

static void do_basic(const char *path)
{
    int fd = must_open(path, O_RDWR);
    off_t end = lseek(fd, 0, SEEK_END);

    begin(0);
    for (int round = 0; round < 4; round++) {
        PREP(0, read, fd, pieces[0], 3000, 60000);
        PREP(1, write, fd, filled(1, 'a' + round), 3000, 63100);
        PREP(2, readv, fd, vector(2, 5000), 2, 1234);
        PREP(3, writev, fd, vector(3, 5000), 2, 80001);
        PREP(4, fsync, fd, 0);
        run("some", 5);
        PREP(0, read, fd, pieces[0], 8000, 60000);
        PREP(1, readv, fd, vector(1, 8000), 2, 80000);
        PREP(2, fsync, fd, IORING_FSYNC_DATASYNC);
        run("again", 3);
        sums(4);
    }
    PREP(0, read, fd, pieces[0], 4000, end - 100);
    PREP(1, read, fd, pieces[1], 4000, end + 100);
    PREP(2, read, fd, pieces[2], 0, 0);
    PREP(3, write, fd, pieces[3], 0, 0);
    PREP(4, readv, fd, vector(4, 300), 2, end - 100);
    run("ends", 5);
    PREP(0, write, fd, filled(0, 'x'), 1000, end + 700);
    run("past the end", 1);
    PREP(0, read, fd, pieces[0], 4000, end - 100);
    PREP(1, poll_add, fd, POLLIN);
    run("and back", 2);
    sums(5);
    said("size", lseek(fd, 0, SEEK_END));
    io_uring_queue_exit(&ring);
}

static void do_position(const char *path)
{
    int fd = must_open(path, O_RDWR), end = must_open(path, O_WRONLY | O_APPEND);

    begin(0);
    lseek(fd, 5000, SEEK_SET);
    for (int i = 0; i < 3; i++) {
        PREP(0, read, fd, pieces[i], 777, -1);
        run("read on", 1);
    }
    PREP(0, write, fd, filled(3, 'p'), 1111, -1);
    run("write on", 1);
    PREP(0, readv, fd, vector(4, 999), 2, -1);
    run("readv on", 1);
    said("at", lseek(fd, 0, SEEK_CUR));
    said("fill", pwrite(fd, filled(5, 'o'), 2000, 0));
    PREP(0, write, end, filled(5, 'q'), 600, 3);
    run("append", 1);
    PREP(0, write, fd, filled(6, 'r'), 500, 3)->rw_flags = RWF_APPEND;
    run("append once", 1);
    PREP(0, write, fd, filled(7, 's'), 500, 9000)->rw_flags = RWF_DSYNC;
    PREP(1, write, fd, filled(7, 's'), 500, 12000)->rw_flags = RWF_SYNC;
    PREP(2, write, fd, filled(7, 's'), 500, 12000)->rw_flags = 1 << 20;
    run("flags", 3);
    said("size", lseek(fd, 0, SEEK_END));
    sums(8);
}

static void do_errors(const char *path)
{
    int in = must_open(path, O_RDONLY), out = must_open(path, O_WRONLY);

    begin(0);
    errno = EXDEV;
    for (int round = 0; round < 2; round++) {
        PREP(0, write, in, pieces[0], 100, 0);
        PREP(1, read, out, pieces[1], 100, 0);
        PREP(2, read, in, (void *)8, 100, 0);
        PREP(3, read, in, pieces[3], 100, -5);
        PREP(4, fsync, in, 0);
        PREP(5, fallocate, in, 0, 0, 100);
        PREP(6, fallocate, out, 0, 0, 0);
        PREP(7, read, 999, pieces[3], 100, 0);
        PREP(8, writev, in, vector(8, 100), 2, 0);
        run("errors", 9);
        /* As on a kernel that cannot complete a request with any error. */
        ring.features &= (1u << 14) - 1;
    }
    PREP(0, readv, in, vectors[0], 3000, 0);
    run("too many pieces", 1);
    printf("errno %d\n", errno);
}

static void do_links(const char *path)
{
    int fd = must_open(path, O_RDWR), in = must_open(path, O_RDONLY);
    int plain = must_open("ring.plain", O_RDWR | O_CREAT);
    off_t end = lseek(fd, 0, SEEK_END);

    begin(0);
    said("fill", pwrite(plain, filled(0, 'P'), PIECE, 0));
    for (int round = 0; round < 2; round++) {
        PREP(0, write, fd, filled(0, 'l'), 3000, 10100)->flags = LINK;
        PREP(1, fsync, fd, 0)->flags = LINK;
        PREP(2, read, fd, pieces[2], 3000, 10000)->flags = LINK;
        PREP(3, write, fd, pieces[2], 3000, 20000);
        PREP(4, read, fd, pieces[4], 3000, 40000);
        run("chain", 5);
        /* A plain file's come first, and the disk's buffer is theirs. */
        PREP(0, read, plain, filled(1, 'z'), 5000, 0)->flags = LINK;
        PREP(1, write, fd, pieces[1], 5000, 50100)->flags = LINK;
        PREP(2, read, fd, pieces[3], 6000, 50000)->flags = LINK;
        PREP(3, write, plain, pieces[3], 6000, 9000);
        run("through", 4);
        PREP(0, write, in, pieces[0], 100, 0)->flags = LINK;
        PREP(1, write, fd, pieces[0], 100, 60000)->flags = LINK;
        PREP(2, write, plain, pieces[0], 100, 60000);
        PREP(3, write, fd, pieces[0], 100, 61000);
        run("broken", 4);
        PREP(0, read, fd, pieces[0], 1000, end - 10)->flags = LINK;
        PREP(1, write, fd, pieces[0], 100, 62000)->flags = LINK;
        PREP(2, nop);
        run("short", 3);
        PREP(0, read, fd, pieces[0], 1000, end - 10)->flags = IOSQE_IO_HARDLINK;
        PREP(1, write, in, pieces[0], 100, 63000)->flags = IOSQE_IO_HARDLINK;
        PREP(2, write, fd, filled(5, 'h'), 100, 64000);
        run("hard", 3);
        PREP(0, write, plain, pieces[0], 1, 0)->flags = LINK;
        PREP(1, read, 999, pieces[0], 1, 0)->flags = LINK;
        PREP(2, write, fd, filled(5, 'n'), 100, 66000)->flags = LINK;
        PREP(3, fsync, fd, 0);
        run("broken before", 4);
        PREP(0, write, plain, pieces[0], 1, 0)->flags = LINK;
        PREP(1, read, fd, pieces[6], 1000, end - 10)->flags = LINK;
        PREP(2, write, fd, filled(5, 'n'), 100, 67000);
        run("short behind another", 3);
    }
    sums(7);
    said("plain", pread(plain, pieces[0], PIECE, 8000));
    sums(1);
    unlink("ring.plain");
}

static void do_skip(const char *path)
{
    struct __kernel_timespec long_time = { .tv_sec = 30 };
    int fd = must_open(path, O_RDWR), in = must_open(path, O_RDONLY);
    off_t end = lseek(fd, 0, SEEK_END);

    begin(0);
    for (int round = 0; round < 2; round++) {
        PREP(0, write, fd, filled(0, 's'), 3000, 10100)->flags = IOSQE_CQE_SKIP_SUCCESS;
        PREP(1, fsync, fd, 0)->flags = IOSQE_CQE_SKIP_SUCCESS;
        PREP(2, write, in, pieces[0], 3000, 10100)->flags = IOSQE_CQE_SKIP_SUCCESS;
        PREP(3, read, fd, pieces[3], 1000, end - 10)->flags = IOSQE_CQE_SKIP_SUCCESS;
        PREP(4, read, fd, pieces[4], 1000, 10000);
        run("skip", 3);
        PREP(0, write, in, pieces[0], 10, 0)->flags = LINK | IOSQE_CQE_SKIP_SUCCESS;
        PREP(1, write, fd, pieces[0], 10, 0)->flags = LINK;
        PREP(2, write, fd, pieces[0], 10, 0);
        PREP(3, read, fd, pieces[5], 1000, end - 10)->flags = LINK | IOSQE_CQE_SKIP_SUCCESS;
        PREP(4, write, fd, pieces[0], 10, 0)->flags = LINK;
        PREP(5, write, fd, pieces[0], 10, 0);
        PREP(6, read, fd, pieces[5], 1000, end - 10)->flags = LINK;
        PREP(7, write, fd, pieces[0], 10, 0)->flags = LINK | IOSQE_CQE_SKIP_SUCCESS;
        PREP(8, write, fd, pieces[0], 10, 0);
        run("skip in chains", 5);
        PREP(0, read, fd, pieces[6], 1000, 20000)->flags = LINK;
        PREP(1, link_timeout, &long_time, 0);
        PREP(2, write, fd, filled(1, 't'), 1000, 100000 + 7000 * round)->flags = LINK;
        PREP(3, link_timeout, &long_time, 0);
        PREP(4, read, fd, pieces[7], 1000, end - 10)->flags = LINK;
        PREP(5, link_timeout, &long_time, 0);
        run("timeouts", 6);
    }
    sums(8);
}

static void do_drain(const char *path)
{
    int fd = must_open(path, O_RDWR), plain = must_open("ring.plain", O_RDWR | O_CREAT);

    begin(0);
    said("fill", pwrite(plain, filled(0, 'P'), PIECE, 0));
    for (int round = 0; round < 3; round++) {
        PREP(0, read, plain, filled(0, 'z'), 5000, 0);
        PREP(1, read, fd, pieces[1], 5000, 30000);
        PREP(2, write, fd, pieces[0], 5000, 40100 + round * 7000)->flags = IOSQE_IO_DRAIN;
        PREP(3, fsync, fd, 0)->flags = IOSQE_IO_DRAIN;
        PREP(4, read, fd, pieces[4], 6000, 40000 + round * 7000)->flags = IOSQE_IO_DRAIN;
        PREP(5, write, plain, pieces[4], 6000, 9000)->flags = IOSQE_IO_DRAIN;
        PREP(6, nop)->flags = IOSQE_IO_DRAIN;
        run("drain", 7);
        PREP(0, write, fd, filled(6, 'd'), 5000, 100100 + round * 7000);
        PREP(1, read, fd, pieces[7], 1000, lseek(fd, 0, SEEK_END) - 10);
        run("after", 2);
    }
    sums(8);
    said("plain", pread(plain, pieces[0], PIECE, 8000));
    sums(1);
    unlink("ring.plain");
}

/* The entries as they are, once more: only the offset is another. */
static void do_reuse(const char *path)
{
    int fd = must_open(path, O_RDWR);

    begin(0);
    for (unsigned i = 0; i <= ring.sq.ring_mask; i++) {
        struct io_uring_sqe *sqe = PREP(i % MANY, write, fd, filled(i % MANY, 'u'), 700, i * 1500);

        sqe->user_data = i % MANY;
    }
    said("submit", io_uring_submit(&ring));
    for (unsigned i = 0; i <= ring.sq.ring_mask; i++) {
        struct io_uring_cqe *cqe;

        io_uring_wait_cqe(&ring, &cqe);
        io_uring_cqe_seen(&ring, cqe);
    }
    for (int i = 0; i < 20; i++)
        io_uring_get_sqe(&ring)->off += 800;
    run("again", 20);
}

static const struct mode modes[] = {
    { "basic", do_basic }, { "position", do_position }, { "errors", do_errors },
    { "links", do_links }, { "skip", do_skip }, { "drain", do_drain }, { "reuse", do_reuse },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
