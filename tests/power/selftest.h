/* Is the checker able to find what it looks for? */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "explore.h"

struct selftest {
    const char *name, *script;
    enum log_lie lie;
    bool same_boot;
    const char *says;           /* part of what must be found */
};

extern const struct selftest selftests[];
extern const int nselftests;

/* True if the breach is found, no breach is found in the same script without it, and the command
 * that is printed shows it again. `explore` says how hard to look. */
bool selftest_run(const struct selftest *test, const struct explore *explore);

#endif
