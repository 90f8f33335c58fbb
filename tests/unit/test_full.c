/*
 * A filesystem that is really full, a small tmpfs of the test's own: writes say
 * ENOSPC, flushes of what was written succeed, and no store into a mapped file meets
 * a page that cannot be had. Needs the right to mount; skipped elsewhere. And files
 * that may not grow beyond RLIMIT_FSIZE.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "model.h"
#include "peer.h"
#include "region.h"
#include "sys_hook.h"

#define PAGE 4096u
#define PAGES 200u
#define SIZE (4 * MIB)

static void begin(void)
{
    char here[4096], size[32];

    tmp_begin();
    check(getcwd(here, sizeof(here)));
    snprintf(size, sizeof(size), "size=%u", PAGES * PAGE);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
        || mount("tmpfs", here, "tmpfs", 0, size) < 0) {
        tmp_end();
        if (getenv("CI"))
            cr_assert_fail("cannot mount a tmpfs");
        cr_skip_test("cannot mount a tmpfs");
    }
    check(chdir(here) == 0);
    file_pattern("d.base", 0, 20000, 1);
    file_size("d.img", SIZE);
    meta_put("d.add-cow", "d.base", "d.img", NULL, 0);
    file_size("d.add-cow", HEADER + bitmap_len(SIZE));
}

static void end(void)
{
    check(umount2(".", MNT_DETACH) == 0);
    tmp_end();
}

/* Leaves so many pages free. */
static void fill_up(unsigned pages)
{
    int fd = open("filler", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    char page[PAGE];
    off_t end;

    memset(page, 1, sizeof(page));
    while (write(fd, page, PAGE) == PAGE)
        ;
    end = lseek(fd, 0, SEEK_END);
    check(end >= (off_t)(pages * PAGE) && ftruncate(fd, end - (off_t)(pages * PAGE)) == 0);
    close(fd);
}

static void check_model(struct acow_disk *disk, const struct model *model, const char *when)
{
    struct blob all = read_all(disk);

    check(all.len == model->size, "%s", when);
    assert_same(all.data, model->data, all.len, "%s", when);
    free(all.data);
}

Test(full, writes_until_it_is, .init = begin, .fini = end)
{
    struct rnd rnd = { test_seed(1) };
    struct acow_disk *disk;
    struct model model;
    uint8_t buf[8192];
    bool full = false;

    model_load(&model, "d.add-cow", 2 * SIZE, 20000);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    for (int i = 0; i < 2000; i++) {
        uint64_t off = rnd_below(&rnd, SIZE - sizeof(buf));
        size_t len = 1 + rnd_below(&rnd, sizeof(buf));
        ssize_t n;

        rnd_fill(&rnd, buf, len);
        n = acow_pwrite(disk, ACOW_OWN_FD, buf, len, off);
        check(n > 0 || n == -ENOSPC, "%zd", n);
        full = full || n < 0;
        if (n > 0)
            model_write(&model, buf, (size_t)n, off);
        if (i % 100 == 0)
            check_model(disk, &model, "filling up");
        if (i % 300 == 0)
            must_flush(disk);
    }
    check(full);
    check_model(disk, &model, "full");
    must_flush(disk);
    check(acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE / 2) == 0);
    model_zero(&model, 0, SIZE / 2, true);
    must_write(disk, buf, sizeof(buf), 5000);
    model_write(&model, buf, sizeof(buf), 5000);
    check_model(disk, &model, "room again");
    must_close(disk);
    model_check_files(&model, "d.add-cow", "closed");
}

/* With none, one, two, … free pages when it is opened, and when it is written. */
Test(full, at_every_page, .init = begin, .fini = end)
{
    uint8_t buf[PAGE];

    memset(buf, 7, sizeof(buf));
    for (unsigned at_open = 0; at_open < 12; at_open++) {
        for (unsigned at_write = 0; at_write < 6; at_write++) {
            struct acow_disk *disk;
            struct model model;
            int r;

            model_load(&model, "d.add-cow", 2 * SIZE, 20000);
            fill_up(at_open);
            r = acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, NULL);
            check(r == 0 || r == -ENOSPC, "%d", r);
            if (r == 0) {
                ssize_t n;

                fill_up(at_write);
                n = acow_pwrite(disk, ACOW_OWN_FD, buf, 3000, 9000);
                check(n > 0 || n == -ENOSPC, "%zd", n);
                if (n > 0)
                    model_write(&model, buf, (size_t)n, 9000);
                must_flush(disk);
                check_model(disk, &model, "nearly full");
                must_close(disk);
            }
            check(file_len("d.add-cow.run") == -1);
            unlink("filler");
            model_check_files(&model, "d.add-cow", "afterwards");
            model_free(&model);
        }
    }
}

/* A run-time file that says of a page that it is reserved, which is a hole: as a copy may have it. */
Test(full, taken_over_with_a_hole, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    struct acow_disk *disk;
    int fd;

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 9000, 3000, 3);
    peer_kill(&peer);
    fd = open("d.add-cow.run", O_RDWR);
    check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, REGION_HEAD + bits_page_at(0),
                    BITS_PAGE) == 0);
    close(fd);
    fill_up(0);
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, NULL) == -ENOSPC);
    unlink("filler");
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    fill_up(1);
    must_write(disk, "x", 1, 9000);
    must_close(disk);
}

/* ---- files that may not be large -------------------------------------------------- */

static void limit_to(rlim_t size)
{
    struct rlimit limit;

    check(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = size;
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void begin_limited(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    signal(SIGXFSZ, SIG_DFL);
}

/* The run-time file cannot be made; the signal would be about a file that the program never saw. */
Test(full, no_room_for_the_run_time_file, .init = begin_limited, .fini = tmp_end)
{
    static const rlim_t sizes[] = { 0, 1000, 8 * KIB, 17 * KIB };
    struct acow_disk *disk;
    struct acow_msg msg;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        limit_to(sizes[i]);
        check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EFBIG, "%zu", i);
        limit_to(RLIM_INFINITY);
        check(file_len("d.add-cow.run") == -1 && strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    }
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}

/* A limit that comes after the write: its flush says it, and goes on where it is gone. */
Test(full, no_room_for_bits_at_a_flush, .init = begin_limited, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    struct model model;
    uint8_t buf[3000];

    model_load(&model, "d.add-cow", 2 * SIZE, SIZE);
    pattern(buf, 5000, sizeof(buf), 3);
    must_write(disk, buf, sizeof(buf), 5000);
    model_write(&model, buf, sizeof(buf), 5000);
    limit_to(1000);
    check(acow_flush(disk) == -EFBIG);
    check_model(disk, &model, "limited");
    limit_to(RLIM_INFINITY);
    must_flush(disk);
    must_close(disk);
    model_check_files(&model, "d.add-cow", "closed");
    model_free(&model);
}

static int write_behind(void *arg)
{
    const uint64_t *off = arg;
    struct acow_disk *disk = NULL;
    int fd = -1;

    signal(SIGXFSZ, SIG_DFL);
    if (off[1])
        disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    else
        check((fd = open("d.img", O_RDWR)) >= 0);
    limit_to(64 * KIB);
    if (disk)
        return acow_pwrite(disk, ACOW_OWN_FD, "some", 4, off[0]) == 4 ? 0 : 1;
    return pwrite(fd, "some", 4, (off_t)off[0]) == 4 ? 0 : 1;
}

/* Where a flat file's write ends the program the disk's does, and nowhere else. */
Test(full, signals_as_a_flat_file, .init = begin_limited, .fini = tmp_end)
{
    static const uint64_t offs[] = { 0, 5000, 64 * KIB - 4, 64 * KIB - 2, 64 * KIB, 1 * MIB,
                                     SIZE - 4, SIZE, 2 * SIZE };

    for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
        uint64_t flat[2] = { offs[i], 0 }, disk[2] = { offs[i], 1 };
        int want = in_child(write_behind, flat);

        check(in_child(write_behind, disk) == want, "at %llu: not %d", (unsigned long long)offs[i],
              want);
        check(want == (offs[i] < 64 * KIB - 2 ? 0 : offs[i] < 64 * KIB ? 1 : 256 + SIGXFSZ), "%d",
              want);
    }
}

/* What a mapping would need later is had before it, or the copying says so, and nothing has changed. */
Test(full, copied_up_at_every_page, .init = begin, .fini = end)
{
    for (unsigned pages = 0; pages < 12; pages++) {
        struct acow_disk *disk;
        struct model model;
        int r;

        model_load(&model, "d.add-cow", 2 * SIZE, 20000);
        disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        fill_up(pages);
        r = acow_copy_up(disk, 1000, 30000);
        check(r == 0 || (r == -ENOSPC && pages < 10), "%d with %u pages", r, pages);
        check_model(disk, &model, "copied up");
        must_flush(disk);
        must_close(disk);
        if (r == 0) {
            model_copy_up(&model, 1000, 30000);
            model_check_files(&model, "d.add-cow", "afterwards");
        }
        unlink("filler");
        file_put("d.img", "", 0);
        file_size("d.img", SIZE);
        meta_put("d.add-cow", "d.base", "d.img", NULL, bitmap_len(SIZE));
        model_free(&model);
    }
}
