/*
 * What the fuzz targets share. A target is a file target_NAME.c with the function
 * below; it is linked with libFuzzer's main, or with replay.c where that is not to be had.
 * Files and disks are made and read back by the support code of the unit tests
 * (tests/unit/support.h), whose check() here ends the process.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../unit/sys_hook.h"

#define FUZZ_INPUT_MAX 4096u

/* Larger disks are not asked for how many bits they have, which takes too long a thousand times. */
#define FUZZ_COUNTED (1024 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* ---- the input --------------------------------------------------------- */

/* What is left of an input. All that is taken from an empty one is zero. */
struct input {
    const uint8_t *at;
    size_t left;
};

uint8_t input_byte(struct input *in);
/* `bytes` bytes, the least significant first. */
uint64_t input_number(struct input *in, unsigned bytes);
/* Below limit, from as few bytes as that takes; limit > 0. */
uint64_t input_below(struct input *in, uint64_t limit);
/* The next len bytes, or as many as there are. */
struct input input_part(struct input *in, size_t len);

/* ---- the engine's system calls ----------------------------------------- */

/*
 * Plain libc behind sys_hooked, without syncing, since no power is cut here. Descriptors and
 * mappings are counted, and what is logged must be one plain line.
 */
const struct acow_sys *fuzz_sys(void);

/* The same without sys_hooked, which is not for threads; and so without counting. */
const struct acow_sys *fuzz_plain_sys(void);

/* Counts from zero, and asks `before` (may be NULL) before each call. */
void fuzz_watch(int (*before)(struct sys_call *call));

/* Everything the engine opened and mapped is given back. */
void fuzz_balanced(const char *what);

/* One plain line. */
void fuzz_check_line(const char *text, const char *what);

/* ---- the directory ----------------------------------------------------- */

/* What every file below the working directory is, to be compared later. */
struct snapshot {
    struct shot {
        char path[96];
        uint64_t ino, hash;     /* of what it is, when it was written, and what is in it */
    } shots[48];
    int count;
};

void snapshot_take(struct snapshot *snapshot);

/*
 * Nothing has changed but the files with these inodes (0: none), and files
 * whose names end in ".run", which may come and go if `run_too`.
 */
void snapshot_same(const struct snapshot *before, uint64_t ino, uint64_t other_ino, bool run_too,
                   const char *what);

/* ---- disks, read without the engine -------------------------------------- */

/* A chain as its files say it is. The format's rules once more, from its description. */
struct flat {
    int levels;
    struct flat_level {
        int meta, image;
        uint64_t meta_ino, image_ino, size;
    } level[64];
    int base;                   /* the raw file at the bottom, or -1 */
    uint64_t base_size;
};

/* False if it is no chain of disks that can be read. */
bool flat_open(struct flat *flat, const char *path);
void flat_close(struct flat *flat);
bool flat_bit(const struct flat *flat, int level, uint64_t sector);
/* Sectors of the top that have their bit. */
uint64_t flat_count(const struct flat *flat);
/* The sector, zeros behind the disk's end. */
void flat_read(const struct flat *flat, uint64_t sector, uint8_t out[512]);

#endif
