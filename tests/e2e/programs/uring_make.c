/*
 * io_uring by liburing: all ways to make a ring and to end one, and files that are registered with
 * tags. `uring_make MODE FILE`.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "uring.h"

static long inlined(long number, long a, long b)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "0"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return r;
}

/* Ends the ring without a function that anybody could see. */
static void drop(void)
{
    size_t size = *ring.sq.kring_entries * sizeof(struct io_uring_sqe);

    inlined(SYS_munmap, (long)ring.sq.sqes, (long)size);
    inlined(SYS_munmap, (long)ring.sq.ring_ptr, (long)ring.sq.ring_sz);
    inlined(SYS_close, ring.ring_fd, 0);
}

static int make(int way)
{
    struct io_uring_params params = { 0 };
    int fd, r;

    switch (way) {
    case 0:
        return io_uring_queue_init(MANY, &ring, 0);
    case 1:
        return io_uring_queue_init_params(MANY, &ring, &params);
    default:
        fd = (int)inlined(SYS_io_uring_setup, MANY, (long)&params);
        r = io_uring_queue_mmap(fd, &params, &ring);
        ring.features = params.features;
        return r;
    }
}

/* A ring that stands where another one was has none of its files. */
static void do_again(const char *path)
{
    int fd = must_open(path, O_RDWR);

    alarm(60);
    for (int way = 0; way < 3; way++) {
        said("make", make(way));
        said("files", io_uring_register_files(&ring, &fd, 1));
        PREP(0, read, 0, pieces[0], 5000, 3000)->flags = IOSQE_FIXED_FILE;
        run("fixed", 1);
        drop();
        said("make", make(way));
        PREP(0, read, 0, pieces[1], 5000, 3000)->flags = IOSQE_FIXED_FILE;
        run("none", 1);
        PREP(0, write, fd, filled(2, 'm'), 700, 1000 + 9000 * way);
        run("by number", 1);
        io_uring_queue_exit(&ring);
    }
    sums(1);
}

/* A ring holds what is registered with it open, and ends it. */
static void do_ends(const char *path)
{
    int fd = must_open(path, O_RDWR);
    char name[64];

    snprintf(name, sizeof(name), "%s.run", path);
    begin(0);
    said("files", io_uring_register_files(&ring, &fd, 1));
    close(fd);
    PREP(0, write, 0, filled(0, 'e'), 5000, 3000)->flags = IOSQE_FIXED_FILE;
    run("fixed", 1);
    io_uring_queue_exit(&ring);
    said("left", access(name, F_OK) == 0);
}

static void do_tags(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open("in/text", O_RDONLY), files[] = { fd, -1 };
    __u64 tags[] = { 0, 0 };

    begin(0);
    said("files", io_uring_register_files_tags(&ring, files, tags, 2));
    PREP(0, read, 0, pieces[0], 5000, 3000)->flags = IOSQE_FIXED_FILE;
    PREP(1, read, 1, pieces[1], 5000, 3000)->flags = IOSQE_FIXED_FILE;
    run("tags", 2);
    said("update", io_uring_register_files_update_tag(&ring, 1, &fd, tags, 1));
    PREP(0, write, 1, filled(0, 't'), 5000, 3000)->flags = IOSQE_FIXED_FILE;
    run("updated", 1);
    said("update", io_uring_register_files_update_tag(&ring, 0, &other, tags, 1));
    PREP(0, read, 0, pieces[0], 5000, 3000)->flags = IOSQE_FIXED_FILE;
    PREP(1, read, 1, pieces[1], 5000, 4000)->flags = IOSQE_FIXED_FILE;
    run("other", 2);
    sums(2);
    io_uring_queue_exit(&ring);
}

static const struct mode modes[] = { { "again", do_again }, { "ends", do_ends }, { "tags", do_tags } };

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
