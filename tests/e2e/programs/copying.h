/* What the programs share that copy within the kernel. */
#ifndef COPYING_H
#define COPYING_H

#include <sys/types.h>
#include <unistd.h>

#include "ops.h"

#define BIG (3 << 20)

static char big[BIG];

static inline void offset_of(const char *what, int fd)
{
    printf("%s at %lld\n", what, (long long)lseek(fd, 0, SEEK_CUR));
}

/* A file beside it, with something in it, and no name. */
static inline int other(size_t len)
{
    int fd = open("other", O_RDWR | O_CREAT | O_TRUNC, 0600);

    unlink("other");
    for (size_t i = 0; i < len; i++)
        big[i] = (char)(i * 31 + i / 257);
    if (fd < 0 || write(fd, big, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
        exit(1);
    return fd;
}

static inline void content(const char *what, int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t len = pread(fd, big, sizeof(big), 0);

    printf("%s: %lld, %zd %08x\n", what, (long long)size, len, sum(big, len));
}

static inline void drain(const char *what, int fd, size_t len)
{
    size_t done = 0;
    ssize_t n;

    while (done < len && (n = read(fd, big + done, len - done)) > 0)
        done += (size_t)n;
    printf("%s: %zu %08x\n", what, done, sum(big, (ssize_t)done));
}

static inline void pipe_of(int ends[2], int flags)
{
    if (pipe2(ends, flags) < 0)
        exit(1);
}

/* Until that thread waits for something. */
static inline void wait_asleep(pid_t tid)
{
    char name[64], line[512] = "";
    int fd;

    snprintf(name, sizeof(name), "/proc/self/task/%d/stat", tid);
    do {
        fd = open(name, O_RDONLY);
        if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
            exit(1);
        close(fd);
    } while (!strstr(line, ") S "));
}

#endif
