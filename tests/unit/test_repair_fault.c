/*
 * Repairs that do not come to their end: a system call of theirs fails, or they are killed, at
 * each in turn; every third without ADDCOW_FAULTS=all. Nothing is lost, and the next repair
 * does the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "looking.h"
#include "region.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

enum harm { UNCLEAN, CUT_SHORT, SHRUNK, HARMS };

static uint8_t want[SIZE];
static uint64_t size;

/* A disk to repair, anew; `want` is what it will show. */
static void harm(enum harm how)
{
    uint8_t bitmap[16];

    memset(bitmap, 0xff, sizeof(bitmap));
    size = how == SHRUNK ? 5000 : SIZE;
    unlink("d.add-cow.run");
    file_put("d.img", "", 0);
    file_put("d.base", "", 0);
    usual_disk(size, size);
    pattern(want, 0, size, how == SHRUNK ? 2 : 1);
    if (how == SHRUNK) {
        meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
        return;
    }
    leave_behind(1000, 3000, 3);
    pattern(want + 1000, 1000, 3000, 3);
    if (how == CUT_SHORT)
        run_poke(pages, 1ull << 60);
}

/* The next repair mends it all, whatever the last one left. */
static void check_next(const char *what, unsigned nth)
{
    struct blob flat;

    check(look_with(&acow_sys_libc, "d.add-cow", ACOW_REPAIR_ALL) == 0, "%s %u: %s", what, nth,
          found_msg.text);
    check(found.corruptions == 0 && found.leaks == 0 && found.unchecked == 0, "%s %u", what, nth);
    check(look_only("d.add-cow", ACOW_REPAIR_ALL) == 0, "%s %u: %s", what, nth, found_msg.text);
    check(file_len("d.add-cow.run") == -1, "%s %u", what, nth);
    for (size_t i = 0; i < found.nfindings; i++)
        check(found.findings[i].kind == ACOW_FOUND_BITMAP_LONG, "%s %u: %s", what, nth,
              found.findings[i].text);
    flat = decode("d.add-cow");
    check(flat.len == size);
    assert_same(flat.data, want, size, "%s %u", what, nth);
    free(flat.data);
}

static void end(void)
{
    sys_hook(NULL);
    look_end();
    tmp_end();
}

static void each_call_fails(enum harm how, enum fault_kind kind, int error, const char *what)
{
    unsigned step = test_all_faults() ? 1 : 3;
    struct fault fault = { .kind = kind, .error = error, .nth = 1 + how % step };

    for (;; fault.nth += step) {
        int r;

        fault.seen = fault.fired = 0;
        fault.sync_failed = false;
        harm(how);
        fault_begin(&fault);
        r = look_with(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL);
        sys_hook(NULL);
        /* To be denied a lock is how some systems say that another has it. */
        check(r == 0 || r == error || (error == -EACCES && (r == -EAGAIN || r == -EBUSY)), "%s %u, %s: %d %s", what, fault.nth,
              fault.hit, r, found_msg.text);
        check(!fault.sync_failed || r < 0, "%s %u, %s: nothing is said", what, fault.nth,
              fault.hit);
        if (!fault.sync_failed || how == SHRUNK)
            check_next(what, fault.nth);
        if (!fault.fired)
            break;
    }
    check(fault.nth > 60, "only %u calls", fault.nth);
}

Test(repair_fault, once_io_error, .init = tmp_begin, .fini = end)
{
    for (enum harm how = 0; how < HARMS; how++)
        each_call_fails(how, FAULT_ONCE, -EIO, "EIO");
}

Test(repair_fault, ever_no_space, .init = tmp_begin, .fini = end)
{
    for (enum harm how = 0; how < HARMS; how++)
        each_call_fails(how, FAULT_EVER, -ENOSPC, "ENOSPC");
}

Test(repair_fault, once_no_permission, .init = tmp_begin, .fini = end)
{
    for (enum harm how = 0; how < HARMS; how++)
        each_call_fails(how, FAULT_ONCE, -EACCES, "EACCES");
}

/* ---- killed ---------------------------------------------------------------------- */

static unsigned calls_left;

static int die(struct sys_call *call)
{
    (void)call;
    if (--calls_left == 0)
        raise(SIGKILL);
    return 0;
}

static int repairs(void *arg)
{
    static const struct sys_hook hook = { .before = die };

    (void)arg;
    sys_hook(&hook);
    return look_with(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL) == 0 ? 0 : 1;
}

static void killed_at_each_call(enum harm how)
{
    unsigned step = test_all_faults() ? 1 : 3, nth = 1 + how % step;
    int status;

    for (;; nth += step) {
        calls_left = nth;
        harm(how);
        status = in_child(repairs, NULL);
        check(status == 0 || status == 256 + SIGKILL, "call %u: %d", nth, status);
        check_next("killed at call", nth);
        if (status == 0)
            break;
    }
    check(nth > 60, "only %u calls", nth);
}

Test(repair_fault, killed, .init = tmp_begin, .fini = end)
{
    for (enum harm how = 0; how < HARMS; how++)
        killed_at_each_call(how);
}
