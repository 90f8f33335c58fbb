/*
 * The mappings of disks in this process, for what comes after mmap: each keeps its disk open
 * when the descriptor is closed, msync must flush the disk's bits too, and mremap may need
 * more of it. Programs that map no disk pay for that with one load in each of these calls.
 *
 * Functions return >= 0 (mmap's and mremap's: the address) or a negative errno.
 */
#ifndef SHIM_MAP_H
#define SHIM_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ofd;

extern int map_count;

static inline bool map_any(void)
{
    return __builtin_expect(__atomic_load_n(&map_count, __ATOMIC_RELAXED) > 0, 0);
}

/* mmap of a disk that can be read. */
int64_t map_new(struct ofd *ofd, void *addr, size_t len, int prot, int flags, int64_t off);

/* The others are of anything, where map_any(). mmap is of what is no disk, with MAP_FIXED. */
int64_t map_over(void *addr, size_t len, int prot, int flags, int fd, int64_t off);
int map_unmap(void *addr, size_t len);
int64_t map_remap(void *addr, size_t len, size_t new_len, int flags, void *new_addr);
int map_sync(void *addr, size_t len, int flags);

/* True if some disk is mapped in [at, at + len). */
bool map_has_disk(const char *at, size_t len);

/* Around a fork: in the parent before and after it, and in the child. */
void map_before_fork(void);
void map_after_fork_parent(void);
void map_after_fork(void);

#endif
