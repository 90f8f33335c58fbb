/*
 * Looking at a disk, taking a killed program's over, and being one of several, with another
 * system call failing each time. What is read is what is there or an error, never older bytes;
 * what a killed program or another has written stays.
 */
#include <errno.h>
#include <stdlib.h>

#include "looking.h"
#include "peer.h"
#include "script.h"
#include "sweep.h"

static struct model model;
static struct peer peer;
static bool wrote, checked;

/* A chain of three: d over l over m over d.base, of 6000, 9000 and 9200 bytes. */
static void prepare(void)
{
    uint8_t below = 0x41;
    struct script script;

    file_pattern("m.img", 0, 9200, 5);
    meta_put("m.add-cow", "d.base", "m.img", &below, 1);
    script_begin(&script, "fault");
    meta_put("l.add-cow", "m.add-cow", "l.img", (uint8_t[]){ 0x83 }, 1);
    script_end(&script);
    model_load(&model, "d.add-cow", SCRIPT_CAP, 9000);
    wrote = false;
}

static void write_model(uint64_t off, size_t len, unsigned tag)
{
    uint8_t buf[SCRIPT_CAP];

    pattern(buf, off, len, tag);
    model_write(&model, buf, len, off);
}

/* All of it is the model, or an error. */
static void step_read(struct acow_disk *disk)
{
    uint8_t buf[SCRIPT_CAP + 1];
    ssize_t n;

    sweep_step("read");
    n = sweep_told(acow_pread(disk, ACOW_OWN_FD, buf, sizeof(buf), 0));
    if (n < 0)
        return;
    check(n == (ssize_t)model.size || (sweep_fault.kind >= FAULT_SHORT && n < (ssize_t)model.size),
          "%s: %zd", sweep_what(), n);
    assert_same(buf, model.data, (size_t)n, "%s", sweep_what());
}

static void step_extents(struct acow_disk *disk)
{
    struct acow_extent extent = { 0 };
    uint64_t off = 0;
    int64_t size;

    sweep_step("extents");
    size = sweep_told(acow_size(disk));
    check(size < 0 || size == (int64_t)model.size, "%s: %lld", sweep_what(), (long long)size);
    while (off < model.size
           && sweep_told(acow_next_extent(disk, off, model.size, &extent)) == 0) {
        check(extent.len > 0 && extent.allocated == model.bits[off / 512], "%s: at %llu",
              sweep_what(), (unsigned long long)off);
        off += extent.len;
    }
}

static struct acow_disk *step_open(const char *path, int flags)
{
    struct acow_disk *disk = NULL;
    struct acow_msg msg = { "" };

    sweep_step("open");
    if (sweep_told(acow_open(&sys_hooked, path, flags, &disk, &msg)) < 0) {
        check(msg.text[0] && !strchr(msg.text, '\n'), "%s: %s", sweep_what(), msg.text);
        return NULL;
    }
    return disk;
}

static void step_close(struct acow_disk *disk)
{
    sweep_step("close");
    sweep_told(acow_close(disk, NULL));
}

static void look_with_flags(int flags)
{
    struct acow_disk *disk = step_open("d.add-cow", flags);

    if (!disk)
        return;
    step_read(disk);
    step_extents(disk);
    step_close(disk);
}

static void act_reader(void)
{
    look_with_flags(ACOW_RDONLY);
}

static void act_inspect(void)
{
    look_with_flags(ACOW_INSPECT);
}

static void act_stat(void)
{
    struct stat st;
    char *image = NULL;

    sweep_step("stat");
    if (sweep_told(acow_stat(&sys_hooked, "d.add-cow", &st)) == 0)
        check(st.st_size == (off_t)model.size, "%s: %lld", sweep_what(), (long long)st.st_size);
    sweep_step("image path");
    if (sweep_told(acow_image_path(&sys_hooked, "d.add-cow", &image)) == 0)
        check(strstr(image, "/d.img"), "%s: %s", sweep_what(), image);
    free(image);
}

/* In the end, with nothing failing, the disk is the model. */
static void after(void)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    struct blob all = read_all(disk);

    check(all.len == model.size, "%s: size %zu", sweep_what(), all.len);
    assert_same(all.data, model.data, all.len, "%s", sweep_what());
    free(all.data);
    must_close(disk);
    check(file_len("d.add-cow.run") == -1, "%s", sweep_what());
    look("d.add-cow");
    check(found.corruptions == 0 && found.leaks == 0 && found.unchecked == 0, "%s", sweep_what());
    model_free(&model);
}

/* ---- left by a kill ------------------------------------------------------------ */

/* As if killed: a fork's child lets go of its parent's share without a word. */
static void abandon(uint64_t off, size_t len, unsigned tag)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    uint8_t buf[SCRIPT_CAP];

    pattern(buf, off, len, tag);
    must_write(disk, buf, len, off);
    acow_after_fork(disk);
    must_close(disk);
    check(file_len("d.add-cow.run") > 0);
}

static void prepare_left(void)
{
    prepare();
    abandon(1000, 3000, 3);
    write_model(1000, 3000, 3);
}

static void act_writer(void)
{
    struct acow_disk *disk = step_open("d.add-cow", ACOW_RDWR);
    uint8_t buf[2000];

    if (!disk)
        return;
    step_read(disk);
    sweep_step("write");
    pattern(buf, 5500, sizeof(buf), 4);
    if (sweep_told(acow_pwrite(disk, ACOW_OWN_FD, buf, sizeof(buf), 5500)) > 0)
        wrote = true;
    sweep_step("flush");
    sweep_told(acow_flush(disk));
    step_close(disk);
}

/* What was written by the one in question is there, in part at least, unless an fsync failed. */
static void after_writer(void)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    struct blob all = read_all(disk);
    uint8_t buf[2000];
    uint64_t end = all.len;

    pattern(buf, 5500, sizeof(buf), 4);
    check(end >= 6000 && end <= 7500, "%s: size %zu", sweep_what(), all.len);
    if (sweep_fault.sync_failed) {
        free(all.data);
        must_close(disk);
        model_free(&model);
        return;
    }
    assert_same(all.data, model.data, 5500, "%s", sweep_what());
    if (wrote && sweep_fault.kind < FAULT_SHORT)
        assert_same(all.data + 5500, buf, 2000, "%s: written", sweep_what());
    free(all.data);
    must_close(disk);
    model_free(&model);
}

static void act_check(void)
{
    sweep_step("check");
    checked = sweep_told(look_with(&sys_hooked, "d.add-cow", 0)) == 0;
    /* It sees what is wrong, or says what it could not see. */
    check(!checked || found.leaks + found.corruptions + found.unchecked > 0, "%s: nothing is found",
          sweep_what());
}

static void act_repair(void)
{
    sweep_step("repair");
    sweep_told(look_with(&sys_hooked, "d.add-cow", ACOW_REPAIR_ALL));
}

/* A failed fsync has dropped what was not safe, and said so. */
static void after_repair(void)
{
    if (!sweep_fault.sync_failed) {
        after();
        return;
    }
    must_close(must_open(&sys_hooked, "d.add-cow", ACOW_RDWR));
    model_free(&model);
}

/* ---- beside another process ------------------------------------------------------- */

static void prepare_peer(void)
{
    prepare();
    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 3000, 3);
    write_model(1000, 3000, 3);
}

/* After a failed fsync its close says so, unless all that it wrote was safe by then. */
static void end_peer(void)
{
    int64_t r = peer_do(&peer, PEER_CLOSE, 0, 0, 0);

    check(r == 0 || (sweep_fault.sync_failed && r == -EIO), "%s: %lld", sweep_what(), (long long)r);
}

static void after_peer(void)
{
    peer_sees(&peer, 1000, 3000, 3);
    end_peer();
    after_writer();
}

/* The peer makes it larger under the eyes of who reads and writes. */
static void act_growth(void)
{
    struct acow_disk *disk = step_open("d.add-cow", ACOW_RDWR);

    check_peer(&peer, PEER_TRUNCATE, 7500, 0, 0, 0);
    model_truncate(&model, 7500);
    if (!disk)
        return;
    step_read(disk);
    step_extents(disk);
    step_close(disk);
}

static void after_growth(void)
{
    end_peer();
    after_repair();
}

/* ---- all of them ------------------------------------------------------------------ */

static const struct scenario scenarios[] = {
    { "reader", prepare, act_reader, after, false, 60 },
    { "reader that may not make a run-time file", prepare, act_reader, after, true, 50 },
    { "inspector", prepare, act_inspect, after, false, 40 },
    { "stat", prepare, act_stat, after, false, 8 },
    { "inspector of what was left", prepare_left, act_inspect, after, false, 40 },
    { "reader of what was left", prepare_left, act_reader, after_repair, false, 50 },
    { "take-over", prepare_left, act_writer, after_writer, false, 70 },
    { "take-over, not permitted", prepare_left, act_writer, after_writer, true, 30 },
    { "check", prepare_left, act_check, after, false, 40 },
    { "repair", prepare_left, act_repair, after_repair, false, 80 },
    { "second process", prepare_peer, act_writer, after_peer, false, 60 },
    { "growth by another", prepare_peer, act_growth, after_growth, false, 60 },
};

static void end(void)
{
    look_end();
    tmp_end();
}

static void sweep_all(enum fault_kind kind)
{
    peer = peer_start(&sys_hooked);
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        sweep(&scenarios[i], kind);
    peer_end(&peer);
}

Test(fault_open, once, .init = tmp_begin_in_memory, .fini = end)
{
    sweep_all(FAULT_ONCE);
}

Test(fault_open, ever, .init = tmp_begin_in_memory, .fini = end)
{
    sweep_all(FAULT_EVER);
}

Test(fault_open, short, .init = tmp_begin_in_memory, .fini = end)
{
    sweep_all(FAULT_SHORT);
    sweep_all(FAULT_SHORT_ONCE);
}
