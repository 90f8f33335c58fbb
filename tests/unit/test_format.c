/*
 * The header against bytes written out here by hand, every way in which one can be
 * bad, and the rules for names.
 */
#include <errno.h>
#include <stdlib.h>

#include "format.h"
#include "name.h"
#include "support.h"

/* 0 to 31, and the first bytes of the image's field, of the header for "base.img", "disk.raw". */
static const uint8_t golden_start[] = {
    0x41, 0x44, 0x44, 0x5f, 0x43, 0x4f, 0x57, 0xff, 0x00, 0x00, 0x00, 0x01,
    'b', 'a', 's', 'e', '.', 'i', 'm', 'g', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
};
static const uint8_t golden_image[] = { 'd', 'i', 's', 'k', '.', 'r', 'a', 'w', 0, 0, 0, 0 };

static void golden(uint8_t out[2560])
{
    memset(out, 0, 2560);
    memcpy(out, golden_start, sizeof(golden_start));
    memcpy(out + 1036, golden_image, sizeof(golden_image));
}

Test(format, golden_bytes)
{
    struct format_header header = { "base.img", "disk.raw" }, back;
    uint8_t bytes[2560], want[2560];
    const char *why = NULL;

    check(FORMAT_HEADER == 2560);
    golden(want);
    memset(bytes, 0xee, sizeof(bytes));
    format_encode(&header, bytes);
    assert_same(bytes, want, 2560, "encoded");
    check(format_decode(want, 2560, &back, &why) == 0);
    check(strcmp(back.backing, "base.img") == 0 && strcmp(back.image, "disk.raw") == 0);
}

/* Whichever byte it is that should be zero, the first one is told. */
Test(format, stray_bytes)
{
    uint8_t bytes[2560];

    for (size_t at = 0; at < 2560; at++) {
        bool free = (at > 12 + 8 && at < 1035) || (at > 1036 + 8 && at < 2059) || at >= 2060;

        golden(bytes);
        check(format_stray(bytes) == 0);
        if (!free)
            continue;
        bytes[at] = 0x80;
        bytes[2559] = 1;
        check(format_stray(bytes) == at, "%zu", at);
    }
    golden(bytes);
    bytes[2100] = 1;
    bytes[0] = 0;
    check(format_stray(bytes) == 0);
}

Test(format, round_trip)
{
    struct rnd rnd = { test_seed(1) };

    for (unsigned round = 0; round < test_rounds(300); round++) {
        struct format_header header = { "", "" }, back;
        uint8_t bytes[2560];
        const char *why;
        size_t backing = rnd_below(&rnd, 1024), image = rnd_below(&rnd, 1024);

        for (size_t i = 0; i < backing; i++)
            header.backing[i] = (char)(1 + rnd_below(&rnd, 255));
        for (size_t i = 0; i < image; i++)
            header.image[i] = (char)(1 + rnd_below(&rnd, 255));
        format_encode(&header, bytes);
        check(format_decode(bytes, 2560, &back, &why) == 0);
        assert_same(&back, &header, sizeof(back), "names of %zu and %zu bytes", backing, image);
    }
}

static void check_bad(const uint8_t *bytes, size_t len, int error)
{
    struct format_header header;
    const char *why = NULL;
    int r = format_decode(bytes, len, &header, &why);

    check(r == error, "%d, not %d", r, error);
    check(why && why[0]);
}

Test(format, bad_magic_in_every_byte)
{
    uint8_t bytes[2560];

    for (int i = 0; i < 8; i++) {
        golden(bytes);
        bytes[i] ^= 0x20;
        check_bad(bytes, 2560, -EINVAL);
    }
}

Test(format, cut_short_at_every_byte)
{
    uint8_t bytes[2560];

    golden(bytes);
    for (size_t len = 0; len < 2560; len++)
        check_bad(bytes, len, -EINVAL);
}

Test(format, other_versions)
{
    static const uint8_t versions[][4] = {
        { 0, 0, 0, 0 }, { 0, 0, 0, 2 }, { 1, 0, 0, 0 }, { 0, 1, 0, 1 }, { 255, 255, 255, 255 },
    };
    uint8_t bytes[2560];

    for (size_t i = 0; i < sizeof(versions) / 4; i++) {
        golden(bytes);
        memcpy(bytes + 8, versions[i], 4);
        check_bad(bytes, 2560, -ENOTSUP);
    }
}

Test(format, names_without_an_end)
{
    uint8_t bytes[2560];
    struct format_header header;
    const char *why;

    golden(bytes);
    memset(bytes + 12, 'x', 1024);
    check_bad(bytes, 2560, -ENAMETOOLONG);
    bytes[12 + 1023] = 0;
    check(format_decode(bytes, 2560, &header, &why) == 0 && strlen(header.backing) == 1023);
    memset(bytes + 1036, 'y', 1024);
    check_bad(bytes, 2560, -ENAMETOOLONG);
    bytes[1036 + 1023] = 0;
    check(format_decode(bytes, 2560, &header, &why) == 0 && strlen(header.image) == 1023);
}

/* What stands behind a name's NUL, and in the reserved bytes, is not looked at. */
Test(format, rubbish_behind_the_names)
{
    uint8_t bytes[2560];
    struct format_header header;
    const char *why;

    golden(bytes);
    memset(bytes + 12 + 9, 0xee, 1000);
    memset(bytes + 2060, 0xee, 500);
    check(format_decode(bytes, 2560, &header, &why) == 0);
    check(strcmp(header.backing, "base.img") == 0);
}

Test(format, sizes)
{
    static const struct {
        uint64_t size, sectors, bytes;
    } cases[] = {
        { 0, 0, 0 }, { 1, 1, 1 }, { 512, 1, 1 }, { 513, 2, 1 }, { 4096, 8, 1 }, { 4097, 9, 2 },
        { 16 * MIB, 32768, 4096 }, { 16 * MIB + 1, 32769, 4097 },
        { 1ull << 50, 1ull << 41, 1ull << 38 }, { UINT64_MAX, 1ull << 55, 1ull << 52 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(format_sectors(cases[i].size) == cases[i].sectors, "%zu", i);
        check(format_bitmap_bytes(cases[i].size) == cases[i].bytes, "%zu", i);
    }
}

/* ---- names ------------------------------------------------------------------ */

Test(name, suffix)
{
    static const char *const disks[] = { "a.add-cow", ".add-cow", "/x/y.add-cow",
                                         "a.add-cow.add-cow" };
    static const char *const others[] = {
        "",          "a",          "add-cow",    "a.add-cow.run",
        "a.ADD-COW", "a.add-cow/", "a.add-cow ", "/x.add-cow/y",
    };

    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++)
        check(acow_name_is_disk(disks[i]), "%s", disks[i]);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        check(!acow_name_is_disk(others[i]), "%s", others[i]);
}

static void check_resolve(const char *meta, const char *name, const char *want)
{
    char *got = name_resolve(meta, name);

    check(got && strcmp(got, want) == 0, "%s in %s: %s, not %s", name, meta, got, want);
    free(got);
}

Test(name, resolve)
{
    char *run = name_run("/a/b.add-cow");

    check_resolve("/a/b/c.add-cow", "x", "/a/b/x");
    check_resolve("/a/b/c.add-cow", "../x", "/a/b/../x");
    check_resolve("/a/b/c.add-cow", "/x", "/x");
    check_resolve("/c.add-cow", "x/y", "/x/y");
    check(run && strcmp(run, "/a/b.add-cow.run") == 0);
    free(run);
}

static void check_real(const char *path, const char *want_end, int want)
{
    char here[4096], whole[8192], *got = NULL;
    int r;

    check(getcwd(here, sizeof(here)));
    snprintf(whole, sizeof(whole), "%s/%s", here, want_end);
    r = name_real(&acow_sys_libc, path, &got);
    check(r == want, "%s: %d, not %d", path, r, want);
    if (r == 0)
        check(strcmp(got, whole) == 0, "%s: %s, not %s", path, got, whole);
    free(got);
}

Test(name, real, .init = tmp_begin, .fini = tmp_end)
{
    check(mkdir("dir", 0755) == 0 && symlink("dir", "link") == 0);
    file_put("dir/there", "", 0);
    check(symlink("dir/there", "other") == 0 && symlink("nowhere", "dangling") == 0);
    check_real("dir/there", "dir/there", 0);
    check_real("link/there", "dir/there", 0);
    check_real("other", "dir/there", 0);
    check_real("./dir/../link/there", "dir/there", 0);
    check_real("missing", "missing", 0);
    check_real("link/missing", "dir/missing", 0);
    check_real("nowhere/missing", "", -ENOENT);
    check_real("dir/there/x", "", -ENOTDIR);
    check_real("", "", -ENOENT);
}

/* Reached by a link from elsewhere it is the same disk, with the same files beside it. */
Test(name, symlinked_metadata, .init = tmp_begin, .fini = tmp_end)
{
    struct acow_disk *disk, *direct;
    char buf[3], here[4096], path[8192];

    usual_disk(5000, 5000);
    check(mkdir("far", 0755) == 0 && symlink("../d.add-cow", "far/x.add-cow") == 0);
    check(chdir("far") == 0);
    disk = must_open(&acow_sys_libc, "x.add-cow", ACOW_RDWR);
    must_write(disk, "new", 3, 1000);
    check(file_len("../d.add-cow.run") > 0 && file_len("x.add-cow.run") == -1);
    check(chdir("..") == 0 && getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "%s/d.add-cow", here);
    direct = must_open(&acow_sys_libc, path, ACOW_RDONLY);
    must_read(direct, buf, 3, 1000);
    check(memcmp(buf, "new", 3) == 0);
    must_close(direct);
    must_close(disk);
    check(file_len("d.add-cow.run") == -1);
}

/* Absolute names, and a working directory that has files of the same names. */
Test(name, relative_to_the_metadata_file, .init = tmp_begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    struct acow_facts facts;
    char here[4096], base[8192];
    uint8_t buf[100], want[100];

    check(getcwd(here, sizeof(here)));
    snprintf(base, sizeof(base), "%s/d.base", here);
    usual_disk(5000, 5000);
    meta_put("d.add-cow", base, "./d.img", NULL, 2);
    check(mkdir("far", 0755) == 0 && chdir("far") == 0);
    file_put("d.img", "trap", 4);
    file_put("d.base", "trap", 4);
    disk = must_open(&acow_sys_libc, "../d.add-cow", ACOW_RDWR);
    acow_facts(disk, &facts);
    check(strcmp(facts.backing_path, base) == 0 && strcmp(facts.backing_name, base) == 0);
    check(strcmp(facts.image_name, "./d.img") == 0 && facts.image_path[0] == '/');
    check(facts.backing_size == 5000 && facts.writable && !facts.backing);
    must_read(disk, buf, 100, 0);
    pattern(want, 0, 100, 1);
    assert_same(buf, want, 100, "the right base");
    must_write(disk, "new", 3, 0);
    must_close(disk);
    check(file_len("d.img") == 4);
}
