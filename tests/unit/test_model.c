/*
 * Random operations on real files against a flat array: every shape of a disk,
 * by one handle and by several, across close and open, and across fork. After
 * each close the three files, decoded by hand, are that array; exactly the
 * touched sectors have bits; the files below are as they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "model.h"

struct shape {
    const char *name;
    uint64_t size, cap;
    /* From the bottom up: a raw file, then disks; 0 ends the list. -1: none, ~: sparse. */
    int64_t backing, links[2];
    unsigned density;           /* percent of the sectors that are allocated already */
    int meta_extra;             /* bytes more, or fewer, than the bitmap needs */
    unsigned ops;
};

#define CAP (192 * KIB)
#define BIG (50 * MIB)
#define EDGE (16 * MIB)

static const struct shape shapes[] = {
    { "equal", 64 * KIB, CAP, 64 * KIB, { 0 }, 0, 0, 500 },
    { "equal, odd", 65537, CAP, 65537, { 0 }, 0, 0, 500 },
    { "no backing", 50 * KIB, CAP, -1, { 0 }, 0, 0, 400 },
    { "backing shorter", 64 * KIB, CAP, 20 * KIB, { 0 }, 0, 0, 400 },
    { "backing shorter, odd", 60001, CAP, 20003, { 0 }, 30, 0, 500 },
    { "backing longer", 20 * KIB, CAP, 150 * KIB, { 0 }, 0, 0, 500 },
    { "backing longer, odd", 20001, CAP, 150003, { 0 }, 30, 0, 500 },
    { "partly allocated", 64 * KIB, CAP, 70 * KIB, { 0 }, 50, 0, 500 },
    { "all allocated", 33000, CAP, 64 * KIB, { 0 }, 100, 0, 300 },
    { "bitmap cut short", 100 * KIB, CAP, 100 * KIB, { 0 }, 50, -9, 400 },
    { "bitmap too long", 30 * KIB, CAP, 100 * KIB, { 0 }, 20, 5000, 400 },
    { "empty", 0, CAP, 30000, { 0 }, 0, 0, 300 },
    { "empty on empty", 0, CAP, 0, { 0 }, 0, 0, 200 },
    { "one byte", 1, CAP, 700, { 0 }, 0, 0, 200 },
    { "chain of 2", 64 * KIB, CAP, 50001, { 60001 }, 10, 0, 400 },
    { "chain of 3", 70001, CAP, 100 * KIB, { 30001, 90001 }, 10, 0, 500 },
    { "chain of 3, larger below", 10001, CAP, 150 * KIB, { 120001, 90001 }, 30, 0, 500 },
    { "across bit pages", 33 * MIB + 77, BIG, 33 * MIB + 77, { 0 }, 0, 0, 150 },
    { "across bit pages, growing", 16 * MIB - 512, BIG, 20 * MIB + 1, { 0 }, 0, 0, 150 },
    { "across bit pages, chain", 17 * MIB, BIG, 34 * MIB, { 16 * MIB + 5 }, 0, 0, 120 },
};

struct world {
    struct model *model;
    struct rnd rnd;
    struct acow_disk *disks[3]; /* read-write, read-write, read-only */
    int second_fd;              /* of the image, or -1 */
    char what[128];
    bool has_zero_range;
};

/* ---- shapes ------------------------------------------------------------ */

/* Random bytes at the interesting places of a large file, everywhere in a small one. */
static void fill(struct rnd *rnd, const char *path, uint64_t size)
{
    static uint8_t buf[CAP];

    file_size(path, size);
    for (uint64_t at = 0; at < size; at += size <= CAP ? CAP : EDGE) {
        uint64_t from = at >= 4 * KIB ? at - 4 * KIB : at;
        size_t len = size - from < CAP ? (size_t)(size - from) : size <= CAP ? CAP : 9 * KIB;

        rnd_fill(rnd, buf, len);
        file_poke(path, from, buf, len);
    }
}

static void make_link(struct rnd *rnd, const struct shape *shape, const char *name,
                      const char *below, uint64_t size, int meta_extra)
{
    size_t len = bitmap_len(size) + (size_t)meta_extra;
    uint8_t *bitmap = calloc(1, len + 1);
    char meta[64], image[64];

    snprintf(meta, sizeof(meta), "%s.add-cow", name);
    snprintf(image, sizeof(image), "%s.img", name);
    for (uint64_t sector = 0; sector < sectors(size) && sector / 8 < len; sector++)
        if (rnd_percent(rnd, shape->density))
            bitmap[sector / 8] |= (uint8_t)(1 << sector % 8);
    fill(rnd, image, size);
    meta_put(meta, below, image, bitmap, len);
    free(bitmap);
}

/* Returns the size of what the top disk has below it. */
static uint64_t make_shape(struct rnd *rnd, const struct shape *shape)
{
    static const char *const names[] = { "l0", "l1" };
    uint64_t size = shape->backing < 0 ? 0 : (uint64_t)shape->backing;
    char below[64] = "";

    if (shape->backing >= 0) {
        fill(rnd, "d.base", size);
        strcpy(below, "d.base");
    }
    for (int i = 0; i < 2 && shape->links[i]; i++) {
        size = (uint64_t)shape->links[i];
        make_link(rnd, shape, names[i], below, size, 0);
        snprintf(below, sizeof(below), "%s.add-cow", names[i]);
    }
    make_link(rnd, shape, "d", below, shape->size, shape->meta_extra);
    return size;
}

static const char *const below_files[] = {
    "d.base", "l0.img", "l0.add-cow", "l1.img", "l1.add-cow",
};
#define NBELOW (sizeof(below_files) / sizeof(below_files[0]))

static void keep_below(struct blob kept[NBELOW])
{
    for (size_t i = 0; i < NBELOW; i++)
        kept[i] =
            file_len(below_files[i]) < 0 ? (struct blob){ NULL, 0 } : file_get(below_files[i]);
}

static void check_below(struct world *world, struct blob kept[NBELOW])
{
    for (size_t i = 0; i < NBELOW; i++) {
        check(!kept[i].data || file_same(below_files[i], kept[i]), "%s: %s has changed",
              world->what, below_files[i]);
        free(kept[i].data);
    }
}

/* ---- operations -------------------------------------------------------- */

static struct acow_disk *any_writer(struct world *world)
{
    struct acow_disk *second = world->disks[1];

    return second && rnd_percent(&world->rnd, 50) ? second : world->disks[0];
}

static struct acow_disk *any_disk(struct world *world)
{
    struct acow_disk *disk = world->disks[rnd_below(&world->rnd, 3)];

    return disk ? disk : world->disks[0];
}

/* Somewhere near a place where something changes. */
static uint64_t place(struct world *world)
{
    const struct model *model = world->model;
    struct rnd *rnd = &world->rnd;
    uint64_t at, back;

    switch (rnd_below(rnd, 7)) {
    case 0: at = model->size; break;
    case 6: return model->size - rnd_below(rnd, model->size < 520 ? model->size + 1 : 520);
    case 1: at = model->backing_size; break;
    case 2: at = rnd_below(rnd, model->cap / EDGE + 1) * EDGE; break;
    default:
        at = rnd_below(rnd, model->cap < 2 * model->size ? model->cap : model->size + 4000);
        break;
    }
    at += rnd_below(rnd, rnd_percent(rnd, 70) ? 3000 : 1);
    back = rnd_below(rnd, rnd_percent(rnd, 70) ? 3000 : 1);
    at -= back < at ? back : at;
    if (rnd_percent(rnd, 30))
        at -= at % 512;
    return at < model->cap ? at : model->cap;
}

static size_t length(struct world *world, uint64_t off)
{
    static const unsigned limits[] = { 4, 600, 600, 5000, 5000, 70000 };
    struct rnd *rnd = &world->rnd;
    size_t len = rnd_below(rnd, limits[rnd_below(rnd, 6)]);

    if (rnd_percent(rnd, 20))
        len = (len + 511) / 512 * 512;
    /* Up to the end of the disk, or nearly. */
    if (rnd_percent(rnd, 10) && off < world->model->size && world->model->size - off < 70000)
        len = (size_t)(world->model->size - off - rnd_below(rnd, 2));
    return len < world->model->cap - off ? len : (size_t)(world->model->cap - off);
}

/* Cuts a buffer into pieces, some of them empty. */
static int cut(struct rnd *rnd, void *buf, size_t len, struct iovec *iov, int max)
{
    size_t at = 0;
    int n = 0;

    for (; n < max - 1 && (at < len || rnd_percent(rnd, 30)); n++) {
        size_t here =
            rnd_percent(rnd, 20) ? 0 : rnd_below(rnd, rnd_percent(rnd, 50) ? 700 : len + 1);

        if (here > len - at)
            here = len - at;
        iov[n] = (struct iovec){ (char *)buf + at, here };
        at += here;
    }
    if (at < len)
        iov[n++] = (struct iovec){ (char *)buf + at, len - at };
    return n;
}

static void op_write(struct world *world)
{
    uint64_t off = place(world), end;
    size_t len = length(world, off);
    struct acow_disk *disk = any_writer(world);
    uint8_t *buf = malloc(len + 1);
    int fd = rnd_percent(&world->rnd, 20) ? world->second_fd : ACOW_OWN_FD;
    struct iovec iov[40];
    int iovcnt;
    ssize_t n;

    rnd_fill(&world->rnd, buf, len);
    iovcnt = cut(&world->rnd, buf, len, iov, 40);
    switch (rnd_below(&world->rnd, 4)) {
    case 0:
        n = acow_pwritev(disk, fd, iov, iovcnt, off);
        break;
    case 1:
        if (world->model->size + len <= world->model->cap) {
            off = world->model->size;
            n = acow_append(disk, fd, iov, iovcnt, &end);
            check(end == off + len, "%s: append ended at %llu", world->what,
                  (unsigned long long)end);
            break;
        }
        /* fall through */
    default:
        n = acow_pwrite(disk, fd, buf, len, off);
    }
    check(n == (ssize_t)len, "%s: write of %zu at %llu: %zd", world->what, len,
          (unsigned long long)off, n);
    model_write(world->model, buf, len, off);
    free(buf);
}

static void op_read(struct world *world)
{
    uint64_t off = place(world), size = world->model->size;
    size_t len = length(world, off) + rnd_below(&world->rnd, 2) * 2000, want;
    struct acow_disk *disk = any_disk(world);
    uint8_t *buf = malloc(len + 1);
    int fd = rnd_percent(&world->rnd, 20) ? world->second_fd : ACOW_OWN_FD;
    struct iovec iov[40];
    ssize_t n;

    want = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
    memset(buf, 0xee, len + 1);
    if (rnd_percent(&world->rnd, 50))
        n = acow_preadv(disk, fd, iov, cut(&world->rnd, buf, len, iov, 40), off);
    else
        n = acow_pread(disk, fd, buf, len, off);
    check(n == (ssize_t)want, "%s: read of %zu at %llu: %zd, not %zu", world->what, len,
          (unsigned long long)off, n, want);
    assert_same(buf, world->model->data + off, want, "%s: read at %llu", world->what,
                (unsigned long long)off);
    for (size_t i = want; i < len + 1; i++)
        check(buf[i] == 0xee, "%s: a byte behind the end was written", world->what);
    free(buf);
}

static void op_truncate(struct world *world)
{
    uint64_t size = place(world);
    int r = acow_truncate(any_writer(world), size);

    check(r == 0, "%s: truncate to %llu: %d", world->what, (unsigned long long)size, r);
    model_truncate(world->model, size);
}

static void op_fallocate(struct world *world)
{
    static const int modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    };
    int mode = modes[rnd_below(&world->rnd, world->has_zero_range ? 6 : 4)];
    uint64_t off = place(world);
    size_t len = length(world, off);
    int r = acow_fallocate(any_writer(world), mode, off, len);

    check(r == (len ? 0 : -EINVAL), "%s: fallocate %d, %zu at %llu: %d", world->what, mode, len,
          (unsigned long long)off, r);
    if (len == 0)
        return;
    if (mode == 0 && off + len > world->model->size)
        model_truncate(world->model, off + len);
    else if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        model_zero(world->model, off, len, mode & FALLOC_FL_KEEP_SIZE);
}

static void op_flush(struct world *world)
{
    uint64_t allocated, pending;

    must_flush(any_writer(world));
    check(acow_count_allocated(any_disk(world), &allocated, &pending) == 0 && pending == 0,
          "%s: %llu bits pending after a flush", world->what, (unsigned long long)pending);
}

static void open_first(struct world *world)
{
    world->disks[0] = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    world->second_fd = acow_open_image(world->disks[0], O_RDWR);
    check(world->second_fd >= 0);
}

static void close_all(struct world *world)
{
    for (int i = 2; i >= 0; i--)
        if (world->disks[i])
            must_close(world->disks[i]);
    memset(world->disks, 0, sizeof(world->disks));
    close(world->second_fd);
}

static void op_reopen(struct world *world)
{
    close_all(world);
    model_check_files(world->model, "d.add-cow", world->what);
    open_first(world);
}

static void op_another(struct world *world)
{
    int which = rnd_percent(&world->rnd, 50) ? 1 : 2;

    if (world->disks[which]) {
        must_close(world->disks[which]);
        world->disks[which] = NULL;
    } else {
        world->disks[which] =
            must_open(&acow_sys_libc, "d.add-cow", which == 1 ? ACOW_RDWR : ACOW_RDONLY);
    }
}

static void op_park(struct world *world)
{
    int r = acow_park(any_disk(world));

    check(r == 0, "%s: park: %d", world->what, r);
}

static void op_any(struct world *world)
{
    unsigned dice = (unsigned)rnd_below(&world->rnd, 100);

    if (dice < 45)
        op_write(world);
    else if (dice < 75)
        op_read(world);
    else if (dice < 83)
        op_truncate(world);
    else if (dice < 92)
        op_fallocate(world);
    else if (dice < 96)
        op_flush(world);
    else if (dice < 99)
        op_another(world);
    else
        op_park(world);
}

static int some_ops(void *arg)
{
    struct world *world = arg;

    for (int i = 0; i < 3; i++)
        if (world->disks[i])
            acow_after_fork(world->disks[i]);
    for (uint64_t ops = rnd_below(&world->rnd, 12); ops > 0; ops--)
        op_any(world);
    close_all(world);
    return 0;
}

static void op_fork(struct world *world)
{
    int status = in_child(some_ops, world);

    check(status == 0, "%s: the child ended with %d", world->what, status);
    rnd_next(&world->rnd);
}

static bool has_zero_range(void)
{
    int fd = open("probe", O_RDWR | O_CREAT | O_TRUNC, 0644);
    bool has = fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 1) == 0;

    close(fd);
    return has;
}

static void run_shape(const struct shape *shape, uint64_t seed)
{
    struct world world = { .rnd = { seed } };
    struct model *model = world.model = shared_memory(sizeof(*model));
    struct blob below[NBELOW];
    uint64_t backing_size;

    snprintf(world.what, sizeof(world.what), "%s, seed %llu", shape->name,
             (unsigned long long)seed);
    backing_size = make_shape(&world.rnd, shape);
    keep_below(below);
    model_load(model, "d.add-cow", shape->cap, backing_size);
    world.has_zero_range = has_zero_range();
    open_first(&world);
    model_check_disk(model, world.disks[0], world.what);
    for (unsigned i = 0; i < shape->ops; i++) {
        if (rnd_below(&world.rnd, 100) < 2)
            op_reopen(&world);
        else if (rnd_below(&world.rnd, 100) < 2)
            op_fork(&world);
        else
            op_any(&world);
        check(file_len("d.img") == (int64_t)model->size, "%s: the image has %lld bytes, not %llu",
              world.what, (long long)file_len("d.img"), (unsigned long long)model->size);
        if (shape->cap <= CAP && i % 25 == 0)
            model_check_disk(model, any_disk(&world), world.what);
    }
    model_check_disk(model, any_disk(&world), world.what);
    close_all(&world);
    model_check_files(model, "d.add-cow", world.what);
    check_below(&world, below);
    model_free(model);
}

static void run_shapes(size_t part, size_t parts)
{
    size_t count = sizeof(shapes) / sizeof(shapes[0]);

    for (unsigned round = 0; round < test_rounds(2); round++)
        for (size_t i = part; i < count; i += parts) {
            for (size_t n = 0; n < NBELOW; n++)
                unlink(below_files[n]);
            run_shape(&shapes[i], test_seed(100 * round + i + 1));
        }
}

Test(model, shapes_1, .init = tmp_begin, .fini = tmp_end)
{
    run_shapes(0, 4);
}

Test(model, shapes_2, .init = tmp_begin, .fini = tmp_end)
{
    run_shapes(1, 4);
}

Test(model, shapes_3, .init = tmp_begin, .fini = tmp_end)
{
    run_shapes(2, 4);
}

Test(model, shapes_4, .init = tmp_begin, .fini = tmp_end)
{
    run_shapes(3, 4);
}
