/*
 * Repairs. Each is tried on a disk whose content is known: what it shows afterwards, decoded by
 * hand from its files, is what it showed before, or would have shown to the next program to
 * open it. A second repair does nothing: it runs on a table that only lets it look.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "looking.h"
#include "peer.h"
#include "region.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static uint8_t want[SIZE];      /* what the disk is to show */
static uint64_t size;           /* how much of it */

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    pattern(want, 0, SIZE, 1);
    size = SIZE;
}

static void end(void)
{
    sys_hook(NULL);
    look_end();
    tmp_end();
}

static void check_content(const char *when)
{
    struct blob flat = decode("d.add-cow"), base = file_get("d.base");
    uint8_t old[SIZE];

    check(flat.len == size, "%s: size %zu", when, flat.len);
    assert_same(flat.data, want, size, "%s", when);
    pattern(old, 0, SIZE, 1);
    assert_same(base.data, old, base.len, "%s: the backing file", when);
    free(flat.data);
    free(base.data);
}

/* A killed program has written there, and not flushed. */
static void leave(uint64_t off, size_t len, unsigned tag)
{
    leave_behind(off, len, tag);
    pattern(want + off, off, len, tag);
}

static void must_repair(int how, uint64_t notes, uint64_t leaks, uint64_t corruptions)
{
    int r = look_with(&sys_hooked, "d.add-cow", how);

    check(r == 0, "%d %s", r, found_msg.text);
    check(found.notes_repaired == notes && found.leaks_repaired == leaks
          && found.corruptions_repaired == corruptions, "%llu, %llu, %llu repaired",
          (unsigned long long)found.notes_repaired, (unsigned long long)found.leaks_repaired,
          (unsigned long long)found.corruptions_repaired);
    for (size_t i = 0; i < found.nfindings; i++)
        check(!found.findings[i].repaired
              || strncmp(found.findings[i].repaired, found.findings[i].file,
                         strlen(found.findings[i].file)) == 0, "%s", found.findings[i].repaired);
}

/* Nothing is left to be found, nor to be done, and the content is right. */
static void check_clean(const char *when)
{
    struct blob meta = file_get("d.add-cow"), image = file_get("d.img");

    check_content(when);
    for (int how = 0; how <= ACOW_REPAIR_ALL; how++) {
        check(look_only("d.add-cow", how) == 0, "%s: %s", when, found_msg.text);
        expect_findings(0);
    }
    check(file_len("d.add-cow.run") == -1, "%s: the run-time file is still there", when);
    check(file_same("d.add-cow", meta) && file_same("d.img", image), "%s", when);
    free(meta.data);
    free(image.data);
}

/* ---- run-time files ------------------------------------------------------------ */

Test(repair, unclean, .init = begin, .fini = end)
{
    check_content("at first");
    leave(1000, 3000, 3);
    leave(40000, 100, 4);
    must_repair(ACOW_REPAIR_LEAKS, 0, 1, 0);
    check_clean("repaired");
    leave(5000, 1, 5);
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check_clean("repaired again");
    leave_behind(0, 0, 0);
    must_repair(ACOW_REPAIR_LEAKS, 0, 1, 0);
    check_clean("nothing was in it");
}

/* What was never flushed is dropped, as opening would drop it. */
Test(repair, other_boot, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    run_other_boot();
    check_content("before");
    must_repair(ACOW_REPAIR_LEAKS, 0, 1, 0);
    check_clean("repaired");
}

Test(repair, empty, .init = begin, .fini = end)
{
    for (unsigned len = 0; len <= 20000; len += 10000) {
        file_size("d.add-cow.run", len);
        check_content("before");
        must_repair(ACOW_REPAIR_LEAKS, 0, 1, 0);
        check_clean("repaired");
    }
}

Test(repair, poisoned, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    run_poke(poison, 1);
    check(look_only("d.add-cow", ACOW_REPAIR_LEAKS) == 0 && found.corruptions == 1);
    must_repair(ACOW_REPAIR_ALL, 0, 0, 1);
    check_clean("repaired");
}

/* Two pages of bits, and the file ends somewhere: what bits it still has are kept. */
Test(repair, cut_short, .init = tmp_begin, .fini = end)
{
    static const struct {
        int64_t len;
        bool near, far;             /* which write survives */
    } cuts[] = { { 28671, true, true }, { 24577, true, true }, { 24576, true, false },
                 { 20479, false, false }, { 16384, false, false } };

    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        uint8_t new[512], buf[512];
        struct acow_disk *disk;

        file_put("d.base", "", 0);
        file_put("d.img", "", 0);
        file_size("d.img", 20 * MIB);
        meta_put("d.add-cow", "d.base", "d.img", NULL, bitmap_len(20 * MIB));
        leave_behind(512, 512, 3);
        leave_behind(16 * MIB, 512, 4);
        check(file_len("d.add-cow.run") == 28672);
        check(truncate("d.add-cow.run", cuts[i].len) == 0);
        check(look_only("d.add-cow", ACOW_REPAIR_LEAKS) == 0 && found.corruptions == 1);
        must_repair(ACOW_REPAIR_ALL, 0, 0, 1);
        check(look_only("d.add-cow", ACOW_REPAIR_ALL) == 0 && found.corruptions == 0);
        check(file_len("d.add-cow.run") == -1);
        disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
        must_read(disk, buf, 512, 512);
        pattern(new, 512, 512, 3);
        check((memcmp(buf, new, 512) == 0) == cuts[i].near, "%zu", i);
        must_read(disk, buf, 512, 16 * MIB);
        pattern(new, 16 * MIB, 512, 4);
        check((memcmp(buf, new, 512) == 0) == cuts[i].far, "%zu", i);
        must_close(disk);
    }
}

Test(repair, number_of_pages_that_cannot_be, .init = begin, .fini = end)
{
    leave(1000, 3000, 3);
    run_poke(pages, 1ull << 60);
    must_repair(ACOW_REPAIR_ALL, 0, 0, 1);
    check_clean("repaired");
}

/* The writer was killed, and whoever looks after the disk has lost its backing file. */
Test(repair, without_its_backing_file, .init = begin, .fini = end)
{
    leave(1000, 3000, 3);
    check(rename("d.base", "away") == 0);
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check(found.corruptions == 1);
    check(rename("away", "d.base") == 0);
    check_clean("repaired");
}

/* ---- the bitmap ---------------------------------------------------------------------- */

static void shrink(uint64_t to)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);

    must_write(disk, want, SIZE, 0);
    must_flush(disk);
    check(acow_truncate(disk, to) == 0);
    must_close(disk);
    check(truncate("d.base", (off_t)to) == 0);
    size = to;
}

/* Its bits go, the last byte's own stay, and growth shows zeros as it would have. */
Test(repair, bits_past_the_end, .init = begin, .fini = end)
{
    struct acow_disk *disk;
    struct blob meta;

    shrink(5000);
    check_content("shrunk");
    check(look_only("d.add-cow", ACOW_REPAIR_LEAKS) == 0);
    expect_found(ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, 0, 0, "d.add-cow", "118 bits");
    must_repair(ACOW_REPAIR_ALL, 1, 0, 0);
    check_content("repaired");
    meta = file_get("d.add-cow");
    check(meta.len == HEADER + 16 && meta.data[HEADER] == 0xff && meta.data[HEADER + 1] == 3);
    for (size_t at = HEADER + 2; at < meta.len; at++)
        check(meta.data[at] == 0, "%zu", at);
    check(look_only("d.add-cow", ACOW_REPAIR_ALL) == 0);
    expect_only(ACOW_FOUND_BITMAP_LONG, ACOW_NOTE, 0, 0, "d.add-cow", "");
    check(truncate("d.base", SIZE) == 0);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_truncate(disk, SIZE) == 0);
    must_close(disk);
    size = SIZE;
    memset(want + 5000, 0, SIZE - 5000);
    check(file_len("d.base") == SIZE);
    file_pattern("d.base", 0, SIZE, 1);
    check_content("grown");
    free(meta.data);
}

/* The image's size is safe before a bit goes, and the bits before the call returns. */
Test(repair, order_of_clearing, .init = begin, .fini = end)
{
    const char *image, *bits, *meta;

    shrink(4096);
    calls_begin();
    check(acow_check(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL, &found, &found_msg) == 0);
    image = strstr(calls(), "fdatasync d.img");
    bits = strstr(calls(), "pwrite d.add-cow 2561");
    meta = bits ? strstr(bits, "fdatasync d.add-cow") : NULL;
    check(image && bits && meta && image < bits, "%s", calls());
    check(!strstr(calls(), "pwrite d.img") && !strstr(calls(), "ftruncate d.img"), "%s", calls());
}

/* Pending ones too, which come to the metadata file only by the repair. */
Test(repair, pending_bits_past_the_end, .init = begin, .fini = end)
{
    leave_behind(0, 40000, 3);
    pattern(want, 0, SIZE, 3);
    check(truncate("d.img", 10000) == 0 && truncate("d.base", 10000) == 0);
    meta_put("new", "d.base", "d.img", NULL, bitmap_len(10000));
    size = 10000;
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check(look_only("d.add-cow", ACOW_REPAIR_ALL) == 0);
    expect_only(ACOW_FOUND_BITMAP_LONG, ACOW_NOTE, 0, 0, "d.add-cow", "");
    check_content("repaired");
}

/* What is merely untidy is left by a repair of leaks. */
Test(repair, leaks_alone, .init = begin, .fini = end)
{
    uint8_t bitmap[16];
    struct blob meta;

    memset(bitmap, 0xff, sizeof(bitmap));
    shrink(5000);
    leave_behind(0, 10, 3);
    meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
    must_repair(ACOW_REPAIR_LEAKS, 0, 1, 0);
    expect_found(ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, 0, 0, "d.add-cow", "118 bits");
    meta = file_get("d.add-cow");
    check(meta.len == HEADER + 16 && memcmp(meta.data + HEADER, bitmap, 16) == 0);
    free(meta.data);
}

Test(repair, short_bitmap, .init = begin, .fini = end)
{
    meta_put("d.add-cow", "d.base", "d.img", "\3", 1);
    pattern(want, 0, 1024, 2);
    check_content("before");
    check(look_only("d.add-cow", ACOW_REPAIR_LEAKS) == 0 && found.notes == 1);
    must_repair(ACOW_REPAIR_ALL, 1, 0, 0);
    check(file_len("d.add-cow") == HEADER + 16);
    check_clean("repaired");
}

/* ---- what is not repaired ------------------------------------------------------------------ */

/* Nothing is touched, with whatever else there would be to repair. */
static void hopeless(enum acow_found kind, enum acow_severity severity)
{
    struct blob meta = file_get("d.add-cow");
    int files = dir_count();

    for (int how = ACOW_REPAIR_LEAKS; how <= ACOW_REPAIR_ALL; how++) {
        bool there = false;

        check(look_only("d.add-cow", how) == 0, "%s", found_msg.text);
        for (size_t i = 0; i < found.nfindings; i++) {
            check(!found.findings[i].repaired);
            there = there
                    || (found.findings[i].kind == kind && found.findings[i].severity == severity);
        }
        check(there, "%s", acow_found_name(kind));
    }
    check(file_same("d.add-cow", meta) && dir_count() == files);
    free(meta.data);
}

Test(repair, hopeless, .init = begin, .fini = end)
{
    struct blob meta;

    meta_put("d.add-cow", "d.base", "d.img", "\3", 1);
    leave_behind(1000, 3000, 3);
    check(truncate("d.add-cow", HEADER + 1) == 0);
    run_poke(abi, 1);
    hopeless(ACOW_FOUND_RUN_VERSION, ACOW_UNCHECKED);
    check(link("d.add-cow.run", "hard") == 0);
    hopeless(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION);
    check(unlink("d.add-cow.run") == 0 && symlink("hard", "d.add-cow.run") == 0);
    hopeless(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION);
    check(unlink("d.add-cow.run") == 0 && unlink("hard") == 0);
    leave_behind(1000, 3000, 3);
    meta = file_get("d.add-cow");
    file_put("copy", meta.data, HEADER + 1);
    check(rename("copy", "d.add-cow") == 0);
    hopeless(ACOW_FOUND_RUN_FOREIGN, ACOW_CORRUPTION);
    check(unlink("d.add-cow.run") == 0);
    leave_behind(1000, 3000, 3);
    meta_put("d.add-cow", "d.base", "missing", "\3", 1);
    hopeless(ACOW_FOUND_IMAGE, ACOW_CORRUPTION);
    meta_put("d.add-cow", "d.img", "d.img", "\3", 1);
    hopeless(ACOW_FOUND_SAME_FILE, ACOW_CORRUPTION);
    file_poke("d.add-cow", 0, "a", 1);
    hopeless(ACOW_FOUND_HEADER, ACOW_CORRUPTION);
    free(meta.data);
}

static int no_run_file(struct sys_call *call)
{
    if (call_is(call, SYS_OPEN, "d.add-cow.run") && (call->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    return 0;
}

/* Without the right to write the run-time file nothing is repaired, nor said to be. */
Test(repair, no_permission, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = no_run_file };

    leave(1000, 3000, 3);
    sys_hook(&hook);
    check(look_with(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL) < 0);
    check(strstr(found_msg.text, "d.add-cow.run"), "%s", found_msg.text);
    check(found.leaks == 1 && found.leaks_repaired == 0);
    sys_hook(NULL);
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check_clean("repaired with it");
}

/* A disk below may be the base of others too, and is not repaired with the one above. */
Test(repair, not_below, .init = begin, .fini = end)
{
    leave(1000, 3000, 3);
    file_size("t.img", SIZE);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, bitmap_len(SIZE));
    check(look_only("t.add-cow", ACOW_REPAIR_ALL) == 0 && found.leaks == 1);
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check_clean("repaired by itself");
}

/* ---- not alone ---------------------------------------------------------------------------------- */

static void busy(const char *how, pid_t pid)
{
    struct blob meta = file_get("d.add-cow");
    char who[32];

    snprintf(who, sizeof(who), "process %d (", pid);
    for (int repair = ACOW_REPAIR_LEAKS; repair <= ACOW_REPAIR_ALL; repair++) {
        check(look_only("d.add-cow", repair) == -EBUSY);
        check(strstr(found_msg.text, "d.add-cow") && strstr(found_msg.text, how)
              && strstr(found_msg.text, who), "%s", found_msg.text);
    }
    check(file_same("d.add-cow", meta));
    free(meta.data);
}

Test(repair, in_use, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    struct acow_disk *top;

    meta_put("d.add-cow", "d.base", "d.img", "\3", 1);
    peer_open(&peer, ACOW_RDONLY);
    busy("reading", peer.pid);
    peer_close(&peer);
    peer_open(&peer, ACOW_RDWR);
    busy("writing", peer.pid);
    peer_close(&peer);
    file_size("t.img", SIZE);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, bitmap_len(SIZE));
    leave_behind(1000, 3000, 3);
    top = must_open(&acow_sys_libc, "t.add-cow", ACOW_RDONLY);
    busy("backing", getpid());
    must_close(top);
    peer_end(&peer);
}

static struct peer other;
static int other_flags;
static bool has_come;

/* Another opens it when the check has found nobody, and the repair begins. */
static int comes(struct sys_call *call)
{
    if (!has_come && call_is(call, SYS_OPEN, "d.add-cow")
        && (call->flags & O_ACCMODE) == O_RDWR) {
        has_come = true;
        peer_open(&other, other_flags);
    }
    return 0;
}

Test(repair, opened_by_another_meanwhile, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = comes };

    for (other_flags = ACOW_RDONLY; other_flags <= ACOW_RDWR; other_flags++) {
        char who[32];

        leave(1000, 3000, 3 + (unsigned)other_flags);
        other = peer_start(&acow_sys_libc);
        has_come = false;
        snprintf(who, sizeof(who), "process %d (", other.pid);
        sys_hook(&hook);
        check(look_with(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL) == -EBUSY);
        check(has_come && strstr(found_msg.text, who), "%s", found_msg.text);
        check(!strstr(found_msg.text, "more"), "%s", found_msg.text);
        sys_hook(NULL);
        peer_close(&other);
        peer_end(&other);
        must_close(must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR));
        check_clean("closed by the other");
    }
}

static unsigned tried;

/* While the image is synced the repair is in the middle of things. */
static int tries(struct sys_call *call)
{
    if (call_is(call, SYS_FDATASYNC, "d.img")) {
        tried++;
        for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++)
            check(peer_do(&other, PEER_OPEN, (uint64_t)flags, 0, 0) == -EBUSY, "%d", flags);
    }
    return 0;
}

Test(repair, keeps_others_out, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = tries };

    leave(1000, 3000, 3);
    other = peer_start(&acow_sys_libc);
    sys_hook(&hook);
    must_repair(ACOW_REPAIR_ALL, 0, 1, 0);
    check(tried > 0);
    sys_hook(NULL);
    peer_open(&other, ACOW_RDWR);
    peer_sees(&other, 1000, 3000, 3);
    peer_close(&other);
    peer_end(&other);
    check_clean("repaired");
}
