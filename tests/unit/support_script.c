/* The script, its disk, and what each step means in the model. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "script.h"
#include "sys_hook.h"

enum kind { WRITE, WRITEV, APPEND, READ, TRUNCATE, FALLOCATE, COPY_UP, MOVE, FLUSH, PARK,
            SECOND, SECOND_CLOSE };

struct step {
    enum kind kind;
    uint64_t off;
    size_t len;
    int mode;
};

/* Over a disk of 6000 bytes with some bits, and 9000 bytes behind it. */
static const struct step steps[] = {
    { WRITE, 512, 1024, 0 },                    /* first, aligned */
    { WRITE, 2000, 700, 0 },                    /* first, not aligned */
    { WRITE, 600, 100, 0 },                     /* again */
    { WRITEV, 100, 2900, 0 },                   /* some of it again */
    { READ, 0, 6000, 0 },
    { FLUSH, 0, 0, 0 },
    { COPY_UP, 1700, 3000, 0 },
    { WRITE, 4100, 20, 0 },
    { MOVE, 3700, 2000, 0 },
    { MOVE, 6100, 250, 0 },                     /* grows, over the backing, past a cut sector */
    { WRITE, 6500, 300, 0 },                    /* grows, over the backing */
    { SECOND, 0, 0, 0 },
    { TRUNCATE, 5000, 0, 0 },
    { TRUNCATE, 8000, 0, 0 },
    { FALLOCATE, 1000, 1700, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
    { FALLOCATE, 3000, 1000, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
    { FALLOCATE, 8100, 1500, 0 },
    { READ, 0, 12000, 0 },
    { FLUSH, 0, 0, 0 },
    { WRITEV, 9500, 3000, 0 },                  /* grows, nothing behind it */
    { APPEND, 0, 777, 0 },
    { PARK, 0, 0, 0 },
    { FALLOCATE, 12000, 3000, FALLOC_FL_ZERO_RANGE },
    { WRITE, 15000, 100, 0 },
    { MOVE, 15100, 600, 0 },                    /* grows, nothing behind it */
    { COPY_UP, 5000, 10100, 0 },
    { SECOND_CLOSE, 0, 0, 0 },
    { WRITE, 20, 10, 0 },
};

void script_begin(struct script *script, const char *what)
{
    const uint8_t bits[2] = { 0x34 }, below = 0x83;

    file_pattern("d.base", 0, 9500, 1);
    file_pattern("l.img", 0, 9000, 3);
    meta_put("l.add-cow", "d.base", "l.img", &below, 1);
    file_put("d.img", "", 0);
    file_pattern("d.img", 0, 6000, 2);
    meta_put("d.add-cow", "l.add-cow", "d.img", bits, 2);
    script_load(script, what);
}

void script_load(struct script *script, const char *what)
{
    *script = (struct script){ .what = what };
    model_load(&script->model, "d.add-cow", SCRIPT_CAP, 9000);
}

void script_end(struct script *script)
{
    model_free(&script->model);
}

int script_steps(void)
{
    return sizeof(steps) / sizeof(steps[0]);
}

bool script_flushes(int step)
{
    return steps[step].kind == FLUSH;
}

/* What a step writes, or room for what it reads. */
static void fill(uint8_t *buf, int step)
{
    pattern(buf, steps[step].off, steps[step].len, (unsigned)step + 10);
}

static ssize_t do_read(struct script *script, const struct step *step, uint8_t *buf)
{
    ssize_t n = acow_pread(script->disk, ACOW_OWN_FD, buf, step->len, step->off);

    if (n > 0)
        assert_same(buf, script->model.data + step->off, (size_t)n, "%s: read", script->what);
    return n;
}

static ssize_t move_from(void *buf, int fd, size_t len, uint64_t off)
{
    return sys_hooked.pwrite(fd, buf, len, (int64_t)off);
}

static ssize_t do_second(struct script *script)
{
    int r = acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &script->second, NULL);

    if (r < 0)
        script->second = NULL;
    return r;
}

static ssize_t do_second_close(struct script *script)
{
    struct acow_disk *disk = script->second;

    script->second = NULL;
    return disk ? acow_close(disk, NULL) : 0;
}

ssize_t script_do(struct script *script, int number)
{
    const struct step *step = &steps[number];
    uint8_t buf[SCRIPT_CAP];
    struct iovec iov[] = {
        { buf, step->len / 3 }, { buf, 0 }, { buf + step->len / 3, step->len - step->len / 3 },
    };
    uint64_t end;

    fill(buf, number);
    switch (step->kind) {
    case WRITE:
        return acow_pwrite(script->disk, ACOW_OWN_FD, buf, step->len, step->off);
    case WRITEV:
        return acow_pwritev(script->disk, ACOW_OWN_FD, iov, 3, step->off);
    case APPEND:
        return acow_append(script->disk, ACOW_OWN_FD, iov, 3, &end);
    case READ:
        return do_read(script, step, buf);
    case TRUNCATE:
        return acow_truncate(script->disk, step->off);
    case FALLOCATE:
        return acow_fallocate(script->disk, step->mode, step->off, step->len);
    case COPY_UP:
        return acow_copy_up(script->disk, step->off, step->len);
    case MOVE:
        return acow_move_in(script->disk, ACOW_OWN_FD, step->len, step->off, move_from, buf);
    case FLUSH:
        return acow_flush(script->disk);
    case PARK:
        return acow_park(script->disk);
    case SECOND:
        return do_second(script);
    case SECOND_CLOSE:
        return do_second_close(script);
    }
    return 0;
}

void script_apply(struct script *script, int number, ssize_t result)
{
    const struct step *step = &steps[number];
    struct model *model = &script->model;
    uint8_t buf[SCRIPT_CAP];

    if (result < 0)
        return;
    fill(buf, number);
    switch (step->kind) {
    case WRITE:
    case WRITEV:
        model_write(model, buf, (size_t)result, step->off);
        break;
    case APPEND:
        model_write(model, buf, (size_t)result, model->size);
        break;
    case TRUNCATE:
        model_truncate(model, step->off);
        break;
    case FALLOCATE:
        if (step->mode)
            model_zero(model, step->off, step->len, step->mode & FALLOC_FL_KEEP_SIZE);
        else if (step->off + step->len > model->size)
            model_truncate(model, step->off + step->len);
        break;
    case COPY_UP:
        model_copy_up(model, step->off, step->len);
        break;
    case MOVE:
        model_move(model, buf, (size_t)result, step->len, step->off);
        break;
    default:
        break;
    }
}

void script_apply_all(struct script *script, int number)
{
    script_apply(script, number, (ssize_t)steps[number].len);
}
