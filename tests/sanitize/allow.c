/*
 * What programs and libraries do that a sanitizer's runtime would end them for, or hang in, and
 * that is no business of these tests. Preloaded between the library under test and the runtime,
 * and linked so that its constructor is the first of all.
 *
 *   aligned_alloc   of a size that is no multiple of the alignment, as coreutils calls it.
 *   longjmp         to another stack, as QEMU's coroutines do. The thread sanitizer knows a
 *                   thread's own stack alone; so libc's function is called past it.
 *   the first call  of something that the runtime intercepts begins the runtime; but that must
 *                   not be below newlocale, as in libp11-kit's constructor, because the thread
 *                   sanitizer's beginning takes the locale's lock that is held there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>

void BEGIN(void);

static void __attribute__((constructor)) begin(void)
{
    BEGIN();
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

#ifdef JUMPS
/* Found at its first use: a dlopen in the first constructor would run libc's without an environment. */
#define JUMP(name) \
    void jump_##name(void *env, int value) __asm__(#name); \
    void jump_##name(void *env, int value) \
    { \
        static void (*real)(void *env, int value); \
        \
        if (!real) \
            real = (__typeof__(real))dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), #name); \
        real(env, value); \
    }

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)
JUMP(__longjmp_chk)
#endif
