/*
 * Nothing that was acknowledged is lost when processes are killed, and nobody hangs.
 *
 *     kill [-n KILLS] [-s SEED] [-d FIRST_DISK] [-l LIBRARY] [-v]
 *
 * Disk after disk is made, and used by some workers (worker.c), each of which is a plain
 * program under the preload library. They are killed at random points, and others take their
 * places, while the rest goes on; now and then all are killed, and whoever opens the
 * disk next takes over. Workers check what they read all the time, and what their
 * predecessors have left. In the end the disk is closed cleanly, and what the three files say,
 * by a decoder of their own, is checked too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "herd.h"
#include "look.h"
#include "lost.h"
#include "worker.h"

#define HEADER 2560
#define MIB (1u << 20)

static struct options {
    uint64_t kills, seed;
    unsigned first;
    const char *library, *decoder;
    bool verbose;
} options = {
    .kills = 100, .seed = 1, .library = "build/libaddcow-preload.so",
    .decoder = "tests/e2e/decode.py",
};

/* Where disks are made: mostly in memory, for speed, and on a filesystem that really syncs. */
static struct {
    char path[200];
    unsigned weight;
} places[2];

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    interrupted = signal;
}

static void die(const char *what)
{
    fprintf(stderr, "kill: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- places ---------------------------------------------------------------- */

static void make_places(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(places[0].path, sizeof(places[0].path), "%s/addcow-kill-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(places[0].path))
        die(places[0].path);
    places[0].weight = 1;
    strcpy(places[1].path, "/dev/shm/addcow-kill-XXXXXX");
    places[1].weight = mkdtemp(places[1].path) ? 2 : 0;
}

static void clear_place(void)
{
    static const char *const names[] = { DISK, DISK ".run", "d.base", "d.img", "flat", LEDGER, LOG };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(names[i]);
}

static void remove_places(void)
{
    for (int i = 0; i < 2; i++)
        if (places[i].weight && (chdir("/") < 0 || rmdir(places[i].path) < 0))
            perror(places[i].path);
}

static void go_to_a_place(struct rnd *rnd)
{
    bool second = rnd_below(rnd, places[0].weight + places[1].weight) >= places[0].weight;

    if (chdir(places[second].path) < 0)
        die(places[second].path);
}

/* ---- the disk's files ------------------------------------------------------ */

static void put(const char *path, const void *data, size_t len, uint64_t off)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || pwrite(fd, data, len, (off_t)off) != (ssize_t)len)
        die(path);
    close(fd);
}

/* Bytes of a version, all of them or here and there. */
static void put_version(const char *path, uint64_t size, uint32_t version, uint64_t step)
{
    static uint8_t buf[64 << 10];

    for (uint64_t off = 0; off < size; off += step) {
        size_t len = size - off < sizeof(buf) ? size - off : sizeof(buf);

        fill(buf, off, len, version);
        put(path, buf, len, off);
    }
    if (truncate(path, (off_t)size) < 0)
        die(path);
}

static void make_disk(const struct ledger *ledger)
{
    uint8_t header[HEADER] = "ADD_COW\xff\0\0\0\1";

    strcpy((char *)header + 12, "d.base");
    strcpy((char *)header + 1036, "d.img");
    put("d.base", "", 0, 0);
    put("d.img", "", 0, 0);
    put_version("d.base", ledger->base_size, VERSION_BASE, 64 << 10);
    put_version("d.img", ledger->size_acked, VERSION_LEFT_OVER, 192 << 10);
    put(DISK, header, sizeof(header), 0);
}

/* ---- looking ------------------------------------------------------------- */

/* Who was killed while it changed the size has left that to the next that does, and no more. */
static void settle_size(struct ledger *ledger, int fd)
{
    struct stat disk, image;

    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1) < 0 && errno != EOPNOTSUPP)
        fail(ledger, "who looks cannot fallocate: %s", strerror(errno));
    else if (fstat(fd, &disk) < 0 || stat("d.img", &image) < 0 || disk.st_size != image.st_size)
        fail(ledger, "the disk has %lld bytes, its image %lld", (long long)disk.st_size,
             (long long)image.st_size);
}

/* The program that looks: at the disk, through the library, or at another file. */
static int look_at(const char *path, const char *how)
{
    bool disk = strcmp(path, DISK) == 0, writable = strcmp(how, "write") == 0;
    struct ledger *ledger = ledger_open(LEDGER);
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);

    if (fd < 0) {
        fail(ledger, "who looks cannot open %s: %s", path, strerror(errno));
        return 1;
    }
    if (writable)
        settle_size(ledger, fd);
    if (look(ledger, fd, strcmp(how, "living") != 0, disk ? "who looks" : "who decodes") == 0
        && close(fd) < 0)
        fail(ledger, "who looks cannot close %s: %s", path, strerror(errno));
    return get(ledger->failed) ? 1 : 0;
}

static pid_t start_look(struct herd *herd, const char *path, const char *how)
{
    char *args[] = { "kill", "look", (char *)path, (char *)how, NULL };

    return herd_spawn(herd, strcmp(path, DISK) == 0, args);
}

static void run_look(struct herd *herd, const char *path, const char *how)
{
    int status = herd_wait_other(herd, start_look(herd, path, how));

    if (status != 0)
        fail(herd->ledger, "who looks at %s ended with status %#x", path, (unsigned)status);
}

/* ---- one disk ------------------------------------------------------------ */

/* Workers for the free seats; sometimes two by one fork. */
static void fill_seats(struct herd *herd, struct rnd *rnd)
{
    for (int seat = 0; seat < SEATS; seat++) {
        int also = -1;

        if (herd->pids[seat] || get(herd->ledger->failed))
            continue;
        for (int other = seat + 1; other < SEATS && also < 0; other++)
            if (herd->pids[other] == 0 && rnd_percent(rnd, 40))
                also = other;
        herd_start(herd, seat, also);
    }
}

static void kill_seats(struct herd *herd, unsigned seats)
{
    for (int seat = 0; seat < SEATS; seat++)
        if (seats & 1u << seat && herd->pids[seat])
            herd_signal(herd, seat, SIGKILL);
    for (int seat = 0; seat < SEATS; seat++)
        if (seats & 1u << seat && herd->pids[seat])
            herd_wait(herd, seat);
}

/* Takes over after all were killed, and may be killed at that. */
static void take_over(struct herd *herd, struct rnd *rnd)
{
    while (rnd_percent(rnd, 50)) {
        pid_t pid = start_look(herd, DISK, rnd_percent(rnd, 80) ? "write" : "read");

        usleep((useconds_t)rnd_scale(rnd, 20000));
        kill(pid, SIGKILL);
        herd_wait_other(herd, pid);
        herd->kills++;
    }
    if (rnd_percent(rnd, 50))
        run_look(herd, DISK, rnd_percent(rnd, 50) ? "write" : "read");
}

/* All of the disk, beside those that are left. */
static void look_beside(struct herd *herd, struct rnd *rnd)
{
    if (rnd_percent(rnd, 50)) {
        run_look(herd, DISK, "living");
        return;
    }
    herd_hold(herd, true);
    run_look(herd, DISK, rnd_percent(rnd, 50) ? "write" : "read");
    herd_hold(herd, false);
}

/*
 * One is stopped, until all others have got on or given up what they were at; then it goes on, or is
 * killed. Most often it is one that holds a lock. But a file offset that others share is only
 * held up for a moment: who waits for that waits as long as it takes.
 */
static void stop_one(struct herd *herd, struct rnd *rnd)
{
    for (int tries = 0; tries < 20; tries++) {
        int seat = (int)rnd_below(rnd, SEATS);
        bool stopped = herd_stop(herd, seat) == 0, holds = stopped && hang_holds(herd->ledger, seat);
        bool last = holds || rnd_percent(rnd, 5);

        herd->holders += holds;
        if (stopped && !last)
            ;
        else if (herd_is_shared(herd, seat))
            herd_pause(herd, rnd_scale(rnd, 1000), 0.02);
        else
            herd_all_step(herd);
        herd_unstop(herd, seat, last && rnd_percent(rnd, 50) ? SIGKILL : SIGCONT);
        if (last)
            break;
        herd_pause(herd, rnd_scale(rnd, 100), 0.02);
    }
}

static void one_blow(struct herd *herd, struct rnd *rnd)
{
    unsigned kind = (unsigned)rnd_below(rnd, 100);
    unsigned one = 1u << rnd_below(rnd, SEATS);

    /* Whoever is left of the last blow is not held up by it. */
    herd_all_step(herd);
    fill_seats(herd, rnd);
    /* Now and then at once, while they still begin. */
    if (rnd_percent(rnd, 25))
        usleep((useconds_t)rnd_scale(rnd, 8000));
    else
        herd_pause(herd, 50 + rnd_scale(rnd, 4000), 2);
    if (kind < 55)
        kill_seats(herd, one);
    else if (kind < 70)
        kill_seats(herd, one | 1u << rnd_below(rnd, SEATS));
    else if (kind < 85)
        stop_one(herd, rnd);
    else
        kill_seats(herd, ~0u);
    if (kind >= 85)
        take_over(herd, rnd);
    else if (rnd_percent(rnd, 20))
        look_beside(herd, rnd);
}

/* Nobody has it open any more: the three files alone. */
static void check_files(struct herd *herd)
{
    struct ledger *ledger = herd->ledger;
    char command[1200];
    struct stat st;

    if (access(DISK ".run", F_OK) == 0) {
        fail(ledger, "%s is left behind after a clean close", DISK ".run");
        return;
    }
    snprintf(command, sizeof(command), "%s flat %s flat", options.decoder, DISK);
    if (system(command) != 0) {
        fail(ledger, "the decoder fails");
        return;
    }
    run_look(herd, "flat", "read");
    if (stat("d.base", &st) < 0 || (uint64_t)st.st_size != ledger->base_size)
        fail(ledger, "the backing file has changed");
}

static void end_disk(struct herd *herd, struct rnd *rnd)
{
    struct ledger *ledger = herd->ledger;
    bool clean = rnd_percent(rnd, 40);

    if (clean) {
        set(ledger->end, true);
        for (int seat = 0; seat < SEATS; seat++)
            if (herd->pids[seat])
                herd_wait(herd, seat);
    } else {
        kill_seats(herd, ~0u);
        take_over(herd, rnd);
    }
    herd_wait_idle(herd);
    if (!get(ledger->failed))
        run_look(herd, DISK, "write");
    if (!get(ledger->failed))
        check_files(herd);
}

static const char *use_disk(struct herd *herd, uint64_t seed, uint64_t kills)
{
    static char failure[sizeof(herd->ledger->failure)];
    static const uint32_t sizes[] = { MIB / 4, MIB, 4 * MIB, 20 * MIB };
    struct rnd rnd = { seed };
    uint32_t fixed = sizes[rnd_below(&rnd, 4)] + (uint32_t)rnd_below(&rnd, 100000);
    uint32_t base = rnd_percent(&rnd, 70) ? fixed + (uint32_t)rnd_below(&rnd, 2 * MIB)
                                          : (uint32_t)rnd_below(&rnd, fixed);
    uint64_t before = herd->kills;

    go_to_a_place(&rnd);
    herd->ledger = ledger_make(LEDGER, seed, fixed, 2 * MIB, base, rnd_percent(&rnd, 40));
    herd->ledger->test = getpid();
    make_disk(herd->ledger);
    lost_wake_up(herd);
    while (herd->kills - before < kills && !get(herd->ledger->failed) && !interrupted)
        one_blow(herd, &rnd);
    if (!get(herd->ledger->failed) && !interrupted)
        end_disk(herd, &rnd);
    herd_end(herd);
    if (herd->ledger->failed && system("tail -n 20 " LOG) != 0)
        printf("no log\n");
    herd->timeouts += herd->ledger->timeouts;
    strcpy(failure, interrupted ? "" : herd->ledger->failure);
    if (options.verbose)
        printf("disk of %u + %u bytes%s over %llu: %llu kills, %llu operations, %llu writes, %s\n",
               fixed, 2 * MIB, herd->ledger->wild ? " (wild)" : "",
               (unsigned long long)herd->ledger->base_size, (unsigned long long)(herd->kills - before),
               (unsigned long long)herd->ledger->ops, (unsigned long long)herd->ledger->writes,
               failure[0] ? failure : "good");
    ledger_close(herd->ledger);
    clear_place();
    fflush(stdout);
    return failure[0] ? failure : NULL;
}

/* ---- all ----------------------------------------------------------------- */

/* How many fail: at the first, the rest would be no news. */
static int use_disks(void)
{
    struct herd herd = { .library = options.library };
    unsigned disk = options.first;
    int failures = 0;

    printf("kill: %llu kills from seed %llu on\n", (unsigned long long)options.kills,
           (unsigned long long)options.seed);
    fflush(stdout);
    while (herd.kills < options.kills && failures == 0 && !interrupted) {
        struct rnd rnd = { options.seed * 1000003 + disk };
        uint64_t kills = 5 + rnd_below(&rnd, 20);
        const char *failure = use_disk(&herd, rnd_next(&rnd), kills);

        if (interrupted)
            break;
        if (failure) {
            printf("FAIL: seed %llu, disk %u: %s\n", (unsigned long long)options.seed, disk, failure);
            printf("for the like again: build/tests/kill -s %llu -d %u\n",
                   (unsigned long long)options.seed, disk);
            failures++;
        }
        disk++;
    }
    printf("%llu kills, %llu stops (%llu of who held a lock; %llu calls timed out) on %u disks%s\n",
           (unsigned long long)herd.kills, (unsigned long long)herd.stops,
           (unsigned long long)herd.holders, (unsigned long long)herd.timeouts,
           disk - options.first, interrupted ? ", interrupted" : "");
    printf("%u passed, %d failed, 0 skipped\n", disk - options.first - (unsigned)failures,
           failures + (interrupted != 0));
    return failures || interrupted;
}

/* The same file after a change of directory. */
static const char *resolved(const char *path)
{
    char *real = realpath(path, NULL);

    if (!real)
        die(path);
    return real;
}

static int run(int argc, char **argv)
{
    int opt, r;

    while ((opt = getopt(argc, argv, "n:s:d:l:v")) >= 0) {
        switch (opt) {
        case 'n': options.kills = strtoull(optarg, NULL, 0); break;
        case 's': options.seed = strtoull(optarg, NULL, 0); break;
        case 'd': options.first = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'l': options.library = optarg; break;
        case 'v': options.verbose = true; break;
        default: return 2;
        }
    }
    options.library = resolved(options.library);
    options.decoder = resolved(options.decoder);
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    make_places();
    r = use_disks();
    remove_places();
    return r;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "worker") == 0)
        return worker(ledger_open(argv[2]), argv[3], atoi(argv[4]), atoi(argv[5])) ? 1 : 0;
    if (argc == 4 && strcmp(argv[1], "read") == 0)
        return lost_reader(ledger_open(argv[2]), argv[3]);
    if (argc == 4 && strcmp(argv[1], "look") == 0)
        return look_at(argv[2], argv[3]);
    return run(argc, argv);
}
