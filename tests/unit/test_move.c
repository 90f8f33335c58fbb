/*
 * Writing by a call of the caller's: what that one puts into the image is what the disk then has, however
 * much it is, and nothing else changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "model.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)
#define BACKING 90001
#define CAP (256 * KIB)

static struct acow_disk *disk;
static struct model model;

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE - 7, BACKING);
    model_load(&model, "d.add-cow", CAP, BACKING);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
}

static void end(void)
{
    model_free(&model);
    tmp_end();
}

/* Puts `most` of the bytes there, or fails. */
struct mover {
    uint8_t *from;
    ssize_t most;               /* or a negative errno */
    size_t len;                 /* that it was called with */
    unsigned calls;
};

static ssize_t move(void *arg, int fd, size_t len, uint64_t off)
{
    struct mover *mover = arg;

    mover->calls++;
    mover->len = len;
    if (mover->most < 0)
        return mover->most;
    return pwrite(fd, mover->from, (size_t)mover->most < len ? (size_t)mover->most : len, (off_t)off);
}

/* What the model then has, by as many calls as that takes, is what is read. */
Test(move, is_a_write, .init = begin, .fini = end)
{
    struct rnd rnd = { test_seed(1) };
    uint8_t *bytes = malloc(CAP);
    struct acow_disk *other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);

    for (unsigned i = 0; i < test_rounds(300); i++) {
        uint64_t size = model.size, off = rnd_below(&rnd, size + (i % 5 ? 0 : 3000));
        size_t want = 1 + rnd_below(&rnd, 9000), ask;
        struct mover mover = { bytes, (ssize_t)rnd_below(&rnd, 12000), 0, 0 };
        ssize_t n;

        if (rnd_percent(&rnd, 10))
            off = size;
        if (off + want > CAP)
            continue;
        if (rnd_percent(&rnd, 20))
            mover.most = -EAGAIN;
        rnd_fill(&rnd, bytes, want);
        ask = off < size && want > size - off ? size - off : want;
        n = acow_move_in(disk, ACOW_OWN_FD, want, off, move, &mover);
        check(mover.calls == 1 && mover.len == ask, "%u calls, of %zu", mover.calls, mover.len);
        check(n == (mover.most < (ssize_t)ask ? mover.most : (ssize_t)ask), "%zd", n);
        model_move(&model, bytes, n < 0 ? 0 : (size_t)n, ask, off);
        check((uint64_t)acow_size(disk) == model.size);
        if (i % 10 == 0)
            model_check_disk(&model, other, "another's");
    }
    model_check_disk(&model, disk, "in the end");
    must_close(other);
    must_close(disk);
    free(bytes);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
    model_check_disk(&model, disk, "opened again");
    must_close(disk);
}

/* Nothing has moved, and the disk has what it had, but for bits; later growth does not bring back what is below. */
Test(move, that_fails_changes_nothing, .init = begin, .fini = end)
{
    struct mover mover = { NULL, -EIO, 0, 0 };

    check(acow_move_in(disk, ACOW_OWN_FD, 5000, 1000, move, &mover) == -EIO);
    check(acow_move_in(disk, ACOW_OWN_FD, 5000, SIZE + 100, move, &mover) == -EIO);
    check(acow_size(disk) == SIZE - 7);
    model_move(&model, NULL, 0, 5000, 1000);
    model_copy_up(&model, SIZE - 8, 1);
    model_check_disk(&model, disk, "failed");
    check(acow_truncate(disk, SIZE + 3000) == 0);
    model_truncate(&model, SIZE + 3000);
    model_check_disk(&model, disk, "grown");
    must_close(disk);
}

/* What is below ends in the same sector as the disk. */
Test(move, from_a_cut_sector_on, .init = tmp_begin, .fini = end)
{
    uint8_t bytes[1000] = "m";
    struct mover mover = { bytes, 700, 0, 0 };

    usual_disk(1000, 900);
    model_load(&model, "d.add-cow", CAP, 900);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check(acow_move_in(disk, ACOW_OWN_FD, sizeof(bytes), 1010, move, &mover) == 700);
    model_move(&model, bytes, 700, sizeof(bytes), 1010);
    model_check_disk(&model, disk, "grown");
    must_close(disk);
}

Test(move, arguments, .init = begin, .fini = end)
{
    uint8_t byte = 'm';
    struct mover mover = { &byte, 1, 0, 0 };
    struct acow_disk *reader = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);

    check(acow_move_in(reader, ACOW_OWN_FD, 1, 0, move, &mover) == -EBADF);
    check(acow_move_in(disk, ACOW_OWN_FD, 1, UINT64_MAX, move, &mover) == -EINVAL);
    check(acow_move_in(disk, ACOW_OWN_FD, (size_t)SSIZE_MAX + 1, 0, move, &mover) == -EINVAL);
    check(acow_move_in(disk, ACOW_OWN_FD, 1, ACOW_SIZE_MAX, move, &mover) == -EFBIG);
    check(acow_move_in(disk, ACOW_OWN_FD, 0, 0, move, &mover) == 0);
    check(mover.calls == 0);
    must_close(reader);
    must_close(disk);
}

/* The disk is cut shorter when the range is there already, by another thread, say. */
static ssize_t cut_and_move(void *arg, int fd, size_t len, uint64_t off)
{
    check(acow_truncate(disk, 1000) == 0);
    return move(arg, fd, len, off);
}

Test(move, follows_a_truncation, .init = begin, .fini = end)
{
    uint8_t bytes[3000];
    struct mover mover = { bytes, sizeof(bytes), 0, 0 };

    memset(bytes, 'm', sizeof(bytes));
    check(acow_move_in(disk, ACOW_OWN_FD, sizeof(bytes), 20000, cut_and_move, &mover) == sizeof(bytes));
    model_truncate(&model, 1000);
    model_move(&model, bytes, sizeof(bytes), sizeof(bytes), 20000);
    check(acow_size(disk) == 23000);
    model_check_disk(&model, disk, "cut");
    must_close(disk);
}

static int syncs;

static int count(struct sys_call *call)
{
    syncs += call_is(call, SYS_FDATASYNC, "d.img");
    return 0;
}

/* Durable when it returns, where that is wanted; what did not move needs nothing. */
Test(move, through, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = count };
    uint8_t bytes[3000] = "m";
    struct mover mover = { bytes, sizeof(bytes), 0, 0 };

    must_close(disk);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR | ACOW_WRITETHROUGH);
    sys_hook(&hook);
    check(acow_move_in(disk, ACOW_OWN_FD, sizeof(bytes), 5000, move, &mover) == sizeof(bytes));
    check(syncs == 1);
    sys_hook(NULL);
    must_close(disk);
}
