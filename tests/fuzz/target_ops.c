/*
 * Operations against a model. The input is the shape of a disk and what is done to
 * it by several handles, by children, and with system calls that fail or transfer less
 * than they were asked to; after each step the disk must be the flat array of
 * the model, and closed in good order, its files.
 *
 * Input: sizes of image and backing file, and a byte of options (make_disk); then
 * operations, each a byte of what and which handle, and its facts (step).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdlib.h>

#include "fuzz.h"
#include "../unit/model.h"

#define CAP (96 * KIB)
#define HANDLES 3
#define STEPS 64
#define CHILDREN 2              /* in an input, since a fork takes as long as many steps */

static const uint64_t disk_sizes[] = {
    20000, 0, 1, 511, 512, 513, 4096, 5000, 8191, 32768, 33333, 65536, 65537, 70000,
};
#define NSIZES (sizeof(disk_sizes) / sizeof(disk_sizes[0]))

struct world {
    /* Shared with children. */
    struct model *model;
    bool *failed;               /* something has: bits may be set that the model does not know of */
    struct acow_disk *disks[HANDLES];
    bool writable[HANDLES];
    int flags;                  /* of those that write */
    int children;
    bool left;                  /* a close failed or a child was killed: a run-time file is there */
    char what[32];
};

/* ---- faults ---------------------------------------------------------------- */

static struct fault_plan {
    int error;                  /* 0: none; 1: short transfers */
    uint32_t ops;               /* a bit for each that it may be */
    unsigned skip, times;
    unsigned fired;
} plan;

static int inject(struct sys_call *call)
{
    bool transfer = call->op >= SYS_PREAD && call->op <= SYS_PWRITEV;

    if (!plan.error || !(plan.ops >> call->op & 1)
        || (plan.error == 1 && (!transfer || call->len < 2))
        || (call->op == SYS_LOCK && call->flags == F_UNLCK))
        return 0;
    if (plan.skip > 0) {
        plan.skip--;
        return 0;
    }
    if (plan.times == 0)
        return 0;
    plan.times--;
    plan.fired++;
    if (plan.error != 1)
        return plan.error;
    call->most = 1 + (call->len - 1) * (int64_t)(plan.fired % 7) / 8;
    return 0;
}

/* Where a write is durable when it returns, one whose flush failed has been made and is an error. */
static void make_plan(struct input *in, bool through)
{
    static const int errors[] = { 0, 1, 1, -EINTR, -ENOSPC, -EIO, -ENOMEM, -EDQUOT };

    plan = (struct fault_plan){ .error = errors[input_below(in, 8)] };
    plan.ops = (uint32_t)input_number(in, 3);
    plan.skip = (unsigned)input_below(in, 16);
    plan.times = 1 + (unsigned)input_below(in, 4);
    if (through)
        plan.error = 0;
}

/* ---- the disk -------------------------------------------------------------- */

static void make_disk(struct world *world, struct input *in)
{
    uint64_t size = disk_sizes[input_below(in, NSIZES)];
    uint64_t backing = disk_sizes[input_below(in, NSIZES)];
    uint64_t link = disk_sizes[input_below(in, NSIZES)];
    uint8_t options = input_byte(in);
    uint8_t bits[CAP / 4096];

    for (size_t i = 0; i < sizeof(bits); i++)
        bits[i] = options & 1 ? input_byte(in) : 0;
    file_pattern("d.base", 0, backing, 1);
    file_pattern("d.img", 0, size, 2);
    if (options & 2) {
        file_pattern("l.img", 0, link, 3);
        meta_put("l.add-cow", options & 4 ? "" : "d.base", "l.img", bits, sizeof(bits));
        backing = link;
    } else if (options & 4) {
        backing = 0;
    }
    meta_put("d.add-cow", options & 2 ? "l.add-cow" : options & 4 ? "" : "d.base", "d.img", bits,
             options & 8 ? 1 : bitmap_len(size));
    if (options & 16)
        world->flags = ACOW_WRITETHROUGH;
    else if (options & 32)
        world->flags = ACOW_UNSAFE;
    world->model = shared_memory(sizeof(*world->model));
    world->failed = shared_memory(sizeof(*world->failed));
    model_load(world->model, "d.add-cow", CAP, backing);
}

/* The operation's failure must be the fault's, or follow from it. */
static void check_failure(struct world *world, int64_t r, unsigned fired)
{
    check(plan.fired > fired, "%s: %lld, and nothing failed", world->what, (long long)r);
    check(r == plan.error || r == -ENOSPC || r == -EIO, "%s: %lld", world->what, (long long)r);
    *world->failed = true;
}

/* What failed has changed nothing, but may have made the disk larger. */
static void check_unchanged(struct world *world, struct acow_disk *disk)
{
    struct fault_plan kept = plan;
    struct blob all;

    plan.error = 0;
    all = read_all(disk);
    check(all.len >= world->model->size && all.len <= CAP, "%s: %zu bytes, not %llu", world->what,
          all.len, (unsigned long long)world->model->size);
    if (all.len > world->model->size)
        model_truncate(world->model, all.len);
    assert_same(all.data, world->model->data, all.len, "%s", world->what);
    free(all.data);
    plan = kept;
}

static struct acow_disk *any_disk(struct world *world, unsigned which, bool write)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        unsigned at = (which + i) % HANDLES;

        if (world->disks[at] && (!write || world->writable[at]))
            return world->disks[at];
    }
    return NULL;
}

/* ---- operations ------------------------------------------------------------ */

static uint64_t some_offset(struct world *world, struct input *in)
{
    uint8_t how = input_byte(in);
    uint64_t value = input_number(in, 2), at;

    switch (how % 4) {
    case 0:
        at = value;
        break;
    case 1:
        at = world->model->size + value % 1200;
        at -= at < 600 ? at : 600;
        break;
    case 2:
        at = world->model->backing_size + value % 1200;
        at -= at < 600 ? at : 600;
        break;
    default:
        at = value % (CAP / 512) * 512;
    }
    return at < CAP ? at : CAP;
}

static size_t some_length(struct input *in, uint64_t off)
{
    static const uint64_t limits[] = { 600, 4, 9000, 70000 };
    uint8_t how = input_byte(in);
    uint64_t len = how % 5 == 4 ? 512 * input_below(in, 20) : input_number(in, 2) % limits[how % 4];

    return len < CAP - off ? (size_t)len : (size_t)(CAP - off);
}

/* The buffer in up to eight pieces. */
static int cut(struct input *in, uint8_t *buf, size_t len, struct iovec iov[8])
{
    int n = 0;
    size_t at = 0;

    for (; n < 7 && at < len; n++) {
        size_t here = input_below(in, 1000);

        iov[n] = (struct iovec){ buf + at, here < len - at ? here : len - at };
        at += iov[n].iov_len;
    }
    iov[n] = (struct iovec){ buf + at, len - at };
    return n + 1;
}

static void do_write(struct world *world, struct acow_disk *disk, struct input *in, unsigned tag)
{
    uint64_t off = some_offset(world, in), end;
    size_t len = some_length(in, off);
    static uint8_t buf[CAP];
    uint8_t how = input_byte(in) % 4;
    unsigned fired = plan.fired;
    struct iovec iov[8];
    ssize_t n;

    pattern(buf, off, len, tag);
    if (how == 1 && world->model->size + len <= CAP)
        off = world->model->size;
    if (how == 1 && off == world->model->size)
        n = acow_append(disk, ACOW_OWN_FD, iov, cut(in, buf, len, iov), &end);
    else if (how == 2)
        n = acow_pwritev(disk, ACOW_OWN_FD, iov, cut(in, buf, len, iov), off);
    else
        n = acow_pwrite(disk, ACOW_OWN_FD, buf, len, off);
    if (n < 0) {
        check_failure(world, n, fired);
    } else {
        check(n == (ssize_t)len || (n > 0 && plan.fired > fired), "%s: wrote %zd of %zu",
              world->what, n, len);
        *world->failed |= n < (ssize_t)len;
        model_write(world->model, buf, (size_t)n, off);
    }
    if (plan.fired > fired)
        check_unchanged(world, disk);
}

static void do_read(struct world *world, struct acow_disk *disk, struct input *in)
{
    uint64_t off = some_offset(world, in), size = world->model->size;
    size_t len = some_length(in, off), want;
    static uint8_t buf[CAP + 1];
    unsigned fired = plan.fired;
    struct iovec iov[8];
    ssize_t n;

    want = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
    memset(buf, 0xee, len + 1);
    if (input_byte(in) % 2)
        n = acow_preadv(disk, ACOW_OWN_FD, iov, cut(in, buf, len, iov), off);
    else
        n = acow_pread(disk, ACOW_OWN_FD, buf, len, off);
    if (n < 0) {
        check_failure(world, n, fired);
        return;
    }
    check(n == (ssize_t)want || (n > 0 && n < (ssize_t)want && plan.fired > fired),
          "%s: read %zd of %zu", world->what, n, want);
    assert_same(buf, world->model->data + off, (size_t)n, "%s: at %llu", world->what,
                (unsigned long long)off);
    check(buf[len] == 0xee, "%s: a byte behind the buffer", world->what);
}

static void do_size(struct world *world, struct acow_disk *disk, struct input *in)
{
    static const int modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    };
    uint64_t off = some_offset(world, in);
    uint8_t how = input_byte(in) % 6;
    int mode = how < 5 ? modes[how] : 0;
    size_t len = how < 5 ? some_length(in, off) : 0;
    unsigned fired = plan.fired;
    int r = how < 5 ? acow_fallocate(disk, mode, off, len) : acow_truncate(disk, off);

    /* Not every filesystem can zero a range. */
    if (r == -EOPNOTSUPP && mode & FALLOC_FL_ZERO_RANGE)
        *world->failed = true;
    else if (how < 5 && len == 0)
        check(r == -EINVAL, "%s: %d", world->what, r);
    else if (r < 0)
        check_failure(world, r, fired);
    else if (how == 5)
        model_truncate(world->model, off);
    else if (mode == 0 && off + len > world->model->size)
        model_truncate(world->model, off + len);
    else if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        model_zero(world->model, off, len, mode & FALLOC_FL_KEEP_SIZE);
    if (r < 0)
        check_unchanged(world, disk);
}

static void do_flush(struct world *world, struct acow_disk *disk)
{
    uint64_t allocated, pending;
    unsigned fired = plan.fired;
    int r = acow_flush(disk);

    if (r < 0)
        check_failure(world, r, fired);
    else if (plan.fired == fired && !(world->flags & ACOW_UNSAFE))
        check(acow_count_allocated(disk, &allocated, &pending) == 0 && pending == 0,
              "%s: bits are pending after a flush", world->what);
}

static void close_one(struct world *world, unsigned which)
{
    unsigned fired = plan.fired;
    int r = acow_close(world->disks[which], NULL);

    world->disks[which] = NULL;
    if (r < 0)
        check_failure(world, r, fired);
    if (plan.fired > fired)
        world->left = true;
}

/* With nobody there any more, the disk is its files; unless bits were left behind for the next. */
static void check_files(struct world *world)
{
    struct blob flat;

    for (int i = 0; i < HANDLES; i++)
        if (world->disks[i])
            return;
    if (world->left)
        return;
    if (!*world->failed) {
        model_check_files(world->model, "d.add-cow", world->what);
        return;
    }
    flat = decode("d.add-cow");
    check(flat.len == world->model->size, "%s: files of %zu bytes", world->what, flat.len);
    assert_same(flat.data, world->model->data, flat.len, "%s: files", world->what);
    free(flat.data);
}

/* Opens a handle that is closed, closes one that is open. */
static void do_handle(struct world *world, unsigned which, bool write)
{
    unsigned fired = plan.fired;
    int r;

    if (world->disks[which]) {
        close_one(world, which);
        check_files(world);
        return;
    }
    world->writable[which] = write;
    r = acow_open(fuzz_sys(), "d.add-cow", write ? ACOW_RDWR | world->flags : ACOW_RDONLY,
                  &world->disks[which], NULL);
    if (r < 0) {
        world->disks[which] = NULL;
        check_failure(world, r, fired);
        world->left = true;
    }
}

static void steps(struct world *world, struct input *in, bool child);

struct child {
    struct world *world;
    struct input in;
    uint8_t end;
};

/* A child goes on with its parent's handles; it may end as one does, or be killed. */
static int run_child(void *arg)
{
    struct child *child = arg;
    struct world *world = child->world;

    sys_hook(NULL);
    plan.error = 0;
    /* The parent may have it open when the child no longer has. */
    world->left = true;
    for (int i = 0; i < HANDLES; i++)
        if (world->disks[i])
            acow_after_fork(world->disks[i]);
    steps(world, &child->in, true);
    if (child->end % 4 == 0)
        raise(SIGKILL);
    for (unsigned i = 0; i < HANDLES; i++)
        if (world->disks[i])
            must_close(world->disks[i]);
    return 0;
}

static void do_child(struct world *world, struct input *in)
{
    struct child child = { .world = world, .end = input_byte(in) };
    int status;

    child.in = input_part(in, input_byte(in) % 64);
    status = in_child(run_child, &child);
    check(status == (child.end % 4 == 0 ? 256 + SIGKILL : 0), "%s: a child ended with %d",
          world->what, status);
    if (child.end % 4 == 0)
        world->left = true;
}

static void step(struct world *world, struct input *in, unsigned tag, bool child)
{
    uint8_t what = input_byte(in);
    unsigned which = what / 16 % HANDLES;
    struct acow_disk *disk = any_disk(world, which, false);
    struct acow_disk *writer = any_disk(world, which, true);
    int r;

    if (what % 16 >= 14) {
        if (!child && world->children++ < CHILDREN)
            do_child(world, in);
    } else if (what % 16 == 13) {
        make_plan(in, world->flags & ACOW_WRITETHROUGH);
    } else if (what % 16 == 12 || !disk) {
        do_handle(world, which, what < 192);
    } else if (what % 16 == 11) {
        unsigned fired = plan.fired;

        r = acow_park(disk);
        if (r < 0)
            check_failure(world, r, fired);
    } else if (what % 16 == 10 && plan.error == 0 && !*world->failed) {
        model_check_disk(world->model, disk, world->what);
    } else if (what % 16 >= 8 || !writer) {
        do_read(world, disk, in);
    } else if (what % 16 == 7) {
        do_flush(world, writer);
    } else if (what % 16 >= 5) {
        do_size(world, writer, in);
    } else {
        do_write(world, writer, in, tag);
    }
}

static void steps(struct world *world, struct input *in, bool child)
{
    for (unsigned i = 0; i < STEPS && in->left > 0; i++) {
        snprintf(world->what, sizeof(world->what), "%sstep %u", child ? "child, " : "", i);
        step(world, in, 10 + i, child);
    }
}

/* Nothing fails any more: all is there, and whatever was left behind is folded in. */
static void check_end(struct world *world)
{
    plan.error = 0;
    snprintf(world->what, sizeof(world->what), "at the end");
    for (unsigned i = 0; i < HANDLES; i++)
        if (world->disks[i])
            close_one(world, i);
    check_files(world);
    world->left = false;
    world->disks[0] = must_open(fuzz_sys(), "d.add-cow", ACOW_RDWR);
    check_unchanged(world, world->disks[0]);
    close_one(world, 0);
    check_files(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = { data, len };
    struct world world = { .flags = 0 };
    struct blob base;

    tmp_begin();
    make_disk(&world, &in);
    base = file_get("d.base");
    plan = (struct fault_plan){ .error = 0 };
    fuzz_watch(inject);
    do_handle(&world, 0, true);
    steps(&world, &in, false);
    check_end(&world);
    fuzz_balanced("at the end");
    sys_hook(NULL);
    check(file_same("d.base", base), "the backing file has changed");
    free(base.data);
    model_free(world.model);
    munmap(world.model, sizeof(*world.model));
    munmap(world.failed, sizeof(*world.failed));
    tmp_end();
    return 0;
}
