/*
 * What another process does between two steps of one, and kills there: at places that are
 * found by the system calls on each side.
 */
#include <signal.h>

#include "bitmap.h"
#include "sys_hook.h"

#define SIZE (1 * MIB)

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

/* ---- a fork that does nothing ------------------------------------------------ */

static int gate[2];

static int die_in_flush(struct sys_call *call)
{
    if (call_is(call, SYS_FDATASYNC, "d.img"))
        raise(SIGKILL);
    return 0;
}

/* Killed while it closes, with a child that has the disk and has not used it. */
static int die_in_close(void *arg)
{
    static const struct sys_hook hook = { die_in_flush, NULL };
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    char buf[5];

    (void)arg;
    must_write(disk, "first", 5, 1000);
    if (fork() == 0) {
        close(gate[1]);
        acow_after_fork(disk);
        check(read(gate[0], buf, 1) == 0);
        must_read(disk, buf, 5, 1000);
        check(memcmp(buf, "other", 5) == 0);
        must_close(disk);
        _exit(0);
    }
    sys_hook(&hook);
    must_close(disk);
    return 0;
}

Test(between, idle_child_of_a_killed_closer, .init = begin, .fini = tmp_end, .timeout = 30)
{
    struct acow_disk *disk;
    char buf[5];

    check(pipe(gate) == 0);
    check(in_child(die_in_close, NULL) == 256 + SIGKILL);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    must_read(disk, buf, 5, 1000);
    check(memcmp(buf, "first", 5) == 0);
    must_write(disk, "other", 5, 1000);
    close(gate[1]);
    must_close(disk);
}

/* ---- bits ------------------------------------------------------------------ */

/* Dies where it says that the page has bits: the summary is not to be written. */
static int set_and_die(void *arg)
{
    const struct bits *bits = arg;

    signal(SIGSEGV, SIG_DFL);
    check(mprotect(bits->pending, BITS_PAGE, PROT_READ) == 0);
    bits_set_pending(bits, 5, 1);
    return 0;
}

/* What a killed process wrote is there, or not; it does not appear later, by another's write. */
Test(between, bit_of_a_killed_writer)
{
    struct bits bits = { .pending = shared_memory(bits_area(1)), .pages = 1 };
    bool set;

    *bits_summary(&bits, 0) = PAGE_CLEAN;
    check(in_child(set_and_die, &bits) == 256 + SIGSEGV);
    set = bits_all_set(&bits, 5, 1);
    bits_set_pending(&bits, 9, 1);
    check(bits_all_set(&bits, 5, 1) == set);
    check(bits_all_set(&bits, 9, 1));
}
