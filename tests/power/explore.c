/*
 * Choices are gone through so that nothing is made twice on the way: a cut one event later adds,
 * as a rule, one choice, and only states that have it need be made. Only where a sync or a
 * flush has ended are all made again, since other things are certain, or promised, then.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover.h"
#include "run.h"

static struct {
    struct explore *explore;
    const struct script *script;
    int part;
    struct cut cut;
    bool kept[LOG_EVENTS];
    unsigned run;
    uint64_t turn;              /* of the run-time file's conditions */
    struct rng rng;
} now;

/* ---- states seen --------------------------------------------------------- */

struct set {
    uint64_t *keys, size, count;        /* 0: free; size is a power of two */
};

static struct set states, disks;

static void add_key(struct set *set, uint64_t key)
{
    uint64_t at = mix(key) & (set->size - 1);

    while (set->keys[at])
        at = (at + 1) & (set->size - 1);
    set->keys[at] = key;
    set->count++;
}

static void grow(struct set *set)
{
    struct set old = *set;

    set->size = old.size ? old.size * 4 : 1 << 16;
    set->count = 0;
    set->keys = calloc(set->size, sizeof(*set->keys));
    if (!set->keys)
        fatal("no memory to remember states");
    for (uint64_t i = 0; i < old.size; i++)
        if (old.keys[i])
            add_key(set, old.keys[i]);
    free(old.keys);
}

/* True if it was not in it. */
static bool add_new(struct set *set, uint64_t key)
{
    if (set->count * 2 >= set->size)
        grow(set);
    key += key == 0;
    for (uint64_t at = mix(key) & (set->size - 1); set->keys[at]; at = (at + 1) & (set->size - 1))
        if (set->keys[at] == key)
            return false;
    add_key(set, key);
    return true;
}

void explore_forget(void)
{
    free(states.keys);
    free(disks.keys);
    states = disks = (struct set){ 0 };
}

/* ---- one state ----------------------------------------------------------- */

static void recover(struct found *found)
{
    struct explore *explore = now.explore;

    explore->totals.distinct++;
    if (recover_on_machine(found, explore->same_boot) && explore->dir
        && explore->totals.distinct % explore->files_every == 0) {
        explore->totals.on_files++;
        recover_on_files(found, explore->dir);
    }
}

/* What the disk, its backing files included, is without the state. */
static uint64_t hash_script(const struct script *script)
{
    return mix(script->size + mix(script->backing + script->chain));
}

static bool try_state(void)
{
    static struct state state;
    struct found found = {
        .log = now.cut.log, .state = &state, .layout = files_layout(now.script->size),
    };

    state_build(&now.cut, now.kept, now.run, &state);
    now.explore->totals.judged++;
    if (!oracle_judge(now.cut.log, &state, &found.there, &found.flat))
        return false;
    found.hash = state_hash(now.cut.log, &state) + hash_script(now.script);
    if (add_new(&states, found.hash)) {
        bool run_there = state.run_there;

        state.run_there = false;
        if (add_new(&disks, state_hash(now.cut.log, &state) + hash_script(now.script)))
            now.explore->totals.distinct_disks++;
        state.run_there = run_there;
        recover(&found);
    }
    return !breach_found();
}

/* ---- all of a cut -------------------------------------------------------- */

/*
 * The run-time file's conditions in turn, and every now and then a torn one. After the same boot it
 * is as it was: what one may believe is at least whole.
 */
static unsigned next_run(void)
{
    uint64_t turn = now.turn++;

    if (now.cut.nruns == 1 || now.explore->same_boot)
        return now.cut.nruns > 1;
    if (turn % 4 == 3)
        return (unsigned)now.cut.nruns + (unsigned)rng_below(&now.rng, 1u << 30);
    return (unsigned)(turn % (unsigned)now.cut.nruns);
}

/* With the run-time file in every condition, if that is asked for. */
static bool try_runs(void)
{
    bool every = now.explore->every_run && now.cut.nruns > 1 && !now.explore->same_boot;

    for (int run = 0; every && run < now.cut.nruns; run++) {
        now.run = (unsigned)run;
        if (!try_state())
            return false;
    }
    now.run = next_run();
    return try_state();
}

static bool try_each(uint64_t fixed)
{
    int n = now.cut.nloose;

    for (uint64_t mask = 0; mask < 1ull << n; mask++) {
        if ((mask & fixed) != fixed)
            continue;
        for (int i = 0; i < n; i++)
            now.kept[i] = mask >> i & 1;
        if (!try_runs())
            return false;
    }
    return true;
}

static bool try_some(bool newest)
{
    int n = now.cut.nloose;

    now.explore->totals.drawn_cuts++;
    for (unsigned draw = 0; draw < now.explore->draws; draw++) {
        unsigned percent = (unsigned)rng_below(&now.rng, 101);

        for (int i = 0; i < n; i++)
            now.kept[i] = rng_percent(&now.rng, percent);
        if (newest)
            now.kept[n - 1] = true;
        if (!try_runs())
            return false;
    }
    return true;
}

static bool try_cut(int at)
{
    struct log *log = &log_current;
    enum event_kind last = at ? log->events[at - 1].kind : EVENT_SYNC;
    bool newest;

    alarm(EXPLORE_HANGS_AFTER);
    state_cut(&now.cut, log, at);
    oracle_cut(at);
    newest = last != EVENT_SYNC && last != EVENT_SYNC_FAILED && !oracle_new_claim(at);
    now.explore->totals.cuts++;
    if (now.cut.nloose < 64 && 1ull << now.cut.nloose <= now.explore->choices)
        return try_each(newest ? 1ull << (now.cut.nloose - 1) : 0);
    return try_some(newest);
}

static void explore_part(int part, void *arg)
{
    (void)arg;
    now.part = part;
    for (int at = 0; at <= log_current.n; at++)
        if (!try_cut(at))
            return;
    now.cut.at = -1;
}

/* ---- telling ------------------------------------------------------------- */

static char *put(char *out, const char *end, const char *text)
{
    size_t len = strlen(text);

    if (len >= (size_t)(end - out))
        len = (size_t)(end - out) - 1;
    memcpy(out, text, len);
    out[len] = '\0';
    return out + len;
}

static void tell_where(char where[4096])
{
    char *at = where, number[32], text[SCRIPT_TEXT];
    const char *end = where + 4096;
    const char *separator = "";

    script_print(now.script, text);
    at = put(at, end, "build/tests/power --script '");
    at = put(at, end, text);
    at = put(at, end, "'");
    if (now.explore->lie) {
        snprintf(number, sizeof(number), " --lie %d", now.explore->lie);
        at = put(at, end, number);
    }
    if (now.explore->same_boot)
        at = put(at, end, " --same-boot");
    if (now.cut.at < 0)
        return;
    snprintf(number, sizeof(number), " --at %d:%d --kept ", now.part, now.cut.at);
    at = put(at, end, number);
    for (int i = 0; i < now.cut.nloose; i++) {
        if (!now.kept[i])
            continue;
        snprintf(number, sizeof(number), "%s%d", separator, now.cut.loose[i]);
        at = put(at, end, number);
        separator = ",";
    }
    at = put(at, end, *separator ? "" : "none");
    snprintf(number, sizeof(number), " --run %u", now.run);
    put(at, end, number);
}

const char *explore_where(void)
{
    static char where[4096];

    where[0] = '\0';
    if (now.script)
        tell_where(where);
    return where;
}

bool explore_script(struct explore *explore, const struct script *script, char where[4096])
{
    now.explore = explore;
    now.script = script;
    now.rng.state = explore->seed;
    now.turn = 0;
    now.cut.at = -1;
    explore->totals.scripts++;
    run_script(script, explore->lie, explore_part, NULL);
    if (!breach_found())
        return true;
    tell_where(where);
    return false;
}

/* ---- again --------------------------------------------------------------- */

struct again {
    int part, at;
    const char *kept;
    unsigned run;
    bool show, done;
};

static bool is_listed(const char *list, int number)
{
    while (*list) {
        char *end;

        if (strtol(list, &end, 10) == number && end != list)
            return true;
        list = strchr(list, ',');
        if (!list)
            return false;
        list++;
    }
    return false;
}

static void show_log(void)
{
    char text[200];

    for (int i = 0, loose = 0; i < now.cut.log->n; i++) {
        const char *what = "sure";

        if (i >= now.cut.at)
            what = "after";
        else if (now.cut.is_loose[i])
            what = now.kept[loose++] ? "kept" : "lost";
        log_describe(now.cut.log, i, text, sizeof(text));
        printf("%5d  %-5s  %s\n", i, what, text);
    }
    printf("the run-time file after the cut: %s\n", state_run_name(now.run));
}

static void replay_part(int part, void *arg)
{
    struct again *again = arg;

    if (part != again->part)
        return;
    now.part = part;
    state_cut(&now.cut, &log_current, again->at < log_current.n ? again->at : log_current.n);
    oracle_cut(now.cut.at);
    for (int i = 0; i < now.cut.nloose; i++)
        now.kept[i] = is_listed(again->kept, now.cut.loose[i]);
    now.run = again->run;
    if (again->show)
        show_log();
    again->done = true;
    try_state();
}

bool explore_replay(struct explore *explore, const struct script *script, const char *at,
                    const char *kept, unsigned run, bool show)
{
    struct again again = { .kept = kept, .run = run, .show = show };

    if (sscanf(at, "%d:%d", &again.part, &again.at) != 2)
        fatal("where to cut is said as PART:EVENT, not \"%s\"", at);
    now.explore = explore;
    now.script = script;
    run_script(script, explore->lie, replay_part, &again);
    if (!again.done && !breach_found())
        fatal("the script has no part %d", again.part);
    return !breach_found();
}
