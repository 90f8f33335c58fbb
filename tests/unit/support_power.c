/*
 * The log is of events: sectors written, changes of size, syncs, and ends of
 * operations. A state after a power cut is a beginning
 * of the log: what was synced by then is there; of the rest any part may be. The
 * run-time file is not: it is of a boot that is over.
 *
 * What must hold: each sector is as some operation left it since the last flush
 * that had returned, or as that flush found it (I5, I4). As left-overs, backing and
 * all writes differ in every byte, this shows a bit without its data (I1) too.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "power.h"
#include "sys_hook.h"

enum kind { SECTOR, SIZE, SYNC, DONE };
enum { IMAGE, META, FILES };

struct event {
    enum kind kind;
    int file;
    uint64_t off;               /* SIZE: the new size; DONE: the state's number */
    size_t grow_to;             /* SECTOR: the file is at least so large then */
    bool grows;                 /* SIZE: makes it larger only */
    bool flushed;               /* DONE */
    uint8_t data[512];          /* SECTOR: all of it, as it then is in memory */
};

struct state {
    uint64_t size;
    uint8_t data[POWER_CAP];
};

struct file {
    size_t len;
    uint8_t data[POWER_CAP];
};

#define EVENTS 2000
#define STATES 64
#define PIECES 12               /* so many are tried in every combination */
#define SAMPLES 1500

static struct event *events;
static int nevents;
static struct state *states;
static int nstates;
static enum power_lie lies;
static struct file first[FILES], memory[FILES];
static struct blob backing;

static struct event *add(enum kind kind, int file)
{
    struct event *event = &events[nevents++];

    check(nevents < EVENTS, "the log is full");
    *event = (struct event){ .kind = kind, .file = file };
    return event;
}

static void set_len(struct file *file, size_t len)
{
    check(len <= POWER_CAP);
    if (len < file->len)
        memset(file->data + len, 0, file->len - len);
    file->len = len;
}

/* The sectors over [off, end) of the file as they now are in memory. */
static void add_sectors(int file, int64_t off, int64_t end)
{
    for (int64_t at = off / 512 * 512; at < end; at += 512) {
        struct event *event = add(SECTOR, file);

        event->off = (uint64_t)at;
        event->grow_to = (size_t)at + 512 < memory[file].len ? (size_t)at + 512 : memory[file].len;
        memcpy(event->data, memory[file].data + at, 512);
    }
}

static void log_write(int file, const struct iovec *iov, int iovcnt, int64_t off, int64_t len)
{
    int64_t at = off;

    if ((size_t)(off + len) > memory[file].len)
        set_len(&memory[file], (size_t)(off + len));
    for (int i = 0; i < iovcnt; i++)
        for (size_t n = 0; n < iov[i].iov_len && at < off + len; n++)
            memory[file].data[at++] = ((const uint8_t *)iov[i].iov_base)[n];
    add_sectors(file, off, off + len);
}

static void log_zeros(int file, int64_t off, int64_t len, bool grows)
{
    int64_t end = off + len;

    if (grows && (size_t)end > memory[file].len)
        set_len(&memory[file], (size_t)end);
    if ((size_t)end > memory[file].len)
        end = (int64_t)memory[file].len;
    if (off >= end)
        return;
    memset(memory[file].data + off, 0, (size_t)(end - off));
    add_sectors(file, off, end);
}

static void add_size(int file, int64_t size, bool grows)
{
    struct event *event = add(SIZE, file);

    event->off = (uint64_t)size;
    event->grows = grows;
    if (!grows || (size_t)size > memory[file].len)
        set_len(&memory[file], (size_t)size);
}

static void log_fallocate(const struct sys_call *call, int file)
{
    bool keep = call->flags & FALLOC_FL_KEEP_SIZE;

    if (call->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        log_zeros(file, call->off, call->len, !keep);
    else if (!keep)
        add_size(file, call->off + call->len, true);
}

static void log_call(const struct sys_call *call, int64_t result)
{
    int file = strcmp(call->file, "d.img") == 0 ? IMAGE : META;

    if (result < 0 || (file == META && strcmp(call->file, "d.add-cow") != 0))
        return;
    if (call->op == SYS_PWRITE || call->op == SYS_PWRITEV)
        log_write(file, call->iov, call->iovcnt, call->off, result);
    else if (call->op == SYS_FTRUNCATE)
        add_size(file, call->len, false);
    else if (call->op == SYS_FALLOCATE)
        log_fallocate(call, file);
    else if (call->op == SYS_FDATASYNC
             && lies != (file == IMAGE ? POWER_IMAGE_LIES : POWER_META_LIES))
        add(SYNC, file);
}

static void load(struct file *file, const char *path)
{
    struct blob blob = file_get(path);

    check(blob.len <= POWER_CAP);
    memset(file, 0, sizeof(*file));
    file->len = blob.len;
    memcpy(file->data, blob.data, blob.len);
    free(blob.data);
}

void power_begin(enum power_lie lie)
{
    static const struct sys_hook hook = { .after = log_call };
    struct blob flat = decode("d.add-cow");

    if (!events) {
        events = malloc(EVENTS * sizeof(*events));
        states = malloc(STATES * sizeof(*states));
    }
    check(events && states);
    nevents = nstates = 0;
    lies = lie;
    load(&first[IMAGE], "d.img");
    load(&first[META], "d.add-cow");
    memcpy(memory, first, sizeof(memory));
    free(backing.data);
    backing = file_get("d.base");
    power_done(flat.data, flat.len, true);
    free(flat.data);
    sys_hook(&hook);
}

void power_done(const uint8_t *data, uint64_t size, bool flushed)
{
    struct event *event = add(DONE, -1);
    struct state *state = &states[nstates];

    check(nstates < STATES && size <= POWER_CAP);
    event->off = (uint64_t)nstates++;
    event->flushed = flushed;
    state->size = size;
    memset(state->data, 0, sizeof(state->data));
    memcpy(state->data, data, size);
}

void power_end(void)
{
    sys_hook(NULL);
}

/* ---- states ------------------------------------------------------------------ */

static void apply(struct file files[FILES], const struct event *event)
{
    struct file *file = &files[event->file];

    if (event->kind == SIZE) {
        if (!event->grows || event->off > file->len)
            set_len(file, (size_t)event->off);
        return;
    }
    if (event->grow_to > file->len)
        set_len(file, event->grow_to);
    memcpy(file->data + event->off, event->data,
           file->len - event->off < 512 ? file->len - event->off : 512);
}

/* One sector as it reads from these files, `len` bytes. */
static void read_sector(const struct file files[FILES], uint64_t sector, size_t len,
                        uint8_t out[512])
{
    size_t off = (size_t)sector * 512, at = HEADER + (size_t)sector / 8;

    if (at < files[META].len && (files[META].data[at] >> sector % 8 & 1)) {
        memcpy(out, files[IMAGE].data + off, len);
        return;
    }
    memset(out, 0, len);
    if (off < backing.len)
        memcpy(out, backing.data + off, backing.len - off < len ? backing.len - off : len);
}

/* States `from` to `to` are what may be seen. */
static bool is_allowed(const struct file files[FILES], int from, int to, char breach[200])
{
    uint64_t size = files[IMAGE].len, least = UINT64_MAX, most = 0;

    for (int i = from; i <= to; i++) {
        least = states[i].size < least ? states[i].size : least;
        most = states[i].size > most ? states[i].size : most;
    }
    if (size < least || size > most) {
        snprintf(breach, 200, "size %llu, not %llu to %llu", (unsigned long long)size,
                 (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    for (uint64_t sector = 0; sector < sectors(size); sector++) {
        size_t len = size - sector * 512 < 512 ? (size_t)(size - sector * 512) : 512;
        uint8_t now[512];
        int i = from;

        read_sector(files, sector, len, now);
        while (i <= to && memcmp(states[i].data + sector * 512, now, len) != 0)
            i++;
        if (i > to) {
            snprintf(breach, 200, "sector %llu is as it never was (0x%02x …)",
                     (unsigned long long)sector, now[0]);
            return false;
        }
    }
    return true;
}

/* ---- every state that a cut before event `end` leaves ------------------------------- */

struct cut {
    int end;
    int last_sync[FILES];       /* before it an event of the file is there for sure */
    int from, to;               /* states that may be seen */
    int loose[EVENTS], nloose;
};

static void find_cut(struct cut *cut, int end)
{
    *cut = (struct cut){ .end = end, .last_sync = { -1, -1 } };
    for (int i = 0; i < end; i++) {
        if (events[i].kind == SYNC)
            cut->last_sync[events[i].file] = i;
        if (events[i].kind == DONE && events[i].flushed)
            cut->from = (int)events[i].off;
        if (events[i].kind == DONE)
            cut->to = (int)events[i].off;
    }
    /* The operation under way may have come as far as its end. */
    if (cut->to + 1 < nstates)
        cut->to++;
    for (int i = 0; i < end; i++)
        if (events[i].kind <= SIZE && i > cut->last_sync[events[i].file])
            cut->loose[cut->nloose++] = i;
}

static bool try_one(const struct cut *cut, const uint8_t *chosen, char breach[200])
{
    static struct file files[FILES];
    int loose = 0;

    memcpy(files, first, sizeof(files));
    for (int i = 0; i < cut->end; i++) {
        bool is_loose = loose < cut->nloose && cut->loose[loose] == i;

        if (events[i].kind > SIZE || (is_loose && !chosen[loose++]))
            continue;
        apply(files, &events[i]);
    }
    return is_allowed(files, cut->from, cut->to, breach);
}

static uint64_t try_cut(const struct cut *cut, struct rnd *rnd, char breach[200])
{
    bool all = cut->nloose <= PIECES;
    uint64_t count = all ? 1ull << cut->nloose : SAMPLES;
    uint8_t chosen[EVENTS];

    for (uint64_t n = 0; n < count; n++) {
        unsigned percent = (unsigned)rnd_below(rnd, 101);

        for (int i = 0; i < cut->nloose; i++)
            chosen[i] = all ? n >> i & 1 : rnd_percent(rnd, percent);
        if (!try_one(cut, chosen, breach))
            return n + 1;
    }
    return count;
}

uint64_t power_try(struct rnd *rnd, char breach[200])
{
    static struct cut cut;
    uint64_t tried = 0;

    breach[0] = '\0';
    for (int end = 1; end <= nevents && !breach[0]; end++) {
        find_cut(&cut, end);
        tried += try_cut(&cut, rnd, breach);
        if (breach[0])
            snprintf(breach + strlen(breach), 200 - strlen(breach), ", cut after event %d of %d",
                     end - 1, nevents);
    }
    return tried;
}
