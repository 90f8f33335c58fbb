/*
 * Failing the nth call of a script. A test raises n until a run ends in which
 * nothing was hit, so that each call there is has failed once.
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

static int fail_nth(struct sys_call *call)
{
    /* Giving a lock back is the one thing that the kernel does not refuse. */
    if (call->op == SYS_LOCK && call->flags == F_UNLCK)
        return 0;
    if (fault->unprivileged && call_is(call, SYS_OPEN, "d.add-cow.run")
        && (call->flags & O_ACCMODE) != O_RDONLY)
        return -EACCES;
    if (fault->paused || (fault->kind == FAULT_SHORT && !transfers(call)))
        return 0;
    fault->seen++;
    if (fault->kind == FAULT_ONCE ? fault->seen != fault->nth : fault->seen < fault->nth)
        return 0;
    if (fault->kind == FAULT_SHORT) {
        /* 1, 513, 1025, … bytes short of the end, but one at the least. */
        int64_t less = 1 + 512 * (int64_t)(fault->seen % 4);

        if (call->len <= 1)
            return 0;
        fault->fired++;
        call->most = call->len > less ? call->len - less : 1;
        return 0;
    }
    if (fault->fired++ == 0)
        snprintf(fault->hit, sizeof(fault->hit), "%s %s", call->name, call->file);
    if (call->op == SYS_FDATASYNC && strstr(call->file, ".img") && fault->error != -EINTR)
        fault->sync_failed = true;
    return fault->error;
}

void fault_begin(struct fault *which)
{
    static const struct sys_hook hook = { .before = fail_nth };

    fault = which;
    sys_hook(&hook);
}
