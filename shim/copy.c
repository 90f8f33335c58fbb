/*
 * Bytes of a disk that are all in one file are moved by the kernel, from the hidden descriptor of that file.
 * Those that are not are read into a file in memory, and that is what the kernel moves from: so what it
 * says of the other end, how it waits, is interrupted and moves less than was asked for, is as ever. A pipe or
 * a socket keeps the pages of what it was given, so such a file is used once.
 *
 * What a pipe gives up cannot be put back, and who else reads from it must not see a byte that is
 * written. So the kernel moves it to the image file, when the engine has made the range one that is there.
 *
 * The callers are within process_enter. Where the kernel may wait that is left, and what a thread has
 * that is cancelled then is given back.
 */
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fdtable.h"
#include "leave.h"
#include "process.h"
#include "real.h"
#include "sys_real.h"

#define CHUNK ((size_t)128 << 10)

/* Of libc's functions some are cancellation points that in a flat file's call are none. */
#define BY_NUMBER(name, ...) NATIVE((ssize_t)REAL(syscall)(SYS_##name, __VA_ARGS__))

static size_t at_most(uint64_t len, uint64_t most)
{
    return len < most ? len : most;
}

static ssize_t read_disk(struct ofd *ofd, void *buf, size_t len, int64_t off)
{
    return ofd_preadv(ofd, &(struct iovec){ buf, len }, 1, off);
}

/* RLIMIT_FSIZE. */
static uint64_t size_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

/* ---- a file in memory --------------------------------------------------------------- */

struct bounce {
    int fd;                     /* hidden */
    char *at;
    size_t len;                 /* perhaps less than was asked for */
};

/* The limit on files' sizes is on those in memory, too. */
static int bounce_make(struct bounce *bounce, size_t len)
{
    int r;

    *bounce = (struct bounce){ .len = at_most(len ? len : 1, size_limit()) };
    if (bounce->len == 0)
        return -EINVAL;
    r = bounce->fd = sys_real.memfd("addcow-copy");
    if (r < 0)
        return r;
    r = sys_real.ftruncate(bounce->fd, (int64_t)bounce->len);
    if (r == 0) {
        bounce->at = REAL(mmap64)(NULL, bounce->len, PROT_READ | PROT_WRITE, MAP_SHARED, bounce->fd, 0);
        r = bounce->at == MAP_FAILED ? -errno : 0;
    }
    if (r < 0)
        sys_real.close(bounce->fd);
    return r;
}

static void bounce_free(struct bounce *bounce)
{
    REAL(munmap)(bounce->at, bounce->len);
    sys_real.close(bounce->fd);
}

/* ---- waiting ------------------------------------------------------------------------- */

struct pass;
typedef ssize_t pass_call(const struct pass *pass);

/* A call that may wait, or bring a signal, and what its thread has to give back if it is cancelled then. */
struct pass {
    pass_call *call;
    int from, out;
    int64_t off;
    size_t len;
    struct ofd *ofd;
    struct bounce *bounce;      /* or NULL */
};

static void give_back(void *arg)
{
    const struct pass *pass = arg;

    if (pass->bounce)
        bounce_free(pass->bounce);
    fdtable_put(pass->ofd);
}

static ssize_t pass_on(struct pass *pass)
{
    ssize_t n;

    pthread_cleanup_push(give_back, pass);
    process_leave();
    n = pass->call(pass);
    process_enter();
    pthread_cleanup_pop(0);
    return n;
}

/*
 * Of a pipe: whether it has room, or at its reading end something in it, as splice(2) finds it. A byte
 * that is nowhere is moved, which is EFAULT when it is the time for that; that is 1 here. 0: the end of
 * what is in the pipe.
 */
static ssize_t look_at_pipe(ssize_t n)
{
    return n == -EFAULT ? 1 : n;
}

static struct iovec nowhere = { NULL, 1 };

/* Of these two only libc's is a cancellation point, as splice is and sendfile is not. */
static ssize_t wait_cancelled(const struct pass *pass)
{
    return look_at_pipe(NATIVE(vmsplice(pass->out, &nowhere, 1, 0)));
}

static ssize_t wait_only(const struct pass *pass)
{
    return look_at_pipe(BY_NUMBER(vmsplice, (long)pass->out, &nowhere, 1l, 0l));
}

static ssize_t wait_for_pipe(int fd, struct ofd *ofd, bool cancel)
{
    return pass_on(&(struct pass){ .call = cancel ? wait_cancelled : wait_only, .out = fd, .ofd = ofd });
}

/* ---- out of a disk ------------------------------------------------------------------- */

static ssize_t send_now(const struct pass *pass)
{
    int64_t off = pass->off;

    return NATIVE(REAL(sendfile64)(pass->out, pass->from, &off, pass->len));
}

/* Does not wait: copy_to_pipe does, with nothing read. */
static ssize_t splice_now(const struct pass *pass)
{
    int64_t off = pass->off;

    return BY_NUMBER(splice, (long)pass->from, &off, (long)pass->out, NULL, pass->len, (long)SPLICE_F_NONBLOCK);
}

/* At the end of the disk the call is made all the same, for it may have something to say of the other end. */
static ssize_t pass_bounced(struct ofd *in, int64_t off, int out, size_t len, pass_call *call)
{
    struct bounce bounce;
    ssize_t n = bounce_make(&bounce, len);

    if (n < 0)
        return n;
    n = read_disk(in, bounce.at, at_most(len, bounce.len), off);
    if (n >= 0)
        n = pass_on(&(struct pass){ .call = call, .from = bounce.fd, .out = out,
                                    .off = n ? 0 : (int64_t)bounce.len, .len = n ? (size_t)n : len,
                                    .ofd = in, .bounce = &bounce });
    bounce_free(&bounce);
    return n;
}

static ssize_t pass_chunk(struct ofd *in, int64_t off, int out, size_t len, pass_call *call)
{
    int from = ofd_read_fd(in, len, off);
    ssize_t n = 0;

    if (from >= 0)
        n = pass_on(&(struct pass){ .call = call, .from = from, .out = out, .off = off, .len = len, .ofd = in });
    /* Or it has become shorter. */
    return n != 0 ? n : pass_bounced(in, off, out, len, call);
}

ssize_t copy_send(struct ofd *in, int64_t off, int out, size_t len)
{
    size_t done = 0, part;
    ssize_t n;

    do {
        part = at_most(len - done, CHUNK);
        n = pass_chunk(in, off + (int64_t)done, out, part, send_now);
        if (n > 0)
            done += (size_t)n;
    } while (n == (ssize_t)part && done < len);
    return done ? (ssize_t)done : n;
}

ssize_t copy_to_pipe(struct ofd *in, int64_t off, int out, size_t len, unsigned flags, bool cancel)
{
    ssize_t n, room = NATIVE(REAL(fcntl64)(out, F_GETPIPE_SZ));

    if (room < 0)
        return room;
    len = at_most(len, (size_t)room);
    for (;;) {
        n = pass_chunk(in, off, out, len, splice_now);
        if (n != -EAGAIN || flags & SPLICE_F_NONBLOCK)
            return n;
        n = wait_for_pipe(out, in, cancel);
        if (n < 0)
            return n;
    }
}

/* ---- out of a pipe --------------------------------------------------------------------- */

static ssize_t move_from_pipe(void *in, int fd, size_t len, uint64_t off)
{
    int64_t at = (int64_t)off;

    return BY_NUMBER(splice, (long)*(int *)in, NULL, (long)fd, &at, len, (long)SPLICE_F_NONBLOCK);
}

/* What the engine does beforehand is for all of it, where a flat file has room, or the limit, for a part. */
static ssize_t take_chunk(int in, struct ofd *out, int64_t off, size_t len)
{
    uint64_t limit = size_limit();
    ssize_t n;

    if ((uint64_t)off >= limit) {
        raise(SIGXFSZ);
        return -EFBIG;
    }
    len = at_most(len, limit - (uint64_t)off);
    do
        n = ofd_move_in(out, off, len, move_from_pipe, &in);
    while (n == -ENOSPC && (len /= 2) > 0);
    return n;
}

ssize_t copy_from_pipe(int in, struct ofd *out, int64_t off, size_t len, unsigned flags)
{
    size_t done = 0;
    ssize_t n;

    for (;;) {
        int held = 0;

        if (REAL(ioctl)(in, FIONREAD, &held) < 0)
            return -errno;
        if (held > 0) {
            n = take_chunk(in, out, off + (int64_t)done, at_most(at_most(len - done, (size_t)held), CHUNK));
            if (n > 0)
                done += (size_t)n;
            if (n > 0 && done < len)
                continue;
            /* EAGAIN: another one who reads from it was faster. */
            if (done || n != -EAGAIN)
                return done ? (ssize_t)done : n;
        }
        if (done)
            return (ssize_t)done;
        if (flags & SPLICE_F_NONBLOCK)
            n = look_at_pipe(BY_NUMBER(vmsplice, (long)in, &nowhere, 1l, (long)SPLICE_F_NONBLOCK));
        else
            n = wait_for_pipe(in, out, true);
        if (n <= 0)
            return n;
    }
}

/* ---- files ------------------------------------------------------------------------------ */

static ssize_t read_end(const struct copy_end *in, void *buf, size_t len, int64_t off)
{
    return in->ofd ? read_disk(in->ofd, buf, len, off) : BY_NUMBER(pread64, (long)in->fd, buf, len, off);
}

static ssize_t write_end(const struct copy_end *out, void *buf, size_t len, int64_t off)
{
    struct iovec iov = { buf, len };

    return out->ofd ? ofd_pwritev(out->ofd, &iov, 1, off, 0)
                    : BY_NUMBER(pwrite64, (long)out->fd, buf, len, off);
}

/* What is all in one file, to another file. */
static ssize_t range_in_kernel(const struct copy_end *in, const struct copy_end *out, size_t done, size_t len)
{
    int64_t from_off = in->off + (int64_t)done, to_off = out->off + (int64_t)done;
    int from = in->ofd && !out->ofd ? ofd_read_fd(in->ofd, len, from_off) : -1;

    return from < 0 ? -1 : BY_NUMBER(copy_file_range, (long)from, &from_off, (long)out->fd, &to_off, len, 0l);
}

ssize_t copy_range(const struct copy_end *in, const struct copy_end *out, size_t len, bool sends)
{
    size_t room = at_most(len, CHUNK), done = 0;
    ssize_t n = 0;
    void *buf;

    if (len == 0)
        return 0;
    buf = REAL(mmap64)(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buf == MAP_FAILED)
        return -errno;
    while (done < len) {
        size_t part = at_most(len - done, CHUNK);
        ssize_t read;

        n = range_in_kernel(in, out, done, part);
        if (n <= 0) {
            read = n = read_end(in, buf, part, in->off + (int64_t)done);
            if (n > 0)
                n = write_end(out, buf, (size_t)n, out->off + (int64_t)done);
            if (n <= 0)
                break;
            if (n < read && !sends)
                len = done + (size_t)n;
        }
        done += (size_t)n;
    }
    REAL(munmap)(buf, room);
    return done ? (ssize_t)done : n;
}
