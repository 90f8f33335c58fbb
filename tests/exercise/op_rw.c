/* Reads and writes, plain, in vectors and with O_DIRECT; and seeking. */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Half of a worker's turns are writes, if it may. */
static bool writes(struct worker *w)
{
    return !w->reader && worker_chance(w, 2);
}

static void seek(struct worker *w, int fd, uint64_t off)
{
    int64_t at = lseek(fd, 0, SEEK_CUR);

    if (at < 0 || worker_chance(w, 2))
        at = lseek(fd, (off_t)off, SEEK_SET);
    else
        at = lseek(fd, (off_t)off - at, SEEK_CUR);
    if (at != (int64_t)off)
        model_fail(w, "lseek gave %lld: %s", (long long)at, strerror(errno));
}

static void offset_is(struct worker *w, int fd, int64_t want)
{
    int64_t at = lseek(fd, 0, SEEK_CUR);

    if (at != want)
        model_fail(w, "the offset is then %lld, not %lld", (long long)at, (long long)want);
}

void rw_run(struct worker *w)
{
    bool by_offset = worker_chance(w, 2), by_number = worker_chance(w, 8);
    int fd = by_offset ? w->fd : open_any(w);
    uint64_t off;
    size_t len;
    ssize_t n;

    if (writes(w)) {
        if (!worker_pick(w, PIECE, &off, &len))
            return;
        model_make(w, by_offset ? "write" : "pwrite", off, len, w->data);
        if (by_offset) {
            seek(w, fd, off);
            n = by_number ? syscall(SYS_write, fd, w->data, len) : write(fd, w->data, len);
        } else {
            n = by_number ? syscall(SYS_pwrite64, fd, w->data, len, off)
                          : pwrite(fd, w->data, len, (off_t)off);
        }
        model_result(w, n, (int64_t)len);
        model_put(off, len, w->data);
    } else {
        if (!worker_pick_wide(w, PIECE, &off, &len))
            return;
        model_note(w, READS, by_offset ? "read" : "pread", off, len, 0);
        if (by_offset) {
            seek(w, fd, off);
            n = by_number ? syscall(SYS_read, fd, w->buf, len) : read(fd, w->buf, len);
        } else {
            n = by_number ? syscall(SYS_pread64, fd, w->buf, len, off)
                          : pread(fd, w->buf, len, (off_t)off);
        }
        model_result_wide(w, n, off, len);
        model_check(w, off, (size_t)n, w->buf);
    }
    if (by_offset)
        offset_is(w, fd, (int64_t)off + n);
}

/* ---- vectors ----------------------------------------------------------------- */

#define VECTORS 9

static int cut(struct worker *w, unsigned char *data, size_t len, struct iovec *iov)
{
    int count = 0;

    while (count < VECTORS - 1 && len > 0) {
        size_t piece = (size_t)worker_below(w, len + 1);

        if (worker_chance(w, 3) && len > 512)
            piece = 512;
        iov[count++] = (struct iovec){ data, piece };
        data += piece;
        len -= piece;
    }
    iov[count++] = (struct iovec){ data, len };
    return count;
}

static ssize_t vector_write(struct worker *w, int fd, const struct iovec *iov, int count, off_t off)
{
    static const int flags[] = { 0, RWF_DSYNC, RWF_SYNC, RWF_HIPRI };
    unsigned which = (unsigned)worker_below(w, 40);
    ssize_t n;

    if (which >= 12)
        return pwritev(fd, iov, count, off);
    n = pwritev2(fd, iov, count, off, which < 4 ? flags[which] : 0);
    if (n < 0 && errno == EOPNOTSUPP)
        n = pwritev2(fd, iov, count, off, 0);
    return n;
}

static ssize_t vector_read(struct worker *w, int fd, const struct iovec *iov, int count, off_t off)
{
    static const int flags[] = { 0, RWF_HIPRI };
    unsigned which = (unsigned)worker_below(w, 8);
    ssize_t n;

    if (which >= 2)
        return preadv(fd, iov, count, off);
    n = preadv2(fd, iov, count, off, flags[which]);
    if (n < 0 && errno == EOPNOTSUPP)
        n = preadv2(fd, iov, count, off, 0);
    return n;
}

void vec_run(struct worker *w)
{
    bool by_offset = worker_chance(w, 3);
    int fd = by_offset ? w->fd : open_any(w), count;
    struct iovec iov[VECTORS];
    uint64_t off;
    size_t len;
    ssize_t n;

    if (writes(w)) {
        if (!worker_pick(w, PIECE, &off, &len))
            return;
        model_make(w, by_offset ? "writev" : "pwritev", off, len, w->data);
        count = cut(w, w->data, len, iov);
        if (by_offset)
            seek(w, fd, off);
        n = !by_offset ? vector_write(w, fd, iov, count, (off_t)off)
            : worker_chance(w, 2) ? writev(fd, iov, count) : pwritev2(fd, iov, count, -1, 0);
        model_result(w, n, (int64_t)len);
        model_put(off, len, w->data);
    } else {
        if (!worker_pick_wide(w, PIECE, &off, &len))
            return;
        model_note(w, READS, by_offset ? "readv" : "preadv", off, len, 0);
        count = cut(w, w->buf, len, iov);
        if (by_offset)
            seek(w, fd, off);
        n = !by_offset ? vector_read(w, fd, iov, count, (off_t)off)
            : worker_chance(w, 2) ? readv(fd, iov, count) : preadv2(fd, iov, count, -1, 0);
        model_result_wide(w, n, off, len);
        model_check(w, off, (size_t)n, w->buf);
    }
    if (by_offset)
        offset_is(w, fd, (int64_t)off + n);
}

/* ---- holes ------------------------------------------------------------------- */

static void must_be_zeros(struct worker *w, uint64_t off, uint64_t end)
{
    if (end > worker_end(w))
        end = worker_end(w);
    for (; off < end; off++)
        if (shared->model[off])
            model_fail(w, "there is data at byte %llu", (unsigned long long)off);
}

void seek_run(struct worker *w)
{
    uint64_t off, end = worker_end(w);
    int64_t at;
    size_t len;

    if (!worker_pick(w, 1, &off, &len))
        return;
    switch (worker_below(w, 3)) {
    case 0:
        model_note(w, READS, "lseek SEEK_DATA", off, 1, 0);
        at = lseek(w->fd, (off_t)off, SEEK_DATA);
        if (at < 0 && errno != ENXIO)
            model_result(w, at, 0);
        if (at >= 0 && at < (int64_t)off)
            model_fail(w, "gave %lld", (long long)at);
        must_be_zeros(w, off, at < 0 ? end : (uint64_t)at);
        break;
    case 1:
        model_note(w, READS, "lseek SEEK_HOLE", off, 1, 0);
        at = lseek(w->fd, (off_t)off, SEEK_HOLE);
        if (at < (int64_t)off)
            model_fail(w, "gave %lld: %s", (long long)at, strerror(errno));
        if ((uint64_t)at < end)
            must_be_zeros(w, (uint64_t)at, (uint64_t)at / PAGE * PAGE + PAGE);
        break;
    default:
        model_note(w, READS, "lseek SEEK_END", off, 1, 0);
        at = lseek(w->fd, 0, SEEK_END);
        if (w->tail ? at != (int64_t)end : at < (int64_t)end)
            model_fail(w, "gave %lld: %s", (long long)at, strerror(errno));
    }
    if (at >= 0)
        offset_is(w, w->fd, at);
}

/* ---- O_DIRECT ------------------------------------------------------------------ */

/*
 * Only whole pages of its own are written: where one program writes with O_DIRECT what another has mapped,
 * a flat file promises nothing either.
 */
void direct_run(struct worker *w)
{
    uint64_t off;
    size_t len;
    ssize_t n;
    int fd;

    if (!shared->direct)
        return;
    fd = open_again(w, O_DIRECT);
    for (uint64_t times = 1 + worker_below(w, 4); times > 0; times--) {
        if (writes(w)) {
            if (!worker_pick_aligned(w, PAGE, 32768, &off, &len))
                break;
            model_make(w, "pwrite O_DIRECT", off, len, w->data);
            model_result(w, pwrite(fd, w->data, len, (off_t)off), (int64_t)len);
            model_put(off, len, w->data);
        } else {
            if (!worker_pick_aligned(w, shared->direct, 32768, &off, &len))
                break;
            model_note(w, READS, "pread O_DIRECT", off, len, 0);
            n = pread(fd, w->buf, len, (off_t)off);
            model_result_wide(w, n, off, len);
            model_check(w, off, (size_t)n, w->buf);
        }
    }
    close(fd);
}
