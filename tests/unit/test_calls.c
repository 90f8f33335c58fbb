/*
 * Which system calls each operation makes, all of them and in what order. This is
 * the price of a request, and the order is what keeps a power cut harmless.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "sys_hook.h"

#define SIZE (256 * KIB)

static struct acow_disk *disk;
static uint8_t buf[SIZE];

/* A disk whose sectors 0 to 63 are allocated, with room reserved for the bits. */
static void begin(void)
{
    uint8_t bitmap[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    tmp_begin();
    usual_disk(SIZE, SIZE);
    meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_write(disk, buf, 512, SIZE - 512);
    must_flush(disk);
    calls_begin();
}

static void end(void)
{
    must_close(disk);
    tmp_end();
}

Test(calls, read_all_image, .init = begin, .fini = end)
{
    struct iovec iov[] = { { buf, 100 }, { buf + 200, 0 }, { buf + 500, 9000 } };

    must_read(disk, buf, 4096, 512);
    calls_expect("pread d.img 512+4096");
    calls_begin();
    check(acow_preadv(disk, ACOW_OWN_FD, iov, 3, 77) == 9100);
    calls_expect("preadv d.img 77+9100");
}

Test(calls, read_all_backing, .init = begin, .fini = end)
{
    struct iovec iov[] = { { buf, 100 }, { buf + 500, 9000 } };

    must_read(disk, buf, 4096, 40000);
    calls_expect("pread d.base 40000+4096");
    calls_begin();
    check(acow_preadv(disk, ACOW_OWN_FD, iov, 2, 40001) == 9100);
    calls_expect("preadv d.base 40001+9100");
}

Test(calls, read_beyond_the_end, .init = begin, .fini = end)
{
    check(acow_pread(disk, ACOW_OWN_FD, buf, 100, SIZE) == 0);
    check(acow_pread(disk, ACOW_OWN_FD, buf, 0, 0) == 0);
    check(acow_size(disk) == SIZE);
    calls_expect("");
}

Test(calls, read_mixed_is_two_calls, .init = begin, .fini = end)
{
    struct iovec iov[] = { { buf, 1000 }, { buf + 1000, 3000 } };

    must_read(disk, buf, 2048, 64 * 512 - 1024);
    calls_expect("pread d.base 32768+1024; pread d.img 31744+1024");
    calls_begin();
    check(acow_preadv(disk, ACOW_OWN_FD, iov, 2, 64 * 512 - 1500) == 4000);
    calls_expect("pread d.base 32768+2500; preadv d.img 31268+1500");
}

Test(calls, read_alternating_sectors_is_two_calls, .init = begin, .fini = end)
{
    for (uint64_t sector = 0; sector < 128; sector += 2)
        must_write(disk, buf, 512, 100 * KIB + sector * 512);
    calls_begin();
    must_read(disk, buf, 64 * KIB, 100 * KIB);
    calls_expect("preadv d.base 102912+65024; preadv d.img 102400+65024");
}

Test(calls, overwrite_is_one_call, .init = begin, .fini = end)
{
    struct iovec iov[] = { { buf, 1000 }, { buf + 1000, 3000 } };

    must_write(disk, buf, 4096, 512);
    calls_expect("pwrite d.img 512+4096");
    calls_begin();
    must_write(disk, buf, 77, 513);
    calls_expect("pwrite d.img 513+77");
    calls_begin();
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, 2, 77) == 4000);
    calls_expect("pwritev d.img 77+4000");
}

Test(calls, aligned_first_write_is_one_call, .init = begin, .fini = end)
{
    struct iovec iov[] = { { buf, 1000 }, { buf + 1000, 3096 } };
    struct acow_counters counters;

    acow_count(disk, 1);
    must_write(disk, buf, 4096, 40960);
    calls_expect("pwrite d.img 40960+4096");
    calls_begin();
    check(acow_pwritev(disk, ACOW_OWN_FD, iov, 2, 81920) == 4096);
    calls_expect("pwritev d.img 81920+4096");
    acow_counters(disk, &counters);
    check(counters.copyup_bytes == 0);
    check(counters.writes == 2 && counters.writes_allocating == 2);
}

Test(calls, first_write_in_a_page_of_bits_reserves_it, .init = begin, .fini = end)
{
    check(acow_truncate(disk, 40 * MIB) == 0);
    calls_begin();
    must_write(disk, buf, 512, 20 * MIB);
    calls_expect("fallocate d.add-cow.run 1 24576+4096; fallocate d.add-cow 1 6656+4096; "
                 "pwrite d.img 20971520+512");
    calls_begin();
    must_write(disk, buf, 512, 24 * MIB);
    calls_expect("pwrite d.img 25165824+512");
}

Test(calls, unaligned_first_write_is_gathered, .init = begin, .fini = end)
{
    struct acow_counters counters;

    acow_count(disk, 1);
    must_write(disk, buf, 700, 40960 + 100);
    calls_expect("pread d.base 40960+100; pread d.base 41760+224; pwritev d.img 40960+1024");
    acow_counters(disk, &counters);
    check(counters.copyup_bytes == 324 && counters.writes == 1);
    calls_begin();
    must_write(disk, buf, 600, 40960 + 100);
    calls_expect("pwrite d.img 41060+600");
}

Test(calls, flush_with_nothing_pending, .init = begin, .fini = end)
{
    must_flush(disk);
    calls_expect("fdatasync d.img");
    must_write(disk, buf, 512, 0);
    calls_begin();
    must_flush(disk);
    calls_expect("fdatasync d.img");
}

Test(calls, flush_order, .init = begin, .fini = end)
{
    must_write(disk, buf, 512, 40960);
    must_write(disk, buf, 512, 40960 + 200 * 512);
    calls_begin();
    must_flush(disk);
    calls_expect("fstat d.add-cow; stat d.img; fdatasync d.img; pwrite d.add-cow 2570+26; fdatasync d.add-cow");
}

Test(calls, growth_over_the_backing_file_is_durable_first, .init = begin, .fini = end)
{
    check(acow_truncate(disk, 1000) == 0);
    must_flush(disk);
    calls_begin();
    check(acow_truncate(disk, 70000) == 0);
    calls_expect("fstat d.add-cow; stat d.img; fdatasync d.img; pwrite d.add-cow 2568+10; fdatasync d.add-cow; "
                 "ftruncate d.img 70000");
}

static void make_chain(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    meta_put("l.add-cow", "d.base", "l.img", NULL, 64);
    file_pattern("l.img", 0, SIZE, 5);
    meta_put("d.add-cow", "l.add-cow", "d.img", NULL, 64);
}

Test(calls, chain_link_is_one_call, .init = make_chain, .fini = tmp_end)
{
    uint8_t bitmap[64] = { 0xff };

    meta_put("l.add-cow", "d.base", "l.img", bitmap, sizeof(bitmap));
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    calls_begin();
    must_read(disk, buf, 4096, 0);
    calls_expect("preadv l.img 0+4096");
    calls_begin();
    must_read(disk, buf, 4096, 8192);
    calls_expect("pread d.base 8192+4096");
    must_close(disk);
}

Test(calls, after_fork_lets_go, .init = make_chain, .fini = tmp_end)
{
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    calls_begin();
    acow_after_fork(disk);
    check(strncmp(calls(), "open ", 5) == 0, "%s", calls());
    check(strstr(calls(), " rw; munmap ; munmap ; munmap ; close d.add-cow.run"), "%s", calls());
    must_close(disk);
}

/* ---- who may be written ------------------------------------------------- */

static const char *must_not_write[8];

static int guard(struct sys_call *call)
{
    for (int i = 0; must_not_write[i]; i++) {
        if (strcmp(call->file, must_not_write[i]) != 0)
            continue;
        check(!call_writes(call) && call->op != SYS_FCHMOD && call->op != SYS_UNLINK,
              "%s of %s", call->name, call->file);
        check(call->op != SYS_OPEN || (call->flags & O_ACCMODE) == O_RDONLY,
              "%s is opened for writing", call->file);
    }
    return 0;
}

static void guard_begin(const char *const *names)
{
    static const struct sys_hook hook = { .before = guard };

    for (int i = 0; i < 8; i++)
        must_not_write[i] = names[i];
    sys_hook(&hook);
}

Test(calls, backing_files_are_only_read, .init = make_chain, .fini = tmp_end)
{
    static const char *const names[8] = { "l.add-cow", "l.img", "d.base", "l.add-cow.run" };

    guard_begin(names);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_write(disk, buf, 700, 100);
    must_read(disk, buf, SIZE, 0);
    check(acow_truncate(disk, 5000) == 0 && acow_truncate(disk, SIZE + 5000) == 0);
    check(acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300, 4000) == 0);
    check(acow_fallocate(disk, 0, 300, SIZE + 40000) == 0);
    must_flush(disk);
    must_close(disk);
    check(file_len("l.add-cow.run") == -1);
}

Test(calls, read_only_disk_is_only_read, .init = make_chain, .fini = tmp_end)
{
    static const char *const names[8] = {
        "d.add-cow", "d.img", "l.add-cow", "l.img", "d.base", "l.add-cow.run",
    };
    struct acow_extent extent;

    guard_begin(names);
    for (int flags = ACOW_RDONLY; flags <= ACOW_INSPECT; flags += ACOW_INSPECT) {
        disk = must_open(&sys_hooked, "d.add-cow", flags);
        must_read(disk, buf, SIZE, 0);
        must_flush(disk);
        check(acow_next_extent(disk, 0, SIZE, &extent) == 0);
        check(acow_pwrite(disk, ACOW_OWN_FD, buf, 1, 0) == -EBADF);
        check(acow_pwritev(disk, ACOW_OWN_FD, &(struct iovec){ buf, 1 }, 1, 0) == -EBADF);
        check(acow_truncate(disk, 1) == -EINVAL);
        check(acow_fallocate(disk, 0, 0, 1) == -EBADF);
        must_close(disk);
    }
    check(dir_count() == 5);
}

Test(calls, inspecting_takes_no_lock_and_makes_no_file, .init = make_chain, .fini = tmp_end)
{
    calls_begin();
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_INSPECT);
    must_read(disk, buf, SIZE, 0);
    must_close(disk);
    check(!strstr(calls(), "lock ") && !strstr(calls(), " rw"), "%s", calls());
    check(dir_count() == 5);
}

/* The first 64 sectors and the last one are allocated. */
Test(calls, what_is_in_the_image, .init = begin, .fini = end)
{
    check(acow_in_image(disk, 0, 32768, 1) && acow_in_image(disk, 100, 32668, 0));
    check(acow_in_image(disk, SIZE - 512, 512, 1));
    check(!acow_in_image(disk, 0, 32769, 0) && !acow_in_image(disk, 32768, 1, 0));
    check(!acow_in_image(disk, SIZE - 512, 513, 1) && !acow_in_image(disk, SIZE, 1, 0));
    check(!acow_in_image(disk, UINT64_MAX, 512, 0) && !acow_in_image(disk, 0, UINT64_MAX, 0));
    check(!acow_in_image(disk, 0, 0, 0));
    calls_expect("");
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_WRITETHROUGH);
    check(acow_in_image(disk, 0, 512, 0) && !acow_in_image(disk, 0, 512, 1));
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    check(acow_in_image(disk, 0, 512, 0) && !acow_in_image(disk, 0, 512, 1));
}

static bool is_file(int fd, const char *name)
{
    struct stat st, named;

    return fd >= 0 && fstat(fd, &st) == 0 && stat(name, &named) == 0 && st.st_ino == named.st_ino;
}

Test(calls, which_file_below, .init = begin, .fini = end)
{
    check(is_file(acow_below_fd(disk, 32768, SIZE - 512 - 32768), "d.base"));
    check(is_file(acow_below_fd(disk, 40001, 1), "d.base"));
    check(acow_below_fd(disk, 32767, 2) == -1 && acow_below_fd(disk, SIZE - 513, 2) == -1);
    check(acow_below_fd(disk, 0, 512) == -1 && acow_below_fd(disk, 40000, 0) == -1);
    check(acow_below_fd(disk, SIZE, 1) == -1 && acow_below_fd(disk, UINT64_MAX, 1) == -1);
    check(acow_below_fd(disk, 40000, UINT64_MAX) == -1);
    calls_expect("");
    /* Beyond the backing file's end there is no file. */
    check(acow_truncate(disk, SIZE + 8192) == 0);
    check(acow_below_fd(disk, SIZE + 1024, 512) == -1);
}

Test(calls, which_file_below_a_chain, .init = make_chain, .fini = tmp_end)
{
    uint8_t bitmap[64] = { 0xff };

    meta_put("l.add-cow", "d.base", "l.img", bitmap, sizeof(bitmap));
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check(is_file(acow_below_fd(disk, 0, 4096), "l.img"));
    check(is_file(acow_below_fd(disk, 4096, 8192), "d.base"));
    check(acow_below_fd(disk, 4000, 200) == -1);
    must_close(disk);
}

/* ---- direct I/O ---------------------------------------------------------- */

Test(calls, direct_descriptor, .init = begin, .fini = end)
{
    int fd = acow_open_image(disk, O_RDWR | O_DIRECT);
    uint8_t *block, want[8192];

    check(fd >= 0 && posix_memalign((void **)&block, 4096, 8192) == 0);
    /* All image, all backing, mixed: the first alone goes by the descriptor. */
    for (uint64_t off = 0; off < 64 * KIB; off += 4096) {
        check(acow_pread(disk, fd, block, 8192, off) == 8192);
        pattern(want, off, 8192, 1);
        pattern(want, off, off >= 32 * KIB ? 0 : off == 28 * KIB ? 4096 : 8192, 2);
        assert_same(block, want, 8192, "at %llu", (unsigned long long)off);
    }
    pattern(block, 0, 8192, 9);
    check(acow_pwrite(disk, fd, block, 4096, 36 * KIB) == 4096);
    check(acow_pwrite(disk, fd, block, 4096, 36 * KIB) == 4096);
    check(acow_pwrite(disk, fd, block, 8192, 28 * KIB) == 8192);
    must_read(disk, buf, 12288, 28 * KIB);
    assert_same(buf, block, 8192, "what was written");
    /* As the kernel says it of a flat file. */
    check(acow_pwrite(disk, fd, block + 1, 4096, 0) == -EINVAL);
    check(acow_pread(disk, fd, block + 1, 4096, 0) == -EINVAL);
    close(fd);
    free(block);
}
