/*
 * Mappings of a disk, one group per mode: `map_ops MODE FILE`. What is not said by a value is
 * said by the content, which is compared after the run.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)

static size_t file_size(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        exit(1);
    return (size_t)st.st_size;
}

static size_t up(size_t len)
{
    return (len + PAGE - 1) / PAGE * PAGE;
}

static char *map(int fd, size_t len, int prot, int flags, off_t off)
{
    char *at = mmap(NULL, len, prot, flags, fd, off);

    if (at == MAP_FAILED) {
        printf("mmap: %s\n", strerror(errno));
        exit(1);
    }
    return at;
}

static void mapped(const char *what, const char *at, size_t len)
{
    printf("%s: %08x\n", what, sum(at, (ssize_t)len));
}

/* 0, or the error: where the address may be anything. */
static void tried(const char *what, void *at)
{
    printf("%s: %s\n", what, at == MAP_FAILED ? strerror(errno) : "good");
}

static void do_shared(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = map(fd, size, RW, MAP_SHARED, 0);

    mapped("all", at, size);
    memcpy(at + 700, "stored by the mapping", 21);
    memset(at + 50000, 'x', 5001);
    got("read", pread(fd, buf, 60000, 0));
    said("write", pwrite(fd, "written by a call", 17, 8190));
    printf("%.17s\n", at + 8190);
    mapped("all", at, size);
    said("msync", msync(at, size, MS_SYNC));
    said("msync", msync(at + PAGE, PAGE, MS_ASYNC));
    said("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 20000, 10000));
    mapped("punched", at, size);
    said("munmap", munmap(at, size));
    at = map(fd, 3 * PAGE, RW, MAP_SHARED, 2 * PAGE);
    mapped("part", at, 3 * PAGE);
    at[3 * PAGE - 1] = 'E';
    said("munmap", munmap(at, 3 * PAGE));
    close(fd);
}

static void do_private(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    size_t size = file_size(path);
    char *at = map(fd, size, PROT_READ, MAP_PRIVATE, 0);

    mapped("all", at, up(size));
    said("munmap", munmap(at, size));
    for (size_t off = 0; off < size; off += 7 * PAGE) {
        size_t len = size - off < 5 * PAGE + 100 ? size - off : 5 * PAGE + 100;

        at = map(fd, len, PROT_READ, MAP_PRIVATE, (off_t)off);
        mapped("some", at, len);
        munmap(at, len);
    }
    close(fd);
}

static void do_private_write(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    size_t size = file_size(path);
    char *at = map(fd, size, RW, MAP_PRIVATE, 0);

    for (size_t off = 0; off < size; off += 1500)
        at[off] = 'P';
    mapped("changed", at, up(size));
    got("read", pread(fd, buf, sizeof(buf), 0));
    said("msync", msync(at, size, MS_SYNC));
    said("mprotect", mprotect(at, size, PROT_READ));
    said("mprotect", mprotect(at, size, RW));
    close(fd);
    at[0] = 'Q';
    mapped("closed", at, size);
    munmap(at, size);
}

static void do_readonly(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    size_t size = file_size(path);
    char *at;

    tried("write", mmap(NULL, size, RW, MAP_SHARED, fd, 0));
    at = map(fd, size, PROT_READ, MAP_SHARED, 0);
    mapped("all", at, up(size));
    said("msync", msync(at, size, MS_SYNC));
    said("mprotect", mprotect(at, size, RW));
    close(fd);
    mapped("all", at, size);
    said("munmap", munmap(at, size));
}

static void do_reader_and_writer(const char *path)
{
    int fd = must_open(path, O_RDONLY), w = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = map(fd, size, PROT_READ, MAP_SHARED, 0);

    said("write", pwrite(w, "seen by the reader's mapping", 28, 30000));
    printf("%.28s\n", at + 30000);
    said("mprotect", mprotect(at, size, RW));
    close(w);
    mapped("all", at, up(size));
    munmap(at, size);
    close(fd);
}

static void do_errors(const char *path)
{
    int fd = must_open(path, O_RDWR), r = must_open(path, O_RDONLY), w = must_open(path, O_WRONLY);
    char *at = map(fd, 4 * PAGE, PROT_READ, MAP_PRIVATE, 0);

    tried("empty", mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0));
    tried("empty private", mmap(NULL, 0, PROT_READ, MAP_PRIVATE, r, 0));
    tried("odd", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100));
    tried("negative", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, -PAGE));
    tried("huge", mmap(NULL, SIZE_MAX, PROT_READ, MAP_SHARED, fd, 0));
    tried("huge", mmap(NULL, (size_t)1 << 62, PROT_READ, MAP_PRIVATE, r, 0));
    tried("overflow", mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, INT64_MAX / PAGE * PAGE));
    tried("neither", mmap(NULL, PAGE, PROT_READ, 0, fd, 0));
    tried("write-only", mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, w, 0));
    tried("write-only private", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, w, 0));
    tried("write-only empty", mmap(NULL, 0, PROT_READ, MAP_PRIVATE, w, 0));
    tried("read-only", mmap(NULL, PAGE, RW, MAP_SHARED, r, 0));
    tried("odd place", mmap(at + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, r, 0));
    tried("taken", mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, r, 0));
    tried("flags", mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 1 << 28, fd, 0));
    tried("sync", mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
    said("msync", msync(at, PAGE, MS_SYNC | MS_ASYNC));
    said("msync", msync(at + 1, PAGE, MS_SYNC));
    said("munmap", munmap(at + 1, PAGE));
    said("munmap", munmap(at, 0));
    tried("mremap", mremap(at, 4 * PAGE, 0, 0));
    tried("mremap", mremap(at + 1, PAGE, PAGE, 0));
    tried("mremap", mremap(at, PAGE, PAGE, MREMAP_FIXED, at + PAGE));
    tried("mremap", mremap(at, 2 * PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, at + PAGE));
    tried("mremap", mremap(at, PAGE, PAGE, 64));
    tried("mremap", mremap(at, 0, PAGE, MREMAP_MAYMOVE));
    said("munmap", munmap(at, 4 * PAGE));
    said("msync", msync(at, PAGE, MS_SYNC));
}

static void do_outlives(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = map(fd, size, RW, MAP_SHARED, 0);

    close(fd);
    memcpy(at + 123456, "after close", 11);
    said("msync", msync(at, size, MS_SYNC));
    memset(at + 70000, 'c', 3000);
    fd = must_open(path, O_RDONLY);
    got("read", pread(fd, buf, sizeof(buf), 65536));
    close(fd);
    said("munmap", munmap(at, size));
}

static sigjmp_buf jump;

static void on_bus(int number)
{
    siglongjmp(jump, number);
}

static void touch(const char *what, volatile char *at)
{
    struct sigaction sa = { .sa_handler = on_bus };
    int number;

    sigaction(SIGBUS, &sa, NULL);
    number = sigsetjmp(jump, 1);
    if (number)
        printf("%s: %s\n", what, strsignal(number));
    else
        printf("%s: %d\n", what, *at);
}

static void past_end(int fd, size_t size, int flags, int prot)
{
    char *at = map(fd, up(size) + 4 * PAGE, prot, flags, 0);

    touch("last", at + size - 1);
    touch("page's rest", at + up(size) - (size % PAGE ? 1 : PAGE));
    touch("past the end", at + up(size));
    touch("far past the end", at + up(size) + 3 * PAGE);
    munmap(at, up(size) + 4 * PAGE);
    at = map(fd, PAGE, prot, flags, (off_t)up(size) + PAGE);
    touch("wholly past the end", at);
    munmap(at, PAGE);
}

static void do_past_end(const char *path)
{
    int fd = must_open(path, O_RDWR), r = must_open(path, O_RDONLY);
    size_t size = file_size(path);
    char *at;

    past_end(r, size, MAP_PRIVATE, PROT_READ);
    past_end(r, size, MAP_PRIVATE, RW);
    past_end(r, size, MAP_SHARED, PROT_READ);
    past_end(fd, size, MAP_SHARED, RW);
    at = map(fd, size, RW, MAP_SHARED, 0);
    said("cut", ftruncate(fd, 5000));
    touch("cut", at + 3 * PAGE);
    touch("kept", at + 4999);
    touch("page's rest", at + 5001);
    munmap(at, size);
}

static void do_grow(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path), big = up(size) + 20 * PAGE;
    char *at = map(fd, big, RW, MAP_SHARED, 0);

    touch("before", at + up(size) + PAGE);
    said("grow", ftruncate(fd, (off_t)size + 9000));
    touch("after", at + size + 8000);
    memcpy(at + size + 5000, "in what has grown", 17);
    got("read", pread(fd, buf, 9000, (off_t)size));
    said("write", pwrite(fd, "end", 3, (off_t)big - 100));
    memcpy(at + big - 5000, "in the gap", 10);
    got("read", pread(fd, buf, sizeof(buf), (off_t)size));
    mapped("all", at, big);
    said("shrink", ftruncate(fd, 3000));
    said("grow", ftruncate(fd, (off_t)big));
    mapped("zeros", at, big);
    memcpy(at + 100000, "again", 5);
    got("read", pread(fd, buf, sizeof(buf), 65536));
    munmap(at, big);
    close(fd);
}

static void do_remap(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = map(fd, 2 * PAGE, RW, MAP_SHARED, PAGE), *room;

    memcpy(at, "first", 5);
    at = mremap(at, 2 * PAGE, 30 * PAGE, MREMAP_MAYMOVE);
    mapped("larger", at, 30 * PAGE);
    memcpy(at + 29 * PAGE, "in the new part", 15);
    at = mremap(at, 30 * PAGE, 4 * PAGE, 0);
    mapped("smaller", at, 4 * PAGE);
    room = mmap(NULL, 10 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at = mremap(at, 4 * PAGE, 9 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    said("there", at == room);
    memcpy(at + 8 * PAGE, "moved", 5);
    room = mremap(at, 0, 3 * PAGE, MREMAP_MAYMOVE);
    memcpy(room, "twice", 5);
    printf("%.5s\n", at);
    munmap(room, 3 * PAGE);
    at = mremap(at + PAGE, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
    memcpy(at + 4 * PAGE + 7, "a part of it", 12);
    said("msync", msync(at, 5 * PAGE, MS_SYNC));
    got("read", pread(fd, buf, sizeof(buf), 0));
    munmap(at, 5 * PAGE);
    at = map(fd, PAGE, RW, MAP_SHARED, 0);
    at = mremap(at, PAGE, up(size) + 4 * PAGE, MREMAP_MAYMOVE);
    mapped("all", at, size);
    touch("past the end", at + up(size) + PAGE);
    close(fd);
}

static void remap_runs(int fd, size_t size, int prot, int flags)
{
    char *at = map(fd, 40 * PAGE, prot, flags, 0), *room;

    if (prot & PROT_WRITE)
        for (size_t off = 0; off < 40 * PAGE; off += 5000)
            at[off] = 'p';
    at = mremap(at, 40 * PAGE, 70 * PAGE, MREMAP_MAYMOVE);
    mapped("larger", at, 70 * PAGE < size ? 70 * PAGE : up(size));
    at = mremap(at, 70 * PAGE, 20 * PAGE, 0);
    mapped("smaller", at, 20 * PAGE);
    room = mmap(NULL, 50 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at = mremap(at, 20 * PAGE, 30 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    said("there", at == room);
    mapped("moved", at, 30 * PAGE);
    tried("in the way", mremap(at, 30 * PAGE, 60 * PAGE, 0));
    tried("a copy", mremap(at, 0, PAGE, flags & MAP_PRIVATE ? MREMAP_MAYMOVE : 0));
    at = mremap(at + 3 * PAGE, 9 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 40 * PAGE);
    mapped("a part", at, 4 * PAGE);
    munmap(room, 50 * PAGE);
}

static void do_remap_private(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    remap_runs(fd, file_size(path), RW, MAP_PRIVATE);
    remap_runs(fd, file_size(path), PROT_READ, MAP_PRIVATE);
}

static void do_remap_readonly(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    remap_runs(fd, file_size(path), PROT_READ, MAP_SHARED);
}

static void do_pieces(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path) / PAGE * PAGE;
    char *at = map(fd, size, RW, MAP_SHARED, 0);

    said("middle", munmap(at + 10 * PAGE, 3 * PAGE));
    memcpy(at + 9 * PAGE, "before", 6);
    memcpy(at + 13 * PAGE, "behind", 6);
    said("msync", msync(at, 10 * PAGE, MS_SYNC));
    said("over the hole", msync(at, 15 * PAGE, MS_SYNC));
    said("first", munmap(at, 2 * PAGE));
    said("last", munmap(at + size - PAGE, PAGE));
    memcpy(at + 2 * PAGE, "still", 5);
    said("most", munmap(at - PAGE, 14 * PAGE));
    close(fd);
    memcpy(at + 20 * PAGE, "the last piece", 14);
    said("rest", munmap(at + 13 * PAGE, size - 14 * PAGE));
}

static void do_over(const char *path)
{
    int fd = must_open(path, O_RDWR), r = must_open(path, O_RDONLY);
    char *at = map(fd, 20 * PAGE, RW, MAP_SHARED, 0);

    tried("anonymous", mmap(at + 2 * PAGE, 3 * PAGE, RW,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    memcpy(at + 2 * PAGE, "goes nowhere", 12);
    tried("private", mmap(at + 7 * PAGE, 3 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, r, 7 * PAGE));
    memcpy(at + 8 * PAGE, "goes nowhere", 12);
    tried("shared", mmap(at + 12 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 30 * PAGE));
    memcpy(at + 12 * PAGE, "goes to page 30", 15);
    memcpy(at + 6 * PAGE, "goes to page 6", 14);
    said("msync", msync(at, 20 * PAGE, MS_SYNC));
    mapped("all", at, 20 * PAGE);
    munmap(at, 20 * PAGE);
}

static void do_fork(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = map(fd, size, RW, MAP_SHARED, 0);
    char *mine = map(fd, size, RW, MAP_PRIVATE, 0);
    int status;
    pid_t pid;

    fflush(stdout);
    close(fd);
    pid = fork();
    if (pid == 0) {
        memcpy(at + 40000, "by the child", 12);
        memcpy(mine + 40000, "nowhere", 7);
        if (msync(at, size, MS_SYNC) < 0)
            _exit(1);
        munmap(at, size / 2 / PAGE * PAGE);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    said("child", status);
    printf("%.12s\n", at + 40000);
    said("same", memcmp(mine + 40000, "nowhere", 7) == 0);
    memcpy(at + 41000, "by the parent", 13);
}

/* One that maps and one that opens it for itself. */
static void do_processes(const char *path)
{
    int fd = must_open(path, O_RDWR), there[2], back[2];
    size_t size = file_size(path);
    char *at = map(fd, up(size) + 8 * PAGE, RW, MAP_SHARED, 0), c;
    pid_t pid;

    if (pipe(there) || pipe(back))
        exit(1);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char *own;

        close(fd);
        fd = must_open(path, O_RDWR);
        own = map(fd, size, RW, MAP_SHARED, 0);
        if (read(there[0], &c, 1) != 1)
            _exit(1);
        got("child reads", pread(fd, buf, sizeof(buf), 0));
        mapped("child's mapping", own, size);
        memcpy(own + 90000, "by the child's mapping", 22);
        said("child writes", pwrite(fd, "by the child's call", 19, 95000));
        said("child grows", ftruncate(fd, (off_t)up(size) + 2 * PAGE));
        fflush(stdout);
        if (write(back[1], "x", 1) != 1)
            _exit(1);
        _exit(read(there[0], &c, 1) != 1 || pread(fd, buf, 9, (off_t)up(size) + PAGE) != 9
              || memcmp(buf, "in growth", 9) != 0);
    }
    memcpy(at + 5000, "by the parent's mapping", 23);
    if (write(there[1], "x", 1) != 1 || read(back[0], &c, 1) != 1)
        exit(1);
    printf("%.22s %.19s\n", at + 90000, at + 95000);
    memcpy(at + up(size) + PAGE, "in growth", 9);
    if (write(there[1], "x", 1) != 1)
        exit(1);
    int status;
    waitpid(pid, &status, 0);
    said("child", status);
}

static void do_flags(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    size_t size = file_size(path);
    static const int flags[] = { MAP_POPULATE, MAP_NORESERVE, MAP_DENYWRITE, MAP_STACK,
                                 MAP_POPULATE | MAP_NORESERVE };
    char *hint = mmap(NULL, up(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;
    unsigned char in[8192];

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        at = map(fd, size, PROT_READ, MAP_PRIVATE | flags[i], 0);
        mapped("private", at, size);
        munmap(at, size);
        at = map(fd, size, PROT_READ, MAP_SHARED | flags[i], 0);
        mapped("shared", at, size);
        said("mincore", mincore(at, size, in));
        said("madvise", madvise(at, size, MADV_RANDOM));
        munmap(at, size);
    }
    munmap(hint, up(size));
    at = mmap(hint, size, PROT_READ, MAP_PRIVATE, fd, 0);
    said("hint", at == hint);
    at = mmap(hint, size, RW, MAP_PRIVATE | MAP_FIXED, fd, 0);
    said("fixed", at == hint);
    mapped("fixed", at, size);
    munmap(at, size);
    at = mmap(hint, size, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
    said("free", at == hint);
    mapped("free", at, size);
    munmap(at, size);
    at = map(fd, size, PROT_NONE, MAP_PRIVATE, 0);
    said("mprotect", mprotect(at, size, PROT_READ));
    mapped("none", at, size);
}

/* Pages that are dropped come again from where they came from. */
static void do_dropped(const char *path)
{
    static const struct {
        int open, prot, flags;
    } kinds[] = {
        { O_RDONLY, PROT_READ, MAP_SHARED }, { O_RDONLY, PROT_READ, MAP_PRIVATE },
        { O_RDONLY, RW, MAP_PRIVATE }, { O_RDWR, RW, MAP_SHARED },
    };
    size_t size = file_size(path);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        int fd = must_open(path, kinds[i].open);
        char *at = map(fd, size, kinds[i].prot, kinds[i].flags, 0);

        close(fd);
        if (kinds[i].prot & PROT_WRITE)
            for (size_t off = 0; off < size; off += 1500)
                at[off] = 'D';
        said("madvise", madvise(at, size, MADV_DONTNEED));
        mapped("again", at, up(size));
        munmap(at, size);
    }
}

static void do_numbers(const char *path)
{
    int fd = must_open(path, O_RDWR);
    size_t size = file_size(path);
    char *at = (char *)syscall(SYS_mmap, NULL, size, RW, MAP_SHARED, fd, 0);

    mapped("all", at, size);
    memcpy(at + 1000, "by number", 9);
    said("msync", syscall(SYS_msync, at, size, MS_SYNC));
    at = (char *)syscall(SYS_mremap, at, size, PAGE, 0, NULL);
    mapped("part", at, PAGE);
    said("munmap", syscall(SYS_munmap, at, PAGE));
    said("odd", syscall(SYS_mmap, NULL, size, RW, MAP_SHARED, fd, 1));
    at = mmap64(NULL, size, RW, MAP_SHARED, fd, 0);
    memcpy(at + 2000, "sixty-four", 10);
    munmap(at, size);
    close(fd);
}

static const char *shared_path;

static void *map_much(void *arg)
{
    size_t number = (size_t)arg;

    for (int i = 0; i < 50; i++) {
        int fd = must_open(shared_path, O_RDWR);
        char *at = map(fd, 20 * PAGE, RW, MAP_SHARED, 0);
        char *mine = map(fd, 20 * PAGE, RW, MAP_PRIVATE, 0);

        close(fd);
        at[i * 1000 + (int)number] = (char)('a' + number);
        mine[i] = 'n';
        msync(at, 20 * PAGE, i % 10 ? MS_ASYNC : MS_SYNC);
        munmap(at, 20 * PAGE);
        munmap(mine, 20 * PAGE);
    }
    return NULL;
}

static void do_threads(const char *path)
{
    pthread_t threads[4];

    shared_path = path;
    for (size_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, map_much, (void *)i);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* The end of the process is the only unmapping. */
static void do_left(const char *path)
{
    int fd = must_open(path, O_RDWR);
    char *at = map(fd, file_size(path), RW, MAP_SHARED, 0);

    close(fd);
    memcpy(at + 33333, "left to the end", 15);
    _exit(0);
}

/* The mapping's process ends before its child has made any call on the disk. */
static void do_orphan(const char *path)
{
    size_t size = file_size(path);
    int fd = must_open(path, O_RDWR), ends[2];
    char *at = map(fd, up(size) + 8 * PAGE, RW, MAP_SHARED, 0), c;

    if (pipe(ends) < 0)
        exit(1);
    fflush(stdout);
    if (fork() > 0)
        _exit(0);
    close(ends[1]);
    if (read(ends[0], &c, 1) != 0)
        exit(1);
    snprintf(buf, sizeof(buf), "truncate -s %zu %s", up(size) + 4 * PAGE, path);
    said("grow", system(buf));
    memcpy(at + up(size) + PAGE, "by an orphan", 12);
    got("read", pread(fd, buf, 3 * PAGE, (off_t)size));
}

static void do_append(const char *path)
{
    int fd = must_open(path, O_RDWR | O_APPEND);
    size_t size = file_size(path);
    char *at = map(fd, up(size) + PAGE, RW, MAP_SHARED, 0);

    memcpy(at + size - 10, "0123456789", 10);
    said("write", write(fd, "appended", 8));
    printf("%.18s\n", at + size - 10);
    munmap(at, up(size) + PAGE);
    close(fd);
}

/* Out of use for long, and a file need not know it. */
static void do_remap_pages(const char *path)
{
    int fd = must_open(path, O_RDWR);
    char *at = map(fd, 4 * PAGE, RW, MAP_SHARED, 0);

    for (int page = 20; page < 40; page += 4) {
        if (remap_file_pages(at, PAGE, 0, (size_t)page, 0) < 0
            && mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, page * PAGE) == MAP_FAILED)
            exit(1);
        mapped("page", at, PAGE);
        at[5] = 'r';
    }
}

static const struct mode modes[] = {
    { "shared", do_shared }, { "private", do_private }, { "private_write", do_private_write },
    { "readonly", do_readonly }, { "reader_and_writer", do_reader_and_writer },
    { "errors", do_errors }, { "outlives", do_outlives }, { "past_end", do_past_end },
    { "grow", do_grow }, { "remap", do_remap }, { "remap_private", do_remap_private },
    { "remap_readonly", do_remap_readonly }, { "pieces", do_pieces }, { "over", do_over },
    { "fork", do_fork }, { "processes", do_processes }, { "flags", do_flags },
    { "dropped", do_dropped }, { "numbers", do_numbers }, { "threads", do_threads },
    { "left", do_left },
    { "append", do_append }, { "remap_pages", do_remap_pages }, { "orphan", do_orphan },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}
