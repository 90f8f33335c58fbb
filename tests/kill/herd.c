/* The herd; see herd.h. Processes are waited for by pidfd, since some are children of others. */
#include "herd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker.h"

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap(void)
{
    nanosleep(&(struct timespec){ 0, 100000 }, NULL);
}

pid_t herd_spawn(const struct herd *herd, bool preload, char *const args[])
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (preload)
        setenv("LD_PRELOAD", herd->library, 1);
    setenv("ADDCOW_LOG", LOG, 1);
    /* For some, any number will do. */
    if (get(herd->ledger->ops) % 8 == 0)
        setenv("ADDCOW_CACHE", "writethrough", 1);
    execv("/proc/self/exe", args);
    _exit(127);
}

/* ---- the watchdog -------------------------------------------------------- */

/* A thread that has made no step for too long, or -1. Who stands still is not expected to. */
static int who_hangs(struct herd *herd, int seat)
{
    for (int i = 0; i < HANDS; i++) {
        const struct hand *hand = &herd->ledger->seats[seat].hands[i];
        uint64_t steps = get(hand->steps);

        if (herd->pids[seat] == 0 || herd->stopped[seat] || steps != herd->seen_steps[seat][i]
            || worker_holds(get(hand->doing))) {
            herd->seen_steps[seat][i] = steps;
            herd->seen_at[seat][i] = now();
        }
        if (now() - herd->seen_at[seat][i] > HANG_SECONDS)
            return i;
    }
    return -1;
}

static void watch(struct herd *herd)
{
    for (int seat = 0; seat < SEATS; seat++) {
        int hand = who_hangs(herd, seat);

        if (hand < 0 || get(herd->ledger->failed))
            continue;
        /* As they are, before they are told to end. */
        hang_report(herd->ledger, herd->pids, SEATS);
        fail(herd->ledger, "worker %d thread %d hangs", seat, hand);
    }
}

static int pidfd_open(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Until the process has ended, all its threads and locks with it. False: it does not end. */
static bool wait_gone(struct herd *herd, pid_t pid, int fd, const char *what)
{
    double since = now();

    while (fd >= 0 && poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 100) != 1) {
        watch(herd);
        if (now() - since > HANG_SECONDS) {
            hang_report(herd->ledger, &pid, 1);
            hang_report(herd->ledger, herd->pids, SEATS);
            fail(herd->ledger, "%s does not end", what);
            syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
            return false;
        }
    }
    return true;
}

/* ---- workers --------------------------------------------------------------- */

static void take_note(struct herd *herd, int seat, pid_t pid)
{
    herd->pids[seat] = pid;
    herd->fds[seat] = pidfd_open(pid);
    herd->stopped[seat] = false;
    herd->families[seat] = herd->next_family;
    for (int i = 0; i < HANDS; i++)
        herd->seen_at[seat][i] = now();
}

void herd_start(struct herd *herd, int seat, int also)
{
    char number[12], other[12];
    char *args[] = { "kill", "worker", LEDGER, DISK, number, other, NULL };
    struct seat *seats = herd->ledger->seats;

    snprintf(number, sizeof(number), "%d", seat);
    snprintf(other, sizeof(other), "%d", also);
    worker_begins(&seats[seat]);
    if (also >= 0) {
        worker_begins(&seats[also]);
        set(seats[also].pid, 0);
    }
    herd->next_family++;
    take_note(herd, seat, herd_spawn(herd, true, args));
    /* Whether there is a second must be known before anything happens to the first. */
    while (also >= 0 && herd->pids[also] == 0 && !get(herd->ledger->failed)) {
        if (get(seats[also].pid))
            take_note(herd, also, get(seats[also].pid));
        watch(herd);
        nap();
    }
}

void herd_signal(struct herd *herd, int seat, int signal)
{
    syscall(SYS_pidfd_send_signal, herd->fds[seat], signal, NULL, 0);
    herd->stopped[seat] = signal == SIGSTOP;
    herd->kills += signal == SIGKILL;
}

/* True once every thread of the process is stopped. */
static bool is_stopped(int pid)
{
    char path[40], text[300] = "";
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, text, sizeof(text) - 1) < 0)
            text[0] = '\0';
        close(fd);
    }
    return strstr(text, "State:\tT") != NULL;
}

int herd_stop(struct herd *herd, int seat)
{
    add(herd->ledger->stops, 1);
    herd_signal(herd, seat, SIGSTOP);
    herd->stops++;
    while (!is_stopped(herd->pids[seat])) {
        if (poll(&(struct pollfd){ herd->fds[seat], POLLIN, 0 }, 1, 0) == 1)
            return -1;
        nap();
    }
    return 0;
}

void herd_unstop(struct herd *herd, int seat, int signal)
{
    herd_signal(herd, seat, signal);
    if (signal == SIGKILL)
        herd_wait(herd, seat);
    add(herd->ledger->stops, 1);
}

bool herd_is_shared(const struct herd *herd, int seat)
{
    for (int other = 0; other < SEATS; other++)
        if (other != seat && herd->pids[other] && herd->families[other] == herd->families[seat])
            return true;
    return false;
}

void herd_wait(struct herd *herd, int seat)
{
    char what[20];
    int status;

    snprintf(what, sizeof(what), "worker %d", seat);
    wait_gone(herd, herd->pids[seat], herd->fds[seat], what);
    close(herd->fds[seat]);
    /* The fork of one that lives is reaped by that one. */
    if (waitpid(herd->pids[seat], &status, WNOHANG) > 0 && status != 0 && status != SIGKILL)
        fail(herd->ledger, "%s ended with status %#x", what, (unsigned)status);
    herd->pids[seat] = 0;
}

int herd_wait_other(struct herd *herd, pid_t pid)
{
    int status = -1, fd = pidfd_open(pid);

    if (wait_gone(herd, pid, fd, "one that looks"))
        waitpid(pid, &status, 0);
    close(fd);
    return status;
}

void herd_pause(struct herd *herd, uint64_t ops, double seconds)
{
    uint64_t until = get(herd->ledger->ops) + ops;
    double end = now() + seconds;

    while (get(herd->ledger->ops) < until && now() < end && !get(herd->ledger->failed)) {
        watch(herd);
        nap();
    }
}

void herd_all_step(struct herd *herd)
{
    uint64_t steps[SEATS][HANDS];
    bool all = false;

    for (int seat = 0; seat < SEATS; seat++)
        for (int i = 0; i < HANDS; i++)
            steps[seat][i] = get(herd->ledger->seats[seat].hands[i].steps);
    while (!all && !get(herd->ledger->failed)) {
        all = true;
        for (int seat = 0; seat < SEATS; seat++)
            for (int i = 0; herd->pids[seat] && !herd->stopped[seat] && i < HANDS; i++)
                all &= get(herd->ledger->seats[seat].hands[i].steps) != steps[seat][i];
        watch(herd);
        nap();
    }
}

void herd_hold(struct herd *herd, bool hold)
{
    bool all = false;

    set(herd->ledger->hold, hold);
    while (!all && !get(herd->ledger->failed)) {
        all = true;
        for (int seat = 0; seat < SEATS; seat++)
            for (int i = 0; herd->pids[seat] && !herd->stopped[seat] && i < HANDS; i++)
                all &= worker_holds(get(herd->ledger->seats[seat].hands[i].doing)) == hold;
        watch(herd);
        nap();
    }
}

/*
 * True if an idle child is left; *pid then is it, or 0 if it has just begun. All are this
 * process's children now, since those that made them are gone.
 */
static bool find_idle(const struct ledger *ledger, int *pid)
{
    *pid = 0;
    for (int i = 0; i < IDLE_MAX; i++)
        if (get(ledger->idle_pids[i]) && waitpid(get(ledger->idle_pids[i]), NULL, WNOHANG) == 0)
            *pid = get(ledger->idle_pids[i]);
    return waitpid(-1, NULL, WNOHANG) >= 0;
}

void herd_wait_idle(struct herd *herd)
{
    double since = now();
    int pid;

    set(herd->ledger->over, true);
    while (find_idle(herd->ledger, &pid)) {
        if (pid && now() - since > HANG_SECONDS) {
            hang_report(herd->ledger, &pid, 1);
            fail(herd->ledger, "an idle child does not end");
        }
        if (pid && get(herd->ledger->failed))
            kill(pid, SIGKILL);
        nap();
    }
}

void herd_end(struct herd *herd)
{
    for (int seat = 0; seat < SEATS; seat++)
        if (herd->pids[seat])
            syscall(SYS_pidfd_send_signal, herd->fds[seat], SIGKILL, NULL, 0);
    for (int seat = 0; seat < SEATS; seat++)
        if (herd->pids[seat])
            herd_wait(herd, seat);
    herd_wait_idle(herd);
}
