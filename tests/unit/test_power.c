/*
 * Short histories of a disk, and the power cut at every moment of each: no state
 * that could be found afterwards shows anything but what was flushed, or written
 * since. Two disks that lie about their syncs show that the test would notice.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "model.h"
#include "power.h"
#include "sys_hook.h"

enum does { END, WRITE, TRUNCATE, PUNCH, ZERO, RESERVE, FLUSH, REOPEN };

struct op {
    enum does does;
    uint64_t off;
    size_t len;
};

#define BASE 6000               /* behind a disk of 4096 bytes */

static struct model model;
static struct acow_disk *disk;

static void make_disk(void)
{
    file_put("d.img", "", 0);
    file_put("d.base", "", 0);
    usual_disk(4096, BASE);
    model_load(&model, "d.add-cow", POWER_CAP, BASE);
}

static void do_write(const struct op *op, unsigned number)
{
    uint8_t buf[POWER_CAP];

    pattern(buf, op->off, op->len, 10 + number);
    must_write(disk, buf, op->len, op->off);
    model_write(&model, buf, op->len, op->off);
}

static void do_fallocate(const struct op *op, int mode)
{
    check(acow_fallocate(disk, mode, op->off, op->len) == 0);
    if (mode)
        model_zero(&model, op->off, op->len, mode & FALLOC_FL_KEEP_SIZE);
    else if (op->off + op->len > model.size)
        model_truncate(&model, op->off + op->len);
}

/* True if everything is safe now. */
static bool do_op(const struct op *op, unsigned number)
{
    switch (op->does) {
    case WRITE:
        do_write(op, number);
        break;
    case TRUNCATE:
        check(acow_truncate(disk, op->off) == 0);
        model_truncate(&model, op->off);
        break;
    case PUNCH:
        do_fallocate(op, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
        break;
    case ZERO:
        do_fallocate(op, FALLOC_FL_ZERO_RANGE);
        break;
    case RESERVE:
        do_fallocate(op, 0);
        break;
    case FLUSH:
        must_flush(disk);
        return true;
    case REOPEN:
        must_close(disk);
        disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        break;
    case END:
        break;
    }
    return false;
}

/* Runs the history, then cuts the power. Returns what was wrong, or "". */
static const char *history(const struct op *ops, enum power_lie lie, uint64_t seed)
{
    static char breach[200];
    struct rnd rnd = { seed };

    make_disk();
    power_begin(lie);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    for (unsigned i = 0; ops[i].does != END; i++) {
        bool flushed = do_op(&ops[i], i);

        power_done(model.data, model.size, flushed);
    }
    must_close(disk);
    power_end();
    power_try(&rnd, breach);
    model_free(&model);
    return breach;
}

static void must_hold(const struct op *ops)
{
    const char *breach = history(ops, POWER_HONEST, test_seed(1));

    check(!breach[0], "%s", breach);
}

Test(power, writes, .init = tmp_begin, .fini = tmp_end)
{
    static const struct op ops[] = {
        { WRITE, 512, 1024 }, { FLUSH, 0, 0 },      { WRITE, 1024, 512 },
        { WRITE, 2100, 900 }, { FLUSH, 0, 0 },      { WRITE, 100, 3000 },
        { REOPEN, 0, 0 },     { WRITE, 3700, 300 }, { END, 0, 0 },
    };

    must_hold(ops);
}

Test(power, shrink_and_grow, .init = tmp_begin, .fini = tmp_end)
{
    static const struct op ops[] = {
        { WRITE, 1000, 700 }, { FLUSH, 0, 0 }, { TRUNCATE, 1500, 0 }, { TRUNCATE, 3900, 0 },
        { WRITE, 3000, 100 }, { FLUSH, 0, 0 }, { TRUNCATE, 700, 0 }, { FLUSH, 0, 0 },
        { TRUNCATE, 5000, 0 }, { END, 0, 0 },
    };

    must_hold(ops);
}

Test(power, grow_past_the_backing_file, .init = tmp_begin, .fini = tmp_end)
{
    static const struct op ops[] = {
        { WRITE, 4096, 700 }, { TRUNCATE, 5500, 0 }, { FLUSH, 0, 0 }, { WRITE, 7000, 700 },
        { FLUSH, 0, 0 }, { WRITE, 9000, 100 }, { WRITE, 5900, 300 }, { END, 0, 0 },
    };

    must_hold(ops);
}

Test(power, discard, .init = tmp_begin, .fini = tmp_end)
{
    static const struct op ops[] = {
        { WRITE, 512, 600 }, { FLUSH, 0, 0 },      { PUNCH, 700, 1500 }, { PUNCH, 0, 4096 },
        { FLUSH, 0, 0 },     { ZERO, 3000, 2000 }, { WRITE, 3100, 50 },  { END, 0, 0 },
    };

    must_hold(ops);
}

Test(power, reserve, .init = tmp_begin, .fini = tmp_end)
{
    static const struct op ops[] = {
        { RESERVE, 1000, 4000 }, { WRITE, 4500, 100 }, { FLUSH, 0, 0 }, { RESERVE, 5000, 3000 },
        { WRITE, 600, 20 }, { END, 0, 0 },
    };

    must_hold(ops);
}

Test(power, random, .init = tmp_begin, .fini = tmp_end, .timeout = 300)
{
    for (unsigned round = 0; round < test_rounds(25); round++) {
        unsigned long long seed = test_seed(round + 1);
        struct rnd rnd = { seed };
        struct op ops[10] = { { END, 0, 0 } };
        const char *breach;

        for (int i = 0; i < 9; i++) {
            ops[i].does = (enum does)(WRITE + rnd_below(&rnd, 7));
            if (rnd_percent(&rnd, 30))
                ops[i].does = WRITE;
            ops[i].off = rnd_below(&rnd, 7000);
            ops[i].len = 1 + rnd_below(&rnd, rnd_percent(&rnd, 50) ? 600 : 2500);
        }
        breach = history(ops, POWER_HONEST, seed);
        check(!breach[0], "seed %llu: %s", seed, breach);
    }
}

/* ---- would it notice? --------------------------------------------------------------- */

static const struct op simple[] = { { WRITE, 512, 512 }, { FLUSH, 0, 0 }, { END, 0, 0 } };

Test(power, finds_a_bit_without_its_data, .init = tmp_begin, .fini = tmp_end)
{
    check(history(simple, POWER_IMAGE_LIES, 1)[0], "nothing was found");
}

Test(power, finds_a_flush_without_its_bits, .init = tmp_begin, .fini = tmp_end)
{
    check(history(simple, POWER_META_LIES, 1)[0], "nothing was found");
}
