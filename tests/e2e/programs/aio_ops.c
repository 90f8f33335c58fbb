/*
 * POSIX AIO: all requests, all ways of being told, lists, waiting, calling off, and what
 * else a process does meanwhile. What is printed does not depend on who is faster.
 * `aio_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

#define MANY 32
#define PIECE 1500

static char pieces[MANY][PIECE];
static struct aiocb cbs[MANY];

static struct aiocb *request(int i, int fd, int op, off_t off)
{
    cbs[i] = (struct aiocb){ .aio_fildes = fd, .aio_buf = pieces[i], .aio_nbytes = PIECE,
                             .aio_offset = off, .aio_lio_opcode = op,
                             .aio_sigevent.sigev_notify = SIGEV_NONE };
    if (op == LIO_WRITE)
        memset(pieces[i], 'a' + i, PIECE);
    return &cbs[i];
}

static void finish(const char *what, struct aiocb *cb)
{
    const struct aiocb *list[1] = { cb };
    int error;

    while ((error = aio_error(cb)) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    errno = error;
    printf("%s: error %s, ", what, error ? strerrorname_np(error) : "0");
    printf("return %zd, %08x\n", aio_return(cb),
           cb->aio_buf == pieces[cb - cbs] ? sum(pieces[cb - cbs], PIECE) : 0);
}

static void do_basic(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("read", aio_read(request(0, fd, LIO_NOP, 60000)));
    finish("read", &cbs[0]);
    said("write", aio_write(request(1, fd, LIO_WRITE, 60100)));
    said("fsync", aio_fsync(O_SYNC, request(2, fd, LIO_NOP, 0)));
    said("write", aio_write(request(3, fd, LIO_WRITE, 60200)));
    said("fdatasync", aio_fsync(O_DSYNC, request(4, fd, LIO_NOP, 0)));
    for (int i = 1; i < 5; i++)
        finish("done", &cbs[i]);
    said("read", aio_read(request(5, fd, LIO_NOP, 60000)));
    finish("read", &cbs[5]);
    said("offset", lseek(fd, 0, SEEK_CUR));
    said("read at the end", aio_read(request(6, fd, LIO_NOP, lseek(fd, 0, SEEK_END) - 100)));
    finish("read", &cbs[6]);
    said("read past the end", aio_read(request(7, fd, LIO_NOP, lseek(fd, 0, SEEK_END) + 100)));
    finish("read", &cbs[7]);
    said("write past the end", aio_write(request(8, fd, LIO_WRITE, lseek(fd, 0, SEEK_END) + 700)));
    finish("write", &cbs[8]);
    said("size", lseek(fd, 0, SEEK_END));
}

static void do_many(const char *path)
{
    int fd = must_open(path, O_RDWR), other = must_open(path, O_RDWR);

    for (int i = 0; i < MANY; i++)
        said("write", aio_write(request(i, i % 2 ? fd : other, LIO_WRITE, i * 3000 + 111)));
    said("fsync", aio_fsync(O_SYNC, &(struct aiocb){ .aio_fildes = fd }));
    for (int i = 0; i < MANY; i++)
        finish("write", &cbs[i]);
    for (int i = 0; i < MANY; i++)
        said("read", aio_read(request(i, i % 2 ? fd : other, LIO_NOP, i * 3000)));
    for (int i = MANY - 1; i >= 0; i--)
        finish("read", &cbs[i]);
}

/* On one descriptor requests are done in their order: these overlap. */
static void do_order(const char *path)
{
    int fd = must_open(path, O_RDWR), end = must_open(path, O_WRONLY | O_APPEND);

    for (int i = 0; i < MANY; i++)
        aio_write(request(i, fd, LIO_WRITE, 1000 + i * 100));
    for (int i = 0; i < MANY; i++)
        finish("write", &cbs[i]);
    for (int i = 0; i < MANY; i++)
        aio_write(request(i, end, LIO_WRITE, 0));
    for (int i = 0; i < MANY; i++)
        finish("append", &cbs[i]);
    said("size", lseek(fd, 0, SEEK_END));
}

static void do_errors(const char *path)
{
    int in = must_open(path, O_RDONLY), out = must_open(path, O_WRONLY);
    struct sigevent none = { .sigev_notify = SIGEV_NONE };
    const struct timespec at_once = { 0, 0 };
    const struct aiocb *nothing[2] = { NULL, NULL };
    struct aiocb *one[1] = { &cbs[0] };

    said("write to what is read", aio_write(request(0, in, LIO_WRITE, 0)));
    finish("done", &cbs[0]);
    said("read what is written", aio_read(request(0, out, LIO_NOP, 0)));
    finish("done", &cbs[0]);
    said("sync what is read", aio_fsync(O_SYNC, request(0, in, LIO_NOP, 0)));
    finish("done", &cbs[0]);
    said("no kind of sync", aio_fsync(77, request(0, out, LIO_NOP, 0)));
    said("before the beginning", aio_read(request(0, in, LIO_NOP, -5)));
    finish("done", &cbs[0]);
    request(0, in, LIO_NOP, 0)->aio_reqprio = -1;
    said("priority", aio_read(&cbs[0]));
    said("error", aio_error(&cbs[0]));
    request(0, in, LIO_NOP, 0)->aio_reqprio = 20;
    said("priority", aio_read(&cbs[0]));
    finish("done", &cbs[0]);
    request(0, in, LIO_NOP, 0)->aio_reqprio = 21;
    said("priority", aio_read(&cbs[0]));
    request(0, in, LIO_NOP, 0)->aio_nbytes = 0;
    said("nothing", aio_read(&cbs[0]));
    finish("done", &cbs[0]);
    request(0, in, LIO_NOP, 0)->aio_buf = (void *)8;
    said("nowhere", aio_read(&cbs[0]));
    finish("done", &cbs[0]);
    said("closed", aio_read(request(0, 99, LIO_NOP, 0)));
    finish("done", &cbs[0]);
    said("wait for nothing", aio_suspend(nothing, 2, &at_once));
    said("wait for none", aio_suspend(nothing, 0, &at_once));
    said("list, mode", lio_listio(7, one, 1, &none));
    said("list, empty", lio_listio(LIO_WAIT, one, 0, NULL));
    request(0, in, 55, 0);
    said("list, operation", lio_listio(LIO_WAIT, one, 1, NULL));
    finish("done", &cbs[0]);
    said("list, one fails", lio_listio(LIO_WAIT, (one[0] = request(0, in, LIO_WRITE, 0), one), 1, NULL));
    finish("done", &cbs[0]);
    request(0, in, LIO_READ, 0)->aio_reqprio = -1;
    said("list, one is refused", lio_listio(LIO_WAIT, one, 1, NULL));
    said("cancel, closed", aio_cancel(99, NULL));
    said("cancel, none", aio_cancel(in, NULL));
    said("cancel, done", aio_cancel(in, (request(0, in, LIO_READ, 0), aio_read(&cbs[0]),
                                         finish("read", &cbs[0]), &cbs[0])));
}

/* ---- being told ------------------------------------------------------------ */

static sem_t told;
static volatile sig_atomic_t told_value, told_code, told_count;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    told_value += info->si_value.sival_int;
    told_code = info->si_code;
    told_count++;
    if (info->si_pid != getpid())
        told_count += 1000;
    sem_post(&told);
}

static void on_thread(union sigval value)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    __atomic_fetch_add(&told_value, value.sival_int, __ATOMIC_RELAXED);
    if (sigismember(&mask, SIGUSR1))
        __atomic_fetch_add(&told_value, 100000, __ATOMIC_RELAXED);
    sem_post(&told);
}

static void wait_told(int times)
{
    while (times-- > 0)
        while (sem_wait(&told) < 0)
            ;
    printf("told: value %d code %d count %d\n", (int)told_value, (int)told_code, (int)told_count);
}

static struct sigevent by(int how, int value)
{
    struct sigevent sig = { .sigev_notify = how, .sigev_value.sival_int = value };

    if (how == SIGEV_SIGNAL)
        sig.sigev_signo = SIGRTMIN + 1;
    else
        sig.sigev_notify_function = on_thread;
    return sig;
}

static void tell(const char *path, int how)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    int fd = must_open(path, O_RDWR);
    struct aiocb *list[MANY];
    struct sigevent sig;

    sem_init(&told, 0, 0);
    sigaction(SIGRTMIN + 1, &action, NULL);
    for (int i = 0; i < 8; i++) {
        request(i, fd, LIO_WRITE, i * 5000)->aio_sigevent = by(how, 1 << i);
        said("write", aio_write(&cbs[i]));
    }
    wait_told(8);
    for (int i = 0; i < 8; i++)
        finish("write", &cbs[i]);
    request(0, fd, LIO_NOP, 0)->aio_sigevent = by(how, 1000);
    said("fsync", aio_fsync(O_SYNC, &cbs[0]));
    wait_told(1);
    finish("fsync", &cbs[0]);
    for (int i = 0; i < 8; i++)
        list[i] = request(i, fd, i % 2 ? LIO_READ : LIO_WRITE, i * 4000);
    list[3]->aio_lio_opcode = LIO_NOP;
    list[5] = NULL;
    sig = by(how, 10000);
    said("list", lio_listio(LIO_NOWAIT, list, 8, &sig));
    wait_told(1);
    for (int i = 0; i < 8; i++)
        if (i != 3 && i != 5)
            finish("list", &cbs[i]);
    cbs[0].aio_sigevent = by(how, 20000);
    said("list", lio_listio(LIO_WAIT, list, 8, NULL));
    wait_told(1);
    said("list", lio_listio(LIO_NOWAIT, &list[3], 1, &sig));
    wait_told(1);
}

static void do_signal(const char *path)
{
    tell(path, SIGEV_SIGNAL);
}

static void do_thread(const char *path)
{
    tell(path, SIGEV_THREAD);
}

/* ---- with others ------------------------------------------------------------- */

static void do_lists(const char *path)
{
    int fd = must_open(path, O_RDWR), plain = must_open("aio.plain", O_RDWR | O_CREAT), pair[2];
    struct aiocb *list[MANY];
    const struct aiocb *waited[MANY];
    struct timespec soon = { 0, 20000000 };
    int error;

    for (int i = 0; i < MANY; i++)
        list[i] = request(i, i % 3 ? fd : plain, LIO_WRITE, i * 2000);
    said("list", lio_listio(LIO_WAIT, list, MANY, NULL));
    for (int i = 0; i < MANY; i++)
        finish("list", list[i]);
    /* A request that will not be done until something is written, and one that will. */
    said("pipe", pipe(pair));
    waited[0] = request(0, pair[0], LIO_READ, 0);
    cbs[0].aio_nbytes = 3;
    said("read", aio_read(&cbs[0]));
    said("wait", aio_suspend(waited, 1, &soon));
    waited[1] = request(1, fd, LIO_READ, 777);
    said("read", aio_read(&cbs[1]));
    said("wait", aio_suspend(waited, 2, NULL));
    printf("pipe: %s\n", strerrorname_np(aio_error(&cbs[0])));
    said("write", write(pair[1], "abc", 3));
    finish("pipe", &cbs[0]);
    finish("read", &cbs[1]);
    /* The same in a list with a disk. */
    list[0] = request(0, pair[0], LIO_READ, 0);
    cbs[0].aio_nbytes = 3;
    list[1] = request(1, fd, LIO_READ, 777);
    list[2] = request(2, plain, LIO_READ, 777);
    said("list", lio_listio(LIO_NOWAIT, list, 3, NULL));
    finish("read", &cbs[1]);
    finish("read", &cbs[2]);
    waited[0] = &cbs[0];
    said("wait", aio_suspend(waited, 1, &soon));
    error = aio_error(&cbs[0]);
    printf("pipe: %s\n", error ? strerrorname_np(error) : "0");
    said("write", write(pair[1], "def", 3));
    finish("pipe", &cbs[0]);
    unlink("aio.plain");
}

/* Every request is either done or called off, and is what it says. */
static void do_cancel(const char *path)
{
    int fd = must_open(path, O_RDWR), bad = 0, r;

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < MANY; i++)
            aio_write(request(i, fd, LIO_WRITE, i * PIECE));
        r = aio_cancel(fd, round % 2 ? &cbs[MANY - 1] : NULL);
        bad += r != AIO_CANCELED && r != AIO_NOTCANCELED && r != AIO_ALLDONE;
        for (int i = 0; i < MANY; i++) {
            const struct aiocb *list[1] = { &cbs[i] };
            int error;

            while ((error = aio_error(&cbs[i])) == EINPROGRESS)
                aio_suspend(list, 1, NULL);
            bad += error == 0 ? aio_return(&cbs[i]) != PIECE
                              : error != ECANCELED || aio_return(&cbs[i]) != -1;
            bad += round % 2 && i < MANY - 1 && error != 0;
        }
    }
    printf("bad results: %d\n", bad);
    said("other number", aio_cancel(fd, (request(0, fd + 1, LIO_READ, 0), &cbs[0])));
    for (int i = 0; i < MANY; i++)
        said("write", pwrite(fd, pieces[i], PIECE, i * PIECE));
}

static void do_fork(const char *path)
{
    int fd = must_open(path, O_RDWR), bad = 0;

    for (int round = 0; round < 20; round++) {
        int status = 0;
        pid_t pid;

        for (int i = 0; i < MANY; i++)
            aio_write(request(i, fd, LIO_WRITE, (i + round) * PIECE));
        pid = fork();
        if (pid == 0) {
            /* libc's aio hangs in such a child. */
            _exit(pread(fd, buf, 100, 0) == 100 && close(fd) == 0 ? 7 : 1);
        }
        waitpid(pid, &status, 0);
        bad += status != 7 << 8;
        for (int i = 0; i < MANY; i++) {
            const struct aiocb *list[1] = { &cbs[i] };

            while (aio_error(&cbs[i]) == EINPROGRESS)
                aio_suspend(list, 1, NULL);
            bad += aio_return(&cbs[i]) != PIECE;
        }
    }
    printf("bad results: %d\n", bad);
}

/* What is begun and awaited goes on without its descriptor, or fails; what is not, ends with the process. */
static void do_close(const char *path)
{
    int fd = must_open(path, O_RDWR), bad = 0;

    for (int i = 0; i < MANY; i++)
        aio_write(request(i, fd, LIO_WRITE, i * PIECE));
    close(fd);
    for (int i = 0; i < MANY; i++) {
        const struct aiocb *list[1] = { &cbs[i] };
        int error;

        while ((error = aio_error(&cbs[i])) == EINPROGRESS)
            aio_suspend(list, 1, NULL);
        bad += error != 0 && error != EBADF;
    }
    printf("bad results: %d\n", bad);
    fd = must_open(path, O_RDWR);
    for (int i = 0; i < MANY; i++)
        said("write", pwrite(fd, pieces[i], PIECE, i * PIECE));
    for (int i = 0; i < MANY; i++)
        aio_read(request(i, fd, LIO_READ, i * PIECE));
}

static const struct mode modes[] = {
    { "basic", do_basic }, { "many", do_many }, { "order", do_order }, { "errors", do_errors },
    { "signal", do_signal }, { "thread", do_thread }, { "lists", do_lists },
    { "cancel", do_cancel }, { "fork", do_fork }, { "close", do_close },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
