/*
 * What every hook reads, on as few pages as can be. Where the kernel isolates its page
 * tables and the processor has no tags for them, each system call empties the TLB, and
 * each further page that a hook touches costs some 6 ns, more than the hook's instructions,
 * and more yet if it is far from the others. So what is large stands at the end.
 */
#ifndef SHIM_HOT_H
#define SHIM_HOT_H

#include <stdbool.h>
#include <stddef.h>

#include "hooks.h"
#ifndef __LP64__
#include "narrow/narrow.h"
#endif

#define FD_LIMIT (1 << 20)      /* descriptors from here on are never ours */

struct ofd;

/* The functions behind the hooks: see real.h. */
struct real {
#define HOOK(family, symbol, body) __typeof__(hook_##body) *symbol;
#ifndef __LP64__    /* by another name, so that no other body calls one by mistake */
#define NARROW(family, symbol, body) __typeof__(hook_narrow_##body) *narrow_##symbol;
#endif
#include "hooks.def"
#undef HOOK
};

struct hot {
    struct real real;
    const char *single_threaded;    /* &__libc_single_threaded; set before there is any ofd */
    bool shadowed;                  /* a child of vfork may have changed what a number means */
    bool ending;                    /* the library's exit handler has run */
    struct ofd *slots[FD_LIMIT];    /* by descriptor; see fdtable.h */
    unsigned char hidden[FD_LIMIT]; /* see hidden.h */
} __attribute__((aligned(4096)));

extern struct hot hot;

/* The descriptors that programs mostly have, on the same page. */
_Static_assert(offsetof(struct hot, slots[64]) <= 4096, "the table of functions leaves no room");

#endif
