/*
 * Finding the real functions. All at once: the sum is some 50 µs, and a table
 * that is full needs no further care. A function that only old binaries import has no default
 * version any more, and is asked for by the version that it had. Those of liburing are found at
 * their first use: few programs have it, and some load it later, for themselves.
 */
#include "real.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/single_threaded.h>

struct hot hot;

static void *find(const char *symbol)
{
#ifdef __LP64__
    static const char *const versions[] = { "GLIBC_2.2.5" };
#else
    static const char *const versions[] = { "GLIBC_2.4", "GLIBC_2.2", "GLIBC_2.1", "GLIBC_2.0" };
#endif
    void *found = dlsym(RTLD_NEXT, symbol);

    for (size_t i = 0; !found && i < sizeof(versions) / sizeof(versions[0]); i++)
        found = dlvsym(RTLD_NEXT, symbol, versions[i]);
    return found;
}

void real_init(void)
{
    int saved = errno;

    hot.single_threaded = &__libc_single_threaded;
#define HOOK(family, symbol, body) \
    if (strncmp(#symbol, "io_uring_", 9) != 0) \
        hot.real.symbol = (__typeof__(hot.real.symbol))find(#symbol);
#ifndef __LP64__
#define NARROW(family, symbol, body) \
    hot.real.narrow_##symbol = (__typeof__(hot.real.narrow_##symbol))find(#symbol);
#endif
#include "hooks.def"
#undef HOOK
    errno = saved;
}

void *real_find_late(const char *library, const char *symbol)
{
    void *found = dlsym(RTLD_NEXT, symbol), *loaded = NULL;

    if (!found)
        loaded = REAL(dlopen)(library, RTLD_LAZY | RTLD_NOLOAD);
    if (loaded) {
        found = dlsym(loaded, symbol);
        dlclose(loaded);
    }
    return found;
}
