/*
 * One process has a disk open twice, for reading and for writing, and cannot make a
 * run-time file (played as in locks.c). What is pending is in memory, where nobody else
 * sees it: so the reader must be shown it, its children by fork too or they are refused, and
 * all others stay locked out. Whenever somebody reads, it is either the newest
 * that was written, or EBUSY.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static int no_run_file(struct sys_call *call)
{
    if (call_is(call, SYS_OPEN, "d.add-cow.run") && (call->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    return 0;
}

static int no_memory(struct sys_call *call)
{
    return call->op == SYS_MEMFD ? -EMFILE : no_run_file(call);
}

static int no_second_look(struct sys_call *call)
{
    return call->op == SYS_OPEN && isdigit((unsigned char)call->file[0]) ? -EMFILE : no_run_file(call);
}

/* Nor by what it has open of them. */
static int no_files(struct sys_call *call)
{
    return call_is(call, SYS_OPEN, "d.add-cow") ? -EACCES : no_second_look(call);
}

static const struct sys_hook unprivileged = { .before = no_run_file }, lost = { .before = no_files };
static struct acow_sys quiet;
static struct acow_msg msg;
static struct acow_disk *reader, *writer;
static uint8_t buf[SIZE], want[SIZE];

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    pattern(want, 0, SIZE, 1);
    sys_hook(&unprivileged);
    quiet = sys_hooked;
    quiet.log = NULL;
}

static int open_beside(int flags, struct acow_disk *beside, struct acow_disk **out)
{
    return acow_open_beside(&quiet, "d.add-cow", flags, beside, out, &msg);
}

static void open_writer(void)
{
    check(open_beside(ACOW_RDWR, reader, &writer) == 0, "%s", msg.text);
}

static void open_reader(void)
{
    check(open_beside(ACOW_RDONLY, writer, &reader) == 0, "%s", msg.text);
}

static void open_both(bool reader_first)
{
    reader = writer = NULL;
    if (reader_first)
        open_reader();
    open_writer();
    if (!reader_first)
        open_reader();
}

static void write_tag(uint64_t off, size_t len, unsigned tag)
{
    pattern(want + off, off, len, tag);
    must_write(writer, want + off, len, off);
}

static void check_reader(const char *when)
{
    must_read(reader, buf, SIZE, 0);
    assert_same(buf, want, SIZE, "%s", when);
}

/* Somebody who can make a run-time file has the disk, and the reader sees what he does. */
static void others_may_write(unsigned tag)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 40000, 1000, tag);
    pattern(want + 40000, 40000, 1000, tag);
    check_reader("another writer");
    peer_close(&peer);
    peer_end(&peer);
    check_reader("he has closed");
}

static void others_are_refused(const char *when)
{
    struct peer peer = peer_start(&acow_sys_libc);

    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++)
        check(peer_do(&peer, PEER_OPEN, (uint64_t)flags, 0, 0) == -EBUSY, "%s", when);
    peer_kill(&peer);
}

/* ---- two in one process ----------------------------------------------------- */

Test(beside, both_orders, .init = begin, .fini = tmp_end)
{
    for (unsigned first = 0; first < 2; first++) {
        open_both(first);
        check_reader("at first");
        write_tag(1000, 3000, 3 + first);
        check_reader("pending");
        check(file_len("d.add-cow.run") == -1);
        others_are_refused("both");
        must_flush(writer);
        check_reader("flushed");
        write_tag(9000, 100, 5 + first);
        must_close(writer);
        writer = NULL;
        check_reader("the writer has closed");
        others_may_write(6 + first);
        open_writer();
        write_tag(12000, 3000, 9 + first);
        check_reader("a writer again");
        must_close(reader);
        others_are_refused("the writer");
        must_close(writer);
    }
    check(dir_count() == 3);
}

Test(beside, size_is_shared, .init = begin, .fini = tmp_end)
{
    open_both(true);
    check(acow_truncate(writer, 100 * MIB) == 0);
    check(acow_size(reader) == (int64_t)(100 * MIB));
    for (uint64_t off = 10 * MIB; off < 100 * MIB; off += 30 * MIB) {
        must_write(writer, "far", 3, off);
        must_read(reader, buf, 3, off);
        check(memcmp(buf, "far", 3) == 0);
    }
    check(acow_truncate(writer, SIZE) == 0);
    check(acow_size(reader) == SIZE);
    check_reader("small again");
    must_close(writer);
    must_close(reader);
}

Test(beside, parks, .init = begin, .fini = tmp_end)
{
    open_both(false);
    for (unsigned round = 0; round < 3; round++) {
        write_tag(1000 + round * 100, 3000, 3 + round);
        check(acow_park(round ? reader : writer) == 0);
        check_reader("parked");
    }
    must_close(writer);
    must_close(reader);
}

Test(beside, others_reading_are_in_the_way, .init = begin, .fini = tmp_end)
{
    /* Both begun here, or they would have the reader's lock from their parent. */
    struct peer peer = peer_start(&acow_sys_libc), alone = peer_start(&sys_hooked);
    char whom[64];

    snprintf(whom, sizeof(whom), "open by process %d (", peer.pid);
    open_reader();
    check(peer_do(&peer, PEER_OPEN, ACOW_RDONLY, 0, 0) == 0);
    check(open_beside(ACOW_RDWR, reader, &writer) == -EBUSY);
    check(strstr(msg.text, "d.add-cow") && strstr(msg.text, whom) && !strstr(msg.text, " more"),
          "%s", msg.text);
    peer_close(&peer);
    peer_end(&peer);
    check_reader("a writer was refused");

    /* The reader is still in the way of others that would be alone. */
    check(peer_do(&alone, PEER_OPEN, ACOW_RDWR, 0, 0) == -EBUSY);
    open_writer();
    must_close(writer);
    check(peer_do(&alone, PEER_OPEN, ACOW_RDWR, 0, 0) == -EBUSY);
    must_close(reader);
    peer_open(&alone, ACOW_RDWR);
    peer_close(&alone);
    peer_end(&alone);
}

/* Such a reader too, once the writer it came to has closed. */
Test(beside, follower_stays_in_the_way, .init = begin, .fini = tmp_end)
{
    struct peer peer = peer_start(&sys_hooked);

    open_both(false);
    must_close(writer);
    check(peer_do(&peer, PEER_OPEN, ACOW_RDWR, 0, 0) == -EBUSY);
    peer_end(&peer);
    must_close(reader);
}

Test(beside, failures_leave_the_first_as_it_was, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook memory = { .before = no_memory };
    static const struct sys_hook look = { .before = no_second_look };

    open_reader();
    for (int i = 0; i < 2; i++) {
        sys_hook(i ? &look : &memory);
        check(open_beside(ACOW_RDWR, reader, &writer) == -EMFILE);
        check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
        check_reader("a writer has failed");
        sys_hook(&unprivileged);
        writer = NULL;
        others_may_write(3 + (unsigned)i);
    }
    must_close(reader);
    reader = NULL;

    open_writer();
    sys_hook(&look);
    check(open_beside(ACOW_RDONLY, writer, &reader) == -EMFILE);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    sys_hook(&unprivileged);
    open_reader();
    write_tag(1000, 3000, 5);
    check_reader("it did not fail");
    must_close(reader);
    must_close(writer);
}

/* ---- forks -------------------------------------------------------------------- */

/* A child that does one step after the other, when told to. */
struct child {
    pid_t pid;
    int to, from;
};

enum step { READS, READS_NEW, WRITES, OPENS_WRITER, CLOSES_WRITER, CLOSES_READER, LOSES_FILES, ENDS };

static int64_t do_step(enum step step)
{
    ssize_t n;

    switch (step) {
    case READS:
    case READS_NEW:
        n = acow_pread(reader, ACOW_OWN_FD, buf, 3000, 20000);
        pattern(want, 20000, 3000, step == READS ? 1 : 7);
        return n < 0 ? n : memcmp(buf, want, 3000) == 0;
    case WRITES:
        pattern(buf, 20000, 3000, 7);
        return acow_pwrite(writer, ACOW_OWN_FD, buf, 3000, 20000);
    case OPENS_WRITER:
        return open_beside(ACOW_RDWR, reader, &writer);
    case CLOSES_WRITER:
        return acow_close(writer, NULL);
    case CLOSES_READER:
        return acow_close(reader, NULL);
    case LOSES_FILES:
        sys_hook(&lost);
        return 0;
    case ENDS:
        break;
    }
    _exit(0);
}

static struct child begin_child(void)
{
    int to[2], from[2];
    struct child child;

    check(pipe(to) == 0 && pipe(from) == 0);
    child = (struct child){ fork(), to[1], from[0] };
    check(child.pid >= 0);
    if (child.pid == 0) {
        enum step step;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(to[1]);
        close(from[0]);
        if (reader)
            acow_after_fork(reader);
        if (writer)
            acow_after_fork(writer);
        while (read(to[0], &step, sizeof(step)) == sizeof(step)) {
            int64_t r = do_step(step);

            if (write(from[1], &r, sizeof(r)) != sizeof(r))
                break;
        }
        _exit(1);
    }
    close(to[0]);
    close(from[1]);
    return child;
}

static void child_step(struct child *child, enum step step, int64_t expected)
{
    int64_t r = INT64_MIN;

    check(write(child->to, &step, sizeof(step)) == sizeof(step));
    check(read(child->from, &r, sizeof(r)) == sizeof(r));
    check(r == expected, "step %d: %lld, not %lld", step, (long long)r, (long long)expected);
}

static void end_child(struct child *child)
{
    enum step step = ENDS;

    check(write(child->to, &step, sizeof(step)) == sizeof(step));
    check(wait_child(child->pid) == 0);
    close(child->to);
    close(child->from);
}

static void child_has_written(struct child *child)
{
    child_step(child, WRITES, 3000);
    pattern(want + 20000, 20000, 3000, 7);
}

Test(beside, child_goes_on_writing, .init = begin, .fini = tmp_end)
{
    for (unsigned first = 0; first < 2; first++) {
        struct child child;

        open_both(first);
        child = begin_child();
        must_close(writer);
        writer = NULL;
        check_reader("closed here");
        child_has_written(&child);
        check_reader("the child writes");
        others_are_refused("the child");
        check(open_beside(ACOW_RDWR, reader, &writer) == -EBUSY);
        child_step(&child, CLOSES_WRITER, 0);
        check_reader("closed there");
        others_may_write(3 + first);
        end_child(&child);
        must_close(reader);
        reader = NULL;
    }
}

Test(beside, parent_goes_on_writing, .init = begin, .fini = tmp_end)
{
    struct child child;

    open_both(true);
    child = begin_child();
    child_step(&child, CLOSES_WRITER, 0);
    child_step(&child, READS, 1);
    write_tag(20000, 3000, 7);
    child_step(&child, READS_NEW, 1);
    must_close(writer);
    writer = NULL;

    /* Two writers in a row: the child must not go on looking at the first one's state. */
    open_writer();
    child_step(&child, READS_NEW, -EBUSY);
    must_close(writer);
    writer = NULL;
    child_step(&child, READS_NEW, 1);
    check(open_beside(ACOW_RDWR, reader, &writer) == -EBUSY);
    child_step(&child, CLOSES_READER, 0);
    open_writer();
    must_close(writer);
    end_child(&child);
    must_close(reader);
}

Test(beside, child_that_reads_is_in_the_way, .init = begin, .fini = tmp_end)
{
    struct child child;

    open_reader();
    child = begin_child();
    child_step(&child, READS, 1);
    check(open_beside(ACOW_RDWR, reader, &writer) == -EBUSY);
    end_child(&child);
    open_writer();
    must_close(writer);
    must_close(reader);
}

Test(beside, child_of_a_reader_is_refused, .init = begin, .fini = tmp_end)
{
    for (int lost = 0; lost < 2; lost++) {
        struct child child;

        reader = writer = NULL;
        open_reader();
        child = begin_child();
        if (lost) {
            /* It cannot open the metadata file for itself, and reads by its parent's. */
            child_step(&child, LOSES_FILES, 0);
            child_step(&child, READS, 1);
        }
        open_writer();
        write_tag(20000, 3000, lost ? 7 : 1);
        child_step(&child, lost ? READS_NEW : READS, -EBUSY);
        must_close(writer);
        child_step(&child, lost ? READS_NEW : READS, 1);
        end_child(&child);
        must_close(reader);
    }
}

/* The child's reader has its parent's lock, which it must not let go. */
Test(beside, parent_that_reads_is_in_the_way, .init = begin, .fini = tmp_end)
{
    struct child child;

    open_reader();
    child = begin_child();
    child_step(&child, OPENS_WRITER, -EBUSY);
    check_reader("refused there");
    must_close(reader);
    end_child(&child);
}

/* A child that cannot open the files for itself has its parent's lock, and would not see it. */
Test(beside, child_cannot_be_alone_by_its_parents_lock, .init = begin, .fini = tmp_end)
{
    struct child child;

    sys_hook(NULL);
    open_writer();
    /* At the fork already, where it would get a descriptor of its own. */
    sys_hook(&lost);
    child = begin_child();
    child_step(&child, WRITES, -EACCES);
    end_child(&child);
    must_close(writer);
}

/* ---- threads -------------------------------------------------------------------- */

static unsigned newest;         /* tag that was last written for sure */
static bool stop;

/* One sector is written with ever higher tags: none but the newest, or one that came since. */
static void *keep_reading(void *arg)
{
    uint8_t got[8], expected[8];         /* so few are copied at once */
    unsigned *reads = arg;

    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        unsigned from = __atomic_load_n(&newest, __ATOMIC_ACQUIRE), tag;

        must_read(reader, got, 8, 8192);
        for (tag = from; tag <= __atomic_load_n(&newest, __ATOMIC_ACQUIRE) + 1; tag++) {
            pattern(expected, 8192, 8, tag);
            if (memcmp(got, expected, 8) == 0)
                break;
        }
        check(tag <= __atomic_load_n(&newest, __ATOMIC_ACQUIRE) + 1, "older than tag %u", from);
        __atomic_fetch_add(reads, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

Test(beside, threads_read_while_writers_come_and_go, .init = begin, .fini = tmp_end)
{
    pthread_t threads[2];
    unsigned reads[2] = { 0 };

    newest = 1;
    open_reader();
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i], NULL, keep_reading, &reads[i]) == 0);
    for (unsigned round = 0; round < test_rounds(200); round++) {
        open_writer();
        for (int i = 0; i < 3; i++) {
            write_tag(8192, 512, newest + 1);
            __atomic_fetch_add(&newest, 1, __ATOMIC_RELEASE);
        }
        must_close(writer);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        check(pthread_join(threads[i], NULL) == 0);
        check(__atomic_load_n(&reads[i], __ATOMIC_ACQUIRE) > 0);
    }
    check_reader("in the end");
    must_close(reader);
}
