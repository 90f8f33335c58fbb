/*
 * Every system call of a scenario made to fail, one run for each: with each errno that it can
 * return, once and for ever, and with its transfer cut short. First the scenario runs with
 * nothing failing, which tells what calls there are.
 *
 * With ADDCOW_FAULTS=all that is each call there is. Else calls of one kind on one file in one
 * step count as one, and is tried with two of its errnos, in turn; what was met in an earlier step of
 * the scenario with one, and so is everything "for ever".
 */
#ifndef SWEEP_H
#define SWEEP_H

#include "sys_hook.h"

struct scenario {
    const char *name;
    void (*prepare)(void);      /* the files, in an empty directory; nothing fails */
    void (*act)(void);          /* through sys_hooked; says each step and its result */
    void (*after)(void);        /* nothing fails any more: what must be there */
    bool unprivileged;          /* a run-time file cannot be made */
    unsigned least;             /* calls that there are at the least */
};

void sweep(const struct scenario *scenario, enum fault_kind kind);

/* What the present run lets fail. */
extern struct fault sweep_fault;
/* For messages: scenario, call, errno, step. */
const char *sweep_what(void);

/* The next step begins. */
void sweep_step(const char *name);
/* A step's result is one that what has failed can explain. Returns it. */
ssize_t sweep_told(ssize_t result);

#define ERRNOS_MAX 16

/* The errnos, positive and ended by 0, that a call can return while what it works on is there. */
const int *errnos_of(const struct sys_call *call);

#endif
