/*
 * Goes through the states that power cuts during a script leave: each moment, and for each, every
 * choice of what was not yet synced; at random where there are too many choices. Each new
 * state is recovered; one that was seen before, in whatever script, is only asked the oracle about.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include "log.h"
#include "script.h"

/* Seconds for one moment of a script: for what never ends, not what is slow. */
#define EXPLORE_HANGS_AFTER 120

struct explore_totals {
    uint64_t scripts;
    uint64_t cuts, drawn_cuts;      /* moments; those with more choices than were tried */
    uint64_t judged;                /* asked the oracle about */
    uint64_t distinct;              /* different states, recovered */
    uint64_t distinct_disks;        /* … different without regard to the run-time file */
    uint64_t on_files;              /* also recovered with real files */
};

struct explore {
    /* What to do. */
    uint64_t seed;
    enum log_lie lie;
    bool same_boot;                 /* the power comes back without another boot id */
    unsigned choices;               /* at most so many to go through all of them: a power of two */
    unsigned draws;                 /* … and so many are drawn instead */
    bool every_run;                 /* each with each condition of the run-time file, not one */
    const char *dir;                /* where real files can be made; NULL: none are */
    unsigned files_every;           /* so many states make one that is tried on real files too */
    /* What came of it. */
    struct explore_totals totals;
};

/* False if there was a breach; then *where gets the command that shows it again. */
bool explore_script(struct explore *explore, const struct script *script, char where[4096]);

/* One state alone; arguments as in that command. `show`: prints the log and what is made of it. */
bool explore_replay(struct explore *explore, const struct script *script, const char *at,
                    const char *kept, unsigned run, bool show);

/* Forgets which states were seen. */
void explore_forget(void);

/* For a crash: the command for what is being tried. Empty if nothing is. */
const char *explore_where(void);

#endif
