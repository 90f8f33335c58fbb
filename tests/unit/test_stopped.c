/*
 * A process that is stopped (SIGSTOP, a debugger) wherever it may hold something. Reads, writes
 * that need no lock it has, flushes, opening and closing go on beside it; what does need its
 * lock waits, then says so and whom to look at; and it may be continued, or ended, later.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "sys_hook.h"
#include "wait.h"

#define SIZE (8 * MIB)
#define UNIT (64 * KIB)         /* of a stripe */

static struct acow_disk *disk;
static struct acow_sys listening;
static struct acow_msg msg;
static char said[4096];
static pid_t pid;

static void listen_to(const char *line)
{
    snprintf(said, sizeof(said), "%s", line);
}

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    listening = acow_sys_libc;
    listening.log = listen_to;
    wait_patience = 300;
}

/* Where the other stops: after a call of this kind on this file. */
static enum sys_op stop_op;
static const char *stop_file;
static int stop_in;             /* at the so-manieth such call */

static void stop_after(const struct sys_call *call, int64_t result)
{
    (void)result;
    if (call_is(call, stop_op, stop_file) && --stop_in == 0)
        raise(SIGSTOP);
}

/* Opens, writes pattern(3) at `off`, flushes, closes; and stops on the way. */
static void start_other(enum sys_op op, const char *file, int nth, uint64_t off, size_t len)
{
    static const struct sys_hook hook = { .after = stop_after };
    int status;

    pid = fork_child();
    if (pid == 0) {
        uint8_t *buf = malloc(len);

        stop_op = op;
        stop_file = file;
        stop_in = nth;
        pattern(buf, off, len, 3);
        if (disk) {
            acow_after_fork(disk);
            must_close(disk);
        }
        sys_hook(&hook);
        disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        must_write(disk, buf, len, off);
        must_flush(disk);
        must_close(disk);
        _exit(0);
    }
    check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "it has not stopped");
}

static void other_goes_on(void)
{
    check(kill(pid, SIGCONT) == 0 && wait_child(pid) == 0);
}

static void other_is_killed(void)
{
    check(kill(pid, SIGKILL) == 0 && wait_child(pid) == 256 + SIGKILL);
}

static void sees(uint64_t off, size_t len, unsigned tag)
{
    uint8_t *got = malloc(len), *want = malloc(len);

    pattern(want, off, len, tag);
    must_read(disk, got, len, off);
    assert_same(got, want, len, "at %llu", (unsigned long long)off);
    free(got);
    free(want);
}

static ssize_t writes(uint64_t off, size_t len, unsigned tag)
{
    uint8_t *buf = malloc(len);
    ssize_t n;

    pattern(buf, off, len, tag);
    n = acow_pwrite(disk, ACOW_OWN_FD, buf, len, off);
    free(buf);
    return n;
}

static void said_who(void)
{
    char who[64];

    snprintf(who, sizeof(who), "process %d (", pid);
    check(strstr(said, who) && strstr(said, "stopped"), "\"%s\"", said);
}

static void files_have(uint64_t off, size_t len, unsigned tag)
{
    uint8_t *want = malloc(len);
    struct blob flat = decode("d.add-cow");

    pattern(want, off, len, tag);
    check(flat.len == SIZE, "%zu", flat.len);
    check(file_len("d.add-cow.run") == -1, "the run-time file is still there");
    assert_same(flat.data + off, want, len, "files at %llu", (unsigned long long)off);
    free(flat.data);
    free(want);
}

/* In the middle of an allocating write: the data is there, the bits are not, a stripe is held. */
static void begin_in_write(void)
{
    begin();
    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    check(writes(10 * UNIT, 1000, 4) == 1000);
    start_other(SYS_PWRITEV, "d.img", 1, 1000, 3000);
    sees(0, 9000, 1);
    sees(10 * UNIT, 1000, 4);
    check(writes(20 * UNIT + 100, 5000, 5) == 5000);
    check(writes(10 * UNIT, 500, 6) == 500);
    must_flush(disk);
    check(!said[0], "%s", said);
    check(writes(5000, 100, 7) == -ETIMEDOUT);
    said_who();
    sees(0, 9000, 1);
    must_close(disk);
    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    sees(20 * UNIT + 100, 5000, 5);
}

Test(stopped, in_a_write_and_continued, .init = begin_in_write, .fini = tmp_end)
{
    other_goes_on();
    sees(1000, 3000, 3);
    check(writes(5000, 100, 7) == 100);
    must_close(disk);
    files_have(1000, 3000, 3);
    files_have(5000, 100, 7);
    files_have(10 * UNIT + 500, 500, 4);
    files_have(20 * UNIT + 100, 5000, 5);
}

Test(stopped, in_a_write_and_killed, .init = begin_in_write, .fini = tmp_end)
{
    other_is_killed();
    check(writes(3900, 200, 7) == 200);
    must_close(disk);
    files_have(3900, 200, 7);
    files_have(20 * UNIT + 100, 5000, 5);
}

/* In a flush: who flushes too waits in vain, but reads and writes do not. */
Test(stopped, in_a_flush, .init = begin, .fini = tmp_end)
{
    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    start_other(SYS_FDATASYNC, "d.img", 1, 1000, 3000);
    sees(1000, 3000, 3);
    check(writes(5000, 100, 7) == 100);
    check(acow_flush(disk) == -ETIMEDOUT);
    said_who();
    must_close(disk);
    other_goes_on();
    files_have(1000, 3000, 3);
    files_have(5000, 100, 7);
}

/* Where taking part begins: opening and closing wait in vain; an open disk goes on. */
Test(stopped, in_an_open, .init = begin, .fini = tmp_end)
{
    struct acow_disk *second;

    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    start_other(SYS_STAT, "d.add-cow.run", 2, 1000, 3000);
    check(writes(5000, 100, 7) == 100);
    must_flush(disk);
    check(writes(9000, 100, 8) == 100);
    check(acow_open(&listening, "d.add-cow", ACOW_RDWR, &second, &msg) == -ETIMEDOUT);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    said_who();
    said[0] = '\0';
    check(acow_close(disk, &msg) == -ETIMEDOUT);
    said_who();
    other_goes_on();
    files_have(1000, 3000, 3);
    files_have(5000, 100, 7);
    files_have(9000, 100, 8);
}

Test(stopped, in_an_open_and_killed, .init = begin, .fini = tmp_end)
{
    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    start_other(SYS_STAT, "d.add-cow.run", 2, 1000, 3000);
    check(writes(9000, 100, 8) == 100);
    other_is_killed();
    must_close(disk);
    files_have(9000, 100, 8);
}

/* A lock that is only held for long, by who is at work, is waited for. */
static struct {
    pthread_mutex_t lock;
    int held;
} *shared;

Test(stopped, nobody_is, .init = begin, .fini = tmp_end)
{
    pthread_mutexattr_t attr;

    wait_patience = 0;
    disk = must_open(&listening, "d.add-cow", ACOW_RDWR);
    shared = shared_memory(sizeof(*shared));
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->lock, &attr);
    pid = fork_child();
    if (pid == 0) {
        pthread_mutex_lock(&shared->lock);
        __atomic_store_n(&shared->held, 1, __ATOMIC_RELEASE);
        usleep(350000);
        pthread_mutex_unlock(&shared->lock);
        _exit(0);
    }
    while (!__atomic_load_n(&shared->held, __ATOMIC_ACQUIRE))
        usleep(1000);
    check(wait_mutex(disk, &shared->lock, false) == 0);
    pthread_mutex_unlock(&shared->lock);
    check(wait_child(pid) == 0 && !said[0]);
    must_close(disk);
}
