/*
 * Files used at odd times: by a library's constructors and destructors, which run before and after any
 * other code, by what a program leaves to be done at its end, by signal handlers, by threads that are cancelled.
 * `time_ops MODE FILE`. With -DLIBRARY it is the library.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <unistd.h>

#include "ops.h"

#ifdef LIBRARY

static int kept = -1;
static FILE *stream;

static void __attribute__((constructor)) early(void)
{
    const char *path = getenv("TIME_FILE");
    int fd = must_open(path, O_RDWR);

    got("early read", pread(fd, buf, 700, 100));
    said("early write", pwrite(fd, "early", 5, 3000));
    close(fd);
    kept = must_open(path, O_RDWR);
    lseek(kept, 7000, SEEK_SET);
    said("early write", write(kept, "kept", 4));
    stream = must_fopen(path, "r+");
    fseek(stream, 9000, SEEK_SET);
    fputs("buffered", stream);
    fflush(stdout);
}

static void __attribute__((destructor)) late(void)
{
    int fd = must_open(getenv("TIME_FILE"), O_RDWR);

    said("late write", write(kept, "late", 4));
    got("late read", pread(fd, buf, 100, 6990));
    said("late write", pwrite(fd, "the very end", 12, 11000));
    said("late fsync", fsync(fd));
    said("late write", pwrite(fd, "and after", 9, 13000));
    fflush(stdout);
}

int library_descriptor(void)
{
    return kept;
}

#else

static const char *name;

static void do_plain(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("write", pwrite(fd, "main", 4, 5000));
}

/* ---- the end of a process ------------------------------------------------ */

static int left_open = -1;
static pthread_key_t key;

static void at_end(void)
{
    int fd = must_open(name, O_RDWR);

    said("at exit", pwrite(left_open, "at exit", 7, 20000));
    got("at exit", pread(fd, buf, 100, 19990));
    said("at exit", pwrite(fd, "opened", 6, 21000));
    fflush(stdout);
}

static void at_quick_end(void)
{
    said("at quick exit", pwrite(left_open, "quick", 5, 22000));
    fflush(stdout);
}

static void at_thread_end(void *unused)
{
    (void)unused;
    said("thread's end", pwrite(left_open, "thread", 6, 23000));
}

static void begin(const char *path)
{
    name = path;
    left_open = must_open(path, O_RDWR);
    said("write", pwrite(left_open, "begin", 5, 40000));
}

static void do_atexit(const char *path)
{
    begin(path);
    atexit(at_end);
}

static void do_quick_exit(const char *path)
{
    begin(path);
    atexit(at_end);
    at_quick_exit(at_quick_end);
    quick_exit(3);
}

static void do__exit(const char *path)
{
    begin(path);
    atexit(at_end);
    fflush(stdout);
    _exit(4);
}

static void *exit_there(void *unused)
{
    (void)unused;
    pthread_setspecific(key, buf);
    exit(5);
}

static void *end_there(void *unused)
{
    pthread_setspecific(key, buf);
    return unused;
}

static void do_threads(const char *path)
{
    pthread_t thread;

    begin(path);
    atexit(at_end);
    pthread_key_create(&key, at_thread_end);
    pthread_create(&thread, NULL, end_there, NULL);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, exit_there, NULL);
    pthread_join(thread, NULL);
}

/* The main thread ends, and another goes on. */
static void *go_on(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    said("alone", pwrite(left_open, "alone", 5, 24000));
    exit(6);
}

static void do_main_ends(const char *path)
{
    static pthread_t self;
    pthread_t thread;

    begin(path);
    self = pthread_self();
    pthread_create(&thread, NULL, go_on, &self);
    pthread_exit(NULL);
}

/* ---- signals --------------------------------------------------------------- */

static volatile sig_atomic_t bad, hits;
static volatile bool stop;

static void use_in_handler(int number)
{
    int saved = errno;
    char byte[3000];

    (void)number;
    hits++;
    if (pread(left_open, byte, sizeof(byte), 100) != sizeof(byte))
        bad++;
    if (pwrite(left_open, "h", 1, 50000) != 1)
        bad++;
    if (lseek(left_open, 0, SEEK_CUR) < 0)
        bad++;
    errno = saved;
}

static void set_timer(long us)
{
    struct itimerval every = { { 0, us }, { 0, us } };

    setitimer(ITIMER_REAL, &every, NULL);
}

/* The handler writes where the file has its own bytes by then. */
static void do_signals(const char *path)
{
    struct sigaction sa = { .sa_handler = use_in_handler, .sa_flags = SA_RESTART };
    char block[4096];

    begin(path);
    said("before", pwrite(left_open, "h", 1, 50000));
    memset(block, 'b', sizeof(block));
    sigaction(SIGALRM, &sa, NULL);
    set_timer(100);
    while (hits < 2000)
        for (int i = 0; i < 25; i++)
            if (pwrite(left_open, block, sizeof(block), 60000 + i * 4096) != sizeof(block)
                || pread(left_open, block, sizeof(block), 60000 + i * 4096) != sizeof(block))
                bad++;
    set_timer(0);
    said("bad", bad);
}

/* Lines that go through one offset, from both. */
static void log_in_handler(int number)
{
    int saved = errno;

    (void)number;
    hits++;
    if (write(left_open, "handler\n", 8) != 8)
        bad++;
    errno = saved;
}

static void do_signal_log(const char *path)
{
    struct sigaction sa = { .sa_handler = log_in_handler, .sa_flags = SA_RESTART };
    int main_lines = 0, lines[2] = { 0 }, torn = 0;
    sigset_t alarm;
    FILE *f;

    begin(path);
    memset(buf, 'x', sizeof(buf));
    for (int i = 0; i < 12; i++)
        (void)!write(left_open, buf, sizeof(buf));
    fsync(left_open);
    lseek(left_open, 0, SEEK_SET);
    sigaction(SIGALRM, &sa, NULL);
    set_timer(50);
    while (hits < 3000 && main_lines < 30000) {
        if (write(left_open, "main....\n", 9) != 9)
            bad++;
        main_lines++;
    }
    set_timer(0);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm, NULL);
    off_t end = lseek(left_open, 0, SEEK_CUR);
    said("all of it", end == 8l * hits + 9l * main_lines);
    f = must_fopen(path, "r");
    while (ftell(f) < end && fgets(buf, 100, f)) {
        if (!strcmp(buf, "handler\n"))
            lines[0]++;
        else if (!strcmp(buf, "main....\n"))
            lines[1]++;
        else
            torn++;
    }
    said("handler's", lines[0] == hits);
    said("main's", lines[1] == main_lines);
    said("torn", torn);
    said("bad", bad);
    fclose(f);
    said("truncate", ftruncate(left_open, 1000));
    memset(buf, 'e', 1000);
    said("write", pwrite(left_open, buf, 1000, 0));
}

/* ---- cancellation ------------------------------------------------------------ */

static bool asynchronous;

static void *use_for_ever(void *number)
{
    char block[2000];

    memset(block, 'c', sizeof(block));
    if (asynchronous)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (int i = 0;; i++) {
        off_t at = 60000 + 10000 * (intptr_t)number;

        if (pwrite(left_open, block, sizeof(block), at + i % 40 * 100) != sizeof(block)
            || pread(left_open, block, sizeof(block), at) != sizeof(block))
            __atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void cancel_many(const char *path)
{
    int rounds = 0, cancelled = 0;

    begin(path);
    for (; rounds < 200; rounds++) {
        int fd = must_open(path, O_RDWR);
        pthread_t thread;
        void *result;

        dup2(fd, left_open);
        pthread_create(&thread, NULL, use_for_ever, (void *)(intptr_t)(rounds % 8));
        for (int seen = hits; rounds % 4 && hits == seen;)
            sched_yield();
        pthread_cancel(thread);
        pthread_join(thread, &result);
        cancelled += result == PTHREAD_CANCELED;
        bad += pwrite(fd, "after", 5, 60000 + 10000 * (rounds % 8)) != 5;
        bad += fsync(fd) != 0;
        bad += ftruncate(fd, 200000) != 0;
        close(fd);
    }
    said("cancelled", cancelled);
    said("bad", bad);
    /* How far each came is anybody's guess. */
    memset(buf, 'e', sizeof(buf));
    said("write", pwrite(left_open, buf, 60000, 60000));
    said("write", pwrite(left_open, buf, 60000, 120000));
    close(left_open);
    said("next number", must_open(path, O_RDONLY));
}

static void do_cancel(const char *path)
{
    cancel_many(path);
}

static void do_cancel_asynchronous(const char *path)
{
    asynchronous = true;
    cancel_many(path);
}

static void *read_once(void *state)
{
    char block[100];

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (!stop)
        sched_yield();
    *(int *)state = 1;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    (void)!pread(left_open, block, sizeof(block), 0);
    *(int *)state = 2;
    return NULL;
}

/* A request that is pending is granted at the next call. */
static void do_cancel_point(const char *path)
{
    pthread_t thread;
    int state = 0;
    void *result;

    begin(path);
    pthread_create(&thread, NULL, read_once, &state);
    pthread_cancel(thread);
    stop = true;
    pthread_join(thread, &result);
    said("state", state);
    said("cancelled", result == PTHREAD_CANCELED);
}

static const struct mode modes[] = {
    { "plain", do_plain }, { "atexit", do_atexit }, { "quick_exit", do_quick_exit }, { "_exit", do__exit },
    { "threads", do_threads }, { "main_ends", do_main_ends }, { "signals", do_signals },
    { "signal_log", do_signal_log }, { "cancel", do_cancel },
    { "cancel_asynchronous", do_cancel_asynchronous }, { "cancel_point", do_cancel_point },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

#endif
