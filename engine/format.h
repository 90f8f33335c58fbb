/* The on-disk format, version 1: encoding, decoding, sizes. Pure. */
#ifndef ACOW_FORMAT_H
#define ACOW_FORMAT_H

#include "addcow.h"

#define FORMAT_HEADER 2560u            /* bytes before the bitmap */
#define FORMAT_VERSION 1u

struct format_header {
    char backing[ACOW_NAME_MAX + 1];
    char image[ACOW_NAME_MAX + 1];
};

/* Lays the header out; both names must end within their field. */
void format_encode(const struct format_header *header, uint8_t out[FORMAT_HEADER]);

/*
 * Reads a header of `len` bytes. Errors: -EINVAL short or bad magic, -ENOTSUP
 * another version, -ENAMETOOLONG a name without its NUL; *why says it in words.
 */
int format_decode(const uint8_t *buf, size_t len, struct format_header *header, const char **why);

/*
 * The offset of the first byte of a header that should be zero and is not: reserved, or
 * behind a name. 0: there is none, or the header cannot be read.
 */
size_t format_stray(const uint8_t buf[FORMAT_HEADER]);

/* Sectors in, and bitmap bytes for, a disk of `size` bytes; the last may be partial. */
static inline uint64_t format_sectors(uint64_t size)
{
    return size / ACOW_SECTOR + (size % ACOW_SECTOR != 0);
}

static inline uint64_t format_bitmap_bytes(uint64_t size)
{
    return (format_sectors(size) + 7) / 8;
}

#endif
