/*
 * Signals and threads: only so that system calls that trap (deep.h) are served in every thread,
 * whatever the program does with SIGSYS. It is never blocked, and never ignored.
 */
#include <pthread.h>
#include <signal.h>

#include "deep.h"
#include "hooks.h"
#include "real.h"

/* The set without SIGSYS, if there is a reason. */
static const sigset_t *spare(const sigset_t *set, sigset_t *copy)
{
    if (!set || !deep_is_on() || sigismember(set, SIGSYS) != 1)
        return set;
    *copy = *set;
    sigdelset(copy, SIGSYS);
    return copy;
}

int hook_sigaction(int signal, const struct sigaction *new, struct sigaction *old)
{
    struct sigaction action;
    int r;

    if (!deep_is_on())
        return REAL(sigaction)(signal, new, old);
    if (signal == SIGSYS) {
        r = deep_action(new, old);
        if (r < 0)
            errno = -r;
        return r < 0 ? -1 : 0;
    }
    if (new && sigismember(&new->sa_mask, SIGSYS) == 1) {
        action = *new;
        sigdelset(&action.sa_mask, SIGSYS);
        new = &action;
    }
    return REAL(sigaction)(signal, new, old);
}

static sighandler_t set_handler(int signal, sighandler_t handler, int flags)
{
    struct sigaction new = { .sa_handler = handler, .sa_flags = flags }, old;

    if (!(flags & SA_NODEFER))
        sigaddset(&new.sa_mask, signal);
    return hook_sigaction(signal, &new, &old) < 0 ? SIG_ERR : old.sa_handler;
}

sighandler_t hook_signal(int signal, sighandler_t handler)
{
    return deep_is_on() && signal == SIGSYS ? set_handler(signal, handler, SA_RESTART)
                                            : REAL(signal)(signal, handler);
}

sighandler_t hook_sysv_signal(int signal, sighandler_t handler)
{
    return deep_is_on() && signal == SIGSYS
               ? set_handler(signal, handler, SA_RESETHAND | SA_NODEFER)
               : REAL(sysv_signal)(signal, handler);
}

int hook_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t copy;

    return REAL(sigprocmask)(how, how == SIG_UNBLOCK ? set : spare(set, &copy), old);
}

int hook_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    sigset_t copy;

    return REAL(pthread_sigmask)(how, how == SIG_UNBLOCK ? set : spare(set, &copy), old);
}

int hook_sigsuspend(const sigset_t *set)
{
    sigset_t copy;

    return REAL(sigsuspend)(spare(set, &copy));
}

int hook_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*begin)(void *),
                        void *arg)
{
    struct deep_thread *deep = deep_is_on() ? deep_thread((void (*)(void))begin, arg) : NULL;
    int r = deep ? REAL(pthread_create)(thread, attr, deep_thread_begin, deep)
                 : REAL(pthread_create)(thread, attr, begin, arg);

    if (deep && r != 0)
        deep_thread_drop(deep);
    return r;
}

int hook_thrd_create(thrd_t *thread, thrd_start_t begin, void *arg)
{
    struct deep_thread *deep = deep_is_on() ? deep_thread((void (*)(void))begin, arg) : NULL;
    int r = deep ? REAL(thrd_create)(thread, deep_thrd_begin, deep)
                 : REAL(thrd_create)(thread, begin, arg);

    if (deep && r != thrd_success)
        deep_thread_drop(deep);
    return r;
}

#define HOOK_signal EXPORT
#include "alias.h"
