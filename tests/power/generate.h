/* Scripts that nobody wrote. */
#ifndef GENERATE_H
#define GENERATE_H

#include "script.h"

/* How many scripts of `length` operations there are on a small disk, from a set of operations that
 * are each of a kind; and the one of that number. */
uint64_t generate_count(int length);
void generate_short(struct script *script, int length, uint64_t number);

/* A long one, by the seed. */
void generate_long(struct script *script, uint64_t seed);

#endif
