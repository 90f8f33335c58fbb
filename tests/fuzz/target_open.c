/*
 * Opening what somebody else has put there. The input is a directory: metadata
 * files with any names in them, images, links, fifos, in place of or beside a good
 * disk; then how it is opened. What opens must show what its files, read without
 * the engine, say; what does not must say why in a line, and have changed nothing.
 *
 * Input: a count of entries; each entry's kind, place and facts (make_entry); then
 * for each opening a byte of flags, and how the disk is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "fuzz.h"

static const char *const places[] = {
    "d.add-cow", "d.img", "d.base", "d.add-cow.run", "m.add-cow", "m.img", "raw", "b.add-cow",
    "b.img", "sub/e.add-cow", "sub/e.img", "link.add-cow", "link", "sub", "m.add-cow.run",
    "missing",
};
#define NPLACES (sizeof(places) / sizeof(places[0]))

static const uint64_t file_sizes[] = {
    5000, 0, 1, 511, 512, 513, 4096, 5001, 65536, 65537, 16 * MIB - 1, 16 * MIB + 513,
    64 * KIB * MIB + 1, MIB * MIB, ACOW_SIZE_MAX + 1, 8192,
};

static char here[512];         /* the directory */

/* ---- the directory ----------------------------------------------------- */

/* A name for a place in one of the ways there are; never one that leads out of the directory. */
static void make_name(struct input *in, char out[1025])
{
    static const char *const specials[] = { "", "/dev/zero", "/dev/null", ".", "sub/" };
    uint8_t way = input_byte(in);
    const char *place = places[input_below(in, NPLACES)];
    struct input part;

    switch (way % 12) {
    case 1:
        snprintf(out, 1025, "./%s", place);
        return;
    case 2:
        snprintf(out, 1025, "..%s/%s", strrchr(here, '/'), place);
        return;
    case 3:
        snprintf(out, 1025, "%s/%s", here, place);
        return;
    case 4:
        snprintf(out, 1025, "sub/../%s", place);
        return;
    case 5:
        snprintf(out, 1025, ".//%s/", place);
        return;
    case 6:
        snprintf(out, 1025, "%s", specials[input_below(in, 5)]);
        return;
    case 7:
        /* As long as may be, or too long by one: then its field has no end. */
        memset(out, 'x', 1024);
        out[1023 + way / 12 % 2] = '\0';
        memcpy(out, place, strlen(place));
        return;
    case 8:
        part = input_part(in, input_byte(in));
        for (size_t i = 0; i < part.left; i++)
            out[i] = (char)(part.at[i] == '/' ? '.' : part.at[i]);
        out[part.left] = '\0';
        if (strcmp(out, "..") == 0)
            out[0] = 'x';
        return;
    case 9:
        /* In `sub`, seen from there. */
        snprintf(out, 1025, "../%s", place);
        if (way < 128)
            return;
        /* fall through */
    default:
        snprintf(out, 1025, "%s", place);
    }
}

static void make_meta(struct input *in, const char *path)
{
    uint8_t odd = input_byte(in), fill;
    uint8_t file[HEADER + 9000] = "ADD_COW\xff\0\0\0\1";
    char name[1025];
    size_t len;

    make_name(in, name);
    memcpy(file + 12, name, strnlen(name, 1024));
    make_name(in, name);
    memcpy(file + 1036, name, strnlen(name, 1024));
    if (odd & 1)
        file[input_below(in, HEADER)] = input_byte(in);
    if (odd & 2)
        memset(file + 2060, 0xa5, HEADER - 2060);
    /* A bitmap of some length, some bytes as they come, then one byte again and again. */
    len = HEADER + input_below(in, 9000);
    fill = input_byte(in);
    memset(file + HEADER, fill, len - HEADER);
    for (size_t i = 0; i < (odd >> 4); i++)
        file[HEADER + i] = input_byte(in);
    if (odd & 4)
        len = input_below(in, HEADER);
    file_put(path, file, len);
}

static void make_file(struct input *in, const char *path, unsigned tag)
{
    uint64_t size = file_sizes[input_below(in, 16)];
    uint8_t shape = input_byte(in) % 4;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    check(fd >= 0, "%s: %m", path);
    close(fd);
    /* Where the filesystem has no files so large, a smaller one. */
    if (truncate(path, (off_t)size) < 0)
        size = 0;
    if (shape == 1)
        return;
    file_pattern(path, 0, size < 8192 ? (size_t)size : 8192, tag);
    if (shape == 2 && size > 8192)
        file_pattern(path, size - 1000, 1000, tag);
    /* A guest may write what it likes into a raw disk. */
    if (shape == 3 && size >= HEADER) {
        uint8_t head[HEADER] = "ADD_COW\xff\0\0\0\1";

        strcpy((char *)head + 1036, "d.img");
        file_poke(path, 0, head, HEADER);
    }
}

static void make_entry(struct input *in, unsigned tag)
{
    uint8_t kind = input_byte(in);
    const char *path = places[input_below(in, NPLACES)];
    char name[1025], target[5200];

    if (unlink(path) < 0 && errno == EISDIR)
        rmdir(path);
    /* What cannot be made, as a file in a directory that is gone, is left out. */
    if (access(path, F_OK) == 0 || (strchr(path, '/') && access("sub/.", F_OK) < 0))
        return;
    switch (kind % 8) {
    case 0:
    case 1:
        make_meta(in, path);
        break;
    case 2:
        make_file(in, path, tag);
        break;
    case 3:
        make_name(in, name);
        name[1024] = '\0';
        if (symlink(name, path) < 0)
            check(errno == ENOENT || errno == ENAMETOOLONG, "%s: %m", path);
        break;
    case 4:
        check(mkfifo(path, 0600) == 0, "%s: %m", path);
        break;
    case 5:
        check(mkdir(path, 0700) == 0, "%s: %m", path);
        break;
    case 6:
        snprintf(target, sizeof(target), "%s", places[input_below(in, NPLACES)]);
        (void)!link(target, path);
        break;
    default:
        break;
    }
}

static void make_directory(struct input *in)
{
    unsigned entries = (unsigned)input_below(in, 16);

    check(getcwd(here, sizeof(here)) && mkdir("sub", 0700) == 0);
    file_pattern("d.base", 0, 4000, 1);
    file_pattern("d.img", 0, 5000, 2);
    meta_put("d.add-cow", "d.base", "d.img", "\x18", 2);
    for (unsigned i = 0; i < entries; i++)
        make_entry(in, i + 3);
}

/* ---- what must be so --------------------------------------------------- */

static bool has_run(const struct snapshot *snapshot)
{
    for (int i = 0; i < snapshot->count; i++)
        if (strstr(snapshot->shots[i].path, ".run"))
            return true;
    return false;
}

static void check_refused(const struct flat *flat, bool run_there, int r,
                          const struct acow_msg *msg)
{
    static const int known[] = {
        EINVAL, ENOTSUP, ENAMETOOLONG, ENOENT, ENOTDIR, EISDIR, ELOOP, EFBIG, EPERM, EBUSY, EIO,
    };
    size_t i = 0;

    fuzz_check_line(msg->text, "refused");
    while (i < sizeof(known) / sizeof(known[0]) && known[i] != -r)
        i++;
    check(i < sizeof(known) / sizeof(known[0]), "refused with %d: %s", r, msg->text);
    /* A chain that can be read is refused for going in circles, or for using a file twice, alone. */
    check(!flat || run_there || r == -ELOOP || r == -EINVAL || r == -EFBIG, "refused with %d: %s",
          r, msg->text);
}

static void check_sector(struct acow_disk *disk, const struct flat *flat, uint64_t sector)
{
    uint64_t off = sector * 512, size = flat->level[0].size;
    size_t len = off >= size ? 0 : size - off < 512 ? (size_t)(size - off) : 512;
    uint8_t got[512] = { 0 }, want[512];
    ssize_t n = acow_pread(disk, ACOW_OWN_FD, got, sizeof(got), off);

    check(n == (ssize_t)len, "sector %llu: read %zd of %zu", (unsigned long long)sector, n, len);
    flat_read(flat, sector, want);
    assert_same(got, want, 512, "sector %llu", (unsigned long long)sector);
}

static void check_content(struct acow_disk *disk, const struct flat *flat, struct input *in)
{
    uint64_t last = sectors(flat->level[0].size);

    for (uint64_t sector = 0; sector < 20; sector++)
        check_sector(disk, flat, sector);
    for (uint64_t sector = last < 2 ? 0 : last - 2; sector < last + 2; sector++)
        check_sector(disk, flat, sector);
    for (int level = 0; level < flat->levels && level < 3; level++)
        check_sector(disk, flat, flat->level[level].size / 512);
    check_sector(disk, flat, flat->base_size / 512);
    for (int i = 0; i < 4; i++)
        check_sector(disk, flat, input_below(in, last + 1));
}

static void check_extent(const struct flat *flat, const struct acow_extent *extent)
{
    uint8_t want[512], got[512] = { 0 };
    uint64_t sector = extent->off / 512;
    size_t skip = extent->off % 512;
    size_t len = extent->len < 512 - skip ? (size_t)extent->len : 512 - skip;

    check(flat_bit(flat, 0, sector) == (extent->allocated != 0), "extent at %llu",
          (unsigned long long)extent->off);
    if (extent->kind == ACOW_DATA) {
        int fd = open(extent->file, O_RDONLY);

        check(fd >= 0, "%s: %m", extent->file);
        check(pread(fd, got + skip, len, (off_t)extent->file_off) == (ssize_t)len, "%s",
              extent->file);
        close(fd);
    }
    flat_read(flat, sector, want);
    assert_same(got + skip, want + skip, len, "extent at %llu", (unsigned long long)extent->off);
}

/* The first extents; and that they would not end before the disk. */
static void check_extents(struct acow_disk *disk, const struct flat *flat)
{
    uint64_t off = 0, size = flat->level[0].size;
    struct acow_extent extent;

    for (int i = 0; i < 40 && off < size; i++) {
        int r = acow_next_extent(disk, off, 40 * MIB, &extent);

        check(r == 0 && extent.off == off && extent.len > 0 && extent.len <= size - off,
              "extent at %llu: %d", (unsigned long long)off, r);
        check_extent(flat, &extent);
        off += extent.len;
    }
    check(acow_next_extent(disk, size, 1, &extent) == -ENXIO);
}

static void check_facts(struct acow_disk *disk, const struct flat *flat, const char *path)
{
    uint64_t allocated, pending, set;
    struct stat st, open_st;
    char *image;

    check(acow_size(disk) == (int64_t)flat->level[0].size);
    check(acow_stat(fuzz_sys(), path, &st) == 0 && acow_fstat(disk, &open_st) == 0);
    check(st.st_size == open_st.st_size && st.st_ino == open_st.st_ino
          && st.st_size == (off_t)flat->level[0].size && st.st_ino == flat->level[0].meta_ino);
    check(acow_image_path(fuzz_sys(), path, &image) == 0);
    check(stat(image, &st) == 0 && st.st_ino == flat->level[0].image_ino, "%s", image);
    free(image);
    if (flat->level[0].size > FUZZ_COUNTED)
        return;
    set = flat_count(flat);
    check(acow_count_allocated(disk, &allocated, &pending) == 0);
    check(allocated == set && pending == 0, "%llu bits, not %llu, and %llu pending",
          (unsigned long long)allocated, (unsigned long long)set, (unsigned long long)pending);
}

/* A write in one place, seen again; whoever looks at the files sees it after the close. */
static void try_write(struct acow_disk *disk, struct input *in, uint64_t size, uint64_t *at,
                      uint8_t was[3])
{
    uint8_t got[3];

    *at = input_below(in, size - 3);
    must_read(disk, was, 3, *at);
    must_write(disk, "new", 3, *at);
    must_read(disk, got, 3, *at);
    check(memcmp(got, "new", 3) == 0);
}

static void check_written(const char *path, uint64_t at)
{
    uint8_t both[1024];
    struct flat flat;

    check(flat_open(&flat, path));
    flat_read(&flat, at / 512, both);
    flat_read(&flat, at / 512 + 1, both + 512);
    check(memcmp(both + at % 512, "new", 3) == 0);
    check(flat_bit(&flat, 0, at / 512));
    flat_close(&flat);
}

static void use(struct acow_disk *disk, const struct flat *flat, const char *path, struct input *in,
                bool writable)
{
    bool write = writable && flat->level[0].size > 3 && flat->level[0].size <= ACOW_SIZE_MAX;
    uint64_t at = 0;
    uint8_t was[3];

    check_facts(disk, flat, path);
    check_content(disk, flat, in);
    check_extents(disk, flat);
    if (write)
        try_write(disk, in, flat->level[0].size, &at, was);
    must_close(disk);
    if (write)
        check_written(path, at);
}

static void open_once(struct input *in)
{
    static const int ways[] = {
        ACOW_RDONLY, ACOW_RDWR, ACOW_INSPECT, ACOW_RDWR | ACOW_WRITETHROUGH,
        ACOW_RDWR | ACOW_UNSAFE,
    };
    int flags = ways[input_below(in, 5)], r;
    struct snapshot before;
    struct acow_msg msg = { "" };
    struct acow_disk *disk = NULL;
    char path[1025];
    struct flat flat;
    bool readable, run_there;

    make_name(in, path);
    path[1024] = '\0';
    readable = flat_open(&flat, path);
    snapshot_take(&before);
    run_there = has_run(&before);
    fuzz_watch(NULL);
    r = acow_open(fuzz_sys(), path, flags, &disk, &msg);
    if (r < 0) {
        check_refused(readable ? &flat : NULL, run_there, r, &msg);
    } else {
        check(readable, "%s should not open", path);
        use(disk, &flat, path, in, flags & ACOW_RDWR);
    }
    fuzz_balanced(r < 0 ? "refused" : "closed");
    sys_hook(NULL);
    if (r == 0 && flags & ACOW_RDWR)
        snapshot_same(&before, flat.level[0].meta_ino, flat.level[0].image_ino, run_there,
                      "closed");
    else
        snapshot_same(&before, 0, 0, run_there, r < 0 ? "refused" : "closed");
    if (readable)
        flat_close(&flat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = { data, len };

    tmp_begin();
    make_directory(&in);
    for (int i = 0; i < 2; i++)
        open_once(&in);
    tmp_end();
    return 0;
}
