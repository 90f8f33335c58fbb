/*
 * Functions that liburing has got since 2.3, for who has that: a library that stands in for a later one, made of the
 * functions of the one that is there; and with -DPROGRAM what uses them: `uring_later FILE`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

#ifdef PROGRAM
#include "uring.h"

int io_uring_submit_and_wait_min_timeout(struct io_uring *of, struct io_uring_cqe **cqe, unsigned count,
                                         struct __kernel_timespec *timeout, unsigned min, sigset_t *mask);
int io_uring_submit_and_wait_reg(struct io_uring *of, struct io_uring_cqe **cqe, unsigned count, int index);
int io_uring_queue_init_mem(unsigned entries, struct io_uring *of, struct io_uring_params *params,
                            void *memory, size_t size);
int io_uring_close_ring_fd(struct io_uring *of);

static void inlined_munmap(void *at, size_t len)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "0"(11L), "D"(at), "S"(len) : "rcx", "r11", "memory");
}

static void done(const char *what, int r, struct io_uring_cqe *cqe)
{
    printf("%s: %d, %d %s\n", what, r, cqe ? cqe->res : 0, cqe && cqe->res < 0 ? strerror(-cqe->res) : "");
    if (cqe)
        io_uring_cqe_seen(&ring, cqe);
}

int main(int argc, char **argv)
{
    struct __kernel_timespec long_time = { .tv_sec = 30 };
    struct io_uring_params params = { 0 };
    struct io_uring_cqe *cqe = NULL;
    int fd, r;

    if (argc != 2)
        return 2;
    alarm(60);
    fd = must_open(argv[1], O_RDWR);
    said("init", io_uring_queue_init_mem(8, &ring, &params, NULL, 0));
    PREP(0, read, fd, pieces[0], 5000, 3000);
    r = io_uring_submit_and_wait_min_timeout(&ring, &cqe, 1, &long_time, 0, NULL);
    done("min_timeout", r, cqe);
    PREP(1, write, fd, filled(1, 'w'), 5000, 30000);
    r = io_uring_submit_and_wait_reg(&ring, &cqe, 1, 0);
    done("reg", r, cqe);

    /* The number is another file's, and the ring goes on without it. */
    said("files", io_uring_register_files(&ring, &fd, 1));
    said("ring", io_uring_register_ring_fd(&ring));
    said("close_ring_fd", io_uring_close_ring_fd(&ring));
    close(must_open("in/text", O_RDONLY));
    PREP(2, read, 0, pieces[2], 5000, 30000)->flags = IOSQE_FIXED_FILE;
    io_uring_submit(&ring);
    r = io_uring_wait_cqe(&ring, &cqe);
    done("fixed", r, cqe);
    sums(3);

    /* A ring that stands where this one was has none of its files. */
    inlined_munmap(ring.sq.sqes, *ring.sq.kring_entries * sizeof(struct io_uring_sqe));
    inlined_munmap(ring.sq.ring_ptr, ring.sq.ring_sz);
    said("init", io_uring_queue_init_mem(8, &ring, &params, NULL, 0));
    PREP(3, read, 0, pieces[3], 5000, 3000)->flags = IOSQE_FIXED_FILE;
    io_uring_submit(&ring);
    r = io_uring_wait_cqe(&ring, &cqe);
    done("none", r, cqe);
    io_uring_queue_exit(&ring);
    return 0;
}
#else
#include <liburing.h>
#include <unistd.h>

/* liburing's own, past whoever is before it. */
static void *own(const char *name)
{
    return dlsym(dlopen("liburing.so.2", RTLD_NOW | RTLD_NOLOAD), name);
}

int io_uring_submit_and_wait_min_timeout(struct io_uring *of, struct io_uring_cqe **cqe, unsigned count,
                                         struct __kernel_timespec *timeout, unsigned min, sigset_t *mask)
{
    __typeof__(io_uring_submit_and_wait_timeout) *call = own("io_uring_submit_and_wait_timeout");

    (void)min;
    return call(of, cqe, count, timeout, mask);
}

int io_uring_submit_and_wait_reg(struct io_uring *of, struct io_uring_cqe **cqe, unsigned count, int index)
{
    __typeof__(io_uring_submit_and_wait_timeout) *call = own("io_uring_submit_and_wait_timeout");
    struct __kernel_timespec long_time = { .tv_sec = 30 };

    (void)index;
    return call(of, cqe, count, &long_time, NULL);
}

int io_uring_queue_init_mem(unsigned entries, struct io_uring *of, struct io_uring_params *params,
                            void *memory, size_t size)
{
    __typeof__(io_uring_queue_init_params) *call = own("io_uring_queue_init_params");

    (void)memory;
    (void)size;
    return call(entries, of, params);
}

/* The kernel's own number for the ring is what is used from here on. */
int io_uring_close_ring_fd(struct io_uring *of)
{
    long r;

    __asm__ volatile("syscall" : "=a"(r) : "0"(3L), "D"((long)of->ring_fd) : "rcx", "r11", "memory");
    of->ring_fd = -1;
    return 1;
}
#endif
