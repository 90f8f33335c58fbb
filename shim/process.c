/*
 * Start: adopt inherited disks, stdin and stdout among them. Fork: the child
 * takes part in its disks anew. Exit: give up all disks, so that bits are flushed and the
 * run-time files go; stdio flushes what it still has after that, so from then on
 * every call gives up its disk itself.
 *
 * A page that fork wipes and vfork does not tells the child of a vfork, together
 * with the process number. The children of clone and _Fork, which run no fork handlers,
 * are seen by the same page, at their first call that looks.
 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aio.h"
#include "deep.h"
#include "disks.h"
#include "fdtable.h"
#include "hidden.h"
#include "keep.h"
#include "map.h"
#include "real.h"
#include "report.h"
#include "ring.h"
#include "spawn.h"
#include "stream.h"
#include "sys_real.h"
#include "trace.h"

__thread int process_busy;
__thread bool process_holds_cancel;
static __thread int cancel_state, cancel_type;     /* as the program has them */
static pid_t self;
static volatile char *not_forked;       /* wiped to 0 in the child of a fork */

/*
 * The type as well as the state: glibc 2.36 grants an asynchronous request whose signal comes late though
 * the state forbids it by then; and a thread that ends in pthread_setcancelstate ends there with
 * NULL for its result.
 */
void process_hold_cancel(void)
{
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &cancel_type);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    process_holds_cancel = true;
}

void process_let_cancel(void)
{
    process_holds_cancel = false;
    pthread_setcancelstate(cancel_state, NULL);
    if (cancel_type != PTHREAD_CANCEL_DEFERRED)
        pthread_setcanceltype(cancel_type, NULL);
}

/* ---- descriptors and fork ------------------------------------------------- */

/*
 * The kernel copies descriptors first and memory later, and other threads go on meanwhile. So none
 * may be between a descriptor and its place in the table, or the child takes its next pipe for a disk.
 */
static pthread_rwlock_t descriptors = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static __thread int changing;           /* calls within calls */
static bool forking;                    /* the lock is the forking thread's, in both processes */
static bool disks_held;                 /* and those of the disks */

static void init_descriptors(void)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&descriptors, &attr);
    pthread_rwlockattr_destroy(&attr);
}

void process_change(void)
{
    process_enter();
    if (changing++ == 0)
        pthread_rwlock_rdlock(&descriptors);
}

void process_changed(void)
{
    if (--changing == 0)
        pthread_rwlock_unlock(&descriptors);
    process_leave();
}

static void let_disks(void)
{
    if (disks_held) {
        disks_held = false;
        disks_let_fork();
    }
}

static void begin_child(void)
{
    self = getpid();
    /* What this thread holds it gives back; what another held is made anew. */
    let_disks();
    if (forking)
        pthread_rwlock_unlock(&descriptors);
    forking = false;
    init_descriptors();
    /* A signal's handler has forked, and what it interrupted goes on in the child too. */
    if (changing)
        pthread_rwlock_rdlock(&descriptors);
    if (not_forked)
        *not_forked = 1;
    hidden_after_fork();
    keep_after_fork();
    disks_after_fork();
    ofd_after_fork();
    aio_after_fork();
    map_after_fork();
    ring_after_fork();
    stream_after_fork();
    spawn_after_fork();
    deep_arm();
}

static void before_fork(void)
{
    if (!changing) {
        pthread_rwlock_wrlock(&descriptors);
        forking = true;
    }
    ofd_share_all();
    map_before_fork();
    /*
     * Last, since a mapping attaches under its lock. A signal's handler that forks may have
     * interrupted a holder.
     */
    if (!process_busy) {
        disks_before_fork();
        disks_held = true;
    }
}

static void after_fork_in_parent(void)
{
    let_disks();
    map_after_fork_parent();
    if (!changing) {
        forking = false;
        pthread_rwlock_unlock(&descriptors);
    }
}

bool process_is_vfork_child(void)
{
    if (!not_forked || getpid() == self)
        return false;
    if (*not_forked)
        return true;
    begin_child();
    return false;
}

static bool adopted;

static void adopt(int fd)
{
    struct ofd *ofd = ofd_adopt(fd);

    if (!ofd)
        ofd = ofd_adopt_file(fd, 0, false);
    if (ofd) {
        fdtable_set(fd, ofd);
        adopted = true;
    }
}

static void for_inherited(int dir, void (*each)(int fd))
{
    struct dirent64 *entry;
    char buf[4096];
    long n;

    REAL(lseek64)(dir, 0, SEEK_SET);
    while ((n = REAL(syscall)(SYS_getdents64, dir, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < n; at += entry->d_reclen) {
            int fd;

            entry = (struct dirent64 *)(void *)(buf + at);
            if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
                continue;
            fd = atoi(entry->d_name);
            /* What is adopted may open the engine's own, further on in this very list. */
            if (fd < FD_LIMIT && !fdtable_is_disk(fd) && !hidden_is(fd))
                each(fd);
        }
    }
}

static void adopt_all(void)
{
    int dir = sys_real.open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

    if (dir < 0) {
        /* What is inherited cannot be told from other files, and would be passed through. */
        report("/proc/self/fd: cannot be read: %s: a disk that was inherited is not seen "
               "(is /proc mounted?)", strerrordesc_np(-dir));
        return;
    }
    for_inherited(dir, adopt);
    if (adopted)
        for_inherited(dir, ofd_inherit_image);
    sys_real.close(dir);
}

static void __attribute__((constructor)) begin(void)
{
    int saved = errno;
    void *page;

    real_init();
    report_init();
    trace_init();
    self = getpid();
    page = REAL(mmap64)(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && madvise(page, 4096, MADV_WIPEONFORK) == 0) {
        *(char *)page = 1;
        not_forked = page;
    }
    pthread_atfork(before_fork, after_fork_in_parent, begin_child);
    adopt_all();
    for (int fd = 0; fd < 3; fd++)
        stream_follow(fd);
    deep_init();
    errno = saved;
}

static void __attribute__((destructor)) finish(void)
{
    int saved = errno;

    stream_flush();
    process_ends();
    process_enter();
    aio_hold();
    disks_park();
    process_leave();
    errno = saved;
}
