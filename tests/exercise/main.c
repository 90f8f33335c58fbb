/*
 * exercise [-o OPS] [-s SEED] [-p PROCESSES] [-t THREADS] [-f FAMILIES] [-r] -m MODEL FILE
 *
 * Does OPS operations on FILE, which must hold what MODEL holds, and then puts into MODEL
 * what FILE must hold. A plain file does as well as a disk under the preload library. -r: the last process
 * only reads. One process is exec'ed and inherits a descriptor, the others are forked.
 * Exit status 1: there was a difference, and stderr tells which.
 */
#include "exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PHASE_OPS 2500
#define PATIENCE  60            /* seconds in which something must happen */

struct shared *shared;
int shared_fd;
static __thread struct worker *me;

static void die(const char *what)
{
    fprintf(stderr, "exercise: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- workers --------------------------------------------------------------------- */

static void on_fault(int signal)
{
    if (me)
        model_fail(me, "%s", strsignal(signal));
    _exit(1);
}

static void *run_worker(void *number)
{
    struct worker w;

    worker_init(&w, (unsigned)(uintptr_t)number);
    me = &w;
    phase_run(&w);
    worker_stop(&w);
    return NULL;
}

static void run_process(unsigned process)
{
    pthread_t threads[WORKERS];
    bool reads = shared->readers && process == shared->processes - 1;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGBUS, on_fault);
    signal(SIGSEGV, on_fault);
    if (reads)
        close(shared->common);
    for (unsigned i = 0; i < shared->threads; i++) {
        uintptr_t number = process * shared->threads + i;

        if (pthread_create(&threads[i], NULL, run_worker, (void *)number))
            die("pthread_create");
    }
    for (unsigned i = 0; i < shared->threads; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

static void run_joined(int argc, char **argv)
{
    if (argc != 4)
        exit(2);
    shared_fd = atoi(argv[2]);
    shared = mmap(NULL, (size_t)lseek(shared_fd, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED,
                  shared_fd, 0);
    if (shared == MAP_FAILED)
        die("shared memory");
    run_process((unsigned)atoi(argv[3]));
}

/* ---- the first process -------------------------------------------------------------- */

static uint32_t parse_families(const char *names)
{
    char *copy = strdup(names), *save, *name;
    uint32_t found = 0;

    for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
        unsigned i = 0;

        while (i < family_count && strcmp(name, families[i].name))
            i++;
        if (i == family_count) {
            fprintf(stderr, "exercise: %s: no such family; there are", name);
            for (i = 0; i < family_count; i++)
                fprintf(stderr, " %s", families[i].name);
            fputc('\n', stderr);
            exit(2);
        }
        found |= 1u << i;
    }
    free(copy);
    return found;
}

static void make_shared(const struct shared *options, const char *model)
{
    pthread_barrierattr_t attr;
    struct stat st;
    int fd = open(model, O_RDONLY);
    size_t len;

    if (fd < 0 || fstat(fd, &st) < 0)
        die(model);
    len = sizeof(*shared) + (size_t)st.st_size + (3u << 20);
    shared_fd = memfd_create("exercise", 0);
    if (shared_fd < 0 || ftruncate(shared_fd, (off_t)len) < 0)
        die("shared memory");
    shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    if (shared == MAP_FAILED)
        die("shared memory");
    *shared = *options;
    shared->size = (uint64_t)st.st_size;
    shared->cap = len - sizeof(*shared);
    shared->workers = shared->processes * shared->threads;
    if (read(fd, shared->model, shared->size) != st.st_size)
        die(model);
    close(fd);
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attr, shared->workers);
}

static void ask_direct(void)
{
    void *page = aligned_alloc(PAGE, PAGE);
    int fd = open(shared->path, O_RDONLY | O_DIRECT);

    if (fd >= 0 && pread(fd, page, 512, 512) == 512)
        shared->direct = 512;
    else if (fd >= 0 && pread(fd, page, PAGE, PAGE) == PAGE)
        shared->direct = PAGE;
    close(fd);
    free(page);
}

static pid_t start(unsigned process)
{
    pid_t pid = fork();
    char memory[16], number[16];

    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    if (process != 1)
        run_process(process);
    snprintf(memory, sizeof(memory), "%d", shared_fd);
    snprintf(number, sizeof(number), "%u", process);
    execl("/proc/self/exe", "exercise", "--join", memory, number, (char *)NULL);
    die("exec");
    return -1;
}

/* True if something has happened since. */
static bool alive(uint64_t *seen, time_t *since)
{
    uint64_t now = __atomic_load_n(&shared->clock, __ATOMIC_RELAXED);

    if (now != *seen)
        *since = time(NULL);
    *seen = now;
    return time(NULL) - *since < PATIENCE;
}

static void say_where(void)
{
    fprintf(stderr, "exercise: seed %llu, phase %u: nothing happens for %d s; the last operations are\n",
            (unsigned long long)shared->seed, shared->phase, PATIENCE);
    for (unsigned i = 0; i < shared->workers; i++) {
        const struct note *note = &shared->notes[i][(shared->noted[i] - 1) % NOTES];

        fprintf(stderr, "  #%llu worker %u: %s [%llu, %llu)\n", (unsigned long long)note->when, i,
                note->what, (unsigned long long)note->off, (unsigned long long)(note->off + note->len));
    }
}

/* The first bad end, or a hang, ends all: the others wait for each other. */
static bool await_all(pid_t *pids)
{
    unsigned left = shared->processes;
    uint64_t seen = 0;
    time_t since = time(NULL);
    bool good = true;

    while (left > 0 && good) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid == 0) {
            usleep(2000);
            if (!alive(&seen, &since)) {
                say_where();
                good = false;
            }
            continue;
        }
        if (pid < 0)
            die("waitpid");
        for (unsigned i = 0; i < shared->processes; i++)
            if (pids[i] == pid)
                pids[i] = 0;
        left--;
        if (status != 0) {
            if (!shared->failed)
                fprintf(stderr, "exercise: seed %llu: a process ended with status %#x\n",
                        (unsigned long long)shared->seed, status);
            good = false;
        }
    }
    for (int i = 0; shared->failed && !shared->reported && i < 1000; i++)
        usleep(10000);
    for (unsigned i = 0; i < shared->processes; i++)
        if (pids[i]) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    return good;
}

static void write_model(const char *model)
{
    int fd = open(model, O_WRONLY | O_TRUNC);

    if (fd < 0 || write(fd, shared->model, shared->size) != (ssize_t)shared->size || close(fd) < 0)
        die(model);
}

int main(int argc, char **argv)
{
    struct shared options = { .seed = 1, .ops = 10000, .phase_ops = PHASE_OPS, .processes = 2,
                              .threads = 3, .families = ~0u };
    const char *model = NULL;
    pid_t pids[WORKERS];
    int option;

    if (argc > 1 && !strcmp(argv[1], "--child"))
        proc_child(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "--join"))
        run_joined(argc, argv);
    while ((option = getopt(argc, argv, "o:s:p:t:f:m:r")) != -1)
        switch (option) {
        case 'o': options.ops = strtoull(optarg, NULL, 10); break;
        case 's': options.seed = strtoull(optarg, NULL, 10); break;
        case 'p': options.processes = (unsigned)atoi(optarg); break;
        case 't': options.threads = (unsigned)atoi(optarg); break;
        case 'f': options.families = parse_families(optarg); break;
        case 'm': model = optarg; break;
        case 'r': options.readers = 1; break;
        default: return 2;
        }
    if (optind != argc - 1 || !model || options.processes * options.threads - 1 >= WORKERS
        || strlen(argv[optind]) >= sizeof(options.path) || (options.readers && options.processes < 2)) {
        fprintf(stderr, "usage: exercise [-o OPS] [-s SEED] [-p PROCESSES] [-t THREADS] "
                "[-f FAMILIES] [-r] -m MODEL FILE\n");
        return 2;
    }
    strcpy(options.path, argv[optind]);
    make_shared(&options, model);
    shared->common = open(shared->path, O_RDWR);
    if (shared->common < 0)
        die(shared->path);
    ask_direct();
    for (unsigned i = 0; i < shared->processes; i++)
        pids[i] = start(i);
    if (!await_all(pids))
        return 1;
    write_model(model);
    printf("%llu operations, %llu not copied by the kernel\n", (unsigned long long)shared->clock,
           (unsigned long long)shared->fallbacks);
    return 0;
}
