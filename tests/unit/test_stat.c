/*
 * A disk as stat(2) shows it: who it is comes from the metadata file, how large
 * from the image, and asking by path or by handle gives the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sys_hook.h"

static void begin(void)
{
    tmp_begin();
    usual_disk(9000, 5000);
}

static void check_stat(const struct stat *st, int64_t size)
{
    struct stat meta, image;

    check(stat("d.add-cow", &meta) == 0 && stat("d.img", &image) == 0);
    check(st->st_dev == meta.st_dev && st->st_ino == meta.st_ino && st->st_mode == meta.st_mode);
    check(st->st_uid == meta.st_uid && st->st_gid == meta.st_gid && st->st_nlink == meta.st_nlink);
    check(st->st_size == size && image.st_size == size && st->st_blocks == image.st_blocks);
}

static void check_both(struct acow_disk *disk, const char *path, int64_t size)
{
    struct stat by_handle, by_path;

    check(acow_fstat(disk, &by_handle) == 0);
    check_stat(&by_handle, size);
    check(acow_stat(&sys_hooked, path, &by_path) == 0);
    check_stat(&by_path, size);
}

Test(stat, size_is_the_image_s, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    check(chmod("d.add-cow", 0640) == 0 && symlink("d.add-cow", "link.add-cow") == 0);
    check_both(disk, "d.add-cow", 9000);
    check_both(disk, "link.add-cow", 9000);
    must_write(disk, "x", 1, 12345);
    check_both(disk, "d.add-cow", 12346);
    check(acow_truncate(disk, 10) == 0);
    check_both(disk, "d.add-cow", 10);
    must_close(disk);
}

Test(stat, times_are_the_later, .init = begin, .fini = tmp_end)
{
    struct timespec old[2] = { { 1000, 5 }, { 2000, 5 } }, new[2] = { { 1500, 7 }, { 2000, 9 } };
    struct stat st;

    check(utimensat(AT_FDCWD, "d.add-cow", old, 0) == 0 && utimensat(AT_FDCWD, "d.img", new, 0) == 0);
    check(acow_stat(&sys_hooked, "d.add-cow", &st) == 0);
    check(st.st_atim.tv_sec == 1500 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 9);
    check(utimensat(AT_FDCWD, "d.add-cow", new, 0) == 0 && utimensat(AT_FDCWD, "d.img", old, 0) == 0);
    check(acow_stat(&sys_hooked, "d.add-cow", &st) == 0);
    check(st.st_atim.tv_sec == 1500 && st.st_mtim.tv_nsec == 9);
}

Test(stat, refused, .init = begin, .fini = tmp_end)
{
    int fds = open_fds();
    struct stat st;

    check(acow_stat(&sys_hooked, "missing.add-cow", &st) == -ENOENT);
    check(acow_stat(&sys_hooked, ".", &st) == -EINVAL);
    check(acow_stat(&sys_hooked, "d.img", &st) == -EINVAL);
    file_poke("d.add-cow", 8, "\0\0\0\2", 4);
    check(acow_stat(&sys_hooked, "d.add-cow", &st) == -ENOTSUP);
    meta_put("d.add-cow", "d.base", "", NULL, 2);
    check(acow_stat(&sys_hooked, "d.add-cow", &st) == -ENOENT);
    meta_put("d.add-cow", "d.base", "missing", NULL, 2);
    check(acow_stat(&sys_hooked, "d.add-cow", &st) == -ENOENT);
    check(open_fds() == fds);
}

static int cut_header(struct sys_call *call)
{
    if (call_is(call, SYS_PREAD, "d.add-cow") && call->len > 1000)
        call->most = 1000;
    return 0;
}

Test(stat, header_that_comes_in_pieces, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = cut_header };
    struct acow_disk *disk;

    sys_hook(&hook);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDONLY);
    check_both(disk, "d.add-cow", 9000);
    must_close(disk);
}
