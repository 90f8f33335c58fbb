/*
 * The end of the disk. Its one owner writes there, appends, truncates and grows, to the ends of
 * cells, and knows what must come of it. In a wild ledger all do the like at any byte, against
 * each other.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hand.h"

/*
 * What the tail's owner does next: `from` and `end` are cells. Cells that are written or
 * cut off get an intent; the others between stay zeros, as beyond an end.
 */
static void tail_write(struct me *me, uint32_t from, uint32_t end, uint64_t size)
{
    uint64_t to = cell_off(me->ledger, end);

    set(me->ledger->size_intent, to > size ? to : size);
    hand_write_cells(me, from, end - from);
}

static void tail_append(struct me *me, uint64_t size)
{
    struct ledger *ledger = me->ledger;
    uint32_t first = cell_at(ledger, size), end = first + 1 + (uint32_t)rnd_below(&me->rnd, 30);
    uint32_t version = hand_version(me, false);
    size_t len;
    ssize_t n;
    int fd;

    if (end > ledger->ncells)
        return;
    fd = hand_open(me, O_WRONLY | O_APPEND);
    if (fd < 0)
        return;
    len = cell_off(ledger, end) - size;
    fill(me->buf, size, len, version);
    set(ledger->size_intent, size + len);
    hand_intend(me, first, end, version);
    n = write(fd, me->buf, len);
    if (n != (ssize_t)len)
        hand_failed(me, "append", size, len, n);
    else
        hand_acknowledge(me, first, end);
    if (close(fd) < 0)
        hand_failed(me, "close", 0, 0, -1);
}

static void tail_truncate(struct me *me, uint32_t end, uint64_t size)
{
    struct ledger *ledger = me->ledger;
    uint64_t to = cell_off(ledger, end);
    uint32_t old = cell_at(ledger, size);

    set(ledger->size_intent, to);
    if (end < old)
        hand_intend(me, end, old, hand_version(me, true));
    if (ftruncate(me->fd, (off_t)to) < 0)
        hand_failed(me, "ftruncate", to, 0, -1);
    else if (end < old)
        hand_acknowledge(me, end, old);
}

static void tail_fallocate(struct me *me, int mode, uint32_t from, uint32_t end, uint64_t size)
{
    struct ledger *ledger = me->ledger;
    uint64_t off = cell_off(ledger, from), to = cell_off(ledger, end);

    set(ledger->size_intent, to > size ? to : size);
    if (mode & FALLOC_FL_ZERO_RANGE)
        hand_intend(me, from, end, hand_version(me, true));
    if (fallocate(me->fd, mode, (off_t)off, (off_t)(to - off)) == 0) {
        if (mode & FALLOC_FL_ZERO_RANGE)
            hand_acknowledge(me, from, end);
    } else if (errno == EOPNOTSUPP) {
        hand_withdraw(me, from, end);
        set(ledger->size_intent, size);
    } else {
        hand_failed(me, "fallocate", off, to - off, -1);
    }
}

static void tail_owned(struct me *me)
{
    struct ledger *ledger = me->ledger;
    uint64_t size = get(ledger->size_acked);
    uint32_t from = ledger->fixed_cells, count = ledger->ncells - from, any;
    struct stat st;

    any = from + (uint32_t)rnd_below(&me->rnd, count);
    hand_pick_within(me, &from, &count);
    hand_note(me, cell_off(ledger, from), cell_off(ledger, from + count) - cell_off(ledger, from));
    switch (rnd_below(&me->rnd, 8)) {
    case 0:
    case 1:
        tail_truncate(me, any, size);
        break;
    case 2:
    case 3:
        tail_append(me, size);
        break;
    case 4:
        tail_fallocate(me, 0, from, from + count, size);
        break;
    case 5:
        tail_fallocate(me, FALLOC_FL_ZERO_RANGE, from, from + count, size);
        break;
    default:
        tail_write(me, from, from + count, size);
        break;
    }
    if (get(ledger->failed) || me->gave_up)
        return;
    size = get(ledger->size_intent);
    set(ledger->size_acked, size);
    if (fstat(me->fd, &st) < 0 || (uint64_t)st.st_size != size)
        hand_failed(me, "fstat, with an end not", size, 0, st.st_size);
}

static void tail_wild(struct me *me)
{
    uint64_t fixed = cell_off(me->ledger, me->ledger->fixed_cells);
    uint64_t room = cell_off(me->ledger, me->ledger->ncells) - fixed;
    uint64_t off = fixed + rnd_below(&me->rnd, room);
    size_t len = 1 + rnd_scale(&me->rnd, TRANSFER);
    ssize_t n = 0;

    if (len > fixed + room - off)
        len = fixed + room - off;
    hand_note(me, off, len);
    switch (rnd_below(&me->rnd, 8)) {
    case 0:
        n = ftruncate(me->fd, (off_t)off);
        break;
    case 1:
        n = fallocate(me->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
        break;
    case 2:
        n = fallocate(me->fd, FALLOC_FL_ZERO_RANGE, (off_t)off, (off_t)len);
        break;
    case 3:
        n = fallocate(me->fd, 0, (off_t)off, (off_t)len);
        break;
    case 4:
    case 5:
        n = hand_read(me, me->buf, len, off);
        if (n > 0)
            check_wild(me->ledger, off, me->buf, (size_t)n, me->who);
        break;
    default:
        fill(me->buf, off, len, VERSION_WILD);
        n = hand_write(me, me->buf, len, off);
        if (n >= 0 && n < (ssize_t)len)
            hand_failed(me, "write in the tail", off, len, n);
        break;
    }
    if (n < 0 && errno != EOPNOTSUPP)
        hand_failed(me, "a call in the tail", off, len, n);
}

void tail_do(struct me *me)
{
    if (me->ledger->wild)
        tail_wild(me);
    else if (me->owner == TAIL_OWNER)
        tail_owned(me);
}
