/*
 * Robust mutexes for 32-bit programs, in the layout of libc's for 64-bit ones (mutex.h), and the
 * making of both.
 *
 * What a holder does is between it and the kernel (Documentation/locking/robust-futexes.rst), but for
 * `owner`, which libc keeps beside it. When a thread ends, the kernel walks its list and looks at the
 * futex that is at a fixed distance before each entry. The list is libc's; the distance of a 32-bit
 * libc, 20 bytes, falls upon a field that its 64-bit counterpart has for spinning, and leaves alone
 * in robust mutexes. Where the list is another, or the kernel gives none, the mutexes work, but a
 * thread that ends with one leaves it locked.
 *
 * System calls are made by hand: libc's syscall() is hooked.
 */
#include "mutex.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __LP64__

int mutex_init(shared_mutex *mutex)
{
    pthread_mutexattr_t attr;
    int r = pthread_mutexattr_init(&attr);

    if (r)
        return r;
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    r = pthread_mutex_init(mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    return r;
}

bool mutex_is_sound(const shared_mutex *mutex)
{
    shared_mutex ours;

    return mutex_init(&ours) == 0 && MUTEX_KIND(mutex) == MUTEX_KIND(&ours);
}

#else

#define KIND 0x90               /* libc's: robust, shared between processes */
#define INCONSISTENT INT_MAX    /* owner: took it over from a dead one */
#define LOST (INT_MAX - 1)      /* owner: that one did not make it consistent */

struct entry {
    struct entry *next;
};

struct list {
    struct entry first;
    long distance;              /* from an entry to its futex, bytes */
    struct entry *pending;      /* about to be taken, or let go of */
};

_Static_assert(offsetof(shared_mutex, owner) == 8 && offsetof(shared_mutex, kind) == 16
               && offsetof(shared_mutex, next) == 20 && offsetof(shared_mutex, links) == 24,
               "the layout of 64-bit programs");

static __thread struct list *own_list __attribute__((tls_model("initial-exec")));

static long call(long number, long a, long b, long c, long d)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

/* Where no list is, one that nobody looks at: kept, because there would be none at the next call either. */
static struct list *list(void)
{
    static __thread struct list none __attribute__((tls_model("initial-exec")));
    struct list *found = NULL;
    size_t len;

    if (own_list)
        return own_list;
    if (call(SYS_get_robust_list, 0, (long)&found, (long)&len, 0) < 0 || !found
        || found->distance != -(long)offsetof(shared_mutex, next)) {
        none.first.next = &none.first;
        found = &none;
    }
    own_list = found;
    return found;
}

static struct entry *entry_of(shared_mutex *mutex)
{
    return (struct entry *)(void *)&mutex->next;
}

static struct entry *plain(struct entry *entry)
{
    /* libc marks those of its mutexes that inherit priority in the lowest bit. */
    return (struct entry *)((uintptr_t)entry & ~(uintptr_t)1);
}

static void note_pending(struct list *list, struct entry *entry)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    *(struct entry *volatile *)&list->pending = entry;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void enlist(struct list *list, struct entry *entry)
{
    entry->next = list->first.next;
    *(struct entry *volatile *)&list->first.next = entry;
}

static void delist(struct list *list, struct entry *entry)
{
    struct entry *at = &list->first;

    while (plain(at->next) != entry && plain(at->next) != &list->first)
        at = plain(at->next);
    if (plain(at->next) == entry)
        *(struct entry *volatile *)&at->next = entry->next;
}

int mutex_init(shared_mutex *mutex)
{
    memset(mutex, 0, sizeof(*mutex));
    mutex->kind = KIND;
    return 0;
}

bool mutex_is_sound(const shared_mutex *mutex)
{
    return mutex->kind == KIND;
}

/* The call that takes a point in time has more arguments than fit the registers that are free here. */
static bool time_left(const struct timespec *until, struct timespec *left)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    left->tv_sec = until->tv_sec - now.tv_sec;
    left->tv_nsec = until->tv_nsec - now.tv_nsec;
    if (left->tv_nsec < 0) {
        left->tv_nsec += 1000000000;
        left->tv_sec--;
    }
    return left->tv_sec >= 0;
}

/* until NULL: does not wait. */
static int acquire(shared_mutex *mutex, int tid, const struct timespec *until)
{
    struct timespec left;
    int waiters = 0;

    for (;;) {
        int word = __atomic_load_n(&mutex->word, __ATOMIC_RELAXED);
        long r;

        if (!(word & FUTEX_TID_MASK)) {
            if (!__atomic_compare_exchange_n(&mutex->word, &word,
                                             tid | waiters | (word & (int)FUTEX_WAITERS), false,
                                             __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
                continue;
            return word & FUTEX_OWNER_DIED ? EOWNERDEAD : 0;
        }
        if (!until)
            return EBUSY;
        if (!(word & (int)FUTEX_WAITERS)
            && !__atomic_compare_exchange_n(&mutex->word, &word, word | (int)FUTEX_WAITERS, false,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        if (!time_left(until, &left))
            return ETIMEDOUT;
        r = call(SYS_futex, (long)&mutex->word, FUTEX_WAIT, word | (int)FUTEX_WAITERS, (long)&left);
        if (r == -ETIMEDOUT)
            continue;
        if (r < 0 && r != -EAGAIN && r != -EINTR)
            return (int)-r;
        /* Others may be waiting yet, and only this one will know. */
        waiters = (int)FUTEX_WAITERS;
    }
}

int mutex_timedlock(shared_mutex *mutex, const struct timespec *until)
{
    struct list *own = list();
    int tid = (int)call(SYS_gettid, 0, 0, 0, 0), r;

    note_pending(own, entry_of(mutex));
    r = acquire(mutex, tid, until);
    if (r == 0 && mutex->owner == LOST) {
        __atomic_exchange_n(&mutex->word, 0, __ATOMIC_RELEASE);
        call(SYS_futex, (long)&mutex->word, FUTEX_WAKE, INT_MAX, 0);
        r = ENOTRECOVERABLE;
    }
    if (r == 0 || r == EOWNERDEAD) {
        mutex->owner = r == 0 ? tid : INCONSISTENT;
        enlist(own, entry_of(mutex));
    }
    note_pending(own, NULL);
    return r;
}

int mutex_trylock(shared_mutex *mutex)
{
    return mutex_timedlock(mutex, NULL);
}

int mutex_consistent(shared_mutex *mutex)
{
    mutex->owner = mutex_thread(mutex);
    return 0;
}

int mutex_unlock(shared_mutex *mutex)
{
    struct list *own = list();
    bool lost = mutex->owner == INCONSISTENT;

    mutex->owner = lost ? LOST : 0;
    note_pending(own, entry_of(mutex));
    delist(own, entry_of(mutex));
    if (__atomic_exchange_n(&mutex->word, 0, __ATOMIC_RELEASE) & (int)FUTEX_WAITERS)
        call(SYS_futex, (long)&mutex->word, FUTEX_WAKE, lost ? INT_MAX : 1, 0);
    note_pending(own, NULL);
    return 0;
}

#endif
