/*
 * A disk across fork: the child goes on with it under its own name, and what it gets of its parent's
 * is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "sys_hook.h"

#define SIZE (1 * MIB)

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

struct family {
    struct acow_disk *disk;
    int go[2];
};

static int orphan(void *arg)
{
    struct family *family = arg;
    uint8_t buf[3000];
    char c;

    acow_after_fork(family->disk);
    close(family->go[1]);
    /* Until the parent has closed the disk. */
    check(read(family->go[0], &c, 1) == 1);
    pattern(buf, 5000, 3000, 4);
    must_write(family->disk, buf, 3000, 5000);
    must_read(family->disk, buf, 100, 1000);
    check(buf[0] == 'n');
    must_close(family->disk);
    return 0;
}

Test(fork, child_goes_on_after_its_parent, .init = begin, .fini = tmp_end)
{
    struct family family;
    pid_t child;

    check(pipe(family.go) == 0);
    family.disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    must_write(family.disk, "new", 3, 1000);
    child = fork_child();
    if (child == 0)
        _exit(orphan(&family));
    must_close(family.disk);
    check(file_len("d.add-cow.run") == -1);
    check(bit_is_committed(1));
    check(write(family.go[1], "g", 1) == 1);
    check(wait_child(child) == 0);
    check_closed(5000, 3000, 4);
}

static int writes_and_is_killed(void *arg)
{
    struct acow_disk *disk = arg;

    acow_after_fork(disk);
    must_write(disk, "child", 5, 5000);
    raise(SIGKILL);
    return 0;
}

Test(fork, killed_child, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    char buf[5];

    must_write(disk, "new", 3, 1000);
    check(in_child(writes_and_is_killed, disk) == 256 + SIGKILL);
    must_read(disk, buf, 5, 5000);
    check(memcmp(buf, "child", 5) == 0);
    must_close(disk);
    check(file_len("d.add-cow.run") == -1);
    check(bit_is_committed(9));
}

static int does_nothing(void *arg)
{
    acow_after_fork(arg);
    must_close(arg);
    return 0;
}

Test(fork, child_that_only_closes, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);

    must_write(disk, "new", 3, 1000);
    check(in_child(does_nothing, disk) == 0);
    check(file_len("d.add-cow.run") > 0);
    must_write(disk, "new", 3, 3000);
    must_close(disk);
    check(file_len("d.add-cow.run") == -1);
    check(bit_is_committed(1) && bit_is_committed(5));
}

/* ---- the moment of the fork -------------------------------------------------- */

static bool attaching, to_fork, attached;      /* atomic */

static void set(bool *flag)
{
    __atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

static bool is_set(bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* In the middle of taking part, until the other thread is about to fork, and for a while after. */
static int linger(struct sys_call *call)
{
    if (call->op != SYS_OPEN || strcmp(call->file, "d.add-cow.run") != 0)
        return 0;
    set(&attaching);
    while (!is_set(&to_fork))
        sched_yield();
    for (int i = 0; i < 1000; i++)
        sched_yield();
    return 0;
}

static void note_mapping(const struct sys_call *call, int64_t result)
{
    (void)result;
    /* One of the calls that come after the run-time file has been opened. */
    if (call->op == SYS_MMAP)
        set(&attached);
}

static void *take_part(void *disk)
{
    char c;

    must_read(disk, &c, 1, 0);
    return NULL;
}

Test(fork, waits_for_who_begins_to_take_part, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = linger, .after = note_mapping };
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pthread_t thread;

    must_write(disk, "new", 3, 1000);
    check(acow_park(disk) == 0);
    sys_hook(&hook);
    check(pthread_create(&thread, NULL, take_part, disk) == 0);
    while (!is_set(&attaching))
        sched_yield();
    set(&to_fork);
    acow_before_fork(disk);
    check(is_set(&attached), "the fork is in the middle of a thread's taking part");
    acow_let_fork(disk);
    check(pthread_join(thread, NULL) == 0);
    sys_hook(NULL);
    must_write(disk, "new", 3, 3000);
    must_close(disk);
}
