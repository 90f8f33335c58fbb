/* The files that have been opened on the way down a chain. */
#ifndef ACOW_CHAIN_H
#define ACOW_CHAIN_H

#include "addcow.h"

enum chain_role { CHAIN_META, CHAIN_IMAGE, CHAIN_BACKING, CHAIN_RUN };

struct chain {
    int depth;                  /* disks so far */
    int nfiles;
    struct {
        uint64_t dev, ino;
        enum chain_role role;
    } files[ACOW_CHAIN_MAX * 4];
};

/*
 * Adds a file. -ELOOP: this metadata file is above already; -EINVAL: the file is there
 * in another role; -ELOOP too when there are more than ACOW_CHAIN_MAX disks. `path` is
 * for the message.
 */
int chain_add(struct chain *chain, const struct stat *st, enum chain_role role, const char *path,
              struct acow_msg *msg);

#endif
