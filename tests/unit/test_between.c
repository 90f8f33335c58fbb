/*
 * What another process does between two steps of one, and kills there: at places that are
 * found by the system calls on each side.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "bitmap.h"
#include "peer.h"
#include "region.h"
#include "sys_hook.h"

#define SIZE (1 * MIB)
#define AT 614400ull            /* allocated before it is written again */
#define LEN 1024

static struct peer other;

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

/* ---- a write without a lock, and truncations -------------------------------- */

static bool writes_again(const struct sys_call *call)
{
    return call_is(call, SYS_PWRITE, "d.img") && call->off == (int64_t)AT && call->len == LEN;
}

static int cut_before(struct sys_call *call)
{
    if (writes_again(call))
        check_peer(&other, PEER_TRUNCATE, 500000, 0, 0, 0);
    return 0;
}

static void cut_after(const struct sys_call *call, int64_t result)
{
    if (writes_again(call)) {
        check(result == LEN);
        check_peer(&other, PEER_TRUNCATE, AT + 512, 0, 0, 0);
    }
}

/* The write comes after the first and before the second, which it must not undo. */
Test(between, truncations_around_a_write, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = cut_before, .after = cut_after };
    uint8_t buf[LEN], got[LEN];
    struct acow_disk *disk;
    struct blob flat;

    other = peer_start(&acow_sys_libc);
    peer_open(&other, ACOW_RDWR);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pattern(buf, AT, LEN, 3);
    must_write(disk, buf, LEN, AT);
    sys_hook(&hook);
    pattern(buf, AT, LEN, 4);
    must_write(disk, buf, LEN, AT);
    sys_hook(NULL);
    check(acow_size(disk) == AT + 512, "%lld", (long long)acow_size(disk));
    check(file_len("d.img") == AT + 512);
    check(acow_pread(disk, ACOW_OWN_FD, got, LEN, AT) == 512);
    assert_same(got, buf, 512, "what is left of the write");
    check_peer(&other, PEER_ZEROS, 500000, AT - 500000, 0, 1);
    peer_close(&other);
    must_close(disk);
    peer_end(&other);
    flat = decode("d.add-cow");
    check(flat.len == AT + 512);
    free(flat.data);
}

/* ---- a fork that does nothing ------------------------------------------------ */

static int gate[2], done[2];

static int die_in_flush(struct sys_call *call)
{
    if (call_is(call, SYS_FDATASYNC, "d.img"))
        raise(SIGKILL);
    return 0;
}

/* Killed while it closes, with a child that has the disk and has not used it. */
static int die_in_close(void *arg)
{
    static const struct sys_hook hook = { .before = die_in_flush };
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    char buf[5];

    (void)arg;
    must_write(disk, "first", 5, 1000);
    if (fork() == 0) {
        close(gate[1]);
        close(done[0]);
        acow_after_fork(disk);
        check(read(gate[0], buf, 1) == 0);
        must_read(disk, buf, 5, 1000);
        check(memcmp(buf, "other", 5) == 0);
        must_close(disk);
        check(write(done[1], "", 1) == 1);
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

    check(pipe(gate) == 0 && pipe(done) == 0);
    check(in_child(die_in_close, NULL) == 256 + SIGKILL);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    must_read(disk, buf, 5, 1000);
    check(memcmp(buf, "first", 5) == 0);
    must_write(disk, "other", 5, 1000);
    close(gate[1]);
    close(done[1]);
    check(read(done[0], buf, 1) == 1, "the child found something else");
    must_close(disk);
}

static int through[2];

/* Killed with a child that has let go of its parent's share, and does nothing more for now. */
static int die_with_child(void *arg)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    int let_go[2];
    char byte;

    (void)arg;
    must_write(disk, "first", 5, 1000);
    check(pipe(let_go) == 0);
    if (fork() == 0) {
        close(gate[1]);
        acow_after_fork(disk);
        check(write(let_go[1], "", 1) == 1);
        check(read(gate[0], &byte, 1) == 0);
        must_read(disk, &byte, 1, 1000);
        check(byte == 'f');
        must_close(disk);
        check(write(through[1], "", 1) == 1);
        _exit(0);
    }
    check(read(let_go[0], &byte, 1) == 1);
    raise(SIGKILL);
    return 0;
}

/* What the parent had locked for the run-time file must not outlive that file. */
Test(between, idle_child_of_a_killed_parent, .init = begin, .fini = tmp_end, .timeout = 30)
{
    char byte;
    int run;

    check(pipe(gate) == 0 && pipe(through) == 0);
    check(in_child(die_with_child, NULL) == 256 + SIGKILL);
    /* Kept open, so that the next one cannot have its number. */
    run = open("d.add-cow.run", O_RDONLY);
    check(run >= 0);
    must_close(must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR));
    check(access("d.add-cow.run", F_OK) < 0);
    must_close(must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR));
    close(run);
    close(gate[1]);
    close(through[1]);
    check(read(through[0], &byte, 1) == 1, "the child did not get through");
}

/* ---- a truncation that waits for a write ---------------------------------------- */

static struct acow_disk *writing;
static const struct region *shared;
static pid_t truncating;

static bool somebody_waits(void)
{
    for (int i = 0; i < REGION_STRIPES; i++)
        if (__atomic_load_n(&shared->stripes[i].lock.__data.__lock, __ATOMIC_ACQUIRE) < 0)
            return true;
    return false;
}

/* The write holds its stripe. */
static int kill_who_waits(struct sys_call *call)
{
    if (!call_is(call, SYS_PWRITE, "d.img"))
        return 0;
    sys_hook(NULL);
    check(write(gate[1], "", 1) == 1);
    while (!somebody_waits())
        sched_yield();
    check(acow_size(writing) == SIZE, "it is cut before it can be");
    check(kill(truncating, SIGKILL) == 0 && wait_child(truncating) == 256 + SIGKILL);
    return 0;
}

Test(between, kill_of_a_truncation_that_waits, .init = begin, .fini = tmp_end, .timeout = 30)
{
    static const struct sys_hook hook = { .before = kill_who_waits };
    char buf[512] = "written", got[512];
    struct acow_disk *disk;
    int fd;

    check(pipe(gate) == 0);
    truncating = fork_child();
    if (truncating == 0) {
        check(read(gate[0], got, 1) == 1);
        disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
        check(acow_truncate(disk, 1000) == 0);
        _exit(0);
    }
    writing = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    fd = open("d.add-cow.run", O_RDONLY);
    shared = mmap(NULL, REGION_HEAD, PROT_READ, MAP_SHARED, fd, 0);
    check(shared != MAP_FAILED);
    close(fd);
    sys_hook(&hook);
    must_write(writing, buf, sizeof(buf), AT);
    check(acow_size(writing) == SIZE);
    must_read(writing, got, sizeof(got), AT);
    check(memcmp(got, buf, sizeof(got)) == 0);
    check(acow_truncate(writing, 2000) == 0);
    check(acow_size(writing) == 2000 && file_len("d.img") == 2000);
    must_close(writing);
}

/* ---- a wake-up that is lost ---------------------------------------------------- */

/*
 * As it happens when a process is killed that has just been woken for a lock: the lock is
 * free, somebody sleeps for it, and nobody will wake him.
 */
Test(between, wake_up_that_is_lost, .init = begin, .fini = tmp_end, .timeout = 30)
{
    struct region *region;
    int *word, fd;
    pid_t pid;

    writing = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    fd = open("d.add-cow.run", O_RDWR);
    region = mmap(NULL, REGION_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(region != MAP_FAILED);
    close(fd);
    word = &region->size_lock.__data.__lock;
    check(pthread_mutex_lock(&region->size_lock) == 0);
    pid = fork_child();
    if (pid == 0) {
        acow_after_fork(writing);
        _exit(acow_truncate(writing, 5000) != 0);
    }
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) >= 0)
        sched_yield();
    __atomic_fetch_and(word, INT32_MAX, __ATOMIC_ACQ_REL);
    check(pthread_mutex_unlock(&region->size_lock) == 0);
    check(wait_child(pid) == 0);
    check(acow_size(writing) == 5000);
    must_close(writing);
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
