/*
 * Streams: one is opened, used for a while with a buffer of any kind, and closed. What it has in
 * its buffer is its own, so meanwhile the worker goes by no other way, unless it has flushed.
 */
#include "exercise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 40000
/* Without a buffer libc reads a disk, which is a stream of functions to it, byte by byte. */
#define MOST_UNBUFFERED 1500

static FILE *begin(struct worker *w, const char *mode, size_t *most)
{
    static const int kinds[] = { _IOFBF, _IOFBF, _IONBF, _IOLBF };
    FILE *f;

    model_note(w, READS, mode, w->lo, 1, 0);
    if (worker_chance(w, 3)) {
        /* With "a+" the description would append from then on. */
        int fd = mode[0] == 'r' && worker_chance(w, 2) ? dup(w->fd) : open_again(w, 0);

        f = fdopen(fd, mode);
    } else {
        f = fopen(shared->path, mode);
    }
    if (!f)
        model_fail(w, "cannot open a stream: %s", strerror(errno));
    *most = MOST;
    if (worker_chance(w, 2)) {
        int kind = kinds[worker_below(w, 4)];

        setvbuf(f, NULL, kind, 1 + (size_t)worker_below(w, 20000));
        if (kind == _IONBF)
            *most = MOST_UNBUFFERED;
    }
    return f;
}

static void seek(struct worker *w, FILE *f, uint64_t off)
{
    if (fseeko(f, (off_t)off, SEEK_SET) < 0)
        model_fail(w, "fseeko: %s", strerror(errno));
}

static void offset_is(struct worker *w, FILE *f, uint64_t want)
{
    if (ftello(f) != (off_t)want)
        model_fail(w, "ftello gives %lld, not %llu", (long long)ftello(f), (unsigned long long)want);
}

static size_t by_characters(struct worker *w, FILE *f, size_t len)
{
    size_t n = 0;
    int c;

    while (n < len && (c = getc(f)) != EOF) {
        if (worker_chance(w, 50) && (ungetc(c, f) != c || getc(f) != c))
            model_fail(w, "ungetc gave another character back");
        w->buf[n++] = (unsigned char)c;
    }
    return n;
}

static void read_some(struct worker *w, FILE *f, size_t most)
{
    uint64_t off;
    size_t len, n;

    if (!worker_pick_wide(w, most, &off, &len))
        return;
    model_note(w, READS, "fread", off, len, 0);
    seek(w, f, off);
    n = len < 500 && worker_chance(w, 2) ? by_characters(w, f, len) : fread(w->buf, 1, len, f);
    if (ferror(f))
        model_fail(w, "fread: %s", strerror(errno));
    model_result_wide(w, (int64_t)n, off, len);
    model_check(w, off, n, w->buf);
    offset_is(w, f, off + n);
}

static void put(struct worker *w, FILE *f, size_t len)
{
    size_t n = 0;

    if (len < 500 && worker_chance(w, 2))
        while (n < len && putc(w->data[n], f) != EOF)
            n++;
    else
        n = fwrite(w->data, 1, len, f);
    model_result(w, (int64_t)n, (int64_t)len);
}

static void write_some(struct worker *w, FILE *f, size_t most)
{
    uint64_t off;
    size_t len;

    if (!worker_pick(w, most, &off, &len))
        return;
    model_make(w, "fwrite", off, len, w->data);
    seek(w, f, off);
    put(w, f, len);
    model_put(off, len, w->data);
    offset_is(w, f, off + len);
    if (worker_chance(w, 3)) {
        if (fflush(f) != 0)
            model_fail(w, "fflush: %s", strerror(errno));
        model_result(w, pread(w->fd, w->buf, len, (off_t)off), (int64_t)len);
        model_check(w, off, len, w->buf);
    }
}

static void append_some(struct worker *w, FILE *f)
{
    uint64_t off = shared->size;
    size_t len = 1 + (size_t)worker_below(w, 5000);

    if (off + len > shared->cap)
        return;
    model_make(w, "fwrite, appending", off, len, w->data);
    put(w, f, len);
    if (fflush(f) != 0)
        model_fail(w, "fflush: %s", strerror(errno));
    model_put(off, len, w->data);
    model_resize(off + len);
    offset_is(w, f, off + len);
}

void stdio_run(struct worker *w)
{
    bool appends = w->tail && worker_chance(w, 3);
    size_t most;
    FILE *f = begin(w, w->reader ? "r" : appends ? "a+" : "r+", &most);

    for (uint64_t times = 1 + worker_below(w, 7); times > 0; times--) {
        if (w->reader || worker_chance(w, 2))
            read_some(w, f, most);
        else if (appends)
            append_some(w, f);
        else
            write_some(w, f, most);
    }
    if (fclose(f) != 0)
        model_fail(w, "fclose: %s", strerror(errno));
}
