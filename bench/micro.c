/*
 * Times one kind of call on one file, and prints nanoseconds per call: the
 * minimum and the median over rounds. It knows nothing of disks or preloading;
 * run.py runs it with and without the library on files that it prepares, and
 * compares. A round is timed as a whole, so that the clock costs nothing, and the places are drawn
 * before it starts.
 *
 *   micro MODE FILE ROUNDS CALLS SEED
 *
 *   read       4 KiB preads at random places, all of them read once before
 *   overwrite  4 KiB pwrites at random places, all of them written once before
 *   first      4 KiB pwrites, every block of the file once in random order; CALLS is then what
 *              the file has room for, divided by ROUNDS
 *   seek       lseek(fd, 0, SEEK_CUR): the cheapest call there is, to see a hook's cost
 *   byte       1-byte preads at offset 0
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static const char *file;

static void die(const char *what)
{
    fprintf(stderr, "micro: %s: %s: %s\n", file, what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void do_read(int fd, const off_t *at, long calls, char *buf)
{
    for (long i = 0; i < calls; i++)
        if (pread(fd, buf, BLOCK, at[i]) != BLOCK)
            die("read");
}

static void do_write(int fd, const off_t *at, long calls, char *buf)
{
    for (long i = 0; i < calls; i++)
        if (pwrite(fd, buf, BLOCK, at[i]) != BLOCK)
            die("write");
}

static void do_seek(int fd, const off_t *at, long calls, char *buf)
{
    (void)at, (void)buf;
    for (long i = 0; i < calls; i++)
        if (lseek(fd, 0, SEEK_CUR) < 0)
            die("lseek");
}

static void do_byte(int fd, const off_t *at, long calls, char *buf)
{
    (void)at;
    for (long i = 0; i < calls; i++)
        if (pread(fd, buf, 1, 0) != 1)
            die("read");
}

static const struct mode {
    const char *name;
    void (*run)(int fd, const off_t *at, long calls, char *buf);
    void (*prepare)(int fd, const off_t *at, long calls, char *buf); /* over the whole file */
    int flags;
    int places;                 /* it has blocks at all */
    int once;                   /* each block once */
} modes[] = {
    { "read", do_read, do_read, O_RDONLY, 1, 0 },
    { "overwrite", do_write, do_write, O_RDWR, 1, 0 },
    { "first", do_write, NULL, O_RDWR, 1, 1 },
    { "seek", do_seek, NULL, O_RDONLY, 0, 0 },
    { "byte", do_byte, NULL, O_RDONLY, 0, 0 },
};

static const struct mode *find_mode(const char *name)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (!strcmp(modes[i].name, name))
            return &modes[i];
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);

    if (!p)
        die("calloc");
    return p;
}

/* All blocks of the file in order, or in the order that `seed` gives. */
static off_t *all_blocks(long blocks, uint64_t seed)
{
    off_t *at = allocate(blocks, sizeof(*at));

    for (long i = 0; i < blocks; i++)
        at[i] = (off_t)i * BLOCK;
    for (long i = blocks - 1; seed && i > 0; i--) {
        long j = draw(&seed) % (i + 1);
        off_t swap = at[i];

        at[i] = at[j];
        at[j] = swap;
    }
    return at;
}

int main(int argc, char **argv)
{
    const struct mode *mode = argc == 6 ? find_mode(argv[1]) : NULL;
    long rounds = mode ? atol(argv[3]) : 0, calls = mode ? atol(argv[4]) : 0, blocks = 0;
    uint64_t seed = mode ? strtoull(argv[5], NULL, 10) * 2 + 1 : 0;
    off_t *at = NULL;
    double *times;
    char *buf;
    int fd;

    if (!mode || rounds < 1 || calls < 1) {
        fprintf(stderr, "usage: micro read|overwrite|first|seek|byte FILE ROUNDS CALLS SEED\n");
        return 2;
    }
    file = argv[2];
    fd = open(file, mode->flags);
    if (fd < 0)
        die("open");
    if (posix_memalign((void **)&buf, BLOCK, BLOCK))
        die("memory");
    memset(buf, 0x5a, BLOCK);
    times = allocate(rounds, sizeof(*times));

    if (mode->places) {
        struct stat st;

        if (fstat(fd, &st) < 0)
            die("stat");
        blocks = st.st_size / BLOCK;
        if (blocks < rounds) {
            errno = EINVAL;
            die("too small");
        }
    }
    if (mode->prepare) {
        at = all_blocks(blocks, 0);
        mode->prepare(fd, at, blocks, buf);
        free(at);
        at = NULL;
        if (mode->flags == O_RDWR && fsync(fd) < 0)
            die("fsync");
    }
    if (mode->once) {
        calls = blocks / rounds;
        at = all_blocks(blocks, seed);
    } else if (mode->places) {
        at = allocate(rounds * calls, sizeof(*at));
        for (long i = 0; i < rounds * calls; i++)
            at[i] = (off_t)(draw(&seed) % blocks) * BLOCK;
    }

    for (long round = 0; round < rounds; round++) {
        double start = now();

        mode->run(fd, at ? at + round * calls : NULL, calls, buf);
        times[round] = (now() - start) / calls;
    }
    qsort(times, rounds, sizeof(*times), compare);
    printf("%.2f %.2f\n", times[0], times[rounds / 2]);

    if (mode->flags == O_RDWR && fsync(fd) < 0)
        die("fsync");
    return close(fd) < 0;
}
