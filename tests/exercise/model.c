/*
 * What the file must hold, and what to say if it does not. Each write's bytes follow from a
 * seed and their offset, so that bytes that are seen tell which write they are of.
 */
#include "exercise.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOWN 20

static uint64_t word_at(uint64_t seed, uint64_t off)
{
    uint64_t z = seed + off / 8 * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned char byte_at(uint64_t seed, uint64_t off)
{
    return (unsigned char)(word_at(seed, off) >> off % 8 * 8);
}

static void fill(unsigned char *to, uint64_t seed, uint64_t off, size_t len)
{
    for (; len > 0 && off % 8; len--, off++)
        *to++ = byte_at(seed, off);
    for (; len >= 8; len -= 8, off += 8, to += 8) {
        uint64_t word = word_at(seed, off);

        memcpy(to, &word, 8);
    }
    for (; len > 0; len--, off++)
        *to++ = byte_at(seed, off);
}

void model_note(struct worker *w, enum note_kind kind, const char *what, uint64_t off, size_t len,
                uint64_t seed)
{
    uint64_t when = __atomic_add_fetch(&shared->clock, 1, __ATOMIC_RELAXED);
    struct note *note = &shared->notes[w->number][shared->noted[w->number]++ % NOTES];

    *note = (struct note){ when, off, len, seed, kind, "" };
    snprintf(note->what, sizeof(note->what), "%s", what);
}

void model_make(struct worker *w, const char *what, uint64_t off, size_t len, void *data)
{
    /* Now and then zeros, which look like what an image holds where nothing was written. */
    uint64_t seed = worker_chance(w, 12) ? 0 : worker_random(w);

    model_note(w, seed ? WRITES : ZEROS, what, off, len, seed);
    if (seed)
        fill(data, seed, off, len);
    else
        memset(data, 0, len);
}

void model_put(uint64_t off, size_t len, const void *data)
{
    memcpy(shared->model + off, data, len);
}

void model_zero(uint64_t off, size_t len)
{
    memset(shared->model + off, 0, len);
}

void model_resize(uint64_t size)
{
    if (size < shared->size)
        model_zero(size, shared->size - size);
    shared->size = size;
}

/* ---- what to say ------------------------------------------------------------ */

static void say(const struct note *note, unsigned worker, uint64_t off, int seen)
{
    static const char *const kinds[] = { "read", "wrote", "zeroed", "copied" };
    bool same = seen >= 0 && off >= note->off && off < note->off + note->len
        && (note->kind == WRITES ? seen == byte_at(note->seed, off)
                                 : note->kind == ZEROS && seen == 0);

    fprintf(stderr, "  #%llu worker %u: %s %s [%llu, %llu)%s\n", (unsigned long long)note->when,
            worker, note->what, kinds[note->kind], (unsigned long long)note->off,
            (unsigned long long)(note->off + note->len), same ? "   <- the byte that is seen" : "");
}

static int by_time(const void *a, const void *b)
{
    const struct note *const *x = a, *const *y = b;

    return (*x)->when < (*y)->when ? -1 : (*x)->when > (*y)->when;
}

/* The last operations of anybody at [off, off + len). */
static void history(uint64_t off, uint64_t len, int seen)
{
    static const struct note *found[WORKERS * NOTES];
    size_t count = 0;

    for (unsigned i = 0; i < shared->workers * NOTES; i++) {
        const struct note *note = &shared->notes[i / NOTES][i % NOTES];

        if (note->when && note->off < off + len && off < note->off + note->len)
            found[count++] = note;
    }
    qsort(found, count, sizeof(*found), by_time);
    fprintf(stderr, "operations at [%llu, %llu), the last %d of %zu that are known:\n",
            (unsigned long long)off, (unsigned long long)(off + len), SHOWN, count);
    for (size_t i = count > SHOWN ? count - SHOWN : 0; i < count; i++)
        say(found[i], (unsigned)((found[i] - shared->notes[0]) / NOTES), off, seen);
    fflush(stderr);
}

/* True for one thread of all. */
static bool first_to_fail(void)
{
    return __atomic_exchange_n(&shared->failed, 1, __ATOMIC_ACQ_REL) == 0;
}

static const struct note *last_note(const struct worker *w)
{
    return &shared->notes[w->number][(shared->noted[w->number] - 1) % NOTES];
}

static void begin_report(struct worker *w)
{
    const struct note *note = last_note(w);

    fprintf(stderr,
            "exercise: seed %llu, phase %u, operation %llu: worker %u (%sprocess %u), whose range is "
            "[%llu, %llu): %s [%llu, %llu): ",
            (unsigned long long)shared->seed, shared->phase, (unsigned long long)note->when,
            w->number, w->child ? "a child of " : "", w->number / shared->threads,
            (unsigned long long)w->lo, (unsigned long long)worker_end(w), note->what,
            (unsigned long long)note->off, (unsigned long long)(note->off + note->len));
}

void model_fail(struct worker *w, const char *format, ...)
{
    va_list args;

    if (first_to_fail()) {
        const struct note *note = last_note(w);

        begin_report(w);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        history(note->off, note->len ? note->len : 1, -1);
        shared->reported = 1;
    }
    _exit(1);
}

static void show_bytes(const char *what, const unsigned char *bytes, uint64_t len)
{
    fprintf(stderr, "  %s", what);
    for (uint64_t i = 0; i < len && i < 24; i++)
        fprintf(stderr, " %02x", bytes[i]);
    fputc('\n', stderr);
}

static void __attribute__((noreturn)) differ(struct worker *w, uint64_t off, uint64_t end,
                                             const unsigned char *seen)
{
    const unsigned char *model = shared->model + off;
    uint64_t first = 0, last = end - off;

    if (!first_to_fail())
        _exit(1);
    while (seen[first] == model[first])
        first++;
    while (seen[last - 1] == model[last - 1])
        last--;
    begin_report(w);
    fprintf(stderr, "what is read differs from byte %llu on (in sector %llu, page %llu), up to byte "
            "%llu\n", (unsigned long long)(off + first), (unsigned long long)(off + first) / 512,
            (unsigned long long)(off + first) / PAGE, (unsigned long long)(off + last));
    show_bytes("seen:    ", seen + first, last - first);
    show_bytes("expected:", model + first, last - first);
    history(off + first, 1, seen[first]);
    shared->reported = 1;
    _exit(1);
}

/* ---- checks ----------------------------------------------------------------- */

void model_check_all(struct worker *w, uint64_t off, size_t len, const void *seen)
{
    if (memcmp(seen, shared->model + off, len) != 0)
        differ(w, off, off + len, seen);
}

void model_check(struct worker *w, uint64_t off, size_t len, const void *seen)
{
    uint64_t end = off + len, own_end = worker_end(w), from = off;

    if (end > own_end)
        end = own_end;
    if (from < w->lo)
        from = w->lo;
    if (from < end)
        model_check_all(w, from, end - from, (const unsigned char *)seen + (from - off));
}

void model_result(struct worker *w, int64_t got, int64_t want)
{
    if (got == want)
        return;
    if (got < 0)
        model_fail(w, "failed: %s", strerror(errno));
    model_fail(w, "gave %lld, not %lld", (long long)got, (long long)want);
}

void model_result_wide(struct worker *w, int64_t got, uint64_t off, size_t len)
{
    uint64_t own_end = worker_end(w), least = off + len < own_end ? off + len : own_end;

    if (got < 0)
        model_fail(w, "failed: %s", strerror(errno));
    if ((uint64_t)got > len || off + (uint64_t)got < least || (w->tail && off + (uint64_t)got > own_end))
        model_fail(w, "gave %lld, of [%llu, %llu)", (long long)got, (unsigned long long)off,
                   (unsigned long long)(off + len));
}
