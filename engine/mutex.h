/*
 * Robust mutexes in memory that processes share, 64-bit and 32-bit ones at once.
 *
 * Both see the layout that libc's mutex has for 64-bit programs, and those use libc's functions.
 * For a 32-bit program that layout is none of its libc's, so mutex.c has functions for it. Hence
 * the one typedef: what it stands for is another type in each.
 *
 * Results are as of the functions of pthread.h: 0 or a positive errno; after EOWNERDEAD the caller
 * has the lock.
 */
#ifndef ACOW_MUTEX_H
#define ACOW_MUTEX_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifdef __LP64__

typedef pthread_mutex_t shared_mutex;
#define mutex_trylock pthread_mutex_trylock
#define mutex_timedlock pthread_mutex_timedlock
#define mutex_consistent pthread_mutex_consistent
#define mutex_unlock pthread_mutex_unlock

#define MUTEX_WORD(mutex) ((mutex)->__data.__lock)
#define MUTEX_KIND(mutex) ((mutex)->__data.__kind)

#elif defined(__i386__)

typedef struct {
    int word;               /* thread number, FUTEX_WAITERS, FUTEX_OWNER_DIED */
    uint32_t count;
    int owner;              /* thread number, or that the data is not consistent */
    uint32_t users;
    int kind;
    uint32_t next;          /* in a 32-bit holder's robust list; else unused */
    uint64_t links[2];      /* in a 64-bit holder's */
} __attribute__((aligned(8))) shared_mutex;

int mutex_trylock(shared_mutex *mutex);
int mutex_timedlock(shared_mutex *mutex, const struct timespec *until);
int mutex_consistent(shared_mutex *mutex);
int mutex_unlock(shared_mutex *mutex);

#define MUTEX_WORD(mutex) ((mutex)->word)
#define MUTEX_KIND(mutex) ((mutex)->kind)

#else
#error "no layout of shared mutexes is known for this architecture"
#endif

_Static_assert(sizeof(shared_mutex) == 40 && sizeof(shared_mutex) % 8 == 0,
               "the layout of 64-bit programs");

/* A positive errno only for want of memory. */
int mutex_init(shared_mutex *mutex);

/* True if it is such a mutex, whatever its state. */
bool mutex_is_sound(const shared_mutex *mutex);

/* The number of the thread that holds it, or 0. */
static inline int mutex_thread(const shared_mutex *mutex)
{
    return __atomic_load_n(&MUTEX_WORD(mutex), __ATOMIC_RELAXED) & FUTEX_TID_MASK;
}

#endif
