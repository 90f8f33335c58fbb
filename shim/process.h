/*
 * The life of the process: start, fork, exec, exit.
 */
#ifndef SHIM_PROCESS_H
#define SHIM_PROCESS_H

#include <stdbool.h>
#include <sys/single_threaded.h>

#include "hot.h"

/* Once the library's exit handler has run: from then on each call gives its disk up itself. */
static inline bool process_is_ending(void)
{
    return __atomic_load_n(&hot.ending, __ATOMIC_RELAXED);
}

static inline void process_ends(void)
{
    __atomic_store_n(&hot.ending, true, __ATOMIC_RELAXED);
}

/*
 * How many calls this thread has under way that may hold a lock. Above 0 in _exit or exec
 * means that a signal handler interrupted one: then the disks cannot be given up,
 * and are left as by a kill, which loses nothing.
 */
extern __thread int process_busy;

/*
 * Around such a call. A thread that is cancelled meanwhile would leave its locks, and what it has counted, as they
 * are: so the request waits until the call is over.
 */
void process_hold_cancel(void);
void process_let_cancel(void);
extern __thread bool process_holds_cancel;

static inline void process_enter(void)
{
    if (process_busy++ == 0 && !__libc_single_threaded)
        process_hold_cancel();
}

static inline void process_leave(void)
{
    if (--process_busy == 0 && __builtin_expect(process_holds_cancel, 0))
        process_let_cancel();
}

/*
 * True in the child of a vfork: it shares our memory but not our descriptors, so the
 * table must be left alone, and calls on descriptors made natively. A placeholder
 * stays one over native dup and close, and the program that is exec'ed adopts it.
 */
bool process_is_vfork_child(void);

/* Around what makes or ends descriptors of disks and changes the table: a fork waits for it. May be nested. */
void process_change(void);
void process_changed(void);

#endif
