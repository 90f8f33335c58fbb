/*
 * Asynchronous requests, POSIX's and the kernel's: several at once, on pieces of a stretch of the worker's range
 * that do not overlap. When all are done, it is known what each must have read.
 */
#include "exercise.h"

#include <aio.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REQUESTS 6

struct piece {
    uint64_t off;
    size_t len;
    unsigned char *buf;
    bool write;
};

/* Pieces of whole units; the last one may be less. */
static int cut(struct worker *w, const char *what, uint64_t off, size_t len, size_t unit,
               struct piece *pieces)
{
    size_t at = 0;
    int count = 0;

    while (at < len && count < REQUESTS) {
        size_t most = (len - at + unit - 1) / unit;
        size_t piece = (1 + (size_t)worker_below(w, most)) * unit;

        if (piece > len - at)
            piece = len - at;
        pieces[count] = (struct piece){ off + at, piece, w->buf + at,
                                        !w->reader && worker_chance(w, 2) };
        if (pieces[count].write) {
            pieces[count].buf = w->data + at;
            model_make(w, what, off + at, piece, w->data + at);
        } else {
            model_note(w, READS, what, off + at, piece, 0);
        }
        at += piece;
        count++;
    }
    return count;
}

static void settle(struct worker *w, const struct piece *piece, int64_t result)
{
    if (result < 0)
        errno = (int)-result;
    if (result != (int64_t)piece->len)
        model_fail(w, "of several: [%llu, %llu) %s: %s%lld", (unsigned long long)piece->off,
                   (unsigned long long)(piece->off + piece->len), piece->write ? "write" : "read",
                   result < 0 ? strerror(errno) : "", (long long)result);
    if (piece->write)
        model_put(piece->off, piece->len, piece->buf);
    else
        model_check(w, piece->off, piece->len, piece->buf);
}

/* ---- POSIX ----------------------------------------------------------------- */

static void start(struct worker *w, struct aiocb **list, int count)
{
    struct sigevent none = { .sigev_notify = SIGEV_NONE };
    int r = 0;

    switch (worker_below(w, 3)) {
    case 0:
        r = lio_listio(LIO_WAIT, list, count, NULL);
        break;
    case 1:
        r = lio_listio(LIO_NOWAIT, list, count, &none);
        break;
    default:
        for (int i = 0; i < count && r == 0; i++)
            r = list[i]->aio_lio_opcode == LIO_READ ? aio_read(list[i]) : aio_write(list[i]);
    }
    if (r != 0)
        model_fail(w, "cannot start: %s", strerror(errno));
}

void aio_run(struct worker *w)
{
    struct piece pieces[REQUESTS];
    struct aiocb cbs[REQUESTS], *list[REQUESTS];
    uint64_t off;
    size_t len;
    int count;

    if (!worker_pick(w, PIECE, &off, &len))
        return;
    memset(cbs, 0, sizeof(cbs));
    count = cut(w, "aio", off, len, 1, pieces);
    for (int i = 0; i < count; i++) {
        struct aiocb *cb = list[i] = &cbs[i];

        cb->aio_fildes = worker_chance(w, 2) ? w->fd : open_any(w);
        cb->aio_lio_opcode = pieces[i].write ? LIO_WRITE : LIO_READ;
        cb->aio_buf = pieces[i].buf;
        cb->aio_nbytes = pieces[i].len;
        cb->aio_offset = (off_t)pieces[i].off;
        cb->aio_sigevent.sigev_notify = SIGEV_NONE;
    }
    start(w, list, count);
    for (int i = 0; i < count; i++) {
        const struct aiocb *one = list[i];
        int error;

        while ((error = aio_error(one)) == EINPROGRESS)
            aio_suspend(&one, 1, NULL);
        settle(w, &pieces[i], error ? -error : aio_return(&cbs[i]));
    }
}

/* ---- the kernel's ------------------------------------------------------------ */

void aio_drop(struct worker *w)
{
    if (w->context)
        syscall(SYS_io_destroy, w->context);
    w->context = 0;
}

static int (*library)(aio_context_t, long, struct iocb **);

static void find_library(void)
{
    void *so = dlopen("libaio.so.1", RTLD_NOW | RTLD_GLOBAL);

    if (so)
        library = (int (*)(aio_context_t, long, struct iocb **))dlsym(RTLD_DEFAULT, "io_submit");
}

/* By the library or by number. */
static long submit(struct worker *w, int count, struct iocb **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    long r;

    pthread_once(&once, find_library);
    if (!library || worker_chance(w, 2))
        return syscall(SYS_io_submit, w->context, count, list);
    r = library(w->context, count, list);
    if (r < 0)
        errno = (int)-r;
    return r < 0 ? -1 : r;
}

static void prepare(struct worker *w, struct iocb *cb, struct iovec *iov, int fd,
                    const struct piece *piece, int number)
{
    bool vector = worker_chance(w, 3);
    size_t half = piece->len / 2 / PAGE * PAGE;

    iov[0] = (struct iovec){ piece->buf, half };
    iov[1] = (struct iovec){ piece->buf + half, piece->len - half };
    *cb = (struct iocb){
        .aio_data = (uint64_t)number, .aio_fildes = (uint32_t)fd, .aio_offset = (int64_t)piece->off,
        .aio_buf = vector ? (uintptr_t)iov : (uintptr_t)piece->buf,
        .aio_nbytes = vector ? 2 : piece->len,
        .aio_lio_opcode = vector ? piece->write ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV
                                 : piece->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
    };
}

void libaio_run(struct worker *w)
{
    bool direct = shared->direct && worker_chance(w, 2);
    struct piece pieces[REQUESTS];
    struct iocb cbs[REQUESTS], *list[REQUESTS];
    struct iovec iov[REQUESTS][2];
    struct io_event events[REQUESTS];
    uint64_t off;
    size_t len;
    int count, fd;

    if (!w->context && syscall(SYS_io_setup, REQUESTS, &w->context) < 0)
        model_fail(w, "io_setup: %s", strerror(errno));
    if (!(direct ? worker_pick_aligned(w, PAGE, 65536, &off, &len)
                 : worker_pick(w, PIECE, &off, &len)))
        return;
    fd = direct ? open_again(w, O_DIRECT) : open_any(w);
    count = cut(w, direct ? "libaio O_DIRECT" : "libaio", off, len, direct ? PAGE : 1, pieces);
    for (int i = 0; i < count; i++) {
        list[i] = &cbs[i];
        prepare(w, list[i], iov[i], fd, &pieces[i], i);
    }
    for (int done = 0; done < count;) {
        long n = submit(w, count - done, list + done);

        if (n <= 0)
            model_fail(w, "io_submit gave %ld: %s", n, strerror(errno));
        done += (int)n;
    }
    for (int done = 0; done < count;) {
        long n = syscall(SYS_io_getevents, w->context, 1, count - done, events, NULL);

        if (n < 0 && errno != EINTR)
            model_fail(w, "io_getevents: %s", strerror(errno));
        for (long i = 0; i < n; i++)
            settle(w, &pieces[events[i].data], (int64_t)events[i].res);
        done += n > 0 ? (int)n : 0;
    }
    if (direct)
        close(fd);
}
