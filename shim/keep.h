/*
 * Images on which this process has record locks.
 */
#ifndef SHIM_KEEP_H
#define SHIM_KEEP_H

#include <stdbool.h>
#include <stdint.h>

/* There may be such an image. */
extern bool keep_active;

/* A record lock is about to be made on this image, or came by exec. -ENOMEM */
int keep_image(uint64_t dev, uint64_t ino);

/* True if a descriptor of this file must not be closed, as it is such an image's. */
bool keep_path(const char *path);
bool keep_fd(int fd);

/* The program closes a descriptor of a disk, by which it gives up all its record locks on it. */
void keep_drop(uint64_t dev, uint64_t ino);

/*
 * Before an exec: it will close a descriptor of this disk; then: all that must not be closed is left to the program
 * that follows. And back, if this one goes on.
 */
void keep_lose(uint64_t dev, uint64_t ino);
void keep_bequeath(void);
void keep_bequeath_end(void);

/*
 * What tells image descriptors apart after an exec is their offset, which nothing else uses: each open file description
 * has a value of its own. KEEP_TAG is for what no description has.
 */
#define KEEP_TAG 0x7effffff
#define KEEP_TAGS 0x1000000

static inline bool keep_is_tag(int64_t offset)
{
    return offset >= KEEP_TAG && offset <= KEEP_TAG + KEEP_TAGS;
}

/* In the child of a fork, which has none of its parent's record locks. */
void keep_after_fork(void);

#endif
