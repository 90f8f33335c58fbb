/*
 * Turning the dispatch on. The range from which calls do not trap is libc's text: what goes
 * through libc meets the hooks there, and the shim's own calls go through libc, too.
 */
#include "deep.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "real.h"
#include "report.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

__thread volatile char deep_selector;
__thread char *deep_stack;

static bool on;
static pthread_key_t stacks;
static uintptr_t text, text_len;

static int find_text(struct dl_phdr_info *info, size_t size, void *arg)
{
    uintptr_t within = (uintptr_t)gnu_get_libc_version;

    (void)size, (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && segment->p_flags & PF_X && within - start < segment->p_memsz) {
            text = start;
            text_len = segment->p_memsz;
            return 1;
        }
    }
    return 0;
}

static int dispatch(void)
{
    deep_selector = 1;
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, text, text_len, &deep_selector);
}

static void free_stack(void *stack)
{
    deep_stack = NULL;
    REAL(munmap)(stack, DEEP_STACK);
}

void deep_arm(void)
{
    sigset_t mask;

    if (!on)
        return;
    if (!deep_stack) {
        void *stack = REAL(mmap64)(NULL, DEEP_STACK, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (stack != MAP_FAILED && pthread_setspecific(stacks, stack) == 0)
            deep_stack = stack;
    }
    sigemptyset(&mask);
    sigaddset(&mask, SIGSYS);
    REAL(pthread_sigmask)(SIG_UNBLOCK, &mask, NULL);
    dispatch();
}

bool deep_is_on(void)
{
    return on;
}

void deep_init(void)
{
    const char *wanted = secure_getenv("ADDCOW_DEEP");
    struct sigaction action = {
        .sa_sigaction = deep_trap,
        .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
    };

    if (!wanted || !*wanted || strcmp(wanted, "0") == 0)
        return;
    dl_iterate_phdr(find_text, NULL);
    if (!text || REAL(sigaction)(SIGSYS, &action, NULL) < 0 || dispatch() < 0) {
        report("ADDCOW_DEEP: %s: system calls that a program makes by itself fail on disks with "
               "EBADF (Linux 5.11 or later on x86-64 can do it)",
               text ? strerrordesc_np(errno) : "libc is not found");
        return;
    }
    on = pthread_key_create(&stacks, free_stack) == 0;
    deep_trap_init();
    deep_arm();
}

/* ---- threads ------------------------------------------------------------------------ */

struct deep_thread {
    void (*begin)(void);
    void *arg;
};

struct deep_thread *deep_thread(void (*begin)(void), void *arg)
{
    struct deep_thread *thread = malloc(sizeof(*thread));

    if (thread)
        *thread = (struct deep_thread){ begin, arg };
    return thread;
}

void deep_thread_drop(struct deep_thread *thread)
{
    free(thread);
}

static struct deep_thread take(void *arg)
{
    struct deep_thread thread = *(struct deep_thread *)arg;

    free(arg);
    deep_arm();
    return thread;
}

void *deep_thread_begin(void *arg)
{
    struct deep_thread thread = take(arg);

    return ((void *(*)(void *))thread.begin)(thread.arg);
}

int deep_thrd_begin(void *arg)
{
    struct deep_thread thread = take(arg);

    return ((int (*)(void *))thread.begin)(thread.arg);
}
