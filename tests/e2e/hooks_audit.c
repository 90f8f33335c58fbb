/*
 * An auditor of the dynamic linker (rtld-audit(7)): for each symbol that a program binds to the library under
 * test, a line "PROGRAM SYMBOL" is appended to the file that HOOKS_LOG names. What is bound
 * at a program's start has all that it could call in it, what is bound lazily only what it did.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *log_name;
static char program[256];

unsigned int la_version(unsigned int version)
{
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (len > 0)
        memmove(program, basename(program), strlen(basename(program)) + 1);
    log_name = getenv("HOOKS_LOG");
    return version;
}

unsigned int la_objopen(struct link_map *map, Lmid_t space, uintptr_t *cookie)
{
    (void)space;
    (void)cookie;
    return strstr(map->l_name, "libaddcow-preload.so") ? LA_FLG_BINDTO : LA_FLG_BINDFROM;
}

uintptr_t la_symbind64(Elf64_Sym *sym, unsigned int index, uintptr_t *from, uintptr_t *to,
                       unsigned int *flags, const char *name)
{
    int fd = log_name ? open(log_name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    char line[512];
    int len = snprintf(line, sizeof(line), "%s %s\n", program, name);

    (void)index;
    (void)from;
    (void)to;
    (void)flags;
    if (fd >= 0) {
        if (write(fd, line, (size_t)len) < 0)
            abort();
        close(fd);
    }
    return sym->st_value;
}
