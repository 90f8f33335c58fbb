/* Runs a script on the machine. */
#ifndef RUN_H
#define RUN_H

#include "files.h"

/*
 * Runs it, with the log listening. Each time that the power is cut, and at the end, fn is called
 * with the number of cuts before; the log is complete then, and the machine is fn's to use.
 * Stops at a breach.
 */
void run_script(const struct script *script, enum log_lie lie, void (*fn)(int part, void *arg),
                void *arg);

#endif
