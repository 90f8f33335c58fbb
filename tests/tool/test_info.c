/*
 * `info` and `map` on a disk that this process has open for writing, so that some
 * of its bits are only in the run-time file.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "common.h"

#define SIZE 65536

static char dir[] = "/tmp/test_info.XXXXXX";
static struct acow_disk *disk;

static void setup(void)
{
    struct acow_create what = {
        .path = "d.add-cow", .backing_name = "base.img", .image_name = "image.raw", .size = -1,
    };
    char block[4096];
    struct acow_msg msg;
    FILE *base;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    memset(block, 'b', sizeof(block));
    base = fopen("base.img", "w");
    cr_assert_not_null(base);
    for (int i = 0; i < SIZE / 4096; i++)
        cr_assert_eq(fwrite(block, sizeof(block), 1, base), 1);
    cr_assert_eq(fclose(base), 0);
    cr_assert_eq(acow_create(&acow_sys_libc, &what, NULL, &msg), 0, "%s", msg.text);
    cr_assert_eq(acow_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR, &disk, &msg), 0, "%s", msg.text);
    cr_assert_eq(acow_pwrite(disk, ACOW_OWN_FD, block, sizeof(block), 8192), sizeof(block));
    cr_redirect_stdout();
}

static void teardown(void)
{
    if (disk)
        cr_expect_eq(acow_close(disk, NULL), 0);
    unlink("d.add-cow");
    unlink("base.img");
    unlink("image.raw");
    cr_expect_eq(rmdir(dir), 0);
}

TestSuite(info, .init = setup, .fini = teardown);

static void run(const struct cmd *cmd, const char *option)
{
    const char *argv[] = { cmd->name, "d.add-cow", option, NULL };

    cr_expect_eq(cmd->run(cmd, option ? 3 : 2, (char **)argv), 0);
    fflush(stdout);
}

/* What was printed has every one of these, and none of those behind the NULL. */
static void expect_printed(const char *const *words)
{
    char text[8192];
    FILE *out = cr_get_redirected_stdout();
    size_t len = fread(text, 1, sizeof(text) - 1, out);

    text[len] = 0;
    for (; *words; words++)
        cr_expect_not_null(strstr(text, *words), "no \"%s\" in\n%s", *words, text);
    for (words++; *words; words++)
        cr_expect_null(strstr(text, *words), "\"%s\" in\n%s", *words, text);
}

Test(info, pending_bits)
{
    run(&cmd_info, NULL);
    expect_printed((const char *[]) { "\ncluster_size: 512\ncleanly shut down: no\nbacking file: base.img\n",
                                      "\n    allocated sectors: 8\n    pending sectors: 8\n", NULL, NULL });
}

Test(info, pending_bits_json)
{
    run(&cmd_info, "--output=json");
    expect_printed((const char *[]) { "\"dirty-flag\": true", "\"allocated-sectors\": 8,",
                                      "\"pending-sectors\": 8\n", NULL, NULL });
}

Test(info, flushed_bits)
{
    cr_assert_eq(acow_flush(disk), 0);
    run(&cmd_info, NULL);
    expect_printed((const char *[]) { "\n    allocated sectors: 8\n    pending sectors: 0\n", NULL,
                                      "cleanly", NULL });
}

Test(info, closed)
{
    cr_assert_eq(acow_close(disk, NULL), 0);
    disk = NULL;
    run(&cmd_info, "--output=json");
    expect_printed((const char *[]) { "\"dirty-flag\": false", "\"allocated-sectors\": 8,",
                                      "\"pending-sectors\": 0\n", NULL, NULL });
}
