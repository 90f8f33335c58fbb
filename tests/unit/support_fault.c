/*
 * Failing the nth call of what a test does. What each call may return is in
 * support_errnos.c; which of them are tried, in support_sweep.c.
 */
#include <errno.h>
#include <fcntl.h>

#include "sys_hook.h"

static struct fault *fault;

static bool transfers(const struct sys_call *call)
{
    return call->op == SYS_PREAD || call->op == SYS_PREADV || call->op == SYS_PWRITE
           || call->op == SYS_PWRITEV;
}

static bool is_due(const struct sys_call *call)
{
    switch (fault->kind) {
    case FAULT_ONCE:
    case FAULT_SHORT_ONCE:
        return fault->seen == fault->nth;
    case FAULT_EVER:
        /* A lock that is held for ever is waited for. */
        return fault->seen >= fault->nth
               && (call->op != SYS_LOCK || (fault->error != -EAGAIN && fault->error != -EACCES));
    case FAULT_SHORT:
        return fault->seen >= fault->nth && transfers(call);
    }
    return false;
}

static int fail_nth(struct sys_call *call)
{
    call->easy = true;
    /* Giving a lock back is the one thing that the kernel does not refuse. */
    if (call->op == SYS_LOCK && call->flags == F_UNLCK)
        return 0;
    if (fault->unprivileged && call_is(call, SYS_OPEN, "d.add-cow.run")
        && (call->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    if (fault->paused)
        return 0;
    fault->seen++;
    if (fault->note)
        fault->note(call);
    if (!is_due(call))
        return 0;
    if (fault->fired++ == 0)
        snprintf(fault->hit, sizeof(fault->hit), "%s %s", call->name, call->file);
    if (fault->kind == FAULT_SHORT || fault->kind == FAULT_SHORT_ONCE) {
        /* 1, 513, 1025, … bytes short of the end, but one at the least. */
        int64_t less = 1 + 512 * (int64_t)(fault->seen % 4);

        call->most = call->len > less ? call->len - less : call->len > 0;
        return 0;
    }
    if (call->op == SYS_FDATASYNC && strstr(call->file, ".img") && fault->error != -EINTR)
        fault->sync_failed = true;
    return fault->error;
}

void fault_begin(struct fault *which)
{
    static const struct sys_hook hook = { .before = fail_nth, .alone_in_proc = true };

    fault = which;
    sys_hook(&hook);
}

static int make_easy(struct sys_call *call)
{
    call->easy = true;
    return 0;
}

void fault_end(void)
{
    static const struct sys_hook hook = { .before = make_easy };

    sys_hook(&hook);
}
