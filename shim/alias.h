/*
 * Gives the bodies of one family their exported names: to be included at the end
 * of hook_<family>.c, after `#define HOOK_<family> EXPORT`. In assembly, because
 * the compiler's alias attribute meets libc's own declarations of some names.
 */
#define EXPORT(symbol, body) \
    __asm__(".globl " #symbol "\n.type " #symbol ", @function\n.set " #symbol ", hook_" #body "\n");

#ifndef HOOK_open
#define HOOK_open(symbol, body)
#endif
#ifndef HOOK_fd
#define HOOK_fd(symbol, body)
#endif
#ifndef HOOK_rw
#define HOOK_rw(symbol, body)
#endif
#ifndef HOOK_size
#define HOOK_size(symbol, body)
#endif
#ifndef HOOK_sync
#define HOOK_sync(symbol, body)
#endif
#ifndef HOOK_stat
#define HOOK_stat(symbol, body)
#endif
#ifndef HOOK_attr
#define HOOK_attr(symbol, body)
#endif
#ifndef HOOK_lock
#define HOOK_lock(symbol, body)
#endif
#ifndef HOOK_stdio
#define HOOK_stdio(symbol, body)
#endif
#ifndef HOOK_wide
#define HOOK_wide(symbol, body)
#endif
#ifndef HOOK_copy
#define HOOK_copy(symbol, body)
#endif
#ifndef HOOK_map
#define HOOK_map(symbol, body)
#endif
#ifndef HOOK_aio
#define HOOK_aio(symbol, body)
#endif
#ifndef HOOK_libaio
#define HOOK_libaio(symbol, body)
#endif
#ifndef HOOK_uring
#define HOOK_uring(symbol, body)
#endif
#ifndef HOOK_ring
#define HOOK_ring(symbol, body)
#endif
#ifndef HOOK_dl
#define HOOK_dl(symbol, body)
#endif
#ifndef HOOK_syscall
#define HOOK_syscall(symbol, body)
#endif
#ifndef HOOK_signal
#define HOOK_signal(symbol, body)
#endif
#ifndef HOOK_walk
#define HOOK_walk(symbol, body)
#endif
#ifndef HOOK_utmp
#define HOOK_utmp(symbol, body)
#endif
#ifndef HOOK_socket
#define HOOK_socket(symbol, body)
#endif
#ifndef HOOK_spawn
#define HOOK_spawn(symbol, body)
#endif
#ifndef HOOK_proc
#define HOOK_proc(symbol, body)
#endif

#define HOOK(family, symbol, body) HOOK_##family(symbol, body)
#ifndef __LP64__
#include "narrow/alias.h"
#endif
#include "hooks.def"
