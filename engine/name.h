/* Names of files: which are disks, and what a relative one is relative to. */
#ifndef ACOW_NAME_H
#define ACOW_NAME_H

#include "addcow.h"

/*
 * The path of `name` as stored in the metadata file whose real path is `meta`:
 * an absolute name as it is, a relative one in meta's directory. malloc'ed, or NULL.
 */
char *name_resolve(const char *meta, const char *name);

/*
 * `path` made absolute, its directory without symbolic links; the last component
 * is kept as it is unless it exists, then it is resolved too. malloc'ed in *out.
 * Errors: as realpath(3).
 */
int name_real(const struct acow_sys *sys, const char *path, char **out);

/* "<path>.run", malloc'ed, or NULL. */
char *name_run(const char *path);

#endif
