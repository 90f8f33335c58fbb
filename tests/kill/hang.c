/*
 * What there is to know about processes that wait for ever: what each thread was doing and
 * where it waits, by /proc and, where there is a debugger, by its stacks; and who
 * holds which lock of the run-time file.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "herd.h"
#include "region.h"
#include "worker.h"

static void print_file(const char *title, const char *format, int pid, int tid)
{
    char path[80], text[2048];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), format, pid, tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    printf("    %s: %s%s", title, text, text[n - 1] == '\n' ? "" : "\n");
}

static void print_task(const struct ledger *ledger, int pid, int tid)
{
    printf("  thread %d\n", tid);
    for (int seat = 0; seat < SEATS; seat++) {
        for (int i = 0; i < HANDS; i++) {
            const struct hand *hand = &ledger->seats[seat].hands[i];

            if (get(hand->tid) == tid)
                printf("    worker %d thread %d: %s of %llu bytes at %llu, after %llu steps\n", seat, i,
                       worker_op_name(get(hand->doing)), (unsigned long long)get(hand->len),
                       (unsigned long long)get(hand->off), (unsigned long long)get(hand->steps));
        }
    }
    print_file("stat", "/proc/%d/task/%d/stat", pid, tid);
    print_file("waits in", "/proc/%d/task/%d/wchan", pid, tid);
    print_file("system call", "/proc/%d/task/%d/syscall", pid, tid);
    print_file("kernel stack", "/proc/%d/task/%d/stack", pid, tid);
}

static void print_process(const struct ledger *ledger, int pid)
{
    char path[40];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    if (!dir)
        return;
    printf("process %d\n", pid);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            print_task(ledger, pid, atoi(entry->d_name));
    closedir(dir);
}

static void print_stacks(int pid)
{
    char command[120];

    snprintf(command, sizeof(command), "gdb -p %d -batch -ex 'thread apply all backtrace 12' 2>&1 | "
             "grep -E '^(Thread|#)'", pid);
    fflush(stdout);
    if (system("command -v gdb >/dev/null") == 0 && system(command) < 0)
        printf("    no debugger\n");
}

static void print_lock(const char *name, int index, const pthread_mutex_t *lock)
{
    unsigned word = (unsigned)lock->__data.__lock;

    if (word == 0)
        return;
    printf("  %s %d: thread %u%s%s\n", name, index, word & FUTEX_TID_MASK,
           word & FUTEX_OWNER_DIED ? ", which is dead" : "", word & FUTEX_WAITERS ? ", others wait" : "");
}

/* The run-time file, if there is one. */
static const struct region *map_region(struct stat *st)
{
    const struct region *region = MAP_FAILED;
    int fd = open(DISK ".run", O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && fstat(fd, st) == 0 && st->st_size >= (off_t)REGION_HEAD)
        region = mmap(NULL, REGION_HEAD, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return region == MAP_FAILED ? NULL : region;
}

static bool is_held_by(const pthread_mutex_t *lock, const struct seat *seat)
{
    int tid = get(lock->__data.__lock) & FUTEX_TID_MASK;

    for (int i = 0; i < HANDS; i++)
        if (tid && tid == get(seat->hands[i].tid))
            return true;
    return false;
}

bool hang_holds(const struct ledger *ledger, int seat)
{
    const struct seat *who = &ledger->seats[seat];
    struct stat st;
    const struct region *region = map_region(&st);
    bool held;

    if (!region)
        return false;
    held = is_held_by(&region->size_lock, who) || is_held_by(&region->flush_lock, who)
           || is_held_by(&region->reserve_lock, who);
    for (int i = 0; i < REGION_STRIPES; i++)
        held |= is_held_by(&region->stripes[i].lock, who);
    munmap((void *)region, REGION_HEAD);
    return held;
}

/* The locks' words in the run-time file, and the kernel's locks on it. */
static void print_locks(void)
{
    char command[80];
    struct stat st;
    const struct region *region = map_region(&st);

    if (!region) {
        printf("no run-time file\n");
        return;
    }
    printf("run-time file: inode %llu, generation %llu, %llu bytes of disk\n",
           (unsigned long long)st.st_ino, (unsigned long long)region->gen,
           (unsigned long long)region->size);
    print_lock("size lock", 0, &region->size_lock);
    print_lock("flush lock", 0, &region->flush_lock);
    print_lock("reserve lock", 0, &region->reserve_lock);
    for (int i = 0; i < REGION_STRIPES; i++)
        print_lock("stripe", i, &region->stripes[i].lock);
    snprintf(command, sizeof(command), "grep ':%llu ' /proc/locks", (unsigned long long)st.st_ino);
    fflush(stdout);
    if (system(command) != 0)
        printf("  no lock on the file\n");
}

void hang_report(const struct ledger *ledger, const int *pids, int npids)
{
    print_locks();
    for (int i = 0; i < npids; i++)
        if (pids[i])
            print_process(ledger, pids[i]);
    /* Last, since a debugger wakes the threads. */
    for (int i = 0; i < npids; i++)
        if (pids[i])
            print_stacks(pids[i]);
    fflush(stdout);
}
