/*
 * Several processes with one disk: each opened it for itself, and each sees at
 * once what another has written. What happens when one is killed, when the last
 * writer closes before a reader does, and what parking leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (1 * MIB)

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

Test(process, two_writers_see_each_other, .init = begin, .fini = tmp_end)
{
    struct peer a = peer_start(&acow_sys_libc), b = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_open(&b, ACOW_RDWR);
    peer_write(&a, 1000, 3000, 3);
    peer_sees(&b, 1000, 3000, 3);
    peer_sees(&b, 0, 1000, 1);
    /* In the same sector, in the middle of what the other wrote, and elsewhere. */
    peer_write(&b, 900, 100, 4);
    peer_write(&b, 2000, 100, 5);
    peer_write(&b, 700000, 9999, 6);
    peer_sees(&a, 900, 100, 4);
    peer_sees(&a, 1000, 1000, 3);
    peer_sees(&a, 2000, 100, 5);
    peer_sees(&a, 2100, 1900, 3);
    peer_sees(&a, 700000, 9999, 6);
    peer_flush(&a);
    check(bit_is_committed(700000 / 512));
    peer_close(&a);
    peer_sees(&b, 900, 100, 4);
    peer_write(&b, 5000, 100, 7);
    peer_close(&b);
    peer_end(&a);
    peer_end(&b);
    check_closed(1000, 1000, 3);
    check_closed(5000, 100, 7);
    check_closed(700000, 9999, 6);
}

Test(process, growth_is_seen, .init = begin, .fini = tmp_end)
{
    struct peer a = peer_start(&acow_sys_libc), b = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_open(&b, ACOW_RDWR);
    peer_write(&a, 40 * MIB, 5000, 3);
    check_peer(&b, PEER_SIZE, 0, 0, 0, (int64_t)(40 * MIB + 5000));
    peer_sees(&b, 40 * MIB, 5000, 3);
    check_peer(&b, PEER_ZEROS, SIZE, SIZE, 0, 1);
    peer_write(&b, 20 * MIB, 700, 4);
    peer_sees(&a, 20 * MIB, 700, 4);
    check_peer(&b, PEER_TRUNCATE, 30 * MIB, 0, 0, 0);
    check_peer(&a, PEER_SIZE, 0, 0, 0, (int64_t)(30 * MIB));
    check_peer(&a, PEER_ZEROS, 30 * MIB, 100, 0, 0);
    peer_close(&b);
    peer_close(&a);
    peer_end(&a);
    peer_end(&b);
    check_closed(20 * MIB, 700, 4);
}

/* The one that closes last has not looked since the other made the disk larger. */
Test(process, last_closer_flushes_what_it_has_not_seen, .init = begin, .fini = tmp_end)
{
    struct peer a = peer_start(&acow_sys_libc), b = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_open(&b, ACOW_RDWR);
    peer_write(&b, 50 * MIB, 512, 3);
    peer_close(&b);
    peer_close(&a);
    peer_end(&a);
    peer_end(&b);
    check_closed(50 * MIB, 512, 3);
}

Test(process, killed_writer_loses_nothing, .init = begin, .fini = tmp_end)
{
    struct peer a = peer_start(&acow_sys_libc), b = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_write(&a, 1000, 3000, 3);
    peer_write(&a, 20 * MIB, 3000, 4);
    peer_kill(&a);
    check(file_len("d.add-cow.run") > 0);
    check(!bit_is_committed(3));
    /* Who only looks sees it; who reads sees it and leaves the file; who writes folds it in. */
    peer_open(&b, ACOW_INSPECT);
    peer_sees(&b, 1000, 3000, 3);
    peer_close(&b);
    peer_open(&b, ACOW_RDONLY);
    peer_sees(&b, 1000, 3000, 3);
    peer_close(&b);
    check(file_len("d.add-cow.run") > 0);
    peer_open(&b, ACOW_RDWR);
    peer_sees(&b, 20 * MIB, 3000, 4);
    peer_sees(&b, 0, 1000, 1);
    peer_close(&b);
    peer_end(&b);
    check_closed(1000, 3000, 3);
    check_closed(20 * MIB, 3000, 4);
}

Test(process, killed_writer_blocks_nobody, .init = begin, .fini = tmp_end)
{
    struct peer a = peer_start(&acow_sys_libc), b = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_open(&b, ACOW_RDWR);
    peer_write(&a, 1000, 3000, 3);
    peer_kill(&a);
    peer_sees(&b, 1000, 3000, 3);
    peer_write(&b, 2000, 3000, 4);
    peer_flush(&b);
    peer_close(&b);
    peer_end(&b);
    check_closed(1000, 1000, 3);
    check_closed(2000, 3000, 4);
}

/* ---- left-over run-time files --------------------------------------------- */

static void leave_behind(void)
{
    struct peer a = peer_start(&acow_sys_libc);

    peer_open(&a, ACOW_RDWR);
    peer_write(&a, 1024, 2048, 3);
    peer_kill(&a);
}

Test(process, run_file_of_another_boot_is_dropped, .init = begin, .fini = tmp_end)
{
    struct blob run;
    char id[37] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    uint8_t *at;
    struct acow_disk *disk;
    uint8_t buf[4096], want[4096];

    check(file && fread(id, 1, 36, file) == 36);
    fclose(file);
    leave_behind();
    run = file_get("d.add-cow.run");
    at = memmem(run.data, run.len, id, 36);
    check(at);
    file_poke("d.add-cow.run", (uint64_t)(at - run.data), "x", 1);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_INSPECT);
    must_read(disk, buf, 4096, 0);
    pattern(want, 0, 4096, 1);
    assert_same(buf, want, 4096, "looked at");
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_read(disk, buf, 4096, 0);
    assert_same(buf, want, 4096, "opened");
    must_close(disk);
    check_closed(0, 4096, 1);
    free(run.data);
}

Test(process, run_file_of_other_files_is_stale, .init = begin, .fini = tmp_end)
{
    struct acow_msg msg;
    struct acow_disk *disk;
    struct blob meta;

    leave_behind();
    meta = file_get("d.add-cow");
    file_put("copy", meta.data, meta.len);
    check(rename("copy", "d.add-cow") == 0);
    for (int flags = 0; flags <= 2; flags++) {
        check(acow_open(&sys_hooked, "d.add-cow", flags, &disk, &msg) == -ESTALE);
        check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    }
    check(file_len("d.add-cow.run") > 0);
    check(file_same("d.add-cow", meta));
    free(meta.data);
}

/* Whatever the length: it opens or says why not, and what it then shows is one of the two. */
Test(process, run_file_cut_short, .init = begin, .fini = tmp_end)
{
    static const unsigned lens[] = { 1, 100, 4095, 4096, 16383, 16384, 16385, 20480, 24575 };
    uint8_t buf[2048], old[2048], new[2048];

    pattern(old, 1024, 2048, 1);
    pattern(new, 1024, 2048, 3);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct acow_disk *disk;
        struct acow_msg msg;

        for (int flags = 2; flags >= 0; flags--) {
            int r;

            tmp_end();
            begin();
            leave_behind();
            check(file_len("d.add-cow.run") == 24576);
            check(truncate("d.add-cow.run", lens[i]) == 0);
            r = acow_open(&sys_hooked, "d.add-cow", flags, &disk, &msg);
            if (r < 0) {
                check(r == -EIO && strstr(msg.text, "d.add-cow.run"), "%d %s", r, msg.text);
                continue;
            }
            must_read(disk, buf, 2048, 1024);
            check(memcmp(buf, old, 2048) == 0 || memcmp(buf, new, 2048) == 0);
            must_close(disk);
        }
    }
}

Test(process, run_file_of_nonsense, .init = begin, .fini = tmp_end)
{
    struct rnd rnd = { test_seed(5) };
    uint8_t *bytes = malloc(24576);

    for (unsigned round = 0; round < test_rounds(60); round++) {
        struct acow_disk *disk;
        struct blob run;
        uint8_t buf[512];

        tmp_end();
        begin();
        leave_behind();
        run = file_get("d.add-cow.run");
        rnd_fill(&rnd, bytes, 24576);
        if (round % 2) {
            /* Valid, but for a few bytes of its facts. */
            for (int i = 0; i < 4; i++)
                run.data[rnd_below(&rnd, 160)] = (uint8_t)rnd_next(&rnd);
            file_put("d.add-cow.run", run.data, run.len);
        } else {
            file_put("d.add-cow.run", bytes, rnd_below(&rnd, 24576));
        }
        for (int flags = 2; flags >= 0; flags--) {
            if (acow_open(&sys_hooked, "d.add-cow", flags, &disk, NULL) < 0)
                continue;
            acow_pread(disk, ACOW_OWN_FD, buf, 512, 1024);
            acow_close(disk, NULL);
        }
        free(run.data);
    }
    free(bytes);
}

Test(process, run_file_that_is_not_ours, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    struct acow_msg msg;

    file_put("elsewhere", "x", 1);
    check(symlink("elsewhere", "d.add-cow.run") == 0);
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -ELOOP, "%s", msg.text);
    check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    unlink("d.add-cow.run");
    check(link("elsewhere", "d.add-cow.run") == 0);
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EPERM, "%s", msg.text);
    unlink("d.add-cow.run");
    check(mkfifo("d.add-cow.run", 0600) == 0);
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EPERM, "%s", msg.text);
    unlink("d.add-cow.run");
    file_put("d.add-cow.run", "", 0);
    check(chown("d.add-cow.run", 12345, 12345) == 0 || geteuid() != 0);
    if (geteuid() == 0)
        check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EPERM, "%s",
              msg.text);
    check(file_len("d.add-cow.run") == 0);
    check(file_len("elsewhere") == 1);
}

/* ---- readers and the last writer ------------------------------------------- */

Test(process, last_writer_flushes_though_a_reader_stays, .init = begin, .fini = tmp_end)
{
    struct peer writer = peer_start(&acow_sys_libc), reader = peer_start(&acow_sys_libc);

    peer_open(&reader, ACOW_RDONLY);
    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 1000, 3000, 3);
    peer_sees(&reader, 1000, 3000, 3);
    check(!bit_is_committed(4));
    peer_close(&writer);
    check(bit_is_committed(4));
    peer_sees(&reader, 1000, 3000, 3);
    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 9000, 3000, 4);
    peer_sees(&reader, 9000, 3000, 4);
    peer_close(&writer);
    check(bit_is_committed(20));
    peer_close(&reader);
    peer_end(&writer);
    peer_end(&reader);
    check_closed(9000, 3000, 4);
}

static struct acow_disk *closes_meanwhile;

static int close_meanwhile(struct sys_call *call)
{
    struct acow_disk *disk = closes_meanwhile;

    closes_meanwhile = NULL;
    if (disk && call_is(call, SYS_CLOSE, "d.add-cow"))
        must_close(disk);
    else
        closes_meanwhile = disk;
    return 0;
}

/* The second closes while the first is through with it, but has not closed its files. */
Test(process, two_last_writers, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = close_meanwhile };
    struct acow_disk *reader = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
    struct acow_disk *first = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    closes_meanwhile = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    must_write(first, "new", 3, 1000);
    sys_hook(&hook);
    must_close(first);
    sys_hook(NULL);
    check(!closes_meanwhile);
    check(bit_is_committed(1));
    must_close(reader);
    check(file_len("d.add-cow.run") == -1);
}

Test(process, park, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    char buf[3];

    must_write(disk, "new", 3, 1000);
    for (int i = 0; i < 3; i++) {
        check(acow_park(disk) == 0);
        check(file_len("d.add-cow.run") == -1);
        check(bit_is_committed(1 + 2 * (uint64_t)i));
        must_read(disk, buf, 3, 1000);
        check(memcmp(buf, "new", 3) == 0);
        check(file_len("d.add-cow.run") > 0);
        must_write(disk, "more", 4, 2000 + 1024 * (uint64_t)i);
    }
    check(acow_park(disk) == 0 && acow_park(disk) == 0);
    must_close(disk);
    check(file_len("d.add-cow.run") == -1);
}
