/*
 * One system call that trapped. Three ways to serve it:
 *
 *  - what is not about a disk is made as it is, here, with the signals that the program
 *    lets in, so that one that waits can be interrupted;
 *  - what is, goes to the hook. If the handler runs on an alternate stack, which may be a small
 *    one, then on a stack of the shim's, and with signals held off: the next one would be put onto
 *    the alternate stack from its beginning, over this one's frame;
 *  - what changes the frame that the handler returns by is made as a change of it: masks, the
 *    alternate stack, and the return from a handler of the program's.
 *
 * A fork by number is libc's, so that its handlers run. A thread by number, with a stack of its
 * own and no libc to serve it, is refused.
 */
#include "deep.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "fdtable.h"
#include "real.h"
#include "report.h"

#ifdef __x86_64__

#define DISPATCHED 2            /* si_code: SYS_USER_DISPATCH */
#define KERNEL_SET (_NSIG / 8)

/* As the kernel takes it. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static const uint64_t sigsys = 1ull << (SIGSYS - 1);
static void (*restorer)(void);  /* libc's return from a handler */
static struct kernel_action program;    /* what the program has asked for */

void deep_trap_init(void)
{
    struct kernel_action action;

    REAL(syscall)(SYS_rt_sigaction, SIGSYS, NULL, &action, KERNEL_SET);
    restorer = action.restorer;
}

static long native(long number, const long a[6])
{
    long r = REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return r == -1 ? -errno : r;
}

static long hooked(long number, const long a[6])
{
    long r = hook_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    return r == -1 ? -errno : r;
}

/* ---- on a stack of the shim's ------------------------------------------------------ */

struct call {
    long number;
    const long *a;
    long result;
};

__attribute__((used)) static void run_call(struct call *call)
{
    call->result = hooked(call->number, call->a);
}

static void run_on(char *end, struct call *call)
{
    void (*run)(struct call *) = run_call;
    register char *sp __asm__("rbx") = end;

    __asm__ volatile("xchg %%rsp, %%rbx\n\t"
                     "call *%%rax\n\t"
                     "mov %%rbx, %%rsp"
                     : "+r"(sp), "+D"(call), "+a"(run)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0",
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                       "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

static bool within(uintptr_t sp, const stack_t *stack)
{
    return sp - (uintptr_t)stack->ss_sp < stack->ss_size;
}

static long apart(long number, const long a[6], const ucontext_t *context)
{
    struct call call = { number, a, 0 };
    sigset_t all, mask;

    if (!deep_stack || !within((uintptr_t)&call, &context->uc_stack))
        return hooked(number, a);
    sigfillset(&all);
    REAL(pthread_sigmask)(SIG_SETMASK, &all, &mask);
    deep_selector = 0;
    run_on(deep_stack + DEEP_STACK, &call);
    deep_selector = 1;
    REAL(pthread_sigmask)(SIG_SETMASK, &mask, NULL);
    return call.result;
}

/* ---- signals --------------------------------------------------------------------------- */

static long set_mask(ucontext_t *context, const long a[6])
{
    const uint64_t *set = (const uint64_t *)a[1];
    uint64_t *old = (uint64_t *)a[2], mask, was;

    if (a[3] != KERNEL_SET)
        return -EINVAL;
    memcpy(&was, &context->uc_sigmask, sizeof(was));
    mask = was;
    if (set) {
        switch (a[0]) {
        case SIG_BLOCK: mask |= *set; break;
        case SIG_UNBLOCK: mask &= ~*set; break;
        case SIG_SETMASK: mask = *set; break;
        default: return -EINVAL;
        }
        mask &= ~sigsys;
        memcpy(&context->uc_sigmask, &mask, sizeof(mask));
    }
    if (old)
        *old = was;
    return 0;
}

static long set_action(const long a[6])
{
    struct kernel_action *old = (struct kernel_action *)a[2], action;
    long b[6] = { a[0], a[1], a[2], a[3] };

    if (a[3] != KERNEL_SET)
        return -EINVAL;
    if (a[1])
        action = *(const struct kernel_action *)a[1];
    if (a[0] == SIGSYS) {
        if (old)
            *old = program;
        if (a[1])
            program = action;
        return 0;
    }
    if (a[1]) {
        action.mask &= ~sigsys;
        b[1] = (long)&action;
    }
    return native(SYS_rt_sigaction, b);
}

int deep_action(const struct sigaction *new, struct sigaction *old)
{
    struct kernel_action was = program;

    if (new) {
        program.handler = new->sa_handler;
        program.flags = (unsigned long)new->sa_flags;
        memcpy(&program.mask, &new->sa_mask, sizeof(program.mask));
    }
    if (old) {
        memset(old, 0, sizeof(*old));
        old->sa_handler = was.handler;
        old->sa_flags = (int)was.flags;
        memcpy(&old->sa_mask, &was.mask, sizeof(was.mask));
    }
    return 0;
}

static long set_stack(ucontext_t *context, const long a[6])
{
    stack_t *stack = &context->uc_stack, was = *stack;
    bool inside = within((uintptr_t)context->uc_mcontext.gregs[REG_RSP], stack);

    if (a[0]) {
        const stack_t *new = (const stack_t *)a[0];

        if (inside)
            return -EPERM;
        if (new->ss_flags & SS_DISABLE)
            *stack = (stack_t){ .ss_flags = SS_DISABLE };
        else if (new->ss_size < (size_t)MINSIGSTKSZ)
            return -ENOMEM;
        else
            *stack = *new;
    }
    if (a[1]) {
        *(stack_t *)a[1] = was;
        /* One that was never set has no flags in the frame. */
        ((stack_t *)a[1])->ss_flags |= was.ss_size == 0 ? SS_DISABLE : inside ? SS_ONSTACK : 0;
    }
    return 0;
}

/* From a handler of the program's, whose restorer is not libc's: its frame, instead of ours. */
static void __attribute__((noreturn)) return_from(const ucontext_t *context)
{
    __asm__ volatile("mov %0, %%rsp\n\tjmp *%1"
                     : : "r"(context->uc_mcontext.gregs[REG_RSP]), "r"(restorer) : "memory");
    __builtin_unreachable();
}

/* A SIGSYS that another filter has sent. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    if (program.handler == SIG_IGN)
        return;
    if (program.handler == SIG_DFL) {
        REAL(signal)(SIGSYS, SIG_DFL);
        raise(SIGSYS);
        return;
    }
    ((void (*)(int, siginfo_t *, void *))(uintptr_t)program.handler)(signal, info, context);
}

/* ---- forks ---------------------------------------------------------------------------- */

/* Memory is not shared with the parent: a child that shares it has to be careful in ways that only
 * its parent knows, and ours would return over our frame. */
static long fork_by(long number, const long a[6], uint64_t flags, uint64_t stack)
{
    const uint64_t shared = CLONE_VM | CLONE_VFORK, simple = shared | 0xff;
    long b[6], r;

    if (stack || flags & CLONE_THREAD) {
        report("a thread that is made by clone, without libc, cannot be served: ENOSYS");
        return -ENOSYS;
    }
    if ((flags & ~simple) == 0 && (flags & 0xff) == SIGCHLD) {
        r = fork();
        return r < 0 ? -errno : r;
    }
    memcpy(b, a, sizeof(b));
    if (number == SYS_clone3) {
        struct clone_args args = { 0 };

        memcpy(&args, (const void *)a[0], (size_t)a[1] < sizeof(args) ? (size_t)a[1] : sizeof(args));
        args.flags &= ~shared;
        b[0] = (long)&args;
        r = native(number, b);
    } else {
        b[0] = (long)(flags & ~shared);
        r = native(number, b);
    }
    if (r == 0)
        deep_arm();
    return r;
}

static long clone_by(const long a[6])
{
    const struct clone_args *args = (const struct clone_args *)a[0];

    if (a[1] < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    return fork_by(SYS_clone3, a, args->flags | args->exit_signal, args->stack);
}

/* ---- which is which --------------------------------------------------------------------- */

static bool is_disk(long fd)
{
    return fdtable_is_disk((int)fd);
}

/* About a disk, by the descriptor or by what only the hook can tell. */
static bool concerns_us(long number, const long a[6])
{
    switch (number) {
    case SYS_read: case SYS_write: case SYS_pread64: case SYS_pwrite64: case SYS_readv:
    case SYS_writev: case SYS_preadv: case SYS_pwritev: case SYS_preadv2: case SYS_pwritev2:
    case SYS_lseek: case SYS_ftruncate: case SYS_fallocate: case SYS_fsync: case SYS_fdatasync:
    case SYS_syncfs: case SYS_sync_file_range: case SYS_fadvise64: case SYS_readahead:
    case SYS_fstat: case SYS_fstatfs: case SYS_fchmod: case SYS_fchown: case SYS_fgetxattr:
    case SYS_flistxattr: case SYS_fsetxattr: case SYS_fremovexattr: case SYS_ioctl:
        return is_disk(a[0]);
    case SYS_sendfile:
    case SYS_tee:
        return is_disk(a[0]) || is_disk(a[1]);
    case SYS_splice:
    case SYS_copy_file_range:
        return is_disk(a[0]) || is_disk(a[2]);
    case SYS_nanosleep: case SYS_clock_nanosleep: case SYS_futex: case SYS_poll: case SYS_ppoll:
    case SYS_select: case SYS_pselect6: case SYS_epoll_wait: case SYS_epoll_pwait:
    case SYS_epoll_pwait2: case SYS_wait4: case SYS_waitid: case SYS_pause:
    case SYS_rt_sigtimedwait: case SYS_rt_sigsuspend: case SYS_accept: case SYS_accept4:
    case SYS_connect: case SYS_sendto: case SYS_recvfrom: case SYS_exit: case SYS_io_getevents:
    case SYS_io_pgetevents: case SYS_msgsnd: case SYS_msgrcv: case SYS_semop: case SYS_semtimedop:
    case SYS_mq_timedsend: case SYS_mq_timedreceive:
        return false;
    default:
        return true;
    }
}

static long serve(long number, const long a[6], ucontext_t *context)
{
    switch (number) {
    case SYS_rt_sigreturn: return_from(context);
    case SYS_rt_sigprocmask: return set_mask(context, a);
    case SYS_rt_sigaction: return set_action(a);
    case SYS_sigaltstack: return set_stack(context, a);
    case SYS_fork:
    case SYS_vfork: return fork_by(SYS_fork, a, SIGCHLD, 0);
    case SYS_clone: return fork_by(number, a, (uint64_t)a[0], (uint64_t)a[1]);
    case SYS_clone3: return clone_by(a);
    /* With the mask that the program has, for what is exec'ed inherits it; the others may wait. */
    case SYS_execve:
    case SYS_execveat:
    case SYS_flock:
    case SYS_fcntl:
    case SYS_sendmsg:
    case SYS_recvmsg:
    case SYS_sendmmsg:
    case SYS_recvmmsg: return hooked(number, a);
    default: return concerns_us(number, a) ? apart(number, a, context) : native(number, a);
    }
}

void deep_trap(int signal, siginfo_t *info, void *arg)
{
    ucontext_t *context = arg;
    greg_t *regs = context->uc_mcontext.gregs;
    const long a[6] = { regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
                        regs[REG_R10], regs[REG_R8], regs[REG_R9] };
    int saved = errno;

    if (info->si_code == DISPATCHED)
        regs[REG_RAX] = serve(info->si_syscall, a, context);
    else
        pass_on(signal, info, context);
    errno = saved;
}

#endif
