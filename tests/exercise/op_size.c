/* What changes where storage is, in any worker's range; and, in the last one, the file's size. */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEEP FALLOC_FL_KEEP_SIZE

void alloc_run(struct worker *w)
{
    static const struct {
        const char *what;
        int mode;
        bool zeros;
    } calls[] = {
        { "punch hole", FALLOC_FL_PUNCH_HOLE | KEEP, true },
        { "zero range", FALLOC_FL_ZERO_RANGE, true },
        { "zero range, keep size", FALLOC_FL_ZERO_RANGE | KEEP, true },
        { "fallocate", 0, false },
        { "fallocate, keep size", KEEP, false },
    };
    unsigned which = (unsigned)worker_below(w, sizeof(calls) / sizeof(calls[0]));
    uint64_t off;
    size_t len;

    if (w->reader || !worker_pick(w, PIECE, &off, &len))
        return;
    model_note(w, calls[which].zeros ? ZEROS : READS, calls[which].what, off, len, 0);
    if (fallocate(open_any(w), calls[which].mode, (off_t)off, (off_t)len) < 0) {
        if (errno == EOPNOTSUPP)
            return;
        model_fail(w, "%s", strerror(errno));
    }
    if (calls[which].zeros)
        model_zero(off, len);
}

/* ---- the last range ----------------------------------------------------------- */

static void append(struct worker *w)
{
    uint64_t off = shared->size;
    size_t len = 1 + (size_t)worker_below(w, worker_chance(w, 16) ? 40000 : 900);
    struct iovec iov = { w->data, len };
    int fd;

    model_make(w, "append", off, len, w->data);
    switch (worker_below(w, 4)) {
    case 0:
        fd = open_again(w, O_APPEND);
        model_result(w, write(fd, w->data, len), (int64_t)len);
        model_result(w, lseek(fd, 0, SEEK_CUR), (int64_t)(off + len));
        close(fd);
        break;
    case 1:
        model_result(w, pwritev2(open_any(w), &iov, 1, 0, RWF_APPEND), (int64_t)len);
        break;
    case 2:
        model_result(w, lseek(w->fd, 0, SEEK_END), (int64_t)off);
        model_result(w, write(w->fd, w->data, len), (int64_t)len);
        break;
    default:
        model_result(w, pwrite(open_any(w), w->data, len, (off_t)off), (int64_t)len);
    }
    model_put(off, len, w->data);
    model_resize(off + len);
}

static void write_past_end(struct worker *w)
{
    uint64_t off = shared->size + worker_below(w, 30000);
    size_t len = 1 + (size_t)worker_below(w, 3000);

    model_make(w, "pwrite past the end", off, len, w->data);
    model_result(w, pwrite(open_any(w), w->data, len, (off_t)off), (int64_t)len);
    model_put(off, len, w->data);
    model_resize(off + len);
}

static void write_over_end(struct worker *w)
{
    uint64_t all = shared->size - w->lo, off = shared->size - worker_below(w, all < 3000 ? all : 3000);
    size_t len = 1 + (size_t)worker_below(w, 6000);

    model_make(w, "pwrite over the end", off, len, w->data);
    model_result(w, pwrite(open_any(w), w->data, len, (off_t)off), (int64_t)len);
    model_put(off, len, w->data);
    if (off + len > shared->size)
        model_resize(off + len);
}

static void cut(struct worker *w)
{
    uint64_t all = shared->size - w->lo, off;

    if (all < 2)
        return;
    off = shared->size - worker_below(w, worker_chance(w, 16) ? all : all < 9000 ? all : 9000);
    model_note(w, ZEROS, "truncate", off, shared->size - off, 0);
    model_result(w, worker_chance(w, 3) ? truncate(shared->path, (off_t)off)
                                        : ftruncate(open_any(w), (off_t)off), 0);
    model_resize(off);
}

static void extend(struct worker *w)
{
    uint64_t off = shared->size, to = off + worker_below(w, worker_chance(w, 3) ? 60000 : 6000);
    int r;

    model_note(w, ZEROS, "extend", off, to - off, 0);
    switch (worker_below(w, 4)) {
    case 0:
        r = truncate(shared->path, (off_t)to);
        break;
    case 1:
        if (to == off)
            return;
        r = posix_fallocate(open_any(w), (off_t)off, (off_t)(to - off));
        if (r)
            errno = r;
        break;
    case 2:
        r = to > off ? fallocate(open_any(w), FALLOC_FL_ZERO_RANGE, (off_t)off, (off_t)(to - off)) : 0;
        if (r < 0 && errno == EOPNOTSUPP)
            return;
        break;
    default:
        r = ftruncate(open_any(w), (off_t)to);
    }
    model_result(w, r, 0);
    model_resize(to);
}

/* At once, before anything else brings the last sector into the image. */
static void cut_and_extend(struct worker *w)
{
    cut(w);
    if (worker_chance(w, 3))
        write_past_end(w);
    else
        extend(w);
}

static void look(struct worker *w)
{
    struct stat st;

    model_note(w, READS, "stat", shared->size, 1, 0);
    model_result(w, worker_chance(w, 2) ? stat(shared->path, &st) : fstat(open_any(w), &st), 0);
    if ((uint64_t)st.st_size != shared->size)
        model_fail(w, "the size is %lld, not %llu", (long long)st.st_size,
                   (unsigned long long)shared->size);
    model_result(w, pread(open_any(w), w->buf, 1000, (off_t)shared->size), 0);
}

void tail_run(struct worker *w)
{
    static void (*const calls[])(struct worker *) = {
        append, append, write_past_end, write_over_end, cut, cut_and_extend, extend, look,
    };

    if (!w->tail) {
        rw_run(w);
        return;
    }
    if (shared->size + 2 * PIECE > shared->cap)
        cut(w);
    else
        calls[worker_below(w, sizeof(calls) / sizeof(calls[0]))](w);
}
