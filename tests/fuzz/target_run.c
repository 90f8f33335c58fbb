/*
 * A run-time file that somebody has been at. The input changes a good one, left by
 * a process that was killed or used by one that is alive, field by field or byte by
 * byte; then the disk is opened, used and closed. It opens and shows each sector
 * from the image or from the backing file, or it says why not: no crash, no hang, no
 * look beyond a mapping. Changes made while it is open have to be survived, too.
 *
 * Not tried: a lock that says a thread holds it which does not exist (it is waited
 * for); and cutting the file short, or writing to its locks, while they are in use, which only the
 * kernel could refuse.
 *
 * Input: a byte of how large the disk is, one of who is alive and what is put right
 * again; changes (change) up to a zero byte; how it is opened; then what is done with it (use).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "fuzz.h"
#include "lock.h"
#include "region.h"

#define RUN "d.add-cow.run"
#define BACKING_SIZE 9000u
#define OWNER_DIED 0x40000000   /* in a robust mutex's first word */

static const uint64_t disk_sizes[] = {
    6000, 0, 1, 512, 40000, 16 * MIB - 1, 16 * MIB, 16 * MIB + 700, 50 * MIB, 64 * KIB * MIB,
    64 * KIB * MIB + 5,
};
#define NSIZES (sizeof(disk_sizes) / sizeof(disk_sizes[0]))

struct world {
    struct input *in;
    struct acow_disk *disk;
    bool alive;                 /* somebody else is */
    bool attacked;              /* the file was changed while the disk was open */
    bool looks;                 /* opened to look only */
};

/* ---- the file -------------------------------------------------------------- */

static int locks_fail(struct sys_call *call)
{
    return call->op == SYS_LOCK ? -EIO : 0;
}

/* What a killed process leaves: who cannot have the attach lock leaves everything as it is. */
static void leave_behind(uint64_t size, bool bits)
{
    struct acow_disk *disk = must_open(fuzz_sys(), "d.add-cow", ACOW_RDWR);

    if (bits && size > 700) {
        must_write(disk, "some bytes", 10, size / 3);
        must_write(disk, "some bytes", 10, size - 600);
    }
    fuzz_watch(locks_fail);
    check(acow_close(disk, NULL) == -EIO);
    sys_hook(NULL);
}

static uint64_t some_value(struct input *in)
{
    static const uint64_t values[] = {
        0, 1, 2, 511, 4096, 1ull << 24, 1ull << 31, 1ull << 32, 1ull << 50, (1ull << 50) + 1,
        1ull << 52, 1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX,
    };
    uint8_t which = input_byte(in);

    return which < 16 ? values[which] : which < 64 ? which : input_number(in, 1 + which % 8);
}

/* An offset in the head outside its locks, where nobody can be kept from writing at any time. */
static uint64_t some_place(uint64_t off)
{
    uint64_t end = offsetof(struct region, holders);

    if (off >= offsetof(struct region, size_lock) && off < end)
        return end + off % 1024;
    return off;
}

static void poke(uint64_t off, const void *data, size_t len)
{
    if ((int64_t)(off + len) <= file_len(RUN))
        file_poke(RUN, off, data, len);
}

static void change_file(struct input *in)
{
    uint8_t how = input_byte(in);
    uint64_t value = some_value(in);

    switch (how % 8) {
    case 0:
        (void)!truncate(RUN, (off_t)(value % (64 * MIB)));
        break;
    case 1:
        (void)!truncate(RUN, (off_t)(file_len(RUN) - (off_t)(value % 9000)));
        break;
    case 2:
        (void)!truncate(RUN, (off_t)(file_len(RUN) + (off_t)(value % (1 << 30))));
        break;
    case 3:
        (void)!link(RUN, "second");
        break;
    case 4:
        check(chown(RUN, 12345, 12345) == 0 || geteuid() != 0);
        break;
    case 5:
        (void)!truncate("d.add-cow", (off_t)(HEADER + value % 9000));
        break;
    case 6:
        (void)!truncate("d.img", (off_t)(value % (64 * MIB)));
        break;
    default: {
        int fd = open(RUN, O_RDWR);

        (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(value % 64) * 4096, (off_t)(1 + how / 8) * 4096);
        close(fd);
    }
    }
}

static void change_lock(struct input *in)
{
    uint64_t which = input_below(in, 3 + REGION_STRIPES), word = input_below(in, 10);
    uint32_t value = (uint32_t)some_value(in);
    uint64_t off = which < 3 ? offsetof(struct region, size_lock) + which * sizeof(pthread_mutex_t)
                             : offsetof(struct region, stripes) + (which - 3) * 64;

    poke(off + word * 4, &value, 4);
}

/* A change of the kind `what`; one that may come at any time, if `live`. */
static void change(struct input *in, uint8_t what, bool live)
{
    static const size_t fields[] = {
        offsetof(struct region, gen), offsetof(struct region, size),
        offsetof(struct region, pages), offsetof(struct region, meta_len),
        offsetof(struct region, files), offsetof(struct region, poison),
        offsetof(struct region, abi), offsetof(struct region, magic),
    };
    uint64_t page, off, value;

    switch (what % 10) {
    case 1:
    case 2:
        off = fields[input_below(in, live ? 6 : 8)];
        value = some_value(in);
        poke(off, &value, off == offsetof(struct region, poison) ? 4 : 8);
        break;
    case 3:
        page = input_below(in, 3) ? input_byte(in) : input_number(in, 2) % BITS_CHUNK_PAGES;
        value = some_value(in);
        poke(REGION_HEAD + bits_summary_at(page), &value, 1 + what / 10 % 8);
        break;
    case 4:
    case 5:
        page = input_below(in, 4);
        off = input_below(in, BITS_PAGE / 8) * 8;
        value = some_value(in);
        poke(REGION_HEAD + bits_page_at(page) + off, &value, 8);
        value = PAGE_DIRTY;
        if (what / 10 % 2)
            poke(REGION_HEAD + bits_summary_at(page), &value, 1);
        break;
    case 6:
        off = some_place(input_below(in, sizeof(struct region)));
        value = input_byte(in);
        poke(off, &value, 1);
        break;
    case 7:
        off = offsetof(struct region, holders) + input_below(in, 256) * 4;
        value = some_value(in);
        poke(off, &value, 4);
        break;
    case 8:
        if (!live)
            change_lock(in);
        break;
    case 9:
        if (!live)
            change_file(in);
        break;
    default:
        break;
    }
}

/* No lock says that it is held by who may be alive. */
static void free_locks(void)
{
    struct region *region;
    int fd = open(RUN, O_RDWR);

    check(fd >= 0);
    if (file_len(RUN) >= (int64_t)REGION_HEAD) {
        region = mmap(NULL, REGION_HEAD, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        check(region != MAP_FAILED);
        for (int i = 0; i < 3 + REGION_STRIPES; i++) {
            pthread_mutex_t *lock = i < 3 ? &region->size_lock + i : &region->stripes[i - 3].lock;

            if (lock->__data.__lock)
                lock->__data.__lock |= OWNER_DIED;
        }
        munmap(region, REGION_HEAD);
    }
    close(fd);
}

/* Whose file it is, what for, and of which boot: as it was, so that what follows is looked at. */
static void put_right(struct blob good)
{
    struct region *region = (struct region *)(void *)good.data;
    const size_t end = offsetof(struct region, gen);

    poke(0, &region->magic, offsetof(struct region, poison));
    poke(offsetof(struct region, boot_id), region->boot_id, end - offsetof(struct region, boot_id));
}

/* Returns a descriptor that holds the locks of one that is alive, or -1. */
static int make_run(struct input *in, uint64_t size)
{
    uint8_t who = input_byte(in), what;
    uint8_t head[REGION_HEAD] __attribute__((aligned(64)));
    int fd;

    leave_behind(size, who & 4);
    fd = open(RUN, O_RDWR);
    check(fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head));
    while ((what = input_byte(in)) != 0)
        change(in, what, false);
    if (!(who & 8))
        put_right((struct blob){ head, sizeof(head) });
    if (who & 1) {
        free_locks();
        check(lock_set(&acow_sys_libc, fd, F_RDLCK, REGION_LIVE) == 0);
        if (who & 2)
            check(lock_set(&acow_sys_libc, fd, F_RDLCK, REGION_WRITER) == 0);
        return fd;
    }
    close(fd);
    return -1;
}

/* ---- the disk -------------------------------------------------------------- */

static void check_error(int64_t r, const char *what)
{
    static const int known[] = {
        EPERM, EIO, EBUSY, ESTALE, EFBIG, ENOSPC, EINVAL, EBADF, EOPNOTSUPP, ENXIO, ENOENT,
    };
    size_t i = 0;

    while (r < 0 && i < sizeof(known) / sizeof(known[0]) && known[i] != -r)
        i++;
    check(i < sizeof(known) / sizeof(known[0]), "%s: %lld", what, (long long)r);
}

/* Exactly 512 bytes of a file, zeros behind its end. */
static void file_sector(const char *path, uint64_t sector, uint8_t out[512])
{
    int fd = open(path, O_RDONLY);

    memset(out, 0, 512);
    check(fd >= 0 && pread(fd, out, 512, (off_t)(sector * 512)) >= 0, "%s: %m", path);
    close(fd);
}

/* What is read is the image's or the backing file's, as far as it is read. */
static void check_sector(struct world *world, uint64_t sector)
{
    uint8_t got[512], image[512], backing[512];
    ssize_t n = acow_pread(world->disk, ACOW_OWN_FD, got, sizeof(got), sector * 512);

    if (n <= 0) {
        if (!world->attacked)
            check_error(n, "read");
        return;
    }
    file_sector("d.img", sector, image);
    file_sector("d.base", sector, backing);
    check(memcmp(got, image, (size_t)n) == 0 || memcmp(got, backing, (size_t)n) == 0,
          "sector %llu is neither the image's nor the backing file's", (unsigned long long)sector);
}

static void look(struct world *world)
{
    int64_t size = acow_size(world->disk), image = file_len("d.img");
    uint64_t allocated, pending, at = 0;
    struct acow_extent extent;
    struct stat st;

    if (!world->attacked)
        check(size >= 0 && size <= (int64_t)ACOW_SIZE_MAX, "size %lld", (long long)size);
    if (!world->attacked && !world->alive && !world->looks)
        check(size == image, "size %lld, and the image's is %lld", (long long)size,
              (long long)image);
    for (uint64_t sector = 0; sector < 20; sector++)
        check_sector(world, sector);
    for (int64_t back = -2; back < 2; back++) {
        check_sector(world, (uint64_t)(image / 512 + back) % (1ull << 50));
        check_sector(world, (uint64_t)(size / 512 + back) % (1ull << 50));
    }
    check_sector(world, 32768 * (1 + input_below(world->in, 4)) - 1);
    check_sector(world, input_below(world->in, (uint64_t)image / 512 + 1));
    check(acow_fstat(world->disk, &st) == 0 && st.st_size == image);
    if (size >= 0 && size <= (int64_t)FUZZ_COUNTED
        && acow_count_allocated(world->disk, &allocated, &pending) == 0 && !world->attacked)
        check(pending <= allocated && allocated <= sectors((uint64_t)size));
    for (int i = 0; i < 30; i++) {
        int r = acow_next_extent(world->disk, at, 40 * MIB, &extent);

        if (r < 0)
            break;
        check(extent.off == at && extent.len > 0);
        at += extent.len;
    }
}

static void write_some(struct world *world)
{
    uint64_t size = (uint64_t)file_len("d.img");
    uint8_t where = input_byte(world->in) % 4;
    /* Far behind the end only if the size is not what it was: else the disk would grow so far. */
    uint64_t off = where == 1 ? input_below(world->in, 20000)
                   : where == 2 && acow_size(world->disk) > (int64_t)(128 * KIB * MIB)
                       ? input_number(world->in, 5) % (100 * KIB * MIB)
                       : input_below(world->in, size + 600);
    size_t len = 1 + input_below(world->in, 2000);
    uint8_t buf[2000], got[2000];
    ssize_t n;

    memset(buf, 0x33, sizeof(buf));
    n = acow_pwrite(world->disk, ACOW_OWN_FD, buf, len, off);
    if (n < 0) {
        check_error(n, "write");
    } else if (!world->attacked) {
        check(n > 0 && acow_pread(world->disk, ACOW_OWN_FD, got, (size_t)n, off) == n);
        assert_same(got, buf, (size_t)n, "written at %llu", (unsigned long long)off);
    }
}

static void change_size(struct world *world)
{
    static const int modes[] = {
        0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
    };
    uint64_t size = input_below(world->in, 60000);
    uint8_t how = input_byte(world->in) % 4;
    int r = how == 0 ? acow_truncate(world->disk, size)
                     : acow_fallocate(world->disk, modes[how - 1], size, 1 + how * 1000);

    if (r < 0)
        check_error(r, how ? "fallocate" : "truncate");
}

/* What is done with it: bytes up to a zero. */
static void use(struct world *world)
{
    uint8_t what;

    look(world);
    for (int i = 0; i < 16 && (what = input_byte(world->in)) != 0; i++) {
        switch (what % 8) {
        case 0:
        case 1:
            write_some(world);
            break;
        case 2:
            change_size(world);
            break;
        case 3:
            check_error(acow_flush(world->disk) ?: -EIO, "flush");
            break;
        case 4:
            check_error(acow_park(world->disk) ?: -EIO, "park");
            break;
        case 5:
            look(world);
            break;
        default:
            if (file_len(RUN) >= 0) {
                world->attacked = true;
                change(world->in, input_byte(world->in), true);
            }
        }
    }
    look(world);
}

/* Closed in good order, the disk is in its files alone. */
static void check_files(const uint8_t *want, uint64_t nsectors)
{
    uint8_t got[512];
    struct flat flat;

    check(file_len(RUN) == -1, "%s is still there", RUN);
    check(flat_open(&flat, "d.add-cow"));
    for (uint64_t sector = 0; sector < nsectors; sector++) {
        flat_read(&flat, sector, got);
        assert_same(got, want + sector * 512, 512, "closed: sector %llu",
                    (unsigned long long)sector);
    }
    flat_close(&flat);
    must_close(must_open(fuzz_sys(), "d.add-cow", ACOW_RDONLY));
}

static void open_and_use(struct world *world)
{
    static const int ways[] = {
        ACOW_RDWR, ACOW_RDONLY, ACOW_INSPECT, ACOW_RDWR | ACOW_UNSAFE,
        ACOW_RDWR | ACOW_WRITETHROUGH,
    };
    int flags = ways[input_below(world->in, 5)], r;
    struct acow_msg msg = { "" };
    uint8_t shown[40 * 512] = { 0 };
    bool empty = file_len(RUN) == 0;

    fuzz_watch(NULL);
    r = acow_open(fuzz_sys(), "d.add-cow", flags, &world->disk, &msg);
    if (r < 0) {
        check_error(r, "open");
        fuzz_check_line(msg.text, "open");
        fuzz_balanced("open");
        check(empty || file_len(RUN) >= 0, "a refused file was removed");
        return;
    }
    world->looks = flags & ACOW_INSPECT;
    use(world);
    r = (int)acow_pread(world->disk, ACOW_OWN_FD, shown, sizeof(shown), 0);
    if (r >= 0)
        r = acow_close(world->disk, &msg);
    else
        acow_close(world->disk, NULL);
    fuzz_balanced("close");
    if (r == 0 && !world->alive && !world->attacked && flags & ACOW_RDWR)
        check_files(shown, sizeof(shown) / 512);
    if (world->alive && !world->attacked)
        check(file_len(RUN) >= 0, "a file in use was removed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = { data, len };
    struct world world = { .in = &in };
    uint64_t size = disk_sizes[input_below(&in, NSIZES)];
    int holder;

    tmp_begin();
    file_pattern("d.base", 0, BACKING_SIZE, 1);
    file_pattern("d.img", 0, size < 10000 ? size : 10000, 2);
    file_size("d.img", size);
    meta_put("d.add-cow", "d.base", "d.img", "\x42\x81", 2);
    holder = make_run(&in, size);
    world.alive = holder >= 0;
    open_and_use(&world);
    if (holder >= 0)
        close(holder);
    sys_hook(NULL);
    tmp_end();
    return 0;
}
