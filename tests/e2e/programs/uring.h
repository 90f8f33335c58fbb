/*
 * What the programs about io_uring by liburing share: one ring, a way to fill its entries, and one
 * to submit them and show the completions, by the order of the requests.
 */
#ifndef URING_H
#define URING_H

#include <liburing.h>
#include <poll.h>
#include <unistd.h>

#include "ops.h"

#define MANY 64
#define PIECE 8192

static struct io_uring ring;
static char pieces[MANY][PIECE] __attribute__((aligned(4096)));
static struct iovec vectors[MANY][2];

static inline void begin(unsigned flags)
{
    int r = io_uring_queue_init(2 * MANY, &ring, flags);

    alarm(60);
    if (r < 0) {
        errno = -r;
        perror("io_uring_queue_init");
        exit(1);
    }
}

static inline struct io_uring_sqe *entry(unsigned id)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    memset(sqe, 0, sizeof(*sqe));
    sqe->user_data = id;
    return sqe;
}

/* The prep functions of this version reset user_data. */
#define PREP(id, kind, ...) ({ struct io_uring_sqe *sqe_ = entry(id); \
    io_uring_prep_##kind(sqe_, ##__VA_ARGS__); sqe_->user_data = (id); sqe_; })

/* Each time in another way. */
static inline int submit(unsigned wait)
{
    struct __kernel_timespec long_time = { .tv_sec = 30 };
    struct io_uring_cqe *cqe;
    static int times;
    int n = (int)io_uring_sq_ready(&ring), r;

    switch (times++ % 4) {
    case 0:
        return io_uring_submit(&ring);
    case 1:
        return io_uring_submit_and_wait(&ring, wait);
    case 2:
        return io_uring_submit_and_get_events(&ring);
    default:
        r = io_uring_submit_and_wait_timeout(&ring, &cqe, wait, &long_time, NULL);
        return r < 0 ? r : n;
    }
}

/* Submits what is there, and shows `count` completions. */
static inline void run(const char *what, int count)
{
    struct io_uring_cqe *cqe;
    int res[MANY] = { 0 }, seen[MANY] = { 0 };

    printf("%s: submitted %d\n", what, submit((unsigned)count));
    for (int i = 0; i < count; i++) {
        if (io_uring_wait_cqe(&ring, &cqe) < 0 || cqe->user_data >= MANY) {
            printf("bad completion\n");
            exit(1);
        }
        res[cqe->user_data] = cqe->res;
        seen[cqe->user_data]++;
        io_uring_cqe_seen(&ring, cqe);
    }
    for (int i = 0; i < MANY; i++)
        if (seen[i])
            printf("  %d: %d %s%s\n", i, res[i], res[i] < 0 ? strerror(-res[i]) : "",
                   seen[i] > 1 ? " more than once" : "");
    if (io_uring_cq_ready(&ring))
        printf("  more completions\n");
}

static inline void sums(int count)
{
    for (int i = 0; i < count; i++)
        printf("  %08x", sum(pieces[i], PIECE));
    printf("\n");
}

static inline char *filled(int i, int with)
{
    return memset(pieces[i], with, PIECE);
}

static inline const struct iovec *vector(int i, size_t len)
{
    vectors[i][0] = (struct iovec){ pieces[i], len / 3 };
    vectors[i][1] = (struct iovec){ pieces[i] + len / 3, len - len / 3 };
    return vectors[i];
}

#endif
