/* Processes of the test: starting, stopping, killing, and waiting for them. */
#ifndef HERD_H
#define HERD_H

#include <sys/types.h>

#include "ledger.h"

#define DISK "d.add-cow"
#define LEDGER "ledger"
#define LOG "log"                   /* what the library says */

struct herd {
    struct ledger *ledger;
    const char *library;            /* to preload */
    int pids[SEATS];                /* 0: the seat is free */
    int fds[SEATS];                 /* pidfds: a number may have become another's */
    bool stopped[SEATS];            /* by SIGSTOP */
    unsigned families[SEATS];       /* those of one share a descriptor */
    unsigned next_family;
    uint64_t kills, stops, holders; /* processes killed, stopped, and stopped with a lock */
    uint64_t timeouts;              /* calls that gave up because of that */
    uint64_t seen_steps[SEATS][HANDS];
    double seen_at[SEATS][HANDS];
};

/* Seconds of no progress at all that are taken for a hang: it is not about speed. */
#define HANG_SECONDS 40

/* Runs this program with the library preloaded, or plainly. */
pid_t herd_spawn(const struct herd *herd, bool preload, char *const args[]);

/* A worker at the seat; one more at seat `also`, if that is not -1, as its fork. */
void herd_start(struct herd *herd, int seat, int also);

/* Sends the signal to the worker. */
void herd_signal(struct herd *herd, int seat, int signal);

/* Stops the worker. Returns once it is, or -1 if it was found dead. */
int herd_stop(struct herd *herd, int seat);

/* Continues a worker that is stopped, or kills it. */
void herd_unstop(struct herd *herd, int seat, int signal);

/* True if a worker shares a descriptor, and what belongs to it, with another one that lives. */
bool herd_is_shared(const struct herd *herd, int seat);

/* Waits until the worker is gone, and the seat is free. */
void herd_wait(struct herd *herd, int seat);

/* Waits for another child of the test. Returns its wait status, or -1 after a hang. */
int herd_wait_other(struct herd *herd, pid_t pid);

/* Lets things happen until so many more operations are done, or seconds are over. */
void herd_pause(struct herd *herd, uint64_t ops, double seconds);

/* Waits until each thread of each worker that is not stopped has made a step. */
void herd_all_step(struct herd *herd);

/* Has all workers stand still between two operations, or go on. */
void herd_hold(struct herd *herd, bool hold);

/* Waits for the idle children, which are to end. */
void herd_wait_idle(struct herd *herd);

/* Kills all there are, whatever they do. */
void herd_end(struct herd *herd);

/* True if a thread of the worker holds a lock of the run-time file. */
bool hang_holds(const struct ledger *ledger, int seat);

/* Prints who waits where, and for what. */
void hang_report(const struct ledger *ledger, const int *pids, int npids);

#endif
