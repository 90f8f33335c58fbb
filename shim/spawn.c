/*
 * posix_spawn whose file actions open a disk. libc opens the file itself, in the child, past every hook, and
 * in an order with the other actions that decides what a number or a relative path means there. So the
 * whole of it is done here: a fork, the actions through the hooks one by one, and the exec. It costs
 * what a fork costs, and runs the program's fork handlers; any other spawn is left to libc.
 *
 * The child tells its error through a pipe that the exec closes.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hidden.h"
#include "hooks.h"
#include "path.h"
#include "real.h"
#include "report.h"

struct list {
    const void *of;
    struct spawn_action *first, **end;
    struct list *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list *lists;

static struct list **find_locked(const void *actions)
{
    struct list **at = &lists;

    while (*at && (*at)->of != actions)
        at = &(*at)->next;
    return at;
}

/* The actions behind `actions`, which the caller must not change meanwhile. */
static const struct spawn_action *find(const void *actions)
{
    const struct list *list;

    if (!actions)
        return NULL;
    pthread_mutex_lock(&lock);
    list = *find_locked(actions);
    pthread_mutex_unlock(&lock);
    return list ? list->first : NULL;
}

void spawn_forget(const void *actions)
{
    struct list **at, *list;

    pthread_mutex_lock(&lock);
    at = find_locked(actions);
    list = *at;
    if (list)
        *at = list->next;
    pthread_mutex_unlock(&lock);
    if (!list)
        return;
    for (struct spawn_action *action = list->first, *next; action; action = next) {
        next = action->next;
        free(action);
    }
    free(list);
}

static struct list *get_locked(const void *actions)
{
    struct list **at = find_locked(actions);

    if (!*at && (*at = calloc(1, sizeof(**at))) != NULL) {
        (*at)->of = actions;
        (*at)->end = &(*at)->first;
    }
    return *at;
}

int spawn_add(const void *actions, const struct spawn_action *action)
{
    size_t len = action->path ? strlen(action->path) + 1 : 0;
    struct spawn_action *copy = malloc(sizeof(*copy) + len);
    struct list *list;

    if (!copy)
        return ENOMEM;
    *copy = *action;
    copy->next = NULL;
    if (len)
        copy->path = memcpy(copy + 1, action->path, len);
    pthread_mutex_lock(&lock);
    list = get_locked(actions);
    if (list) {
        *list->end = copy;
        list->end = &copy->next;
    }
    pthread_mutex_unlock(&lock);
    if (!list)
        free(copy);
    return list ? 0 : ENOMEM;
}

bool spawn_may_open_disk(const void *actions)
{
    for (const struct spawn_action *action = find(actions); action; action = action->next)
        if (action->kind == SPAWN_OPEN && path_may_be_disk(action->path))
            return true;
    return false;
}

void spawn_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

/* ---- in the child: 0, or -1 and errno ------------------------------------ */

static int open_at(const struct spawn_action *action)
{
    int fd, r;

    hook_close(action->fd);
    fd = hook_open(action->path, action->flags, action->mode);
    if (fd < 0 || fd == action->fd)
        return fd < 0 ? -1 : 0;
    r = hook_dup2(fd, action->fd);
    hook_close(fd);
    return r < 0 ? -1 : 0;
}

/* Closing what is not open is no error; closing what cannot be is. */
static int close_at(int fd)
{
    struct rlimit limit;

    if (hook_close(fd) == 0 || (fd >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0
                                && (rlim_t)fd < limit.rlim_cur))
        return 0;
    return -1;
}

static int dup_to(int fd, int to)
{
    int flags;

    if (fd != to)
        return hook_dup2(fd, to) < 0 ? -1 : 0;
    flags = hook_fcntl(fd, F_GETFD);
    return flags < 0 ? -1 : hook_fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
}

static int act(const struct spawn_action *action)
{
    switch (action->kind) {
    case SPAWN_CLOSE: return close_at(action->fd);
    case SPAWN_DUP2: return dup_to(action->fd, action->to);
    case SPAWN_OPEN: return open_at(action);
    case SPAWN_CHDIR: return chdir(action->path);
    case SPAWN_FCHDIR: return fchdir(action->fd);
    case SPAWN_CLOSEFROM: return hook_closefrom(action->fd), 0;
    case SPAWN_TCSETPGRP: return tcsetpgrp(action->fd, getpgrp());
    }
    return 0;
}

/* Handlers of the program are not for the child; what it ignores, it ignores there too. */
static void reset_signals(const posix_spawnattr_t *attributes, short flags)
{
    sigset_t defaults;

    sigemptyset(&defaults);
    if (flags & POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_getsigdefault(attributes, &defaults);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0
            && (sigismember(&defaults, number) == 1 || action.sa_handler != SIG_IGN)) {
            action.sa_handler = SIG_DFL;
            sigaction(number, &action, NULL);
        }
    }
}

static int set_scheduler(const posix_spawnattr_t *attributes, short flags)
{
    struct sched_param param = { 0 };
    int policy = 0;

    posix_spawnattr_getschedparam(attributes, &param);
    posix_spawnattr_getschedpolicy(attributes, &policy);
    if (flags & POSIX_SPAWN_SETSCHEDULER)
        return sched_setscheduler(0, policy, &param);
    return flags & POSIX_SPAWN_SETSCHEDPARAM ? sched_setparam(0, &param) : 0;
}

static int set_process(const posix_spawnattr_t *attributes, short flags)
{
    pid_t group = 0;

    posix_spawnattr_getpgroup(attributes, &group);
    if (set_scheduler(attributes, flags) < 0
        || (flags & POSIX_SPAWN_SETSID && setsid() < 0)
        || (flags & POSIX_SPAWN_SETPGROUP && setpgid(0, group) < 0))
        return -1;
    return flags & POSIX_SPAWN_RESETIDS && (seteuid(getuid()) < 0 || setegid(getgid()) < 0) ? -1 : 0;
}

/* As libc's: a directory that has no such program, or that is none, is passed over. */
static void exec_by_path(const char *file, char *const argv[], char *const envp[])
{
    const char *at = getenv("PATH"), *end;
    char full[PATH_LEN];
    bool forbidden = false;

    for (at = at ? at : "/bin:/usr/bin"; ; at = end + 1) {
        end = strchrnul(at, ':');
        if (snprintf(full, sizeof(full), "%.*s%s%s", (int)(end - at), at, end > at ? "/" : "", file)
            < (int)sizeof(full))
            hook_execve(full, argv, envp);
        else
            errno = ENAMETOOLONG;
        forbidden |= errno == EACCES;
        if (!*end || (errno != EACCES && errno != ENOENT && errno != ENOTDIR && errno != ESTALE
                      && errno != ENODEV && errno != ETIMEDOUT && errno != ENAMETOOLONG))
            break;
    }
    if (forbidden && errno == ENOENT)
        errno = EACCES;
}

/* Returns only if it fails. */
static void become(const char *path, bool search, const void *actions,
                   const posix_spawnattr_t *attributes, char *const argv[], char *const envp[],
                   sigset_t *mask)
{
    short flags = 0;

    if (attributes)
        posix_spawnattr_getflags(attributes, &flags);
    reset_signals(attributes, flags);
    if (attributes && set_process(attributes, flags) < 0)
        return;
    for (const struct spawn_action *action = find(actions); action; action = action->next)
        if (act(action) < 0)
            return;
    if (flags & POSIX_SPAWN_SETSIGMASK)
        posix_spawnattr_getsigmask(attributes, mask);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
    if (search && !strchr(path, '/'))
        exec_by_path(path, argv, envp);
    else
        hook_execve(path, argv, envp);
}

/* ---- in the parent --------------------------------------------------------- */

/* Not if some function that libc has got since has added one. */
static bool knows_all(const posix_spawn_file_actions_t *actions)
{
    int count = 0;

    for (const struct spawn_action *action = find(actions); action; action = action->next)
        count++;
    return count == actions->__used;
}

/* libc needs none: so it may not fail for want of a number. Returns 0 or an errno. */
static int make_pipe(int ends[2])
{
    int saved = errno, err = pipe2(ends, O_CLOEXEC) < 0 ? errno : 0;

    if (err == EMFILE && hidden_raise()) {
        err = pipe2(ends, O_CLOEXEC) < 0 ? errno : 0;
        hidden_lower();
    }
    if (err == 0) {
        ends[0] = hidden_move(ends[0]);
        ends[1] = hidden_move(ends[1]);
    }
    errno = saved;
    return err;
}

/* What the child says, or 0 when its exec has closed the pipe. */
static int hear(int from)
{
    int err = 0;
    ssize_t n;

    do
        n = REAL(read)(from, &err, sizeof(err));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(err) ? err : 0;
}

int spawn_run(pid_t *pid, const char *path, bool search, const void *actions,
              const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    sigset_t all, mask;
    int ends[2], saved = errno, err;
    pid_t child;

    if (!knows_all(actions))
        return -report_unserved("posix_spawn with an action that is not known", path);
    err = make_pipe(ends);
    if (err)
        return err;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    child = fork();
    if (child == 0) {
        become(path, search, actions, attributes, argv, envp, &mask);
        err = errno;
        REAL(write)(ends[1], &err, sizeof(err));
        hook_exit(127);
    }
    err = child < 0 ? errno : 0;
    hidden_close(ends[1]);
    if (child > 0)
        err = hear(ends[0]);
    hidden_close(ends[0]);
    if (child > 0 && err)
        waitpid(child, NULL, 0);
    else if (child > 0 && pid)
        *pid = child;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = saved;
    return err;
}
