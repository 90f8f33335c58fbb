/* A check of a disk and its chain, as its parts see it. */
#ifndef ACOW_CHECK_H
#define ACOW_CHECK_H

#include "chain.h"
#include "disk.h"

struct check {
    const struct acow_sys *sys;
    struct acow_check *out;
    struct chain chain;
    int depth;                  /* of the disk that is being looked at */
    int error;                  /* what ends the check: no finding can stand for it */
    struct acow_msg msg;        /* the line of the last thing that failed */
};

/* Adds a finding with the line in check->msg. */
void check_found(struct check *check, enum acow_found kind, enum acow_severity severity, int error,
                 const char *file);

/* The same with a line of its own, behind "FILE: "; for what opening would not mind. */
void check_note(struct check *check, enum acow_found kind, enum acow_severity severity,
                const char *file, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* That something could not be looked at: "FILE: what: why". */
void check_unreadable(struct check *check, int error, const char *file, const char *what);

/*
 * The run-time file of a disk whose metadata file is open; `pending` is how many sectors
 * have their bit there alone, -1 if that is not known. True if anything was found. (check_run.c)
 */
bool check_run_file(struct check *check, struct acow_disk *disk, int64_t pending);

/* Who has the disk open: those whom locks on its metadata file tell. (check_users.c) */
void check_users(struct check *check, struct acow_disk *disk);

/*
 * Repairs what was found at the top disk, as acow_check has it, and says so in the findings.
 * Nobody had it open a moment ago. (repair.c)
 */
int repair_found(struct check *check, const char *path, int how);

#endif
