/*
 * What the engine's tests share: a directory of one's own, seeded random
 * numbers, whole files, and disks made and decoded byte by byte, without the
 * engine, so that the engine is compared with something that it did not write.
 *
 * A test runs in a process of its own, with the directory of tmp_begin as its
 * working directory; tests therefore name files without a path.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "addcow.h"

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define HEADER 2560u

/*
 * As cr_assert, but good in threads and in children of a test too: there it ends
 * the process, and the test sees that.
 */
#define check(condition, ...) \
    do { \
        if (!(condition)) \
            check_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
    } while (0)

/* The calling thread is the test's. */
void check_begin(void);
void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5), noreturn));

/* Fixtures: makes a temporary directory and goes there; removes it. */
void tmp_begin(void);
/* The same in a filesystem without a disk behind it, if there is one. */
void tmp_begin_in_memory(void);
void tmp_end(void);

/* ---- random ------------------------------------------------------------ */

struct rnd {
    uint64_t state;
};

uint64_t rnd_next(struct rnd *rnd);
uint64_t rnd_below(struct rnd *rnd, uint64_t limit);
bool rnd_percent(struct rnd *rnd, unsigned percent);
void rnd_fill(struct rnd *rnd, void *buf, size_t len);

/* A test's seed: `fallback`, or what ADDCOW_TEST_SEED says plus it. */
uint64_t test_seed(uint64_t fallback);

/* How often: `usual`, or ADDCOW_TEST_ROUNDS times that. */
unsigned test_rounds(unsigned usual);
/* ADDCOW_FAULTS=all: everything that could fail, not a choice of it. */
bool test_all_faults(void);

/* ---- files ------------------------------------------------------------- */

struct blob {
    uint8_t *data;
    size_t len;
};

struct blob file_get(const char *path);
void file_put(const char *path, const void *data, size_t len);
/* Makes the file so large, sparse where it is new. */
void file_size(const char *path, uint64_t size);
void file_poke(const char *path, uint64_t off, const void *data, size_t len);
int64_t file_len(const char *path);          /* -1: it is not there */
bool file_same(const char *path, struct blob blob);
/* Entries of the working directory. */
int dir_count(void);
int open_fds(void);
int mappings(void);

/* `len` bytes that depend on `tag` and their offset, and are never zero. */
void pattern(void *buf, uint64_t off, size_t len, unsigned tag);
void file_pattern(const char *path, uint64_t off, size_t len, unsigned tag);

/* ---- disks, by hand ---------------------------------------------------- */

/* A metadata file, names as given, with a bitmap of `len` bytes (NULL: zeros). */
void meta_put(const char *path, const char *backing, const char *image, const void *bitmap,
              size_t len);

/* The flat content of the disk, from its files alone. */
struct blob decode(const char *meta);

/* The bit of a sector, from a whole metadata file. */
bool meta_bit(struct blob meta, uint64_t sector);

/* Whether d.add-cow has that sector's bit set. */
bool bit_is_committed(uint64_t sector);

/* d.add-cow, which is closed, is pattern `tag` in [off, off + len), and has no run-time file. */
void check_closed(uint64_t off, size_t len, unsigned tag);

static inline uint64_t sectors(uint64_t size)
{
    return (size + 511) / 512;
}

static inline uint64_t bitmap_len(uint64_t size)
{
    return (sectors(size) + 7) / 8;
}

/* ---- the engine, with asserts ------------------------------------------ */

struct acow_disk *must_open(const struct acow_sys *sys, const char *path, int flags);
void must_close(struct acow_disk *disk);
void must_write(struct acow_disk *disk, const void *buf, size_t len, uint64_t off);
void must_read(struct acow_disk *disk, void *buf, size_t len, uint64_t off);
void must_flush(struct acow_disk *disk);
/* The whole disk as the engine shows it. */
struct blob read_all(struct acow_disk *disk);

/* d.add-cow over d.base of d.img, the usual small disk: patterns 1 in the base,
 * and 2, left-overs, in the image; no bit set. */
void usual_disk(uint64_t size, uint64_t backing_size);

/* Runs fn(arg) in a child of fork; its result is the exit status, or 256 + signal. */
int in_child(int (*fn)(void *arg), void *arg);
int wait_child(pid_t pid);

/* A fork whose child does not outlive a test that fails, not even when it is stopped. */
pid_t fork_child(void);

/* Memory shared with children. */
void *shared_memory(size_t len);

/* Says where a and b first differ. */
const char *differ(const void *got, const void *want, size_t len);

#define assert_same(got, want, len, format, ...) \
    check(memcmp(got, want, len) == 0, format ": %s", ##__VA_ARGS__, differ(got, want, len))

#endif
