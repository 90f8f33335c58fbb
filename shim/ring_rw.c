/*
 * Reads and writes. The kernel does those whose sectors are all in the image, and reads of
 * sectors that are all in one flat file below. All else is done here, as by the calls of the same
 * names, if it need not wait; else the range is brought into the image, which changes nothing
 * that is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

#include "addcow.h"
#include "ofd.h"
#include "ring.h"

#define FLAG_DONTCACHE 0x80

#define TRANSFER_MAX 0x7ffff000u

/* Flags that the kernel may be left to see to, and those that ofd_writev and its like know. */
#define HARMLESS (RWF_HIPRI | RWF_NOWAIT | FLAG_DONTCACHE)
#define SERVED (HARMLESS | RWF_DSYNC | RWF_SYNC | RWF_APPEND)

/* A read or write. */
struct transfer {
    struct ofd *ofd;
    struct acow_disk *disk;
    const struct iovec *iov;
    struct iovec one;
    int iovcnt;
    bool reads, selects;        /* selects: the kernel chooses the buffer when it begins */
    int64_t off;
    uint64_t len;
};

const char *ring_transfer_name(int opcode)
{
    switch (opcode) {
    case IORING_OP_READ: return "io_uring/read";
    case IORING_OP_READV: return "io_uring/readv";
    case IORING_OP_READ_FIXED: return "io_uring/read_fixed";
    case RING_OP_READV_FIXED: return "io_uring/readv_fixed";
    case IORING_OP_WRITE: return "io_uring/write";
    case IORING_OP_WRITEV: return "io_uring/writev";
    case IORING_OP_WRITE_FIXED: return "io_uring/write_fixed";
    default: return "io_uring/writev_fixed";
    }
}

static void look_at(struct transfer *t, const struct io_uring_sqe *sqe)
{
    int op = sqe->opcode;

    t->reads = op == IORING_OP_READ || op == IORING_OP_READV || op == IORING_OP_READ_FIXED
               || op == RING_OP_READV_FIXED;
    t->selects = sqe->flags & IOSQE_BUFFER_SELECT;
    t->off = (int64_t)sqe->off;
    if (op == IORING_OP_READV || op == IORING_OP_WRITEV || op == RING_OP_READV_FIXED
        || op == RING_OP_WRITEV_FIXED) {
        t->iov = ring_pointer(sqe->addr);
        t->iovcnt = (int)sqe->len;
        t->len = 0;
        for (int i = 0; i < t->iovcnt && i < IOV_MAX; i++)
            t->len += t->iov[i].iov_len;
    } else {
        t->len = sqe->len < TRANSFER_MAX ? sqe->len : TRANSFER_MAX;
        t->one = (struct iovec){ ring_pointer(sqe->addr), t->len };
        t->iov = &t->one;
        t->iovcnt = 1;
    }
}

static bool kernel_may(const struct transfer *t, const struct io_uring_sqe *sqe)
{
    if (t->off < 0 || sqe->rw_flags & ~HARMLESS || t->iovcnt < 0 || t->iovcnt > IOV_MAX)
        return false;
    return t->reads || (t->ofd->state->flags & (O_APPEND | O_DSYNC | OFD_LARGE)) == OFD_LARGE;
}

/* The descriptor of the file that has all of it, or -1. */
static int file_for(const struct ring_request *req, const struct transfer *t)
{
    if (!kernel_may(t, req->sqe))
        return -1;
    if (acow_in_image(t->disk, (uint64_t)t->off, t->len, !t->reads))
        return t->ofd->image_fd;
    /* Who waits may wait for a write there; and below, O_DIRECT is not on. */
    if (!t->reads || req->waits || t->ofd->flags & O_DIRECT)
        return -1;
    return acow_below_fd(t->disk, (uint64_t)t->off, t->len);
}

static int64_t move(const struct transfer *t, const struct io_uring_sqe *sqe)
{
    int flags = (int)sqe->rw_flags & ~HARMLESS;

    if (sqe->rw_flags & ~SERVED)
        return -EOPNOTSUPP;
    if (t->iovcnt < 0 || t->iovcnt > IOV_MAX || t->len > TRANSFER_MAX || sqe->__pad2[0])
        return -EINVAL;
    if (t->reads && t->off == -1)
        return ofd_readv(t->ofd, t->iov, t->iovcnt);
    if (t->reads)
        return ofd_preadv(t->ofd, t->iov, t->iovcnt, t->off);
    if (t->off == -1)
        return ofd_writev(t->ofd, t->iov, t->iovcnt, flags);
    return ofd_pwritev(t->ofd, t->iov, t->iovcnt, t->off, flags);
}

/*
 * Makes it one that the kernel can do: 1, or 0 if that cannot be. A read that goes past the end
 * is as short on the image as on the disk.
 */
static int bring_up(const struct ring_request *req, const struct transfer *t)
{
    int64_t size = acow_size(t->disk);
    uint64_t len = t->len;
    int r;

    if (size < 0)
        return (int)size;
    if (!kernel_may(t, req->sqe) || !ofd_writable(t->ofd) || len == 0)
        return 0;
    if (t->reads && t->off >= size)
        return 1;
    if (t->reads && len > (uint64_t)(size - t->off))
        len = (uint64_t)(size - t->off);
    if (t->off >= size || len > (uint64_t)(size - t->off))
        return 0;
    r = acow_copy_up(t->disk, (uint64_t)t->off, len);
    if (r < 0)
        return r;
    return acow_in_image(t->disk, (uint64_t)t->off, len, !t->reads);
}

enum ring_way ring_transfer(struct ring_request *req, struct ofd *ofd)
{
    struct io_uring_sqe *sqe = req->sqe;
    struct transfer t = { .ofd = ofd };
    int r = ofd_disk(ofd, &t.disk), fd;

    if (r < 0)
        return ring_done(req, r);
    look_at(&t, sqe);
    if (t.reads ? !ofd_readable(ofd) : !ofd_writable(ofd))
        return ring_done(req, -EBADF);
    if (req->queue->flags & IORING_SETUP_IOPOLL && !(ofd->flags & O_DIRECT))
        return ring_done(req, -EOPNOTSUPP);
    fd = file_for(req, &t);
    if (fd >= 0 && (req->waits || t.selects || !req->now))
        return ring_pass(req, ofd, fd);
    if (!req->waits && !t.selects) {
        int64_t n = move(&t, sqe);

        req->fell_short = n >= 0 && (uint64_t)n != t.len;
        return ring_done(req, n);
    }
    r = t.len == 0 && !t.selects ? 0 : bring_up(req, &t);
    if (r < 0 || (t.len == 0 && !t.selects))
        return ring_done(req, r);
    if (r == 1)
        return ring_pass(req, ofd, ofd->image_fd);
    return ring_refuse(req, t.selects ? "io_uring/read into a buffer that the kernel chooses"
                                 : "io_uring/read or write that has to wait for other requests",
                  ofd->state->path);
}

bool ring_transfer_needs_doing(struct ring_request *req, struct ofd *ofd)
{
    struct transfer t = { .ofd = ofd };

    if (ofd_disk(ofd, &t.disk) < 0)
        return false;
    look_at(&t, req->sqe);
    return file_for(req, &t) < 0;
}
