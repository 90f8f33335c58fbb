/*
 * The ends of a program: exit without handlers, and exec. Both are a clean end
 * for its disks, so what is pending is flushed and the run-time files go; the
 * program that follows an exec takes part anew if it inherits a disk.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "aio.h"
#include "disks.h"
#include "fdtable.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "stream.h"

/* The child of a vfork only borrows its parent's disks. */
static void part(void)
{
    int saved = errno;

    if (process_busy == 0 && !process_is_vfork_child()) {
        process_enter();
        aio_hold();
        disks_park();
        process_leave();
    }
    errno = saved;
}

static void part_for_exec(void)
{
    int saved = errno;

    part();
    fdtable_bequeath(false);
    errno = saved;
}

/* An exec that returns has failed. */
static int failed(int result)
{
    int saved = errno;

    fdtable_bequeath_end();
    if (!process_is_vfork_child())
        aio_resume();
    errno = saved;
    return result;
}

void hook_exit(int status)
{
    part();
    REAL(_exit)(status);
    __builtin_unreachable();
}

void hook_quick_exit(int status)
{
    process_ends();
    part();
    REAL(quick_exit)(status);
    __builtin_unreachable();
}

int hook_execve(const char *path, char *const argv[], char *const envp[])
{
    part_for_exec();
    return failed(REAL(execve)(path, argv, envp));
}

int hook_execv(const char *path, char *const argv[])
{
    part_for_exec();
    return failed(REAL(execv)(path, argv));
}

int hook_execvp(const char *file, char *const argv[])
{
    part_for_exec();
    return failed(REAL(execvp)(file, argv));
}

int hook_execvpe(const char *file, char *const argv[], char *const envp[])
{
    part_for_exec();
    return failed(REAL(execvpe)(file, argv, envp));
}

int hook_fexecve(int fd, char *const argv[], char *const envp[])
{
    part_for_exec();
    return failed(REAL(fexecve)(fd, argv, envp));
}

/* The arguments of execl and its like as an array on the stack; *end is left behind the NULL. */
static size_t count_arguments(const char *first, va_list args)
{
    size_t count = 1;

    for (const char *arg = first; arg; arg = va_arg(args, const char *))
        count++;
    return count;
}

#define COLLECT(argv, first, args) \
    va_start(args, first); \
    char *argv[count_arguments(first, args)]; \
    va_end(args); \
    va_start(args, first); \
    argv[0] = (char *)first; \
    for (size_t i_ = 0; argv[i_]; i_++) \
        argv[i_ + 1] = va_arg(args, char *)

int hook_execl(const char *path, const char *arg, ...)
{
    va_list args;

    COLLECT(argv, arg, args);
    va_end(args);
    return hook_execv(path, argv);
}

int hook_execlp(const char *file, const char *arg, ...)
{
    va_list args;

    COLLECT(argv, arg, args);
    va_end(args);
    return hook_execvp(file, argv);
}

int hook_execle(const char *path, const char *arg, ...)
{
    va_list args;
    char **envp;

    COLLECT(argv, arg, args);
    envp = va_arg(args, char **);
    va_end(args);
    return hook_execve(path, argv, envp);
}

int hook_execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
    part_for_exec();
    return failed(REAL(execveat)(dir, path, argv, envp, flags));
}

/* ---- what libc does within itself -------------------------------------- */

/* As libc's, which forks, exits, and puts /dev/null on 0, 1 and 2 past every hook. */
int hook_daemon(int keep_directory, int keep_streams)
{
    pid_t pid = fork();
    int null;

    if (pid < 0)
        return -1;
    if (pid > 0)
        hook_exit(0);
    if (setsid() < 0)
        return -1;
    if (!keep_directory && chdir("/") < 0)
        return -1;
    if (keep_streams)
        return 0;
    null = REAL(open64)("/dev/null", O_RDWR);
    if (null < 0)
        return -1;
    for (int fd = 0; fd < 3; fd++)
        hook_dup2(null, fd);
    if (null > 2)
        REAL(close)(null);
    return 0;
}

/* What is on 0, 1 and 2 after libc has put a terminal there. */
static void terminal_took_over(void)
{
    for (int fd = 0; fd < 3; fd++) {
        fdtable_is_other(fd);
        stream_follow(fd);
    }
}

int hook_login_tty(int fd)
{
    int r = REAL(login_tty)(fd);

    if (r == 0)
        terminal_took_over();
    return r;
}

int hook_forkpty(int *master, char *name, const struct termios *termios, const struct winsize *size)
{
    int r = REAL(forkpty)(master, name, termios, size);

    if (r == 0)
        terminal_took_over();
    return r;
}

#define HOOK_proc EXPORT
#include "alias.h"
