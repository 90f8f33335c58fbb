/*
 * The script, run again and again with its first, second, third … system call
 * failing, until nothing fails. Each time: the error is what the operation
 * returns; what it did is what it says it did, as on a flat file; nothing leaks;
 * and the disk opens again with all that was acknowledged.
 */
#include <errno.h>
#include <stdlib.h>

#include "script.h"
#include "sys_hook.h"

#define PAST 32

struct run {
    struct script script;
    struct fault fault;
    /* Every content that there was, for what a failed fsync may bring back. */
    struct blob past[PAST];
    int npast;
    bool lost;                  /* what was not flushed may be gone, and an error has said so */
    bool failed;                /* some operation; then a growth may have been done in part */
    char what[160];
};

static void remember(struct run *run)
{
    struct blob *past = &run->past[run->npast++];

    check(run->npast <= PAST);
    past->len = run->script.model.size;
    past->data = malloc(SCRIPT_CAP);
    memcpy(past->data, run->script.model.data, SCRIPT_CAP);
}

/* A growth that failed may still have grown it. */
static void check_size(const struct run *run, struct blob all)
{
    uint64_t size = run->script.model.size;

    check(all.len == size || (run->failed && all.len > size), "%s: size %zu, not %llu", run->what,
          all.len, (unsigned long long)size);
    check(all.len <= SCRIPT_CAP);
}

/* With a clean table the disk shows the model. */
static void check_content(struct run *run)
{
    struct model *model = &run->script.model;
    struct blob all;

    run->fault.paused = true;
    all = read_all(run->script.disk);
    check_size(run, all);
    assert_same(all.data, model->data, all.len, "%s", run->what);
    if (all.len > model->size)
        model_truncate(model, all.len);
    free(all.data);
    run->fault.paused = false;
}

static void check_result(struct run *run, ssize_t r)
{
    if (r >= 0)
        return;
    /* Who is alone with the disk admits no second handle of it. */
    if (run->fault.unprivileged && r == -EBUSY)
        return;
    run->failed = true;
    if (run->fault.sync_failed && r == -EIO)
        return;
    check(run->fault.fired && (r == run->fault.error || r == -ENOSPC), "%s: %zd, after %s",
          run->what, r, run->fault.hit);
}

/* Returns the result of opening. */
static int run_script(struct run *run, const char *name)
{
    struct script *script = &run->script;
    struct acow_msg msg = { "" };
    int r = acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &script->disk, &msg);

    if (r < 0) {
        check(strstr(msg.text, ".add-cow") || strstr(msg.text, ".img") || strstr(msg.text, ".base"),
              "%s, after %s: \"%s\"", run->what, run->fault.hit, msg.text);
        return r;
    }
    for (int i = 0; i < script_steps(); i++) {
        unsigned fired = run->fault.fired;
        ssize_t result;

        snprintf(run->what, sizeof(run->what), "%s, call %u fails, step %d", name, run->fault.nth,
                 i);
        result = script_do(script, i);
        check_result(run, result);
        script_apply(script, i, result);
        remember(run);
        if (run->fault.fired != fired || result < 0)
            check_content(run);
        if (run->fault.kind == FAULT_EVER && run->fault.fired)
            break;
    }
    snprintf(run->what, sizeof(run->what), "%s, call %u fails, close", name, run->fault.nth);
    if (script->second)
        acow_close(script->second, NULL);
    r = acow_close(script->disk, NULL);
    check_result(run, r);
    /* Pending bits that no other process can see end with the last that can. */
    run->lost = run->fault.sync_failed || (run->fault.unprivileged && r < 0);
    return 0;
}

static bool was_once(const struct run *run, const uint8_t *sector, uint64_t off, size_t len)
{
    for (int i = 0; i < run->npast; i++)
        if (memcmp(sector, run->past[i].data + off, len) == 0)
            return true;
    return false;
}

/* Opens anew, with nothing failing: all is there, and it works. */
static void check_afterwards(struct run *run)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    struct blob all = read_all(disk), flat;

    check_size(run, all);
    for (uint64_t off = 0; run->lost && off < all.len; off += 512)
        check(was_once(run, all.data + off, off, all.len - off < 512 ? all.len - off : 512),
              "%s: sector %llu", run->what, (unsigned long long)off / 512);
    if (!run->lost)
        assert_same(all.data, run->script.model.data, all.len, "%s: opened again", run->what);
    must_write(disk, "mark", 4, 3333);
    memcpy(all.data + 3333, "mark", 4);
    must_flush(disk);
    must_close(disk);
    flat = decode("d.add-cow");
    check(flat.len == all.len && file_len("d.add-cow.run") == -1, "%s", run->what);
    assert_same(flat.data, all.data, all.len, "%s: files", run->what);
    free(flat.data);
    free(all.data);
}

/* Who cannot lock an empty run-time file, or tell whose it is, must not remove it. */
static bool may_leave_run(const struct fault *fault)
{
    return fault->kind == FAULT_EVER || strcmp(fault->hit, "lock d.add-cow.run") == 0
           || strcmp(fault->hit, "fstat d.add-cow.run") == 0
           || strcmp(fault->hit, "stat d.add-cow.run") == 0
           || strcmp(fault->hit, "fstat d.add-cow") == 0;
}

static void check_failed_open(struct run *run, int r, int files, struct blob meta)
{
    check_result(run, r);
    check(dir_count() == files || may_leave_run(&run->fault),
          "%s: a failed open left a file, after %s", run->what, run->fault.hit);
    check(file_same("d.add-cow", meta), "%s: a failed open changed the metadata", run->what);
}

/* True if something failed. */
static bool run_once(struct fault fault, unsigned nth, const char *name)
{
    struct run run = { .fault = fault };
    int fds, maps, files, r;
    struct blob meta;

    run.fault.nth = nth;
    script_begin(&run.script, run.what);
    meta = file_get("d.add-cow");
    remember(&run);
    snprintf(run.what, sizeof(run.what), "%s, call %u fails, open", name, nth);
    fds = open_fds();
    maps = mappings();
    files = dir_count();
    fault_begin(&run.fault);
    r = run_script(&run, name);
    sys_hook(NULL);
    check(open_fds() == fds, "%s: descriptors leak, after %s", run.what, run.fault.hit);
    check(mappings() == maps, "%s: mappings leak, after %s", run.what, run.fault.hit);
    if (r < 0)
        check_failed_open(&run, r, files, meta);
    check_afterwards(&run);
    for (int i = 0; i < run.npast; i++)
        free(run.past[i].data);
    free(meta.data);
    script_end(&run.script);
    return run.fault.fired > 0;
}

static void run_faults(struct fault fault, const char *name)
{
    unsigned nth = 1;

    while (run_once(fault, nth, name))
        nth++;
    check(nth > (fault.kind == FAULT_SHORT ? 20 : 100), "only %u calls", nth);
}

static void run_all(enum fault_kind kind, int error, const char *name)
{
    run_faults((struct fault){ .kind = kind, .error = error }, name);
}

Test(fault, once_io_error, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_ONCE, -EIO, "EIO");
}

Test(fault, once_no_space, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_ONCE, -ENOSPC, "ENOSPC");
}

Test(fault, once_no_files, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_ONCE, -EMFILE, "EMFILE");
}

Test(fault, once_interrupted, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_ONCE, -EINTR, "EINTR");
}

Test(fault, ever_io_error, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_EVER, -EIO, "EIO for ever");
}

Test(fault, ever_no_space, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_EVER, -ENOSPC, "ENOSPC for ever");
}

Test(fault, short_transfers, .init = tmp_begin, .fini = tmp_end)
{
    run_all(FAULT_SHORT, -EIO, "short");
}

Test(fault, alone_once, .init = tmp_begin, .fini = tmp_end)
{
    run_faults((struct fault){ .kind = FAULT_ONCE, .error = -EIO, .unprivileged = true }, "alone, EIO");
}

Test(fault, alone_ever, .init = tmp_begin, .fini = tmp_end)
{
    run_faults((struct fault){ .kind = FAULT_EVER, .error = -ENOSPC, .unprivileged = true },
               "alone, ENOSPC for ever");
}
