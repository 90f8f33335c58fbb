/*
 * Files that others replace, cut or remove under an open disk. Wherever the disk's content comes
 * from, a read gives what the disk had, or ends, or fails: never zeros where there was data,
 * and never another file's bytes. Only a mapped file that is cut can do worse; what is
 * seen of that without its signal is here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "peer.h"

#define SIZE (256 * KIB)
#define IMAGE_END (32 * KIB)        /* sectors before it are the image's */

static struct acow_sys sys;
static struct acow_disk *disk;
static struct acow_msg msg;
static uint8_t buf[SIZE], want[SIZE];
static char said[4096];

static void note_line(const char *line)
{
    snprintf(said, sizeof(said), "%s", line);
}

static void begin(void)
{
    uint8_t bitmap[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    tmp_begin();
    usual_disk(SIZE, SIZE);
    meta_put("d.add-cow", "d.base", "d.img", bitmap, sizeof(bitmap));
    pattern(want, 0, IMAGE_END, 2);
    pattern(want + IMAGE_END, IMAGE_END, SIZE - IMAGE_END, 1);
    sys = acow_sys_libc;
    sys.log = note_line;
    disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
}

static void write_tag(uint64_t off, size_t len, unsigned tag)
{
    pattern(want + off, off, len, tag);
    must_write(disk, want + off, len, off);
}

static void check_disk(const char *when)
{
    must_read(disk, buf, SIZE, 0);
    assert_same(buf, want, SIZE, "%s", when);
}

static void check_files(void)
{
    struct blob flat = decode("d.add-cow");

    check(flat.len == SIZE && file_len("d.add-cow.run") == -1);
    assert_same(flat.data, want, SIZE, "files");
    free(flat.data);
}

/* ---- replaced ---------------------------------------------------------------- */

static void replace(const char *name, bool by_rename)
{
    file_pattern("new", 0, SIZE, 9);
    check(by_rename ? rename("new", name) == 0 : unlink(name) == 0 && rename("new", name) == 0);
}

static void flushes(bool works)
{
    said[0] = '\0';
    check(acow_flush(disk) == (works ? 0 : -EIO) && !said[0] == works, "%s", said);
}

static void keeps_its_files(const char *name, bool works)
{
    for (int by_rename = 0; by_rename < 2; by_rename++) {
        struct blob other;

        replace(name, by_rename);
        other = file_get(name);
        check_disk(name);
        write_tag(500 + 1000 * (unsigned)by_rename, 700, 3);
        write_tag(100 * KIB + 5, 3000, 4);
        flushes(works);
        check_disk(name);
        check(file_same(name, other), "%s was written to", name);
        free(other.data);
    }
}

Test(hostile, image_replaced, .init = begin, .fini = tmp_end)
{
    struct acow_disk *other;
    int fd;

    check(link("d.img", "old") == 0);
    keeps_its_files("d.img", false);
    check(strstr(said, "d.img") && strstr(said, "replaced"), "%s", said);
    /* One more of its own descriptors is the old image's, too. */
    fd = acow_open_image(disk, O_RDWR);
    check(fd >= 0, "%d", fd);
    check(acow_pread(disk, fd, buf, 4096, 0) == 4096);
    assert_same(buf, want, 4096, "second descriptor");
    close(fd);
    /* A newcomer would have the new image with the old one's bits. */
    check(acow_open(&sys, "d.add-cow", ACOW_RDONLY, &other, &msg) == -ESTALE, "%s", msg.text);
    check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    /* Its bits are kept for the old one, should it come back. */
    check(acow_close(disk, &msg) == -EIO);
    check(rename("old", "d.img") == 0);
    disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
    check_disk("put back");
    must_close(disk);
    check_files();
}

Test(hostile, disk_replaced_as_a_whole, .init = begin, .fini = tmp_end)
{
    write_tag(100 * KIB, 3000, 3);
    replace("d.img", true);
    replace("d.add-cow", true);
    flushes(true);
    check_disk("replaced as a whole");
    must_close(disk);
}

Test(hostile, image_unlinked, .init = begin, .fini = tmp_end)
{
    int fd;

    check(unlink("d.img") == 0);
    write_tag(100 * KIB, 3000, 3);
    check_disk("unlinked");
    fd = acow_open_image(disk, O_RDONLY);
    check(fd >= 0, "%d", fd);
    close(fd);
    must_flush(disk);
    must_close(disk);
}

Test(hostile, backing_file_replaced, .init = begin, .fini = tmp_end)
{
    keeps_its_files("d.base", true);
    check(rename("d.base", "new") == 0);
    check_disk("gone");
    must_close(disk);
}

Test(hostile, metadata_file_replaced, .init = begin, .fini = tmp_end)
{
    struct acow_disk *other;
    struct blob mine;

    write_tag(100 * KIB, 3000, 3);
    file_pattern("n.img", 0, SIZE, 7);
    meta_put("n.add-cow", "d.base", "n.img", NULL, 64);
    mine = file_get("n.add-cow");
    check(rename("n.add-cow", "d.add-cow") == 0);
    check_disk("replaced");
    write_tag(150 * KIB, 3000, 4);
    /* The run-time file of that name is the old disk's. */
    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        check(acow_open(&sys, "d.add-cow", flags, &other, &msg) == -ESTALE, "%s", msg.text);
        check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
    }
    check_disk("still replaced");
    must_close(disk);
    check(file_same("d.add-cow", mine) && file_len("d.add-cow.run") == -1);
    disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
    pattern(want, 0, SIZE, 1);
    check_disk("the new one");
    must_close(disk);
    free(mine.data);
}

Test(hostile, directory_renamed, .init = begin, .fini = tmp_end)
{
    static const char *const files[] = { "d.add-cow", "d.img", "d.base", "d.add-cow.run" };
    struct peer peer = peer_start(&sys);
    char there[64];
    int fd;

    write_tag(100 * KIB, 3000, 3);
    check(mkdir("sub", 0755) == 0);
    for (int i = 0; i < 4; i++) {
        snprintf(there, sizeof(there), "sub/%s", files[i]);
        check(rename(files[i], there) == 0);
    }
    write_tag(150 * KIB, 3000, 4);
    check_disk("renamed");
    fd = acow_open_image(disk, O_RDWR);
    check(fd >= 0, "%d", fd);
    close(fd);
    for (int i = 0; i < 4; i++) {
        snprintf(there, sizeof(there), "sub/%s", files[i]);
        check(rename(there, files[i]) == 0);
    }
    peer_open(&peer, ACOW_RDWR);
    peer_sees(&peer, 150 * KIB, 3000, 4);
    must_close(disk);
    peer_close(&peer);
    peer_end(&peer);
    check_files();
}

/* ---- cut ------------------------------------------------------------------------ */

/* What the disk had, or an end, or an error. */
static void reads_honestly(const char *what)
{
    static const uint64_t offs[] = { 0, 512, 4000, 8100, 16384, 32000, 40000, 100000, SIZE - 900 };
    static const size_t lens[] = { 1, 512, 900, 20000, SIZE };

    for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
        for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            ssize_t n = acow_pread(disk, ACOW_OWN_FD, buf, lens[j], offs[i]);

            check(n >= 0 || n == -EIO, "%s: %zd at %llu", what, n, (unsigned long long)offs[i]);
            if (n > 0)
                assert_same(buf, want + offs[i], (size_t)n, "%s: %zu at %llu", what, lens[j],
                            (unsigned long long)offs[i]);
        }
    }
}

Test(hostile, image_cut, .init = begin, .fini = tmp_end)
{
    static const int64_t lens[] = { 200000, 16384, 8200, 1, 0 };

    write_tag(200 * KIB, 3000, 3);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        check(truncate("d.img", lens[i]) == 0);
        reads_honestly("image");
    }
    must_flush(disk);
    must_close(disk);
}

Test(hostile, backing_file_cut, .init = begin, .fini = tmp_end)
{
    static const int64_t lens[] = { 200000, 40000, 33001, 1, 0 };

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        check(truncate("d.base", lens[i]) == 0);
        reads_honestly("backing");
        /* What needs no old bytes can be written, and the rest cannot. */
        write_tag(220 * KIB + i * 4096, 1024, 3);
        check(acow_pwrite(disk, ACOW_OWN_FD, "x", 1, 250 * KIB + 5) == -EIO);
    }
    must_flush(disk);
    reads_honestly("flushed");
    must_close(disk);
}

/*
 * The bits are gone, in the file as in the mapping, and a flush could only make a file of
 * zeros of it, which looks the less like what has happened.
 */
Test(hostile, metadata_file_cut, .init = begin, .fini = tmp_end)
{
    write_tag(200 * KIB, 3000, 3);
    check(truncate("d.add-cow", 100) == 0);
    check(acow_flush(disk) == -EIO);
    check(strstr(said, "d.add-cow: ") && strstr(said, "100 bytes"), "%s", said);
    check(file_len("d.add-cow") == 100);
    check(acow_flush(disk) == -EIO);
    check(acow_close(disk, &msg) == -EIO);
    check(strstr(msg.text, "d.add-cow"), "%s", msg.text);
    check(file_len("d.add-cow") == 100);
}

/* Who comes to a run-time file that was cut is refused, and leaves it to those who use it. */
Test(hostile, run_time_file_cut, .init = begin, .fini = tmp_end)
{
    static const int64_t lens[] = { 20480, 16384, 100, 0 };
    struct peer peer = peer_start(&sys);
    struct acow_disk *other;

    peer_open(&peer, ACOW_RDWR);
    must_close(disk);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        check(truncate("d.add-cow.run", lens[i]) == 0);
        for (int flags = ACOW_RDONLY; flags <= ACOW_INSPECT; flags++) {
            int r = acow_open(&sys, "d.add-cow", flags, &other, &msg);

            /* Looking alone finds nothing in a file of no size. */
            if (r == 0 && flags == ACOW_INSPECT && lens[i] < 16384) {
                must_close(other);
                continue;
            }
            check(r == -EIO, "%lld: %d %s", (long long)lens[i], r, msg.text);
            check(strstr(msg.text, "d.add-cow.run"), "%s", msg.text);
        }
        check(file_len("d.add-cow.run") == lens[i]);
    }
    peer_kill(&peer);
}
