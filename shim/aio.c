/*
 * POSIX AIO on disks. libc's own runs on threads within libc, past every hook, so requests on
 * a disk are done by threads of ours, in libc's way: requests on one descriptor number
 * one after the other, as they came, which keeps O_APPEND in order and puts an aio_fsync behind
 * what was begun before it; a thread for each number in use, up to a limit; one that has nothing to
 * do for a second ends. Their signals are all blocked.
 *
 * The state of a request is in the fields of the aiocb that libc keeps it in, so libc's
 * aio_error and aio_return serve both kinds. aio_suspend and aio_cancel look requests up, and
 * need ours. A request may outlive its descriptor: it holds the ofd.
 *
 * Who waits sleeps on a count of the requests that are done, by futex(2), because
 * aio_suspend must return when a signal comes, and condition variables do not.
 */
#include "aio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "aio_done.h"
#include "fdtable.h"
#include "process.h"
#include "real.h"
#include "trace.h"

#define THREADS 20              /* libc's default */
#define PRIO_MAX_DELTA 20       /* libc's AIO_PRIO_DELTA_MAX */
#define NSEC 1000000000l
#define LOOK_AGAIN (2 * NSEC / 1000)

struct request {
    struct aiocb *cb;           /* the program may free it as soon as it is done */
    struct ofd *ofd;
    int fd, op;
    void *buf;
    size_t len;
    int64_t off;
    struct sigevent sig;
    struct aio_group *group;
    struct request *next;
};

/* The requests of one descriptor number. While it is busy the first one is being done. */
struct lane {
    int fd;
    bool busy;
    struct request *first, **end;
    struct lane *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;       /* over all of these */
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static struct lane *lanes;
static int threads, idle;
static bool held;               /* nothing more is to be begun */

/* process_enter: a signal handler that interrupts this, and ends the process, cannot have the lock. */
static void take(void)
{
    process_enter();
    pthread_mutex_lock(&lock);
}

static void give(void)
{
    pthread_mutex_unlock(&lock);
    process_leave();
}

bool aio_any(void)
{
    return __atomic_load_n(&lanes, __ATOMIC_RELAXED) != NULL;
}

/* The caller holds the lock. */
static void set_result(struct aiocb *cb, ssize_t result)
{
    cb->__return_value = result < 0 ? -1 : result;
    __atomic_store_n(&cb->__error_code, result < 0 ? (int)-result : 0, __ATOMIC_RELEASE);
}

static void tell(struct request *req, bool failed)
{
    aio_done(&req->sig, req->group, failed);
    free(req);
}

/* ---- doing it ------------------------------------------------------------ */

/* One of a list in which there is a disk too. */
static ssize_t perform_native(const struct request *req)
{
    ssize_t n = -1;

    errno = EINVAL;
    if (req->op == LIO_READ) {
        n = REAL(pread64)(req->fd, req->buf, req->len, req->off);
        if (n < 0 && errno == ESPIPE)
            n = REAL(read)(req->fd, req->buf, req->len);
    } else if (req->op == LIO_WRITE) {
        n = REAL(pwrite64)(req->fd, req->buf, req->len, req->off);
        if (n < 0 && errno == ESPIPE)
            n = REAL(write)(req->fd, req->buf, req->len);
    }
    return n < 0 ? -errno : n;
}

static ssize_t perform(const struct request *req)
{
    struct iovec iov = { req->buf, req->len };
    ssize_t n = -EINVAL;

    if (!req->ofd)
        return perform_native(req);
    switch (req->op) {
    case LIO_READ:
        n = ofd_preadv(req->ofd, &iov, 1, req->off);
        break;
    case LIO_WRITE:
        n = ofd_pwritev(req->ofd, &iov, 1, req->off, 0);
        break;
    case O_SYNC:
    case O_DSYNC:
        n = ofd_flush(req->ofd);
        break;
    }
    if (__builtin_expect(req->ofd->traced, 0))
        trace_call(req->ofd, req->fd, n, req->op == LIO_READ ? "aio_read" :
                   req->op == LIO_WRITE ? "aio_write" : "aio_fsync", "%zu, %lld", req->len,
                   (long long)req->off);
    return n;
}

static struct lane *find_lane(int fd)
{
    struct lane *lane = lanes;

    while (lane && lane->fd != fd)
        lane = lane->next;
    return lane;
}

static void end_lane_if_empty(struct lane *lane)
{
    struct lane **at = &lanes;

    if (lane->first)
        return;
    while (*at != lane)
        at = &(*at)->next;
    __atomic_store_n(at, lane->next, __ATOMIC_RELAXED);
    free(lane);
}

/* The first of the lane. The lock is held before and after, but not meanwhile. */
static void do_first(struct lane *lane)
{
    struct request *req = lane->first;
    struct ofd *ofd = req->ofd;
    ssize_t result;

    lane->busy = true;
    give();
    result = perform(req);
    take();
    req->ofd = NULL;
    give();
    if (ofd)
        fdtable_put(ofd);
    take();
    set_result(req->cb, result);
    lane->busy = false;
    lane->first = req->next;
    if (!lane->first)
        lane->end = &lane->first;
    end_lane_if_empty(lane);
    give();
    tell(req, result < 0);
    take();
}

/* The first lane from here on that nobody serves. */
static struct lane *waiting(struct lane *lane)
{
    while (lane && lane->busy)
        lane = lane->next;
    return lane;
}

static void *serve(void *arg)
{
    bool bored = false;

    take();
    for (;;) {
        struct lane *lane = held ? NULL : waiting(lanes);
        struct timespec until;

        if (lane) {
            do_first(lane);
            bored = false;
            continue;
        }
        if (bored)
            break;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        idle++;
        bored = pthread_cond_timedwait(&work, &lock, &until) == ETIMEDOUT;
        idle--;
    }
    threads--;
    give();
    return arg;
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* The lock is held. */
static int start_thread(void)
{
    static bool prepared;
    pthread_attr_t attr;
    sigset_t every, old;
    pthread_t thread;
    int r;

    if (!prepared) {
        pthread_atfork(before_fork, after_fork_in_parent, NULL);
        prepared = true;
    }
    sigfillset(&every);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &every, &old);
    r = pthread_create(&thread, &attr, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r == 0)
        threads++;
    return r;
}

/* Makes sure that one more lane finds a thread, at least some time. */
static int provide_thread(void)
{
    int left = idle;

    for (const struct lane *lane = waiting(lanes); lane; lane = waiting(lane->next))
        left--;
    if (left > 0 || threads >= THREADS)
        return 0;
    return start_thread() == 0 || threads > 0 ? 0 : -EAGAIN;
}

/* Puts a request into its lane. The lock is held. */
static int enqueue(struct request *req)
{
    struct lane *lane = find_lane(req->fd);
    bool fresh = !lane;

    if (fresh) {
        if (provide_thread() < 0)
            return -EAGAIN;
        lane = calloc(1, sizeof(*lane));
        if (!lane)
            return -EAGAIN;
        lane->fd = req->fd;
        lane->end = &lane->first;
        lane->next = lanes;
        __atomic_store_n(&lanes, lane, __ATOMIC_RELAXED);
    }
    *lane->end = req;
    lane->end = &req->next;
    if (req->group)
        aio_group_join(req->group);
    if (fresh)
        pthread_cond_signal(&work);
    return 0;
}

int aio_begin(struct ofd *ofd, struct aiocb *cb, int op, struct aio_group *group)
{
    struct request *req = NULL;
    bool sync = op == O_SYNC || op == O_DSYNC;
    int r = -EINVAL;

    if (sync || (cb->aio_reqprio >= 0 && cb->aio_reqprio <= PRIO_MAX_DELTA)) {
        req = malloc(sizeof(*req));
        r = req ? 0 : -EAGAIN;
    }
    take();
    if (r == 0) {
        *req = (struct request){ cb, ofd, cb->aio_fildes, op, (void *)cb->aio_buf, cb->aio_nbytes,
                                 cb->aio_offset, cb->aio_sigevent, group, NULL };
        cb->__error_code = EINPROGRESS;
        cb->__return_value = 0;
        r = enqueue(req);
    }
    if (r < 0)
        set_result(cb, r);
    give();
    if (r < 0) {
        free(req);
        if (ofd)
            fdtable_put(ofd);
    }
    return r;
}

/* ---- waiting and calling off ----------------------------------------------- */

static bool is_ours(const struct aiocb *cb)
{
    const struct lane *lane = find_lane(cb->aio_fildes);
    const struct request *req = lane ? lane->first : NULL;

    while (req && req->cb != cb)
        req = req->next;
    return req != NULL;
}

/* Is one of them done? And whose are the others? */
static bool look(const struct aiocb *const list[], int count, int *ours, int *others)
{
    bool done = false;

    *ours = *others = 0;
    take();
    for (int i = 0; i < count && !done; i++) {
        if (!list[i])
            continue;
        done = __atomic_load_n(&list[i]->__error_code, __ATOMIC_ACQUIRE) != EINPROGRESS;
        if (is_ours(list[i]))
            (*ours)++;
        else
            (*others)++;
    }
    give();
    return done;
}

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC + ts.tv_nsec;
}

/* Nobody tells us when libc's own are done: in a list that has both kinds they are looked at. */
int aio_wait(const struct aiocb *const list[], int count, const struct timespec *timeout)
{
    int64_t end = timeout ? now() + timeout->tv_sec * NSEC + timeout->tv_nsec : INT64_MAX;
    int ours, others, r;

    for (;;) {
        uint32_t seen = aio_done_seen();
        bool done = look(list, count, &ours, &others);
        int64_t left = INT64_MAX;
        struct timespec ts;

        if (done)
            return 0;
        if (ours == 0)
            return -ESRCH;
        if (timeout) {
            left = end - now();
            if (left <= 0)
                return -EAGAIN;
        }
        if (others > 0 && left > LOOK_AGAIN)
            left = LOOK_AGAIN;
        ts = (struct timespec){ left / NSEC, left % NSEC };
        r = aio_done_sleep(seen, left == INT64_MAX ? NULL : &ts);
        if (r == -EINTR)
            return r;
    }
}

int aio_call_off(int fd, const struct aiocb *cb)
{
    struct request *off = NULL, **off_end = &off, **at;
    struct lane *lane;
    int r = AIO_ALLDONE;

    take();
    lane = find_lane(fd);
    if (lane) {
        at = &lane->first;
        if (lane->busy) {
            if (!cb || lane->first->cb == cb)
                r = AIO_NOTCANCELED;
            at = &lane->first->next;
        }
        while (*at) {
            struct request *req = *at;

            if (cb && req->cb != cb) {
                at = &req->next;
                continue;
            }
            *at = req->next;
            req->next = NULL;
            *off_end = req;
            off_end = &req->next;
            set_result(req->cb, -ECANCELED);
            if (r == AIO_ALLDONE)
                r = AIO_CANCELED;
        }
        lane->end = at;
        end_lane_if_empty(lane);
    }
    give();
    while (off) {
        struct request *req = off;

        off = req->next;
        if (req->ofd)
            fdtable_put(req->ofd);
        tell(req, true);
    }
    return r;
}

static bool disk_is_busy(void)
{
    for (const struct lane *lane = lanes; lane; lane = lane->next)
        if (lane->busy && lane->first->ofd)
            return true;
    return false;
}

void aio_hold(void)
{
    bool busy = aio_any();

    while (busy) {
        uint32_t seen = aio_done_seen();

        take();
        held = true;
        busy = disk_is_busy();
        give();
        /* An exec is no cancellation point. */
        process_enter();
        if (busy)
            aio_done_sleep(seen, NULL);
        process_leave();
    }
}

void aio_resume(void)
{
    if (!aio_any())
        return;
    take();
    held = false;
    if (threads == 0)
        start_thread();
    pthread_cond_broadcast(&work);
    give();
}

void aio_after_fork(void)
{
    struct lane *lane = lanes;

    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&work, NULL);
    lanes = NULL;
    threads = idle = 0;
    held = false;
    while (lane) {
        struct lane *gone = lane;

        while (lane->first) {
            struct request *req = lane->first;

            lane->first = req->next;
            if (req->ofd)
                fdtable_put(req->ofd);
            free(req);
        }
        lane = lane->next;
        free(gone);
    }
}
