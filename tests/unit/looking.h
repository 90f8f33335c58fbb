/*
 * Checks of a disk, and what they find. A check that is not to repair anything runs on a table
 * of system calls that only lets one look: whatever would create, change, remove or lock a file
 * makes the test fail.
 */
#ifndef LOOKING_H
#define LOOKING_H

#include "support.h"

/* What the last check found; freed by the next, and by look_end. */
extern struct acow_check found;
extern struct acow_msg found_msg;

/* Checks the disk, with any table. Returns what acow_check does, and leaves no descriptor. */
int look_with(const struct acow_sys *sys, const char *path, int repair);
/* With one that only lets it look, though it is asked to repair. */
int look_only(const char *path, int repair);
/* Without repair; the check can be done. */
void look(const char *path);
void look_end(void);

/* There are so many findings. */
void expect_findings(size_t count);

/*
 * There is just one of that kind, with these facts; its line is about `file` (the end of its
 * path), and has `words` in it.
 */
const struct acow_finding *expect_found(enum acow_found kind, enum acow_severity severity,
                                        int depth, int error, const char *file, const char *words);

/* That one, and nothing else. */
void expect_only(enum acow_found kind, enum acow_severity severity, int depth, int error,
                 const char *file, const char *words);

/* A peer opens d.add-cow, writes pattern(tag) to [off, off + len) and is killed. */
void leave_behind(uint64_t off, uint64_t len, unsigned tag);

/* Changes the head of d.add-cow.run. */
#define run_poke(field, value) \
    do { \
        __typeof__(((struct region *)0)->field) value_ = (value); \
        file_poke("d.add-cow.run", offsetof(struct region, field), &value_, sizeof(value_)); \
    } while (0)
void run_other_boot(void);

#endif
