/*
 * The kernel wakes one of those that wait for a lock. If that one is killed before it runs, and
 * another that has not waited takes the lock meanwhile, then that other does not know that somebody
 * is to be woken, and all the rest sleeps on. Workers meet that now and then; here it
 * is made, for the lock that those who share a file offset take.
 */
#include "lost.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../shim/ofd.h"

int lost_reader(struct ledger *ledger, const char *disk)
{
    struct seat *seat = &ledger->seats[0];
    int fd = open(disk, O_RDONLY);
    char byte;

    set(seat->hands[0].tid, fd);
    set(seat->pid, getpid());
    while (get(ledger->hold))
        sched_yield();
    return read(fd, &byte, 1) != 1;
}

/* The state of the description behind another process's descriptor. */
static struct ofd_state *map_state(int pid, int fd)
{
    struct ofd_state *state;
    char path[40];
    int memfd;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
    memfd = open(path, O_RDWR | O_CLOEXEC);
    state = mmap(NULL, OFD_STATE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    close(memfd);
    return state == MAP_FAILED ? NULL : state;
}

static bool is_alive(pid_t pid)
{
    siginfo_t info = { 0 };

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

static bool sleeps(pid_t pid)
{
    char path[40], stat[200] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, stat, sizeof(stat) - 1) < 0)
            stat[0] = '\0';
        close(fd);
    }
    return strstr(stat, ") S ") != NULL;
}

static void lose(struct herd *herd, struct ofd_state *state, pid_t pid)
{
    int *word = &state->lock.__data.__lock;

    state->shared = 1;
    pthread_mutex_lock(&state->lock);
    set(herd->ledger->hold, false);
    /* The sign bit says that somebody is about to wait; then he sleeps. */
    while ((get(*word) >= 0 || !sleeps(pid)) && is_alive(pid))
        sched_yield();
    __atomic_fetch_and(word, INT32_MAX, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&state->lock);
}

void lost_wake_up(struct herd *herd)
{
    char *args[] = { "kill", "read", LEDGER, DISK, NULL };
    struct seat *seat = &herd->ledger->seats[0];
    struct ofd_state *state;
    pid_t pid;

    set(herd->ledger->hold, true);
    pid = herd_spawn(herd, true, args);
    while (!get(seat->pid) && is_alive(pid))
        sched_yield();
    state = map_state(pid, get(seat->hands[0].tid));
    if (state) {
        lose(herd, state, pid);
        munmap(state, OFD_STATE_LEN);
    } else {
        fail(herd->ledger, "the state of process %d's descriptor cannot be mapped", pid);
        set(herd->ledger->hold, false);
    }
    if (herd_wait_other(herd, pid) != 0)
        fail(herd->ledger, "who waited for a file offset has not got it");
    set(seat->pid, 0);
}
