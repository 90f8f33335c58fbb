/*
 * Copying within the kernel: from the file to itself, to and from a plain file, through a pipe. Who is told
 * that it cannot be done so reads and writes instead, as programs do; that is counted.
 */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define MOST 60000              /* fits a pipe */

static bool refused(ssize_t n)
{
    if (n >= 0 || (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
        return false;
    __atomic_add_fetch(&shared->fallbacks, 1, __ATOMIC_RELAXED);
    return true;
}

static int plain(struct worker *w)
{
    char path[sizeof(shared->path) + 20];

    if (w->plain >= 0)
        return w->plain;
    snprintf(path, sizeof(path), "%s.plain.%u", shared->path, w->number);
    w->plain = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->plain < 0)
        model_fail(w, "%s: %s", path, strerror(errno));
    unlink(path);
    return w->plain;
}

/* Two stretches of the worker's range that do not meet. */
static bool pick_two(struct worker *w, uint64_t *from, uint64_t *to, size_t *len)
{
    size_t other;

    if (!worker_pick(w, MOST, from, len) || !worker_pick(w, *len, to, &other))
        return false;
    *len = other;
    return *from + *len <= *to || *to + *len <= *from;
}

static void within(struct worker *w)
{
    uint64_t from, to;
    size_t len;
    off_t in, out;

    if (w->reader || !pick_two(w, &from, &to, &len))
        return;
    model_note(w, COPIES, "copy_file_range", to, len, 0);
    in = (off_t)from;
    out = (off_t)to;
    while (in < (off_t)(from + len)) {
        size_t left = from + len - (size_t)in;
        ssize_t n = copy_file_range(open_any(w), &in, open_any(w), &out, left, 0);

        if (refused(n)) {
            n = pread(w->fd, w->buf, left, in);
            model_result(w, pwrite(w->fd, w->buf, left, out), n);
            in += n;
            out += n;
        }
        if (n <= 0 || in - (off_t)from != out - (off_t)to)
            model_fail(w, "gave %zd: %s", n, strerror(errno));
    }
    model_put(to, len, shared->model + from);
}

/* Disk to plain file, by either call; then what the plain file holds is compared. */
static void to_plain(struct worker *w)
{
    bool send = worker_chance(w, 2);
    uint64_t off, begin;
    size_t len;
    off_t at;
    loff_t to = 0;

    if (!worker_pick(w, MOST, &off, &len))
        return;
    model_note(w, READS, send ? "sendfile to a file" : "copy_file_range to a file", off, len, 0);
    begin = worker_below(w, 5000);
    lseek(plain(w), (off_t)begin, SEEK_SET);
    at = (off_t)off;
    to = (loff_t)begin;
    while (at < (off_t)(off + len)) {
        size_t left = off + len - (size_t)at;
        ssize_t n = send ? sendfile(w->plain, open_any(w), &at, left)
                         : copy_file_range(open_any(w), &at, w->plain, &to, left, 0);

        if (refused(n)) {
            n = pread(w->fd, w->buf, left, at);
            model_result(w, pwrite(w->plain, w->buf, left, (off_t)begin + at - (off_t)off), n);
            at += n;
        }
        if (n <= 0)
            model_fail(w, "gave %zd: %s", n, strerror(errno));
    }
    model_result(w, pread(w->plain, w->buf, len, (off_t)begin), (int64_t)len);
    model_check(w, off, len, w->buf);
}

static void from_plain(struct worker *w)
{
    bool send = worker_chance(w, 2);
    uint64_t off;
    size_t len;
    off_t in = 0, out;

    if (w->reader || !worker_pick(w, MOST, &off, &len))
        return;
    model_make(w, send ? "sendfile from a file" : "copy_file_range from a file", off, len, w->data);
    model_result(w, pwrite(plain(w), w->data, len, 0), (int64_t)len);
    out = (off_t)off;
    lseek(w->fd, out, SEEK_SET);
    while (in < (off_t)len) {
        size_t left = len - (size_t)in;
        ssize_t n = send ? sendfile(w->fd, w->plain, &in, left)
                         : copy_file_range(w->plain, &in, open_any(w), &out, left, 0);

        if (refused(n)) {
            n = pwrite(w->fd, w->data + in, left, (off_t)off + in);
            in += n;
        }
        if (n <= 0)
            model_fail(w, "gave %zd: %s", n, strerror(errno));
    }
    model_put(off, len, w->data);
}

/* Disk to pipe: by splice or sendfile; at most what fits. */
static void to_pipe(struct worker *w)
{
    bool send = worker_chance(w, 2);
    int ends[2];
    uint64_t off;
    size_t len, done = 0;
    off_t at;

    if (!worker_pick(w, MOST, &off, &len))
        return;
    model_note(w, READS, send ? "sendfile to a pipe" : "splice to a pipe", off, len, 0);
    if (pipe2(ends, O_CLOEXEC) < 0)
        model_fail(w, "pipe: %s", strerror(errno));
    at = (off_t)off;
    while (done < len) {
        ssize_t n = send ? sendfile(ends[1], open_any(w), &at, len - done)
                         : splice(open_any(w), &at, ends[1], NULL, len - done, 0);
        bool fell_back = refused(n);

        if (fell_back) {
            n = pread(w->fd, w->buf + done, len - done, at);
            at += n;
        } else if (n > 0) {
            for (ssize_t i = 0; i < n;) {
                ssize_t got = read(ends[0], w->buf + done + i, (size_t)(n - i));

                if (got <= 0)
                    model_fail(w, "the pipe gave %zd: %s", got, strerror(errno));
                i += got;
            }
        }
        if (n <= 0 || (size_t)n > len - done)
            model_fail(w, "gave %zd: %s", n, strerror(errno));
        done += (size_t)n;
        if (at != (off_t)(off + done))
            model_fail(w, "the offset is then %lld", (long long)at);
    }
    model_check(w, off, len, w->buf);
    close(ends[0]);
    close(ends[1]);
}

static void from_pipe(struct worker *w)
{
    int ends[2];
    uint64_t off;
    size_t len, done = 0;
    off_t at;

    if (w->reader || !worker_pick(w, MOST, &off, &len))
        return;
    model_make(w, "splice from a pipe", off, len, w->data);
    if (pipe2(ends, O_CLOEXEC) < 0)
        model_fail(w, "pipe: %s", strerror(errno));
    model_result(w, write(ends[1], w->data, len), (int64_t)len);
    at = (off_t)off;
    while (done < len) {
        ssize_t n = splice(ends[0], NULL, open_any(w), &at, len - done, 0);

        if (refused(n)) {
            n = read(ends[0], w->buf, len - done);
            if (n <= 0)
                model_fail(w, "the pipe gave %zd: %s", n, strerror(errno));
            model_result(w, pwrite(w->fd, w->buf, (size_t)n, at), n);
            at += n;
        }
        if (n <= 0)
            model_fail(w, "gave %zd: %s", n, strerror(errno));
        done += (size_t)n;
    }
    model_put(off, len, w->data);
    close(ends[0]);
    close(ends[1]);
}

void copy_run(struct worker *w)
{
    static void (*const calls[])(struct worker *) = {
        within, within, to_plain, from_plain, to_pipe, from_pipe,
    };

    calls[worker_below(w, sizeof(calls) / sizeof(calls[0]))](w);
}
