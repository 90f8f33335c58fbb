/*
 * What a check finds wrong with a disk's files, each kind by itself: its severity, the error
 * that opening ends with because of it, and the file that is named. Checking changes nothing.
 * Run-time files and who
 * has a disk open are in test_check_run.c and test_check_users.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "looking.h"
#include "sys_hook.h"

#define SIZE 5000               /* ten sectors, the last a partial one */

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    check(mkdir("dir", 0755) == 0 && mkfifo("fifo", 0600) == 0);
}

static void end(void)
{
    look_end();
    tmp_end();
}

/* What the finding says of opening is so. */
static void opens(const char *path, int error)
{
    struct acow_disk *disk;
    int r = acow_open(&acow_sys_libc, path, ACOW_RDWR, &disk, NULL);

    check(r == error, "%s: opening gives %d, not %d", path, r, error);
    if (r == 0)
        must_close(disk);
}

static void with(const char *backing, const char *image)
{
    meta_put("d.add-cow", backing, image, NULL, bitmap_len(SIZE));
}

/* The one thing that is wrong: a corruption of the top disk's. */
static void corrupt(enum acow_found kind, int error, const char *file, const char *words)
{
    look("d.add-cow");
    expect_only(kind, ACOW_CORRUPTION, 0, error, file, words);
    check(found.corruptions == 1);
    opens("d.add-cow", error);
}

static void note(enum acow_found kind, const char *file, const char *words)
{
    look("d.add-cow");
    expect_only(kind, ACOW_NOTE, 0, 0, file, words);
    opens("d.add-cow", 0);
}

/* ---- nothing ----------------------------------------------------------------- */

Test(check, clean, .init = begin, .fini = end)
{
    uint8_t bitmap[2] = { 0x41, 0x02 };

    look("d.add-cow");
    expect_findings(0);
    check(found.sectors == 10 && found.allocated == 0 && found.pending == 0 && found.end == 0);
    /* Sectors 0, 6 and 9, the last one. */
    meta_put("d.add-cow", "d.base", "d.img", bitmap, 2);
    look("d.add-cow");
    expect_findings(0);
    check(found.sectors == 10 && found.allocated == 3 && found.end == SIZE);
    bitmap[1] = 0;
    meta_put("d.add-cow", "d.base", "d.img", bitmap, 2);
    look("d.add-cow");
    check(found.allocated == 2 && found.end == 7 * 512);
    with("", "d.img");
    look("d.add-cow");
    expect_findings(0);
    file_put("d.img", "", 0);
    meta_put("d.add-cow", "", "d.img", NULL, 0);
    look("d.add-cow");
    expect_findings(0);
    check(found.sectors == 0);
}

Test(check, names_of_kinds)
{
    for (int kind = 0; kind <= ACOW_FOUND_UNREADABLE; kind++) {
        check(acow_found_name((enum acow_found)kind), "%d", kind);
        for (int other = 0; other < kind; other++)
            check(strcmp(acow_found_name((enum acow_found)kind),
                         acow_found_name((enum acow_found)other)) != 0, "%d, %d", kind, other);
    }
}

/* The end is looked for from behind, over words and pages of bits. */
Test(check, end_of_a_large_disk, .init = begin, .fini = end)
{
    static const uint64_t sectors_set[] = { 63, 64, 32767, 32768, 32769, 100000, 131071 };
    uint8_t bitmap[16384] = { 1 };

    file_size("d.img", 64 * MIB);
    for (size_t i = 0; i < 7; i++) {
        uint64_t sector = sectors_set[i];

        bitmap[sector / 8] |= (uint8_t)(1 << sector % 8);
        meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
        look("d.add-cow");
        check(found.end == (sector + 1) * 512 && found.allocated == i + 2, "%llu: %llu, %llu",
              (unsigned long long)sector, (unsigned long long)found.end,
              (unsigned long long)found.allocated);
    }
}

/* ---- the metadata file ------------------------------------------------------------ */

Test(check, file_that_is_no_metadata_file, .init = begin, .fini = end)
{
    static const struct {
        const char *path;
        int error;
    } tries[] = { { "missing.add-cow", -ENOENT }, { "dir", -EISDIR }, { "fifo", -EINVAL },
                  { "d.add-cow/x", -ENOTDIR }, { "/dev/null", -EINVAL }, { "", -ENOENT } };

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        for (int repair = 0; repair <= ACOW_REPAIR_ALL; repair++)
            check(look_only(tries[i].path, repair) == tries[i].error, "%s", tries[i].path);
        expect_findings(0);
        check(strstr(found_msg.text, tries[i].path), "%s", found_msg.text);
    }
}

Test(check, header, .init = begin, .fini = end)
{
    struct blob good = file_get("d.add-cow");

    file_put("d.add-cow", "", 0);
    corrupt(ACOW_FOUND_HEADER, -EINVAL, "d.add-cow", "magic");
    file_put("d.add-cow", good.data, 2559);
    corrupt(ACOW_FOUND_HEADER, -EINVAL, "d.add-cow", "cut short");
    check(found.sectors == 0);
    file_put("d.add-cow", good.data, good.len);
    file_poke("d.add-cow", 7, "\xfe", 1);
    corrupt(ACOW_FOUND_HEADER, -EINVAL, "d.add-cow", "magic");
    file_put("d.add-cow", good.data, good.len);
    file_poke("d.add-cow", 8, "\1", 1);
    corrupt(ACOW_FOUND_HEADER, -ENOTSUP, "d.add-cow", "version");
    memset(good.data + 1036, 'x', 1024);
    file_put("d.add-cow", good.data, good.len);
    corrupt(ACOW_FOUND_HEADER, -ENAMETOOLONG, "d.add-cow", "image");
    free(good.data);
}

Test(check, bytes_that_should_be_zero, .init = begin, .fini = end)
{
    static const unsigned offsets[] = { 12 + 7, 1035, 1036 + 6, 2059, 2060, 2559 };

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        char number[16];

        with("d.base", "d.img");
        /* Not where the name's own end is, which one must be zero. */
        file_poke("d.add-cow", offsets[i], i == 1 || i == 3 ? "\0" : "\1", 1);
        if (i == 1 || i == 3)
            file_poke("d.add-cow", offsets[i] - 1, "\1", 1);
        snprintf(number, sizeof(number), "byte %u ", offsets[i] - (i == 1 || i == 3));
        note(ACOW_FOUND_RESERVED, "d.add-cow", number);
    }
}

Test(check, names_of_the_metadata_file, .init = begin, .fini = end)
{
    check(link("d.add-cow", "e.add-cow") == 0);
    look("d.add-cow");
    expect_only(ACOW_FOUND_LINKS, ACOW_NOTE, 0, 0, "d.add-cow", "2 names");
}

Test(check, bitmap_of_another_length, .init = begin, .fini = end)
{
    meta_put("d.add-cow", "d.base", "d.img", "\1", 1);
    note(ACOW_FOUND_BITMAP_SHORT, "d.add-cow", "1 of 2 bytes");
    check(found.allocated == 1);
    meta_put("d.add-cow", "d.base", "d.img", NULL, 0);
    note(ACOW_FOUND_BITMAP_SHORT, "d.add-cow", "0 of 2 bytes");
    meta_put("d.add-cow", "d.base", "d.img", NULL, 3);
    note(ACOW_FOUND_BITMAP_LONG, "d.add-cow", "3 bytes, where 2 would do");
    /* Sparse, and as long as a file may be: what is holes is not read. */
    file_size("d.add-cow", 1ull << 43);
    note(ACOW_FOUND_BITMAP_LONG, "d.add-cow", "where 2 would do");
}

/* Bits are within the disk up to its last sector, and past its end from there on. */
Test(check, bits_past_the_end, .init = begin, .fini = end)
{
    static const uint64_t sizes[] = { 0, 1, 512, 513, 3584, 4095, 4096, 4097, 5000, 40960 };

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t count = sectors(sizes[i]);
        uint8_t bitmap[24] = { 0 };

        check(truncate("d.img", (off_t)sizes[i]) == 0 && truncate("d.base", (off_t)sizes[i]) == 0);
        for (uint64_t sector = 0; sector < count; sector++)
            bitmap[sector / 8] |= (uint8_t)(1 << sector % 8);
        meta_put("d.add-cow", "d.base", "d.img", bitmap, bitmap_len(sizes[i]));
        look("d.add-cow");
        expect_findings(0);
        check(found.allocated == count && found.end == sizes[i]);
        bitmap[count / 8] |= (uint8_t)(1 << count % 8);
        bitmap[23] = 0x81;
        meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
        look("d.add-cow");
        expect_found(ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, 0, 0, "d.add-cow", "3 bits");
        check(found.notes == 2 && found.allocated == count && found.end == sizes[i]);
    }
}

Test(check, bits_far_past_the_end, .init = begin, .fini = end)
{
    file_size("d.add-cow", 1ull << 40);
    file_poke("d.add-cow", 1ull << 33, "\x70", 1);
    file_poke("d.add-cow", (1ull << 40) - 1, "\xff", 1);
    look("d.add-cow");
    expect_found(ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, 0, 0, "d.add-cow", "11 bits");
}

/* ---- the image and the backing file -------------------------------------------------- */

Test(check, image_file, .init = begin, .fini = end)
{
    with("d.base", "");
    corrupt(ACOW_FOUND_IMAGE, -ENOENT, "d.add-cow", "names no image");
    with("d.base", "missing.img");
    corrupt(ACOW_FOUND_IMAGE, -ENOENT, "missing.img", "No such file");
    with("d.base", "missing/../d.img");
    corrupt(ACOW_FOUND_IMAGE, -ENOENT, "d.img", "No such file");
    with("d.base", "dir");
    corrupt(ACOW_FOUND_IMAGE, -EISDIR, "dir", "image file");
    with("d.base", "fifo");
    corrupt(ACOW_FOUND_IMAGE, -EINVAL, "fifo", "image file");
    with("d.base", "/dev/zero");
    corrupt(ACOW_FOUND_IMAGE, -EINVAL, "/dev/zero", "image file");
}

static bool is_image;

static int note_image(struct sys_call *call)
{
    is_image = strcmp(call->file, "d.img") == 0;
    return 0;
}

/* A file larger than this filesystem may have. */
static int huge_fstat(int fd, struct stat *st)
{
    int r = sys_hooked.fstat(fd, st);

    if (r == 0 && is_image)
        st->st_size = (1ll << 50) + 1;
    return r;
}

Test(check, image_larger_than_1_pib, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = note_image };
    struct acow_sys sys = sys_hooked;

    sys.fstat = huge_fstat;
    sys_hook(&hook);
    check(look_with(&sys, "d.add-cow", 0) == 0);
    expect_only(ACOW_FOUND_IMAGE, ACOW_CORRUPTION, 0, -EFBIG, "d.img", "1 PiB");
    sys_hook(NULL);
}

Test(check, backing_file, .init = begin, .fini = end)
{
    with("missing", "d.img");
    corrupt(ACOW_FOUND_BACKING, -ENOENT, "missing", "No such file");
    check(found.sectors == 10);
    with("dir", "d.img");
    corrupt(ACOW_FOUND_BACKING, -EISDIR, "dir", "backing file");
    with("fifo", "d.img");
    corrupt(ACOW_FOUND_BACKING, -EINVAL, "fifo", "backing file");
    with("/dev/zero", "d.img");
    corrupt(ACOW_FOUND_BACKING, -EINVAL, "/dev/zero", "backing file");
    check(symlink("loop", "loop") == 0);
    with("loop", "d.img");
    corrupt(ACOW_FOUND_BACKING, -ELOOP, "loop", "");
}

/* It does not stop at the first. */
Test(check, everything_missing, .init = begin, .fini = end)
{
    with("missing.base", "missing.img");
    file_poke("d.add-cow", 2060, "\1", 1);
    look("d.add-cow");
    expect_found(ACOW_FOUND_RESERVED, ACOW_NOTE, 0, 0, "d.add-cow", "");
    expect_found(ACOW_FOUND_IMAGE, ACOW_CORRUPTION, 0, -ENOENT, "missing.img", "");
    expect_found(ACOW_FOUND_BACKING, ACOW_CORRUPTION, 0, -ENOENT, "missing.base", "");
    expect_findings(3);
}

Test(check, one_file_twice, .init = begin, .fini = end)
{
    with("d.base", "d.add-cow");
    corrupt(ACOW_FOUND_SAME_FILE, -EINVAL, "d.add-cow", "different files");
    with("d.img", "d.img");
    corrupt(ACOW_FOUND_SAME_FILE, -EINVAL, "d.img", "different files");
    check(symlink("d.add-cow", "other") == 0);
    with("other", "d.img");
    corrupt(ACOW_FOUND_SAME_FILE, -EINVAL, "other", "different files");
    /* Further down, and there the metadata file of one is the image of another. */
    file_size("b.img", SIZE);
    meta_put("b.add-cow", "d.base", "d.img", NULL, 2);
    with("b.add-cow", "d.img");
    look("d.add-cow");
    expect_only(ACOW_FOUND_SAME_FILE, ACOW_CORRUPTION, 1, -EINVAL, "d.img", "different files");
    opens("d.add-cow", -EINVAL);
    with("b.add-cow", "b.add-cow");
    look("d.add-cow");
    expect_found(ACOW_FOUND_SAME_FILE, ACOW_CORRUPTION, 1, -EINVAL, "b.add-cow", "");
    opens("d.add-cow", -EINVAL);
}

Test(check, sizes_of_backing_files, .init = begin, .fini = end)
{
    file_size("d.base", SIZE + 7);
    note(ACOW_FOUND_BACKING_LONG, "d.base", "by 7 bytes");
    check(truncate("d.base", SIZE - 1000) == 0);
    note(ACOW_FOUND_BACKING_SHORT, "d.base", "by 1000 bytes");
    check(truncate("d.base", SIZE) == 0);
    file_size("b.img", SIZE + 512);
    meta_put("b.add-cow", "", "b.img", NULL, 2);
    with("b.add-cow", "d.img");
    note(ACOW_FOUND_BACKING_LONG, "b.add-cow", "by 512 bytes");
    check(truncate("b.img", 0) == 0);
    meta_put("b.add-cow", "", "b.img", NULL, 0);
    note(ACOW_FOUND_BACKING_SHORT, "b.add-cow", "by 5000 bytes");
}

/* ---- chains ------------------------------------------------------------------------------ */

Test(check, chain_that_comes_back, .init = begin, .fini = end)
{
    with("d.add-cow", "d.img");
    look("d.add-cow");
    expect_only(ACOW_FOUND_CHAIN, ACOW_CORRUPTION, 1, -ELOOP, "d.add-cow", "comes back");
    opens("d.add-cow", -ELOOP);
    file_size("b.img", SIZE);
    meta_put("b.add-cow", "d.add-cow", "b.img", NULL, 2);
    with("b.add-cow", "d.img");
    look("d.add-cow");
    expect_only(ACOW_FOUND_CHAIN, ACOW_CORRUPTION, 2, -ELOOP, "d.add-cow", "comes back");
    opens("d.add-cow", -ELOOP);
}

Test(check, chain_of_64_but_not_of_65, .init = begin, .fini = end)
{
    for (int i = 1; i <= 65; i++) {
        char name[32], image[32], below[32];

        snprintf(name, sizeof(name), "c%d.add-cow", i);
        snprintf(image, sizeof(image), "c%d.img", i);
        snprintf(below, sizeof(below), i == 1 ? "d.base" : "c%d.add-cow", i - 1);
        file_size(image, SIZE);
        meta_put(name, below, image, NULL, 2);
    }
    look("c64.add-cow");
    expect_findings(0);
    look("c65.add-cow");
    expect_only(ACOW_FOUND_CHAIN, ACOW_CORRUPTION, 64, -ELOOP, "c1.add-cow", "deeper than 64");
    opens("c65.add-cow", -ELOOP);
}

static void below(enum acow_found kind, int error, const char *file)
{
    look("d.add-cow");
    expect_only(kind, ACOW_CORRUPTION, 2, error, file, "");
    opens("d.add-cow", error);
}

Test(check, broken_further_down, .init = begin, .fini = end)
{
    file_size("b.img", SIZE);
    file_size("c.img", SIZE);
    meta_put("b.add-cow", "c.add-cow", "b.img", NULL, 2);
    with("b.add-cow", "d.img");
    below(ACOW_FOUND_METADATA, -ENOENT, "c.add-cow");
    check(mkdir("c.add-cow", 0755) == 0);
    below(ACOW_FOUND_METADATA, -EISDIR, "c.add-cow");
    check(rmdir("c.add-cow") == 0);
    file_put("c.add-cow", "guest's own", 11);
    below(ACOW_FOUND_HEADER, -EINVAL, "c.add-cow");
    meta_put("c.add-cow", "missing", "c.img", NULL, 2);
    below(ACOW_FOUND_BACKING, -ENOENT, "missing");
    meta_put("c.add-cow", "d.base", "missing", NULL, 2);
    below(ACOW_FOUND_IMAGE, -ENOENT, "missing");
    meta_put("c.add-cow", "d.base", "c.img", "\0\4", 2);
    look("d.add-cow");
    expect_only(ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, 2, 0, "c.add-cow", "1 bits");
    meta_put("c.add-cow", "d.base", "c.img", NULL, 2);
    look("d.add-cow");
    expect_findings(0);
}

/* A raw backing file is not probed, whatever is in it. */
Test(check, raw_backing_file_with_a_header, .init = begin, .fini = end)
{
    meta_put("raw", "raw", "nowhere", NULL, SIZE - HEADER);
    with("raw", "d.img");
    look("d.add-cow");
    expect_findings(0);
}
