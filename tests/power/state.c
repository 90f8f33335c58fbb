/*
 * Which events are sure is told by going back from the cut: an event is sure if the next
 * sync of its file succeeded. A state is then made by taking what happened before the first loose
 * event as it is, and the sure and the chosen events after that in their order.
 */
#include "state.h"

#include <string.h>

enum run_condition {
    RUN_ABSENT, RUN_AS_IT_WAS, RUN_EMPTY, RUN_ZEROS, RUN_FIRST_SECTOR, RUN_WITHOUT_FIRST, RUN_CUT,
    RUN_DRAWN,
};

const char *state_run_name(unsigned run)
{
    static const char *const names[] = {
        "not there", "as it was", "empty", "zeros", "its first sector and zeros",
        "all but its first sector", "half of it", "torn",
    };

    return names[run < RUN_DRAWN ? run : RUN_DRAWN];
}

/* ---- data, sizes and names ----------------------------------------------- */

static void find_loose(struct cut *cut)
{
    const struct log *log = cut->log;
    bool data[LOG_INODES] = { false }, sizes[LOG_INODES] = { false }, names = false;

    for (int i = cut->at - 1; i >= 0; i--) {
        const struct event *event = &log->events[i];

        cut->is_loose[i] = false;
        switch (event->kind) {
        case EVENT_SYNC:
            if (event->inode < 0)
                names = true;
            else
                data[event->inode] = sizes[event->inode] = true;
            break;
        case EVENT_SYNC_FAILED:
            data[event->inode] = false;
            break;
        case EVENT_DATA:
            cut->is_loose[i] = !data[event->inode];
            break;
        case EVENT_SIZE:
            cut->is_loose[i] = !sizes[event->inode] || log->sizes_unsynced;
            break;
        case EVENT_NAME:
            cut->is_loose[i] = !names;
            break;
        }
    }
    for (int i = 0; i < cut->at; i++)
        if (cut->is_loose[i])
            cut->loose[cut->nloose++] = i;
}

static void resize(struct file_state *file, const struct layout *layout, const struct event *event)
{
    bool shrinks = event->size < file->size;

    for (int slot = 0; shrinks && slot < SLOTS; slot++)
        if (layout_off(layout, slot) >= event->size)
            file->slots[slot] = content_zero;
    if (shrinks && event->content)
        file->slots[event->slot] = event->content;
    file->size = event->size;
}

static void apply(struct state *state, const struct log *log, const struct event *event)
{
    switch (event->kind) {
    case EVENT_DATA:
        state->inodes[event->inode].slots[event->slot] = event->content;
        break;
    case EVENT_SIZE:
        resize(&state->inodes[event->inode], log->inodes[event->inode].layout, event);
        break;
    case EVENT_NAME:
        if (event->from >= 0)
            state->names[event->from] = -1;
        state->names[event->name] = event->inode;
        break;
    default:
        break;
    }
}

static void begin(struct state *state, const struct log *log)
{
    for (int i = 0; i < log->ninodes; i++) {
        state->inodes[i].size = log->inodes[i].first_size;
        memcpy(state->inodes[i].slots, log->inodes[i].first, sizeof(state->inodes[i].slots));
    }
    memcpy(state->names, log->first_name, sizeof(state->names));
    state->run_there = false;
}

void state_cut(struct cut *cut, const struct log *log, int at)
{
    cut->log = log;
    cut->at = at;
    cut->nloose = 0;
    find_loose(cut);
    cut->from = cut->nloose ? cut->loose[0] : at;
    begin(&cut->base, log);
    for (int i = 0; i < cut->from; i++)
        apply(&cut->base, log, &log->events[i]);
    /* It is there, or was. */
    cut->nruns = log->nchanges && log->changes[0].at <= at ? RUN_DRAWN : 1;
}

/* ---- the run-time file --------------------------------------------------- */

/* As it was before event `at`; if it was not there, as it was last. */
static void run_at(const struct log *log, int at, struct file_state *file)
{
    file->size = 0;
    for (int slot = 0; slot < SLOTS; slot++)
        file->slots[slot] = content_zero;
    for (int i = 0; i < log->nchanges && log->changes[i].at <= at; i++) {
        const struct run_change *change = &log->changes[i];

        if (change->slot >= 0)
            file->slots[change->slot] = change->content;
        else if (change->size >= 0)
            file->size = (uint64_t)change->size;
    }
}

/* Sectors of three moments, or garbage; any length. */
static void draw_run(const struct log *log, int at, unsigned seed, struct file_state *file)
{
    struct rng rng = { mix(seed) };
    struct file_state moments[2];
    uint8_t garbage[SECTOR];
    unsigned old = (unsigned)rng_below(&rng, 101), lost = (unsigned)rng_below(&rng, 60);

    run_at(log, at, file);
    run_at(log, (int)rng_below(&rng, (uint64_t)at + 1), &moments[0]);
    run_at(log, (int)rng_below(&rng, (uint64_t)at + 1), &moments[1]);
    pattern(garbage, 0, SECTOR, 9);
    for (int slot = 0; slot < SLOTS; slot++) {
        if (rng_percent(&rng, old))
            file->slots[slot] = moments[rng_below(&rng, 2)].slots[slot];
        if (rng_percent(&rng, lost))
            file->slots[slot] = rng_percent(&rng, 20) ? content_of(garbage, SECTOR) : content_zero;
    }
    if (rng_percent(&rng, 40))
        file->size = rng_below(&rng, SLOTS * SECTOR);
}

static void build_run(const struct cut *cut, unsigned run, struct state *state)
{
    struct file_state *file = &state->run;

    state->run_there = run != RUN_ABSENT;
    if (!state->run_there)
        return;
    if (run >= RUN_DRAWN) {
        draw_run(cut->log, cut->at, run, file);
        return;
    }
    run_at(cut->log, cut->at, file);
    if (run == RUN_EMPTY)
        file->size = 0;
    if (run == RUN_CUT)
        file->size /= 2;
    for (int slot = 0; slot < SLOTS; slot++)
        if (run == RUN_ZEROS || (run == RUN_FIRST_SECTOR && slot > 0)
            || (run == RUN_WITHOUT_FIRST && slot == 0))
            file->slots[slot] = content_zero;
}

/* ---- states -------------------------------------------------------------- */

void state_build(const struct cut *cut, const bool *kept, unsigned run, struct state *out)
{
    int loose = 0;

    memcpy(out, &cut->base, offsetof(struct state, run));
    for (int i = cut->from; i < cut->at; i++)
        if (!cut->is_loose[i] || kept[loose++])
            apply(out, cut->log, &cut->log->events[i]);
    build_run(cut, run, out);
}

/* True if a sync of that event's file failed after it, and its sector was not written since. */
static bool is_left_by_failure(const struct log *log, int at)
{
    const struct event *event = &log->events[at];
    bool failed = false;

    for (int i = at + 1; i < log->n; i++) {
        const struct event *later = &log->events[i];

        if (later->inode != event->inode)
            continue;
        if (later->kind == EVENT_DATA && later->slot == event->slot)
            return false;
        failed = failed || later->kind == EVENT_SYNC_FAILED;
    }
    return failed;
}

void state_drop_pages(const struct log *log, uint64_t seed)
{
    static struct cut cut;
    bool kept[LOG_EVENTS];
    struct rng rng = { seed };
    struct state state;

    state_cut(&cut, log, log->n);
    for (int i = 0; i < cut.nloose; i++)
        kept[i] = rng_percent(&rng, 50);
    state_build(&cut, kept, 0, &state);
    for (int i = 0; i < cut.nloose; i++) {
        const struct event *event = &log->events[cut.loose[i]];
        const struct log_inode *inode;
        uint64_t off, size;

        if (event->kind != EVENT_DATA || !is_left_by_failure(log, cut.loose[i]))
            continue;
        inode = &log->inodes[event->inode];
        size = machine_size(inode->file);
        off = layout_off(inode->layout, event->slot);
        if (off < size)
            memcpy(machine_bytes(inode->file) + off,
                   state.inodes[event->inode].slots[event->slot]->bytes,
                   size - off < SECTOR ? size - off : SECTOR);
    }
}

static uint64_t hash_file(const struct file_state *file, const struct layout *layout)
{
    uint64_t h = mix(file->size + 1);

    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);

        if (off < file->size)
            h += mix(state_shown(file, slot, off)->hash + off);
    }
    return mix(h);
}

uint64_t state_hash(const struct log *log, const struct state *state)
{
    uint64_t h = 0;

    for (int i = 0; i < log->nnames; i++) {
        int inode = state->names[i];
        uint64_t name = 0;

        if (inode < 0)
            continue;
        for (const char *at = log->names[i]; *at; at++)
            name = mix(name + (unsigned char)*at);
        h += mix(name + hash_file(&state->inodes[inode], log->inodes[inode].layout));
    }
    if (state->run_there)
        h += hash_file(&state->run, &log_layout) * 3;
    return h;
}

int state_find(const struct log *log, const struct state *state, const char *name)
{
    for (int i = 0; i < log->nnames; i++)
        if (strcmp(log->names[i], name) == 0)
            return state->names[i];
    return -1;
}
