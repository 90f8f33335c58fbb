/*
 * What the small C programs of the end-to-end tests share: each is called with a
 * mode and a file, and prints what it saw, so that a run on a plain file and one
 * on a disk can be compared.
 */
#ifndef OPS_H
#define OPS_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mode {
    const char *name;
    void (*run)(const char *path);
};

static char buf[1 << 16];

static inline uint32_t sum(const void *data, ssize_t len)
{
    const unsigned char *p = data;
    uint32_t h = 2166136261u;

    for (; len > 0; len--)
        h = (h ^ *p++) * 16777619u;
    return h;
}

static inline void said(const char *what, long long result)
{
    printf("%s: %lld%s%s\n", what, result, result < 0 ? " " : "",
           result < 0 ? strerror(errno) : "");
}

static inline void got(const char *what, ssize_t len)
{
    printf("%s: %zd %08x\n", what, len, sum(buf, len));
}

static inline int must_open(const char *path, int flags)
{
    int fd = open(path, flags, 0644);

    if (fd < 0) {
        printf("open %x: %s\n", flags, strerror(errno));
        exit(1);
    }
    return fd;
}

static inline FILE *must_fopen(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);

    if (!f) {
        printf("fopen %s: %s\n", mode, strerror(errno));
        exit(1);
    }
    return f;
}

static inline void show(const char *what, FILE *f, size_t want)
{
    size_t len = fread(buf, 1, want, f);

    printf("%s: %zu bytes %08x at %lld eof %d error %d\n", what, len, sum(buf, (ssize_t)len),
           (long long)ftello(f), feof(f), ferror(f));
}

static inline int run_mode(const struct mode *modes, size_t nmodes, int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < nmodes; i++)
        if (!strcmp(argv[1], modes[i].name)) {
            modes[i].run(argv[2]);
            return 0;
        }
    fprintf(stderr, "usage: %s MODE FILE\n", argv[0]);
    return 2;
}

#endif
