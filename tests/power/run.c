/*
 * Two processes are two handles that each have their own descriptors, locks and mappings on the
 * machine; the engine cannot tell. What is put in the middle of an operation runs where the
 * machine pauses, on the same thread; but an operation in which its process is killed has a thread
 * of its own, which ends there, so that the kernel marks the locks it held.
 */
#include "run.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover.h"

#define PROCESSES 2

static struct run {
    struct script script;
    const struct layout *layout;
    struct acow_disk *disks[PROCESSES];
    bool failed;                /* a sync of the image did, and the disk has been open since */
    bool lost;                  /* … and it has not been open since then: things may be lost */
    bool unsure;                /* what the last operation did is not known */
    bool fired;                 /* a sync has failed in this operation, as it was to */
    int part;                   /* power cuts before */
    unsigned tag;
    int number;                 /* the oracle's, of the operation last begun */
    const struct op *inner;     /* to be done in the middle of another */
    int countdown;
    bool inner_done, killed;
    bool over;                  /* a cut has left no disk to go on with */
} run;

static void do_op(const struct op *op);

/* ---- looking at the open disk -------------------------------------------- */

/* Compares it with what is known of it. */
static void look(void)
{
    int process = run.disks[0] ? 0 : 1, before, number, r;
    struct flat flat;

    if (!run.disks[process] || breach_found())
        return;
    before = machine_as(process);
    r = recover_read(run.disks[process], run.layout, oracle_now(), &flat);
    machine_as(before);
    if (r < 0) {
        breach("the open disk cannot be read: %s", strerror(-r));
        return;
    }
    number = oracle_begin(log_current.n);
    oracle_seen(number, &flat, run.unsure);
    oracle_end(number, log_current.n);
    run.unsure = false;
}

static void note_failure(void)
{
    enum log_failure failure = log_failed();

    run.fired = run.fired || failure != LOG_NO_FAILURE;
    /* Bits whose sync failed wait for the next flush, but only where others can find them. */
    run.failed = run.failed || failure == LOG_IMAGE_FAILED
                 || (failure == LOG_META_FAILED && run.script.alone);
}

/* ---- open, close, kill --------------------------------------------------- */

static void nobody_has_it(void)
{
    if (run.disks[0] || run.disks[1] || !run.failed || !oracle_now())
        return;
    log_look();
    state_drop_pages(&log_current, run.tag);
    run.failed = false;
    run.unsure = run.lost = true;
}

static int try_open(int process)
{
    int flags = ACOW_RDWR | (run.script.through ? ACOW_WRITETHROUGH : 0);
    int before = machine_as(process);
    struct acow_msg msg;
    int r = acow_open(&machine_sys, MACHINE_DIR POWER_DISK, flags, &run.disks[process], &msg);

    machine_as(before);
    note_failure();
    if (r < 0)
        run.disks[process] = NULL;
    if (r < 0 && !run.fired)
        breach("the disk does not open: %s", msg.text);
    return r;
}

static void open_disk(int process)
{
    if (run.disks[process])
        return;
    /* A sync that is to fail may be one of the opening. */
    if (try_open(process) < 0 && !breach_found()) {
        nobody_has_it();
        run.fired = false;
        try_open(process);
    }
    if (run.unsure)
        look();
    if (run.lost)
        oracle_taint();
    run.lost = false;
}

static int close_disk(int process, int begun)
{
    struct acow_disk *disk = run.disks[process];
    uint64_t allocated, pending = 0;
    bool last = !run.disks[1 - process];
    int r, before;

    if (!disk)
        return 0;
    before = machine_as(process);
    if (acow_count_allocated(disk, &allocated, &pending) < 0)
        pending = 0;
    r = acow_close(disk, NULL);
    run.disks[process] = NULL;
    machine_as(before);
    log_look();
    note_failure();
    /* The last to close flushes, if any bit is pending. */
    if (r == 0 && last && pending > 0 && !run.failed)
        oracle_claim(begun, log_current.n);
    nobody_has_it();
    return r;
}

static void kill_process(int process)
{
    note_failure();
    /* Bits that nobody else could see go with it. */
    if (run.script.alone && run.disks[process])
        run.unsure = true;
    machine_kill(process);
    bury(run.disks[process]);
    run.disks[process] = NULL;
    nobody_has_it();
}

/* ---- operations ---------------------------------------------------------- */

static int64_t create(int op)
{
    struct acow_create what = {
        .path = MACHINE_DIR POWER_DISK, .backing_name = files_backing(&run.script),
        .image_name = FILES_OTHER_IMAGE, .size = run.script.fresh ? -1 : (int64_t)run.script.size,
        .force = true,
    };
    struct acow_msg msg = { "" };
    struct flat flat;
    int r;

    close_disk(0, log_current.n);
    close_disk(1, log_current.n);
    files_new_disk(&run.script, &flat);
    oracle_create(op, FILES_OTHER_IMAGE, &flat);
    r = acow_create(&machine_sys, &what, NULL, &msg);
    /* A sync that fails makes that fail, and leaves no trace. */
    if (r < 0 && log_failed() != LOG_NO_FAILURE)
        r = acow_create(&machine_sys, &what, NULL, &msg);
    if (r == 0)
        oracle_claim_disk(log_current.n);
    else
        breach("create: %s", msg.text);
    return r;
}

static void note_growth(int op, uint64_t end, uint64_t low)
{
    if (end > oracle_now()->size)
        oracle_size(op, end, low);
}

static int64_t write_at(struct acow_disk *disk, int op, uint64_t off, uint64_t len, bool append)
{
    uint8_t bytes[SLOTS * SECTOR];
    uint64_t end;

    if (len > sizeof(bytes))
        fatal("a write of %llu bytes is too large", (unsigned long long)len);
    pattern(bytes, off, len, run.tag);
    note_growth(op, off + len, off + 1);
    oracle_write(op, off, bytes, len);
    if (append)
        return acow_append(disk, ACOW_OWN_FD, &(struct iovec){ bytes, len }, 1, &end);
    return acow_pwrite(disk, ACOW_OWN_FD, bytes, len, off);
}

static int64_t zero(struct acow_disk *disk, int op, const struct op *what, int mode)
{
    uint64_t size = oracle_now()->size, end = what->off + what->len;

    if (!(mode & FALLOC_FL_KEEP_SIZE))
        note_growth(op, end, end);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && what->off < size)
        oracle_zero(op, what->off, (end < size ? end : size) - what->off);
    return acow_fallocate(disk, mode, what->off, what->len);
}

/* Tells the oracle what the operation is about to do, and does it. */
static int64_t change(const struct op *what, int op)
{
    struct acow_disk *disk = run.disks[what->process];

    switch (what->does) {
    case DOES_WRITE:
        return write_at(disk, op, what->off, what->len, false);
    case DOES_APPEND:
        return write_at(disk, op, oracle_now()->size, what->len, true);
    case DOES_TRUNCATE:
        oracle_size(op, what->off, what->off);
        return acow_truncate(disk, what->off);
    case DOES_PUNCH:
        return zero(disk, op, what, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    case DOES_ZERO:
        return zero(disk, op, what, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    case DOES_ZERO_GROW:
        return zero(disk, op, what, FALLOC_FL_ZERO_RANGE);
    case DOES_COPY_UP:
        return acow_copy_up(disk, what->off, what->len);
    case DOES_RESERVE:
        return zero(disk, op, what, 0);
    default:
        return 0;
    }
}

static void claim(const struct op *what, int begun)
{
    int at = log_current.n;

    if (what->does == DOES_FLUSH)
        oracle_claim(begun, at);
    else if (run.script.through && what->does <= DOES_RESERVE && what->does != DOES_COPY_UP)
        oracle_claim(at, at);
}

static void settle(const struct op *what, int begun, int64_t r)
{
    bool excused = run.failed || run.lost;

    note_failure();
    excused = excused || run.fired;
    run.fired = false;
    if (r >= 0) {
        claim(what, begun);
        return;
    }
    if (!excused) {
        breach("an operation fails: %s", strerror((int)-r));
        return;
    }
    run.unsure = true;
    look();
}

/* ---- in the middle of another -------------------------------------------- */

static void do_inner(void)
{
    const struct op *inner = run.inner;
    int process;

    if (!inner || --run.countdown > 0)
        return;
    run.inner = NULL;
    run.inner_done = true;
    if (inner->does == DOES_KILL) {
        run.killed = true;
        pthread_exit(NULL);
    }
    process = machine_as(inner->process);
    do_op(inner);
    machine_as(process);
}

/* What may be done while another process has the locks of a flush, or of growth. */
static bool fits_inside(const struct op *inner, const struct op *outer)
{
    if (inner->does == DOES_KILL)
        return inner->process == outer->process && outer->does <= DOES_CLOSE;
    /* Nor may it flush itself. */
    return inner->does == DOES_WRITE && run.disks[inner->process] && !run.script.through
           && inner->off + inner->len <= oracle_now()->size
           && (outer->does != DOES_CLOSE || inner->process != outer->process);
}

static void *do_outer(void *arg)
{
    do_op(arg);
    return NULL;
}

static void do_with_inner(const struct op *inner, const struct op *outer)
{
    pthread_t thread;

    if (inner->does == DOES_WRITE)
        open_disk(inner->process);
    run.inner = fits_inside(inner, outer) ? inner : NULL;
    run.countdown = inner->during;
    run.inner_done = run.killed = false;
    log_on_pause(do_inner);
    if (run.inner && inner->does == DOES_KILL) {
        if (pthread_create(&thread, NULL, do_outer, (void *)outer) != 0)
            fatal("no thread");
        pthread_join(thread, NULL);
    } else {
        do_op(outer);
    }
    log_on_pause(NULL);
    run.inner = NULL;
    if (run.killed) {
        log_look();
        oracle_end(run.number, log_current.n);
        run.unsure = true;
        kill_process(outer->process);
        machine_as(0);
        look();
    } else if (!run.inner_done) {
        do_op(inner);
    }
}

/* ---- scripts ------------------------------------------------------------- */

static void do_op(const struct op *op)
{
    int begun = log_current.n, number = oracle_begin(begun), before;
    int64_t r = 0;

    run.tag++;
    run.number = number;
    if (op->does <= DOES_FLUSH)
        open_disk(op->process);
    if (breach_found())
        return;
    before = machine_as(op->process);
    switch (op->does) {
    case DOES_FLUSH:
        r = acow_flush(run.disks[op->process]);
        break;
    case DOES_CLOSE:
        r = close_disk(op->process, begun);
        break;
    case DOES_KILL:
        kill_process(op->process);
        break;
    case DOES_CREATE:
        r = create(number);
        break;
    case DOES_FAIL_IMAGE:
    case DOES_FAIL_META:
        log_fail_sync(op->does == DOES_FAIL_IMAGE);
        break;
    default:
        r = change(op, number);
        break;
    }
    log_look();
    oracle_end(number, log_current.n);
    settle(op, begun, r);
    machine_as(before);
}

/* The power is cut, and comes back. */
static void cut_power(uint64_t seed, void (*fn)(int part, void *arg), void *arg)
{
    static struct cut cut;
    bool kept[LOG_EVENTS], there;
    struct rng rng = { seed };
    struct state state;
    struct flat flat;

    for (int process = 0; process < PROCESSES; process++)
        kill_process(process);
    log_end();
    fn(run.part++, arg);
    if (breach_found())
        return;
    state_cut(&cut, &log_current, (int)rng_below(&rng, (uint64_t)log_current.n + 1));
    for (int i = 0; i < cut.nloose; i++)
        kept[i] = rng_percent(&rng, 50);
    state_build(&cut, kept, (unsigned)rng_below(&rng, (uint64_t)cut.nruns + 1), &state);
    oracle_cut(cut.at);
    if (!oracle_judge(&log_current, &state, &there, &flat))
        return;
    run.over = !there;
    if (run.over)
        return;
    recover_place(&log_current, &state);
    oracle_restart(&flat);
    run.failed = run.lost = run.unsure = false;
}

static void begin_part(enum log_lie lie)
{
    machine_boot(1 + (unsigned)run.part);
    machine_refuse_run(run.script.alone);
    log_begin(run.layout, lie);
}

static void do_close(int process)
{
    do_op(&(struct op){ .does = DOES_CLOSE, .process = process });
}

static void do_step(const struct op *op, const struct op *next)
{
    if (op->does == DOES_REOPEN) {
        do_close(0);
        do_close(1);
    } else if (op->during && next) {
        do_with_inner(op, next);
    } else {
        do_op(op);
    }
}

static void finish(void)
{
    look();
    do_close(0);
    do_close(1);
    log_end();
    if (machine_open_things() > 0)
        breach("descriptors or mappings are still open after all has been closed");
}

/* Some operations cannot have another one in their middle. */
static bool takes_inner(const struct op *op)
{
    return op->does <= DOES_CLOSE && !op->during;
}

void run_script(const struct script *script, enum log_lie lie, void (*fn)(int part, void *arg),
                void *arg)
{
    const struct op *ops = run.script.ops;

    log_forget();
    machine_reset();
    content_reset();
    run = (struct run){ .script = *script, .layout = files_layout(script->size),
                        .tag = FILES_WRITES };
    for (int i = 0; i < script->nops && script->alone; i++)
        run.script.ops[i].process = 0;
    files_make(&run.script);
    begin_part(lie);
    for (int i = 0; i < script->nops && !breach_found() && !run.over; i++) {
        if (ops[i].does == DOES_CUT) {
            cut_power(ops[i].off, fn, arg);
            if (!breach_found() && !run.over)
                begin_part(lie);
        } else if (ops[i].during && i + 1 < script->nops && takes_inner(&ops[i + 1])) {
            do_step(&ops[i], &ops[i + 1]);
            i++;
        } else {
            do_step(&ops[i], NULL);
        }
    }
    if (!breach_found() && !run.over) {
        finish();
        if (!breach_found())
            fn(run.part, arg);
    }
    machine_listen(NULL);
}
