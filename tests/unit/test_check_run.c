/*
 * What a check finds of run-time files: those that are left over, those that keep the disk from
 * being opened, and none where programs are using one. And checks in which a system call fails:
 * none says that all is well without having seen it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>

#include "looking.h"
#include "peer.h"
#include "region.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

static void end(void)
{
    sys_hook(NULL);
    look_end();
    tmp_end();
}

static void opens(int error)
{
    struct acow_sys quiet = acow_sys_libc;
    struct acow_disk *disk;
    int r;

    quiet.log = NULL;
    r = acow_open(&quiet, "d.add-cow", ACOW_RDWR, &disk, NULL);
    check(r == error, "opening gives %d, not %d", r, error);
    if (r == 0)
        must_close(disk);
}

static void only(enum acow_found kind, enum acow_severity severity, int error, const char *words)
{
    struct blob run = { NULL, 0 };
    bool regular = file_len("d.add-cow.run") >= 0 && severity == ACOW_LEAK;

    if (regular)
        run = file_get("d.add-cow.run");
    look("d.add-cow");
    expect_only(kind, severity, 0, error, "d.add-cow.run", words);
    check(!regular || file_same("d.add-cow.run", run));
    free(run.data);
}

/* ---- left over ----------------------------------------------------------------- */

Test(check_run, unclean, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    only(ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, 0, "7 sectors");
    check(found.leaks == 1 && found.pending == 7 && found.allocated == 7 && found.end == 4096);
    /* A second look changes nothing either; opening and closing does. */
    only(ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, 0, "7 sectors");
    opens(0);
    look("d.add-cow");
    expect_findings(0);
    check(found.allocated == 7 && found.pending == 0);
}

Test(check_run, unclean_with_nothing_in_it, .init = begin, .fini = end)
{
    leave_behind(0, 0, 0);
    only(ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, 0, "nothing is in it");
    opens(0);
}

/* Marked dead by the last to close, who was killed before it was removed. */
Test(check_run, dead, .init = begin, .fini = end)
{
    leave_behind(0, 0, 0);
    run_poke(gen, REGION_DEAD);
    only(ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, 0, "nothing is in it");
    opens(0);
}

Test(check_run, of_a_disk_below, .init = begin, .fini = end)
{
    file_size("t.img", SIZE);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, bitmap_len(SIZE));
    leave_behind(1000, 3000, 3);
    look("t.add-cow");
    expect_only(ACOW_FOUND_RUN_UNCLEAN, ACOW_LEAK, 1, 0, "d.add-cow.run", "7 sectors");
    check(found.pending == 0 && found.allocated == 0);
}

Test(check_run, of_another_boot, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    run_other_boot();
    only(ACOW_FOUND_RUN_OTHER_BOOT, ACOW_LEAK, 0, "never flushed");
    check(found.pending == 0 && found.allocated == 0);
    opens(0);
}

Test(check_run, without_a_head, .init = begin, .fini = end)
{
    static const unsigned lens[] = { 0, 1, 16383, 16384, 24576 };

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        file_put("d.add-cow.run", "", 0);
        file_size("d.add-cow.run", lens[i]);
        only(ACOW_FOUND_RUN_EMPTY, ACOW_LEAK, 0, "unfinished");
        opens(0);
        check(file_len("d.add-cow.run") == -1);
    }
}

/* ---- those that opening refuses ---------------------------------------------------- */

Test(check_run, untrusted, .init = begin, .fini = end)
{
    file_put("elsewhere", "x", 1);
    check(symlink("elsewhere", "d.add-cow.run") == 0);
    only(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION, -ELOOP, "symbolic link");
    opens(-ELOOP);
    check(unlink("d.add-cow.run") == 0 && link("elsewhere", "d.add-cow.run") == 0);
    only(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION, -EPERM, "cannot be trusted");
    opens(-EPERM);
    check(unlink("d.add-cow.run") == 0 && mkfifo("d.add-cow.run", 0600) == 0);
    only(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION, -EPERM, "cannot be trusted");
    check(unlink("d.add-cow.run") == 0);
    leave_behind(1000, 3000, 3);
    if (geteuid() != 0)
        return;
    check(chown("d.add-cow.run", 12345, 12345) == 0);
    only(ACOW_FOUND_RUN_UNTRUSTED, ACOW_CORRUPTION, -EPERM, "cannot be trusted");
    opens(-EPERM);
}

Test(check_run, of_other_files, .init = begin, .fini = end)
{
    struct blob meta = file_get("d.add-cow");

    leave_behind(1000, 3000, 3);
    file_put("copy", meta.data, meta.len);
    check(rename("copy", "d.add-cow") == 0);
    only(ACOW_FOUND_RUN_FOREIGN, ACOW_CORRUPTION, -ESTALE, "belongs to other files");
    opens(-ESTALE);
    free(meta.data);
}

Test(check_run, of_another_version, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    run_poke(abi, 1);
    only(ACOW_FOUND_RUN_VERSION, ACOW_UNCHECKED, -EBUSY, "another version");
    opens(-EBUSY);
}

Test(check_run, cut_short, .init = begin, .fini = end)
{
    leave_behind(1000, 3000, 3);
    check(truncate("d.add-cow.run", 24575) == 0);
    only(ACOW_FOUND_RUN_DAMAGED, ACOW_CORRUPTION, -EIO, "cut short");
    opens(-EIO);
    run_poke(pages, 1ull << 60);
    only(ACOW_FOUND_RUN_DAMAGED, ACOW_CORRUPTION, -EIO, "cut short");
    opens(-EIO);
}

/* ---- of a failed fsync ------------------------------------------------------------------ */

Test(check_run, poisoned, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 3000, 3);
    run_poke(poison, 1);
    look("d.add-cow");
    expect_found(ACOW_FOUND_RUN_POISONED, ACOW_CORRUPTION, 0, 0, "d.add-cow.run", "until all");
    expect_found(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 0, 0, "d.add-cow", "");
    expect_findings(2);
    peer_kill(&peer);
    only(ACOW_FOUND_RUN_POISONED, ACOW_CORRUPTION, 0, "are dropped");
    opens(0);
}

/* ---- in use ------------------------------------------------------------------------------- */

Test(check_run, nonsense_in_use, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    run_poke(magic, 1);
    look("d.add-cow");
    expect_found(ACOW_FOUND_RUN_DAMAGED, ACOW_CORRUPTION, 0, -EIO, "d.add-cow.run", "in use");
    expect_findings(2);
    opens(-EIO);
    peer_kill(&peer);
}

/* Its maker has the disk's lock, but not yet the file's. */
Test(check_run, being_made, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDONLY);
    check(unlink("d.add-cow.run") == 0);
    file_put("d.add-cow.run", "", 0);
    look("d.add-cow");
    expect_only(ACOW_FOUND_OPEN_READING, ACOW_NOTE, 0, 0, "d.add-cow", "");
    peer_kill(&peer);
    only(ACOW_FOUND_RUN_EMPTY, ACOW_LEAK, 0, "unfinished");
}

/* Somebody has removed the one in use, or opens the disk by another of its names. */
Test(check_run, elsewhere, .init = begin, .fini = end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    char who[32];

    peer_open(&peer, ACOW_RDWR);
    check(rename("d.add-cow.run", "away") == 0);
    snprintf(who, sizeof(who), "process %d (", peer.pid);
    look("d.add-cow");
    expect_found(ACOW_FOUND_RUN_ELSEWHERE, ACOW_NOTE, 0, -EBUSY, "d.add-cow", who);
    expect_found(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    expect_findings(2);
    opens(-EBUSY);
    check(rename("away", "d.add-cow.run") == 0);
    peer_close(&peer);
    peer_end(&peer);
    look("d.add-cow");
    expect_findings(0);
}

static struct peer closing;
static bool closed, reopens;

/* The last to have it open closes it between two looks at the run-time file. */
static int close_it(struct sys_call *call)
{
    if (!closed && call_is(call, SYS_LOCK, "d.add-cow.run")) {
        closed = true;
        peer_close(&closing);
        if (reopens)
            peer_open(&closing, ACOW_RDWR);
    }
    return 0;
}

static void check_while_it_closes(void)
{
    static const struct sys_hook hook = { .before = close_it };

    closed = false;
    closing = peer_start(&acow_sys_libc);
    peer_open(&closing, ACOW_RDWR);
    peer_write(&closing, 1000, 3000, 3);
    sys_hook(&hook);
    check(look_with(&sys_hooked, "d.add-cow", 0) == 0);
    sys_hook(NULL);
    check(closed);
    check(found.leaks == 0 && found.corruptions == 0 && found.unchecked == 0, "%s",
          found.findings[0].text);
}

Test(check_run, closed_meanwhile, .init = begin, .fini = end)
{
    check_while_it_closes();
    check(file_len("d.add-cow.run") == -1);
    peer_end(&closing);
}

Test(check_run, closed_and_opened_meanwhile, .init = begin, .fini = end)
{
    reopens = true;
    check_while_it_closes();
    check(file_len("d.add-cow.run") > 0);
    peer_close(&closing);
    peer_end(&closing);
}

/* ---- what cannot be looked at ------------------------------------------------------------------- */

static const char *locked_file;

static int no_permission(struct sys_call *call)
{
    return call_is(call, SYS_OPEN, locked_file) ? -EACCES : 0;
}

Test(check_run, no_permission, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = no_permission };
    static const char *const files[] = { "d.img", "d.base", "d.add-cow.run" };

    leave_behind(1000, 3000, 3);
    sys_hook(&hook);
    for (int i = 0; i < 3; i++) {
        locked_file = files[i];
        check(look_with(&sys_hooked, "d.add-cow", 0) == 0);
        expect_found(ACOW_FOUND_UNREADABLE, ACOW_UNCHECKED, 0, -EACCES, files[i], "Permission");
        check(found.unchecked == 1 && found.corruptions == 0);
        check(found.leaks == (i == 1));
    }
    locked_file = "d.add-cow";
    check(look_with(&sys_hooked, "d.add-cow", 0) == -EACCES);
    check(strstr(found_msg.text, "d.add-cow"), "%s", found_msg.text);
}

/*
 * Each call of a check fails once. Whatever it was, the check says so, or finds what there is
 * to find all the same.
 */
static void each_call_fails(int error)
{
    struct fault fault = { .kind = FAULT_ONCE, .error = error };
    struct blob meta = file_get("d.add-cow"), run = file_get("d.add-cow.run");
    unsigned told = 0;

    do {
        int r;

        fault.nth++;
        fault.seen = fault.fired = 0;
        fault_begin(&fault);
        r = look_with(&sys_hooked, "d.add-cow", 0);
        sys_hook(NULL);
        told += r < 0 || found.unchecked > 0;
        check(r < 0 ? r == error : found.unchecked || (found.leaks == 1 && found.notes == 2),
              "call %u fails, %s: %d %s; %zu findings", fault.nth, fault.hit, r, found_msg.text,
              found.nfindings);
        check(r < 0 || found.corruptions == 0, "call %u fails, %s", fault.nth, fault.hit);
    } while (fault.fired);
    check(fault.nth > 30 && told > 20, "only %u calls, %u told", fault.nth, told);
    check(file_same("d.add-cow", meta) && file_same("d.add-cow.run", run));
    free(meta.data);
    free(run.data);
}

Test(check_run, each_call_fails, .init = begin, .fini = end)
{
    meta_put("d.add-cow", "d.base", "d.img", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 17);
    leave_behind(1000, 3000, 3);
    /* Its length too is told, which is not what this is about. */
    check(truncate("d.base", SIZE) == 0);
    look("d.add-cow");
    check(found.leaks == 1);
    each_call_fails(-EIO);
    each_call_fails(-EMFILE);
}
