/*
 * Threads on one disk, and on two handles of it. Each thread owns bytes, not
 * sectors, so that every sector is written by several at once, first allocated
 * by one of them and flushed in between: a lost update is a byte that its only
 * writer did not write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "support.h"

#define THREADS 4
#define SIZE (1 * MIB)

struct job {
    struct acow_disk *disk;
    unsigned number;
    uint64_t seed;
    uint8_t *mine;              /* what this thread's bytes must be */
    bool *stop;
};

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

static void run_threads(void *(*fn)(void *), struct job *jobs, size_t size, unsigned count)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < count; i++) {
        void *job = (char *)jobs + i * size;

        check(pthread_create(&threads[i], NULL, fn, job) == 0);
    }
    for (unsigned i = 0; i < count; i++)
        check(pthread_join(threads[i], NULL) == 0);
}

/* ---- bytes ----------------------------------------------------------------- */

/* Reads some sectors and looks at its own bytes in them. */
static void look(const struct job *job, struct rnd *rnd)
{
    uint8_t buf[4096];
    uint64_t off = rnd_below(rnd, SIZE - sizeof(buf));

    must_read(job->disk, buf, sizeof(buf), off);
    for (size_t i = 0; i < sizeof(buf); i++)
        if ((off + i) % THREADS == job->number)
            check(buf[i] == job->mine[off + i], "thread %u, byte %llu: 0x%02x, not 0x%02x",
                  job->number, (unsigned long long)(off + i), buf[i], job->mine[off + i]);
}

static void *write_bytes(void *arg)
{
    const struct job *job = arg;
    struct rnd rnd = { job->seed };

    for (unsigned i = 0; i < test_rounds(3000); i++) {
        /* Now here, now there, where the others are now as well. */
        uint64_t off = (i / 100 * 65536 + rnd_below(&rnd, 16384)) % SIZE;

        off = off / THREADS * THREADS + job->number;
        job->mine[off] = (uint8_t)rnd_next(&rnd);
        must_write(job->disk, &job->mine[off], 1, off);
        if (i % 16 == 0)
            look(job, &rnd);
        if (i % 512 == 0)
            must_flush(job->disk);
    }
    return NULL;
}

static void *flush_all_the_time(void *arg)
{
    const struct job *job = arg;

    while (!__atomic_load_n(job->stop, __ATOMIC_ACQUIRE))
        must_flush(job->disk);
    return NULL;
}

static void *park_all_the_time(void *arg)
{
    const struct job *job = arg;

    while (!__atomic_load_n(job->stop, __ATOMIC_ACQUIRE))
        check(acow_park(job->disk) == 0);
    return NULL;
}

/* Sets and clears the tail of the disk, behind what the others use. */
static void *resize_all_the_time(void *arg)
{
    const struct job *job = arg;
    struct rnd rnd = { job->seed };

    while (!__atomic_load_n(job->stop, __ATOMIC_ACQUIRE))
        check(acow_truncate(job->disk, SIZE + rnd_below(&rnd, 40 * MIB)) == 0);
    check(acow_truncate(job->disk, SIZE) == 0);
    return NULL;
}

static void share_sectors(void *(*meanwhile)(void *), int handles)
{
    struct acow_disk *disks[2];
    struct job jobs[THREADS + 1];
    pthread_t aside;
    bool stop = false;
    struct blob flat;

    for (int i = 0; i < handles; i++)
        disks[i] = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    for (unsigned i = 0; i <= THREADS; i++) {
        jobs[i] =
            (struct job){ disks[i % (unsigned)handles], i, test_seed(i + 1), malloc(SIZE), &stop };
        pattern(jobs[i].mine, 0, SIZE, 1);
    }
    check(pthread_create(&aside, NULL, meanwhile, &jobs[THREADS]) == 0);
    run_threads(write_bytes, jobs, sizeof(jobs[0]), THREADS);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    check(pthread_join(aside, NULL) == 0);
    for (int i = 0; i < handles; i++)
        must_close(disks[i]);
    flat = decode("d.add-cow");
    check(flat.len == SIZE && file_len("d.add-cow.run") == -1);
    for (size_t i = 0; i < SIZE; i++)
        check(flat.data[i] == jobs[i % THREADS].mine[i], "byte %zu: 0x%02x, not 0x%02x", i,
              flat.data[i], jobs[i % THREADS].mine[i]);
    for (unsigned i = 0; i <= THREADS; i++)
        free(jobs[i].mine);
    free(flat.data);
}

Test(thread, bytes_of_shared_sectors, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(flush_all_the_time, 1);
}

Test(thread, two_handles, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(flush_all_the_time, 2);
}

Test(thread, while_parking, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(park_all_the_time, 1);
}

Test(thread, two_handles_while_parking, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(park_all_the_time, 2);
}

Test(thread, while_resizing, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(resize_all_the_time, 2);
}

/* ---- flushing while bits are set -------------------------------------------------- */

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

/* With syncs that cost nothing a flush is over and begins again all the time. */
Test(thread, first_writes_while_flushing, .init = begin, .fini = tmp_end, .timeout = 120)
{
    struct acow_sys sys = acow_sys_libc;
    struct job job = { .stop = &(bool){ false } };
    const uint64_t count = test_rounds(15000);
    pthread_t aside;

    sys.fdatasync = no_sync;
    check(truncate("d.img", (off_t)(count * 512)) == 0);
    job.disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
    check(pthread_create(&aside, NULL, flush_all_the_time, &job) == 0);
    for (uint64_t sector = 0; sector < count; sector++) {
        uint64_t written = ~sector, back = 0;

        must_write(job.disk, &written, sizeof(written), sector * 512);
        must_read(job.disk, &back, sizeof(back), sector * 512);
        check(back == written, "sector %llu", (unsigned long long)sector);
    }
    __atomic_store_n(job.stop, true, __ATOMIC_RELEASE);
    check(pthread_join(aside, NULL) == 0);
    must_close(job.disk);
}

/* Each write lies so far on that the metadata file must become longer for its bit. */
Test(thread, growing_while_flushing, .init = begin, .fini = tmp_end, .timeout = 120)
{
    struct acow_sys sys = acow_sys_libc;
    struct job job = { .stop = &(bool){ false } };
    pthread_t aside;

    sys.fdatasync = no_sync;
    job.disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
    check(pthread_create(&aside, NULL, flush_all_the_time, &job) == 0);
    for (uint64_t i = 1; i <= test_rounds(200); i++) {
        uint64_t back = 0;

        must_write(job.disk, &i, sizeof(i), i * 17 * MIB);
        must_read(job.disk, &back, sizeof(back), i * 17 * MIB);
        check(back == i, "write %llu", (unsigned long long)i);
    }
    __atomic_store_n(job.stop, true, __ATOMIC_RELEASE);
    check(pthread_join(aside, NULL) == 0);
    must_close(job.disk);
}

/* ---- appending ---------------------------------------------------------------- */

struct record {
    uint32_t magic, thread, number, len;
};

#define RECORD_MAGIC 0x5ec04d00u
#define RECORDS 120u

static size_t record_len(unsigned thread, unsigned number)
{
    return sizeof(struct record) + (thread * 7919 + number * 104729) % 1500;
}

static void *append_records(void *arg)
{
    const struct job *job = arg;
    uint8_t buf[2048];

    for (unsigned i = 0; i < RECORDS; i++) {
        size_t len = record_len(job->number, i);
        struct record record = { RECORD_MAGIC, job->number, i, (uint32_t)len };
        struct iovec iov[2] = {
            { &record, sizeof(record) }, { buf + sizeof(record), len - sizeof(record) },
        };
        uint64_t end;

        pattern(buf, 0, sizeof(buf), i);
        check(acow_append(job->disk, ACOW_OWN_FD, iov, 2, &end) == (ssize_t)len);
        check((uint64_t)acow_size(job->disk) >= end);
        must_read(job->disk, buf, len, end - len);
        check(memcmp(buf, &record, sizeof(record)) == 0, "not where it said that it is");
    }
    return NULL;
}

Test(thread, appended_records_are_whole, .init = begin, .fini = tmp_end, .timeout = 120)
{
    struct acow_disk *disks[2];
    struct job jobs[THREADS];
    unsigned next[THREADS] = { 0 };
    struct blob flat;
    size_t at = 1000;

    /* It grows over its backing file, out of the middle of a sector. */
    check(truncate("d.img", 1000) == 0);
    for (int i = 0; i < 2; i++)
        disks[i] = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i] = (struct job){ .disk = disks[i % 2], .number = i };
    run_threads(append_records, jobs, sizeof(jobs[0]), THREADS);
    must_close(disks[0]);
    must_close(disks[1]);
    flat = decode("d.add-cow");
    while (at < flat.len) {
        struct record record;
        uint8_t want[2048];

        memcpy(&record, flat.data + at, sizeof(record));
        check(record.magic == RECORD_MAGIC && record.thread < THREADS, "at %zu", at);
        check(record.number == next[record.thread]++, "at %zu", at);
        check(record.len == record_len(record.thread, record.number), "at %zu", at);
        pattern(want, 0, sizeof(want), record.number);
        assert_same(flat.data + at + sizeof(record), want + sizeof(record),
                    record.len - sizeof(record), "record at %zu", at);
        at += record.len;
    }
    for (unsigned i = 0; i < THREADS; i++)
        check(next[i] == RECORDS);
    free(flat.data);
}

/* ---- discarding --------------------------------------------------------------- */

/* Each owns a stretch that ends within a sector, in which the next one's begins. */
static void *discard_own(void *arg)
{
    const struct job *job = arg;
    struct rnd rnd = { job->seed };
    uint64_t from = job->number * 50001, end = from + 50001;

    for (unsigned i = 0; i < test_rounds(300); i++) {
        uint64_t off =
            rnd_percent(&rnd, 50) ? from + rnd_below(&rnd, 40000) : end - 1 - rnd_below(&rnd, 700);
        uint64_t len = 1 + rnd_below(&rnd, end - off);

        if (rnd_percent(&rnd, 50)) {
            rnd_fill(&rnd, job->mine + off, len);
            must_write(job->disk, job->mine + off, len, off);
        } else {
            memset(job->mine + off, 0, len);
            check(acow_fallocate(job->disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len)
                  == 0);
        }
    }
    return NULL;
}

Test(thread, discards_keep_to_their_bytes, .init = begin, .fini = tmp_end, .timeout = 120)
{
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    uint8_t *mine = malloc(SIZE);
    struct job jobs[THREADS];
    struct blob flat;

    pattern(mine, 0, SIZE, 1);
    for (unsigned i = 0; i < THREADS; i++)
        jobs[i] = (struct job){ disk, i, test_seed(i + 1), mine, NULL };
    run_threads(discard_own, jobs, sizeof(jobs[0]), THREADS);
    must_close(disk);
    flat = decode("d.add-cow");
    assert_same(flat.data, mine, SIZE, "in the end");
    free(flat.data);
    free(mine);
}

/* ---- copying up ----------------------------------------------------------------- */

static void *copy_up_all_the_time(void *arg)
{
    const struct job *job = arg;
    struct rnd rnd = { job->seed };

    while (!__atomic_load_n(job->stop, __ATOMIC_ACQUIRE))
        check(acow_copy_up(job->disk, rnd_below(&rnd, SIZE), 1 + rnd_below(&rnd, 20000)) == 0);
    return NULL;
}

Test(thread, share_sectors_that_are_copied_up, .init = begin, .fini = tmp_end, .timeout = 120)
{
    share_sectors(copy_up_all_the_time, 2);
}
