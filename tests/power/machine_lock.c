/*
 * A list, in no order. A new lock takes the place of what its holder had in its range.
 */
#include "machine_lock.h"

#include <errno.h>
#include <unistd.h>

static void drop(struct machine_locks *locks, int at)
{
    locks->held[at] = locks->held[--locks->count];
}

static void add(struct machine_locks *locks, struct machine_lock lock)
{
    if (lock.from >= lock.end)
        return;
    if (locks->count == MACHINE_LOCKS)
        fatal("more than %d locks on one file", MACHINE_LOCKS);
    locks->held[locks->count++] = lock;
}

static const struct machine_lock *conflict(const struct machine_locks *locks,
                                           const struct machine_lock *wanted)
{
    for (int i = 0; i < locks->count; i++) {
        const struct machine_lock *other = &locks->held[i];

        if (other->holder != wanted->holder && other->from < wanted->end
            && wanted->from < other->end && (other->type == F_WRLCK || wanted->type == F_WRLCK))
            return other;
    }
    return NULL;
}

static void set(struct machine_locks *locks, const struct machine_lock *wanted)
{
    for (int i = locks->count - 1; i >= 0; i--) {
        struct machine_lock old = locks->held[i];

        if (old.holder != wanted->holder || old.from >= wanted->end || wanted->from >= old.end)
            continue;
        drop(locks, i);
        add(locks, (struct machine_lock){ old.holder, old.type, old.from, wanted->from });
        add(locks, (struct machine_lock){ old.holder, old.type, wanted->end, old.end });
    }
    if (wanted->type != F_UNLCK)
        add(locks, *wanted);
}

int machine_lock(struct machine_locks *locks, const void *holder, int cmd, struct flock *fl)
{
    struct machine_lock wanted = {
        holder, fl->l_type, fl->l_start, fl->l_len ? fl->l_start + fl->l_len : INT64_MAX,
    };
    const struct machine_lock *other = fl->l_type == F_UNLCK ? NULL : conflict(locks, &wanted);

    if (fl->l_whence != SEEK_SET)
        return -EINVAL;
    if (cmd == F_OFD_GETLK) {
        fl->l_type = F_UNLCK;
        if (other) {
            fl->l_type = (short)other->type;
            fl->l_start = other->from;
            fl->l_len = other->end == INT64_MAX ? 0 : other->end - other->from;
            fl->l_pid = -1;
        }
        return 0;
    }
    if (other && cmd == F_OFD_SETLKW)
        fatal("a lock is waited for that nobody will give up");
    if (other)
        return -EAGAIN;
    set(locks, &wanted);
    return 0;
}

void machine_unlock_all(struct machine_locks *locks, const void *holder)
{
    for (int i = locks->count - 1; i >= 0; i--)
        if (locks->held[i].holder == holder)
            drop(locks, i);
}
