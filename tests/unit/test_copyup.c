/*
 * Copying up ahead of need, which is for mappings of the image file: so each test stores through
 * one, or looks into the image itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "model.h"
#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static uint8_t *map_image(uint64_t len)
{
    int fd = open("d.img", O_RDWR);
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    check(fd >= 0 && map != MAP_FAILED);
    close(fd);
    return map;
}

/* Exactly [first, end) has bits. */
static void check_bits(struct acow_disk *disk, uint64_t first, uint64_t end)
{
    struct acow_extent extent;

    for (uint64_t sector = 0; acow_next_extent(disk, sector * 512, 512, &extent) == 0; sector++)
        check(extent.allocated == (sector >= first && sector < end), "sector %llu is %d",
              (unsigned long long)sector, extent.allocated);
}

/* Left-overs all over the image; the backing file ends in the middle of the range, in a sector. */
Test(copyup, range, .init = tmp_begin, .fini = tmp_end)
{
    const uint64_t off = 1000, len = 50000;
    struct acow_disk *disk;
    struct blob before, after, image;

    usual_disk(SIZE, 30001);
    before = decode("d.add-cow");
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_copy_up(disk, off, len) == 0);
    check_bits(disk, off / 512, sectors(off + len));
    after = read_all(disk);
    assert_same(after.data, before.data, SIZE, "read");
    image = file_get("d.img");
    assert_same(image.data + off, before.data + off, len, "image");
    must_close(disk);
    free(after.data);
    after = decode("d.add-cow");
    assert_same(after.data, before.data, SIZE, "closed");
    check(file_len("d.add-cow.run") == -1);
    free(before.data);
    free(after.data);
    free(image.data);
}

Test(copyup, arguments, .init = tmp_begin, .fini = tmp_end)
{
    struct acow_disk *disk;

    usual_disk(SIZE, SIZE);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
    check(acow_copy_up(disk, 0, 4096) == -EBADF);
    must_close(disk);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_copy_up(disk, 0, 0) == 0);
    check(acow_copy_up(disk, UINT64_MAX, 4096) == -EINVAL);
    check(acow_copy_up(disk, 0, UINT64_MAX) == -EINVAL);
    check(acow_copy_up(disk, SIZE, 4096) == 0);
    check(acow_copy_up(disk, 2 * SIZE, 4096) == 0);
    check_bits(disk, 0, 0);
    check(acow_copy_up(disk, SIZE - 1, 1) == 0);
    check_bits(disk, SIZE / 512 - 1, SIZE / 512);
    must_close(disk);
}

Test(copyup, stores_are_read, .init = tmp_begin, .fini = tmp_end)
{
    struct acow_disk *disk, *other;
    uint8_t *map, buf[5];

    usual_disk(SIZE, SIZE);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_copy_up(disk, 4096, 8192) == 0);
    map = map_image(SIZE);
    memcpy(map + 5000, "store", 5);
    must_read(other, buf, 5, 5000);
    assert_same(buf, "store", 5, "stored");
    must_write(other, "write", 5, 5003);
    assert_same(map + 5000, "stowrite", 8, "written");
    munmap(map, SIZE);
    must_close(disk);
    must_close(other);
}

/* The disk ends in a mapped page, and grows by every way there is, in another handle. */
static void grow_by_write(struct acow_disk *disk)
{
    must_write(disk, "w", 1, 9000);
}

static void grow_by_truncate(struct acow_disk *disk)
{
    check(acow_truncate(disk, 9001) == 0);
}

static void grow_by_append(struct acow_disk *disk)
{
    uint8_t zeros[4001] = { 0 };
    uint64_t end;

    check(acow_append(disk, ACOW_OWN_FD, &(struct iovec){ zeros, sizeof(zeros) }, 1, &end) == 4001);
}

static void grow_by_fallocate(struct acow_disk *disk)
{
    check(acow_fallocate(disk, 0, 0, 9001) == 0);
}

static void shrink_and_grow(struct acow_disk *disk)
{
    check(acow_truncate(disk, 100) == 0);
    check(acow_truncate(disk, 9001) == 0);
}

Test(copyup, beyond_the_end, .init = tmp_begin, .fini = tmp_end)
{
    static void (*const ways[])(struct acow_disk *) = {
        grow_by_write, grow_by_truncate, grow_by_append, grow_by_fallocate, shrink_and_grow,
    };
    /* No backing file there; one that shines through if it is let. */
    const uint64_t backings[] = { 700, 20000 };

    for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
        struct acow_disk *disk, *other;
        uint8_t *map, buf[6];

        file_put("d.img", "", 0);
        usual_disk(5000, backings[i % 2]);
        file_size("d.img", 5000);
        disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
        other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
        check(acow_copy_up(disk, 0, SIZE) == 0);
        map = map_image(SIZE);
        ways[i / 2](other);
        memcpy(map + 7000, "stored", 6);
        must_read(other, buf, 6, 7000);
        assert_same(buf, "stored", 6, "way %zu", i);
        must_read(other, buf, 1, 8000);
        check(buf[0] == 0 && map[8000] == 0);
        must_close(disk);
        must_close(other);
        munmap(map, SIZE);
        disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
        must_read(disk, buf, 6, 7000);
        assert_same(buf, "stored", 6, "way %zu, closed", i);
        must_close(disk);
    }
}

/* Storage that a program has asked for stays, where it only has to be zeros. */
Test(copyup, keeps_what_is_preallocated, .init = tmp_begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    struct stat before, after;

    file_put("d.base", "", 0);
    file_size("d.img", 1 * MIB);
    meta_put("d.add-cow", "d.base", "d.img", NULL, bitmap_len(1 * MIB));
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_fallocate(disk, 0, 0, 1 * MIB) == 0);
    check(stat("d.img", &before) == 0);
    check(acow_copy_up(disk, 0, 1 * MIB) == 0);
    check(stat("d.img", &after) == 0 && after.st_blocks == before.st_blocks);
    must_close(disk);
}
