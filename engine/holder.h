/*
 * Which processes hold a lock on a file: for messages, and to find out whether one
 * that is being waited for is stopped. It looks through /proc/PID/fdinfo, so it sees
 * what the caller may look at, and costs a look at every open file of the machine: for
 * when something has failed already. Who may use a disk is never decided by it.
 */
#ifndef ACOW_HOLDER_H
#define ACOW_HOLDER_H

#include <stdbool.h>

#include "addcow.h"

struct holder {
    int pid;
    bool stopped;               /* by a signal or a debugger */
    uint64_t start;             /* ticks since boot: with pid, one process for all time */
    char name[64];              /* of the program, as the kernel has it */
};

#define HOLDER_TEXT 192         /* bytes for a text */

/* A process. -ENOENT: there is none of that number, or /proc does not show it. */
int holder_process(const struct acow_sys *sys, int pid, struct holder *out);

/*
 * Those that hold a lock over any of the bytes [off, off + len) of the file that fd is, each
 * once, up to `max`. Returns how many; 0 too where /proc shows none.
 */
int holder_find(const struct acow_sys *sys, int fd, uint64_t off, uint64_t len,
                struct holder *out, int max);

/* "process 12 (fio)", "process 12 (fio) and 2 more", or that none can be seen. Returns `text`. */
const char *holder_text(const struct holder *holders, int count, char text[HOLDER_TEXT]);

#endif
