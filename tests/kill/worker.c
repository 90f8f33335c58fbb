/*
 * A plain program that writes, reads, discards, grows, truncates and syncs a file, by a few
 * threads, and checks what it reads against the ledger. It knows nothing of disks: the
 * preload library makes the file one. Any result that a flat file would not have is a failure.
 *
 * Work goes over the disk in laps, all workers in about the same place, so that they
 * meet in sectors that nobody has written yet; half of it is anywhere.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hand.h"
#include "look.h"

struct op {
    const char *name;
    unsigned weight;
    void (*run)(struct me *me);
};

/* Nobody else would end it. */
static void end_without_test(const struct ledger *ledger)
{
    if (kill(ledger->test, 0) < 0)
        _exit(1);
}

static void op_write(struct me *me)
{
    uint32_t first, count;

    if (hand_pick(me, &first, &count))
        hand_write_cells(me, first, count);
}

static void zero_cells(struct me *me, int mode)
{
    uint32_t first, count;
    uint64_t off, len;

    if (!hand_pick(me, &first, &count))
        return;
    off = cell_off(me->ledger, first);
    len = cell_off(me->ledger, first + count) - off;
    hand_intend(me, first, first + count, hand_version(me, true));
    if (fallocate(me->fd, mode, (off_t)off, (off_t)len) == 0)
        hand_acknowledge(me, first, first + count);
    else if (errno == EOPNOTSUPP)
        hand_withdraw(me, first, first + count);
    else
        hand_failed(me, "fallocate", off, len, -1);
}

static void op_punch(struct me *me)
{
    zero_cells(me, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static void op_zero(struct me *me)
{
    zero_cells(me, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
}

/* ---- what changes nothing ------------------------------------------------ */

static void op_reserve(struct me *me)
{
    uint32_t first, count;
    uint64_t off, len;

    if (!hand_pick(me, &first, &count))
        return;
    off = cell_off(me->ledger, first);
    len = cell_off(me->ledger, first + count) - off;
    if (fallocate(me->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) < 0 && errno != EOPNOTSUPP)
        hand_failed(me, "fallocate", off, len, -1);
}

static void op_read(struct me *me)
{
    uint32_t first = 0, count = me->ledger->fixed_cells;
    uint64_t off;
    size_t len;
    ssize_t n;

    if (rnd_percent(&me->rnd, 60)) {
        hand_pick_within(me, &first, &count);
    } else if (!hand_pick(me, &first, &count)) {
        return;
    }
    off = cell_off(me->ledger, first);
    len = cell_off(me->ledger, first + count) - off;
    hand_note(me, off, len);
    sight_begin(me->ledger, &me->sight, first, count);
    n = hand_read(me, me->buf, len, off);
    if (n != (ssize_t)len)
        hand_failed(me, "read", off, len, n);
    else
        sight_end(me->ledger, &me->sight, me->buf, me->who);
}

/* The description's offset is shared with the threads and processes that have it too. */
static void op_seek(struct me *me)
{
    uint64_t off = rnd_below(&me->rnd, cell_off(me->ledger, me->ledger->fixed_cells));
    size_t len = 1 + rnd_scale(&me->rnd, 4096);

    if (lseek(me->fd, (off_t)off, SEEK_SET) < 0 || read(me->fd, me->buf, len) < 0)
        hand_failed(me, "lseek or read", off, len, -1);
}

static void op_sync(struct me *me)
{
    int r = rnd_percent(&me->rnd, 50) ? fsync(me->fd) : fdatasync(me->fd);

    if (r < 0)
        hand_failed(me, "fsync", 0, 0, r);
}

static void op_reopen(struct me *me)
{
    if (me->shared)
        return;
    if (close(me->fd) < 0)
        hand_failed(me, "close", 0, 0, -1);
    me->fd = hand_open(me, O_RDWR | (rnd_percent(&me->rnd, 15) ? O_DSYNC : 0));
}

/* A child that inherits the disk, and does not use it until the end, or at all. */
static void idle_child(struct me *me, uint32_t nth)
{
    char byte;

    set(me->ledger->idle_pids[nth], getpid());
    while (!get(me->ledger->over)) {
        usleep(5000);
        end_without_test(me->ledger);
    }
    if (nth % 3 == 0)
        raise(SIGKILL);
    if (nth % 3 == 1 && pread(me->fd, &byte, 1, 0) != 1)
        hand_failed(me, "a child's read", 0, 1, -1);
    _exit(0);
}

static void op_fork(struct me *me)
{
    uint32_t nth = add(me->ledger->idle, 1);
    pid_t pid = nth < IDLE_MAX ? fork() : 1;

    if (pid == 0)
        idle_child(me, nth);
    if (pid < 0)
        hand_failed(me, "fork", 0, 0, pid);
}

/* ---- the worker ---------------------------------------------------------- */

static const struct op ops[] = {
    { "write", 50, op_write }, { "read", 16, op_read },      { "seek", 6, op_seek },
    { "punch", 5, op_punch },  { "zero", 4, op_zero },       { "reserve", 2, op_reserve },
    { "sync", 4, op_sync },    { "tail", 10, tail_do },      { "reopen", 2, op_reopen },
    { "fork", 1, op_fork },
};

enum { NOPS = sizeof(ops) / sizeof(ops[0]), BEGINNING = NOPS, HOLDING, ENDING };

const char *worker_op_name(int op)
{
    static const char *const others[] = { "beginning", "holding", "ending" };

    return op < NOPS ? ops[op].name : others[op - NOPS];
}

bool worker_holds(int op)
{
    return op == HOLDING;
}

void worker_begins(struct seat *seat)
{
    for (int i = 0; i < HANDS; i++)
        set(seat->hands[i].doing, BEGINNING);
}

static int pick_op(struct me *me)
{
    unsigned at = (unsigned)rnd_below(&me->rnd, 100);
    int op = 0;

    while (at >= ops[op].weight)
        at -= ops[op++].weight;
    return op;
}

/* Whoever was here before has been killed: what did it leave? */
static void take_seat(struct me *me)
{
    struct ledger *ledger = me->ledger;

    this_hand = me->hand;
    set(me->hand->tid, (int)syscall(SYS_gettid));
    set(me->hand->doing, BEGINNING);
    if (me->fd < 0)
        me->fd = hand_open(me, O_RDWR);
    for (uint32_t i = ledger->first_plot[me->owner]; i < ledger->first_plot[me->owner + 1]; i++) {
        if (get(ledger->failed) || look_resolve(ledger, me->fd, ledger->plots[i].first,
                                                ledger->plots[i].count, UINT64_MAX, me->who) < 0)
            return;
        add(me->hand->steps, 1);
    }
    if (!ledger->wild && me->owner == TAIL_OWNER)
        look_tail(ledger, me->fd, me->who);
}

/* What a call that gave up has left. */
static void find_out(struct me *me, bool tail)
{
    if (!tail && me->end > me->first)
        look_resolve(me->ledger, me->fd, me->first, me->end - me->first, UINT64_MAX, me->who);
    if (tail && !me->ledger->wild)
        look_tail(me->ledger, me->fd, me->who);
}

static void do_something(struct me *me)
{
    int op = pick_op(me);

    me->stops = get(me->ledger->stops);
    me->gave_up = false;
    me->first = me->end = 0;
    set(me->hand->doing, op);
    ops[op].run(me);
    if (me->gave_up)
        find_out(me, ops[op].run == tail_do);
    add(me->hand->steps, 1);
    add(me->ledger->ops, 1);
}

static void hold(struct me *me)
{
    set(me->hand->doing, HOLDING);
    while (get(me->ledger->hold) && !get(me->ledger->failed)) {
        usleep(200);
        end_without_test(me->ledger);
    }
}

static void *work(void *arg)
{
    struct me *me = arg;
    struct ledger *ledger = me->ledger;

    take_seat(me);
    while (!get(ledger->end) && !get(ledger->failed)) {
        do_something(me);
        if (get(ledger->hold))
            hold(me);
        if (get(me->hand->steps) % 256 == 0)
            end_without_test(ledger);
    }
    set(me->hand->doing, ENDING);
    if (!me->shared && me->fd >= 0 && rnd_percent(&me->rnd, 70) && close(me->fd) < 0)
        hand_failed(me, "close", 0, 0, -1);
    return NULL;
}

static void sit_down(struct ledger *ledger, const char *disk, int seat, int fd)
{
    struct me *all = calloc(HANDS, sizeof(*all));
    pthread_t threads[HANDS];
    uint64_t life = get(ledger->ops);

    for (int i = 0; i < HANDS; i++) {
        struct me *me = &all[i];

        me->ledger = ledger;
        me->disk = disk;
        me->hand = &ledger->seats[seat].hands[i];
        me->owner = (uint32_t)(seat * HANDS + i);
        me->rnd.state = ledger->seed + life * OWNERS + me->owner;
        me->fd = fd;
        me->shared = fd >= 0;
        me->stops = get(ledger->stops);
        snprintf(me->who, sizeof(me->who), "worker %d thread %d", seat, i);
        if (i > 0 && pthread_create(&threads[i], NULL, work, me) != 0)
            fail(ledger, "%s: no thread", me->who);
    }
    work(&all[0]);
    for (int i = 1; i < HANDS; i++)
        pthread_join(threads[i], NULL);
    free(all);
}

int worker(struct ledger *ledger, const char *disk, int seat, int also)
{
    struct rnd rnd = { get(ledger->ops) + (uint64_t)seat };
    int fd = -1;

    if (also >= 0 || rnd_percent(&rnd, 30)) {
        /* All its threads are yet to come: giving up is a step of each. */
        while ((fd = open(disk, O_RDWR | O_CLOEXEC)) < 0 && errno == ETIMEDOUT)
            for (int i = 0; i < HANDS; i++)
                add(ledger->seats[seat].hands[i].steps, 1);
        if (fd < 0)
            return fail(ledger, "worker %d cannot open: %s", seat, strerror(errno));
    }
    if (also >= 0) {
        pid_t pid;

        signal(SIGCHLD, SIG_IGN);
        pid = fork();
        if (pid < 0)
            return fail(ledger, "worker %d cannot fork: %s", seat, strerror(errno));
        if (pid == 0)
            seat = also;
        set(ledger->seats[seat].pid, getpid());
    }
    sit_down(ledger, disk, seat, fd);
    return get(ledger->failed) ? 1 : 0;
}
