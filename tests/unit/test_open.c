/*
 * Everything that opening refuses: with which errno, which file its message
 * names, and that it has not created or changed a thing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "sys_hook.h"

static struct acow_msg msg;

static void begin(void)
{
    tmp_begin();
    usual_disk(5000, 5000);
    check(mkdir("dir", 0755) == 0 && mkfifo("fifo", 0600) == 0
          && symlink("nowhere", "dangling") == 0);
}

/* Opening `path`, in whatever way, is refused so; `names` is in the message. */
static void refused(const char *path, int error, const char *names)
{
    int files = dir_count(), fds = open_fds();
    struct blob meta = { NULL, 0 };

    if (file_len("d.add-cow") >= 0)
        meta = file_get("d.add-cow");
    for (int flags = 0; flags <= 2; flags++) {
        struct acow_disk *disk = NULL;
        int r;

        msg.text[0] = '\0';
        r = acow_open(&sys_hooked, path, flags, &disk, &msg);
        check(r == error, "%s, flags %d: %d, not %d: %s", path, flags, r, error, msg.text);
        check(strstr(msg.text, names) && !strchr(msg.text, '\n'), "%s: %s", path, msg.text);
        check(acow_open(&sys_hooked, path, flags, &disk, NULL) == error);
    }
    check(dir_count() == files && open_fds() == fds);
    check(!meta.data || file_same("d.add-cow", meta));
    free(meta.data);
}

Test(open, metadata_file, .init = begin, .fini = tmp_end)
{
    refused("missing.add-cow", -ENOENT, "missing.add-cow");
    refused("nowhere/d.add-cow", -ENOENT, "nowhere/d.add-cow");
    refused("d.add-cow/x.add-cow", -ENOTDIR, "x.add-cow");
    refused("dangling", -ENOENT, "dangling");
    refused("dir", -EISDIR, "dir");
    refused("fifo", -EINVAL, "fifo");
    refused("/dev/null", -EINVAL, "/dev/null");
    refused("", -ENOENT, "");
}

Test(open, header, .init = begin, .fini = tmp_end)
{
    struct blob good = file_get("d.add-cow");

    file_put("d.add-cow", "", 0);
    refused("d.add-cow", -EINVAL, "d.add-cow");
    file_put("d.add-cow", good.data, 2559);
    refused("d.add-cow", -EINVAL, "d.add-cow");
    good.data[0] = 'a';
    file_put("d.add-cow", good.data, good.len);
    refused("d.add-cow", -EINVAL, "d.add-cow");
    good.data[0] = 'A';
    good.data[11] = 2;
    file_put("d.add-cow", good.data, good.len);
    refused("d.add-cow", -ENOTSUP, "d.add-cow");
    good.data[11] = 1;
    memset(good.data + 12, 'x', 1024);
    file_put("d.add-cow", good.data, good.len);
    refused("d.add-cow", -ENAMETOOLONG, "d.add-cow");
    free(good.data);
}

static void with(const char *backing, const char *image)
{
    meta_put("d.add-cow", backing, image, NULL, 2);
}

Test(open, image_file, .init = begin, .fini = tmp_end)
{
    with("d.base", "");
    refused("d.add-cow", -ENOENT, "d.add-cow");
    with("d.base", "missing.img");
    refused("d.add-cow", -ENOENT, "missing.img");
    with("d.base", "dir");
    refused("d.add-cow", -EISDIR, "dir");
    with("d.base", "fifo");
    refused("d.add-cow", -EINVAL, "fifo");
    with("d.base", "/dev/zero");
    refused("d.add-cow", -EINVAL, "/dev/zero");
    with("d.base", "d.add-cow");
    refused("d.add-cow", -EINVAL, "d.add-cow");
}

Test(open, backing_file, .init = begin, .fini = tmp_end)
{
    with("missing", "d.img");
    refused("d.add-cow", -ENOENT, "missing");
    with("dir", "d.img");
    refused("d.add-cow", -EISDIR, "dir");
    with("fifo", "d.img");
    refused("d.add-cow", -EINVAL, "fifo");
    with("/dev/zero", "d.img");
    refused("d.add-cow", -EINVAL, "/dev/zero");
    with("d.img", "d.img");
    refused("d.add-cow", -EINVAL, "d.img");
    check(link("d.add-cow", "hard") == 0);
    with("hard", "d.img");
    refused("d.add-cow", -EINVAL, "hard");
}

/* Which is no run-time file of ours, and would be removed as what is left of one. */
Test(open, run_time_file_is_another, .init = begin, .fini = tmp_end)
{
    file_pattern("d.add-cow.run", 0, 5000, 4);
    with("d.add-cow.run", "d.img");
    refused("d.add-cow", -EINVAL, "d.add-cow.run");
    with("d.base", "d.add-cow.run");
    refused("d.add-cow", -EINVAL, "d.add-cow.run");
    meta_put("b.add-cow", "d.add-cow.run", "d.base", NULL, 2);
    with("b.add-cow", "d.img");
    refused("d.add-cow", -EINVAL, "d.add-cow.run");
    /* Of a link of the chain. */
    check(rename("d.add-cow.run", "b.add-cow.run") == 0);
    meta_put("b.add-cow", "d.base", "d.img", NULL, 2);
    with("b.add-cow", "b.add-cow.run");
    refused("d.add-cow", -EINVAL, "b.add-cow.run");
    check(file_len("b.add-cow.run") == 5000);
}

/* A file whose name ends in .add-cow is a disk, and any other is raw, whatever is in it. */
Test(open, backing_is_told_by_its_name, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    struct blob flat, base;

    check(rename("d.base", "base.add-cow") == 0);
    with("base.add-cow", "d.img");
    refused("d.add-cow", -EINVAL, "base.add-cow");
    file_pattern("x.base", 0, 5000, 1);
    file_pattern("x.img", 0, 5000, 2);
    meta_put("raw", "x.base", "x.img", NULL, 2);
    with("raw", "d.img");
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    flat = read_all(disk);
    base = file_get("raw");
    assert_same(flat.data, base.data, base.len, "raw");
    must_close(disk);
    free(flat.data);
    free(base.data);
}

Test(open, chains, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;

    with("d.add-cow", "d.img");
    refused("d.add-cow", -ELOOP, "d.add-cow");
    check(symlink("d.add-cow", "same.add-cow") == 0);
    with("same.add-cow", "d.img");
    refused("d.add-cow", -ELOOP, "same.add-cow");
    file_size("b.img", 5000);
    meta_put("b.add-cow", "d.add-cow", "b.img", NULL, 2);
    with("b.add-cow", "d.img");
    refused("d.add-cow", -ELOOP, "d.add-cow");
    /* The image of one as the base or the image of another. */
    meta_put("b.add-cow", "d.img", "b.img", NULL, 2);
    refused("d.add-cow", -EINVAL, "d.img");
    meta_put("b.add-cow", "d.base", "d.img", NULL, 2);
    refused("d.add-cow", -EINVAL, "d.img");
    /* Broken further down. */
    meta_put("b.add-cow", "missing", "b.img", NULL, 2);
    refused("d.add-cow", -ENOENT, "missing");
    meta_put("b.add-cow", "d.base", "b.img", NULL, 2);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}

static void make_deep(int disks)
{
    for (int i = 1; i <= disks; i++) {
        char name[32], image[32], below[32];

        snprintf(name, sizeof(name), "c%d.add-cow", i);
        snprintf(image, sizeof(image), "c%d.img", i);
        snprintf(below, sizeof(below), i == 1 ? "d.base" : "c%d.add-cow", i - 1);
        file_size(image, 1000);
        meta_put(name, below, image, NULL, 1);
    }
}

Test(open, chain_of_64_but_not_of_65, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    uint8_t buf[100], want[100];

    make_deep(65);
    refused("c65.add-cow", -ELOOP, ".add-cow");
    disk = must_open(&sys_hooked, "c64.add-cow", ACOW_RDWR);
    must_read(disk, buf, 100, 700);
    pattern(want, 700, 100, 1);
    assert_same(buf, want, 100, "from the bottom");
    must_close(disk);
}

Test(open, large_images, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    char buf[10];

    /* As large as the filesystem lets it be. */
    if (truncate("d.img", (off_t)ACOW_SIZE_MAX + 1) == 0)
        refused("d.add-cow", -EFBIG, "d.img");
    check(truncate("d.img", 8ll << 40) == 0, "%m");
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_write(disk, "far", 3, (7ull << 40) + 511);
    must_read(disk, buf, 10, (7ull << 40) + 510);
    check(memcmp(buf, "\0far\0\0\0\0\0\0", 10) == 0);
    must_flush(disk);
    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    must_read(disk, buf, 10, (7ull << 40) + 510);
    check(memcmp(buf, "\0far\0\0\0\0\0\0", 10) == 0);
    must_close(disk);
}

static bool is_image;

static int note_image(struct sys_call *call)
{
    is_image = strcmp(call->file, "d.img") == 0;
    return 0;
}

/* A sparse file of 8 EiB, where the filesystem has such, as fstat would tell it. */
static int huge_fstat(int fd, struct stat *st)
{
    int r = sys_hooked.fstat(fd, st);

    if (r == 0 && is_image)
        st->st_size = INT64_MAX;
    return r;
}

Test(open, image_of_8_eib, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = note_image };
    struct acow_sys sys = sys_hooked;
    struct acow_disk *disk;

    sys.fstat = huge_fstat;
    sys_hook(&hook);
    check(acow_open(&sys, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EFBIG, "%s", msg.text);
    check(strstr(msg.text, "d.img"), "%s", msg.text);
    check(file_len("d.add-cow.run") == -1);
}

Test(open, flags, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;

    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_INSPECT, &disk, &msg) == -EINVAL);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(acow_open(&sys_hooked, "d.add-cow", 1 << 8, &disk, &msg) == -EINVAL);
    check(acow_open(&sys_hooked, "d.add-cow", ~0, &disk, &msg) == -EINVAL);
}

/* ---- no permission: root has them all, so these are played --------------------- */

static const char *locked_file;
static int locked_error;

static int no_permission(struct sys_call *call)
{
    if (call_is(call, SYS_OPEN, locked_file)
        && (locked_error == -EACCES || (call->flags & O_ACCMODE) != O_RDONLY))
        return locked_error;
    return 0;
}

static void locked(const char *file, int error)
{
    static const struct sys_hook hook = { .before = no_permission };

    locked_file = file;
    locked_error = error;
    sys_hook(&hook);
}

Test(open, permission, .init = begin, .fini = tmp_end)
{
    static const char *const files[] = { "d.add-cow", "d.img", "d.base" };
    struct acow_disk *disk;

    for (int i = 0; i < 3; i++) {
        locked(files[i], -EACCES);
        refused("d.add-cow", -EACCES, files[i]);
    }
    for (int i = 0; i < 2; i++) {
        locked(files[i], -EROFS);
        check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EROFS);
        check(strstr(msg.text, files[i]), "%s", msg.text);
        must_close(must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY));
    }
    locked("d.base", -EROFS);
    must_close(must_open(&sys_hooked, "d.add-cow", ACOW_RDWR));
    sys_hook(NULL);
    check(file_len("d.add-cow.run") == -1);
}

/* ---- metadata files of other lengths -------------------------------------------- */

Test(open, metadata_of_any_length, .init = begin, .fini = tmp_end)
{
    static const size_t lens[] = { 0, 1, 2, 3, 4096, 100000 };

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        uint8_t *bitmap = calloc(1, lens[i] + 1);
        struct acow_disk *disk;
        uint8_t buf[512], want[512];

        memset(bitmap, 0xff, lens[i]);
        meta_put("d.add-cow", "d.base", "d.img", bitmap, lens[i]);
        for (int flags = 2; flags >= 0; flags--) {
            disk = must_open(&sys_hooked, "d.add-cow", flags);
            for (uint64_t sector = 0; sector < 9; sector++) {
                must_read(disk, buf, 512, sector * 512);
                pattern(want, sector * 512, 512, sector / 8 < lens[i] ? 2 : 1);
                assert_same(buf, want, 512, "sector %llu", (unsigned long long)sector);
            }
            must_close(disk);
            check(flags == ACOW_RDWR || file_len("d.add-cow") == (int64_t)(HEADER + lens[i]));
            if (flags == ACOW_RDWR)
                check(file_len("d.add-cow") == (int64_t)(HEADER + (lens[i] < 2 ? 2 : lens[i])));
            meta_put("d.add-cow", "d.base", "d.img", bitmap, lens[i]);
        }
        free(bitmap);
    }
}
