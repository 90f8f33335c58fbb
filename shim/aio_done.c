/* How requests tell that they are done: groups, signals, and who waits. See aio.c. */
#include "aio_done.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real.h"

struct aio_group {
    int left;                   /* requests not done, and one for who makes the list */
    bool failed;
    struct sigevent sig;
};

static uint32_t done_count;

uint32_t aio_done_seen(void)
{
    return __atomic_load_n(&done_count, __ATOMIC_ACQUIRE);
}

static void wake_all(void)
{
    __atomic_fetch_add(&done_count, 1, __ATOMIC_RELEASE);
    REAL(syscall)(SYS_futex, &done_count, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

int aio_done_sleep(uint32_t seen, const struct timespec *timeout)
{
    int type, r;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    r = (int)REAL(syscall)(SYS_futex, &done_count, FUTEX_WAIT_PRIVATE, seen, timeout);
    if (r < 0)
        r = -errno;
    pthread_setcanceltype(type, NULL);
    return r;
}

/* ---- notification ---------------------------------------------------------- */

struct call {
    void (*function)(union sigval value);
    union sigval value;
};

static void *call_function(void *arg)
{
    struct call call = *(struct call *)arg;
    sigset_t none;

    free(arg);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    call.function(call.value);
    return NULL;
}

static void call_in_thread(const struct sigevent *sig)
{
    struct call *call = malloc(sizeof(*call));
    pthread_attr_t detached;
    pthread_t thread;

    if (!call)
        return;
    *call = (struct call){ sig->sigev_notify_function, sig->sigev_value };
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, sig->sigev_notify_attributes ? sig->sigev_notify_attributes
                                                             : &detached, call_function, call) != 0)
        free(call);
    pthread_attr_destroy(&detached);
}

static void notify(const struct sigevent *sig)
{
    siginfo_t info = { .si_signo = sig->sigev_signo, .si_code = SI_ASYNCIO };

    if (sig->sigev_notify == SIGEV_SIGNAL) {
        info.si_pid = getpid();
        info.si_uid = getuid();
        info.si_value = sig->sigev_value;
        REAL(syscall)(SYS_rt_sigqueueinfo, info.si_pid, sig->sigev_signo, &info);
    } else if (sig->sigev_notify == SIGEV_THREAD) {
        call_in_thread(sig);
    }
}

void aio_done(const struct sigevent *sig, struct aio_group *group, bool failed)
{
    wake_all();
    notify(sig);
    if (group)
        aio_group_leave(group, failed);
}

/* ---- groups ------------------------------------------------------------------ */

struct aio_group *aio_group_new(const struct sigevent *sig)
{
    struct aio_group *group = calloc(1, sizeof(*group));

    if (group) {
        group->left = 1;
        group->sig.sigev_notify = SIGEV_NONE;
        if (sig)
            group->sig = *sig;
    }
    return group;
}

void aio_group_join(struct aio_group *group)
{
    __atomic_fetch_add(&group->left, 1, __ATOMIC_RELAXED);
}

void aio_group_leave(struct aio_group *group, bool failed)
{
    bool last;

    if (failed)
        __atomic_store_n(&group->failed, true, __ATOMIC_RELAXED);
    last = __atomic_sub_fetch(&group->left, 1, __ATOMIC_ACQ_REL) == 0;
    wake_all();
    if (last) {
        notify(&group->sig);
        free(group);
    }
}

int aio_group_end(struct aio_group *group, bool wait)
{
    bool failed = false;
    int r = 0;

    while (wait && r == 0) {
        uint32_t seen = aio_done_seen();

        if (__atomic_load_n(&group->left, __ATOMIC_ACQUIRE) == 1) {
            failed = group->failed;
            break;
        }
        r = aio_done_sleep(seen, NULL) == -EINTR ? -EINTR : 0;
    }
    aio_group_leave(group, false);
    return r == 0 && failed ? -EIO : r;
}
