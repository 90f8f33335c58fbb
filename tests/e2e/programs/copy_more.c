/*
 * Copying within the kernel where less goes than is asked for, or where more than one is at it: sectors that
 * lie in turn in several files, limits, O_DIRECT, two readers of one pipe, signals.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "copying.h"

/* Each second sector is written, so that no file has two in a row. */
static int alternate(const char *path)
{
    int f = must_open(path, O_RDWR);

    for (int i = 0; i < 400; i++) {
        memset(buf, 'A' + i % 26, 512);
        if (pwrite(f, buf, 512, i * 1024) != 512)
            exit(1);
    }
    return f;
}

static void do_mixed(const char *path)
{
    int f = alternate(path), m = other(1000), p[2];
    loff_t x, y;
    off_t z;

    pipe_of(p, 0);
    said("send", sendfile(m, f, (z = 100, &z), 300001));
    said("range", copy_file_range(f, (x = 1500, &x), m, (y = 300, &y), 90000, 0));
    content("there", m);
    said("splice", splice(f, (x = 3000, &x), p[1], NULL, 20001, 0));
    drain("through", p[0], 20001);
    said("send to a pipe", sendfile(p[1], f, (z = 700, &z), 20001));
    drain("through", p[0], 20001);
    said("write", write(p[1], big, 30000));
    said("splice", splice(p[0], NULL, f, (x = 4000, &x), 30000, 0));
    said("send", sendfile(f, m, (z = 0, &z), 10000));
    said("range", copy_file_range(m, (x = 0, &x), f, (y = 50001, &y), 20000, 0));
    said("within", copy_file_range(f, (x = 100, &x), f, (y = 200100, &y), 100000, 0));
    said("next to itself", copy_file_range(f, (x = 0, &x), f, (y = 1000, &y), 1000, 0));
    said("over itself", copy_file_range(f, (x = 0, &x), f, (y = 999, &y), 1000, 0));
    content("here", f);
}

/* ---- two who read one pipe ------------------------------------------------------------- */

#define BLOCKS 600

static int gp[2];
static const char *gpath;

/* Takes what it gets to its own part of the file; returns how much that was. */
static void *take(void *from)
{
    int f = must_open(gpath, O_RDWR);
    loff_t at = (intptr_t)from;
    ssize_t n;

    while ((n = splice(gp[0], NULL, f, &at, 8192, 0)) > 0)
        ;
    if (n < 0)
        printf("splice: %s\n", strerror(errno));
    close(f);
    return (void *)(intptr_t)(at - (intptr_t)from);
}

/* Each block that went in is in one of the two parts, once. */
static void do_readers(const char *path)
{
    static unsigned seen[BLOCKS];
    int f = must_open(path, O_RDWR), once = 0, status;
    pthread_t thread;
    void *len[2];

    gpath = path;
    pipe_of(gp, 0);
    if (fork() == 0) {
        for (int i = 0; i < BLOCKS; i++) {
            memset(buf, 0, 4096);
            memcpy(buf, &i, sizeof(i));
            if (write(gp[1], buf, 4096) != 4096)
                _exit(1);
        }
        _exit(0);
    }
    close(gp[1]);
    pthread_create(&thread, NULL, take, (void *)0);
    len[1] = take((void *)(intptr_t)(4 << 20));
    pthread_join(thread, &len[0]);
    wait(&status);
    said("all", (intptr_t)len[0] + (intptr_t)len[1]);
    for (int part = 0; part < 2; part++)
        for (intptr_t at = 0; at < (intptr_t)len[part]; at += 4096) {
            unsigned number = BLOCKS;

            if (pread(f, &number, sizeof(number), (part * (4 << 20)) + at) > 0 && number < BLOCKS)
                seen[number]++;
        }
    for (int i = 0; i < BLOCKS; i++)
        once += seen[i] == 1;
    said("once", once);
    /* Who got which is anybody's guess. */
    said("cut", ftruncate(f, 0));
}

/* ---- limits --------------------------------------------------------------------------------- */

static volatile sig_atomic_t hits;

static void on_signal(int number)
{
    (void)number;
    hits++;
}

static void limit_to(rlim_t size)
{
    struct rlimit limit = { size, RLIM_INFINITY };

    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        exit(1);
}

/* RLIMIT_FSIZE: what does not go stays where it was. */
static void do_limit(const char *path)
{
    int f = alternate(path), m = other(20000), p[2];
    loff_t x = 66000, y;
    off_t z = 0;
    ssize_t n, total = 0;

    signal(SIGXFSZ, on_signal);
    pipe_of(p, 0);
    said("write", write(p[1], big, 8000));
    limit_to(70001);
    said("splice", splice(p[0], NULL, f, &x, 8000, 0));
    said("splice", splice(p[0], NULL, f, &x, 8000, 0));
    said("offset", x);
    said("signals", hits);
    drain("left", p[0], 3999);
    lseek(f, 69000, SEEK_SET);
    said("send", sendfile(f, m, &z, 8000));
    said("send", sendfile(f, m, &z, 8000));
    said("offset", z);
    said("signals", hits);
    said("range", copy_file_range(m, (x = 0, &x), f, (y = 69999, &y), 8000, 0));
    said("range", copy_file_range(m, &x, f, &y, 8000, 0));
    said("signals", hits);
    /* To a pipe there is no limit, but it may be less at a time. */
    limit_to(3000);
    for (x = 100; total < 30000 && (n = splice(f, &x, p[1], NULL, 30000 - (size_t)total, 0)) > 0; total += n)
        ;
    drain("through", p[0], 30000);
    said("signals", hits);
    limit_to(RLIM_INFINITY);
    content("here", f);
}

/* ---- O_DIRECT --------------------------------------------------------------------------------- */

static void do_direct(const char *path)
{
    int f = alternate(path), d = must_open(path, O_RDWR | O_DIRECT), m = other(20480), p[2];
    off_t size = lseek(f, 0, SEEK_END), z;
    loff_t x;

    fsync(f);
    pipe_of(p, 0);
    said("out", splice(d, (x = 4096, &x), p[1], NULL, 8192, 0));
    drain("through", p[0], 8192);
    said("out, not aligned", splice(d, (x = 4095, &x), p[1], NULL, 8192, SPLICE_F_NONBLOCK));
    said("out, at the end", splice(d, (x = size & ~8191, &x), p[1], NULL, 16384, SPLICE_F_NONBLOCK));
    drain("through", p[0], (size_t)(size - (size & ~8191)));
    said("send", sendfile(m, d, (z = 8192, &z), 40960));
    said("write", write(p[1], big, 8192));
    said("in", splice(p[0], NULL, d, (x = 12288, &x), 8192, 0));
    said("write", write(p[1], big, 1000));
    said("in, not aligned", splice(p[0], NULL, d, (x = 0, &x), 1000, 0));
    drain("left", p[0], 1000);
    content("there", m);
    content("here", f);
}

/* ---- signals ------------------------------------------------------------------------------------ */

static pid_t main_tid;

static void *signal_and_write(void *thread)
{
    wait_asleep(main_tid);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    while (!hits)
        sched_yield();
    wait_asleep(main_tid);
    if (write(gp[1], "restarted", 9) != 9)
        exit(1);
    return NULL;
}

static void do_restart(const char *path)
{
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    pthread_t me = pthread_self(), thread;
    int f = must_open(path, O_RDWR);

    sigaction(SIGUSR1, &sa, NULL);
    pipe_of(gp, 0);
    main_tid = gettid();
    pthread_create(&thread, NULL, signal_and_write, &me);
    said("splice", splice(gp[0], NULL, f, NULL, 100, 0));
    pthread_join(thread, NULL);
    said("handled", hits);
    content("here", f);
}

/* ---- cancellation -------------------------------------------------------------------------------- */

static int taken_from;

static void *take_pieces(void *type)
{
    loff_t at = 0;

    pthread_setcanceltype(type ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
    while (splice(gp[0], NULL, taken_from, (at %= 8192, &at), 64, 0) > 0)
        ;
    return NULL;
}

/*
 * Cancelled anywhere, while it moves and while it waits. Who then still had the disk would keep it open: so
 * a lock of its description would still be there.
 */
static void do_cancel(const char *path)
{
    int f = must_open(path, O_RDWR), free_again = 0, cancelled = 0, blocking;

    pipe_of(gp, 0);
    blocking = fcntl(gp[0], F_GETFL);
    memset(buf, 'c', sizeof(buf));
    for (int i = 0; i < 100; i++) {
        struct flock all = { .l_type = F_WRLCK };
        pthread_t thread;
        void *result;

        taken_from = must_open(path, O_RDWR);
        fcntl(taken_from, F_OFD_SETLK, &all);
        pthread_create(&thread, NULL, take_pieces, i % 2 ? "asynchronous" : NULL);
        for (int n = 0; n < i; n++)
            if (write(gp[1], buf, 640) != 640)
                exit(1);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        cancelled += result == PTHREAD_CANCELED;
        close(taken_from);
        all.l_type = F_WRLCK;
        free_again += fcntl(f, F_OFD_SETLK, &all) == 0;
        all.l_type = F_UNLCK;
        fcntl(f, F_OFD_SETLK, &all);
        fcntl(gp[0], F_SETFL, blocking | O_NONBLOCK);
        while (read(gp[0], big, sizeof(big)) > 0)
            ;
        fcntl(gp[0], F_SETFL, blocking);
    }
    said("cancelled", cancelled);
    said("free again", free_again);
    said("write", pwrite(f, buf, 8192 + 64, 0));
}

static const struct mode modes[] = {
    { "mixed", do_mixed }, { "readers", do_readers }, { "limit", do_limit }, { "direct", do_direct },
    { "restart", do_restart }, { "cancel", do_cancel },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
