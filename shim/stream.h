/* FILE streams on disks. */
#ifndef SHIM_STREAM_H
#define SHIM_STREAM_H

#include <stdbool.h>
#include <stdio.h>
#include <wchar.h>

/* In a FILE's _flags2: was opened with "e", which every freopen then keeps to. */
#define STREAM_CLOEXEC 0x40

/* A stream over a placeholder, whose fileno is that; NULL and errno. */
FILE *stream_make(int fd, const char *mode);

/*
 * Makes a stream of libc's, which has just been opened on `fd` in this mode and has done nothing since, one
 * of ours, in its place: whoever has noted the pointer has the disk. 0, or -ENOTSUP: no room.
 */
int stream_convert(FILE *file, int fd, const char *mode);

/* One of ours goes on as if made anew, on another descriptor, disk or not. */
void stream_renew(FILE *file, int fd, const char *mode);

/* True if this is one of them; stream_any, if any is. */
bool stream_is_ours(FILE *file);
bool stream_any(void);

/*
 * Wide characters: libc's functions for them crash on a stream like ours, so these
 * convert by hand. WEOF as fgetwc(3), fputwc(3), ungetwc(3) return it.
 */
wint_t stream_getwc(FILE *file);
wint_t stream_putwc(wchar_t wc, FILE *file);
wint_t stream_ungetwc(wint_t wc, FILE *file);
int stream_wide(FILE *file, int mode);

/* open(2) flags of an fopen mode, or -1. */
int stream_flags(const char *mode);

/*
 * stdin, stdout and stderr follow their descriptors: while 0, 1 or 2 is a disk
 * they are streams of ours. stream_before is called before such a number gets another
 * meaning (`disk`: it will be a disk), stream_follow after.
 */
void stream_before(int fd, bool disk);
void stream_follow(int fd);

/* In the child of a fork. */
void stream_after_fork(void);

/* Writes out what our streams have buffered. */
void stream_flush(void);

#endif
