/* Has the engine recover a state, and looks at what comes of it. */
#ifndef RECOVER_H
#define RECOVER_H

#include "addcow.h"
#include "oracle.h"

/* A state, what the oracle says of it, and what is needed to look at it. */
struct found {
    const struct log *log;
    const struct state *state;
    const struct layout *layout;        /* of the image */
    uint64_t hash;
    bool there;                         /* there is a disk, */
    struct flat flat;                   /* which reads so */
};

/* Puts the state's files onto the machine. */
void recover_place(const struct log *log, const struct state *state);

/*
 * After another boot (or, to see that it matters, the same): opens the disk, reads it, closes it,
 * twice. It must read as it should both times, and the second time nothing may change. If
 * there is no disk it must not open. False, and a breach, if something is wrong.
 */
bool recover_on_machine(const struct found *found, bool same_boot);

/* The same with real files, in the empty directory `dir`, and real system calls; once. */
bool recover_on_files(const struct found *found, const char *dir);

/* One recovery: opens, looks, and closes. `which` is for the message. */
bool recover_pass(const struct found *found, const struct acow_sys *sys, const char *path,
                  int flags, const char *which);

/* What an open disk shows; a good guess makes it quick. Negative errno. */
int recover_read(struct acow_disk *disk, const struct layout *layout, const struct flat *guess,
                 struct flat *flat);

#endif
