/*
 * Two threads on one disk, through one handle or two. Each has every other stretch
 * of 300 bytes for itself, so that they meet in sectors but not in bytes, and knows at
 * every moment what its own bytes are. For the thread sanitizer above all; what a step
 * finds does not depend on who comes first, so a failure can be had again.
 *
 * Input: the shape of the disk; a byte that divides the rest between the threads; steps.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>

#include "fuzz.h"

#define STRETCH 300u
#define STRETCHES 64u           /* of each thread */
#define SIZE (2 * STRETCH * STRETCHES)

struct thread {
    pthread_t id;
    unsigned number;
    struct input in;
    struct acow_disk *disks[2];
    uint8_t *data;              /* of the whole disk; own stretches are true */
};

static uint64_t stretch_at(const struct thread *thread, uint64_t stretch)
{
    return (2 * stretch + thread->number) * STRETCH;
}

static void check_own(struct thread *thread, struct acow_disk *disk, uint64_t stretch)
{
    uint64_t off = stretch_at(thread, stretch);
    uint8_t got[STRETCH];

    must_read(disk, got, STRETCH, off);
    assert_same(got, thread->data + off, STRETCH, "thread %u, at %llu", thread->number,
                (unsigned long long)off);
}

static void write_own(struct thread *thread, struct acow_disk *disk, unsigned tag)
{
    uint64_t stretch = input_below(&thread->in, STRETCHES);
    uint64_t begin = input_below(&thread->in, STRETCH), off = stretch_at(thread, stretch) + begin;
    size_t len = 1 + input_below(&thread->in, STRETCH - begin);
    struct iovec iov[2];

    pattern(thread->data + off, off, len, tag);
    if (tag % 3 == 0) {
        iov[0] = (struct iovec){ thread->data + off, len / 2 };
        iov[1] = (struct iovec){ thread->data + off + len / 2, len - len / 2 };
        check(acow_pwritev(disk, ACOW_OWN_FD, iov, 2, off) == (ssize_t)len);
    } else {
        must_write(disk, thread->data + off, len, off);
    }
    check_own(thread, disk, stretch);
}

static void zero_own(struct thread *thread, struct acow_disk *disk)
{
    uint64_t stretch = input_below(&thread->in, STRETCHES), off = stretch_at(thread, stretch);
    int r = acow_fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, STRETCH);

    check(r == 0, "punch at %llu: %d", (unsigned long long)off, r);
    memset(thread->data + off, 0, STRETCH);
    check_own(thread, disk, stretch);
}

/* What the other one does changes this; it must only hang together. */
static void look_around(struct acow_disk *disk)
{
    struct acow_extent extent;
    uint64_t allocated, pending;
    uint8_t buf[5000];

    check(acow_count_allocated(disk, &allocated, &pending) == 0);
    check(allocated <= SIZE / 512 && pending <= allocated);
    check(acow_size(disk) == SIZE);
    must_read(disk, buf, sizeof(buf), SIZE / 2);
    for (uint64_t off = 0; off < SIZE; off += extent.len)
        check(acow_next_extent(disk, off, SIZE, &extent) == 0 && extent.off == off
              && extent.len > 0);
}

static void *run_thread(void *arg)
{
    struct thread *thread = arg;

    for (unsigned tag = 4 + thread->number; thread->in.left > 0; tag += 2) {
        uint8_t what = input_byte(&thread->in);
        struct acow_disk *disk = thread->disks[what / 16 % 2];

        switch (what % 16) {
        case 8:
        case 9:
            check_own(thread, disk, input_below(&thread->in, STRETCHES));
            break;
        case 10:
            zero_own(thread, disk);
            break;
        case 11:
            must_flush(disk);
            break;
        case 12:
            check(acow_park(disk) == 0);
            break;
        case 13:
            look_around(disk);
            break;
        case 14:
            check(acow_fallocate(disk, 0, input_below(&thread->in, SIZE), 1) == 0);
            break;
        default:
            write_own(thread, disk, tag);
        }
    }
    return NULL;
}

static void run(struct input *in, int flags, bool both)
{
    struct thread threads[2];
    struct acow_disk *disks[2];
    struct blob flat;

    disks[0] = must_open(fuzz_plain_sys(), "d.add-cow", ACOW_RDWR | flags);
    disks[1] = both ? must_open(fuzz_plain_sys(), "d.add-cow", ACOW_RDWR) : disks[0];
    flat = read_all(disks[0]);
    for (unsigned i = 0; i < 2; i++) {
        size_t part = i == 0 ? in->left * input_byte(in) / 255 : in->left;

        threads[i] = (struct thread){
            .number = i, .in = input_part(in, part), .disks = { disks[0], disks[1] },
            .data = malloc(SIZE),
        };
        memcpy(threads[i].data, flat.data, SIZE);
    }
    for (int i = 0; i < 2; i++)
        check(pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) == 0);
    for (int i = 0; i < 2; i++)
        check(pthread_join(threads[i].id, NULL) == 0);
    free(flat.data);
    must_close(disks[0]);
    if (both)
        must_close(disks[1]);
    flat = decode("d.add-cow");
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned stretch = 0; stretch < STRETCHES; stretch++) {
            uint64_t off = stretch_at(&threads[i], stretch);

            assert_same(flat.data + off, threads[i].data + off, STRETCH, "files at %llu",
                        (unsigned long long)off);
        }
        free(threads[i].data);
    }
    free(flat.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int flags[] = { 0, ACOW_WRITETHROUGH, ACOW_UNSAFE, 0 };
    struct input in = { data, len };
    uint8_t shape = input_byte(&in), bits[SIZE / 4096 + 1];
    int fds;

    tmp_begin();
    for (size_t i = 0; i < sizeof(bits); i++)
        bits[i] = shape & 1 ? input_byte(&in) : 0;
    file_pattern("d.base", 0, shape & 2 ? SIZE : SIZE / 3, 1);
    file_pattern("d.img", 0, SIZE, 2);
    meta_put("d.add-cow", "d.base", "d.img", bits, sizeof(bits));
    fds = open_fds();
    run(&in, flags[shape / 8 % 4], shape & 4);
    check(open_fds() == fds && mappings() == 0, "descriptors or mappings are left");
    tmp_end();
    return 0;
}
