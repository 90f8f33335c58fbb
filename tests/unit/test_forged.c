/*
 * A run-time file in which a field is not what it was: what the engine believes, what
 * it puts right, and what it refuses, with nobody alive and with another process alive; and
 * what it survives if the change comes while the disk is open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "peer.h"
#include "region.h"
#include "sys_hook.h"

#define SIZE (200 * KIB)
#define RUN "d.add-cow.run"

static struct acow_msg msg;
static struct region *region;

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

/* The head of the run-time file, to be written to. */
static void map_run(void)
{
    int fd = open(RUN, O_RDWR);

    check(fd >= 0, "%m");
    region = mmap(NULL, REGION_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(region != MAP_FAILED, "%m");
    close(fd);
}

/* What is left by a process that is killed with bits pending. */
static void leave_behind(void)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 5000, 3);
    peer_kill(&peer);
    map_run();
}

/* Opening to write and to read, and looking if `looks`, is refused, and the file is as it was. */
static void refused(int error, const char *why, bool looks)
{
    struct blob run = file_get(RUN);

    for (int flags = 0; flags <= (looks ? ACOW_INSPECT : ACOW_RDWR); flags++) {
        struct acow_disk *disk;
        int r = acow_open(&sys_hooked, "d.add-cow", flags, &disk, &msg);

        check(r == error, "flags %d: %d, not %d: %s", flags, r, error, msg.text);
        check(strstr(msg.text, RUN) && strstr(msg.text, why), "%s", msg.text);
    }
    check(file_len(RUN) == (int64_t)run.len);
    free(run.data);
}

/* It opens, shows what was written, can be written to, and is whole in its files afterwards. */
static void opens(void)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    uint8_t buf[5000], want[5000];
    struct blob flat;

    must_read(disk, buf, 5000, 1000);
    pattern(want, 1000, 5000, 3);
    assert_same(buf, want, 5000, "opened");
    must_write(disk, "more", 4, SIZE - 4);
    must_flush(disk);
    must_close(disk);
    flat = decode("d.add-cow");
    check(flat.len == SIZE);
    assert_same(flat.data + 1000, want, 5000, "closed");
    check(memcmp(flat.data + SIZE - 4, "more", 4) == 0);
    free(flat.data);
}

/* ---- nobody is alive ----------------------------------------------------- */

Test(forged, dead_head, .init = begin, .fini = tmp_end)
{
    leave_behind();
    region->pages = UINT64_MAX;
    refused(-EIO, "cut short", true);
    region->pages = 1ull << 40;
    refused(-EIO, "cut short", true);
    region->pages = 0;
    refused(-EIO, "size", true);
    region->pages = 1;
    region->size = ACOW_SIZE_MAX + 1;
    refused(-EIO, "size", true);
    region->size = UINT64_MAX;
    refused(-EIO, "size", true);
    region->size = SIZE;
    opens();
    check(file_len(RUN) == -1);
}

/* What is made anew may be anything. */
Test(forged, dead_locks_and_generation, .init = begin, .fini = tmp_end)
{
    leave_behind();
    memset(&region->size_lock, 0xff, sizeof(region->stripes) + 64);
    memset(region->holders, 0xff, sizeof(region->holders));
    region->gen = REGION_DEAD - 1;
    region->meta_len = UINT64_MAX;
    region->size = 1;
    opens();
    check(file_len(RUN) == -1);
}

Test(forged, dead_summary, .init = begin, .fini = tmp_end)
{
    const uint8_t unknown = PAGE_DIRTY + 1, dirty = PAGE_DIRTY, none = PAGE_NONE;

    leave_behind();
    file_poke(RUN, REGION_HEAD, &unknown, 1);
    refused(-EIO, "summary", false);
    file_poke(RUN, REGION_HEAD, &dirty, 1);
    file_poke(RUN, REGION_HEAD + 1, &dirty, 1);
    refused(-EIO, "summary", false);
    file_poke(RUN, REGION_HEAD + 1, &none, 1);
    opens();
}

/* What lies behind the pages in use is not taken for bits when the disk grows. */
Test(forged, dead_file_is_too_long, .init = begin, .fini = tmp_end)
{
    struct acow_disk *disk;
    uint64_t allocated, pending;
    uint8_t bits[BITS_PAGE];

    leave_behind();
    memset(bits, 0xff, sizeof(bits));
    file_size(RUN, REGION_HEAD + bits_area(4));
    file_poke(RUN, REGION_HEAD + bits_page_at(2), bits, sizeof(bits));
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check(acow_truncate(disk, 50 * MIB) == 0);
    must_write(disk, "far", 3, 40 * MIB);
    check(acow_count_allocated(disk, &allocated, &pending) == 0);
    check(pending <= 12, "%llu bits", (unsigned long long)pending);
    must_close(disk);
}

/* ---- somebody is --------------------------------------------------------- */

Test(forged, live_head, .init = begin, .fini = tmp_end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    uint64_t gen;

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 5000, 3);
    map_run();
    gen = region->gen;
    region->gen = REGION_DEAD;
    refused(-EIO, "generation", false);
    region->gen = REGION_DEAD - 2;
    refused(-EIO, "generation", false);
    region->gen = gen;
    region->pages = UINT64_MAX;
    refused(-EIO, "cut short", true);
    region->pages = 1;
    region->size = 1ull << 45;
    refused(-EIO, "size", true);
    region->size = SIZE;
    opens();
    peer_close(&peer);
    peer_end(&peer);
}

/* libc ends the process over some kinds of lock, and waits for ever for others. */
static void try_lock(pthread_mutex_t *lock)
{
    int kind = lock->__data.__kind;

    for (int bit = 1; bit < 1 << 12; bit <<= 1) {
        lock->__data.__kind = kind ^ bit;
        refused(-EIO, "locks", false);
    }
    lock->__data.__kind = kind;
}

Test(forged, live_locks, .init = begin, .fini = tmp_end)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 5000, 3);
    map_run();
    try_lock(&region->size_lock);
    try_lock(&region->flush_lock);
    try_lock(&region->reserve_lock);
    try_lock(&region->stripes[0].lock);
    try_lock(&region->stripes[REGION_STRIPES - 1].lock);
    opens();
    peer_close(&peer);
    peer_end(&peer);
}

/* A size or a length that the files do not have is not handed on. */
Test(forged, live_sizes_follow_the_files, .init = begin, .fini = tmp_end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    struct acow_disk *disk;

    peer_open(&peer, ACOW_RDWR);
    map_run();
    region->size = SIZE + 5 * MIB;
    region->meta_len = UINT64_MAX;
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check(acow_size(disk) == SIZE && peer_do(&peer, PEER_SIZE, 0, 0, 0) == SIZE);
    check(region->meta_len == HEADER + bitmap_len(SIZE), "%llu",
          (unsigned long long)region->meta_len);
    must_close(disk);
    peer_close(&peer);
    peer_end(&peer);
}

/* ---- while it is open ------------------------------------------------------ */

static struct acow_disk *open_for_attack(void)
{
    struct acow_disk *disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);

    map_run();
    return disk;
}

/* No look beyond the pages of bits that there are, and no walk without an end. */
Test(forged, size_while_open, .init = begin, .fini = tmp_end)
{
    static const uint64_t sizes[] = { 1ull << 40, 1ull << 62, UINT64_MAX };
    struct acow_disk *disk = open_for_attack();
    uint64_t allocated, pending;
    struct acow_extent extent;
    char buf[100] = "x";

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        region->size = sizes[i];
        check(acow_pwrite(disk, ACOW_OWN_FD, buf, 100, 16 * MIB - 50) == -EIO);
        check(acow_pwrite(disk, ACOW_OWN_FD, buf, 1, 1ull << 39) == -EIO);
        check(acow_count_allocated(disk, &allocated, &pending) == 0 && allocated == 0);
        check(acow_pread(disk, ACOW_OWN_FD, buf, 100, 16 * MIB - 50) == 100);
        check(acow_next_extent(disk, 16 * MIB, MIB, &extent) == 0);
    }
    region->size = SIZE;
    must_close(disk);
}

Test(forged, pages_while_open, .init = begin, .fini = tmp_end)
{
    static const uint64_t pages[] = { 2, 1ull << 30, 1ull << 52, 1ull << 60, UINT64_MAX };
    struct acow_disk *disk = open_for_attack();
    char buf[100];

    must_write(disk, "x", 1, 0);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        region->pages = pages[i];
        region->gen++;
        check(acow_pread(disk, ACOW_OWN_FD, buf, 100, 100) == -EIO);
        check(acow_pwrite(disk, ACOW_OWN_FD, buf, 100, 5000) == -EIO);
        check(acow_truncate(disk, SIZE + 1) == -EIO);
    }
    region->pages = 1;
    region->gen++;
    must_read(disk, buf, 100, 100);
    must_close(disk);
}
