/*
 * io_uring without liburing: its system calls by number, and a queue of the program's own making,
 * whose entries are filled once and then only changed where they must be. `uring_raw MODE FILE`.
 * With BY_NAME the calls are by the names that liburing has for them (uring_names).
 */
#define _GNU_SOURCE
#ifdef BY_NAME
#include <liburing.h>
#else
#include <linux/io_uring.h>
#endif
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops.h"

#define ENTRIES 16
#define PIECE 4000

static struct io_uring_params params;
static int ring;
static char *queue, *completions;
static struct io_uring_sqe *sqes;
static char pieces[ENTRIES][PIECE];

#ifdef BY_NAME
static int result(int r)
{
    if (r >= 0)
        return r;
    errno = -r;
    return -1;
}

static int setup(unsigned count)
{
    return result(io_uring_setup(count, &params));
}

/* By the one or the other. */
static int enter(int fd, unsigned count, unsigned wait, unsigned flags)
{
    return result(count % 2 ? io_uring_enter((unsigned)fd, count, wait, flags, NULL)
                            : io_uring_enter2((unsigned)fd, count, wait, flags, NULL, 0));
}

static int registers(unsigned op, void *arg, unsigned count)
{
    return result(io_uring_register((unsigned)ring, op, arg, count));
}
#else
static int setup(unsigned count)
{
    return (int)syscall(SYS_io_uring_setup, count, &params);
}

static int enter(int fd, unsigned count, unsigned wait, unsigned flags)
{
    return (int)syscall(SYS_io_uring_enter, fd, count, wait, flags, NULL, 0);
}

static int registers(unsigned op, void *arg, unsigned count)
{
    return (int)syscall(SYS_io_uring_register, ring, op, arg, count);
}
#endif

#define AT(base, offset) ((unsigned *)(void *)((base) + (offset)))

static void begin(bool array_last)
{
    alarm(30);
    params = (struct io_uring_params){ 0 };
    ring = setup(ENTRIES);
    if (ring < 0) {
        perror("io_uring_setup");
        exit(1);
    }
    if (array_last)
        sqes = mmap(NULL, ENTRIES * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                    IORING_OFF_SQES);
    queue = mmap(NULL, params.sq_off.array + ENTRIES * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                 IORING_OFF_SQ_RING);
    completions = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
                       PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
    if (!array_last)
        sqes = (void *)syscall(SYS_mmap, NULL, ENTRIES * sizeof(*sqes), PROT_READ | PROT_WRITE,
                               MAP_SHARED, ring, IORING_OFF_SQES);
    /* From the last to the first. */
    for (unsigned i = 0; i < ENTRIES; i++)
        AT(queue, params.sq_off.array)[i] = ENTRIES - 1 - i;
}

/* The next `count` entries of the array. */
static void run(const char *what, unsigned count, unsigned wait)
{
    unsigned *tail = AT(queue, params.sq_off.tail), *head = AT(completions, params.cq_off.head);
    struct io_uring_cqe *cqes = (void *)(completions + params.cq_off.cqes), sorted[ENTRIES] = { 0 };

    __atomic_store_n(tail, *tail + count, __ATOMIC_RELEASE);
    said(what, enter(ring, count, wait, wait ? IORING_ENTER_GETEVENTS : 0));
    while (__atomic_load_n(AT(completions, params.cq_off.tail), __ATOMIC_ACQUIRE) - *head < count)
        enter(ring, 0, 1, IORING_ENTER_GETEVENTS);
    for (unsigned i = 0; i < count; i++, (*head)++) {
        struct io_uring_cqe cqe = cqes[*head & (params.cq_entries - 1)];

        sorted[cqe.user_data % ENTRIES] = cqe;
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        if (sorted[i].user_data)
            printf("  %llu: %d %08x\n", sorted[i].user_data, sorted[i].res, sum(pieces[i], PIECE));
}

static void fill(int fd, int flags)
{
    for (int i = 0; i < ENTRIES; i++) {
        memset(pieces[i], 'a' + i, PIECE);
        sqes[i] = (struct io_uring_sqe){ .opcode = i % 4 == 1 ? IORING_OP_READ : IORING_OP_WRITE,
                                         .fd = fd, .flags = (uint8_t)flags,
                                         .addr = (uintptr_t)pieces[i], .len = PIECE,
                                         .off = (uint64_t)i * 5000, .user_data = 16 + (uint64_t)i };
    }
}

static void rounds(void)
{
    run("part", 5, 0);
    for (int round = 0; round < 4; round++) {
        run("round", ENTRIES, round % 2 ? ENTRIES : 0);
        for (int i = 0; i < ENTRIES; i++) {
            sqes[i].off += 2500;
            pieces[i][round] = 'R';
        }
    }
    sqes[0].opcode = sqes[ENTRIES - 1].opcode = IORING_OP_FSYNC;
    sqes[0].addr = sqes[ENTRIES - 1].addr = sqes[0].len = sqes[ENTRIES - 1].len = 0;
    sqes[0].off = sqes[ENTRIES - 1].off = 0;
    run("sync", ENTRIES, 1);
}

static void do_basic(const char *path)
{
    int fd = must_open(path, O_RDWR);

    begin(false);
    fill(fd, 0);
    rounds();
    close(ring);
    begin(true);
    fill(fd, 0);
    rounds();
    said("nothing", enter(ring, 0, 0, 0));
    said("a file", enter(fd, 0, 0, 0));
}

static void do_fixed(const char *path)
{
    int fd = must_open(path, O_RDWR), none = -1;
    struct io_uring_files_update update = { .offset = 0, .fds = (uintptr_t)&none };
    struct io_uring_rsrc_update2 more = { .offset = 0, .data = (uintptr_t)&fd, .nr = 1 };

    begin(false);
    said("register", registers(IORING_REGISTER_FILES, &fd, 1));
    fill(0, IOSQE_FIXED_FILE);
    rounds();
    said("update", registers(IORING_REGISTER_FILES_UPDATE, &update, 1));
    run("none", ENTRIES, ENTRIES);
    said("update", registers(IORING_REGISTER_FILES_UPDATE2, &more, sizeof(more)));
    close(fd);
    run("again", ENTRIES, ENTRIES);
    said("unregister", registers(IORING_UNREGISTER_FILES, NULL, 0));
    run("none", ENTRIES, ENTRIES);
}

static const struct mode modes[] = { { "basic", do_basic }, { "fixed", do_fixed } };

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
