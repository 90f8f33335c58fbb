/*
 * One of each operation, on a small disk over a chain: what is run again and
 * again with something going wrong at another place each time.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "model.h"

#define SCRIPT_CAP (32 * KIB)

struct script {
    struct model model;
    struct acow_disk *disk, *second;
    const char *what;           /* for messages */
};

/* Makes the disk's files anew, and the model. */
void script_begin(struct script *script, const char *what);
/* The model alone, from the files as they are. */
void script_load(struct script *script, const char *what);
void script_end(struct script *script);

int script_steps(void);
/* True if what came before a step is durable when it has succeeded. */
bool script_flushes(int step);

/*
 * Does a step on script->disk, whose table is sys_hooked. The result is that of
 * the operation; the model is not changed.
 */
ssize_t script_do(struct script *script, int step);

/* What a step with that result has done, in the model. */
void script_apply(struct script *script, int step, ssize_t result);

/* What it would do in full. */
void script_apply_all(struct script *script, int step);

#endif
