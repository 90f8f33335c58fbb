/*
 * A program that makes its own system calls, as Go and liburing do, those about signals, stacks
 * and forks among them. On a disk they are served with ADDCOW_DEEP=1. `deep_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "ops.h"

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long r;

    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}

#define CALL0(n) call(n, 0, 0, 0, 0, 0, 0)
#define CALL1(n, a) call(n, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(n, a, b) call(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(n, a, b, c) call(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(n, a, b, c, d) call(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static int open_it(const char *path, int flags)
{
    return (int)CALL4(SYS_openat, AT_FDCWD, path, flags, 0);
}

/* ---- calls ---------------------------------------------------------------------- */

static void basic(const char *path)
{
    struct iovec iov[2] = { { buf, 1000 }, { buf + 1000, 3333 } };
    struct stat st;
    int fd = open_it(path, O_RDWR), two;
    char *map;

    printf("fd %d\n", fd);
    got("read", CALL3(SYS_read, fd, buf, 5000));
    got("pread64", CALL4(SYS_pread64, fd, buf, 65536, 1234));
    got("readv", CALL3(SYS_readv, fd, iov, 2));
    printf("lseek %ld\n", CALL3(SYS_lseek, fd, 0, SEEK_CUR));
    memset(buf, 'd', sizeof(buf));
    printf("pwrite64 %ld\n", CALL4(SYS_pwrite64, fd, buf, 777, 3000));
    printf("write %ld\n", CALL3(SYS_write, fd, buf, 10));
    printf("pwritev %ld\n", CALL4(SYS_pwritev, fd, iov, 2, 20001));
    two = (int)CALL1(SYS_dup, fd);
    printf("dup %d\n", two);
    printf("close %ld\n", CALL1(SYS_close, fd));
    printf("closed %ld\n", CALL4(SYS_pread64, fd, buf, 1, 0));
    printf("fstat %ld %ld\n", CALL2(SYS_fstat, two, &st), (long)st.st_size);
    printf("ftruncate %ld\n", CALL2(SYS_ftruncate, two, st.st_size + 1001));
    printf("fallocate %ld\n", CALL4(SYS_fallocate, two, 3, 8192, 4096));
    map = (char *)call(SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, two, 4096);
    map[5] = 'm';
    printf("msync %ld\n", CALL3(SYS_msync, map, 8192, MS_SYNC));
    printf("munmap %ld\n", CALL2(SYS_munmap, map, 8192));
    printf("fsync %ld\n", CALL1(SYS_fsync, two));
    got("pread64", CALL4(SYS_pread64, two, buf, 65536, 0));
    printf("stat %ld %ld\n", CALL2(SYS_stat, path, &st), (long)st.st_size);
    printf("bad %ld\n", CALL4(SYS_pread64, two, buf, 10, -1));
    printf("close %ld\n", CALL1(SYS_close, two));
}

/* Copying within the kernel, with a wait in it. */
static void copies(const char *path)
{
    long in = 700, out = 5001;
    int fd = open_it(path, O_RDWR), p[2];

    if (pipe(p) < 0)
        exit(1);
    printf("sendfile %ld\n", CALL4(SYS_sendfile, p[1], fd, &in, 3000));
    printf("splice %ld\n", call(SYS_splice, fd, (long)&in, p[1], 0, 2000, 0));
    got("read", CALL3(SYS_read, p[0], buf, 5000));
    fflush(stdout);
    if (fork() == 0) {
        usleep(1000);
        _exit(CALL3(SYS_write, p[1], buf, 1234) != 1234);
    }
    printf("splice %ld\n", call(SYS_splice, p[0], 0, fd, (long)&out, 2000, 0));
    printf("copy_file_range %ld\n", call(SYS_copy_file_range, fd, (long)&in, fd, (long)&out, 999, 0));
    printf("offsets %ld %ld\n", in, out);
    printf("sendfile %ld\n", CALL4(SYS_sendfile, fd, fd, &in, 777));
    printf("tee %ld\n", CALL4(SYS_tee, fd, p[1], 10, 0));
    printf("append %ld\n", call(SYS_splice, p[0], 0, open_it(path, O_WRONLY | O_APPEND), 0, 10, 0));
    wait(NULL);
    got("pread64", CALL4(SYS_pread64, fd, buf, 20000, 0));
}

/* Registers that a call leaves alone, and what lies below the stack pointer. */
static void state(const char *path)
{
    int fd = open_it(path, O_RDONLY);
    long r, below, kept[6];
    double x = 1.25, y;

    __asm__ volatile("movq $0x1111, %%rbx\n\tmovq $0x2222, %%r12\n\tmovq $0x3333, %%r13\n\t"
                     "movq $0x4444, -64(%%rsp)\n\tmovsd %[x], %%xmm9\n\t"
                     "xor %%r8d, %%r8d\n\txor %%r9d, %%r9d\n\tmovq $10, %%r10\n\t"
                     "syscall\n\t"
                     "movq %%rbx, 0(%[kept])\n\tmovq %%r12, 8(%[kept])\n\tmovq %%r13, 16(%[kept])\n\t"
                     "movq -64(%%rsp), %%rcx\n\tmovsd %%xmm9, %[y]"
                     : "=a"(r), "=&c"(below), [y] "=m"(y)
                     : "0"(SYS_pread64), "D"(fd), "S"(buf), "d"(4000), [kept] "r"(kept), [x] "m"(x)
                     : "rbx", "r8", "r9", "r10", "r11", "r12", "r13", "xmm9", "memory");
    got("pread64", r);
    printf("%lx %lx %lx %lx %.2f\n", kept[0], kept[1], kept[2], below, y);
    errno = 77;
    CALL4(SYS_pread64, fd, buf, 10, -1);
    printf("errno %d\n", errno);
}

/* ---- signals ------------------------------------------------------------------------ */

struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

__asm__("own_restorer:\n\tmov $15, %eax\n\tsyscall\n");
void own_restorer(void);

static int disk;
static volatile int handled;

static void read_in_handler(int signal)
{
    char small[600];

    (void)signal;
    if (CALL4(SYS_pread64, disk, small, sizeof(small), 512 * handled) == sizeof(small))
        handled++;
}

static void handle(int signal, unsigned long flags)
{
    struct kernel_action action = { read_in_handler, flags | 0x04000000, own_restorer, ~0ull };

    printf("rt_sigaction %ld\n", CALL4(SYS_rt_sigaction, signal, &action, NULL, 8));
}

/* A handler with its own way back, all signals held off in it. */
static void signals(const char *path)
{
    uint64_t mask = ~0ull, old = 0;

    disk = open_it(path, O_RDONLY);
    handle(SIGUSR1, 0);
    for (int i = 0; i < 3; i++)
        CALL2(SYS_kill, getpid(), SIGUSR1);
    printf("handled %d\n", handled);
    printf("rt_sigprocmask %ld\n", CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, 8));
    CALL2(SYS_kill, getpid(), SIGUSR1);
    printf("held %d\n", handled);
    got("pread64", CALL4(SYS_pread64, disk, buf, 900, 100));
    CALL4(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    printf("usr1 %d usr2 %d\n", (int)(mask >> (SIGUSR1 - 1) & 1), (int)(mask >> (SIGUSR2 - 1) & 1));
    CALL4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
    printf("let in %d\n", handled);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    got("pread64", CALL4(SYS_pread64, disk, buf, 901, 100));
}

/* SIGSYS is the program's, too. */
static void take_sigsys(int signal)
{
    printf("sigsys %d\n", signal == SIGSYS);
}

static void sigsys(const char *path)
{
    struct sigaction action = { .sa_handler = take_sigsys }, was;

    disk = open_it(path, O_RDONLY);
    printf("sigaction %d\n", sigaction(SIGSYS, &action, &was));
    printf("was default %d\n", was.sa_handler == SIG_DFL);
    got("pread64", CALL4(SYS_pread64, disk, buf, 100, 0));
    CALL2(SYS_kill, getpid(), SIGSYS);
    sigaction(SIGSYS, NULL, &was);
    printf("is ours %d\n", was.sa_handler == take_sigsys);
}

/* Whatever a program does with it and with its mask, by other functions. */
static void handlers(const char *path)
{
    sigset_t all;

    disk = open_it(path, O_RDONLY);
    printf("signal %d\n", signal(SIGSYS, take_sigsys) == SIG_DFL);
    got("pread64", CALL4(SYS_pread64, disk, buf, 100, 0));
    printf("sysv_signal %d\n", sysv_signal(SIGSYS, SIG_DFL) == take_sigsys);
    got("pread64", CALL4(SYS_pread64, disk, buf, 100, 1000));
    sigfillset(&all);
    printf("pthread_sigmask %d\n", pthread_sigmask(SIG_SETMASK, &all, NULL));
    got("pread64", CALL4(SYS_pread64, disk, buf, 100, 2000));
    handle(SIGUSR1, 0);
    CALL2(SYS_kill, getpid(), SIGUSR1);
    sigdelset(&all, SIGUSR1);
    printf("sigsuspend %d\n", sigsuspend(&all));
    printf("handled %d\n", handled);
}

/* A call that waits is interrupted, or goes on, as the handler says. */
static void waits(const char *path)
{
    int ends[2];
    char c;

    disk = open_it(path, O_RDONLY);
    CALL1(SYS_pipe, ends);
    handle(SIGALRM, 0);
    alarm(1);
    printf("read %ld\n", CALL3(SYS_read, ends[0], &c, 1));
    printf("handled %d\n", handled);
    handle(SIGALRM, SA_RESTART);
    if (CALL0(SYS_fork) == 0) {
        struct timespec two = { 2, 0 };

        CALL2(SYS_nanosleep, &two, NULL);
        CALL3(SYS_write, ends[1], "x", 1);
        CALL1(SYS_exit_group, 0);
    }
    alarm(1);
    printf("read %ld\n", CALL3(SYS_read, ends[0], &c, 1));
    printf("handled %d\n", handled);
}

/* On a stack of a few pages with an alternate one for signals, as a goroutine is. */
static char *small_stack;

static void on_small(void)
{
    stack_t old = { 0 };

    got("pread64", CALL4(SYS_pread64, disk, buf, 40000, 77));
    printf("pwrite64 %ld\n", CALL4(SYS_pwrite64, disk, "small", 5, 30001));
    CALL2(SYS_kill, getpid(), SIGUSR1);
    printf("handled %d\n", handled);
    printf("sigaltstack %ld", CALL2(SYS_sigaltstack, NULL, &old));
    printf(" %zu %d\n", old.ss_size, old.ss_flags);
}

static void stacks(const char *path)
{
    stack_t alternate = { .ss_sp = mmap(NULL, 32768, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                          .ss_size = 32768 }, old;

    disk = open_it(path, O_RDWR);
    handle(SIGUSR1, SA_ONSTACK);
    printf("sigaltstack %ld", CALL2(SYS_sigaltstack, NULL, &old));
    printf(" %zu %d\n", old.ss_size, old.ss_flags);
    printf("sigaltstack %ld\n", CALL2(SYS_sigaltstack, &alternate, NULL));
    small_stack = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(small_stack, 4096, PROT_NONE);
    fflush(stdout);
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tcall *%1\n\tmov %%rbx, %%rsp"
                     : : "r"(small_stack + 16384), "r"(on_small)
                     : "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    alternate.ss_flags = SS_DISABLE;
    printf("sigaltstack %ld\n", CALL2(SYS_sigaltstack, &alternate, NULL));
    got("pread64", CALL4(SYS_pread64, disk, buf, 4096, 4096));
}

/* ---- threads and processes ------------------------------------------------------------ */

static void *write_piece(void *arg)
{
    long number = (long)arg;
    char piece[700];
    long n = 0, one = 0;

    memset(piece, 'a' + (int)number, sizeof(piece));
    for (int i = 0; i < 20 && one >= 0; i++) {
        one = CALL4(SYS_pwrite64, disk, piece, sizeof(piece), (number * 20 + i) * 700);
        n += one;
    }
    return (void *)(one < 0 ? one : n);
}

static int write_one(void *arg)
{
    return (int)CALL4(SYS_pwrite64, disk, arg, 3, 60001);
}

static void threads(const char *path)
{
    pthread_t all[4];
    thrd_t c11;
    int result;
    void *n;

    disk = open_it(path, O_RDWR);
    for (long i = 0; i < 4; i++)
        pthread_create(&all[i], NULL, write_piece, (void *)i);
    for (int i = 0; i < 4; i++) {
        pthread_join(all[i], &n);
        printf("thread %ld\n", (long)n);
    }
    thrd_create(&c11, write_one, "c11");
    thrd_join(c11, &result);
    printf("thrd %d\n", result);
}

static void child_writes(int at)
{
    long n = CALL4(SYS_pwrite64, disk, "child", 5, at);

    CALL1(SYS_exit_group, n == 5 ? 3 : 4);
}

static void reap(const char *what, long pid)
{
    int status = 0;

    printf("%s %d", what, pid > 0);
    printf(" %d %d\n", CALL4(SYS_wait4, pid, &status, 0, NULL) == pid, WEXITSTATUS(status));
}

static void forks(const char *path)
{
    struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, size, tls; } args = {
        .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD };
    long pid;

    disk = open_it(path, O_RDWR);
    fflush(stdout);
    if ((pid = CALL0(SYS_fork)) == 0)
        child_writes(100);
    reap("fork", pid);
    fflush(stdout);
    if ((pid = CALL0(SYS_vfork)) == 0)
        child_writes(200);
    reap("vfork", pid);
    fflush(stdout);
    if ((pid = CALL1(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD)) == 0)
        child_writes(300);
    reap("clone", pid);
    fflush(stdout);
    if ((pid = CALL2(SYS_clone3, &args, sizeof(args))) == 0)
        child_writes(400);
    reap("clone3", pid);
    fflush(stdout);
    if ((pid = fork()) == 0)
        child_writes(500);
    reap("libc's", pid);
}

static void executes(const char *path)
{
    char *argv[] = { "/bin/sh", "-c", "head -c 300 <&7 | cksum", NULL };
    int fd = open_it(path, O_RDONLY);

    CALL2(SYS_dup2, fd, 7);
    fflush(stdout);
    printf("execve %ld\n", CALL3(SYS_execve, argv[0], argv, environ));
}

int main(int argc, char **argv)
{
    static const struct mode modes[] = {
        { "basic", basic }, { "copies", copies }, { "state", state }, { "signals", signals }, { "sigsys", sigsys },
        { "waits", waits }, { "stacks", stacks }, { "threads", threads }, { "forks", forks },
        { "executes", executes }, { "handlers", handlers },
    };

    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
