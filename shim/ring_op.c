/*
 * What becomes of one request. What the kernel can do on a hidden descriptor of the disk it is
 * given: many reads and writes (ring_rw.c), and what is true of the image or the metadata file as
 * such. So is a sync, of the image, once the bits are safe: the writes that are the kernel's set
 * none. All else is done here, as by the calls of the same names; if it has to wait for others,
 * it is not served.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>

#include "addcow.h"
#include "fdtable.h"
#include "hidden.h"
#include "hooks.h"
#include "leave.h"
#include "path.h"
#include "process.h"
#include "report.h"
#include "ring.h"

enum ring_way ring_done(struct ring_request *req, int64_t result)
{
    req->result = result;
    return RING_DONE;
}

enum ring_way ring_refuse(struct ring_request *req, const char *what, const char *disk)
{
    return ring_done(req, report_unserved(what, disk));
}

/* The kernel's to do, on `fd`. Takes `ofd` over. */
enum ring_way ring_pass(struct ring_request *req, struct ofd *ofd, int fd)
{
    req->sqe->fd = fd;
    req->sqe->flags &= (uint8_t)~IOSQE_FIXED_FILE;
    req->held = ofd;
    return RING_CHANGED;
}

static struct ofd *disk_of(const struct ring_request *req)
{
    return ring_disk(req->ring, req->sqe->fd, req->sqe->flags & IOSQE_FIXED_FILE);
}

/* ---- others ---------------------------------------------------------------------- */

static enum ring_way sync_disk(struct ring_request *req, struct ofd *ofd)
{
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0 || req->queue->flags & IORING_SETUP_IOPOLL)
        return r < 0 ? ring_done(req, r) : RING_LEFT;
    if (req->now && !req->waits)
        return ring_done(req, ofd_flush(ofd));
    r = acow_flush_ahead(disk);
    return r == 1 ? ring_pass(req, ofd, ofd->image_fd) : ring_done(req, r);
}

/* What is said about the image's descriptor, or the metadata file's, is true of the disk's. */
static enum ring_way on_file(struct ring_request *req, struct ofd *ofd, bool meta)
{
    struct acow_facts facts;
    struct acow_disk *disk;
    int r = ofd_disk(ofd, &disk);

    if (r < 0)
        return ring_done(req, r);
    acow_facts(disk, &facts);
    return ring_pass(req, ofd, meta ? facts.meta_fd : ofd->image_fd);
}

static enum ring_way change_size(struct ring_request *req, struct ofd *ofd)
{
    const struct io_uring_sqe *sqe = req->sqe;

    if (req->waits)
        return ring_refuse(req, "io_uring/fallocate or ftruncate that has to wait for others",
                           ofd->state->path);
    if (sqe->opcode == RING_OP_FTRUNCATE)
        return ring_done(req, ofd_truncate(ofd, (int64_t)sqe->off));
    return ring_done(req, ofd_fallocate(ofd, (int)sqe->len, (int64_t)sqe->off, (int64_t)sqe->addr));
}

static enum ring_way by_descriptor(struct ring_request *req, struct ofd *ofd)
{
    switch (req->sqe->opcode) {
    case IORING_OP_FSYNC:
        return sync_disk(req, ofd);
    case IORING_OP_SYNC_FILE_RANGE:
    case IORING_OP_FADVISE:
        return on_file(req, ofd, false);
    case IORING_OP_FSETXATTR:
    case IORING_OP_FGETXATTR:
        return on_file(req, ofd, true);
    case IORING_OP_FALLOCATE:
    case RING_OP_FTRUNCATE:
        return change_size(req, ofd);
    case RING_OP_FIXED_FD_INSTALL:
        return ring_refuse(req, "io_uring/fixed_fd_install", ofd->state->path);
    default:
        return ring_transfer(req, ofd);
    }
}

static enum ring_way on_disk(struct ring_request *req)
{
    struct io_uring_sqe before = *req->sqe;
    struct ofd *ofd = disk_of(req);
    enum ring_way way;

    if (!ofd)
        return RING_LEFT;
    way = by_descriptor(req, ofd);
    if (__builtin_expect(ofd->traced, 0))
        trace_call(ofd, before.fd, way == RING_DONE ? req->result : 0,
                   before.opcode == IORING_OP_FSYNC ? "io_uring/fsync" :
                   before.opcode == IORING_OP_FALLOCATE ? "io_uring/fallocate" :
                   ring_transfer_name(before.opcode), "%u, %lld%s", before.len,
                   (long long)before.off, way == RING_CHANGED ? " (begun)" : "");
    if (__builtin_expect(process_is_ending(), 0) && ofd->engine)
        acow_park(ofd->engine);
    if (way != RING_CHANGED)
        fdtable_put(ofd);
    return way;
}

/* Requests on this descriptor are known to the kernel by another. */
static enum ring_way cancel(struct ring_request *req)
{
    struct io_uring_sqe *sqe = req->sqe;
    struct ofd *ofd = NULL;

    if (sqe->cancel_flags & IORING_ASYNC_CANCEL_FD)
        ofd = ring_disk(req->ring, sqe->fd, sqe->cancel_flags & IORING_ASYNC_CANCEL_FD_FIXED);
    if (!ofd)
        return RING_LEFT;
    sqe->cancel_flags &= ~IORING_ASYNC_CANCEL_FD_FIXED;
    return ring_pass(req, ofd, ofd->image_fd);
}

/* The kernel cannot see a disk: what splice(2) says of one. */
static enum ring_way splice_disk(struct ring_request *req)
{
    const struct io_uring_sqe *sqe = req->sqe;
    struct ofd *out = disk_of(req), *in = ring_disk(req->ring, sqe->splice_fd_in,
                                                    sqe->splice_flags & SPLICE_F_FD_IN_FIXED);

    if (!out && !in)
        return RING_LEFT;
    if (out)
        fdtable_put(out);
    if (in)
        fdtable_put(in);
    return ring_done(req, -EINVAL);
}

/* ---- by path, and descriptors ------------------------------------------------------ */

static int64_t by_errno(int64_t r)
{
    return r < 0 ? -errno : r;
}

static enum ring_way open_disk(struct ring_request *req)
{
    const struct io_uring_sqe *sqe = req->sqe;
    const struct open_how *how = sqe->opcode == IORING_OP_OPENAT2 ? ring_pointer(sqe->off) : NULL;
    int flags = how ? (int)how->flags : (int)sqe->open_flags;
    const char *path = ring_pointer(sqe->addr);
    char real_path[PATH_LEN];
    bool found;

    if (!path || flags & (O_PATH | O_DIRECTORY) || (how && sqe->len < sizeof(*how)))
        return RING_LEFT;
    found = path_is_disk(sqe->fd, path, !(flags & O_NOFOLLOW), real_path);
    /* It may be made a disk by what it waits for. */
    if (req->waits && (found || acow_name_is_disk(path)))
        return ring_refuse(req, "io_uring/openat that has to wait for other requests", path);
    if (!found)
        return RING_LEFT;
    if (sqe->file_index)
        return ring_refuse(req, "io_uring/openat into a fixed file", path);
    if (how && how->resolve)
        return ring_refuse(req, "io_uring/openat2 with a restricted path", path);
    return ring_done(req, by_errno(hook_openat(sqe->fd, path, flags,
                                               how ? (mode_t)how->mode : sqe->len)));
}

static enum ring_way stat_disk(struct ring_request *req)
{
    const struct io_uring_sqe *sqe = req->sqe;
    const char *path = ring_pointer(sqe->addr);
    int flags = (int)sqe->statx_flags;
    char real_path[PATH_LEN];
    bool itself = (!path || !path[0]) && flags & AT_EMPTY_PATH && fdtable_is_disk(sqe->fd);

    if (itself)
        path = "";
    if (!itself
        && (!path || !path_is_disk(sqe->fd, path, !(flags & AT_SYMLINK_NOFOLLOW), real_path)))
        return RING_LEFT;
    if (req->waits)
        return ring_refuse(req, "io_uring/statx that has to wait for other requests",
                      itself ? "a disk" : real_path);
    return ring_done(req, by_errno(hook_statx(sqe->fd, path, flags, sqe->len,
                                              ring_pointer(sqe->off))));
}

static enum ring_way close_disk(struct ring_request *req)
{
    const struct io_uring_sqe *sqe = req->sqe;

    if (sqe->file_index) {
        int none = -1;

        ring_set_slots(req->ring, sqe->file_index - 1, &none, 1);
        return RING_LEFT;
    }
    if (hidden_is(sqe->fd))
        return ring_done(req, -EBADF);
    if (sqe->flags & IOSQE_FIXED_FILE || !fdtable_is_disk(sqe->fd))
        return RING_LEFT;
    if (req->waits)
        return ring_refuse(req, "io_uring/close that has to wait for other requests", "a disk");
    return ring_done(req, by_errno(hook_close(sqe->fd)));
}

static enum ring_way update_files(struct ring_request *req)
{
    const struct io_uring_sqe *sqe = req->sqe;
    const int *fds = ring_pointer(sqe->addr);

    if (sqe->off != IORING_FILE_INDEX_ALLOC) {
        ring_set_slots(req->ring, (unsigned)sqe->off, fds, sqe->len);
        return RING_LEFT;
    }
    for (unsigned i = 0; i < sqe->len; i++)
        if (fdtable_is_disk(fds[i]))
            return ring_refuse(req, "io_uring/files_update of slots that the kernel chooses",
                               "a disk");
    return RING_LEFT;
}

/* What is put there is no disk. */
static enum ring_way new_slot(struct ring_request *req)
{
    int none = -1;

    if (req->sqe->file_index && req->sqe->file_index != IORING_FILE_INDEX_ALLOC)
        ring_set_slots(req->ring, req->sqe->file_index - 1, &none, 1);
    return RING_LEFT;
}

static enum ring_way send_slot(struct ring_request *req)
{
    struct ofd *ofd = NULL;

    if (req->sqe->addr == IORING_MSG_SEND_FD)
        ofd = ring_disk(req->ring, (int)req->sqe->addr3, true);
    if (!ofd)
        return RING_LEFT;
    fdtable_put(ofd);
    return ring_refuse(req, "io_uring/msg_ring with a fixed file", "a disk");
}

enum ring_way ring_do(struct ring_request *req)
{
    switch (req->sqe->opcode) {
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_READ_FIXED:
    case RING_OP_READV_FIXED:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
    case RING_OP_WRITEV_FIXED:
    case IORING_OP_FSYNC:
    case IORING_OP_SYNC_FILE_RANGE:
    case IORING_OP_FADVISE:
    case IORING_OP_FALLOCATE:
    case RING_OP_FTRUNCATE:
    case IORING_OP_FSETXATTR:
    case IORING_OP_FGETXATTR:
    case RING_OP_FIXED_FD_INSTALL:
        return on_disk(req);
    case IORING_OP_SPLICE:
    case IORING_OP_TEE:
        return splice_disk(req);
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
        return open_disk(req) == RING_DONE ? RING_DONE : new_slot(req);
    case IORING_OP_STATX:
        return stat_disk(req);
    case IORING_OP_CLOSE:
        return close_disk(req);
    case IORING_OP_FILES_UPDATE:
        return update_files(req);
    case IORING_OP_ACCEPT:
    case IORING_OP_SOCKET:
        return new_slot(req);
    case IORING_OP_MSG_RING:
        return send_slot(req);
    case IORING_OP_ASYNC_CANCEL:
        return cancel(req);
    default:
        return RING_LEFT;
    }
}

bool ring_needs_doing(struct ring_request *req)
{
    struct ofd *ofd;
    bool needs;

    switch (req->sqe->opcode) {
    case IORING_OP_CLOSE:
        return fdtable_is_disk(req->sqe->fd);
    case IORING_OP_OPENAT:
    case IORING_OP_OPENAT2:
    case IORING_OP_STATX:
        return true;
    case IORING_OP_FALLOCATE:
    case RING_OP_FTRUNCATE:
    case IORING_OP_READ:
    case IORING_OP_READV:
    case IORING_OP_READ_FIXED:
    case RING_OP_READV_FIXED:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_WRITE_FIXED:
    case RING_OP_WRITEV_FIXED:
        break;
    default:
        return false;
    }
    ofd = disk_of(req);
    if (!ofd)
        return false;
    needs = req->sqe->opcode == IORING_OP_FALLOCATE || req->sqe->opcode == RING_OP_FTRUNCATE
            || ring_transfer_needs_doing(req, ofd);
    fdtable_put(ofd);
    return needs;
}
