/*
 * The functions behind the hooks: what the next library, in the end libc, has
 * under each name in hooks.def. REAL(pread)(…) calls one.
 *
 * Hooks may run before this library's constructor, from another one's; the first
 * one to find an empty table fills it.
 */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include "hooks.h"

struct real {
#define HOOK(family, symbol, body) __typeof__(hook_##body) *symbol;
#include "hooks.def"
#undef HOOK
};

extern struct real real_table;

void real_init(void);

/* One of a library that may be loaded later than this one, and not for all to see; or NULL. */
void *real_find_late(const char *library, const char *symbol);

#define REAL(symbol) \
    (__builtin_expect(real_table.symbol != NULL, 1) ? real_table.symbol \
                                                    : (real_init(), real_table.symbol))

#endif
