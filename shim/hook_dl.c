/*
 * Libraries that a program loads. A plug-in that is bound to its own libraries first
 * (RTLD_DEEPBIND) would find libc's functions before these hooks, and read the metadata file as
 * if it were the disk: so it is bound as any other. One that is loaded into a namespace of its own
 * has a libc of its own, and there is nothing to be done but to say so.
 */
#include <dlfcn.h>

#include "hooks.h"
#include "real.h"
#include "report.h"

/*
 * A jump, not a call: libc looks at where it is called from, for the search path ($ORIGIN, RUNPATH) and the
 * namespace. With a call it would take this library for the caller.
 */
#ifdef __clang__
#define JUMP
#else
#define JUMP __attribute__((optimize("O2", "optimize-sibling-calls")))
#endif

JUMP void *hook_dlopen(const char *file, int mode)
{
    return REAL(dlopen)(file, mode & ~RTLD_DEEPBIND);
}

static void tell(const char *file)
{
    static bool told;

    if (!__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
        report("%s: loaded into a namespace of its own (dlmopen): it sees a disk's metadata file, not "
               "the disk", file ? file : "a library");
}

JUMP void *hook_dlmopen(long space, const char *file, int mode)
{
    if (space != LM_ID_BASE)
        tell(file);
    return REAL(dlmopen)(space, file, mode & ~RTLD_DEEPBIND);
}

#define HOOK_dl EXPORT
#include "alias.h"
