/* Which paths are disks. */
#ifndef SHIM_PATH_H
#define SHIM_PATH_H

#include <stdbool.h>

#define PATH_LEN 4096

/*
 * True if `path`, relative to the directory `dir` as in openat, is a disk: its last
 * component ends in ".add-cow" (or it is /proc/…/fd/N, /dev/fd/N, /dev/stdin of
 * one), and it is a regular file that is not empty. `real` gets its absolute
 * path. With `follow` false a symbolic link is not one. errno is kept.
 */
bool path_is_disk(int dir, const char *path, bool follow, char real[PATH_LEN]);

/* True if the name is one that a disk can have: path_is_disk must look at the file. */
bool path_may_be_disk(const char *path);

#endif
