/*
 * A library that is bound to libc before all others, and so would not see a disk; and with -DPROGRAM
 * what loads it, in both ways: `deep_bind LIBRARY FILE`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#ifdef PROGRAM
static void use(const char *how, void *library, const char *path)
{
    int (*sum)(const char *) = library ? (int (*)(const char *))dlsym(library, "sum_of") : NULL;

    printf("%s: %d\n", how, sum ? sum(path) : -1);
    if (library)
        dlclose(library);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    use("dlopen", dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND), argv[2]);
    use("dlmopen", dlmopen(LM_ID_BASE, argv[1], RTLD_NOW | RTLD_DEEPBIND), argv[2]);
    return 0;
}
#else
int sum_of(const char *path);

int sum_of(const char *path)
{
    unsigned char bytes[900];
    int fd = open(path, O_RDONLY), sum = 0;

    for (ssize_t n = read(fd, bytes, sizeof(bytes)); n > 0; n--)
        sum = (sum * 31 + bytes[n - 1]) & 0xffffff;
    close(fd);
    return sum;
}
#endif
