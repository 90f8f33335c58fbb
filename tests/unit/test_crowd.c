/*
 * Processes that come and go. Each owns bytes of shared sectors, as the threads
 * of test_thread.c do; each opens the disk for itself, writes, reads, flushes,
 * forks, closes; and each is killed at calls of its own choice and started again.
 * No byte that was written may be lost, whoever died, closed first or took over.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "sys_hook.h"

#define CROWD 3
#define SIZE (256 * KIB)

/* Of one process; shared with the test. */
struct member {
    unsigned number, done;
    uint64_t seed;
    /* What is being written: it may be there or not. */
    bool writing;
    uint64_t at;
    uint8_t value;
};

static struct member *members;
static uint8_t *bytes;          /* what each must be */
static unsigned dies_in;        /* calls; 0: does not die */

static int die_some_time(struct sys_call *call)
{
    (void)call;
    if (dies_in && --dies_in == 0)
        raise(SIGKILL);
    return 0;
}

/* Sets up the way of dying for this life. */
static void born(struct rnd *rnd)
{
    static const struct sys_hook hook = { .before = die_some_time };

    dies_in = 0;
    if (rnd_percent(rnd, 60))
        dies_in = 1 + (unsigned)rnd_below(rnd, rnd_percent(rnd, 30) ? 60 : 1500);
    sys_hook(&hook);
}

static void write_byte(struct acow_disk *disk, struct member *me, struct rnd *rnd)
{
    me->at = (me->done / 64 * 4096 + rnd_below(rnd, 8192)) % SIZE / CROWD * CROWD + me->number;
    me->value = (uint8_t)rnd_next(rnd);
    __atomic_store_n(&me->writing, true, __ATOMIC_SEQ_CST);
    must_write(disk, &me->value, 1, me->at);
    bytes[me->at] = me->value;
    __atomic_store_n(&me->writing, false, __ATOMIC_SEQ_CST);
}

static void look(struct acow_disk *disk, const struct member *me, struct rnd *rnd)
{
    uint64_t off = rnd_below(rnd, SIZE - 4096);
    uint8_t buf[4096];

    must_read(disk, buf, sizeof(buf), off);
    for (uint64_t i = 0; i < sizeof(buf); i++)
        if ((off + i) % CROWD == me->number)
            check(buf[i] == bytes[off + i], "process %u, byte %llu: 0x%02x, not 0x%02x", me->number,
                  (unsigned long long)(off + i), buf[i], bytes[off + i]);
}

static void child_writes(struct acow_disk *disk, struct member *me, struct rnd *rnd)
{
    pid_t pid = fork_child();
    int status;

    if (pid == 0) {
        acow_after_fork(disk);
        write_byte(disk, me, rnd);
        must_close(disk);
        _exit(0);
    }
    status = wait_child(pid);
    check(status == 0 || status == 256 + SIGKILL, "the child ended with %d", status);
    if (status)
        raise(SIGKILL);
    rnd_next(rnd);
}

static int live(void *arg)
{
    struct member *me = arg;
    struct rnd rnd = { me->seed++ };
    struct acow_disk *disk;

    born(&rnd);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    for (; me->done < test_rounds(600); me->done++) {
        unsigned dice = (unsigned)rnd_below(&rnd, 100);

        write_byte(disk, me, &rnd);
        if (dice < 10)
            look(disk, me, &rnd);
        else if (dice < 14)
            must_flush(disk);
        else if (dice < 16)
            check(acow_park(disk) == 0);
        else if (dice < 17)
            child_writes(disk, me, &rnd);
        else if (dice < 20) {
            must_close(disk);
            disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        }
    }
    must_close(disk);
    return 0;
}

/* Killed within a write: the byte is one or the other, and from now on that. */
static void settle(struct member *me)
{
    struct acow_disk *disk;
    uint8_t now;

    if (!me->writing)
        return;
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
    must_read(disk, &now, 1, me->at);
    check(now == me->value || now == bytes[me->at]);
    bytes[me->at] = now;
    me->writing = false;
    must_close(disk);
}

/* Lives again and again until its work is done. */
static int lives(void *arg)
{
    struct member *me = arg;

    for (;;) {
        int status = in_child(live, me);

        if (status == 0)
            return 0;
        check(status == 256 + SIGKILL, "process %u ended with %d", me->number, status);
        settle(me);
    }
}

Test(crowd, comes_and_goes, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    struct acow_disk *disk;
    struct blob flat;
    pid_t pids[CROWD];

    usual_disk(SIZE, SIZE);
    members = shared_memory(CROWD * sizeof(*members));
    bytes = shared_memory(SIZE);
    pattern(bytes, 0, SIZE, 1);
    fflush(NULL);
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){ .number = i, .seed = test_seed(1000 * (i + 1)) };
        pids[i] = fork_child();
        if (pids[i] == 0)
            _exit(lives(&members[i]));
    }
    for (unsigned i = 0; i < CROWD; i++)
        check(wait_child(pids[i]) == 0);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    must_close(disk);
    flat = decode("d.add-cow");
    check(flat.len == SIZE && file_len("d.add-cow.run") == -1);
    assert_same(flat.data, bytes, SIZE, "in the end");
    free(flat.data);
}
