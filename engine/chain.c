/*
 * What a chain may not be: longer than ACOW_CHAIN_MAX, a circle, or using one
 * file twice. The last matters beyond tidiness: if an image were also a backing
 * file somewhere below, writing to the disk would write to its own past; and a run-time
 * file that is none is removed.
 */
#include "chain.h"

#include <errno.h>

#include "msg.h"

int chain_add(struct chain *chain, const struct stat *st, enum chain_role role, const char *path,
              struct acow_msg *msg)
{
    static const char *const words[] = {
        "the metadata file", "the image file", "a backing file", "the run-time file",
    };

    if (role == CHAIN_META && chain->depth >= ACOW_CHAIN_MAX)
        return msg_set(msg, -ELOOP, "%s: the chain of backing files is deeper than %d disks", path,
                       ACOW_CHAIN_MAX);
    for (int i = 0; i < chain->nfiles; i++) {
        if (chain->files[i].dev != st->st_dev || chain->files[i].ino != st->st_ino)
            continue;
        if (role == CHAIN_META && chain->files[i].role == CHAIN_META)
            return msg_set(msg, -ELOOP, "%s: the chain of backing files comes back to this file",
                           path);
        return msg_set(msg, -EINVAL, "%s: cannot be used as %s: it is %s of the same disk "
                       "(metadata, image, backing and run-time file must be different files)", path, words[role],
                       words[chain->files[i].role]);
    }
    if (role == CHAIN_META)
        chain->depth++;
    chain->files[chain->nfiles].dev = st->st_dev;
    chain->files[chain->nfiles].ino = st->st_ino;
    chain->files[chain->nfiles++].role = role;
    return 0;
}
