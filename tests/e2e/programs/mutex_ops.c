/*
 * A shared mutex (engine/mutex.h) between 32-bit and 64-bit programs: `mutex_ops MODE FILE`. Linked with
 * engine/mutex.c.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mutex.h"
#include "ops.h"

struct page {
    shared_mutex mutex;
    uint32_t count, ready;
};

static struct page *page_of(const char *path)
{
    int fd = must_open(path, O_RDWR | O_CREAT);
    struct page *page = MAP_FAILED;

    if (ftruncate(fd, 4096) == 0)
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        exit(1);
    return page;
}

static int lock(struct page *page)
{
    struct timespec until;
    int r = mutex_trylock(&page->mutex);

    if (r != EBUSY)
        return r;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    return mutex_timedlock(&page->mutex, &until);
}

static void do_make(const char *path)
{
    struct page *page = page_of(path);

    said("init", mutex_init(&page->mutex));
    page->count = page->ready = 0;
}

/* Others of the kind are at it. */
static void do_count(const char *path)
{
    struct page *page = page_of(path);

    __atomic_fetch_add(&page->ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&page->ready, __ATOMIC_SEQ_CST) < 2)
        sched_yield();
    for (int i = 0; i < 3000; i++) {
        int r = lock(page);
        uint32_t seen = *(volatile uint32_t *)&page->count;

        if (r)
            printf("lock: %s\n", strerror(r));
        if (i % 64 == 0)
            sched_yield();
        *(volatile uint32_t *)&page->count = seen + 1;
        mutex_unlock(&page->mutex);
    }
}

static void do_total(const char *path)
{
    struct page *page = page_of(path);

    printf("%u\n", page->count);
    page->ready = 0;
}

/* Ends with the lock. */
static void do_die(const char *path)
{
    struct page *page = page_of(path);

    printf("lock: %s\n", strerror(lock(page)));
    fflush(stdout);
    _exit(0);
}

static void do_mend(const char *path)
{
    struct page *page = page_of(path);
    int r = lock(page);

    printf("sound %d, lock: %s\n", mutex_is_sound(&page->mutex), strerror(r));
    if (r == EOWNERDEAD)
        mutex_consistent(&page->mutex);
    printf("mine %d\n", mutex_thread(&page->mutex) == gettid());
    mutex_unlock(&page->mutex);
    printf("free %d\n", mutex_thread(&page->mutex) == 0);
}

/* Takes it over from a dead one, and says nothing of having made it consistent. */
static void do_lose(const char *path)
{
    struct page *page = page_of(path);
    int r = lock(page);

    printf("lock: %s\n", strerror(r));
    if (r == 0 || r == EOWNERDEAD)
        mutex_unlock(&page->mutex);
}

/* A mutex of the program's own is in the same list of the thread's. */
static void do_beside(const char *path)
{
    struct page *page = page_of(path);
    pthread_mutex_t *own = (void *)((char *)page + 1024);
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(own, &attr);
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(own);
        mutex_trylock(&page->mutex);
        if (i & 1)
            pthread_mutex_unlock(own);
        mutex_unlock(&page->mutex);
        if (!(i & 1))
            pthread_mutex_unlock(own);
    }
    if (fork() == 0) {
        mutex_trylock(&page->mutex);
        pthread_mutex_lock(own);
        _exit(0);
    }
    wait(NULL);
    printf("own: %s\n", strerror(pthread_mutex_lock(own)));
    printf("shared: %s\n", strerror(mutex_trylock(&page->mutex)));
    mutex_consistent(&page->mutex);
    mutex_unlock(&page->mutex);
}

static const struct mode modes[] = {
    { "make", do_make }, { "count", do_count }, { "total", do_total }, { "die", do_die },
    { "mend", do_mend }, { "lose", do_lose }, { "beside", do_beside },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
