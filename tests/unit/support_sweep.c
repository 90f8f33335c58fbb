/* The runs; see sweep.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "sweep.h"

#define CALLS 4096
#define NEVER UINT32_MAX

struct place {
    enum sys_op op;
    const int *errnos;
    unsigned step;
    char name[32], file[64];
};

struct fault sweep_fault;

static struct place places[CALLS];
static unsigned nplaces, step;
static const char *scenario_name, *step_name;
static char what[256];

const char *sweep_what(void)
{
    static const char *const kinds[] = { "once", "for ever", "short", "short once" };

    snprintf(what, sizeof(what), "%s, call %u (%s) %s %s, %s", scenario_name, sweep_fault.nth,
             sweep_fault.hit, kinds[sweep_fault.kind], strerrorname_np(-sweep_fault.error),
             step_name);
    return what;
}

void sweep_step(const char *name)
{
    step++;
    step_name = name;
}

/* Who has a disk alone, or could not take its lock, keeps others out, or is kept out. */
static bool keeps_out(void)
{
    bool denied = sweep_fault.error == -EACCES || sweep_fault.error == -EPERM
                  || sweep_fault.error == -EROFS;

    return sweep_fault.unprivileged || (sweep_fault.kind == FAULT_EVER && denied) || strcmp(sweep_fault.hit, "open d.add-cow.run") == 0
           || strncmp(sweep_fault.hit, "lock ", 5) == 0;
}

static bool explains(ssize_t r)
{
    if ((r == -EBUSY && keeps_out()) || (r == -EACCES && sweep_fault.unprivileged))
        return true;
    if (!sweep_fault.fired)
        return false;
    if (sweep_fault.kind == FAULT_SHORT || sweep_fault.kind == FAULT_SHORT_ONCE)
        return r == -EIO || r == -ENOSPC;
    return r == sweep_fault.error || (sweep_fault.sync_failed && r == -EIO)
           || (r == -EAGAIN && sweep_fault.error == -EACCES && keeps_out());
}

ssize_t sweep_told(ssize_t r)
{
    check(r >= 0 || explains(r), "%s: %zd", sweep_what(), r);
    return r;
}

static void note(const struct sys_call *call)
{
    struct place *place = &places[nplaces++];

    check(nplaces < CALLS);
    *place = (struct place){ .op = call->op, .errnos = errnos_of(call), .step = step };
    snprintf(place->name, sizeof(place->name), "%s", call->name);
    snprintf(place->file, sizeof(place->file), "%s", call->file);
}

static void empty_directory(void)
{
    DIR *dir = opendir(".");
    struct dirent *entry;

    check(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            check(unlink(entry->d_name) == 0, "%s: %m", entry->d_name);
    closedir(dir);
}

static void run(const struct scenario *scenario, struct fault fault)
{
    int fds, maps;

    empty_directory();
    step = 0;
    step_name = "prepare";
    sweep_fault = fault;
    sweep_fault.unprivileged = scenario->unprivileged;
    fault_end();
    scenario->prepare();
    fds = open_fds();
    maps = mappings();
    fault_begin(&sweep_fault);
    scenario->act();
    fault_end();
    check(open_fds() == fds, "%s: descriptors leak", sweep_what());
    check(mappings() == maps, "%s: mappings leak", sweep_what());
    check(sweep_fault.fired || fault.nth == NEVER, "%s: nothing was hit", sweep_what());
    step_name = "afterwards";
    scenario->after();
}

/* How often it was met before: 2 in this step, 1 in another, 0 not at all. */
static int seen_before(unsigned at)
{
    const struct place *b = &places[at];
    int seen = 0;

    for (const struct place *a = places; a < b && seen < 2; a++)
        if (a->op == b->op && a->errnos == b->errnos && strcmp(a->file, b->file) == 0)
            seen = a->step == b->step ? 2 : 1;
    return seen;
}

static bool is_transfer(enum sys_op op)
{
    return op == SYS_PREAD || op == SYS_PREADV || op == SYS_PWRITE || op == SYS_PWRITEV;
}

static void run_at(const struct scenario *scenario, enum fault_kind kind, unsigned at, int error)
{
    struct fault fault = { .kind = kind, .error = -error, .nth = at + 1 };

    snprintf(fault.hit, sizeof(fault.hit), "%s %s", places[at].name, places[at].file);
    run(scenario, fault);
}

void sweep(const struct scenario *scenario, enum fault_kind kind)
{
    bool all = test_all_faults();
    bool cut = kind == FAULT_SHORT || kind == FAULT_SHORT_ONCE;
    unsigned runs = 0;

    scenario_name = scenario->name;
    nplaces = 0;
    run(scenario, (struct fault){ .kind = kind, .error = -EIO, .nth = NEVER, .note = note });
    check(nplaces >= scenario->least, "%s: only %u calls", scenario->name, nplaces);
    for (unsigned at = 0; at < nplaces; at++) {
        int seen = all ? 0 : seen_before(at), errnos[ERRNOS_MAX], count = 0, tries;

        if ((cut && !is_transfer(places[at].op)) || seen == 2)
            continue;
        /* No signal interrupts every call for ever. */
        for (const int *e = places[at].errnos; *e; e++)
            if (kind != FAULT_EVER || *e != EINTR)
                errnos[count++] = *e;
        tries = cut ? 1 : all ? count : seen == 1 || kind == FAULT_EVER ? 1 : 2;
        for (int i = 0; i < tries && i < count; i++, runs++)
            run_at(scenario, kind, at, errnos[all ? i : (int)(at + i) % count]);
    }
    fprintf(stderr, "%s: %u calls, %u runs\n", scenario->name, nplaces, runs);
}
