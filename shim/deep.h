/*
 * ADDCOW_DEEP=1: system calls that a program makes without libc (fio's io_uring engine, liburing,
 * Go with cgo). The kernel's system call user dispatch makes each one outside libc a SIGSYS, whose
 * handler serves it (deep_trap.c). It is a property of a thread, and ends with fork and exec.
 */
#ifndef SHIM_DEEP_H
#define SHIM_DEEP_H

#include <signal.h>
#include <stdbool.h>

/* From here on this thread's calls are served. Reports what hinders it. */
void deep_init(void);

bool deep_is_on(void);

/* In the child of a fork, and in a new thread. */
void deep_arm(void);

/* A thread that calls begin(arg) with its calls served: what to begin it with instead. */
struct deep_thread;
struct deep_thread *deep_thread(void (*begin)(void), void *arg);
void *deep_thread_begin(void *thread);
int deep_thrd_begin(void *thread);
void deep_thread_drop(struct deep_thread *thread);

/* What SIGSYS means to the program. Either may be NULL; returns 0 or a negative errno. */
int deep_action(const struct sigaction *new, struct sigaction *old);

/* ---- between deep.c and deep_trap.c ------------------------------------------------------------ */

/* Whether the calls of this thread trap: what the kernel looks at. Set to let our own through. */
extern __thread volatile char deep_selector;

/* Where a long call may run: the program's stack may be a small one. NULL: there was no memory. */
extern __thread char *deep_stack;
#define DEEP_STACK (256 * 1024)

void deep_trap(int signal, siginfo_t *info, void *context);
void deep_trap_init(void);

#endif
