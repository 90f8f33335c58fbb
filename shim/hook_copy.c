/*
 * Copying within the kernel, which cannot see a disk: what it checks is checked here, in its order,
 * and copy.c moves the bytes. As in the kernel the file offset is looked at
 * before, and set after, without a lock: a call may wait for a pipe.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "copy.h"
#include "fdtable.h"
#include "hooks.h"
#include "leave.h"
#include "memory.h"
#include "process.h"
#include "real.h"

#define SPLICE_ALL (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

/* ---- an end ------------------------------------------------------------------------- */

static bool no_disk(int in, int out)
{
    return __builtin_expect(!fdtable_is_disk(in) && !fdtable_is_disk(out), 1);
}

/* False: neither is a disk any more. `point`: the call is a cancellation point. */
static bool find_ends(struct copy_end *in, struct copy_end *out, bool point)
{
    if (point)
        pthread_testcancel();
    process_enter();
    in->ofd = fdtable_get(in->fd);
    out->ofd = fdtable_get(out->fd);
    if (in->ofd || out->ofd)
        return true;
    process_leave();
    return false;
}

/* As LEAVE, for all that find_ends began. Calls on the way may have failed, which must not show. */
#define LEAVE_ENDS(in, out, result, call, ...) ({ \
    int saved_ = errno; \
    ssize_t moved_ = (result); \
    struct ofd *first_ = (in)->ofd ? (in)->ofd : (out)->ofd; \
    errno = saved_; \
    if ((in)->ofd && (out)->ofd) \
        fdtable_put((out)->ofd); \
    moved_ = LEAVE(first_, (in)->ofd ? (in)->fd : (out)->fd, moved_, call, __VA_ARGS__); \
    process_leave(); \
    moved_; })

/* Its flags as F_GETFL shows them, or -EBADF. */
static int flags_of(const struct copy_end *end)
{
    int flags = end->ofd ? (int)end->ofd->state->flags : NATIVE(REAL(fcntl64)(end->fd, F_GETFL));

    return flags >= 0 && flags & O_PATH ? -EBADF : flags;
}

static bool may_read(int flags)
{
    return (flags & O_ACCMODE) != O_WRONLY;
}

static bool may_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

static bool is_pipe(const struct copy_end *end)
{
    return !end->ofd && REAL(fcntl64)(end->fd, F_GETPIPE_SZ) >= 0;
}

static mode_t type_of(const struct copy_end *end)
{
    struct stat st;

    if (end->ofd)
        return S_IFREG;
    return REAL(fstat64)(end->fd, &st) < 0 ? 0 : st.st_mode & S_IFMT;
}

/* Where it begins: at *off, or at the file offset. */
static int begin_at(struct copy_end *end, const int64_t *off)
{
    if (off)
        end->off = *off;
    else if (end->ofd)
        end->off = (int64_t)__atomic_load_n(&end->ofd->state->offset, __ATOMIC_RELAXED);
    else
        end->off = REAL(lseek64)(end->fd, 0, SEEK_CUR);
    return end->off < 0 && !off ? -errno : 0;
}

static void go_on(const struct copy_end *end, int64_t *off, ssize_t n)
{
    if (n <= 0)
        return;
    if (off)
        *off = end->off + n;
    else if (end->ofd)
        __atomic_store_n(&end->ofd->state->offset, (uint64_t)(end->off + n), __ATOMIC_RELAXED);
    else
        REAL(lseek64)(end->fd, end->off + n, SEEK_SET);
}

static int check_pointer(const int64_t *off)
{
    return off ? memory_check(off, sizeof(*off), true) : 0;
}

/* The kernel's rw_verify_area. */
static int check_area(int64_t off, size_t len)
{
    return (ssize_t)len < 0 || off < 0 || (int64_t)((uint64_t)off + len) < 0 ? -EINVAL : 0;
}

static size_t limited(size_t len)
{
    return len < COPY_MAX ? len : COPY_MAX;
}

/* ---- sendfile ------------------------------------------------------------------------- */

static ssize_t send_between(struct copy_end *out, struct copy_end *in, int64_t *off, size_t len)
{
    int r = check_pointer(off), in_flags = flags_of(in), out_flags = flags_of(out);
    mode_t type = type_of(in);
    ssize_t n;

    if (r < 0)
        return r;
    if (in_flags < 0 || !may_read(in_flags))
        return -EBADF;
    /* What has a file offset, as later kernels have it: /dev/zero, too. */
    if (type == S_IFDIR || (!in->ofd && REAL(lseek64)(in->fd, 0, SEEK_CUR) < 0))
        return off && (type == S_IFIFO || type == S_IFSOCK) ? -ESPIPE : -EINVAL;
    r = begin_at(in, off);
    if (r == 0)
        r = check_area(in->off, len);
    if (r < 0)
        return r;
    if (out_flags < 0 || !may_write(out_flags))
        return -EBADF;
    len = limited(len);
    if (is_pipe(out)) {
        n = copy_to_pipe(in->ofd, in->off, out->fd, len,
                         out_flags & O_NONBLOCK ? SPLICE_F_NONBLOCK : 0, false);
    } else if (!out->ofd) {
        n = copy_send(in->ofd, in->off, out->fd, len);
    } else {
        if (out_flags & O_APPEND)
            return -EINVAL;
        begin_at(out, NULL);
        r = check_area(out->off, len);
        if (r < 0)
            return r;
        n = copy_range(in, out, len, true);
        go_on(out, NULL, n);
    }
    go_on(in, off, n);
    return n;
}

ssize_t hook_sendfile(int out_fd, int in_fd, int64_t *off, size_t len)
{
    struct copy_end in = { .fd = in_fd }, out = { .fd = out_fd };

    if (no_disk(in_fd, out_fd) || !find_ends(&in, &out, false))
        return REAL(sendfile64)(out_fd, in_fd, off, len);
    return LEAVE_ENDS(&in, &out, send_between(&out, &in, off, len), "sendfile", "to %d, from %d, %zu",
                      out_fd, in_fd, len);
}

/* ---- splice and tee ------------------------------------------------------------------- */

static ssize_t splice_between(struct copy_end *in, int64_t *in_off, struct copy_end *out,
                              int64_t *out_off, size_t len, unsigned flags)
{
    int in_flags = flags_of(in), out_flags = flags_of(out), r;
    bool from_pipe = is_pipe(in), to_pipe = is_pipe(out);
    ssize_t n;

    if (in_flags < 0 || out_flags < 0)
        return -EBADF;
    if ((from_pipe && in_off) || (to_pipe && out_off))
        return -ESPIPE;
    r = check_pointer(out_off);
    if (r == 0)
        r = check_pointer(in_off);
    if (r < 0)
        return r;
    if (!may_read(in_flags) || !may_write(out_flags))
        return -EBADF;
    if (!from_pipe && !to_pipe)
        return -EINVAL;
    if (to_pipe) {
        begin_at(in, in_off);
        r = check_area(in->off, len);
        if (r < 0)
            return r;
        n = copy_to_pipe(in->ofd, in->off, out->fd, limited(len),
                         flags | (out_flags & O_NONBLOCK ? SPLICE_F_NONBLOCK : 0), true);
        go_on(in, in_off, n);
        return n;
    }
    begin_at(out, out_off);
    if (out_flags & O_APPEND)
        return -EINVAL;
    r = check_area(out->off, len);
    if (r < 0)
        return r;
    n = copy_from_pipe(in->fd, out->ofd, out->off, limited(len),
                       flags | (in_flags & O_NONBLOCK ? SPLICE_F_NONBLOCK : 0));
    go_on(out, out_off, n);
    return n;
}

ssize_t hook_splice(int in_fd, int64_t *in_off, int out_fd, int64_t *out_off, size_t len, unsigned flags)
{
    struct copy_end in = { .fd = in_fd }, out = { .fd = out_fd };

    /* Of these the kernel does not look at the descriptors. */
    if (len == 0 || flags & ~SPLICE_ALL || no_disk(in_fd, out_fd) || !find_ends(&in, &out, true))
        return REAL(splice)(in_fd, in_off, out_fd, out_off, len, flags);
    return LEAVE_ENDS(&in, &out, splice_between(&in, in_off, &out, out_off, len, flags), "splice",
                      "from %d, to %d, %zu, %#x", in_fd, out_fd, len, flags);
}

static ssize_t tee_between(const struct copy_end *in, const struct copy_end *out)
{
    int in_flags = flags_of(in), out_flags = flags_of(out);

    return in_flags < 0 || out_flags < 0 || !may_read(in_flags) || !may_write(out_flags) ? -EBADF : -EINVAL;
}

ssize_t hook_tee(int in_fd, int out_fd, size_t len, unsigned flags)
{
    struct copy_end in = { .fd = in_fd }, out = { .fd = out_fd };

    if (len == 0 || flags & ~SPLICE_ALL || no_disk(in_fd, out_fd) || !find_ends(&in, &out, true))
        return REAL(tee)(in_fd, out_fd, len, flags);
    return LEAVE_ENDS(&in, &out, tee_between(&in, &out), "tee", "from %d, to %d", in_fd, out_fd);
}

/* ---- copy_file_range -------------------------------------------------------------------- */

static int64_t size_of(const struct copy_end *end)
{
    struct acow_disk *disk;
    struct stat st;
    int r;

    if (!end->ofd)
        return REAL(fstat64)(end->fd, &st) < 0 ? -errno : st.st_size;
    r = ofd_disk(end->ofd, &disk);
    return r < 0 ? r : acow_size(disk);
}

static bool same_file(const struct copy_end *in, const struct copy_end *out)
{
    return in->ofd && out->ofd && in->ofd->state->dev == out->ofd->state->dev
           && in->ofd->state->ino == out->ofd->state->ino;
}

/* The kernel's generic_copy_file_checks. *len becomes what there is. */
static int check_range(const struct copy_end *in, int in_flags, const struct copy_end *out, int out_flags,
                       size_t *len)
{
    mode_t in_type = type_of(in), out_type = type_of(out);
    uint64_t from = (uint64_t)in->off, to = (uint64_t)out->off, left;
    int64_t size;

    if (in_type == S_IFDIR || out_type == S_IFDIR)
        return -EISDIR;
    if (in_type != S_IFREG || out_type != S_IFREG)
        return -EINVAL;
    if (!may_read(in_flags) || !may_write(out_flags) || out_flags & O_APPEND)
        return -EBADF;
    if (from + *len < from || to + *len < to)
        return -EOVERFLOW;
    size = size_of(in);
    if (size < 0)
        return (int)size;
    left = in->off >= size ? 0 : (uint64_t)(size - in->off);
    if (*len > left)
        *len = left;
    if (same_file(in, out) && to + *len > from && to < from + *len)
        return -EINVAL;
    return check_area(in->off, *len) < 0 ? -EINVAL : check_area(out->off, *len);
}

static ssize_t copy_between(struct copy_end *in, int64_t *in_off, struct copy_end *out, int64_t *out_off,
                            size_t len, unsigned flags)
{
    int in_flags = flags_of(in), out_flags = flags_of(out), r;
    ssize_t n;

    if (in_flags < 0 || out_flags < 0)
        return -EBADF;
    r = check_pointer(in_off);
    if (r == 0)
        r = check_pointer(out_off);
    if (r < 0)
        return r;
    if (flags)
        return -EINVAL;
    /* What has no file offset is no file, which comes first. */
    begin_at(in, in_off);
    begin_at(out, out_off);
    r = check_range(in, in_flags, out, out_flags, &len);
    if (r < 0)
        return r;
    n = copy_range(in, out, limited(len), false);
    go_on(in, in_off, n);
    go_on(out, out_off, n);
    return n;
}

ssize_t hook_copy_file_range(int in_fd, int64_t *in_off, int out_fd, int64_t *out_off, size_t len,
                             unsigned flags)
{
    struct copy_end in = { .fd = in_fd }, out = { .fd = out_fd };

    if (no_disk(in_fd, out_fd) || !find_ends(&in, &out, true))
        return REAL(copy_file_range)(in_fd, in_off, out_fd, out_off, len, flags);
    return LEAVE_ENDS(&in, &out, copy_between(&in, in_off, &out, out_off, len, flags), "copy_file_range",
                      "from %d, to %d, %zu", in_fd, out_fd, len);
}

#define HOOK_copy EXPORT
#include "alias.h"
