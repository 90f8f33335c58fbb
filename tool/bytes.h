/* Numbers of bytes, read and printed as qemu-img does. Pure. */
#ifndef TOOL_BYTES_H
#define TOOL_BYTES_H

#include <stdint.h>

#define BYTES_HUMAN_MAX 32

/*
 * Reads "1073741824", "1G", "1.5G", "0x200", "512b": digits or 0x digits, a
 * fraction if a suffix larger than b follows, and one of b k M G T P E in
 * either case, for powers of 1024. Space may stand before it, nothing behind.
 * 0, -EINVAL if it is not like that, -ERANGE if it is more than INT64_MAX.
 */
int bytes_parse(const char *text, uint64_t *bytes);

/* "1.5 GiB": three digits, and the unit in which it is less than 1000. Returns out. */
const char *bytes_human(uint64_t bytes, char out[BYTES_HUMAN_MAX]);

#endif
