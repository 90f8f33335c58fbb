/* Waiting, but not for ever; see wait.h. */
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "lock.h"
#include "msg.h"

#define LOOK_MS 100             /* how often to see whether the holder is stopped */

unsigned wait_patience = 10000;

/* One wait: how long its holder has been seen stopped. */
struct patience {
    unsigned stopped_ms;
};

/* One that has signed in: of these, other users' processes can be seen too. */
static bool find_stopped_holder(const struct region *region, const struct acow_sys *sys,
                                struct holder *out)
{
    for (int i = 0; i < REGION_HOLDERS; i++) {
        struct region_holder holder = region->holders[i];

        if (holder.pid && holder_process(sys, holder.pid, out) == 0 && out->stopped
            && out->start == holder.start)
            return true;
    }
    return false;
}

/* A process that has a lock of the run-time file and is stopped, if there is one. */
static bool find_stopped(struct acow_disk *disk, enum lock_byte byte, struct holder *out)
{
    struct holder holders[64];
    int count = holder_find(disk->sys, disk->run_fd, LOCK_BASE + byte, 1, holders, 64);

    for (int i = 0; i < count; i++) {
        if (holders[i].stopped) {
            *out = holders[i];
            return true;
        }
    }
    return false;
}

/* Called once each LOOK_MS. */
static int grow_impatient(struct acow_disk *disk, struct patience *patience, bool stopped,
                          const struct holder *holder)
{
    char who[HOLDER_TEXT];

    patience->stopped_ms = stopped ? patience->stopped_ms + LOOK_MS : 0;
    if (patience->stopped_ms <= wait_patience)
        return 0;
    msg_log(disk->sys, "%s: a lock that is needed is held by %s; continue or end it",
            disk->meta_path, holder_text(holder, 1, who));
    return -ETIMEDOUT;
}

/*
 * A thread number means something in its own process number namespace only, and may be another's
 * here: so one of those who take part must be stopped too. A region in memory has
 * no such lock, and is shared within one family of processes.
 */
static bool owner_is_stopped(struct acow_disk *disk, shared_mutex *lock, struct holder *owner)
{
    struct holder process;

    if (holder_process(disk->sys, mutex_thread(lock), owner) < 0 || !owner->stopped)
        return false;
    if (disk->role != ROLE_MEMBER)
        return true;
    if (!find_stopped_holder(__atomic_load_n(&disk->att, __ATOMIC_ACQUIRE)->region, disk->sys,
                             &process)
        && !find_stopped(disk, REGION_LIVE, &process))
        return false;
    *owner = process;
    return true;
}

static struct timespec from_now(unsigned ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += (long)ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

int wait_mutex(struct acow_disk *disk, shared_mutex *lock, bool holding)
{
    struct patience patience = { 0 };
    struct holder owner;
    int r;

    if (holding && mutex_thread(lock) == gettid()) {
        msg_log(disk->sys, "%s: a signal handler came upon a write to the same place of this disk, and cannot "
                "wait for it: it gets EDEADLK", disk->meta_path);
        return -EDEADLK;
    }
    for (;;) {
        struct timespec until = from_now(LOOK_MS);

        r = mutex_timedlock(lock, &until);
        if (r != ETIMEDOUT)
            return r;
        r = grow_impatient(disk, &patience, owner_is_stopped(disk, lock, &owner), &owner);
        if (r < 0)
            return r;
    }
}

int wait_attach(struct acow_disk *disk)
{
    struct patience patience = { 0 };
    struct holder owner;
    unsigned slept_us = 0, step_us = 100;

    for (;;) {
        int r = lock_set(disk->sys, disk->run_fd, F_WRLCK, REGION_ATTACH);

        if (r != -EAGAIN)
            return r;
        nanosleep(&(struct timespec){ .tv_nsec = step_us * 1000l }, NULL);
        slept_us += step_us;
        if (step_us < 10000)
            step_us *= 2;
        if (slept_us < LOOK_MS * 1000)
            continue;
        slept_us = 0;
        r = grow_impatient(disk, &patience, find_stopped(disk, REGION_ATTACH, &owner), &owner);
        if (r < 0)
            return r;
    }
}
