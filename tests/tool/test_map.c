/*
 * `map` over an engine that cuts its extents anywhere, as engine/addcow.h allows
 * it to. The acow_next_extent here takes the place of the library's: it serves a
 * table, in pieces of at most 512 bytes.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"
#include "common.h"

#define SIZE 8192

static const struct {
    uint64_t end;
    enum acow_kind kind;
    int depth, allocated, in_image;
} parts[] = {
    { 1024, ACOW_DATA, 0, 1, 1 },
    { 2048, ACOW_DATA, 1, 0, 0 },
    { 4096, ACOW_HOLE, 1, 0, 0 },
    { 5120, ACOW_HOLE, 0, 1, 0 },
    { 6144, ACOW_HOLE, 0, 0, 0 },
    { SIZE, ACOW_DATA, 1, 0, 0 },
};

static uint64_t fail_at = UINT64_MAX;
static int fail_with;

int acow_next_extent(struct acow_disk *disk, uint64_t off, uint64_t limit,
                     struct acow_extent *extent)
{
    struct acow_facts facts;
    int i = 0;

    if (off >= fail_at)
        return fail_with;
    if (off >= SIZE)
        return -ENXIO;
    acow_facts(disk, &facts);
    while (parts[i].end <= off)
        i++;
    *extent = (struct acow_extent) {
        .off = off,
        .len = parts[i].end - off,
        .kind = parts[i].kind,
        .depth = parts[i].depth,
        .allocated = parts[i].allocated,
    };
    if (extent->len > 512)
        extent->len = 512;
    if (extent->len > limit)
        extent->len = limit;
    if (extent->kind == ACOW_DATA) {
        extent->file = parts[i].in_image ? facts.image_path : facts.backing_path;
        extent->file_off = off;
    }
    return 0;
}

static char dir[] = "/tmp/test_map.XXXXXX";

static void setup(void)
{
    struct acow_create what = {
        .path = "d.add-cow", .backing_name = "base.img", .image_name = "image.raw", .size = -1,
    };
    struct acow_msg msg;
    FILE *base;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    base = fopen("base.img", "w");
    cr_assert_not_null(base);
    for (int i = 0; i < SIZE; i++)
        fputc('b', base);
    cr_assert_eq(fclose(base), 0);
    cr_assert_eq(acow_create(&acow_sys_libc, &what, NULL, &msg), 0, "%s", msg.text);
    cr_redirect_stdout();
    cr_redirect_stderr();
}

static void teardown(void)
{
    unlink("d.add-cow");
    unlink("base.img");
    unlink("image.raw");
    cr_expect_eq(rmdir(dir), 0);
}

TestSuite(map, .init = setup, .fini = teardown);

static int run_map(const char *first, const char *second)
{
    const char *argv[] = { "map", "d.add-cow", first, second, NULL };
    int argc = second ? 4 : first ? 3 : 2;
    int status = cmd_map.run(&cmd_map, argc, (char **)argv);

    fflush(stdout);
    fflush(stderr);
    return status;
}

Test(map, table_is_merged)
{
    cr_expect_eq(run_map(NULL, NULL), 0);
    cr_expect_stdout_eq_str(
        "Offset          Length          Mapped to       File\n"
        "0               0x400           0               image.raw\n"
        "0x400           0x400           0x400           base.img\n"
        "0x1800          0x800           0x1800          base.img\n");
}

#define ENTRY(start, length, depth, present, zero, data) \
    "{ \"start\": " #start ", \"length\": " #length ", \"depth\": " #depth ", \"present\": " #present \
    ", \"zero\": " #zero ", \"data\": " #data

Test(map, json_is_merged)
{
    cr_expect_eq(run_map("--output=json", NULL), 0);
    cr_expect_stdout_eq_str(
        "[" ENTRY(0, 1024, 0, true, false, true) ", \"offset\": 0},\n"
        ENTRY(1024, 1024, 1, true, false, true) ", \"offset\": 1024},\n"
        ENTRY(2048, 2048, 1, true, true, false) ", \"offset\": 2048},\n"
        ENTRY(4096, 1024, 0, true, true, false) ", \"offset\": 4096},\n"
        ENTRY(5120, 1024, 0, false, true, false) "},\n"
        ENTRY(6144, 2048, 1, true, false, true) ", \"offset\": 6144}]\n");
}

Test(map, window_cuts_extents)
{
    cr_expect_eq(run_map("-s700", "-l1000"), 0);
    cr_expect_stdout_eq_str(
        "Offset          Length          Mapped to       File\n"
        "0x2bc           0x144           0x2bc           image.raw\n"
        "0x400           0x2a4           0x400           base.img\n");
}

Test(map, error_on_the_way)
{
    fail_at = 1500;
    fail_with = -EIO;
    cr_expect_eq(run_map(NULL, NULL), 1);
    cr_expect_stderr_eq_str("addcow-img: d.add-cow: cannot read the map: Input/output error\n");
}

/* The disk was made smaller by somebody else while it was looked at. */
Test(map, end_comes_early)
{
    fail_at = 1500;
    fail_with = -ENXIO;
    cr_expect_eq(run_map("--output=json", NULL), 0);
    cr_expect_stdout_eq_str(
        "[" ENTRY(0, 1024, 0, true, false, true) ", \"offset\": 0},\n"
        ENTRY(1024, 512, 1, true, false, true) ", \"offset\": 1024}]\n");
}
