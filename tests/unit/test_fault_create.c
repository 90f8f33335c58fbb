/*
 * Making a disk, with another system call failing each time: what was there before is kept, or
 * what was to be made is there whole, and nothing else is left.
 */
#include <errno.h>
#include <stdlib.h>

#include "sweep.h"

static struct blob old, header;
static int made, files;
static bool forced;

static void prepare(void)
{
    forced = false;
    file_pattern("d.base", 0, 5000, 1);
    meta_put("d.add-cow", "d.base", "d.img", NULL, 2);
    header = file_get("d.add-cow");
    unlink("d.add-cow");
    files = dir_count();
}

/* An old disk, and what a killed program left of its run-time state. */
static void prepare_old(void)
{
    prepare();
    forced = true;
    file_pattern("old.img", 0, 6000, 2);
    meta_put("d.add-cow", "d.base", "old.img", NULL, 7);
    file_put("d.add-cow.run", "left", 4);
    old = file_get("d.add-cow");
    files = dir_count();
}

static void act(void)
{
    struct acow_create what = {
        .path = "d.add-cow", .backing_name = "d.base", .image_name = "d.img", .size = -1,
        .force = forced,
    };
    uint64_t size = 12345;
    struct acow_msg msg = { "" };

    sweep_step("create");
    made = (int)sweep_told(acow_create(&sys_hooked, &what, &size, &msg));
    check(made < 0 || size == 5000, "%s: %llu", sweep_what(), (unsigned long long)size);
    check(made == 0 || (strstr(msg.text, "d.") && !strchr(msg.text, '\n')), "%s: %s", sweep_what(),
          msg.text);
}

static bool hit(const char *call)
{
    return strstr(sweep_fault.hit, call);
}

static void after(void)
{
    bool there = file_len("d.add-cow") >= 0 && file_same("d.add-cow", header);
    /* What may not be removed stays. */
    int spare = hit("unlink") || sweep_fault.kind == FAULT_EVER ? 1 : 0;
    struct acow_disk *disk;

    check(there || (forced ? file_same("d.add-cow", old) : file_len("d.add-cow") == -1),
          "%s: neither old nor new", sweep_what());
    /* Only where the old one is gone already does an error leave the new one. */
    check(there || made < 0, "%s: nothing was made", sweep_what());
    check(!there || made == 0 || forced || spare, "%s: it is there", sweep_what());
    check(there == (file_len("d.img") == 5000) || spare, "%s: the image", sweep_what());
    /* Two files come, or one instead of one, and the run-time file goes. */
    check(dir_count() <= files + (there ? forced ? 0 : 2 : 0) + spare * 2, "%s: %d files, not %d",
          sweep_what(), dir_count(), files);
    if (there) {
        disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        check(acow_size(disk) == 5000);
        must_close(disk);
    }
    free(header.data);
    if (forced)
        free(old.data);
}

static const struct scenario plain = {
    .name = "create", .prepare = prepare, .act = act, .after = after, .least = 20,
};

static const struct scenario replacing = {
    .name = "create --force", .prepare = prepare_old, .act = act, .after = after, .least = 25,
};

static void every_kind(const struct scenario *scenario)
{
    sweep(scenario, FAULT_ONCE);
    sweep(scenario, FAULT_EVER);
    sweep(scenario, FAULT_SHORT);
    sweep(scenario, FAULT_SHORT_ONCE);
}

Test(fault_create, plain, .init = tmp_begin_in_memory, .fini = tmp_end)
{
    every_kind(&plain);
}

Test(fault_create, replacing, .init = tmp_begin_in_memory, .fini = tmp_end)
{
    every_kind(&replacing);
}
