/*
 * Rows that each call one function of libc on a file. A row is run in a process of
 * its own, once on a disk and once on a plain file of the same content, and says on
 * its first line what the call returned and which errno, and below that what else it showed.
 *
 *     CALL(symbol, variant, expression)       fd: the file, O_RDWR
 *     PATH(symbol, variant, expression)       path: its name; nothing is open
 *     FLOW(symbol, variant, mode, expression) f: the stream that fopen(path, mode) gave
 *     OVER(symbol, variant, number, expr)     descriptor 0, 1 or 2 is the file
 *
 * The variant is "" or tells rows on one symbol apart. An expression's value is shown
 * as a long; a pointer goes through PTR.
 */
#ifndef PROBE_H
#define PROBE_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct probe {
    const char *symbol, *variant, *mode;
    int number;                 /* -1, or the standard descriptor to put the file on */
    long (*run)(void);
};

extern int fd;
extern FILE *f;
extern const char *path;        /* of the file: DIR/disk.add-cow, and the directory is ours */
extern const char *self;        /* this program's */
extern char buf[16384];         /* shown if the call changes it */

/* One more line of what there is to compare. */
void show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends this row as skipped. */
void skip(const char *why) __attribute__((noreturn));

/* The 16 bytes that fd has at an offset, as one line; -1 if it has none. */
long show_bytes(int at_fd, long off);

/* Waits for a child, and shows how it ended. */
long await(int pid);

#define PTR(pointer) ((pointer) ? 0 : -1)

/* A function that only old binaries can bind to, as a pointer of FUNCTION's type. */
#define OLD(type, symbol, version) ((type)old(symbol, version))
void *old(const char *symbol, const char *version);

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define ROW(symbol, variant, mode, number, ...) \
    static long JOIN(run_, __LINE__)(void) { return (long)(__VA_ARGS__); } \
    static const struct probe JOIN(row_, __LINE__) = { \
        #symbol, variant, mode, number, JOIN(run_, __LINE__) }; \
    static const struct probe *const JOIN(at_, __LINE__) \
        __attribute__((section("probes"), used)) = &JOIN(row_, __LINE__);

#define CALL(symbol, variant, ...) ROW(symbol, variant, "fd", -1, __VA_ARGS__)
#define PATH(symbol, variant, ...) ROW(symbol, variant, NULL, -1, __VA_ARGS__)
#define FLOW(symbol, variant, mode, ...) ROW(symbol, variant, mode, -1, __VA_ARGS__)
#define OVER(symbol, variant, number, ...) ROW(symbol, variant, "fd", number, __VA_ARGS__)

#endif
