/*
 * Processes that copy, hand on or lose descriptors; and input and output in the
 * background, in libc, libaio and liburing.
 */
#include <aio.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <utmp.h>

#include "probe.h"

extern char **environ;

/* ---- copies of the process --------------------------------------------- */

static int child_reads(void *unused)
{
    char text[17] = "";
    ssize_t n = read(fd, text, 16);

    (void)unused;
    show("child read %zd: %s", n, text);
    return 0;
}

static long then_parent(int child)
{
    char text[17] = "";
    long r = await(child);

    read(fd, text, 16);
    show("parent read %s", text);
    return r;
}

#define FORKED(call, leave) ({ \
    int child_ = call; \
    if (child_ == 0) \
        leave(child_reads(NULL)); \
    then_parent(child_); })

CALL(fork, "", FORKED(fork(), _exit))
CALL(_Fork, "", FORKED(_Fork(), _exit))
CALL(_Fork, "exit", FORKED(_Fork(), exit))
CALL(clone, "", ({
    static char stack[65536] __attribute__((aligned(16)));
    then_parent(clone(child_reads, stack + sizeof(stack), SIGCHLD, NULL)); }))

/* The child of a vfork does what programs do there: moves a descriptor and execs. */
static long vforked(const char *what)
{
    int child = vfork();

    if (child == 0) {
        dup2(fd, 0);
        execl(self, self, what, "0", NULL);
        _exit(9);
    }
    return then_parent(child);
}

CALL(vfork, "cat", vforked("cat"))
CALL(vfork, "add", vforked("add"))

/* ---- other programs ---------------------------------------------------- */

static char number[16], command[128], what[8] = "cat";
static char *args[] = { "probe", what, number, NULL };
static posix_spawn_file_actions_t actions;
static int child;

/* A command line that runs this program on the file. */
static const char *shell(const char *verb)
{
    snprintf(command, sizeof(command), "%s %s 0 <&%d", getenv("PROBE"), verb, fd);
    return command;
}

static posix_spawn_file_actions_t *onto_stdin(void)
{
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    strcpy(number, "0");
    return &actions;
}

static char **inherited(void)
{
    snprintf(number, sizeof(number), "%d", fd);
    return args;
}

static long spawned(__typeof__(posix_spawn) *spawn, const posix_spawn_file_actions_t *with,
                    char **argv)
{
    int r = spawn(&child, self, with, NULL, argv, environ);

    return r ? r : then_parent(child);
}

/* Spawns it with the file on its stdin, after another action was added. */
static long acted(int r)
{
    return r ? r : spawned(posix_spawn, &actions, args);
}

CALL(posix_spawn, "", spawned(posix_spawn, NULL, inherited()))
CALL(posix_spawn, "write", (strcpy(what, "add"), spawned(posix_spawn, NULL, inherited())))
CALL(posix_spawn, "old", spawned(OLD(__typeof__(posix_spawn) *, "posix_spawn", "GLIBC_2.2.5"),
                                 NULL, inherited()))
CALL(posix_spawnp, "", spawned(posix_spawnp, NULL, inherited()))
CALL(posix_spawn_file_actions_adddup2, "",
     acted(posix_spawn_file_actions_adddup2(onto_stdin(), fd, 0)))
CALL(posix_spawn_file_actions_addclose, "",
     acted(posix_spawn_file_actions_addclose(onto_stdin(), fd)))
CALL(posix_spawn_file_actions_addclosefrom_np, "",
     acted(posix_spawn_file_actions_addclosefrom_np(onto_stdin(), 3)))
CALL(posix_spawn_file_actions_addfchdir_np, "",
     acted(posix_spawn_file_actions_addfchdir_np(onto_stdin(), fd)))
CALL(posix_spawn_file_actions_addchdir_np, "",
     acted(posix_spawn_file_actions_addchdir_np(onto_stdin(), path)))
CALL(posix_spawn_file_actions_addtcsetpgrp_np, "",
     acted(posix_spawn_file_actions_addtcsetpgrp_np(onto_stdin(), fd)))
CALL(system, "cat", ({ int r = system(shell("cat")); show_bytes(fd, 0); r; }))
CALL(system, "add", ({ int r = system(shell("add")); show_bytes(fd, 0); r; }))
CALL(popen, "", ({
    FILE *out = popen(shell("cat"), "r");
    fgets(buf, 100, out);
    pclose(out); }))
/* The program that follows knows nothing of the file. */
static char **without(void)
{
    write(fd, "before the exec", 15);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    strcpy(number, "99");
    return args;
}

CALL(execveat, "program", execveat(AT_FDCWD, self, without(), environ, 0))
CALL(execveat, "disk", execveat(fd, "", inherited(), environ, AT_EMPTY_PATH))
CALL(syscall, "execve", syscall(SYS_execve, self, without(), environ))
CALL(exit, "", ({ write(fd, "before the exit", 15); exit(0); 0; }))

/* ---- durability -------------------------------------------------------- */

/* What was synced is in the file's own bytes when its process dies. */
#define THEN_DIE(call) ({ \
    pwrite(fd, "to be kept", 10, 600); \
    show("sync %ld", (long)(call)); \
    kill(getpid(), SIGKILL); \
    0; })

CALL(fsync, "die", THEN_DIE(fsync(fd)))
CALL(sync, "die", THEN_DIE((sync(), 0)))
CALL(syscall, "fsync", THEN_DIE(syscall(SYS_fsync, fd)))

/* ---- descriptors replaced within libc ---------------------------------- */

static long read_0(void)
{
    char text[17] = "";
    long n = read(0, text, 16);

    show("read from 0: %s", text);
    return n;
}

OVER(daemon, "stdin", 0, daemon(1, 0) < 0 ? -1 : read_0())
CALL(daemon, "write", ({
    write(fd, "before the fork", 15);
    daemon(1, 1);
    write(fd, "after the fork", 14); }))
OVER(login_tty, "stdin", 0, ({
    int master, slave, tty_child;
    if (openpty(&master, &slave, NULL, NULL, NULL) < 0)
        skip("no terminals here");
    tty_child = fork();
    if (tty_child == 0) {
        setsid();
        login_tty(slave);
        write(master, "typed\n", 6);
        read_0();
        _exit(0);
    }
    await(tty_child); }))
OVER(forkpty, "stdin", 0, ({
    int master, tty_child = forkpty(&master, NULL, NULL, NULL);
    if (tty_child < 0)
        skip("no terminals here");
    if (tty_child == 0) {
        read_0();
        _exit(0);
    }
    write(master, "typed\n", 6);
    await(tty_child); }))

/* ---- POSIX aio --------------------------------------------------------- */

static struct aiocb cb;
static struct aiocb64 cb64;
static const struct aiocb *cbs[1] = { &cb };
static const struct aiocb64 *cbs64[1] = { &cb64 };
static const struct timespec at_once;

static void *on_file(void)
{
    cb = (struct aiocb){ .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 100 };
    cb64 = (struct aiocb64){ .aio_fildes = fd, .aio_buf = buf, .aio_nbytes = 100 };
    return &cb;
}

/* What becomes of what was begun. */
static long outcome(int begun, void *begun_cb)
{
    const struct aiocb *list[1] = { begun_cb };

    if (begun < 0)
        return begun;
    while (aio_error(list[0]) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    errno = aio_error(list[0]);
    return aio_return((struct aiocb *)list[0]);
}

static long listed(int mode)
{
    struct aiocb *list[1] = { on_file() };

    cb.aio_lio_opcode = LIO_WRITE;
    return lio_listio(mode, list, 1, NULL);
}

static long listed64(int mode)
{
    struct aiocb64 *list[1] = { &cb64 };

    on_file();
    cb64.aio_lio_opcode = LIO_WRITE;
    return lio_listio64(mode, list, 1, NULL);
}

CALL(aio_read, "", (on_file(), outcome(aio_read(&cb), &cb)))
CALL(aio_read64, "", (on_file(), outcome(aio_read64(&cb64), &cb64)))
CALL(aio_write, "", (on_file(), outcome(aio_write(&cb), &cb)))
CALL(aio_write64, "", (on_file(), outcome(aio_write64(&cb64), &cb64)))
CALL(aio_fsync, "", (on_file(), outcome(aio_fsync(O_SYNC, &cb), &cb)))
CALL(aio_fsync64, "", (on_file(), outcome(aio_fsync64(O_SYNC, &cb64), &cb64)))
CALL(lio_listio, "wait", outcome(listed(LIO_WAIT), &cb))
CALL(lio_listio64, "nowait", outcome(listed64(LIO_NOWAIT), &cb64))
CALL(aio_cancel, "all", aio_cancel(fd, NULL))
CALL(aio_cancel64, "all", aio_cancel64(fd, NULL))
CALL(aio_error, "", (on_file(), aio_error(&cb)))
CALL(aio_error64, "", (on_file(), aio_error64(&cb64)))
CALL(aio_return, "", (on_file(), aio_return(&cb)))
CALL(aio_return64, "", (on_file(), aio_return64(&cb64)))
CALL(aio_suspend, "", (on_file(), aio_suspend(cbs, 1, &at_once)))
CALL(aio_suspend64, "", (on_file(), aio_suspend64(cbs64, 1, &at_once)))

/* ---- libaio ------------------------------------------------------------ */

typedef int (*setup_fn)(int, aio_context_t *);
typedef int (*submit_fn)(aio_context_t, long, struct iocb **);
typedef int (*getevents_fn)(aio_context_t, long, long, struct io_event *, struct timespec *);

static void *from(const char *library, const char *symbol)
{
    static void *handle;
    void *found;

    if (!handle)
        handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
    found = dlsym(RTLD_DEFAULT, symbol);
    if (!found)
        skip("the library is not installed");
    return found;
}

static aio_context_t context;
static struct io_event event;

/* A function of libaio returns -errno. */
static long negative(long r)
{
    if (r >= 0)
        return r;
    errno = (int)-r;
    return -1;
}

static long submit(int opcode)
{
    struct iocb io = { .aio_fildes = (unsigned)fd, .aio_lio_opcode = (uint16_t)opcode };
    struct iocb *list[1] = { &io };
    int r = ((setup_fn)from("libaio.so.1", "io_setup"))(4, &context);

    if (r < 0)
        skip("the kernel has no aio");
    if (opcode != IOCB_CMD_FSYNC)
        io.aio_buf = (uintptr_t)buf, io.aio_nbytes = 100;
    r = ((submit_fn)from("libaio.so.1", "io_submit"))(context, 1, list);
    if (r == 1) {
        r = ((getevents_fn)from("libaio.so.1", "io_getevents"))(context, 1, 1, &event, NULL);
        show("event %lld", (long long)event.res);
        if ((long)event.res < 0)
            return negative(event.res);
    }
    return negative(r);
}

CALL(io_submit, "read", submit(IOCB_CMD_PREAD))
CALL(io_submit, "write", submit(IOCB_CMD_PWRITE))
CALL(io_submit, "fsync", submit(IOCB_CMD_FSYNC))

/* ---- liburing ---------------------------------------------------------- */

/* Its struct io_uring, which has grown, is at most so large. */
static uint64_t ring[256];

typedef int (*ring_fn)(void *, ...);
typedef int (*init_fn)(unsigned, void *, unsigned);
typedef struct io_uring_sqe *(*sqe_fn)(void *);
typedef int (*cqe_fn)(void *, struct io_uring_cqe **, unsigned, unsigned, void *);
typedef int (*files_fn)(void *, const int *, unsigned);
typedef void (*end_fn)(void *);

#define URING(type, symbol) ((type)from("liburing.so.2", symbol))

static long by_ring(int opcode, int fixed)
{
    struct io_uring_sqe *sqe;
    struct io_uring_cqe *cqe = NULL;
    int r = URING(init_fn, "io_uring_queue_init")(4, ring, 0);

    if (r < 0)
        skip("the kernel has no io_uring here");
    if (fixed) {
        r = URING(files_fn, "io_uring_register_files")(ring, &fd, 1);
        if (r < 0)
            return negative(r);
    }
    sqe = URING(sqe_fn, "io_uring_get_sqe")(ring);
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = (uint8_t)opcode;
    sqe->fd = fixed ? 0 : fd;
    sqe->flags = fixed ? IOSQE_FIXED_FILE : 0;
    if (opcode == IORING_OP_OPENAT)
        sqe->addr = (uintptr_t)path;
    else if (opcode != IORING_OP_FSYNC)
        sqe->addr = (uintptr_t)buf, sqe->len = 100;
    URING(ring_fn, "io_uring_submit")(ring);
    r = URING(cqe_fn, "__io_uring_get_cqe")(ring, &cqe, 0, 1, NULL);
    r = r < 0 ? r : cqe->res;
    URING(end_fn, "io_uring_queue_exit")(ring);
    return negative(r);
}

CALL(io_uring_submit, "read", by_ring(IORING_OP_READ, 0))
CALL(io_uring_submit, "write", by_ring(IORING_OP_WRITE, 0))
CALL(io_uring_submit, "fsync", by_ring(IORING_OP_FSYNC, 0))
CALL(io_uring_submit, "open", ({
    long got = by_ring(IORING_OP_OPENAT, 0);

    got < 0 ? got : read((int)got, buf, 100); }))
CALL(io_uring_register_files, "read", by_ring(IORING_OP_READ, 1))
CALL(io_uring_register_files, "write", by_ring(IORING_OP_WRITE, 1))
CALL(io_uring_register_eventfd, "", ({
    if (URING(init_fn, "io_uring_queue_init")(4, ring, 0) < 0)
        skip("the kernel has no io_uring here");
    negative(URING(ring_fn, "io_uring_register_eventfd")(ring, fd)); }))
CALL(io_uring_enter, "", negative(((int (*)(int, unsigned, unsigned, unsigned, void *))
    from("liburing.so.2", "io_uring_enter"))(fd, 0, 0, 0, NULL)))
CALL(io_uring_register, "", negative(((int (*)(int, unsigned, void *, unsigned))
    from("liburing.so.2", "io_uring_register"))(fd, 0, NULL, 0)))
