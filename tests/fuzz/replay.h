/* The driver for where there is no libFuzzer: see replay.c. */
#ifndef REPLAY_H
#define REPLAY_H

#include "fuzz.h"

struct seed {
    const char *path;
    uint8_t *data;
    size_t len;
};

/*
 * Reads a file of hex digits; white space, and what follows a # in a line, is nothing.
 * Ends the program if it is no such file.
 */
struct seed seed_read(const char *path);

/* Prints bytes so. */
void seed_print(FILE *out, const uint8_t *data, size_t len);

/* Makes an input out of the seeds, in out[FUZZ_INPUT_MAX]; returns its length. */
size_t mutate(struct rnd *rnd, const struct seed *seeds, int nseeds, uint8_t *out);

#endif
