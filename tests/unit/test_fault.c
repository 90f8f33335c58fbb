/*
 * The script, run again and again with another system call failing each time. The error is
 * what the operation returns; what it did is what it says it did, as on a flat file; nothing
 * leaks; and the disk opens again with all that was acknowledged. Only a failed fsync may lose
 * something: what was not flushed, and every later flush says so.
 */
#include <errno.h>
#include <stdlib.h>

#include "looking.h"
#include "script.h"
#include "sweep.h"

#define PAST 32

static struct script script;
/* Every content since the last flush, for what a failed fsync may bring back. */
static struct blob past[PAST];
static int npast;
static bool failed;             /* some operation; then a growth may have been done in part */
static bool opened;
static int files;
static struct blob meta;

static void forget(void)
{
    while (npast > 0)
        free(past[--npast].data);
}

static void remember(void)
{
    struct blob *now = &past[npast++];

    check(npast <= PAST);
    now->len = script.model.size;
    now->data = malloc(SCRIPT_CAP);
    memcpy(now->data, script.model.data, SCRIPT_CAP);
}

static void prepare(void)
{
    script_begin(&script, "fault");
    files = dir_count();
    meta = file_get("d.add-cow");
    failed = opened = false;
    remember();
}

/* A growth that failed may still have grown it. */
static void check_size(struct blob all)
{
    uint64_t size = script.model.size;

    check(all.len == size || (failed && all.len > size), "%s: size %zu, not %llu", sweep_what(),
          all.len, (unsigned long long)size);
    check(all.len <= SCRIPT_CAP);
}

/* With nothing failing for a moment the disk shows the model. */
static void check_content(void)
{
    struct model *model = &script.model;
    struct blob all;

    sweep_fault.paused = true;
    all = read_all(script.disk);
    check_size(all);
    assert_same(all.data, model->data, all.len, "%s", sweep_what());
    if (all.len > model->size)
        model_truncate(model, all.len);
    free(all.data);
    sweep_fault.paused = false;
}

static void act(void)
{
    static char name[32];
    struct acow_msg msg = { "" };

    sweep_step("open");
    script.what = sweep_what();
    if (sweep_told(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &script.disk, &msg)) < 0) {
        check(strstr(msg.text, ".add-cow") || strstr(msg.text, ".img") || strstr(msg.text, ".base"),
              "%s: \"%s\"", sweep_what(), msg.text);
        return;
    }
    opened = true;
    for (int i = 0; i < script_steps(); i++) {
        unsigned fired = sweep_fault.fired;
        ssize_t r;

        snprintf(name, sizeof(name), "step %d", i);
        sweep_step(name);
        r = sweep_told(script_do(&script, i));
        failed = failed || r < 0;
        script_apply(&script, i, r);
        if (script_flushes(i) && r == 0) {
            check(!sweep_fault.sync_failed, "%s: a flush after a failed fsync", sweep_what());
            forget();
        }
        remember();
        if (sweep_fault.fired != fired)
            check_content();
        if (sweep_fault.kind == FAULT_EVER && sweep_fault.fired)
            break;
    }
    sweep_step("close");
    if (script.second)
        acow_close(script.second, NULL);
    failed = sweep_told(acow_close(script.disk, NULL)) < 0;
}

static bool was_once(const uint8_t *sector, uint64_t off, size_t len)
{
    for (int i = 0; i < npast; i++)
        if (memcmp(sector, past[i].data + off, len) == 0)
            return true;
    return false;
}

/* What is wrong with the disk that a killed program's would not be. */
static void check_clean(bool poisoned)
{
    look("d.add-cow");
    for (size_t i = 0; i < found.nfindings; i++)
        check(found.findings[i].severity <= ACOW_LEAK
              || (poisoned && found.findings[i].kind == ACOW_FOUND_RUN_POISONED), "%s: %s",
              sweep_what(), found.findings[i].text);
}

static void check_reopened(void)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    /* Pending bits that no other process can see end with the last that can. */
    bool lost = sweep_fault.sync_failed || (sweep_fault.unprivileged && failed);
    struct blob all = read_all(disk), flat;

    failed = true;
    check_size(all);
    for (uint64_t off = 0; lost && off < all.len; off += 512)
        check(was_once(all.data + off, off, all.len - off < 512 ? all.len - off : 512),
              "%s: sector %llu", sweep_what(), (unsigned long long)off / 512);
    if (!lost)
        assert_same(all.data, script.model.data, all.len, "%s", sweep_what());
    must_write(disk, "mark", 4, 3333);
    memcpy(all.data + 3333, "mark", 4);
    must_flush(disk);
    must_close(disk);
    flat = decode("d.add-cow");
    check(flat.len == all.len && file_len("d.add-cow.run") == -1, "%s", sweep_what());
    assert_same(flat.data, all.data, all.len, "%s: files", sweep_what());
    free(flat.data);
    free(all.data);
}

/* Who cannot lock an empty run-time file, or tell whose it is, must not remove it. */
static bool may_leave_run(void)
{
    static const char *const hits[] = {
        "lock d.add-cow.run", "fstat d.add-cow.run", "stat d.add-cow.run", "unlink d.add-cow.run",
        "fstat d.add-cow",
    };

    for (size_t i = 0; i < sizeof(hits) / sizeof(hits[0]); i++)
        if (strcmp(sweep_fault.hit, hits[i]) == 0)
            return true;
    return sweep_fault.kind == FAULT_EVER;
}

static void after(void)
{
    if (!opened) {
        check(dir_count() == files || may_leave_run(), "%s: it left a file", sweep_what());
        check(file_same("d.add-cow", meta), "%s: it changed the metadata", sweep_what());
    }
    check_clean(sweep_fault.sync_failed);
    check_reopened();
    check_clean(false);
    forget();
    free(meta.data);
    script_end(&script);
}

static const struct scenario whole = {
    .name = "script", .prepare = prepare, .act = act, .after = after, .least = 200,
};

static const struct scenario alone = {
    .name = "script, alone", .prepare = prepare, .act = act, .after = after, .least = 150,
    .unprivileged = true,
};

static void end(void)
{
    look_end();
    tmp_end();
}

Test(fault, script_once, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&whole, FAULT_ONCE);
}

Test(fault, script_ever, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&whole, FAULT_EVER);
}

Test(fault, script_short, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&whole, FAULT_SHORT);
    sweep(&whole, FAULT_SHORT_ONCE);
}

Test(fault, alone_once, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&alone, FAULT_ONCE);
}

Test(fault, alone_ever, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&alone, FAULT_EVER);
}

Test(fault, alone_short, .init = tmp_begin_in_memory, .fini = end)
{
    sweep(&alone, FAULT_SHORT);
    sweep(&alone, FAULT_SHORT_ONCE);
}
