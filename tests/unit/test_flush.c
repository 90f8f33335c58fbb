/*
 * Flushes that fail. A failed fsync of the image is final: what it should have
 * made safe may be lost, and no later success says otherwise. A failure at the
 * metadata file is not: the bits wait for the next flush. And what flushes
 * cost in caches of other kinds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static struct acow_msg msg;
static uint8_t buf[SIZE], want[SIZE];

/* Which call fails, how often. */
static struct {
    enum sys_op op;
    const char *file;
    int error, times, seen;
} failing;

static int fail(struct sys_call *call)
{
    if (!call_is(call, failing.op, failing.file))
        return 0;
    failing.seen++;
    return failing.times-- > 0 ? failing.error : 0;
}

static void fail_next(enum sys_op op, const char *file, int error, int times)
{
    static const struct sys_hook hook = { .before = fail };

    failing.op = op;
    failing.file = file;
    failing.error = error;
    failing.times = times;
    failing.seen = 0;
    sys_hook(&hook);
}

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    pattern(want, 0, SIZE, 1);
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

/* ---- the image ----------------------------------------------------------------- */

Test(flush, failed_fsync_of_the_image_is_final, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR), *again;
    uint8_t flushed[SIZE];

    write_tag(disk, 1000, 3000, 3);
    must_flush(disk);
    memcpy(flushed, want, SIZE);
    write_tag(disk, 9000, 3000, 4);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_flush(disk) == -EIO);
    /* The kernel says it once; the engine says it for ever. */
    check(acow_flush(disk) == -EIO && acow_flush(disk) == -EIO);
    write_tag(disk, 20000, 3000, 5);
    check(acow_flush(disk) == -EIO);
    check(failing.seen == 1);
    check_disk(disk, "poisoned");
    check(!bit_is_committed(9000 / 512 + 1) && !bit_is_committed(20000 / 512 + 1));
    /* Another handle has part in it. */
    again = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_flush(again) == -EIO);
    check(acow_close(again, &msg) >= -EIO);
    check(acow_close(disk, &msg) == -EIO);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(file_len("d.add-cow.run") == -1);
    /* Opened again it works, and is as it was last known to be safe. */
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    memcpy(want, flushed, SIZE);
    check_disk(disk, "opened again");
    write_tag(disk, 9000, 100, 6);
    must_flush(disk);
    check(bit_is_committed(9000 / 512));
    must_close(disk);
}

/* What is left to do is a sync of the image; its failure here is a flush's. */
Test(flush, ahead_of_a_sync, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    calls_begin();
    check(acow_flush_ahead(disk) == 1);
    calls_expect("");
    write_tag(disk, 9000, 100, 3);
    check(acow_flush_ahead(disk) == 1);
    check(bit_is_committed(9000 / 512));
    calls_begin();
    check(acow_flush_ahead(disk) == 1);
    calls_expect("");
    write_tag(disk, 20000, 100, 3);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_flush_ahead(disk) == -EIO && acow_flush_ahead(disk) == -EIO);
    check(!bit_is_committed(20000 / 512));
    acow_close(disk, &msg);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_UNSAFE);
    check(acow_flush_ahead(disk) == 0);
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    check(acow_flush_ahead(disk) == 1);
    must_close(disk);
}

Test(flush, poison_is_seen_by_other_processes, .init = begin, .fini = tmp_end)
{
    struct peer other = peer_start(&acow_sys_libc);
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    peer_open(&other, ACOW_RDWR);
    peer_write(&other, 1000, 3000, 3);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_flush(disk) == -EIO);
    check_peer(&other, PEER_FLUSH, 0, 0, 0, -EIO);
    peer_sees(&other, 1000, 3000, 3);
    acow_close(disk, NULL);
    check_peer(&other, PEER_FLUSH, 0, 0, 0, -EIO);
    check_peer(&other, PEER_CLOSE, 0, 0, 0, -EIO);
    peer_open(&other, ACOW_RDWR);
    peer_sees(&other, 0, SIZE, 1);
    peer_close(&other);
    peer_end(&other);
}

Test(flush, failed_fsync_at_close, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_close(disk, &msg) == -EIO);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(!bit_is_committed(3));
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pattern(want, 0, SIZE, 1);
    check_disk(disk, "opened again");
    must_close(disk);
}

Test(flush, failed_fsync_with_nothing_pending, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    must_flush(disk);
    write_tag(disk, 1000, 3000, 4);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_flush(disk) == -EIO && acow_flush(disk) == -EIO);
    acow_close(disk, NULL);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_flush(disk);
    must_close(disk);
}

/* Growth over the backing file needs durable bits; it cannot have them any more. */
Test(flush, poisoned_disk_does_not_grow_over_its_backing_file, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;

    check(truncate("d.img", 5000) == 0);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_truncate(disk, 9000) == -EIO);
    check(acow_size(disk) == 5000 && file_len("d.img") == 5000);
    check(acow_truncate(disk, 9000) == -EIO);
    check(acow_pwrite(disk, ACOW_OWN_FD, buf, 10, 8000) == -EIO);
    check(acow_size(disk) == 5000 && file_len("d.img") == 5000);
    acow_close(disk, NULL);
}

/* ---- the metadata file ------------------------------------------------------------ */

static void metadata_fails(enum sys_op op, int error)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    uint64_t allocated, pending;

    write_tag(disk, 1000, 3000, 3);
    fail_next(op, "d.add-cow", error, 2);
    check(acow_flush(disk) == error);
    write_tag(disk, 5000, 3000, 4);
    check(acow_flush(disk) == error);
    check(acow_count_allocated(disk, &allocated, &pending) == 0 && allocated == 14);
    check_disk(disk, "not flushed");
    must_flush(disk);
    check(acow_count_allocated(disk, &allocated, &pending) == 0 && pending == 0);
    check(bit_is_committed(3) && bit_is_committed(10));
    must_close(disk);
}

Test(flush, failed_write_of_bits, .init = begin, .fini = tmp_end)
{
    metadata_fails(SYS_PWRITE, -ENOSPC);
}

Test(flush, failed_fsync_of_bits, .init = begin, .fini = tmp_end)
{
    metadata_fails(SYS_FDATASYNC, -EIO);
}

Test(flush, bits_wait_for_the_next_to_open, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    write_tag(disk, 1000, 3000, 3);
    fail_next(SYS_FDATASYNC, "d.add-cow", -EIO, 1);
    check(acow_close(disk, &msg) == -EIO);
    check(file_len("d.add-cow.run") > 0);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check_disk(disk, "opened again");
    must_close(disk);
    check(file_len("d.add-cow.run") == -1 && bit_is_committed(3));
}

/* A read-only handle flushes nothing of others, and is not in the way of who does. */
Test(flush, read_only, .init = begin, .fini = tmp_end)
{
    struct acow_disk *writer = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    struct acow_disk *reader = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);

    write_tag(writer, 1000, 3000, 3);
    calls_begin();
    must_flush(reader);
    calls_expect("fdatasync d.img");
    check(!bit_is_committed(3));
    must_close(reader);
    check(!bit_is_committed(3));
    must_close(writer);
    check(bit_is_committed(3));
}

/* Many dirty pages of bits, more than one round of notes holds. */
Test(flush, many_pages, .init = tmp_begin, .fini = tmp_end)
{
    const uint64_t pages = 1300;
    struct acow_disk *disk;
    struct blob meta;

    file_size("d.base", 0);
    file_size("d.img", pages * 16 * MIB);
    meta_put("d.add-cow", "d.base", "d.img", NULL, 0);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    for (uint64_t page = 0; page < pages; page++)
        must_write(disk, "x", 1, page * 16 * MIB + page * 512);
    must_flush(disk);
    calls_begin();
    must_flush(disk);
    calls_expect("fdatasync d.img");
    meta = file_get("d.add-cow");
    for (uint64_t page = 0; page < pages; page++)
        check(meta_bit(meta, page * 32768 + page), "page %llu", (unsigned long long)page);
    free(meta.data);
    must_close(disk);
}

/* ---- other caches -------------------------------------------------------------------- */

Test(mode, writethrough, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_WRITETHROUGH);
    struct iovec iov = { buf, 1000 };
    uint64_t end;

    write_tag(disk, 1000, 100, 3);
    check(bit_is_committed(1));
    calls_begin();
    write_tag(disk, 1024, 50, 4);
    calls_expect("pwrite d.img 1024+50; fdatasync d.img");
    check(acow_append(disk, ACOW_OWN_FD, &iov, 1, &end) == 1000);
    check(bit_is_committed(SIZE / 512));
    calls_begin();
    check(acow_truncate(disk, SIZE) == 0);
    check(strstr(calls(), "fdatasync d.img"), "%s", calls());
    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1);
    check(acow_pwrite(disk, ACOW_OWN_FD, buf, 10, 0) == -EIO);
    acow_close(disk, NULL);
}

Test(mode, unsafe, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_UNSAFE);
    struct blob flat;

    fail_next(SYS_FDATASYNC, "d.img", -EIO, 1000);
    write_tag(disk, 1000, 3000, 3);
    check(bit_is_committed(1) && bit_is_committed(7) && !bit_is_committed(8));
    must_flush(disk);
    check(acow_truncate(disk, 1000) == 0 && acow_truncate(disk, SIZE) == 0);
    memset(want + 1000, 0, SIZE - 1000);
    must_close(disk);
    check(failing.seen == 0);
    flat = decode("d.add-cow");
    assert_same(flat.data, want, SIZE, "closed");
    check(file_len("d.add-cow.run") == -1);
    free(flat.data);
}

/* Over several pages of bits, and beside one whose bits are pending in the same bytes. */
Test(mode, unsafe_beside_another, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_UNSAFE);
    struct acow_disk *other = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    uint64_t allocated, pending;
    struct blob meta;

    check(acow_truncate(disk, 40 * MIB) == 0);
    must_write(other, "o", 1, 512 * 1000);
    must_write(disk, "d", 1, 512 * 1001);
    check(bit_is_committed(1001) && !bit_is_committed(1000));
    must_write(other, "o", 1, 512 * 1002);
    must_flush(other);
    must_write(disk, "d", 1, 512 * 1003);
    for (uint64_t sector = 1000; sector < 1004; sector++)
        check(bit_is_committed(sector));
    check(acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 700, 39 * MIB) == 0);
    check(acow_count_allocated(disk, &allocated, &pending) == 0 && pending == 0);
    meta = file_get("d.add-cow");
    for (uint64_t sector = 0; sector < 40 * MIB / 512; sector++)
        check(meta_bit(meta, sector) == (sector >= 1 && sector <= (700 + 39 * MIB - 1) / 512), "%llu",
              (unsigned long long)sector);
    free(meta.data);
    must_close(disk);
    must_close(other);
}

Test(mode, unsafe_cannot_set_a_bit, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_UNSAFE);

    fail_next(SYS_PWRITE, "d.add-cow", -EIO, 1);
    check(acow_pwrite(disk, ACOW_OWN_FD, "x", 1, 1000) == -EIO);
    check(!bit_is_committed(1));
    write_tag(disk, 1000, 100, 3);
    check(bit_is_committed(1));
    must_close(disk);
}

Test(mode, flags, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;

    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_UNSAFE | ACOW_WRITETHROUGH, &disk,
                    NULL)
          == -EINVAL);
    must_close(must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY | ACOW_UNSAFE));
}
