/* Of the narrow families, what ../alias.h has of the others. */
#ifndef HOOK_narrow_open
#define HOOK_narrow_open(symbol, body)
#endif
#ifndef HOOK_narrow_fd
#define HOOK_narrow_fd(symbol, body)
#endif
#ifndef HOOK_narrow_rw
#define HOOK_narrow_rw(symbol, body)
#endif
#ifndef HOOK_narrow_size
#define HOOK_narrow_size(symbol, body)
#endif
#ifndef HOOK_narrow_sync
#define HOOK_narrow_sync(symbol, body)
#endif
#ifndef HOOK_narrow_stat
#define HOOK_narrow_stat(symbol, body)
#endif
#ifndef HOOK_narrow_attr
#define HOOK_narrow_attr(symbol, body)
#endif
#ifndef HOOK_narrow_lock
#define HOOK_narrow_lock(symbol, body)
#endif
#ifndef HOOK_narrow_stdio
#define HOOK_narrow_stdio(symbol, body)
#endif
#ifndef HOOK_narrow_copy
#define HOOK_narrow_copy(symbol, body)
#endif
#ifndef HOOK_narrow_map
#define HOOK_narrow_map(symbol, body)
#endif
#ifndef HOOK_narrow_aio
#define HOOK_narrow_aio(symbol, body)
#endif
#ifndef HOOK_narrow_walk
#define HOOK_narrow_walk(symbol, body)
#endif
#ifndef HOOK_stat64
#define HOOK_stat64(symbol, body)
#endif
#ifndef HOOK_time64
#define HOOK_time64(symbol, body)
#endif

#define NARROW(family, symbol, body) HOOK_narrow_##family(symbol, narrow_##body)
