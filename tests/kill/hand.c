/* Cells chosen, written and read by one thread; see hand.h. */
#include "hand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool may_give_up(const struct me *me)
{
    return errno == ETIMEDOUT && (me->stops % 2 == 1 || get(me->ledger->stops) != me->stops);
}

void hand_failed(struct me *me, const char *call, uint64_t off, size_t len, int64_t result)
{
    char got[60];

    if (result < 0 && may_give_up(me)) {
        gave_up(me->ledger);
        me->gave_up = true;
        return;
    }
    snprintf(got, sizeof(got), "%lld", (long long)result);
    fail(me->ledger, "%s: %s of %zu bytes at %llu: %s", me->who, call, len,
         (unsigned long long)off, result < 0 ? strerror(errno) : got);
}

void hand_note(struct me *me, uint64_t off, uint64_t len)
{
    set(me->hand->off, off);
    set(me->hand->len, len);
}

/* ---- which cells ------------------------------------------------------- */

/* A run within [first, first + count), most often short. */
void hand_pick_within(struct me *me, uint32_t *first, uint32_t *count)
{
    uint32_t most = *count < RUN_MAX ? *count : RUN_MAX;
    uint32_t n = rnd_percent(&me->rnd, 15) ? most : 1 + (uint32_t)rnd_scale(&me->rnd, most);

    *first += (uint32_t)rnd_below(&me->rnd, *count - n + 1);
    while (cell_off(me->ledger, *first + n) - cell_off(me->ledger, *first) > TRANSFER)
        n /= 2;
    *count = n;
}

/* One of my plots; where the lap is, or anywhere. */
static const struct plot *pick_plot(struct me *me)
{
    const struct ledger *ledger = me->ledger;
    uint32_t first = ledger->first_plot[me->owner];
    uint32_t mine = ledger->first_plot[me->owner + 1] - first;
    uint64_t lap = 2 * ledger->nplots + 500, at = get(ledger->ops) % lap;
    uint64_t near = at * mine / lap + rnd_below(&me->rnd, 3);

    if (mine == 0)
        return NULL;
    if (near >= mine || rnd_percent(&me->rnd, 50))
        near = rnd_below(&me->rnd, mine);
    return &ledger->plots[first + near];
}

bool hand_pick(struct me *me, uint32_t *first, uint32_t *count)
{
    const struct plot *plot = pick_plot(me);

    if (!plot)
        return false;
    *first = plot->first;
    *count = plot->count;
    hand_pick_within(me, first, count);
    hand_note(me, cell_off(me->ledger, *first),
         cell_off(me->ledger, *first + *count) - cell_off(me->ledger, *first));
    return true;
}

/* ---- writing cells ------------------------------------------------------- */

uint32_t hand_version(struct me *me, bool zeros)
{
    return add(me->ledger->next_version, 2) | !zeros;
}

void hand_intend(struct me *me, uint32_t first, uint32_t end, uint32_t version)
{
    me->first = first;
    me->end = end;
    for (uint32_t i = first; i < end; i++)
        set(me->ledger->cells[i].intent, version);
}

void hand_acknowledge(struct me *me, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        set(me->ledger->cells[i].acked, get(me->ledger->cells[i].intent));
    add(me->ledger->writes, 1);
}

/* It was refused, and has done nothing. */
void hand_withdraw(struct me *me, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++)
        set(me->ledger->cells[i].intent, get(me->ledger->cells[i].acked));
}

/* Some bytes of a buffer in a few pieces. */
static int split(struct me *me, uint8_t *buf, size_t len, struct iovec iov[5])
{
    int n = 0;

    while (len > 0 && n < 4) {
        size_t here = (size_t)rnd_below(&me->rnd, len + 1);

        iov[n++] = (struct iovec){ buf, here };
        buf += here;
        len -= here;
    }
    iov[n++] = (struct iovec){ buf, len };
    return n;
}

ssize_t hand_write(struct me *me, uint8_t *buf, size_t len, uint64_t off)
{
    struct iovec iov[5];

    switch (rnd_below(&me->rnd, me->shared ? 3 : 4)) {
    case 0:
        return pwritev(me->fd, iov, split(me, buf, len, iov), (off_t)off);
    case 3:
        return lseek(me->fd, (off_t)off, SEEK_SET) < 0 ? -1 : write(me->fd, buf, len);
    default:
        return pwrite(me->fd, buf, len, (off_t)off);
    }
}

ssize_t hand_read(struct me *me, uint8_t *buf, size_t len, uint64_t off)
{
    struct iovec iov[5];

    switch (rnd_below(&me->rnd, me->shared ? 3 : 4)) {
    case 0:
        return preadv(me->fd, iov, split(me, buf, len, iov), (off_t)off);
    case 3:
        return lseek(me->fd, (off_t)off, SEEK_SET) < 0 ? -1 : read(me->fd, buf, len);
    default:
        return pread(me->fd, buf, len, (off_t)off);
    }
}

void hand_write_cells(struct me *me, uint32_t first, uint32_t count)
{
    uint64_t off = cell_off(me->ledger, first);
    size_t len = cell_off(me->ledger, first + count) - off;
    uint8_t *buf = me->buf + rnd_below(&me->rnd, 64);
    uint32_t version = hand_version(me, false);
    ssize_t n;

    fill(buf, off, len, version);
    hand_intend(me, first, first + count, version);
    n = hand_write(me, buf, len, off);
    if (n != (ssize_t)len)
        hand_failed(me, "write", off, len, n);
    else
        hand_acknowledge(me, first, first + count);
}

int hand_open(struct me *me, int flags)
{
    int fd;

    while ((fd = open(me->disk, flags | O_CLOEXEC)) < 0 && may_give_up(me)) {
        gave_up(me->ledger);
        /* The other threads come first, since the library opens one disk at a time. */
        usleep(1000);
    }
    if (fd < 0)
        hand_failed(me, "open", 0, 0, fd);
    return fd;
}
