/*
 * What a sector may hold. Equal contents are one object, so that states are made of pointers,
 * and are compared by them.
 */
#ifndef CONTENT_H
#define CONTENT_H

#include "power.h"

struct content {
    uint64_t hash;
    uint8_t bytes[SECTOR];
};

/* The content of these bytes with zeros behind them; len <= SECTOR. Good until the next reset. */
const struct content *content_of(const void *bytes, uint64_t len);

/* Its first `len` bytes, and zeros. */
const struct content *content_cut(const struct content *content, uint64_t len);

extern const struct content *content_zero;

/* All are forgotten. To be called before the first. */
void content_reset(void);

#endif
