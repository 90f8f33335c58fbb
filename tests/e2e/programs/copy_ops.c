/*
 * Copying within the kernel: to, from and within a file, through pipes and sockets; what is
 * refused, what moves the file offsets, what is interrupted.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "copying.h"

static void do_errors(const char *path)
{
    int r = must_open(path, O_RDONLY), w = must_open(path, O_WRONLY), a = must_open(path, O_WRONLY | O_APPEND);
    int f = must_open(path, O_RDWR), m = other(5000), dir = must_open(".", O_RDONLY | O_DIRECTORY), p[2];
    int o = open(path, O_PATH), volatile_bad = 999, *volatile none = NULL;
    loff_t x, y, *nowhere = (loff_t *)(none + 2);
    struct iovec iov = { buf, 10 };

    pipe_of(p, O_NONBLOCK);
    said("sendfile append", sendfile(a, m, NULL, 10));
    said("sendfile append none", sendfile(a, r, NULL, 0));
    said("sendfile out of an appending one", sendfile(f, a, NULL, 0));
    said("sendfile modes", sendfile(r, f, NULL, 10));
    said("sendfile modes", sendfile(m, w, NULL, 0));
    said("sendfile none", sendfile(m, r, NULL, 0));
    said("sendfile bad", sendfile(volatile_bad, r, NULL, 1));
    said("sendfile bad", sendfile(f, volatile_bad, NULL, 1));
    said("sendfile O_PATH", sendfile(o, r, NULL, 1));
    said("sendfile directory", sendfile(f, dir, NULL, 1));
    said("sendfile from a pipe", sendfile(f, p[0], NULL, 1));
    said("sendfile from a pipe", sendfile(f, p[0], (x = 0, &x), 1));
    said("sendfile to the wrong end", sendfile(p[0], r, NULL, 1));
    said("sendfile negative", sendfile(m, r, (x = -1, &x), 1));
    said("sendfile negative length", sendfile(m, r, NULL, (size_t)-1));
    said("sendfile nowhere", sendfile(m, r, nowhere, 1));
    said("sendfile past the end", sendfile(m, r, (x = 1 << 30, &x), 100));
    said("offset", x);
    said("splice no pipe", splice(r, NULL, m, NULL, 10, 0));
    said("splice no pipe", splice(r, NULL, f, NULL, 10, 0));
    said("splice modes", splice(w, NULL, p[1], NULL, 10, 0));
    said("splice modes", splice(p[0], NULL, r, NULL, 10, 0));
    said("splice wrong end", splice(p[1], NULL, f, NULL, 10, 0));
    said("splice offset of a pipe", splice(r, NULL, p[1], (x = 0, &x), 10, 0));
    said("splice offset of a pipe", splice(p[0], &x, f, NULL, 10, 0));
    said("splice append", splice(p[0], NULL, a, NULL, 10, 0));
    said("splice empty", splice(p[0], NULL, f, NULL, 10, 0));
    said("splice bad", splice(p[0], NULL, volatile_bad, NULL, 10, 0));
    said("splice bad", splice(volatile_bad, NULL, f, NULL, 10, 0));
    said("splice none", splice(volatile_bad, NULL, f, NULL, 0, 0));
    said("splice flags", splice(r, NULL, p[1], NULL, 10, 16));
    said("splice negative", splice(r, (x = -1, &x), p[1], NULL, 10, 0));
    said("splice negative", splice(p[0], NULL, f, (x = -1, &x), 10, 0));
    said("splice nowhere", splice(r, nowhere, p[1], NULL, 10, 0));
    said("splice past the end", splice(r, (x = 1 << 30, &x), p[1], NULL, 10, 0));
    said("tee", tee(r, p[1], 10, 0));
    said("tee modes", tee(w, p[1], 10, 0));
    said("tee modes", tee(p[0], r, 10, 0));
    said("tee none", tee(r, p[1], 0, 0));
    said("tee flags", tee(r, p[1], 10, 16));
    said("tee bad", tee(r, volatile_bad, 10, 0));
    said("vmsplice", vmsplice(r, &iov, 1, 0));
    said("vmsplice", vmsplice(f, &iov, 1, 0));
    said("range append", copy_file_range(r, NULL, a, NULL, 10, 0));
    said("range modes", copy_file_range(w, NULL, f, NULL, 10, 0));
    said("range modes", copy_file_range(f, NULL, r, NULL, 10, 0));
    said("range flags", copy_file_range(r, NULL, f, NULL, 10, 1));
    said("range directory", copy_file_range(r, NULL, dir, NULL, 10, 0));
    said("range pipe", copy_file_range(r, NULL, p[1], NULL, 10, 0));
    said("range bad", copy_file_range(r, NULL, volatile_bad, NULL, 10, 0));
    said("range overlap", copy_file_range(r, NULL, f, (y = 50, &y), 100, 0));
    said("range itself", copy_file_range(f, NULL, f, NULL, 1, 0));
    said("range none", copy_file_range(f, NULL, f, NULL, 0, 0));
    said("range negative", copy_file_range(r, (x = -1, &x), f, (y = 50000, &y), 100, 0));
    said("range negative", copy_file_range(r, (x = -500, &x), f, (y = 50000, &y), 100, 0));
    said("range negative", copy_file_range(r, (x = 0, &x), f, (y = -500, &y), 100, 0));
    said("range too long", copy_file_range(r, (x = 5, &x), f, (y = 50000, &y), (size_t)-1, 0));
    said("range nowhere", copy_file_range(r, nowhere, f, NULL, 10, 0));
    said("range past the end", copy_file_range(r, (x = 1 << 30, &x), f, NULL, 10, 0));
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    said("splice nobody reads", splice(r, NULL, p[1], NULL, 10, 0));
    said("sendfile nobody reads", sendfile(p[1], r, NULL, 10));
    offset_of("reader", r);
    offset_of("writer", f);
}

static void do_send(const char *path)
{
    int f = must_open(path, O_RDWR), m = other(70001), zero = must_open("/dev/zero", O_RDONLY);
    off_t x = 1000;

    said("out", sendfile(m, f, NULL, 777));
    offset_of("in", f);
    offset_of("out", m);
    said("out at", sendfile(m, f, &x, 40000));
    said("offset", x);
    offset_of("in", f);
    content("there", m);
    errno = 4321;
    said("in, and errno is kept", sendfile(f, m, (x = 0, &x), 100));
    said("splice and no room", splice(f, NULL, m, NULL, 0, 0));
    said("errno", errno);
    lseek(m, 333, SEEK_SET);
    lseek(f, 511, SEEK_SET);
    said("in", sendfile(f, m, NULL, 5000));
    offset_of("in", m);
    offset_of("out", f);
    said("in at", sendfile(f, m, (x = 100, &x), 3));
    said("offset", x);
    said("in by number", syscall(SYS_sendfile, f, m, &x, 2000));
    lseek(f, -100, SEEK_END);
    said("in, over the end", sendfile(f, m, (x = 0, &x), 30000));
    offset_of("out", f);
    said("out, to the end", sendfile(m, f, (x = 1000, &x), 1 << 30));
    said("at the end", sendfile(m, f, &x, 1 << 30));
    content("there", m);
    lseek(f, 60000, SEEK_SET);
    said("within", sendfile(f, f, (x = 100, &x), 9000));
    offset_of("within", f);
    /* Not every kernel has this. */
    if (sendfile(m, zero, NULL, 10) == 10)
        said("zeros", sendfile(f, zero, NULL, 5000));
    content("here", f);
}

static void do_range(const char *path)
{
    int f = must_open(path, O_RDWR), r = must_open(path, O_RDONLY), m = other(50001);
    loff_t x = 700, y = 1300;

    said("out", copy_file_range(f, NULL, m, NULL, 5000, 0));
    offset_of("in", f);
    offset_of("out", m);
    said("out at", copy_file_range(f, &x, m, &y, 60000, 0));
    printf("%lld %lld\n", (long long)x, (long long)y);
    content("there", m);
    said("in at", copy_file_range(m, (x = 77, &x), f, (y = 1021, &y), 33333, 0));
    printf("%lld %lld\n", (long long)x, (long long)y);
    said("within", copy_file_range(r, (x = 0, &x), f, (y = 40003, &y), 40000, 0));
    said("within one descriptor", copy_file_range(f, (x = 90000, &x), f, (y = 10, &y), 500, 0));
    said("by number", syscall(SYS_copy_file_range, f, &x, f, &y, 500l, 0));
    lseek(f, 4000, SEEK_SET);
    said("in", copy_file_range(m, (x = 0, &x), f, NULL, 100, 0));
    offset_of("out", f);
    y = lseek(f, 0, SEEK_END) + 5000;
    said("beyond the end", copy_file_range(m, (x = 0, &x), f, &y, 700, 0));
    said("to the end", copy_file_range(f, (x = 100000, &x), m, (y = 0, &y), 1 << 30, 0));
    said("at the end", copy_file_range(f, &x, m, &y, 1 << 30, 0));
    content("there", m);
    content("here", f);
}

static void do_splice(const char *path)
{
    int f = must_open(path, O_RDWR), p[2];
    loff_t x = 300;

    pipe_of(p, 0);
    said("out", splice(f, NULL, p[1], NULL, 900, SPLICE_F_MOVE));
    offset_of("in", f);
    drain("through", p[0], 900);
    for (int i = 0; i < 5; i++) {
        ssize_t n = splice(f, &x, p[1], NULL, 20000, SPLICE_F_MORE);

        said("out at", n);
        drain("through", p[0], (size_t)n);
    }
    said("offset", x);
    said("write", write(p[1], big, 3000));
    lseek(f, 1000, SEEK_SET);
    said("in", splice(p[0], NULL, f, NULL, 600, 0));
    offset_of("out", f);
    said("in at", splice(p[0], NULL, f, (x = 5003, &x), 10000, SPLICE_F_NONBLOCK));
    said("offset", x);
    said("empty", splice(p[0], NULL, f, NULL, 600, SPLICE_F_NONBLOCK));
    x = lseek(f, 0, SEEK_END) + 777;
    said("write", write(p[1], big, 3000));
    said("beyond the end", syscall(SYS_splice, p[0], NULL, f, &x, 3000l, 0));
    said("tell", splice(f, (x -= 5, &x), p[1], NULL, 600, 0));
    drain("through", p[0], 5);
    close(p[1]);
    said("nobody writes", splice(p[0], NULL, f, NULL, 600, 0));
    content("here", f);
}

/* A pipe that is full, or empty, with and without waiting: what fits is moved, and nothing is lost. */
static void do_full(const char *path)
{
    int f = must_open(path, O_RDWR), p[2], q[2], status;
    off_t x = 0;
    ssize_t n, total = 0;

    pipe_of(p, 0);
    while ((n = splice(f, &x, p[1], NULL, 1 << 20, SPLICE_F_NONBLOCK)) > 0)
        total += n;
    said("full", n);
    printf("as much as the offset says: %d\n", total == x);
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    said("full", splice(f, &x, p[1], NULL, 100, 0));
    said("full", sendfile(p[1], f, &x, 100));
    printf("offset still there: %d\n", total == x);
    drain("through", p[0], (size_t)total);
    fcntl(p[1], F_SETFL, 0);
    /* One sends all it has; the other takes it in small pieces. */
    pipe_of(q, 0);
    fflush(stdout);
    if (fork() == 0) {
        close(p[0]);
        lseek(f, 0, SEEK_SET);
        for (x = 0; (n = x % 3 ? splice(f, &x, p[1], NULL, 50000, 0) : sendfile(p[1], f, &x, 50000)) > 0;)
            ;
        _exit(n < 0);
    }
    close(p[1]);
    total = 0;
    while ((n = read(p[0], big + total, 3001)) > 0)
        total += n;
    printf("received %zd %08x\n", total, sum(big, total));
    wait(&status);
    said("child", status);
    fflush(stdout);
    if (fork() == 0) {
        close(q[0]);
        for (ssize_t at = 0; at < total; at += n)
            if ((n = write(q[1], big + total - at - (total - at < 999 ? total - at : 999),
                           total - at < 999 ? (size_t)(total - at) : 999)) <= 0)
                _exit(1);
        _exit(0);
    }
    close(q[1]);
    for (x = 0; (n = splice(q[0], NULL, f, &x, 1 << 20, 0)) > 0;)
        ;
    said("all", x);
    wait(&status);
    said("child", status);
    content("here", f);
}

static void do_sockets(const char *path)
{
    int f = must_open(path, O_RDWR), s[2], status;
    off_t x = 0;
    ssize_t n, total = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
        exit(1);
    fcntl(s[1], F_SETFL, O_NONBLOCK);
    while ((n = sendfile(s[1], f, &x, 1 << 30)) > 0)
        total += n;
    printf("%zd as the offset says: %d\n", n, total == x);
    drain("received", s[0], (size_t)total);
    fcntl(s[1], F_SETFL, 0);
    fflush(stdout);
    if (fork() == 0) {
        close(s[0]);
        lseek(f, 1000, SEEK_SET);
        n = sendfile(s[1], f, NULL, 120000);
        _exit(n != 120000 || lseek(f, 0, SEEK_CUR) != 121000);
    }
    close(s[1]);
    drain("received", s[0], BIG);
    wait(&status);
    said("child", status);
    offset_of("in", f);
}

static void do_big(const char *path)
{
    int f = must_open(path, O_RDWR), m = other(BIG - 12345);
    off_t x = 0;
    loff_t a = 0, b = 1;

    lseek(f, 10001, SEEK_SET);
    said("in", sendfile(f, m, &x, BIG));
    content("here", f);
    lseek(m, 7, SEEK_SET);
    said("out", sendfile(m, f, (x = 3, &x), BIG));
    said("range out", copy_file_range(f, &a, m, &b, 2 << 20, 0));
    said("range in", copy_file_range(m, (a = 5, &a), f, (b = 500001, &b), 2 << 20, 0));
    content("there", m);
    content("here", f);
}

static volatile sig_atomic_t hits;

static void on_signal(int number)
{
    (void)number;
    hits++;
}

static int gf, gp[2];
static pid_t waiter_tid;

static void *waiter(void *arg)
{
    __atomic_store_n(&waiter_tid, gettid(), __ATOMIC_RELEASE);
    said("waited", arg ? splice(gf, NULL, gp[1], NULL, 100, 0) : splice(gp[0], NULL, gf, NULL, 100, 0));
    return NULL;
}

static pid_t main_tid;

static void *alarmer(void *arg)
{
    wait_asleep(main_tid);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

/* A signal while it waits; and a thread that is cancelled then. */
static void do_waiting(const char *path)
{
    struct sigaction sa = { .sa_handler = on_signal };
    pthread_t me = pthread_self(), thread;
    void *result;

    gf = must_open(path, O_RDWR);
    pipe_of(gp, 0);
    main_tid = gettid();
    sigaction(SIGUSR1, &sa, NULL);
    pthread_create(&thread, NULL, alarmer, &me);
    said("interrupted", splice(gp[0], NULL, gf, NULL, 100, 0));
    pthread_join(thread, NULL);
    said("handled", hits);
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread, NULL, waiter, i ? "out" : NULL);
        while (!__atomic_load_n(&waiter_tid, __ATOMIC_ACQUIRE))
            ;
        wait_asleep(waiter_tid);
        waiter_tid = 0;
        pthread_cancel(thread);
        pthread_join(thread, &result);
        said("cancelled", result == PTHREAD_CANCELED);
        while (splice(gf, NULL, gp[1], NULL, 4096, SPLICE_F_NONBLOCK) > 0)
            ;
    }
    pthread_create(&thread, NULL, alarmer, &me);
    said("interrupted", splice(gf, NULL, gp[1], NULL, 100, 0));
    pthread_join(thread, NULL);
    offset_of("file", gf);
    said("close", close(gf));
}

static const struct mode modes[] = {
    { "errors", do_errors }, { "send", do_send }, { "range", do_range }, { "splice", do_splice },
    { "full", do_full }, { "sockets", do_sockets }, { "big", do_big }, { "waiting", do_waiting },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
