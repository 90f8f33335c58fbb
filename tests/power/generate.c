/*
 * All short scripts: as others have found, a crash bug nearly always shows after two or three
 * operations, if they are the right ones. Long ones, at random: for what nobody thought of.
 */
#include "generate.h"

#include <string.h>

/* On a disk of 2000 bytes, three sectors and a part, over 3000. */
static const char *const kinds[] = {
    "write 0+512",                              /* a sector */
    "write 300+500",                            /* parts of two */
    "write 1800+700",                           /* over the end, where the backing file goes on */
    "append 1500",                              /* beyond the backing file */
    "truncate 700",
    "truncate 2700",
    "punch 100+1200",
    "zerogrow 1700+900",
    "reserve 1000+1300",
    "flush",
    "reopen",
    "kill",
    "b.write 400+300",
    "b.flush",
    /* In a flush: before the image's sync, after it, before the bits' sync, after it. */
    "during 1 b.write 1024+512, flush",
    "during 2 b.write 1024+512, flush",
    "during 4 b.write 1024+512, flush",
    "during 5 b.write 1024+512, flush",
    "during 4 kill, flush",
    "failimage",
    "failmeta",
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

uint64_t generate_count(int length)
{
    uint64_t count = 1;

    while (length-- > 0)
        count *= KINDS;
    return count;
}

void generate_short(struct script *script, int length, uint64_t number)
{
    char text[SCRIPT_TEXT] = "2000/3000:";

    for (int i = 0; i < length; i++) {
        strcat(strcat(text, i ? ", " : " "), kinds[number % KINDS]);
        number /= KINDS;
    }
    script_parse(script, text);
}

/* ---- at random ----------------------------------------------------------- */

#define MIB (1024ull * 1024)

/* Sectors that are watched on a large disk: files.c has the same places. */
static const uint64_t places[] = { 0, 16 * MIB - 4096, 32 * MIB - 4096, 33 * MIB - 4096 };

static bool is_large(const struct script *script)
{
    return script->size > MIB;
}

static void choose_disk(struct script *script, struct rng *rng)
{
    static const uint64_t sizes[] = { 2000, 4096, 6144, 8192, 9000 };

    script->size = sizes[rng_below(rng, 5)];
    switch (rng_below(rng, 6)) {
    case 0:
        script->backing = 0;
        break;
    case 1:
        script->backing = script->size / 2 + 300;
        break;
    case 2:
        script->backing = script->size;
        break;
    default:
        script->backing = script->size + 1 + rng_below(rng, 6000);
        break;
    }
    if (rng_percent(rng, 8)) {
        script->size = 33 * MIB;
        script->backing = rng_percent(rng, 50) ? 33 * MIB + 3000 : 16 * MIB + 700;
    }
    script->chain = script->backing && rng_percent(rng, 20);
    script->through = rng_percent(rng, 10);
    script->alone = rng_percent(rng, 5);
    script->fresh = script->backing && !is_large(script) && rng_percent(rng, 4);
}

/* A place for an operation of some length; the end of the disk now and then. */
static void choose_range(const struct script *script, struct rng *rng, struct op *op)
{
    uint64_t limit = is_large(script) ? 7000 : script->size + 2500;

    op->off = rng_below(rng, limit);
    if (rng_percent(rng, 40))
        op->off = op->off / SECTOR * SECTOR;
    op->len = 1 + rng_below(rng, rng_percent(rng, 60) ? 700 : 2600);
    if (rng_percent(rng, 30))
        op->len = (op->len + SECTOR - 1) / SECTOR * SECTOR;
    if (is_large(script)) {
        int place = (int)rng_below(rng, 4);

        /* The first place is shorter. */
        op->off = places[place] + (place ? op->off % 5000 : op->off % 1500);
    }
}

static enum does choose_kind(struct rng *rng)
{
    static const uint8_t weights[DOES_COUNT] = {
        [DOES_WRITE] = 30, [DOES_APPEND] = 4, [DOES_TRUNCATE] = 9, [DOES_PUNCH] = 6,
        [DOES_ZERO] = 4, [DOES_ZERO_GROW] = 3, [DOES_COPY_UP] = 4, [DOES_RESERVE] = 4, [DOES_FLUSH] = 18,
        [DOES_CLOSE] = 4, [DOES_REOPEN] = 4, [DOES_KILL] = 4, [DOES_FAIL_IMAGE] = 2,
        [DOES_FAIL_META] = 2, [DOES_CREATE] = 1, [DOES_CUT] = 1,
    };
    uint64_t at = rng_below(rng, 100);
    int kind = 0;

    while (at >= weights[kind])
        at -= weights[kind++];
    return (enum does)kind;
}

static void choose_op(const struct script *script, struct rng *rng, struct op *op)
{
    *op = (struct op){ .does = choose_kind(rng) };
    op->process = rng_percent(rng, 25);
    if (op->does <= DOES_RESERVE)
        choose_range(script, rng, op);
    if (op->does == DOES_TRUNCATE && rng_percent(rng, 20))
        op->off = script->size;
    if (op->does == DOES_CUT)
        op->off = rng_below(rng, 100000);
    if ((op->does == DOES_WRITE || op->does == DOES_KILL) && rng_percent(rng, 20))
        op->during = 1 + (int)rng_below(rng, 6);
    /* One disk can be created, and needs a backing file. */
    if (op->does == DOES_CREATE && (script->backing == 0 || is_large(script)))
        op->does = DOES_FLUSH;
}

void generate_long(struct script *script, uint64_t seed)
{
    struct rng rng = { seed };
    int length = 4 + (int)rng_below(&rng, 10);
    bool created = false;

    *script = (struct script){ 0 };
    choose_disk(script, &rng);
    if (script->fresh) {
        script->ops[script->nops++] = (struct op){ .does = DOES_CREATE };
        created = true;
    }
    while (script->nops < length) {
        struct op *op = &script->ops[script->nops++];

        choose_op(script, &rng, op);
        if (op->does == DOES_CREATE && created)
            op->does = DOES_FLUSH;
        created = created || op->does == DOES_CREATE;
        /* During something that has syncs. */
        if (op->during && script->nops < length)
            script->ops[script->nops++] = (struct op){
                .does = rng_percent(&rng, 70) ? DOES_FLUSH : DOES_CLOSE, .process = op->process,
            };
    }
}
