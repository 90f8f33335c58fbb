/*
 * A request that does nothing and completes with the result that is wanted. A count is that of a
 * write to /dev/null. An error, since Linux 6.12, is what a no-op is told to complete with (since
 * 6.10 in truth, but 6.12 is told by a feature). Before that, the errors that programs look for
 * come from requests that must fail so, and all others become EBADF, which is said.
 *
 * All of these fail when they are begun, not when they are submitted: that would end the
 * submission.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "hidden.h"
#include "real.h"
#include "report.h"
#include "ring.h"

/* As <linux/io_uring.h> of Linux 6.12 has them. */
#define FEAT_MIN_TIMEOUT (1u << 15)
#define NOP_INJECT_RESULT 1u

static int opened(int *fd, const char *path)
{
    int none = -1, made = __atomic_load_n(fd, __ATOMIC_ACQUIRE);

    if (made >= 0)
        return made;
    made = hidden_move(REAL(open64)(path, O_WRONLY | O_CLOEXEC));
    if (made < 0)
        return -1;
    if (__atomic_compare_exchange_n(fd, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    hidden_close(made);
    return none;
}

static void set_failure(struct io_uring_sqe *sqe, int err)
{
    static int full = -1;

    /* EBADF, if nothing else. */
    sqe->opcode = IORING_OP_FSYNC;
    sqe->fd = -1;
    switch (err) {
    case EBADF:
        break;
    case EINVAL:
        sqe->opcode = IORING_OP_SYNC_FILE_RANGE;
        sqe->fd = opened(&full, "/dev/full");
        sqe->sync_range_flags = ~0u;
        break;
    case ENOSPC:
        sqe->opcode = IORING_OP_WRITE;
        sqe->fd = opened(&full, "/dev/full");
        sqe->len = 1;
        break;
    case EFAULT:
        sqe->opcode = IORING_OP_WRITE;
        sqe->fd = opened(&full, "/dev/full");
        sqe->addr = ~0ull - 4096;
        sqe->len = 1;
        break;
    default:
        report("a request of io_uring failed: %s; it completes with EBADF, as this kernel has no way "
               "to give it another error", strerrordesc_np(err));
    }
}

void ring_set_result(const struct ring_queue *queue, struct io_uring_sqe *sqe, int64_t result)
{
    static int null = -1;
    struct io_uring_sqe made = {
        .flags = sqe->flags & (IOSQE_IO_DRAIN | IOSQE_IO_LINK | IOSQE_IO_HARDLINK
                               | IOSQE_CQE_SKIP_SUCCESS),
        .user_data = sqe->user_data,
        .personality = sqe->personality,
    };

    made.fd = result < 0 || queue->flags & IORING_SETUP_IOPOLL ? -1 : opened(&null, "/dev/null");
    if (made.fd >= 0) {
        made.opcode = IORING_OP_WRITE;
        made.len = (uint32_t)result;
    } else if (queue->features & FEAT_MIN_TIMEOUT) {
        made.opcode = IORING_OP_NOP;
        made.len = (uint32_t)(int32_t)result;
        made.rw_flags = NOP_INJECT_RESULT;
    } else {
        set_failure(&made, result < 0 ? (int)-result : EBADF);
    }
    *sqe = made;
}
