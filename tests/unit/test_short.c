/*
 * Transfers that the kernel cuts short, and vectors that cannot be gathered in
 * one call: the count is what a flat file would give, and a bit is set only for a
 * sector that is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "sys_hook.h"

#define SIZE 8192u

static struct acow_disk *disk;
static uint8_t data[SIZE], want[2 * SIZE];

/* The next writes to the image transfer so many bytes; -1 ends the list. */
static int64_t cuts[8];
static int ncuts;

static int cut_write(struct sys_call *call)
{
    if ((call->op == SYS_PWRITE || call->op == SYS_PWRITEV) && strcmp(call->file, "d.img") == 0
        && cuts[ncuts] >= 0)
        call->most = cuts[ncuts++];
    return 0;
}

static void cut_begin(int64_t first, int64_t second)
{
    static const struct sys_hook hook = { .before = cut_write };

    cuts[0] = first;
    cuts[1] = second;
    cuts[2] = -1;
    ncuts = 0;
    sys_hook(&hook);
}

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    pattern(want, 0, SIZE, 1);
    pattern(data, 0, SIZE, 7);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
}

/* The disk is `want`, now and after a close, and has exactly these bits. */
static void end_as(size_t size, uint64_t bits)
{
    struct blob all = read_all(disk), meta;

    sys_hook(NULL);
    check(all.len == size, "size %zu", all.len);
    assert_same(all.data, want, size, "open");
    free(all.data);
    must_close(disk);
    all = decode("d.add-cow");
    check(all.len == size, "size %zu", all.len);
    assert_same(all.data, want, size, "closed");
    free(all.data);
    meta = file_get("d.add-cow");
    for (uint64_t sector = 0; sector < 64; sector++)
        check(meta_bit(meta, sector) == (bits >> sector & 1), "bit %llu",
              (unsigned long long)sector);
    free(meta.data);
}

Test(short, ends_within_an_unallocated_sector, .init = begin, .fini = tmp_end)
{
    cut_begin(1000, -1);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 2048, 1024) == 512);
    memcpy(want + 1024, data, 512);
    end_as(SIZE, 0x4);
}

Test(short, ends_within_an_allocated_sector, .init = begin, .fini = tmp_end)
{
    must_write(disk, data, 512, 1536);
    cut_begin(1000, -1);
    check(acow_pwrite(disk, ACOW_OWN_FD, data + 1024, 2048, 1024) == 1000);
    memcpy(want + 1536, data, 512);
    memcpy(want + 1024, data + 1024, 1000);
    end_as(SIZE, 0xc);
}

Test(short, gathered, .init = begin, .fini = tmp_end)
{
    /* 100 bytes of head, 412 of the first sector, 500 of the second. */
    cut_begin(1012, -1);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 2000, 1124) == 412);
    memcpy(want + 1124, data, 412);
    end_as(SIZE, 0x4);
}

Test(short, not_one_sector_then_all, .init = begin, .fini = tmp_end)
{
    cut_begin(50, -1);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 2000, 1124) == 2000);
    memcpy(want + 1124, data, 2000);
    end_as(SIZE, 0x7c);
}

Test(short, not_one_sector_twice, .init = begin, .fini = tmp_end)
{
    cut_begin(50, 300);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 2000, 1124) == -ENOSPC);
    end_as(SIZE, 0);
}

Test(short, growing, .init = begin, .fini = tmp_end)
{
    memset(want + SIZE, 0, 1000);
    memcpy(want + SIZE + 1000, data, 700);
    cut_begin(488 + 700, -1);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 1000, SIZE + 1000) == 700);
    check(acow_size(disk) == SIZE + 1700);
    end_as(SIZE + 1700, 7ull << 17);
}

Test(short, growing_from_the_end, .init = begin, .fini = tmp_end)
{
    struct iovec iov = { data, 1000 };
    uint64_t end;

    memcpy(want + SIZE, data, 700);
    cut_begin(700, -1);
    check(acow_append(disk, ACOW_OWN_FD, &iov, 1, &end) == 700 && end == SIZE + 700);
    end_as(SIZE + 700, 3 << 16);
}

Test(short, growing_not_by_a_byte, .init = begin, .fini = tmp_end)
{
    int64_t size;

    cut_begin(100, 100);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 1000, SIZE + 1000) == -ENOSPC);
    size = acow_size(disk);
    check(size == file_len("d.img"), "the disk has %lld bytes, its image %lld", (long long)size,
          (long long)file_len("d.img"));
    memset(want + SIZE, 0, SIZE);
    end_as((size_t)size, 0);
}

/* ---- vectors ------------------------------------------------------------- */

Test(short, as_many_buffers_as_can_be, .init = begin, .fini = tmp_end)
{
    struct iovec iov[IOV_MAX];
    ssize_t n;

    for (int i = 0; i < IOV_MAX; i++)
        iov[i] = (struct iovec){ data + i, 1 };
    n = acow_pwritev(disk, ACOW_OWN_FD, iov, IOV_MAX, 1025);
    check(n > 0 && n <= IOV_MAX && (1025 + n) % 512 == 0, "%zd", n);
    memcpy(want + 1025, data, (size_t)n);
    end_as(SIZE, 0x4 | (n > 512 ? 0x8 : 0));
}

Test(short, empty_buffers_do_not_count, .init = begin, .fini = tmp_end)
{
    struct iovec iov[IOV_MAX] = { { NULL, 0 } };

    iov[IOV_MAX - 1] = (struct iovec){ data, 100 };
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, IOV_MAX, 1100) == 100);
    for (int i = 0; i < IOV_MAX; i++)
        iov[i] = (struct iovec){ data + i, i < 300 };
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, IOV_MAX, 2100) == 300);
    memcpy(want + 1100, data, 100);
    memcpy(want + 2100, data, 300);
    end_as(SIZE, 0x14);
}

Test(short, bad_vectors, .init = begin, .fini = tmp_end)
{
    struct iovec iov[2] = { { data, SSIZE_MAX }, { data, 1 } };

    check(acow_pwritev(disk, ACOW_OWN_FD, iov, -1, 0) == -EINVAL);
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, IOV_MAX + 1, 0) == -EINVAL);
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, 2, 0) == -EINVAL);
    check(acow_preadv(disk, ACOW_OWN_FD, iov, 2, 0) == -EINVAL);
    check(acow_preadv(disk, ACOW_OWN_FD, iov, 0, 0) == 0);
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, 0, 0) == 0);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 1, ACOW_SIZE_MAX) == -EFBIG);
    check(acow_pwrite(disk, ACOW_OWN_FD, data, 1, (uint64_t)INT64_MAX + 1) == -EINVAL);
    check(acow_pread(disk, ACOW_OWN_FD, data, 1, (uint64_t)INT64_MAX + 1) == -EINVAL);
    check(acow_pread(disk, ACOW_OWN_FD, data, 1, INT64_MAX) == 0);
    check(acow_truncate(disk, ACOW_SIZE_MAX + 1) == -EFBIG);
    check(acow_truncate(disk, (uint64_t)INT64_MAX + 1) == -EINVAL);
    check(acow_fallocate(disk, 0, ACOW_SIZE_MAX, 1) == -EFBIG);
    check(acow_fallocate(disk, FALLOC_FL_COLLAPSE_RANGE, 0, 512) == -EOPNOTSUPP);
    check(acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE, 0, 512) == -EOPNOTSUPP);
    check(acow_pwrite(disk, ACOW_OWN_FD, (void *)8, 512, 0) == -EFAULT);
    end_as(SIZE, 0);
}

/* Some filesystems make the file larger all the same; the disk then is as they say. */
Test(short, growing_from_nowhere, .init = begin, .fini = tmp_end)
{
    check(acow_pwrite(disk, ACOW_OWN_FD, (void *)8, 512, SIZE + 512) == -EFAULT);
    check(acow_size(disk) == file_len("d.img"));
    memset(want + SIZE, 0, SIZE);
    end_as((size_t)file_len("d.img"), 0);
}

/* ---- what happens while it happens ---------------------------------------- */

static struct acow_disk *other;
static uint64_t cut_to;
static enum sys_op cut_at;
static const char *cut_file;

static int truncate_meanwhile(struct sys_call *call)
{
    if (cut_to && call_is(call, cut_at, cut_file)) {
        uint64_t size = cut_to;

        cut_to = 0;
        check(acow_truncate(other, size) == 0);
    }
    return 0;
}

/* At the next such call another handle makes the disk `size` bytes. */
static void cut_when(enum sys_op op, const char *file, uint64_t size)
{
    static const struct sys_hook hook = { .before = truncate_meanwhile };

    other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    cut_at = op;
    cut_file = file;
    cut_to = size;
    sys_hook(&hook);
}

/* The same as the truncation first and the write then. */
Test(short, a_first_write_that_meets_a_truncation, .init = begin, .fini = tmp_end)
{
    cut_when(SYS_FALLOCATE, "d.add-cow.run", 3000);
    must_write(disk, data, 700, 5000);
    check(cut_to == 0 && acow_size(disk) == 5700);
    must_close(other);
    memset(want + 3000, 0, 2000);
    memcpy(want + 5000, data, 700);
    end_as(5700, 0xfe0);
}

Test(short, an_overwrite_that_meets_a_truncation, .init = begin, .fini = tmp_end)
{
    must_write(disk, data, 4096, 4096);
    cut_when(SYS_PWRITE, "d.img", 3000);
    must_write(disk, data, 700, 5000);
    check(cut_to == 0 && acow_size(disk) == 5700);
    must_close(other);
    memset(want + 3000, 0, 2000);
    memcpy(want + 5000, data, 700);
    end_as(5700, 0xffe0);
}

Test(short, a_read_that_meets_a_truncation_ends_there, .init = begin, .fini = tmp_end)
{
    ssize_t n;

    must_write(disk, data + 4096, 4096, 4096);
    memcpy(want + 4096, data + 4096, 4096);
    cut_when(SYS_PREAD, "d.base", 5000);
    n = acow_pread(disk, ACOW_OWN_FD, data, SIZE, 0);
    check(n == 5000, "%zd", n);
    assert_same(data, want, 5000, "what is left");
    must_close(other);
    end_as(5000, 0xff00);
}

static int grow_and_fail(struct sys_call *call)
{
    if (!call_is(call, SYS_FALLOCATE, "d.img"))
        return 0;
    check(truncate("d.img", SIZE + 3000) == 0);
    return -ENOSPC;
}

Test(short, a_preallocation_that_fails_half_way, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = grow_and_fail };

    sys_hook(&hook);
    check(acow_fallocate(disk, 0, SIZE, 6000) == -ENOSPC);
    check(acow_size(disk) == SIZE + 3000);
    memset(want + SIZE, 0, 3000);
    end_as(SIZE + 3000, 0);
}

static int cut_and_fail(struct sys_call *call)
{
    if (!call_is(call, SYS_FTRUNCATE, "d.img"))
        return 0;
    check(truncate("d.img", call->len) == 0);
    return -EIO;
}

/* As ext4's may, when it cannot free what it has cut off. */
Test(short, a_truncation_that_fails_but_is_done, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = cut_and_fail };

    sys_hook(&hook);
    check(acow_truncate(disk, 3000) == -EIO);
    check(acow_size(disk) == 3000);
    end_as(3000, 0);
}

static int interrupted;

static int interrupt_once(struct sys_call *call)
{
    return call->op == SYS_FALLOCATE && interrupted++ % 2 == 0 ? -EINTR : 0;
}

Test(short, a_reservation_that_a_signal_interrupts, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = interrupt_once };

    sys_hook(&hook);
    must_write(disk, data, 512, 1024);
    check(interrupted == 4, "%d calls", interrupted);
    memcpy(want + 1024, data, 512);
    end_as(SIZE, 0x4);
}

static int no_fallocate(struct sys_call *call)
{
    return call->op == SYS_FALLOCATE ? -EOPNOTSUPP : 0;
}

Test(short, a_filesystem_that_cannot_reserve, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = no_fallocate };

    sys_hook(&hook);
    must_write(disk, data, 700, 1000);
    check(acow_fallocate(disk, 0, 0, 100) == -EOPNOTSUPP);
    check(acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1024) == -EOPNOTSUPP);
    check(acow_truncate(disk, 20 * MIB) == 0);
    must_write(disk, data, 512, 18 * MIB);
    must_flush(disk);
    check(acow_truncate(disk, SIZE) == 0);
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    memcpy(want + 1000, data, 700);
    end_as(SIZE, 0xe);
}
