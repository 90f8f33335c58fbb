/* stat's forms of programs with a 64-bit time_t: see narrow.h. */
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64

#include <unistd.h>

#define STAT_BODY(name) hook_time64_##name
#define STAT_REAL(name) REAL_##name
#define REAL_stat REAL(__stat64_time64)
#define REAL_lstat REAL(__lstat64_time64)
#define REAL_fstat REAL(__fstat64_time64)
#define REAL_fstatat REAL(__fstatat64_time64)
#define REAL_ftw REAL(__ftw64_time64)
#define REAL_nftw REAL(__nftw64_time64)
#define REAL_fts_read REAL(__fts64_read_time64)
#define REAL_fts_children REAL(__fts64_children_time64)
#include "stat_body.h"

_Static_assert(sizeof(time_t) == 8, "to be compiled with _TIME_BITS=64");

#define HOOK_stat64 EXPORT
#include "../alias.h"
