/*
 * Making a disk: what it is then, byte for byte; what is refused, with which
 * errno and which file named. What a failing system call leaves is in
 * test_fault_create.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "peer.h"
#include "sys_hook.h"

static struct acow_msg msg;
static uint64_t size_of_disk;

static int create(const char *backing, const char *image, int64_t size, int force)
{
    struct acow_create what = {
        .path = "d.add-cow",
        .backing_name = backing,
        .image_name = image,
        .size = size,
        .force = force,
    };

    msg.text[0] = '\0';
    size_of_disk = 12345;
    return acow_create(&sys_hooked, &what, &size_of_disk, &msg);
}

static void begin(void)
{
    tmp_begin();
    file_pattern("d.base", 0, 5000, 1);
}

static void check_header(size_t bitmap)
{
    struct blob meta = file_get("d.add-cow"), base = file_get("d.base");
    uint8_t want[HEADER + 64] = "ADD_COW\xff\0\0\0\1" "d.base";

    strcpy((char *)want + 1036, "d.img");
    check(meta.len == HEADER + bitmap, "%zu bytes", meta.len);
    assert_same(meta.data, want, meta.len, "metadata");
    check(base.len == 5000);
    free(meta.data);
    free(base.data);
}

Test(create, image_is_made, .init = begin, .fini = tmp_end)
{
    struct stat st;
    struct blob flat;

    check(create("d.base", "d.img", -1, 0) == 0, "%s", msg.text);
    check(size_of_disk == 5000);
    check_header(2);
    check(stat("d.img", &st) == 0 && st.st_size == 5000 && st.st_blocks == 0);
    check(dir_count() == 3);
    flat = decode("d.add-cow");
    file_put("flat", flat.data, flat.len);
    check(file_same("d.base", flat));
    free(flat.data);
}

/* In the end everything is durable: the files, and then their names. */
Test(create, is_durable, .init = begin, .fini = tmp_end)
{
    const char *image, *meta, *name, *dir;

    calls_begin();
    check(create("d.base", "d.img", -1, 0) == 0);
    image = strstr(calls(), "fdatasync d.img");
    meta = image ? strstr(image, "fdatasync d.add-cow.") : NULL;
    dir = meta ? strstr(meta, "fdatasync addcow-unit-") : NULL;
    name = dir ? strstr(dir, "link d.add-cow") : NULL;
    check(name && strstr(name, "fdatasync addcow-unit-"), "%s", calls());
}

Test(create, image_of_a_given_size, .init = begin, .fini = tmp_end)
{
    check(create("d.base", "d.img", 100000, 0) == 0 && size_of_disk == 100000);
    check_header(25);
    check(file_len("d.img") == 100000);
}

Test(create, empty_disk, .init = begin, .fini = tmp_end)
{
    check(create("d.base", "d.img", 0, 0) == 0 && size_of_disk == 0);
    check_header(0);
    must_close(must_open(&sys_hooked, "d.add-cow", ACOW_RDWR));
}

Test(create, image_that_exists, .init = begin, .fini = tmp_end)
{
    struct blob image;

    file_pattern("d.img", 0, 7000, 2);
    image = file_get("d.img");
    check(create("d.base", "d.img", 6999, 0) == -EINVAL);
    check(strstr(msg.text, "d.img") && strstr(msg.text, "7000"), "%s", msg.text);
    check(dir_count() == 2);
    check(create("d.base", "d.img", -1, 0) == 0 && size_of_disk == 7000);
    check(create("d.base", "d.img", 7000, 1) == 0 && size_of_disk == 7000);
    check_header(2);
    check(file_same("d.img", image));
    free(image.data);
}

Test(create, force, .init = begin, .fini = tmp_end)
{
    struct blob old;

    check(create("d.base", "d.img", 512, 0) == 0);
    old = file_get("d.add-cow");
    check(create("d.base", "d.img", -1, 0) == -EEXIST);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(file_same("d.add-cow", old));
    check(create("d.base", "other.img", -1, 1) == 0 && size_of_disk == 5000);
    check(!file_same("d.add-cow", old));
    check(dir_count() == 4);
    free(old.data);
}

Test(create, force_on_a_disk_in_use, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    struct blob old;

    check(create("d.base", "d.img", -1, 0) == 0);
    old = file_get("d.add-cow");
    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        disk = must_open(&sys_hooked, "d.add-cow", flags);
        check(create("d.base", "other.img", -1, 1) == -EBUSY);
        check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
        check(file_same("d.add-cow", old) && file_len("other.img") == -1);
        must_close(disk);
    }
    check(dir_count() == 3);
    free(old.data);
}

/* The new disk may get the very inode numbers that the old one had. */
Test(create, after_a_killed_writer, .init = begin, .fini = tmp_end)
{
    for (int force = 0; force <= 1; force++) {
        struct peer writer = peer_start(&acow_sys_libc);
        struct acow_disk *disk;
        struct blob flat;

        check(create("d.base", "d.img", -1, 1) == 0);
        peer_open(&writer, ACOW_RDWR);
        peer_write(&writer, 1000, 3000, 3);
        peer_kill(&writer);
        check(unlink("d.img") == 0);
        if (!force)
            check(unlink("d.add-cow") == 0);
        check(create("d.base", "d.img", -1, force) == 0, "%s", msg.text);
        disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
        flat = read_all(disk);
        check(file_same("d.base", flat));
        must_close(disk);
        free(flat.data);
    }
}

Test(create, chain, .init = begin, .fini = tmp_end)
{
    struct acow_create what = {
        .path = "top.add-cow", .backing_name = "d.add-cow", .image_name = "top.img", .size = -1,
        .backing_fmt = "add-cow",
    };

    check(create("d.base", "d.img", 9000, 0) == 0);
    check(acow_create(&sys_hooked, &what, &size_of_disk, &msg) == 0 && size_of_disk == 9000, "%s",
          msg.text);
    must_close(must_open(&sys_hooked, "top.add-cow", ACOW_RDWR));
    /* In use for writing it can still be put under a new disk: that is for opening to refuse. */
    what.backing_fmt = "raw";
    what.force = 1;
    check(acow_create(&sys_hooked, &what, &size_of_disk, &msg) == -EINVAL);
    what.backing_name = "d.base";
    check(acow_create(&sys_hooked, &what, &size_of_disk, &msg) == 0, "%s", msg.text);
    what.backing_fmt = "add-cow";
    check(acow_create(&sys_hooked, &what, &size_of_disk, &msg) == -EINVAL);
    check(strstr(msg.text, "d.base"), "%s", msg.text);
    what.backing_fmt = "qcow2";
    check(acow_create(&sys_hooked, &what, &size_of_disk, &msg) == -EINVAL);
    check(strstr(msg.text, "qcow2"), "%s", msg.text);
}

Test(create, refused, .init = begin, .fini = tmp_end)
{
    static char long_name[1100];
    static const struct {
        const char *backing, *image;
        int64_t size;
        int error;
        const char *names;
    } cases[] = {
        { NULL, "d.img", -1, -EINVAL, "d.add-cow" },
        { "", "d.img", -1, -EINVAL, "d.add-cow" },
        { "d.base", NULL, -1, -EINVAL, "d.add-cow" },
        { "d.base", "", -1, -EINVAL, "d.add-cow" },
        { long_name, "d.img", -1, -ENAMETOOLONG, "d.add-cow" },
        { "d.base", long_name, -1, -ENAMETOOLONG, "d.add-cow" },
        { "missing", "d.img", -1, -ENOENT, "missing" },
        { "missing.add-cow", "d.img", -1, -ENOENT, "missing.add-cow" },
        { "d.base", "nowhere/d.img", -1, -ENOENT, "nowhere/d.img" },
        { "d.base", "d.base", -1, -EINVAL, "" },
        { "d.base", "./d.base", -1, -EINVAL, "" },
        { "d.base", "hard", -1, -EINVAL, "" },
        { "d.base", "soft", -1, -EINVAL, "" },
        { "d.base", "d.add-cow", -1, -EINVAL, "" },
        { "d.add-cow", "d.img", -1, -EINVAL, "" },
        { "dir", "d.img", -1, -EISDIR, "dir" },
        { "d.base", "dir", -1, -EISDIR, "dir" },
        { "fifo", "d.img", -1, -EINVAL, "fifo" },
        { "d.base", "fifo", -1, -EINVAL, "fifo" },
        { "/dev/null", "d.img", -1, -EINVAL, "/dev/null" },
        { "bad.add-cow", "d.img", -1, -EINVAL, "bad.add-cow" },
        { "d.base", "d.img", (1ll << 50) + 1, -EFBIG, "d.img" },
    };
    int files;

    memset(long_name, 'x', 1024);
    check(mkdir("dir", 0755) == 0 && mkfifo("fifo", 0600) == 0);
    check(link("d.base", "hard") == 0 && symlink("d.base", "soft") == 0);
    file_put("bad.add-cow", "nonsense", 8);
    files = dir_count();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int r = create(cases[i].backing, cases[i].image, cases[i].size, 0);

        check(r == cases[i].error, "case %zu: %d, not %d: %s", i, r, cases[i].error, msg.text);
        check(msg.text[0] && strstr(msg.text, cases[i].names), "case %zu: %s", i, msg.text);
        check(!strchr(msg.text, '\n'), "case %zu: %s", i, msg.text);
        check(dir_count() == files, "case %zu left a file", i);
        check(size_of_disk == 12345);
    }
    check(file_len("d.base") == 5000);
}

Test(create, names_of_1023_bytes, .init = begin, .fini = tmp_end)
{
    char backing[1100] = "", image[1100] = "";
    struct acow_disk *disk;

    while (strlen(backing) + 2 <= 1023 - 6)
        strcat(backing, "./");
    strcat(backing, strlen(backing) + 6 < 1023 ? "/d.base" : "d.base");
    while (strlen(image) + 2 <= 1023 - 5)
        strcat(image, "./");
    strcat(image, "d.img");
    check(strlen(backing) <= 1023 && strlen(backing) >= 1022 && strlen(image) == 1023);
    if (backing[0] == '/')
        return;
    check(create(backing, image, -1, 0) == 0, "%s", msg.text);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}
