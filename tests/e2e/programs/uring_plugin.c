/* A library that brings liburing with it: one request on `fd`, and its result. */
#include <liburing.h>

int go(int fd, char *buf, unsigned len, long off, int writes);

int go(int fd, char *buf, unsigned len, long off, int writes)
{
    struct io_uring_cqe *cqe;
    struct io_uring ring;
    int r = io_uring_queue_init(4, &ring, 0);

    if (r < 0)
        return r;
    if (writes)
        io_uring_prep_write(io_uring_get_sqe(&ring), fd, buf, len, (unsigned long long)off);
    else
        io_uring_prep_read(io_uring_get_sqe(&ring), fd, buf, len, (unsigned long long)off);
    r = io_uring_submit(&ring);
    if (r == 1)
        r = io_uring_wait_cqe(&ring, &cqe);
    if (r == 0)
        r = cqe->res;
    io_uring_queue_exit(&ring);
    return r;
}
