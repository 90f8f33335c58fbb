/*
 * A program with an open and a read of its own, which other libraries bind to as well: `own_open FILE`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");

    return flags & O_CLOEXEC ? (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0) : real(path, flags, 0);
}

/* Always the same place. */
ssize_t read(int fd, void *buf, size_t len)
{
    return pread(fd, buf, len, 600);
}

int main(int argc, char **argv)
{
    static char buf[100];
    FILE *f;

    for (int i = 0; i < 2; i++) {
        int fd = open(argv[argc - 1], O_RDWR | (i ? O_CLOEXEC : 0));

        printf("%d %zd %02x", fd, read(fd, buf, 100), buf[7] & 255);
        printf(" %zd\n", pwrite(fd, "own", 3, 5000 + 1000 * i));
    }
    f = fopen(argv[argc - 1], "r");
    printf("%d %zu %02x\n", fileno(f), fread(buf, 1, 50, f), buf[7] & 255);
    return 0;
}
