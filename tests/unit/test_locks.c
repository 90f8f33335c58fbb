/*
 * Who excludes whom. A writer that cannot make a run-time file keeps its pending
 * bits to itself and its children, and must be alone; a reader that cannot make
 * one watches for it; a disk is not written while it is somebody's backing file.
 * That the run-time file cannot be made is played by the table of system calls,
 * because root may write everywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static int no_run_file(struct sys_call *call)
{
    if (call_is(call, SYS_OPEN, "d.add-cow.run") && (call->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    return 0;
}

static const struct sys_hook unprivileged = { .before = no_run_file };
static struct acow_msg msg;
static uint8_t buf[SIZE], want[SIZE];

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    pattern(want, 0, SIZE, 1);
    sys_hook(&unprivileged);
}

static void check_disk(struct acow_disk *disk, const char *when)
{
    must_read(disk, buf, SIZE, 0);
    assert_same(buf, want, SIZE, "%s", when);
}

static void write_tag(struct acow_disk *disk, uint64_t off, size_t len, unsigned tag)
{
    pattern(want + off, off, len, tag);
    must_write(disk, want + off, len, off);
}

static void check_files(void)
{
    struct blob flat = decode("d.add-cow");

    check(flat.len == SIZE && file_len("d.add-cow.run") == -1);
    assert_same(flat.data, want, SIZE, "files");
    free(flat.data);
}

/* ---- a writer that is alone ------------------------------------------------ */

Test(locks, alone_writes_and_flushes, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    check(file_len("d.add-cow.run") == -1);
    check_disk(disk, "pending");
    must_flush(disk);
    write_tag(disk, 9000, 100, 4);
    check(acow_truncate(disk, 30 * MIB) == 0);
    must_write(disk, "x", 1, 20 * MIB);
    check(acow_truncate(disk, SIZE) == 0);
    check_disk(disk, "flushed");
    must_close(disk);
    check_files();
}

Test(locks, alone_excludes_all_others, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR), *other;

    for (int i = 0; i < 4; i++) {
        const struct acow_sys *sys = i < 2 ? &sys_hooked : &acow_sys_libc;

        check(acow_open(sys, "d.add-cow", i % 2 ? ACOW_RDWR : ACOW_RDONLY, &other, &msg) == -EBUSY,
              "%d", i);
        check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    }
    check(dir_count() == 3);
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}

Test(locks, alone_must_be_alone, .init = begin, .fini = tmp_end)
{
    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        struct acow_disk *first = must_open(&acow_sys_libc, "d.add-cow", flags), *disk;

        check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EBUSY);
        check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
        must_close(first);
    }
}

static int child_of_alone(void *arg)
{
    acow_after_fork(arg);
    write_tag(arg, 5000, 3000, 4);
    must_close(arg);
    return 0;
}

Test(locks, alone_shares_with_its_children, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    check(in_child(child_of_alone, disk) == 0);
    pattern(want + 5000, 5000, 3000, 4);
    check_disk(disk, "after the child");
    write_tag(disk, 6000, 100, 5);
    must_close(disk);
    check_files();
}

static int parks(void *arg)
{
    acow_after_fork(arg);
    return acow_park(arg);
}

Test(locks, alone_parks, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    check(acow_park(disk) == 0);
    check_disk(disk, "parked");
    write_tag(disk, 5000, 3000, 4);
    check(in_child(parks, disk) == 0);
    write_tag(disk, 9000, 3000, 5);
    check_disk(disk, "a child has parked");
    must_close(disk);
    check_files();
}

/* A child that parks before exec, which then fails: both go on with one state. */
static int parks_and_goes_on(void *arg)
{
    acow_after_fork(arg);
    check(acow_park(arg) == 0);
    write_tag(arg, 20000, 3000, 6);
    must_read(arg, buf, 3000, 1000);
    return 0;
}

Test(locks, child_of_alone_parks_and_goes_on, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    check(in_child(parks_and_goes_on, disk) == 0);
    pattern(want + 20000, 20000, 3000, 6);
    write_tag(disk, 21000, 10, 7);
    check_disk(disk, "the child has gone on");
    must_close(disk);
    check_files();
}

static int grows(void *arg)
{
    acow_after_fork(arg);
    check(acow_truncate(arg, 100 * MIB) == 0);
    must_write(arg, "far", 3, 99 * MIB);
    return 0;
}

Test(locks, child_of_alone_grows_the_disk, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    struct blob meta;

    check(in_child(grows, disk) == 0);
    must_close(disk);
    meta = file_get("d.add-cow");
    check(meta_bit(meta, 99 * MIB / 512));
    free(meta.data);
}

/*
 * What a killed program left in a run-time file that cannot be taken over is not passed over:
 * this one would read and write without it.
 */
Test(locks, alone_minds_what_was_left, .init = begin, .fini = tmp_end)
{
    struct peer writer = peer_start(&acow_sys_libc);
    struct acow_disk *disk;

    /* Nothing was. */
    peer_open(&writer, ACOW_RDWR);
    peer_kill(&writer);
    check(file_len("d.add-cow.run") > 0);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check_disk(disk, "nothing left");
    must_close(disk);

    writer = peer_start(&acow_sys_libc);
    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 1000, 3000, 3);
    peer_kill(&writer);
    pattern(want + 1000, 1000, 3000, 3);
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EACCES, "%s", msg.text);
    check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    check_disk(disk, "looked at");
    must_close(disk);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check_disk(disk, "taken over");
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check_disk(disk, "nothing left any more");
    must_close(disk);
    check_files();
}

/* ---- a reader that watches ------------------------------------------------- */

Test(locks, watching_reader_sees_a_later_writer, .init = begin, .fini = tmp_end)
{
    struct acow_disk *reader = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY), *writer;

    check_disk(reader, "at first");
    for (unsigned round = 0; round < 3; round++) {
        writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
        check_disk(reader, "a writer is there");
        write_tag(writer, 1000 + round * 100, 3000, 3 + round);
        check_disk(reader, "it has written");
        must_flush(writer);
        check_disk(reader, "it has flushed");
        write_tag(writer, 5000, 3000, 9 + round);
        must_close(writer);
        check_disk(reader, "it has closed");
        check(file_len("d.add-cow.run") == -1);
    }
    writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_truncate(writer, 40 * MIB) == 0);
    check(acow_size(reader) == (int64_t)(40 * MIB));
    must_write(writer, "far", 3, 39 * MIB);
    must_read(reader, buf, 3, 39 * MIB);
    check(memcmp(buf, "far", 3) == 0);
    must_close(writer);
    must_read(reader, buf, 3, 39 * MIB);
    check(memcmp(buf, "far", 3) == 0);
    must_close(reader);
}

Test(locks, watching_reader_finds_a_writer, .init = begin, .fini = tmp_end)
{
    struct acow_disk *writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR), *reader;

    write_tag(writer, 1000, 3000, 3);
    reader = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    check_disk(reader, "pending");
    write_tag(writer, 5000, 3000, 4);
    check_disk(reader, "pending");
    must_close(writer);
    check_disk(reader, "closed");
    writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    write_tag(writer, 9000, 3000, 5);
    check_disk(reader, "a new writer");
    must_close(reader);
    must_close(writer);
    check_files();
}

static int cannot_look(struct sys_call *call)
{
    return call_is(call, SYS_STAT, "d.add-cow.run") ? -EIO : no_run_file(call);
}

Test(locks, watching_reader_that_cannot_tell_looks_inside, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook blind = { .before = cannot_look };
    struct acow_disk *reader = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY), *writer;

    sys_hook(&blind);
    check_disk(reader, "at first");
    writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    write_tag(writer, 1000, 3000, 3);
    check_disk(reader, "a writer is there");
    must_close(writer);
    check_disk(reader, "it has closed");
    must_close(reader);
}

/* What a failed fsync has spoilt is thrown away under the eyes of who looks at it. */
static int fail_sync(struct sys_call *call)
{
    if (call_is(call, SYS_FDATASYNC, "d.img"))
        return -EIO;
    return no_run_file(call);
}

static int fail_sync_alone(struct sys_call *call)
{
    return call_is(call, SYS_FDATASYNC, "d.img") ? -EIO : 0;
}

Test(locks, looker_survives_the_end_of_a_poisoned_state, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook fails = { .before = fail_sync };
    static const struct sys_hook fails_alone = { .before = fail_sync_alone };
    struct acow_sys quiet = acow_sys_libc;
    struct peer writer;
    struct acow_disk *looker, *next;

    quiet.log = NULL;

    sys_hook(&fails_alone);
    writer = peer_start(&sys_hooked);
    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 1000, 3000, 3);
    check_peer(&writer, PEER_FLUSH, 0, 0, 0, -EIO);
    sys_hook(&fails);
    looker = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    must_read(looker, buf, 3000, 1000);
    peer_kill(&writer);
    sys_hook(&unprivileged);
    next = must_open(&quiet, "d.add-cow", ACOW_RDWR);
    check_disk(next, "dropped");
    check_disk(looker, "dropped");
    write_tag(next, 2000, 10, 4);
    check_disk(looker, "written anew");
    must_close(next);
    must_close(looker);
    check_files();
}

/* ---- backing files ---------------------------------------------------------- */

static void make_chain(void)
{
    begin();
    sys_hook(NULL);
    file_pattern("t.img", 0, SIZE, 5);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, bitmap_len(SIZE));
}

Test(locks, no_writer_under_a_disk, .init = make_chain, .fini = tmp_end)
{
    struct acow_disk *top = must_open(&sys_hooked, "t.add-cow", ACOW_RDONLY), *disk;

    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EBUSY);
    check(strstr(msg.text, "d.add-cow") && strstr(msg.text, "backing"), "%s", msg.text);
    /* Reading it, and two disks over it, do no harm. */
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    must_close(disk);
    disk = must_open(&sys_hooked, "t.add-cow", ACOW_RDWR);
    check_disk(disk, "the top");
    must_close(disk);
    must_close(top);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}

Test(locks, no_disk_over_a_writer, .init = make_chain, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR), *top;

    check(acow_open(&sys_hooked, "t.add-cow", ACOW_RDONLY, &top, &msg) == -EBUSY);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(file_len("t.add-cow.run") == -1);
    /* Looking at it is allowed. */
    top = must_open(&sys_hooked, "t.add-cow", ACOW_INSPECT);
    must_close(top);
    must_close(disk);
    top = must_open(&sys_hooked, "t.add-cow", ACOW_RDONLY);
    must_close(top);
}

/* A killed writer's bits count for who has the disk below it. */
Test(locks, pending_bits_of_a_backing_disk, .init = make_chain, .fini = tmp_end)
{
    struct peer writer = peer_start(&acow_sys_libc);
    struct acow_disk *top;

    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 1000, 3000, 3);
    peer_kill(&writer);
    pattern(want + 1000, 1000, 3000, 3);
    top = must_open(&sys_hooked, "t.add-cow", ACOW_RDWR);
    check_disk(top, "the top");
    must_close(top);
}
